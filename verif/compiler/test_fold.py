"""Rounding to FP16 with an exponent, row orders, rotary tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hayate.compiler.fold import interleave, permute_heads, rope_tables, to_fp16


def restored(rounded):
    return np.ldexp(rounded.half.astype(np.float64), rounded.exponent)


def test_fp16_values_stay_as_they_are():
    values = np.array([1.0, -0.5, 2.0**-24, 0.0, 65504.0 / 2, 3 * 2.0**-20])
    rounded = to_fp16(values)
    assert (rounded.exponent, rounded.flushed, rounded.subnormal) == (0, 0, 0)
    np.testing.assert_array_equal(rounded.half, values.astype(np.float16))


def test_ordinary_values_keep_exponent_zero():
    values = np.random.default_rng(0).uniform(0.01, 3.0, 1000)
    assert to_fp16(values).exponent == 0
    np.testing.assert_array_equal(to_fp16(values).half, values.astype(np.float16))


@pytest.mark.parametrize("scale", [1e-25, 1e-8, 1e-5, 1e6, 1e30])
def test_large_and_small_matrices_get_an_exponent(scale):
    values = np.random.default_rng(1).uniform(0.5, 1.5, 1000) * scale
    rounded = to_fp16(values)
    assert rounded.exponent != 0
    assert (rounded.flushed, rounded.subnormal) == (0, 0)
    assert 2.0**14 <= np.abs(rounded.half.astype(np.float64)).max() <= 2.0**15
    np.testing.assert_allclose(restored(rounded), values, rtol=2.0**-11)


def test_what_flushes_is_counted():
    rounded = to_fp16(np.array([2.0**40, 1.0, 4.0, 8.0, 0.0]))
    assert rounded.exponent == 26
    assert (rounded.flushed, rounded.subnormal) == (1, 0)  # 2**26 * 2**-24 = 4 is the smallest subnormal
    assert to_fp16(np.array([2.0**40, 7.0])).subnormal == 1


def test_extreme_exponents_are_bounded():
    rounded = to_fp16(np.array([1e-45, 2e-45]))
    assert rounded.exponent == -100
    assert rounded.flushed == 2
    assert np.isfinite(to_fp16(np.array([np.finfo(np.float32).max])).half).all()
    with pytest.raises(OverflowError, match="a magnitude of 3.4e.38 is beyond FP32"):
        to_fp16(np.array([2.0**128]))


@given(st.lists(st.floats(-(2.0**127), 2.0**127, width=32), min_size=1, max_size=20))
def test_never_overflows_and_reports_every_loss(values):
    values = np.array(values, np.float64)
    rounded = to_fp16(values)
    assert np.isfinite(rounded.half).all()
    back = restored(rounded)
    lost = np.abs(back - values) > 2.0**-11 * np.abs(values)
    assert lost.sum() <= rounded.flushed + rounded.subnormal
    assert ((back == 0) & (values != 0)).sum() == rounded.flushed


def test_pairs_become_neighbours():
    weight = np.arange(16)[:, None] * np.ones(3)
    assert permute_heads(weight, 8)[:, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15]


def test_units_of_gate_and_up():
    gate, up = np.arange(8)[:, None], 100 + np.arange(8)[:, None]
    assert interleave(gate, up)[:, 0].tolist() == [0, 1, 2, 3, 100, 101, 102, 103, 4, 5, 6, 7, 104, 105, 106, 107]


def test_rotary_tables_add_up_to_the_angle():
    hd, theta = 16, 10000.0
    coarse, fine = rope_tables(hd, 250, theta, 4)
    assert coarse.shape == (16, 32) and fine.shape == (16, 32) and coarse.dtype == np.float32
    rng = np.random.default_rng(2)
    for position in (0, 1, 15, 16, 249):
        row = int(f"{position & 15:04b}"[::-1], 2)
        (cc, sc), (cf, sf) = (t.astype(np.float64).reshape(2, hd) for t in (coarse[position >> 4], fine[row]))
        c, s = cc * cf - sc * sf, sc * cf + cc * sf
        x = rng.standard_normal(hd)
        rotated = x * c + x[np.arange(hd) ^ 1] * s
        angle = position * theta ** (-np.arange(0, hd, 2) / hd)
        np.testing.assert_allclose(rotated[0::2], x[0::2] * np.cos(angle) - x[1::2] * np.sin(angle), atol=1e-6)
        np.testing.assert_allclose(rotated[1::2], x[1::2] * np.cos(angle) + x[0::2] * np.sin(angle), atol=1e-6)
