"""silu of the vector unit: its bit-exact definition in integer arithmetic.

`hayate.rtl.contract.silu` states the table and the interpolation.
"""

import numpy as np

from hayate.rtl.contract import silu as table

_C0, _C1, _C2, _D = np.array(table.ROWS, np.int64).T.copy()


def _by_exponent(field):
    """A section's field for each [sign, exponent field]; 0 where there is no section."""
    values = np.zeros((2, 256), np.int64)
    for section in table.SECTIONS:
        values[section.sign, table.BIAS + section.exponent] = getattr(section, field)
    return values


_FIRST, _ROW_BITS = _by_exponent("first"), _by_exponent("bits")


def silu(x):
    """(a / (1 + e^-a), False) of finite FP32: it never saturates.

    Relative error below 2^-18 from -8 on, absolute error below 2^-24 below that, largest where silu becomes zero at
    -20. The result has the sign of a; silu(±0) is ±0. Exact: a / 2 where |a| < 2^-18, of which the relative error is
    below 2^-19; a from 16 on. A result below 2^-126 in magnitude, of |a| < 2^-125, is ±0.
    """
    bits = np.asarray(x, np.float32).view(np.int32).astype(np.int64)
    sign, exponent, fraction = bits >> 31 & 1, bits >> 23 & 0xFF, bits & 0x7FFFFF
    small = exponent < table.BIAS + table.SMALLEST
    large = (sign == 0) & (exponent >= table.BIAS + table.LARGEST)
    zero = (exponent <= 1) | (sign == 1) & ((bits & 0x7FFFFFFF) >= int(np.float32(table.TAIL).view(np.int32)))

    looked_up = ~(small | large | zero)
    row_bits = np.where(looked_up, _ROW_BITS[sign, exponent], 0)
    row = np.where(looked_up, _FIRST[sign, exponent] + (fraction >> 23 - row_bits), 0)
    u = ((fraction << row_bits & 0x7FFFFF) >> 23 - table.U_BITS) - (1 << table.U_BITS - 1)
    t = _C1[row] + (_C2[row] * u >> table.T_SHIFT)
    p = np.where(looked_up, _C0[row] + (t * u >> table.P_SHIFT), (1 << 23 | fraction) << 1)
    d = np.where(looked_up, _D[row], small)

    carry = p >> table.P_FRACTION + 1
    y = (exponent - d + carry << 23) + ((p >> 1 + carry) & 0x7FFFFF)
    y = (sign << 31) + np.where(zero, 0, y)
    return y.astype(np.uint32).view(np.float32), np.zeros(y.shape, bool)
