"""Interpolation tables of the vector unit's exp, reciprocal and reciprocal square root.

Every function is reduced to a value in [1/2, 1] and read from a table of 64 segments with a quadratic in each:

    p = c0 + floor(t·u / 2^15),   t = c1 + floor(c2·u / 2^20),   0 <= u < 2^18

`p` is the value times 2^27 with the rounding constant of the 24-bit significand (4) already in c0, so the significand
is p >> 3. The segment's abscissa runs with `u` for exp and against it for the two others, which makes every coefficient
positive and every product unsigned, 18 × 18 bits at most.

| table | value, over | segment | u |
|---|---|---|---|
| EXP | 2^f / 2, f in [0, 1) truncated to 24 fraction bits | f[23:18] | f[17:0] |
| RECIP | 1/m, m in [1, 2) with 23 fraction bits | m[22:17] | 2·(2^17 - 1 - m[16:0]) + 1 |
| RSQRT_EVEN | 1/√m, m in [1, 2) | as RECIP | as RECIP |
| RSQRT_ODD | 1/√(2m), m in [1, 2) | as RECIP | as RECIP |

The coefficients follow from decimal arithmetic of fixed precision and so are the same on every machine. The first
segment of each table is anchored, which makes 1/2^k, 1/√4^k and exp(0) exact.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import IntEnum

SEGMENT_BITS = 6
"""Logarithm of the number of segments in a table."""
U_BITS = 18
"""Width of the position `u` inside a segment."""
C0_BITS, C1_BITS, C2_BITS = 27, 18, 14
"""Widths of the coefficients, all unsigned. The top bit of every c0 is one."""
T_SHIFT = 20
"""c2·u >> T_SHIFT is in units of c1."""
P_SHIFT = 15
"""t·u >> P_SHIFT is in units of c0."""
P_FRACTION = 27
"""p is the value times 2^P_FRACTION."""
ROUND_SHIFT = 3
"""The 24-bit significand is p >> ROUND_SHIFT: the rounding constant is part of c0."""

X_FRACTION = 26
"""Fraction bits of exp's argument as a fixed-point number; |x| < 128, so 33 bits and a sign."""
X_LOW_BITS = 17
"""The low part of the argument that is multiplied on its own."""
LOG2E_HIGH, LOG2E_LOW = 94548, 60581
"""log2(e) = (LOG2E_HIGH + LOG2E_LOW / 2^17) / 2^16, rounded to nearest."""


class Table(IntEnum):
    """Which table; the upper two bits of the row number in ROWS."""

    EXP = 0
    RECIP = 1
    RSQRT_EVEN = 2
    RSQRT_ODD = 3


_CONTEXT = Context(prec=40, rounding=ROUND_HALF_EVEN)
_LN2 = _CONTEXT.ln(Decimal(2))
_HALF_STRETCH = (Decimal("0.0718"), Decimal("0.5359"))
"""Zeros of the cubic Chebyshev polynomial, stretched so that the third one is the segment's anchored end."""


def _value(table, segment, w):
    """The tabulated function, times 2^27, at position w in [0, 1] of a segment counted from its lower end."""
    c = _CONTEXT
    fraction = c.divide(c.add(Decimal(segment), w), Decimal(1 << SEGMENT_BITS))
    if table == Table.EXP:
        y = c.divide(c.exp(c.multiply(fraction, _LN2)), Decimal(2))
    else:
        m = c.add(Decimal(1), fraction)
        if table == Table.RECIP:
            y = c.divide(Decimal(1), m)
        else:
            y = c.divide(Decimal(1), c.sqrt(m if table == Table.RSQRT_EVEN else c.multiply(m, Decimal(2))))
    return c.multiply(y, Decimal(1 << P_FRACTION))


def _row(table, segment):
    """(c0, c1, c2) of one segment: interpolated at three points, then corrected for what rounding c2 and c1 cost."""
    c, one = _CONTEXT, Decimal(1)
    size = 1 << U_BITS
    if table == Table.EXP:
        anchor = 0
        nodes = [anchor, *(round(c.multiply(one - w, Decimal(size))) for w in reversed(_HALF_STRETCH))]
    else:
        anchor = size - 1
        nodes = [*(round(c.multiply(w, Decimal(size))) for w in _HALF_STRETCH), anchor]

    def value(u):
        # exp's fraction is truncated: on average it stands for a number half a unit higher.
        w = c.add(Decimal(u), Decimal("0.5")) if table == Table.EXP else Decimal(size - 1 - u)
        return _value(table, segment, c.divide(w, Decimal(size)))

    u0, u1, u2 = (Decimal(u) for u in nodes)
    y0, y1, y2 = (value(u) for u in nodes)
    d01, d12 = c.divide(y1 - y0, u1 - u0), c.divide(y2 - y1, u2 - u1)
    # One unit of c2 is worth u²/2^(T_SHIFT + P_SHIFT) in p, one unit of c1 is worth u/2^P_SHIFT.
    quadratic = c.divide(d12 - d01, u2 - u0)
    c2 = round(c.multiply(quadratic, Decimal(1 << (T_SHIFT + P_SHIFT))))
    kept = c.divide(Decimal(c2), Decimal(1 << (T_SHIFT + P_SHIFT)))
    linear = c.divide((y2 - kept * u2 * u2) - (y0 - kept * u0 * u0), u2 - u0)
    c1 = round(c.add(c.multiply(linear, Decimal(1 << P_SHIFT)), Decimal("0.5")))  # 0.5: t is truncated

    def excess(u):
        return value(u) - Decimal((c1 + (c2 * u >> T_SHIFT)) * u >> P_SHIFT)

    if segment == 0:
        c0 = round(excess(anchor))
    else:
        samples = [excess(size * i // 8 - (i == 8)) for i in range(9)]
        c0 = round(c.divide(max(samples) + min(samples), Decimal(2)))
    return c0 + (1 << (ROUND_SHIFT - 1)), c1, c2


def _rows():
    rows = tuple(_row(table, segment) for table in Table for segment in range(1 << SEGMENT_BITS))
    for c0, c1, c2 in rows:
        if not (
            c0 >> (C0_BITS - 1) == 1
            and 0 < c1 < 1 << C1_BITS
            and 0 < c2 < 1 << C2_BITS
            and c1 + (c2 * ((1 << U_BITS) - 1) >> T_SHIFT) < 1 << C1_BITS
        ):
            raise ArithmeticError(f"table row ({c0}, {c1}, {c2}) does not fit its fields")
    return rows


ROWS = _rows()
"""(c0, c1, c2) of row 64·table + segment."""
