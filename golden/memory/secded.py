"""Hsiao SECDED code on arrays of words; the RTL equals it bit for bit.

Words are arrays of bits, uint8 with the bit index (lowest first) on the last axis, so that any width fits; `to_bits`
and `from_bits` convert from and to integers. The layout of a codeword is that of `hayate.rtl.contract.secded`.
"""

import numpy as np

from hayate.rtl.contract.secded import check_bits, codeword_bits, columns


def to_bits(words, width: int) -> np.ndarray:
    """Bits of non-negative integers, shape (n, width). ValueError for an integer that does not fit."""
    words = [int(w) for w in words]
    if any(w < 0 or w >> width for w in words):
        raise ValueError(f"words must be unsigned integers of {width} bits")
    size = (width + 7) // 8
    raw = np.frombuffer(b"".join(w.to_bytes(size, "little") for w in words), np.uint8).reshape(len(words), size)
    return np.unpackbits(raw, axis=1, count=width, bitorder="little")


def from_bits(bits) -> list[int]:
    """Integers of an array of bits, shape (n, width)."""
    return [int.from_bytes(row.tobytes(), "little") for row in np.packbits(bits, axis=-1, bitorder="little")]


def _matrix(width: int) -> np.ndarray:
    """Parity-check columns of the data bits, shape (width, check bits)."""
    return to_bits(columns(width), check_bits(width))


def encode(data: np.ndarray) -> np.ndarray:
    """Codewords, shape (..., width + check bits), of data bits, shape (..., width)."""
    data = np.asarray(data, np.uint8)
    check = (data.astype(np.int64) @ _matrix(data.shape[-1])) & 1
    return np.concatenate([data, check.astype(np.uint8)], axis=-1)


def decode(codewords: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Data bits (n, width), and whether each word was corrected or uncorrectable, both bool (n,).

    An uncorrectable word's data are its raw bits. ValueError when the words are not codewords of that width.
    """
    codewords = np.asarray(codewords, np.uint8)
    if codewords.ndim != 2 or codewords.shape[1] != codeword_bits(width):
        raise ValueError(
            f"codewords of {width} data bits have shape (n, {codeword_bits(width)}), not {codewords.shape}"
        )
    r = check_bits(width)
    syndromes = ((codewords[:, :width].astype(np.int64) @ _matrix(width)) & 1) ^ codewords[:, width:]
    syndromes = syndromes @ (1 << np.arange(r))
    # Bit to flip for each syndrome: -1 none, -2 unknown.
    flip = np.full(1 << r, -2, np.int64)
    flip[0] = -1
    flip[list(columns(width)) + [1 << i for i in range(r)]] = np.arange(width + r)
    position = flip[syndromes]
    data = codewords.copy()
    hit = np.flatnonzero(position >= 0)
    data[hit, position[hit]] ^= 1
    return data[:, :width], position >= 0, position == -2


def encode_words(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Check bytes, uint8, of 64-bit words given as a uint64 array: the fast way to a bank's file. Returns (words,
    checks).
    """
    words = np.ascontiguousarray(words, np.dtype("<u8")).reshape(-1)
    checks = np.zeros(len(words), np.uint8)
    table = np.array([[encode(to_bits([v << 8 * b], 64))[0, 64:] for v in range(256)] for b in range(8)], np.uint8)
    table = np.packbits(table, axis=-1, bitorder="little")[..., 0]
    for byte, lane in enumerate(words.view(np.uint8).reshape(-1, 8).T):
        checks ^= table[byte][lane]
    return words, checks


def bank_file(words: np.ndarray) -> str:
    """Text of the file that a bank macro loads: the codewords of 64-bit words, from address 0, in hexadecimal, one a
    line.
    """
    words, checks = encode_words(words)
    return "@0\n" + "".join(f"{check:02x}{word:016x}\n" for check, word in zip(checks.tolist(), words.tolist()))
