"""FP32 arithmetic of the vector unit: sum, product, maximum and the conversion to FP16.

The domain is the finite FP32 numbers, subnormals included. Results are rounded to nearest-even once; one that
overflows becomes the largest finite value of its sign. Every function broadcasts its operands and returns `(result,
saturated)`: an array of the result's type and a bool array of the same shape, true where the result saturated. The
caller counts. NaN and infinite operands are outside the domain and give unspecified results.
"""

import numpy as np

FP32_MAX = np.float32(np.finfo(np.float32).max)
FP16_MAX = np.float16(65504)


def _saturate(result, largest):
    saturated = np.isinf(result)
    if saturated.any():
        result = np.where(saturated, np.copysign(largest, result), result)
    return result, saturated


def add(a, b):
    """a + b. An exact zero from operands of opposite sign is +0."""
    with np.errstate(over="ignore"):
        return _saturate(np.asarray(a, np.float32) + np.asarray(b, np.float32), FP32_MAX)


def mul(a, b):
    """a · b."""
    with np.errstate(over="ignore", under="ignore"):
        return _saturate(np.asarray(a, np.float32) * np.asarray(b, np.float32), FP32_MAX)


def maximum(a, b):
    """The larger of a and b, unchanged; a where they are equal, and -0 equals +0. Never saturates."""
    a, b = np.broadcast_arrays(np.asarray(a, np.float32), np.asarray(b, np.float32))
    return np.where(b > a, b, a), np.zeros(a.shape, bool)


def to_fp16(x, s=0):
    """x · 2^-s as FP16, rounded once; s is an integer (or an array of them) in [-32, 31]."""
    with np.errstate(over="ignore", under="ignore"):
        # A double holds x · 2^-s exactly, and numpy rounds a double to FP16 in one step.
        scaled = np.ldexp(np.asarray(x, np.float32).astype(np.float64), -np.asarray(s, np.int32))
        return _saturate(scaled.astype(np.float16), FP16_MAX)
