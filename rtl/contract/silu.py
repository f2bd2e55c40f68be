"""Interpolation table of the vector unit's silu(a) = a / (1 + e^-a).

The sign of a, its exponent e and the top bits of its fraction choose a row. The fraction bits below those are u,
counted from the middle of the row. A row is a quadratic for |silu(a)| · 2^(d - e), which is at least 1:

    p = c0 + floor(t·u / 2^12),   t = c1 + floor(c2·u / 2^17),   -2^17 <= u < 2^17

`p` is that times 2^24, and less than 2^26. So its leading one is bit 24 or 25, and the significand is p >> 1 or p >> 2.
The rounding constant of the former (1) is already in c0. Silu is neither monotone nor of one curvature: c1 and c2 are
signed, 18 × 18 bits hold both products.

| a | rows in a binade | row |
|---|---|---|
| 2^-18 … 1/4 in magnitude | 4 | 0, 0, sign, 4 bits of the exponent field, 2 of the fraction |
| 1/4 … 16 | 16 | 0, 1, bits 7, 1 and 0 of the exponent field, 4 of the fraction |
| -2 … -1/4 | 16 | 1, 1, 1, 2 bits of the exponent field, 4 of the fraction |
| -20 … -2 | 64 | 1, 2 bits of the exponent field, 6 of the fraction |

Outside of them silu is a / 2 (|a| < 2^-18), a (from 16 on) or -0 (up to -20), and the row is not looked at.

The coefficients follow from decimal arithmetic of fixed precision and so are the same on every machine.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

U_BITS = 18
"""Width of the position `u`, signed, inside a row. The fraction's last bits are left out where a row has more: three of
them with 4 rows in a binade, one with 16.
"""
C0_BITS, C1_BITS, C2_BITS, D_BITS = 26, 18, 14, 5
"""Widths of a row's fields. c1 and c2 are signed, and so is t, which is as wide as c1."""
T_SHIFT = 17
"""c2·u >> T_SHIFT is in units of c1."""
P_SHIFT = 12
"""t·u >> P_SHIFT is in units of c0."""
P_FRACTION = 24
"""p is the significand times 2^P_FRACTION, or twice that."""

BIAS = 127
"""Of the exponent field."""
SMALLEST = -18
"""Exponent of the smallest |a| with a row; silu is a / 2 below."""
LARGEST = 4
"""From 2^LARGEST on silu is a."""
TAIL = 20
"""From -TAIL down silu is -0."""


@dataclass(frozen=True)
class Section:
    """Rows of one sign and one binade, which begin at the binade's lower end."""

    first: int
    sign: int
    exponent: int
    bits: int
    """Logarithm of how many rows a whole binade would have."""
    count: int


SECTIONS = (
    *(Section(64 * sign + (BIAS + e) % 16 * 4, sign, e, 2, 4) for sign in (0, 1) for e in range(SMALLEST, -2)),
    *(Section(128 + (e + 3) * 16, 0, e, 4, 16) for e in range(-2, LARGEST)),
    *(Section(256 + (e - 1) * 64, 1, e, 6, 64) for e in (1, 2, 3)),
    Section(448, 1, 4, 6, 16),
    *(Section(448 + (e + 3) * 16, 1, e, 4, 16) for e in (-2, -1, 0)),
)
"""Which rows are for which a. The others, 128 to 143 and 240 to 255, are zero."""
ROW_BITS = 9

_CONTEXT = Context(prec=40, rounding=ROUND_HALF_EVEN)
_HALF = 1 << U_BITS - 1
_NODES = tuple(round(_HALF * Decimal(x)) for x in ("-0.8660254", "0", "0.8660254"))
"""Zeros of the cubic Chebyshev polynomial."""
_SAMPLES = tuple(round(_HALF * Decimal(i) / 8) - (i == 8) for i in range(-8, 9))


def _silu(a):
    """|silu(a)|."""
    c = _CONTEXT
    return abs(c.divide(a, c.add(Decimal(1), c.exp(-a))))


def _row(section, index):
    """(c0, c1, c2, d) of one row: interpolated at three points, c1 and c2 rounded to what is least wrong."""
    c = _CONTEXT
    start = (1 << section.bits) + index
    unit = c.power(Decimal(2), Decimal(section.exponent - section.bits))  # what a row is long
    # Fraction bits that u leaves out stand, on average, for half of what they can be.
    left_out = max(23 - section.bits - U_BITS, 0)
    middle = c.divide(Decimal((1 << left_out) - 1), Decimal(2 << left_out))

    def silu(u):
        position = c.divide(c.add(Decimal(u + _HALF), middle), Decimal(2 * _HALF))
        a = c.multiply(c.add(Decimal(start), position), unit)
        return _silu(-a if section.sign else a)

    values = {u: silu(u) for u in (*_SAMPLES, *_NODES)}
    lowest = min(values.values())
    d = 0  # the power of two that makes the smallest value 1 to 2
    while c.multiply(lowest, c.power(Decimal(2), Decimal(d - section.exponent))) < 1:
        d += 1
    scale = c.power(Decimal(2), Decimal(d - section.exponent + P_FRACTION))
    values = {u: c.multiply(y, scale) for u, y in values.items()}

    # One unit of c2 is worth u²/2^(T_SHIFT + P_SHIFT) in p, one unit of c1 is worth u/2^P_SHIFT.
    y0, y1, y2 = (values[u] for u in _NODES)
    far = Decimal(_NODES[2])
    quadratic = c.divide(y0 + y2 - 2 * y1, 2 * far * far)
    linear = c.divide(y2 - y0, 2 * far)
    nearest = round(c.multiply(quadratic, Decimal(1 << T_SHIFT + P_SHIFT)))
    slope = round(c.multiply(linear, Decimal(1 << P_SHIFT)))
    targets = [(u, round(256 * values[u])) for u in _SAMPLES]
    found = []
    # Neighbours of both, because t is truncated.
    for c2 in (nearest, nearest - 1, nearest + 1):
        # One row of the tail is a little too steep for t: what is left is far below the step at -TAIL.
        limit = (1 << C1_BITS - 1) - 1 - abs(c2)
        for c1 in (max(-limit, min(slope + i, limit)) for i in (0, 1, -1)):
            excess = [y - (((c1 + (c2 * u >> T_SHIFT)) * u >> P_SHIFT) << 8) for u, y in targets]
            low, high = min(excess), max(excess)
            found.append((high - low, (low + high + 256 >> 9) + 1, c1, c2))
    _, c0, c1, c2 = min(found, key=lambda candidate: candidate[0])
    return c0, c1, c2, d


def _p(row, u):
    return row[0] + ((row[1] + (row[2] * u >> T_SHIFT)) * u >> P_SHIFT)


def _rows():
    rows = [(0, 0, 0, 0)] * (1 << ROW_BITS)
    for section in SECTIONS:
        for index in range(section.count):
            c0, c1, c2, d = row = _row(section, index)
            ends = (-_HALF, _HALF - 1)
            if not (
                0 <= d < 1 << D_BITS
                and 0 < c0 < 1 << C0_BITS
                and abs(c2) < 1 << C2_BITS - 1
                and all(abs(c1 + (c2 * u >> T_SHIFT)) < 1 << C1_BITS - 1 for u in ends)
                and abs(c1) < 1 << C1_BITS - 1
                and all(1 << P_FRACTION <= _p(row, u) < 4 << P_FRACTION for u in ends)
            ):
                raise ArithmeticError(f"table row {row} of {section} does not fit its fields")
            rows[section.first + index] = row
    return tuple(rows)


ROWS = _rows()
"""(c0, c1, c2, d) of each row."""
