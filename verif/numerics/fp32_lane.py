"""What the FP32 benches share: operands, TestFloat's FP32 vectors, and a driver for pipelines of fixed latency."""

import lzma
import random
from collections import deque

import numpy as np

from hayate.verif.bench.drivers import clock
from hayate.verif.numerics import testfloat

CORNERS = tuple(
    sign << 31 | pattern
    for sign in (0, 1)
    for pattern in (
        0x00000000,  # zero
        0x00000001, 0x00000002, 0x00400000, 0x007FFFFF,  # subnormals
        0x00800000, 0x00800001, 0x00FFFFFF, 0x01000000,  # smallest normals
        0x33000000, 0x33800000, 0x34000000,  # 2^-25, 2^-24, 2^-23
        0x387FFFFF, 0x38800000, 0x477FE000, 0x477FEFFF, 0x477FF000,  # where FP16 begins and ends
        0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x3FFFFFFF, 0x40000000,
        0x4B7FFFFF, 0x7E7FFFFF, 0x7E800000, 0x7F000000, 0x7F7FFFFF,
    )
)  # fmt: skip


def finite(generator: random.Random) -> int:
    """A finite FP32 pattern of some class: any exponent, a corner, near one, subnormal, huge; runs of ones and
    zeros.
    """
    kind = generator.randrange(6)
    if kind == 0:
        return generator.choice(CORNERS)
    exponent = (
        generator.randrange(255),
        generator.randrange(118, 138),
        generator.randrange(3),
        254 - generator.randrange(3),
        generator.randrange(255),
    )[kind - 1]
    fraction = generator.getrandbits(23)
    if generator.random() < 0.4:
        cut = generator.randrange(24)
        fraction = fraction >> cut << cut if generator.random() < 0.5 else fraction | (1 << cut) - 1
    return generator.getrandbits(1) << 31 | exponent << 23 | fraction & 0x7FFFFF


def pairs(generator: random.Random, count: int) -> list[tuple[int, int]]:
    """Pairs of finite patterns, many of them close to each other or to each other's negative."""
    result = []
    while len(result) < count:
        a, b = finite(generator), finite(generator)
        if generator.random() < 0.4:
            distance = generator.choice((0, 1, -1, 2, -2, 1 << 22, 1 << 23, -1 << 23, 24 << 23, 25 << 23))
            b = (a + distance) & 0x7FFFFFFF | generator.getrandbits(1) << 31
        if b >> 23 & 0xFF != 0xFF:
            result.append((a, b))
    return result


def nearly_too_large(generator: random.Random, count: int) -> list[tuple[int, int]]:
    """Pairs of patterns whose exact product is below 2**128, but so little that rounding carries it there; of any
    sign.
    """
    result = []
    while len(result) < count:
        a = generator.randrange((1 << 23) + 1, 1 << 24)
        b = ((1 << 47) - 1) // a  # a product of significands below 2**47, where it has its leading one in place
        if a * b >= (1 << 47) - (1 << 22):
            first = generator.randrange(127, 255)
            fields = ((first, a), (254 + 127 - first, b))
            result.append(tuple(generator.getrandbits(1) << 31 | field << 23 | s & 0x7FFFFF for field, s in fields))
    return result


def floats(patterns) -> np.ndarray:
    """Patterns as float32."""
    return np.asarray(patterns, np.uint32).view(np.float32)


def patterns(values: np.ndarray) -> np.ndarray:
    """float32 or float16 as patterns."""
    return values.view({4: np.uint32, 2: np.uint16}[values.itemsize])


def vectors(name: str, infinity: int = 0x7F800000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """TestFloat's cases with finite operands: operands [n, k], results [n] and saturated [n] as ours should be.

    Where TestFloat overflows to `infinity` we give the largest finite value. Empty, with a line of output, without the
    files.
    """
    folder = testfloat.folder()
    if folder is None:
        print(f"TestFloat vectors not found: {name} is checked against own references only")
        empty = np.zeros((0, 1 if name == "f32_to_f16" else 2), np.uint32)
        return empty, empty[:, 0], empty[:, 0] != 0
    with lzma.open(folder / f"{name}.txt.xz", "rt") as lines:
        table = np.array([[int(word, 16) for word in line.split()] for line in lines], np.uint32)
    table = table[(table[:, :-2] >> 23 & 0xFF != 0xFF).all(axis=1)]
    result, flags = table[:, -2], table[:, -1]
    overflow = result & infinity == infinity
    assert np.array_equal(overflow, flags & 4 != 0)
    return table[:, :-2].copy(), result - overflow, overflow


async def pipeline(dut, latency: int, operations, generator: random.Random, gap: float = 0.25):
    """Feed (inputs, outputs) pairs of dictionaries with random gaps, in which the inputs are noise.

    Each result must come with `out_valid` exactly `latency` cycles after its operation and stay until the next one.
    """
    waiting, now, last = deque(), 0, None
    queue = deque(operations)
    names = list(queue[0][0])
    widths = {name: len(getattr(dut, name)) for name in names}
    inputs = {name: getattr(dut, name) for name in names}
    while queue or waiting or now < latency:
        if queue and generator.random() >= gap:
            values, expected = queue.popleft()
            waiting.append((now + latency, values, expected))
            dut.valid.value = 1
        else:
            values = {name: generator.getrandbits(widths[name]) for name in names}
            dut.valid.value = 0
        for name, value in values.items():
            inputs[name].value = value
        now += 1
        await clock(dut)
        # Read before this edge: `latency` edges must have passed since the operation was taken.
        due = bool(waiting) and waiting[0][0] == now - 1
        assert int(dut.out_valid.value) == due, f"cycle {now}: out_valid is {dut.out_valid.value}, expected {due}"
        if due:
            _, values, last = waiting.popleft()
        if last is not None:
            for name, value in last.items():
                got = int(getattr(dut, name).value)
                assert got == value, (
                    f"{ {k: hex(v) for k, v in values.items()} }: {name} is {got:#x}, expected {value:#x}"
                )
