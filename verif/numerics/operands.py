"""FP16 operands for benches, as bit patterns, and their products as integers of 2**-48 by plain integer arithmetic."""

import random

CORNERS = (
    0x0000, 0x8000, 0x0001, 0x8001, 0x0002, 0x03FF, 0x83FF, 0x0400, 0x8400, 0x0401, 0x07FF, 0x3BFF, 0x3C00, 0xBC00,
    0x3C01, 0x4000, 0x7800, 0xF800, 0x7BFF, 0xFBFF,
)  # fmt: skip


def finite(random: random.Random) -> int:
    """A finite FP16 pattern: usually any, every exponent alike; now and then a corner."""
    if random.random() < 0.2:
        return random.choice(CORNERS)
    return random.getrandbits(1) << 15 | random.randrange(31) << 10 | random.getrandbits(10)


def value(bits: int) -> int:
    """A finite pattern in units of 2**-24."""
    exponent, fraction = bits >> 10 & 31, bits & 0x3FF
    magnitude = fraction if exponent == 0 else (fraction | 0x400) << (exponent - 1)
    return -magnitude if bits >> 15 else magnitude


def product(a: int, b: int) -> int:
    """The exact product of two patterns in units of 2**-48."""
    return value(a) * value(b)


def unsigned(number: int, width: int) -> int:
    """Two's complement of `number`, which must fit."""
    assert -(1 << (width - 1)) <= number < 1 << (width - 1)
    return number & ((1 << width) - 1)


def signed(bits: int, width: int) -> int:
    """The value of a two's complement pattern."""
    return bits - (1 << width) if bits >> (width - 1) else bits


def pack(patterns: list[int], width: int = 16) -> int:
    """Patterns side by side, the first in the low bits."""
    return sum(p << (width * i) for i, p in enumerate(patterns))


def decoded(bits: int, offset: int = -1) -> int:
    """A pattern as the bits of an `Operand`: significand, exponent modulo 64, sign."""
    exponent, fraction = bits >> 10 & 31, bits & 0x3FF
    significand = fraction | (exponent != 0) << 10
    return significand | ((max(exponent, 1) + offset) % 64) << 11 | (bits >> 15) << 17
