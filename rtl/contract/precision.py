"""Number formats of weights, and how the planes of a nested INT8/INT4 matrix lie in a bank.

A weight of the integer formats is w8 * scale with w8 = 16 * hi + lo, `hi` and `lo` signed nibbles and one FP16 scale
for `group` elements of a row. The hi plane alone is the INT4 matrix, both planes are the INT8 one. Activations are
MXINT8 (OCP Microscaling Formats 1.0): blocks of 32 with a common power of two.
"""

from enum import IntEnum

from hayate.rtl.contract.layout import ceil_div


class Format(IntEnum):
    """Format in which a weight matrix is read. Higher numbers read fewer bytes."""

    FP16 = 0
    INT8 = 1
    INT4 = 2


GROUPS = (32, 64, 128)  # elements of a row that share a scale

W8_MAX = 119  # 16 * 7 + 7: what two signed nibbles reach on both sides
LO_MIN, LO_MAX = -8, 7
SCALE_MAX = 65504 / W8_MAX  # so that a weight stays within FP16's range, and the accumulator within its width

WORD_NIBBLES = 16  # elements of a plane's 64-bit word
WORD_SCALES = 4  # scales of a scale word, so groups that it serves

MX_BLOCK = 32  # activations with a common exponent
MX_MIN_EXPONENT = -10  # smallest e; a block's values are q * 2**(e - MX_FRACTION)
MX_FRACTION = 6
MX_MAX = 127  # largest |q|
MX_EXPONENT_BITS = 5  # of e - MX_MIN_EXPONENT: 0 to 25

#: Positions from the beginning of a text on which the governor measures: a multiple of every width of a pass, so that a
#: decision does not depend on it. Decisions apply from there on, behind a shorter prompt from its end on.
MEASURED_POSITIONS = 8

SENS_FRACTION = 8  # fraction bits of the governor's sensitivities
KNOB_FRACTION = 16 + SENS_FRACTION  # ... and of its knob
KNOB_BITS = 32
SENS_BITS = 32  # of a sensitivity


def group_code(group):
    """Two-bit code of a group size. ValueError unless it is one of `GROUPS`."""
    if group not in GROUPS:
        raise ValueError(f"a group has {', '.join(map(str, GROUPS))} elements, not {group}")
    return GROUPS.index(group)


def plane_words(k):
    """64-bit words of one plane of a row of `k` elements, scales not counted."""
    return ceil_div(k, WORD_NIBBLES)


def scale_words(k, group):
    """Scale words of a row."""
    return ceil_div(ceil_div(k, group), WORD_SCALES)


def hi_pitch(k, group):
    """Words from row group to row group of the hi plane: its words and the scale words among them."""
    return plane_words(k) + scale_words(k, group)


def stream_words(k, group, fmt):
    """Words that a bank reads for one row of `k` elements in `fmt`."""
    if fmt == Format.FP16:
        return ceil_div(k, 4)
    return scale_words(k, group) + plane_words(k) * (2 if fmt == Format.INT8 else 1)


def hi_layout(k, group):
    """What the words of a row's hi plane hold, in order: ("scale", first group) or ("hi", first element)."""
    words = []
    for first in range(0, ceil_div(k, group), WORD_SCALES):
        words.append(("scale", first))
        stop = min(k, (first + WORD_SCALES) * group)
        words += [("hi", element) for element in range(first * group, stop, WORD_NIBBLES)]
    return words


def measured_positions(prompt: int) -> int:
    """Of a prompt of so many tokens, those on which the governor measures: the first ones."""
    return min(prompt, MEASURED_POSITIONS)
