"""Nested quantization: its bounds, its errors against plain rounding, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hayate.compiler.checkpoint import Checkpoint
from hayate.compiler.fold import to_fp16
from hayate.compiler.quantize import INT8_SLACK, plain, quantize
from hayate.rtl.contract.precision import GROUPS, SCALE_MAX, W8_MAX

SHIPPED = Path(__file__).resolve().parents[2] / "models"
MATRICES = {
    "self_attn.q_proj": (96, 96),
    "self_attn.v_proj": (32, 96),
    "mlp.up_proj": (288, 96),
    "mlp.down_proj": (96, 288),
}


def squares(a, group, weights=1.0):
    """Sum of squares of each group of each row."""
    a = a**2 * weights
    return np.pad(a, ((0, 0), (0, -a.shape[1] % group))).reshape(len(a), -1, group).sum(axis=2)


@pytest.fixture(scope="module")
def matrices():
    checkpoint = Checkpoint(SHIPPED / "py-nano")
    values = [
        checkpoint.matrix(f"model.layers.{layer}.{n}", *shape) for layer in range(2) for n, shape in MATRICES.items()
    ]
    return [np.ldexp(v, -to_fp16(v, full=True).exponent) for v in values]


@pytest.mark.parametrize("group, better", [(32, 0.96), (64, 0.99), (128, 1.0)])
def test_the_search_pays_on_real_matrices(matrices, group, better):
    """INT4 errors shrink (5 % at 32, less where a scale serves more weights), and no group loses more in INT8 than
    allowed.
    """
    for values in matrices:
        searched, rounded = quantize(values, group), plain(values, group)
        assert squares(searched.int4() - values, group).sum() < better * squares(rounded.int4() - values, group).sum()
        int8, reference = squares(searched.int8() - values, group), squares(rounded.int8() - values, group)
        assert (int8 <= INT8_SLACK * reference * (1 + 1e-9)).all() and int8.sum() < 1.2 * reference.sum()
        assert (searched.scale < 0).any() and (searched.scale > 0).any()


def test_column_weights_move_the_error_where_it_counts_less(matrices):
    weights = np.random.default_rng(4).lognormal(0, 2, matrices[0].shape[1])
    uniform, weighted = quantize(matrices[0], 32), quantize(matrices[0], 32, weights)
    error = [squares(q.int4() - matrices[0], 32, weights).sum() for q in (uniform, weighted)]
    assert error[1] < 0.98 * error[0]
    same = quantize(matrices[0], 32, np.full(matrices[0].shape[1], 3.0))
    np.testing.assert_array_equal(same.w8, uniform.w8)


@given(
    st.sampled_from(GROUPS),
    st.integers(1, 300),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 1e-9, 1e-6, 1.0, 65504.0]),
)
def test_bounds(group, k, seed, top):
    rng = np.random.default_rng(seed)
    values = rng.uniform(-1, 1, (3, k)) * top
    values[0] = 0
    values[1, rng.integers(k)] = top
    for nested in (quantize(values, group), plain(values, group), quantize(values, group, rng.uniform(0, 1, k))):
        assert nested.w8.dtype == np.int8 and nested.w8.shape == (3, k) and nested.group == group
        assert nested.scale.dtype == np.float16 and nested.scale.shape == (3, -(-k // group))
        assert np.abs(nested.w8.astype(int)).max() <= W8_MAX and np.abs(nested.hi.astype(int)).max() <= 7
        scale = nested.scale.astype(np.float64)
        assert np.isfinite(scale).all() and (scale != 0).all() and np.abs(scale).max() <= SCALE_MAX
        assert not nested.w8[0].any() and (nested.scale[0] > 0).all()
        low = nested.w8.astype(int) - 16 * nested.hi.astype(int)
        assert low.min() >= -8 and low.max() <= 7
        np.testing.assert_allclose(
            nested.int8() - nested.int4(), low * np.repeat(scale, group, axis=1)[:, :k], rtol=0, atol=1e-9
        )
    nested = plain(values, group)
    half_step = 0.5 * np.repeat(nested.scale.astype(np.float64), group, axis=1)[:, :k]
    assert (np.abs(nested.int8() - values) <= half_step * (1 + 1e-9)).all()


def test_an_exact_matrix_stays_exact():
    rng = np.random.default_rng(5)
    w8 = rng.integers(-W8_MAX, W8_MAX + 1, (4, 64))
    w8[:, ::32] = W8_MAX
    nested = plain(w8 * 0.25, 32)
    np.testing.assert_array_equal(nested.w8, w8)
    assert (nested.scale == 0.25).all()


def test_equal_inputs_give_equal_results(matrices):
    a, b = quantize(matrices[1], 64), quantize(matrices[1].copy(), 64)
    assert a.w8.tobytes() == b.w8.tobytes() and a.scale.tobytes() == b.scale.tobytes()
    rows = [quantize(matrices[1][i : i + 1], 64).w8 for i in range(len(matrices[1]))]
    np.testing.assert_array_equal(a.w8, np.concatenate(rows))


@pytest.mark.parametrize("group", [0, 16, 48, 256])
def test_other_groups_are_refused(group):
    with pytest.raises(ValueError, match=f"a group has 32, 64, 128 elements, not {group}"):
        quantize(np.zeros((1, 64)), group)


def test_values_and_weights_outside_the_domain_are_refused():
    for bad in (65505.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="is beyond FP16, scale the matrix first"):
            quantize(np.full((1, 32), bad), 32)
    for bad in (np.ones(31), -np.ones(32), np.full(32, np.nan)):
        with pytest.raises(ValueError, match="weights must be 32 finite numbers, none negative"):
            quantize(np.zeros((1, 32)), 32, bad)
