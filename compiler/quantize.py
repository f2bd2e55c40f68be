"""Nested INT8/INT4 quantization: one scale a group, chosen so that the upper nibbles alone are a good INT4 matrix.

Rounding a weight to the nearest of 239 steps leaves it to chance how well its upper nibble stands for it. Here the
scale of each group is searched: among the scales whose INT8 error is close to the best one, that with the smallest INT4
error. Errors may be weighted per column by the second moment of the activation, the diagonal of the Hessian of the
output error (GPTQ, arXiv:2210.17323, minimises the whole quadratic form; AWQ, arXiv:2306.00978, searches scales for an
activation-weighted error as this does).
"""

from dataclasses import dataclass

import numpy as np

from hayate.rtl.contract.layout import ceil_div
from hayate.rtl.contract.precision import SCALE_MAX, W8_MAX, group_code

INT8_SLACK = 1.5  # how much worse than the best one a scale may do in INT8 (sum of squares)
# of max|w| / W8_MAX; smaller ones clip
FACTORS = np.concatenate([np.linspace(0.92, 1.0, 5), np.linspace(1.01, 1.30, 30)])
LARGEST_SCALE = float(np.floor(2 * SCALE_MAX) / 2)  # FP16 values are half apart there
SMALLEST_SCALE = 2.0**-24
_CHUNK = 1 << 12  # groups at a time: temporaries stay in the cache


@dataclass(frozen=True)
class Nested:
    """A matrix as `w8` (int8 [rows, K], at most W8_MAX in magnitude) times `scale` (FP16 [rows, ceil(K / group)])."""

    w8: np.ndarray
    scale: np.ndarray
    group: int

    @property
    def hi(self):
        """Upper nibbles, int8 in -7..7."""
        return upper(self.w8)

    def int8(self):
        """The INT8 matrix, float64."""
        return self.w8 * self._scales()

    def int4(self):
        """The INT4 matrix: the upper nibbles alone, float64."""
        return 16.0 * self.hi * self._scales()

    def _scales(self):
        return np.repeat(self.scale.astype(np.float64), self.group, axis=1)[:, : self.w8.shape[1]]


def upper(w8):
    """Upper nibbles of INT8 values: w8 = 16 * hi + lo with lo in -8..7."""
    return ((np.asarray(w8, np.int16) + 8) >> 4).astype(np.int8)


def plain(values, group):
    """`Nested` with the scale max|w| / W8_MAX, rounded to nearest. Arguments and errors as for `quantize`."""
    groups = _groups(values, group)
    scale = _half_scale(np.abs(groups).max(axis=2) / W8_MAX)
    return _finish(groups, scale, values.shape[1], group)


def quantize(values, group, weights=None):
    """`Nested` of a matrix, with searched scales.

    Parameters
    ----------
    values: float64 [rows, K], magnitudes of at most FP16's largest value.
    group: elements of a row that share a scale.
    weights: [K], what a squared error in each column counts, such as the mean square of its activation; None: the same
        everywhere.

    A group's scale is that of the smallest INT4 error among the candidates (either sign: it decides where ties of the
    upper nibble go) whose INT8 error is at most INT8_SLACK times the best one. It is rounded to FP16 first, then the
    weights to nearest multiples of it. An all-zero group has scale 1. Ties go to the first candidate, so equal inputs
    give equal results.

    Raises ValueError for another group size, for weights of another length, negative or not finite, and for values too
    large.
    """
    groups = _groups(values, group)
    columns = None if weights is None else _column_weights(weights, values.shape[1], group)
    rows, count, _ = groups.shape
    flat, scale = groups.reshape(rows * count, group), np.empty(rows * count)
    for start in range(0, len(flat), _CHUNK):
        part = flat[start : start + _CHUNK]
        importance = None if columns is None else columns[np.arange(start, start + len(part)) % count]
        scale[start : start + _CHUNK] = _search(part, importance)
    return _finish(groups, scale.reshape(rows, count), values.shape[1], group)


def _search(groups, importance):
    """Scale of each of `groups` [n, group]."""
    top = np.abs(groups).max(axis=1) / W8_MAX
    scales: list[np.ndarray] = []
    err8s: list[np.ndarray] = []
    err4s: list[np.ndarray] = []
    for factor in FACTORS:
        scale = _half_scale(factor * top)
        for sign in (1.0, -1.0):
            w8 = _round(groups, sign * scale)
            scales.append(sign * scale)
            for errors, digits in ((err8s, w8), (err4s, 16.0 * np.floor((w8 + 8.0) / 16.0))):
                difference = digits * (sign * scale)[:, None] - groups
                errors.append(
                    np.einsum("ij,ij->i", difference, difference)
                    if importance is None
                    else np.einsum("ij,ij,ij->i", difference, difference, importance)
                )
    err8, err4 = np.stack(err8s), np.stack(err4s)
    allowed = err8 <= INT8_SLACK * err8.min(axis=0)
    best = np.where(allowed, err4, np.inf).argmin(axis=0)
    return np.take_along_axis(np.stack(scales), best[None], axis=0)[0]


def _groups(values, group):
    """`values` as [rows, groups, group], zeros behind K."""
    group_code(group)
    values = np.asarray(values, np.float64)
    if not np.abs(values).max(initial=0.0) <= W8_MAX * SCALE_MAX:
        raise ValueError(f"a magnitude of {np.abs(values).max():.6g} is beyond FP16, scale the matrix first")
    rows, k = values.shape
    count = ceil_div(k, group)
    padded = np.zeros((rows, count * group))
    padded[:, :k] = values
    return padded.reshape(rows, count, group)


def _column_weights(weights, k, group):
    weights = np.asarray(weights, np.float64)
    if weights.shape != (k,) or not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError(f"weights must be {k} finite numbers, none negative")
    padded = np.zeros(ceil_div(k, group) * group)
    padded[:k] = weights
    return padded.reshape(-1, group)


def _half_scale(scale):
    """Positive scales rounded to FP16 within its range; 1 where there is nothing to scale."""
    rounded = np.clip(scale, SMALLEST_SCALE, LARGEST_SCALE).astype(np.float16).astype(np.float64)
    return np.where(scale > 0, rounded, 1.0)


def _round(groups, scale):
    return np.clip(np.rint(groups / scale[..., None]), -W8_MAX, W8_MAX)


def _finish(groups, scale, k, group):
    w8 = _round(groups, scale).astype(np.int8).reshape(len(groups), -1)[:, :k]
    return Nested(np.ascontiguousarray(w8), scale.astype(np.float16), group)
