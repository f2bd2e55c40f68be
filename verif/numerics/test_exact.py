"""Golden exact reductions against rational arithmetic, and against the TestFloat vectors where they are present."""

from fractions import Fraction

import numpy as np
import pytest

from hayate.golden.numerics.exact import ExactMatrix, exact_dot, exact_sum, exact_sumsq
from hayate.golden.numerics.fp16 import from_bits, to_bits, to_int
from hayate.rtl.contract.constants import ACC_WIDTH, K_MAX
from hayate.verif.numerics.testfloat import vectors


def round_once(value: Fraction) -> np.float32:
    """Nearest-even FP32 of a rational in the normal range, by integer arithmetic alone."""
    if value == 0:
        return np.float32(0.0)
    magnitude, exponent = abs(value), -23
    while magnitude >= Fraction(2) ** (exponent + 24):
        exponent += 1
    while magnitude < Fraction(2) ** (exponent + 23):
        exponent -= 1
    significand = round(magnitude / Fraction(2) ** exponent)  # Fraction rounds half to even
    return np.float32(np.ldexp(float(significand) * (1 if value > 0 else -1), exponent))


def rational_dot(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The slow reference: every product and sum as integers of 2**-48, one rounding."""
    rows, columns = to_int(w).astype(object), to_int(x).astype(object)
    sums = columns @ rows.T
    assert all(abs(int(s)) < 1 << (ACC_WIDTH - 1) for s in sums.flat)
    return np.array([[round_once(Fraction(int(s), 1 << 48)) for s in row] for row in sums], dtype=np.float32)


def random_bits(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Finite FP16 of every exponent with equal chance."""
    bits = rng.integers(0, 1 << 16, shape, dtype=np.uint16)
    return from_bits(np.where((bits >> 10) & 31 == 31, bits & 0xBBFF, bits))


def cancelling(rng: np.random.Generator, p: int, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Huge products that cancel in pairs and leave subnormal ones."""
    x, w = random_bits(rng, (p, k)), random_bits(rng, (n, k))
    half = k // 2
    x[:, half : 2 * half], w[:, half : 2 * half] = x[:, :half], -w[:, :half]
    w[:, -1:] = from_bits(rng.integers(0, 4, (n, 1), dtype=np.uint16))
    return x, w


def assert_same(got: np.ndarray, expected: np.ndarray) -> None:
    assert got.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(got.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("k", [1, 2, 3, 7, 96, 1000, 4096])
@pytest.mark.parametrize("p", [1, 5])
def test_every_exponent(k: int, p: int):
    rng = np.random.default_rng(k)
    w, x = random_bits(rng, (4, k)), random_bits(rng, (p, k))
    assert_same(ExactMatrix(w).dot(x), rational_dot(w, x))


@pytest.mark.parametrize("k", [2, 9, 257, 3000])
def test_cancellation(k: int):
    x, w = cancelling(np.random.default_rng(k), 4, 5, k)
    assert_same(exact_dot(w, x), rational_dot(w, x))


@pytest.mark.parametrize("scale", [2.0**-24, 2.0**-14, 0.02, 1.0, 1000.0])
def test_like_a_model(scale: float):
    rng = np.random.default_rng(1)
    w = (rng.standard_normal((40, 288)) * 0.05).astype(np.float16)
    x = np.clip(rng.standard_normal((6, 288)) * scale, -65504, 65504).astype(np.float16)
    assert_same(ExactMatrix(w).dot(x), rational_dot(w, x))


def test_the_longest_reduction():
    rng = np.random.default_rng(2)
    w, x = random_bits(rng, (3, K_MAX)), random_bits(rng, (2, K_MAX))
    w[0], x[0] = 65504, 65504  # the largest sum there is
    w[1, ::2], w[1, 1::2] = 65504, -65504
    assert_same(ExactMatrix(w).dot(x), rational_dot(w, x))
    with pytest.raises(ValueError, match="at most 32768 are exact"):
        ExactMatrix(np.zeros((1, K_MAX + 1), np.float16))


def test_ties_go_to_even_and_a_last_bit_breaks_them():
    one, tiny = np.float16(1), from_bits(np.array([1]))[0]
    # 2**24 + odd halves: every tie between neighbouring FP32 values, then the same with +-2**-48 added.
    for extra in (0, 1, -1):
        for odd in range(1, 16, 2):
            x = np.array([[4096, odd, tiny]], np.float16)
            w = np.array([[4096, one, extra * tiny], [-4096, -one, extra * tiny]], np.float16)
            assert_same(exact_dot(w, x), rational_dot(w, x))


def test_zero_is_positive():
    w = np.array([[1, -1], [-0.0, -0.0]], np.float16)
    assert_same(exact_dot(w, np.array([[3, 3], [-0.0, 1]], np.float16))[0], np.zeros(2, np.float32))
    assert not np.signbit(exact_dot(-w, np.zeros((2, 2), np.float16))).any()


def test_rows_are_slices_of_the_whole():
    rng = np.random.default_rng(3)
    matrix, x = ExactMatrix(random_bits(rng, (20, 64))), random_bits(rng, (3, 64))
    assert_same(matrix.dot_rows(x, slice(5, 11)), matrix.dot(x)[:, 5:11])


@pytest.mark.parametrize("k", [1, 33, 4096, K_MAX])
def test_sums_and_sums_of_squares(k: int):
    values = random_bits(np.random.default_rng(k), (3, k))
    values[1] = 65504
    integers = to_int(values).astype(object)
    sums = [round_once(Fraction(int(row.sum()), 1 << 24)) for row in integers]
    squares = [round_once(Fraction(int((row * row).sum()), 1 << 48)) for row in integers]
    assert_same(exact_sum(values), np.array(sums))
    assert_same(exact_sumsq(values), np.array(squares))


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_infinity_and_nan_are_refused(bad: float):
    good = np.ones((2, 4), np.float16)
    poisoned = good.copy()
    poisoned[1, 2] = bad
    with pytest.raises(ValueError, match="outside the domain"):
        ExactMatrix(poisoned)
    with pytest.raises(ValueError, match="outside the domain"):
        ExactMatrix(good).dot(poisoned)
    with pytest.raises(ValueError, match="outside the domain"):
        exact_sum(poisoned)


def test_shapes_and_types_are_checked():
    with pytest.raises(ValueError, match="float16 matrix"):
        ExactMatrix(np.ones((2, 2), np.float32))
    with pytest.raises(ValueError, match=r"expected float16 \[P, 4\]"):
        ExactMatrix(np.ones((2, 4), np.float16)).dot(np.ones((1, 3), np.float16))


def test_products_round_like_testfloat():
    """One exact product, rounded to FP16 by way of FP32, equals f16_mul wherever FP32 held it exactly."""
    a, b, result = vectors("f16_mul", seed=5)
    exact = from_bits(a).astype(np.float64) * from_bits(b).astype(np.float64)
    np.testing.assert_array_equal(exact.astype(np.float16).view(np.uint16), result)
    w, x = from_bits(a).reshape(-1, 1), from_bits(b).reshape(-1, 1)
    got = np.concatenate([exact_dot(w[i : i + 1], x[i : i + 1])[0] for i in range(0, len(w), 7)])
    expected = exact[::7].astype(np.float32) + np.float32(0)  # 22-bit products are exact in FP32; a zero sum is +0
    assert_same(got, expected)


def test_bit_patterns_round_trip():
    every = np.arange(1 << 16, dtype=np.uint16)
    np.testing.assert_array_equal(to_bits(from_bits(every)), every)
