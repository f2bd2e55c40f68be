"""MXINT8 activations: FP16 vectors as signed bytes with one power of two per block of 32.

Source: OCP Microscaling Formats (MX) Specification v1.0, MXINT8 (element INT8 with six fraction bits, block size 32,
conversion from scalars by the largest power of two that does not exceed the block's maximum). Narrower than it in two
points: -128 is not used, and the shared exponent does not go below -10, so that one fixed-point accumulator covers
every block.
"""

import numpy as np

from hayate.rtl.contract.precision import MX_BLOCK, MX_FRACTION, MX_MAX, MX_MIN_EXPONENT


def quantize(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(q int8 [P, K], e int64 [P, ceil(K/32)]) of float16 [P, K]: element k of a row is worth q * 2**(e[k // 32] - 6).

    Blocks are aligned to the start of the row; the last may be short, as if zeros followed. e = max(-10, floor(log2
    max|x|)), an all-zero block has -10. q = x * 2**(6 - e) rounded to nearest, ties to even, and clamped to +-127.

    Raises ValueError where `x` is not a finite float16 matrix.
    """
    x = np.asarray(x)
    if x.ndim != 2 or x.dtype != np.float16:
        raise ValueError(f"expected float16 [P, K], got {x.dtype} with shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("an FP16 operand is infinite or NaN, which is outside the domain")
    p, k = x.shape
    blocks = -(-k // MX_BLOCK)
    values = np.zeros((p, blocks * MX_BLOCK))  # float64: scaling by powers of two is exact
    values[:, :k] = x
    values = values.reshape(p, blocks, MX_BLOCK)
    largest = np.abs(values).max(axis=2, initial=0.0)
    exponent = np.where(largest > 0, np.frexp(largest)[1] - 1, MX_MIN_EXPONENT)  # frexp's mantissa lies in [0.5, 1)
    e = np.maximum(exponent, MX_MIN_EXPONENT).astype(np.int64)
    q = np.clip(np.rint(np.ldexp(values, MX_FRACTION - e[:, :, None])), -MX_MAX, MX_MAX)
    return q.astype(np.int8).reshape(p, -1)[:, :k], e


def dequantize(q: np.ndarray, e: np.ndarray) -> np.ndarray:
    """The values that `quantize` stands for, exact in float64 [P, K]."""
    k = np.asarray(q).shape[1]
    return np.ldexp(np.asarray(q, np.float64), np.repeat(e, MX_BLOCK, axis=1)[:, :k] - MX_FRACTION)
