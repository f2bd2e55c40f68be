"""Exact reductions over FP16, rounded once to FP32: what every accumulator of the machine computes.

A sum of FP16 x FP16 products is an integer multiple of 2**-48 that fits 96 bits (`rtl/contract/constants.py`). It is
computed here with float64 matrix products whose every partial sum, in any order, is an integer below 2**53 and
therefore exact:
operands
are cut into limbs (balanced digits) narrow enough that (largest row L1 norm) x (largest limb) stays below that bound.
The limb products are recombined in 128 bits and rounded once, nearest-even.
"""

from dataclasses import dataclass

import numpy as np

from hayate.golden.numerics.fp16 import to_int
from hayate.rtl.contract.constants import ACC_LSB, ACC_WIDTH, FP16_LSB, K_MAX

_EXACT = 53  # integers up to 2**53 are exact in float64
_SINGLE_LIMB = 40  # log2 of the largest row L1 norm kept in one limb: leaves activations limbs of 14 bits or more
_WEIGHT_LIMB = 20  # width of the low limb where a matrix needs two
_BASE = 48  # recombination works on pairs hi * 2**48 + lo
_MASK = (1 << _BASE) - 1


@dataclass(frozen=True)
class Sums:
    """Exact accumulators: integers hi * 2**48 + lo in units of 2**ACC_LSB, as two int64 arrays with 0 <= lo < 2**48."""

    hi: np.ndarray
    lo: np.ndarray

    @classmethod
    def of(cls, terms: list[tuple[int, np.ndarray]]) -> "Sums":
        """sum(term * 2**power), powers >= 0; terms are integer-valued float64 or int64 arrays."""
        high, low = (np.zeros(terms[0][1].shape, np.int64) for _ in range(2))
        for power, term in terms:
            term = term.astype(np.int64)
            if power >= _BASE:
                high = high + (term << (power - _BASE))
            else:
                high = high + (term >> (_BASE - power))
                low = low + ((term & ((1 << (_BASE - power)) - 1)) << power)
        return cls(high + (low >> _BASE), low & _MASK)

    def __add__(self, other: "Sums") -> "Sums":
        low = self.lo + other.lo
        return Sums(self.hi + other.hi + (low >> _BASE), low & _MASK)

    def __sub__(self, other: "Sums") -> "Sums":
        low = self.lo - other.lo
        return Sums(self.hi - other.hi + (low >> _BASE), low & _MASK)

    def __neg__(self) -> "Sums":
        return Sums(np.zeros_like(self.hi), np.zeros_like(self.lo)) - self

    def wrapped(self) -> "Sums":
        """The sums modulo 2**ACC_WIDTH, signed, as the accumulator holds them."""
        unused = 64 - (ACC_WIDTH - _BASE)
        return Sums(self.hi << unused >> unused, self.lo)

    def rounded(self) -> np.ndarray:
        """float32, nearest-even; a zero sum is +0."""
        return _round_pair(
            np.ldexp(self.hi.astype(np.float64), _BASE + ACC_LSB), np.ldexp(self.lo.astype(np.float64), ACC_LSB)
        )

    def on_grid(self, grid: int) -> np.ndarray:
        """The sums divided by 2**grid, rounded down, saturated to signed 16 bits, as int64; grid >= 0."""
        if grid >= _BASE:
            shifted = self.hi >> min(grid - _BASE, 63)
        else:  # a clipped sum saturates all the same, and the shift cannot overflow
            shifted = (np.clip(self.hi, -(1 << 15), (1 << 15) - 1) << (_BASE - grid)) + (self.lo >> grid)
        return np.clip(shifted, -(1 << 15), (1 << 15) - 1)


class IntegerMatrix:
    """A constant matrix of integers prepared for exact products with integer vectors.

    Parameters
    ----------
    values : float64 [N, K], integers below 2**53 in magnitude
    shift : their unit is 2**shift; the caller says of what
    """

    def __init__(self, values: np.ndarray, shift: int = 0):
        self.shape = values.shape
        # Zeros below every element's last bit cost nothing: `unit` scales them away.
        low_bits = int(np.bitwise_or.reduce(values.astype(np.int64), axis=None)) if values.size else 0
        unit = (low_bits & -low_bits).bit_length() - 1 if low_bits else 0
        values = np.ldexp(values, -unit)
        unit += shift
        limbs = [(unit, values)]
        if _largest_row(values) > 2.0**_SINGLE_LIMB:
            high, low = _cut(values, _WEIGHT_LIMB)
            limbs = [(unit, low), (unit + _WEIGHT_LIMB, high)]
        # Per limb: the power of two of its unit, the limb, and how many bits an activation limb may have with it.
        self._limbs = [(power, limb, _EXACT - _log2_ceil(_largest_row(limb))) for power, limb in limbs]
        self._x_bits = min(bits for _, _, bits in self._limbs)

    def terms(self, x: np.ndarray, rows: slice = slice(None)) -> list[tuple[int, np.ndarray]]:
        """Exact x @ w[rows].T as terms (power, float64 integers [P, rows]), sum(term * 2**power), of integers x float64
        [P, K].
        """
        cut = _cut_to(x, self._x_bits)
        stacked = cut[0][1] if len(cut) == 1 else np.concatenate([limb for _, limb in cut])
        terms = []
        for w_power, w_limb, _ in self._limbs:
            product = _matmul(stacked, w_limb[rows])
            for i, (x_power, _) in enumerate(cut):
                terms.append((w_power + x_power, product[i * len(x) : (i + 1) * len(x)]))
        return terms


class ExactMatrix:
    """A constant matrix prepared for exact products.

    Parameters
    ----------
    w : float16 [N, K], finite, 1 <= K <= K_MAX

    Raises
    ------
    ValueError
        Where `w` is not a finite float16 matrix or K exceeds K_MAX.
    """

    def __init__(self, w: np.ndarray):
        w = np.asarray(w)
        if w.ndim != 2 or w.dtype != np.float16:
            raise ValueError(f"expected a float16 matrix, got {w.dtype} with shape {w.shape}")
        check_length(w.shape[1])
        self.shape = w.shape
        self._matrix = IntegerMatrix(to_int(w).astype(np.float64))

    def dot(self, x: np.ndarray) -> np.ndarray:
        """Exact x @ w.T, rounded once: float16 [P, K] -> float32 [P, N]. A zero sum is +0."""
        return self.dot_rows(x, slice(None))

    def dot_rows(self, x: np.ndarray, rows: slice) -> np.ndarray:
        """`dot` over the matrix rows of a slice only: float16 [P, K] -> float32 [P, len(rows)]."""
        return round_terms(self._terms(x, rows))

    def sums(self, x: np.ndarray) -> Sums:
        """Exact x @ w.T, not rounded: float16 [P, K] -> `Sums` [P, N]."""
        return Sums.of(self._terms(x, slice(None)))

    def _terms(self, x, rows):
        x = np.asarray(x)
        if x.ndim != 2 or x.dtype != np.float16 or x.shape[1] != self.shape[1]:
            raise ValueError(f"expected float16 [P, {self.shape[1]}], got {x.dtype} with shape {x.shape}")
        return self._matrix.terms(np.ldexp(x.astype(np.float64), -FP16_LSB), rows)


def check_length(k: int) -> None:
    """ValueError unless a reduction of `k` elements is exact."""
    if not 1 <= k <= K_MAX:
        raise ValueError(f"a reduction of {k} elements: at least 1 and at most {K_MAX} are exact")


def exact_dot(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """`ExactMatrix(w).dot(x)` for a matrix used once: float16 [N, K], [P, K] -> float32 [P, N]."""
    return ExactMatrix(w).dot(x)


def exact_sum(values: np.ndarray) -> np.ndarray:
    """Exact sum over the last axis, rounded once: float16 [P, K] -> float32 [P]."""
    total = to_int(_checked(values)).sum(axis=-1)
    return round_terms([(-FP16_LSB, total)])


def exact_sumsq(values: np.ndarray) -> np.ndarray:
    """Exact sum of squares over the last axis, rounded once: float16 [P, K] -> float32 [P]."""
    magnitude = np.abs(to_int(_checked(values)))
    high, low = magnitude >> 20, magnitude & 0xFFFFF  # at most 2**20 each: K_MAX products fit int64
    return round_terms(
        [(0, (low * low).sum(axis=-1)), (20, 2 * (high * low).sum(axis=-1)), (40, (high * high).sum(axis=-1))]
    )


def _checked(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 2:
        raise ValueError(f"expected float16 [P, K], got shape {values.shape}")
    if values.shape[-1] > K_MAX:
        raise ValueError(f"a reduction of {values.shape[-1]} elements: at most {K_MAX} are exact")
    return values


def _matmul(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x @ w.T; a few vectors go one by one, because BLAS packs the whole matrix for a thin product."""
    if len(x) <= 3:
        return np.stack([w @ row for row in x])
    return x @ w.T


def _largest_row(values: np.ndarray) -> float:
    """Largest L1 norm of a row; summation error is relative and covered by rounding the logarithm up."""
    return float(np.abs(values).sum(axis=1).max(initial=0.0))


def _log2_ceil(value: float) -> int:
    """Smallest n with 1.0001 * value <= 2**n, for value >= 0."""
    return max(0, int(np.ceil(np.log2(1.0001 * max(value, 1.0)))))


def _cut(values: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """values == high * 2**bits + low with |low| <= 2**(bits - 1), all integers in float64."""
    high = np.rint(np.ldexp(values, -bits))
    return high, values - np.ldexp(high, bits)


def _cut_to(values: np.ndarray, bits: int) -> list[tuple[int, np.ndarray]]:
    """Limbs (shift, limb) of magnitude at most 2**bits, low first; zero limbs are dropped, one always remains."""
    top = float(np.abs(values).max(initial=0.0))
    if not np.isfinite(top):
        raise ValueError("an FP16 operand is infinite or NaN, which is outside the domain")
    limbs, shift = [], 0
    while top > 2.0**bits:
        values, low = _cut(values, bits + 1)
        limbs.append((shift, low))
        shift += bits + 1
        top = top * 2.0 ** -(bits + 1) + 0.5
    return [*limbs, (shift, values)]


def round_terms(terms: list[tuple[int, np.ndarray]]) -> np.ndarray:
    """float32 nearest-even of sum(term * 2**shift) * 2**ACC_LSB; terms are integer-valued float64 or int64 arrays."""
    if len(terms) <= 2 and all(term.dtype == np.float64 for _, term in terms):
        high = np.ldexp(terms[-1][1], terms[-1][0] + ACC_LSB)
        low = np.ldexp(terms[0][1], terms[0][0] + ACC_LSB) if len(terms) == 2 else np.zeros_like(high)
        return _round_pair(high, low)
    return Sums.of(terms).rounded()


def round_integer(n: int, power: int = ACC_LSB) -> np.float32:
    """float32 nearest-even of n * 2**power, |n| below 2**101; zero is +0."""
    high, low = n >> 48, n & (1 << 48) - 1
    pair = (np.ldexp(np.array([part], np.float64), shift) for part, shift in ((high, 48 + power), (low, power)))
    return _round_pair(*pair)[0]


def _round_pair(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float32 nearest-even of the exact a + b.

    The float64 sum is rounded to odd (an inexact sum ends in a one bit), which makes the second rounding innocuous:
    Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008.
    """
    total = a + b + 0.0  # + 0.0: never -0
    part = total - a
    error = (a - (total - part)) + (b - part)  # Knuth's two-sum: exact
    bits = total.view(np.int64)
    step = np.where((error > 0) == (total > 0), 1, -1)
    bits += np.where((error != 0) & (bits & 1 == 0), step, 0)
    return total.astype(np.float32)
