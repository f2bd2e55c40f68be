"""FP16 values as integers: the one place that knows the format's fields."""

import numpy as np

from hayate.rtl.contract.constants import FP16_LSB


def to_int(values: np.ndarray) -> np.ndarray:
    """Finite float16 values as int64 multiples of 2**-24, exactly (at most 41 bits with sign).

    Raises ValueError where a value is infinite or NaN: those are outside the machine's domain.
    """
    values = np.asarray(values)
    if values.dtype != np.float16:
        raise ValueError(f"expected float16, got {values.dtype}")
    if not np.isfinite(values).all():
        raise ValueError("an FP16 operand is infinite or NaN, which is outside the domain")
    return np.ldexp(values.astype(np.float64), -FP16_LSB).astype(np.int64)


def from_bits(bits: np.ndarray) -> np.ndarray:
    """Unsigned 16-bit patterns as float16."""
    return np.asarray(bits, dtype=np.uint16).view(np.float16)


def to_bits(values: np.ndarray) -> np.ndarray:
    """float16 values as their uint16 bit patterns."""
    return np.asarray(values, dtype=np.float16).view(np.uint16)
