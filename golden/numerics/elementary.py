"""exp, 1/x and 1/√x of the vector unit: bit-exact definitions in integer arithmetic.

Each function takes finite FP32 and returns `(result, saturated)` like `fp32`. The argument is reduced to a table
segment and a position in it; `hayate.rtl.contract.tables` states the interpolation. Largest relative errors, measured
by `verif/numerics/test_elementary.py`, are in the docstrings.
"""

import numpy as np

from hayate.rtl.contract import tables
from hayate.rtl.contract.tables import Table

_C0, _C1, _C2 = np.array(tables.ROWS, np.int64).T.copy()
_MAX_BITS = 0x7F7FFFFF
_U_MASK = (1 << tables.U_BITS) - 1


def _bits(x):
    """The sign (0 or 1), exponent field and fraction field of float32 values, as int64."""
    bits = np.asarray(x, np.float32).view(np.int32).astype(np.int64)
    return bits >> 31 & 1, bits >> 23 & 0xFF, bits & 0x7FFFFF


def _float(bits):
    return np.asarray(bits, np.int64).astype(np.uint32).view(np.float32)


def _interpolate(row, u):
    """p of the table row at u: the value times 2^27 plus the rounding constant."""
    t = _C1[row] + (_C2[row] * u >> tables.T_SHIFT)
    return _C0[row] + (t * u >> tables.P_SHIFT)


def _normalize(exponent, fraction):
    """(e, f): the magnitude is (1 + f/2^23) · 2^e, for subnormals too; zero gives some e and f."""
    # frexp of the fraction field finds a subnormal's leading one; the field is exact in a double.
    length = np.frexp(fraction.astype(np.float64))[1].astype(np.int64)
    subnormal = exponent == 0
    e = np.where(subnormal, length - 150, exponent - 127)
    shift = np.where(subnormal, np.minimum(24 - length, 23), 0)
    return e, (fraction << shift) & 0x7FFFFF


def _row_of_mantissa(table, fraction):
    within = fraction & (1 << 23 - tables.SEGMENT_BITS) - 1
    return (np.asarray(table, np.int64) << tables.SEGMENT_BITS) + (
        fraction >> 23 - tables.SEGMENT_BITS
    ), _U_MASK - 2 * within


def exp(x):
    """e^x. Relative error below 2^-22. A result below 2^-126 is +0; exp(±0) is 1."""
    sign, exponent, fraction = _bits(x)
    significand = np.where(exponent == 0, fraction, fraction | 1 << 23)
    big = exponent >= 127 + 7
    # |x| in units of 2^-26, truncated: 2^(exponent - 150) is the significand's unit.
    shift = np.clip(exponent - 150 + tables.X_FRACTION, -63, 9)
    magnitude = significand << np.maximum(shift, 0) >> np.maximum(-shift, 0)
    fixed = np.where(sign == 1, -magnitude, magnitude)
    # y = x · log2(e) in units of 2^-24, of three products truncated to 2^-30; that of the two low parts is left out.
    high, low = fixed >> tables.X_LOW_BITS, fixed & (1 << tables.X_LOW_BITS) - 1
    middle = (high * tables.LOG2E_LOW >> 12) + (low * tables.LOG2E_HIGH >> 12)
    y = ((high * tables.LOG2E_HIGH << 5) + middle) >> 6
    n, f = y >> 24, y & (1 << 24) - 1
    p = _interpolate((Table.EXP << tables.SEGMENT_BITS) + (f >> tables.U_BITS), f & _U_MASK)
    # The value is p/2^27 · 2^(n+1) and the significand's hidden bit adds one to the exponent field below.
    bits = (n + 126 << 23) + (p >> tables.ROUND_SHIFT)
    saturated = np.where(big, sign == 0, (n > 127) | (bits > _MAX_BITS))
    zero = np.where(big, sign == 1, n < -126)
    return _float(np.where(saturated, _MAX_BITS, np.where(zero, 0, bits))), saturated


def recip(x):
    """1/x. Relative error below 2^-22; powers of two are exact.

    A subnormal result (|x| > 2^126) is the 27-bit value, rounding constant included, truncated: its error is below
    2.5 · 2^-149. Where 1/x overflows, ±0 included, the result saturates with the sign of x.
    """
    sign, exponent, fraction = _bits(x)
    e, f = _normalize(exponent, fraction)
    p = _interpolate(*_row_of_mantissa(Table.RECIP, f))
    field = 126 - e
    significand = p >> tables.ROUND_SHIFT + np.clip(1 - field, 0, 2)
    bits = (np.maximum(field - 1, 0) << 23) + significand
    saturated = (exponent == 0) & (fraction == 0) | (bits > _MAX_BITS)
    return _float((sign << 31) + np.where(saturated, _MAX_BITS, bits)), saturated


def rsqrt(x):
    """1/√x. Relative error below 2^-22; even powers of two are exact. x <= 0 gives the largest value, saturated."""
    sign, exponent, fraction = _bits(x)
    e, f = _normalize(exponent, fraction)
    p = _interpolate(*_row_of_mantissa(np.where(e & 1, Table.RSQRT_ODD, Table.RSQRT_EVEN), f))
    bits = (126 - (e >> 1) - 1 << 23) + (p >> tables.ROUND_SHIFT)
    saturated = (sign == 1) | (exponent == 0) & (fraction == 0)
    return _float(np.where(saturated, _MAX_BITS, bits)), saturated
