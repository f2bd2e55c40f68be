"""Exact products of nested INT8/INT4 matrices with MXINT8 activations, rounded once to FP32."""

from functools import cached_property

import numpy as np

from hayate.golden.numerics.exact import IntegerMatrix, Sums, check_length, round_terms
from hayate.golden.numerics.fp16 import to_int
from hayate.golden.numerics.mxint8 import quantize
from hayate.rtl.contract.constants import ACC_LSB, FP16_LSB, FP16_MAX
from hayate.rtl.contract.precision import GROUPS, MX_BLOCK, MX_FRACTION, MX_MIN_EXPONENT, W8_MAX, Format

#: Power of two over 2**ACC_LSB of (unit of a scale) x (smallest unit of an MXINT8 element).
_SHIFT = FP16_LSB + MX_MIN_EXPONENT - MX_FRACTION - ACC_LSB


class NestedMatrix:
    """A constant matrix w8 * scale with w8 = 16 * hi + lo in signed nibbles: INT8 reads both, INT4 reads 16 * hi.

    A row's result is the exact sum over K of weight times MXINT8 activation, on the accumulator's grid of 2**ACC_LSB.
    Scales and shared exponents are multiplied into the integers before the sum here, where the hardware does it
    afterwards; both are exact.

    Parameters
    ----------
    w8 : int8 [N, K], at most W8_MAX in magnitude, 1 <= K <= K_MAX
    scale : float16 [N, ceil(K / group)], finite, at most FP16_MAX / W8_MAX in magnitude; negative and subnormal ones
        are fine
    group : elements of a row that share a scale, one of `precision.GROUPS`; the last group of a row may be short

    Raises
    ------
    ValueError
        Where an argument is outside its domain.
    """

    def __init__(self, w8: np.ndarray, scale: np.ndarray, group: int):
        w8, scale = np.asarray(w8), np.asarray(scale)
        if group not in GROUPS:
            raise ValueError(f"a group has {', '.join(map(str, GROUPS))} elements, not {group}")
        if w8.ndim != 2 or w8.dtype != np.int8:
            raise ValueError(f"expected an int8 matrix, got {w8.dtype} with shape {w8.shape}")
        rows, k = w8.shape
        check_length(k)
        if scale.dtype != np.float16 or scale.shape != (rows, -(-k // group)):
            raise ValueError(
                f"expected float16 scales [{rows}, {-(-k // group)}], got {scale.dtype} with shape {scale.shape}"
            )
        if np.abs(w8.astype(np.int16)).max(initial=0) > W8_MAX:
            raise ValueError(f"a weight exceeds {W8_MAX} in magnitude")
        units = to_int(scale)  # refuses infinity and NaN
        if np.abs(scale.astype(np.float64)).max(initial=0.0) * W8_MAX > FP16_MAX:
            raise ValueError(f"a scale times {W8_MAX} exceeds {FP16_MAX}")
        self.shape = w8.shape
        self._hi = (w8.astype(np.int64) + 8) >> 4
        self._lo = w8 - 16 * self._hi
        self._units = np.repeat(units, group, axis=1)[:, :k]

    def dot(self, x: np.ndarray, fmt: Format) -> np.ndarray:
        """x as MXINT8 times the matrix in `fmt` (INT8 or INT4), rounded once: float16 [P, K] -> float32 [P, N]. A zero
        sum is +0.
        """
        return round_terms(self._part(fmt).terms(self._integers(x)))

    def sums(self, x: np.ndarray) -> tuple[Sums, Sums]:
        """(INT8 sum, lo planes' part of it), exact: float16 [P, K] -> `Sums` [P, N] each. Their difference is the INT4
        sum.
        """
        x = self._integers(x)
        high, low = Sums.of(self._int4.terms(x)), Sums.of(self._low.terms(x))
        return high + low, low

    def _part(self, fmt):
        if fmt not in (Format.INT8, Format.INT4):
            raise ValueError(f"nested planes have INT8 and INT4, not {fmt!r}")
        return self._int8 if fmt == Format.INT8 else self._int4

    # Built when first read: one run rarely needs all of them.
    _int8 = cached_property(lambda self: self._prepared(16 * self._hi + self._lo))
    _int4 = cached_property(lambda self: self._prepared(16 * self._hi))
    _low = cached_property(lambda self: self._prepared(self._lo))

    def _prepared(self, weights):
        return IntegerMatrix((weights * self._units).astype(np.float64), _SHIFT)

    def _integers(self, x):
        """float64 [P, K]: MXINT8 of `x` in units of the smallest shared exponent's last bit, below 2**32."""
        x = np.asarray(x)
        if x.ndim != 2 or x.dtype != np.float16 or x.shape[1] != self.shape[1]:
            raise ValueError(f"expected float16 [P, {self.shape[1]}], got {x.dtype} with shape {x.shape}")
        q, e = quantize(x)
        return np.ldexp(q.astype(np.float64), np.repeat(e - MX_MIN_EXPONENT, MX_BLOCK, axis=1)[:, : self.shape[1]])
