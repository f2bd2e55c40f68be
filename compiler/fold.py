"""Weights as the machine holds them: norm gains folded in, rows in program order, rounded once to FP16 with an
exponent.
"""

from dataclasses import dataclass

import numpy as np

from hayate.rtl.contract.layout import fine_row

FP16_MAX = 65504.0
FP16_NORMAL = 2.0**-14
EXPONENT_RANGE = (-100, 113)  # the upper end serves every FP32 value
S_IN = (-78, 80)  # exponents with which the normalizer, which cannot clip, makes FP32 numbers of all sums
TOP = 14  # a chosen exponent puts the largest magnitude into [2**14, 2**15)


@dataclass(frozen=True)
class Rounded:
    """`half` * 2**`exponent` stands for the matrix; `flushed` of its nonzero elements became 0, `subnormal` lost
    bits.
    """

    half: np.ndarray
    exponent: int
    flushed: int
    subnormal: int


def to_fp16(values, full=False, lowest=EXPONENT_RANGE[0]):
    """Round float64 `values` once, to nearest even, after scaling them by a power of two.

    The exponent is 0 where FP16 holds all values exactly, or neither overflows nor loses bits to subnormals; else, and
    always where `full` (the scales of an integer copy with the same exponent are normal numbers then), it puts the
    largest magnitude into [2**TOP, 2**(TOP + 1)). Nothing overflows; what flushes is counted. All zeros have exponent
    0. It is not below `lowest`: that of a matrix that is multiplied, and not only looked up, should not leave `S_IN`.

    Raises OverflowError for magnitudes from 2**128 on.
    """
    magnitude = np.abs(values)
    top = float(magnitude.max(initial=0.0))
    if top >= 2.0**128:
        raise OverflowError(f"a magnitude of {top:.3g} is beyond FP32")
    exponent = 0
    if top and (full or top >= FP16_MAX or not _harmless(values, magnitude)):
        exponent = int(np.clip(np.frexp(top)[1] - 1 - TOP, lowest, EXPONENT_RANGE[1]))
    scaled = np.ldexp(values, -exponent)
    half = scaled.astype(np.float16)
    lossy = (np.abs(scaled) < FP16_NORMAL) & (half.astype(np.float64) != scaled)
    return Rounded(half, exponent, int((lossy & (half == 0)).sum()), int((lossy & (half != 0)).sum()))


def _harmless(values, magnitude):
    """Whether FP16 with exponent 0 loses nothing but the bits of an ordinary rounding."""
    small = magnitude < FP16_NORMAL
    return bool((values[small].astype(np.float16).astype(np.float64) == values[small]).all())


def rope_rows(head_dim):
    """Row order within a head that puts the pairs (i, i + head_dim/2) of the rotary embedding side by side."""
    return np.arange(head_dim).reshape(2, head_dim // 2).T.ravel()


def permute_heads(weight, head_dim):
    """Rows of a Q or K matrix, each head's in `rope_rows` order."""
    return weight.reshape(-1, head_dim, weight.shape[1])[:, rope_rows(head_dim)].reshape(weight.shape)


def interleave(gate, up):
    """Units of 4 gate rows, then 4 up rows."""
    rows, columns = gate.shape
    return np.stack([gate.reshape(-1, 4, columns), up.reshape(-1, 4, columns)], axis=1).reshape(2 * rows, columns)


def rope_tables(head_dim, context, theta, fine_bits):
    """(coarse, fine) FP32 tables of rotary angles, one row per 2**fine_bits positions and per position below that, the
    latter in the order of their bits reversed (`FetchIndex.POS_LO`).

    A row holds head_dim cosines, each one twice (once per element of a pair), then head_dim sines with signs -, +: so
    that rotated = t * C + swap(t) * S. Angles and functions in float64, rounded once.
    """
    frequency = theta ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    step = 1 << fine_bits
    tables = []
    # Reversing bits twice gives them back, so the position of a row is the row of that position.
    fine = np.array([fine_row(row, fine_bits) for row in range(step)])
    for positions in (np.arange(-(-context // step)) * step, fine):
        angle = positions[:, None].astype(np.float64) * frequency[None, :]
        sine = np.sin(angle)
        tables.append(
            np.concatenate(
                [np.repeat(np.cos(angle), 2, axis=1), np.stack([-sine, sine], axis=2).reshape(len(positions), -1)],
                axis=1,
            ).astype(np.float32)
        )
    return tuple(tables)
