"""Golden nested INT8/INT4 products against integers of any size, and exact sums on the governor's grids."""

from fractions import Fraction

import numpy as np
import pytest

from hayate.golden.numerics.exact import ExactMatrix, Sums
from hayate.golden.numerics.fp16 import from_bits, to_int
from hayate.golden.numerics.mxint8 import quantize
from hayate.golden.numerics.nested import NestedMatrix
from hayate.rtl.contract.constants import ACC_WIDTH, K_MAX
from hayate.rtl.contract.precision import W8_MAX, Format
from hayate.verif.numerics.test_exact import assert_same, random_bits, round_once

LARGEST_SCALE = np.float16(550)  # times 119 it is 65,450
INTEGER = (Format.INT8, Format.INT4)


def planes(rng, n, k, group):
    """w8 over its whole range, and scales of every allowed exponent, both signs, subnormals and zero among them."""
    w8 = rng.integers(-W8_MAX, W8_MAX + 1, (n, k)).astype(np.int8)
    scale = random_bits(rng, (n, -(-k // group)))
    return w8, np.where(np.abs(scale) > LARGEST_SCALE, from_bits(rng.integers(0, 1024, scale.shape)), scale)


def integer_sums(w8, scale, group, x):
    """(INT8, INT4, lo part): Python integers [P, N] in units of 2**-48, one product at a time."""
    q, e = (v.astype(object) for v in quantize(x))
    k = w8.shape[1]
    shared, units = (2 ** (e + 10)).repeat(32, axis=1)[:, :k], to_int(scale).astype(object).repeat(group, axis=1)[:, :k]
    hi = (w8.astype(object) + 8) // 16
    assert all(-8 <= v <= 7 for v in (w8 - 16 * hi).flat) and all(-8 <= v <= 7 for v in hi.flat)
    return [(q * shared) @ (w * units).T * 2**8 for w in (w8.astype(object), 16 * hi, w8 - 16 * hi)]


def check(w8, scale, group, x):
    wanted = integer_sums(w8, scale, group, x)
    assert all(abs(v) < 1 << (ACC_WIDTH - 1) for part in wanted for v in part.flat)
    matrix = NestedMatrix(w8, scale, group)
    for fmt, sums in zip(INTEGER, wanted, strict=False):
        assert_same(matrix.dot(x, fmt), np.array([[round_once(Fraction(v, 1 << 48)) for v in row] for row in sums]))
    whole, low = matrix.sums(x)
    same_integers(whole, wanted[0])
    same_integers(whole - low, wanted[1])
    same_integers(low, wanted[2])
    assert_same(whole.rounded(), matrix.dot(x, Format.INT8))


def same_integers(sums, wanted):
    assert ((0 <= sums.lo) & (sums.lo < 1 << 48)).all()
    assert (sums.hi.astype(object) * (1 << 48) + sums.lo == wanted).all()


@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize("k", [1, 4, 20, 32, 36, 100, 128, 300])
def test_every_exponent(k, group):
    rng = np.random.default_rng(k * group)
    w8, scale = planes(rng, 5, k, group)
    check(w8, scale, group, random_bits(rng, (3, k)))


@pytest.mark.parametrize("size", [2.0**-24, 2.0**-11, 1.0, 2.0**10, 2.0**15.9])
def test_like_a_model(size):
    """Activations around one exponent each: shared exponents from -10 to 15."""
    rng = np.random.default_rng(int(size) + 1)
    w8, scale = planes(rng, 6, 96, 32)
    scale = (0.002 * rng.standard_normal(scale.shape)).astype(np.float16)
    check(w8, scale, 32, np.clip(rng.uniform(-1, 1, (4, 96)) * size, -65504, 65504).astype(np.float16))


def test_cancellation():
    """Large products that cancel in pairs leave one that is a few units of the last bit."""
    rng = np.random.default_rng(3)
    x, (w8, scale) = random_bits(rng, (4, 320)), planes(rng, 6, 320, 32)
    x[:, 128:256], w8[:, 128:256], scale[:, 4:8] = x[:, :128], w8[:, :128], -scale[:, :4]
    x[:, 256:], w8[:, 256:], scale[:, 8:] = 0, 0, from_bits(rng.integers(1, 4, (6, 2)))
    x[:, 288], w8[:, 288] = from_bits(rng.integers(1, 1024, 4)), rng.integers(-W8_MAX, W8_MAX, 6)
    check(w8, scale, 32, x)


def test_ties_go_to_even_and_a_last_bit_breaks_them():
    """2**18 + 32nds of its last place in FP32, alone and with the smallest possible product added or taken away."""
    w8 = np.zeros((3, 96), np.int8)
    w8[:, 0], w8[:, 32], w8[:, 64] = 64, 1, (0, 1, -1)
    scale = np.concatenate([np.full((3, 2), 0.125), np.full((3, 1), 2.0**-24)], axis=1).astype(np.float16)
    for part in range(64):
        x = np.zeros((1, 96), np.float16)
        x[0, 0], x[0, 32], x[0, 64] = 2**15, part * 2.0**-7, 2.0**-16
        check(w8, scale, 32, x)


def test_the_longest_reduction():
    rng = np.random.default_rng(4)
    w8, scale = planes(rng, 3, K_MAX, 128)
    x = random_bits(rng, (2, K_MAX))
    w8[0], scale[0], x[0] = W8_MAX, LARGEST_SCALE, 65504  # the largest sum there is
    check(w8, scale, 128, x)
    with pytest.raises(ValueError, match="at most 32768 are exact"):
        NestedMatrix(np.zeros((1, K_MAX + 1), np.int8), np.zeros((1, 257), np.float16), 128)


def test_zero_is_positive():
    w8, scale = np.array([[1, -1], [0, 0]], np.int8), np.array([[-1], [1]], np.float16)
    for fmt in INTEGER:
        got = NestedMatrix(w8, scale, 32).dot(np.array([[3, 3], [-0.0, 0]], np.float16), fmt)
        assert_same(got, np.zeros((2, 2), np.float32))


def test_sums_of_fp16_and_their_differences():
    rng = np.random.default_rng(5)
    w, x = random_bits(rng, (4, 257)), random_bits(rng, (3, 257))
    w8, scale = planes(rng, 4, 257, 64)
    wanted, nested = to_int(x).astype(object) @ to_int(w).astype(object).T, integer_sums(w8, scale, 64, x)
    sums, (whole, low) = ExactMatrix(w).sums(x), NestedMatrix(w8, scale, 64).sums(x)
    same_integers(sums, wanted)
    same_integers(sums - whole, wanted - nested[0])
    same_integers(-low, -nested[2])
    assert_same(sums.rounded(), ExactMatrix(w).dot(x))


def test_grids():
    """floor(sum / 2**grid), saturated: every grid, sums of every length and both signs, and those next to each
    limit.
    """
    rng = np.random.default_rng(6)
    for grid in (*range(100), 127):
        values = [int.from_bytes(rng.bytes(12), "little", signed=True) >> int(rng.integers(0, 96)) for _ in range(100)]
        near = [
            (limit << grid) + d
            for limit in (-1 << 15, (1 << 15) - 1, 0)
            for d in (-1, 0, 1, (1 << grid) - 1, 1 << grid)
        ]
        values += [v for v in near if abs(v) < 1 << 95]
        hi, lo = (np.array(part, np.int64) for part in zip(*(divmod(v, 1 << 48) for v in values)))
        wanted = [max(-1 << 15, min((1 << 15) - 1, v >> grid)) for v in values]
        assert Sums(hi, lo).on_grid(grid).tolist() == wanted


def test_arguments_are_checked():
    w8, scale, x = np.zeros((2, 40), np.int8), np.ones((2, 2), np.float16), np.ones((1, 40), np.float16)
    matrix = NestedMatrix(w8, scale, 32)
    with pytest.raises(ValueError, match="INT8 and INT4"):
        matrix.dot(x, Format.FP16)
    with pytest.raises(ValueError, match=r"expected float16 \[P, 40\]"):
        matrix.dot(x[:, :39], Format.INT8)
    for bad, message in [
        ((w8, scale, 48), "32, 64, 128 elements, not 48"),
        ((w8.astype(np.int16), scale, 32), "expected an int8 matrix"),
        ((w8, scale, 64), r"expected float16 scales \[2, 1\]"),
        ((w8 - 120, scale, 32), "exceeds 119"),
        ((w8, scale * np.float16(551), 32), "exceeds 65504"),
        ((w8, scale * np.float16(np.inf), 32), "infinite or NaN"),
    ]:
        with pytest.raises(ValueError, match=message):
            NestedMatrix(*bad)
