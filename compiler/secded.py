"""Codewords of the banks' SECDED code, many at a time."""

import numpy as np

from hayate.rtl.contract.secded import rows

_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


def check_bits(words):
    """Check bits (uint8) of 64-bit words."""
    words = np.asarray(words, np.uint64)
    check = np.zeros(words.shape, np.uint8)
    for bit, mask in enumerate(rows(64)):
        check |= (np.bitwise_count(words & np.uint64(mask)) & np.uint8(1)) << np.uint8(bit)
    return check


def hex_lines(words):
    """Text for $readmemh: the 72-bit codeword (check bits on top) of each word, one a line."""
    raw = np.empty((len(words), 9), np.uint8)
    raw[:, 0] = check_bits(words)
    raw[:, 1:] = np.asarray(words, np.uint64).astype(">u8").view(np.uint8).reshape(-1, 8)
    text = np.full((len(words), 19), ord("\n"), np.uint8)
    text[:, 0:18:2] = _DIGITS[raw >> 4]
    text[:, 1:18:2] = _DIGITS[raw & 15]
    return text.tobytes().decode("ascii")
