"""Sampling noise: constants of the generator, and the table that makes Gumbel noise of its output.

The generator is Threefry-2x32 with 13 rounds (Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1, 2,
3", SC 2011). Key: the seed, low word first. Counter: the token, then the position. n is the first word of the result.

The noise is g = -ln(-ln u), u = (n + 1/2) / 2^32. With top = n[31], x is u or 1 - u, whichever is below 1/2: x = w /
2^33 with w the odd number 2·m + 1, m = n[30:0] or its complement. w moves left until bit 31 is a one, but by z = 25
places at most:

    row = (top, group, w[30:26]), group = z, or 26 where bit 31 stays zero        u = w[25:8], or its complement
    t = c1 + floor(c2·u / 2^20)                     p = c0 + floor(t·u / 2^16), or c0 - floor(t·u / 2^16)

p is g times 2^24 with a rounding constant in c0, and floor(p / 8) is g on a grid of 2^-21. g rises with w where top = 0
and falls where top = 1. `u` runs against w, and the product is subtracted where top = 0. The one exception is top = 0,
z = 0 with bit 30 a one (the true u is above 3/8): there `u` runs with w and the product is added, because g is convex
above 1/e and concave below. So no coefficient but c0 is negative, t rises with `u`, and p never falls as n rises.

The coefficients follow from additions, multiplications and divisions of doubles, one at a time, and so are the same on
every machine.
"""

from functools import cache

import numpy as np

from hayate.rtl.contract.words import POSITION_BITS, SEED_BITS, TOKEN_BITS

__all__ = ["POSITION_BITS", "SEED_BITS", "TOKEN_BITS"]

ROUNDS = 13
"""The shortest variant for which the authors of Threefry publish known answers."""
ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
"""Of the second word, by round modulo 8."""
PARITY = 0x1BD11BDA
"""The third word of the key schedule is this xor both words of the key."""

SEGMENT_BITS = 5
SHIFT_MAX = 25
"""Largest z. The 64 lowest m have a row each."""
U_BITS = 18
C0_BITS, C1_BITS, C2_BITS = 30, 18, 14
"""Widths of the coefficients; c0 is signed, the others are not."""
T_SHIFT = 20
P_SHIFT = 16
P_FRACTION = 24
GRID_SHIFT = 3
"""g on the grid is p >> GRID_SHIFT. FP32 drops up to two bits more; the rounding constant of a row is that
of its values."""

_SEGMENTS = 1 << SEGMENT_BITS
_SIZE = 1 << U_BITS
_LN2 = 0.6931471805599453


def _double_artanh(s):
    """ln((1 + s) / (1 - s)) for |s| <= 1/3."""
    square, series = s * s, np.zeros_like(s)
    for k in range(35, 0, -2):
        series = series * square + 1.0 / k
    return 2.0 * (s * series)


def _ln(x):
    fraction, exponent = np.frexp(x)
    low = fraction < 0.7071
    fraction, exponent = np.where(low, 2.0 * fraction, fraction), exponent - low
    return exponent * _LN2 + _double_artanh((fraction - 1.0) / (fraction + 1.0))


def _noise(top, x):
    """g for u = x, or for u = 1 - x where `top`."""
    tail = np.where(top, x, 0.0)
    return -_ln(np.where(top, -_double_artanh(-tail / (2.0 - tail)), -_ln(x)))


@cache
def rows():
    """(c0, c1, c2) of each row, int64 [2048, 3]. The row number is top, group (5 bits), segment; rows that no n reaches
    are zero.
    """
    top, group, segment = (a.ravel()[:, None] for a in np.indices((2, SHIFT_MAX + 2, _SEGMENTS)))
    single = group >= SHIFT_MAX  # one n in a row, in the middle of the segment
    against = (top == 1) | (group > 0) | (segment < _SEGMENTS // 2)
    sign = np.where((top == 0) & against, -1, 1)
    # Eight bits and more below u are on average half a unit of it; with fewer, u is exact, and its complement is one
    # short.
    beyond = np.where(group < 8, 0.5, np.where(against, 1.0, 0.0))

    def value(u):
        """p without rounding, where `u` has the value u."""
        place = (u + beyond) / _SIZE
        place = np.where(single, 0.5, np.where(against, 1.0 - place, place))
        mantissa = np.where(group > SHIFT_MAX, 0.0, 1.0) + (segment + place) / _SEGMENTS
        return _noise(top == 1, mantissa / (1 << 2) / (1 << np.minimum(group, SHIFT_MAX))) * (1 << P_FRACTION)

    # Interpolated at the zeros of the cubic Chebyshev polynomial, then corrected for what rounding c2 and c1 costs.
    u0, u1, u2 = (float(round(_SIZE * w)) for w in (0.0670, 0.5, 0.9330))
    y0, y1, y2 = (sign * value(u) for u in (u0, u1, u2))
    unit = 1 << T_SHIFT + P_SHIFT
    c2 = np.rint(((y2 - y1) / (u2 - u1) - (y1 - y0) / (u1 - u0)) / (u2 - u0) * unit)
    c2 = np.where(single, 0, np.maximum(c2, 0)).astype(np.int64)
    slope = ((y2 - y0) - c2 / unit * (u2 * u2 - u0 * u0)) / (u2 - u0)
    c1 = np.where(single, 0, np.rint(slope * (1 << P_SHIFT) + 0.5)).astype(np.int64)  # 0.5: t is truncated
    u = np.arange(33) * _SIZE // 32 - (np.arange(33) == 32)
    excess = value(u.astype(float)) - sign * ((c1 + (c2 * u >> T_SHIFT)) * u >> P_SHIFT)
    c0 = (excess.max(axis=1) + excess.min(axis=1))[:, None] / 2
    half = 1 << GRID_SHIFT - 1
    middle = value(np.full((1, 1), _SIZE / 2)) / (1 << P_FRACTION)
    c0 = np.rint(c0).astype(np.int64) + np.where(middle < 8, half, np.where(middle < 16, 2 * half, 4 * half))

    # Raise what would fall behind the row before it, by a unit or two: g shall not fall as n rises.
    gap = np.where(group < 8, 0, 1 << np.clip(group, 8, SHIFT_MAX) - 8)
    first, last = gap, np.minimum(_SIZE - gap, _SIZE - 1)
    ends = np.concatenate([np.where(top == 1, last, first), np.where(top == 1, first, last)], axis=1)
    ends = np.where(against, _SIZE - 1 - ends, ends)
    ends = c0 + sign * ((c1 + (c2 * ends >> T_SHIFT)) * ends >> P_SHIFT)
    rising = np.lexsort(np.where(top == 1, (-segment, group, top), (segment, -group, top)).reshape(3, -1))
    bound = ends.min()
    for row in rising.tolist():
        lift = max(bound - ends[row, 0], 0)
        c0[row] += lift
        bound = ends[row, 1] + lift

    largest = c1 + (c2 * (_SIZE - 1) >> T_SHIFT)
    if not (
        (abs(c0) < 1 << C0_BITS - 1).all()
        and (c1 >= 0).all()
        and (largest < 1 << C1_BITS).all()
        and (c2 < 1 << C2_BITS).all()
    ):
        raise ArithmeticError("a row of the noise table does not fit its fields")
    table = np.zeros((2, 32, _SEGMENTS, 3), np.int64)
    table[:, : SHIFT_MAX + 2] = np.concatenate([c0, c1, c2], axis=1).reshape(2, SHIFT_MAX + 2, _SEGMENTS, 3)
    return table.reshape(-1, 3)
