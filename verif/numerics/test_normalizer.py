"""Normalizer against rational rounding and the golden model: ties, powers of two of either sign, every position,
gaps.
"""

from fractions import Fraction

import numpy as np

from hayate.golden.numerics.exact import exact_dot
from hayate.golden.numerics.fp16 import from_bits
from hayate.rtl.contract.constants import ACC_WIDTH
from hayate.rtl.contract.latencies import NORM_LATENCY
from hayate.rtl.numerics.normalizer import Normalizer
from hayate.verif.bench import Bench, rng
from hayate.verif.bench.reset import resets
from hayate.verif.numerics.operands import finite, product, unsigned
from hayate.verif.numerics.test_exact import round_once

BENCH = Bench(Normalizer)
S_MIN, S_MAX = -78, 80


def reference(acc: int, s: int) -> int:
    """The FP32 pattern of acc * 2**-48, rounded once, times 2**s."""
    scaled = np.ldexp(round_once(Fraction(acc, 1 << 48)), s)
    return int(np.float32(scaled).view(np.uint32))


async def check(dut, cases, expected=None, gap=0.0):
    """Present (acc, s) pairs and compare results, their cycle, and that the last one holds."""
    from hayate.verif.bench.drivers import clock, start

    await start(dut)
    noise = rng("gap")
    expected = expected or [reference(*case) for case in cases]
    pipeline, shown, todo = [None] * NORM_LATENCY, None, list(zip(cases, expected, strict=True))
    for _ in range(NORM_LATENCY + 2 + 10 * len(cases)):
        due = pipeline.pop(0)
        idle = not todo or noise.random() < gap
        (acc, s), result = ((noise.getrandbits(ACC_WIDTH), noise.getrandbits(8)), None) if idle else todo.pop(0)
        dut.valid.value = int(not idle)
        dut.acc.value = acc if idle else unsigned(acc, ACC_WIDTH)
        dut.s.value = s if idle else unsigned(s, 8)
        pipeline.append(result)
        await clock(dut)
        assert int(dut.out_valid.value) == (due is not None)
        shown = due if due is not None else shown
        if shown is not None:
            assert int(dut.fp32.value) == shown, f"{int(dut.fp32.value):08x}, expected {shown:08x}"
        if not todo and all(p is None for p in pipeline):
            break
    assert not todo and all(p is None for p in pipeline)


@BENCH.test()
async def every_power_of_two(dut):
    """Both signs, with one unit more and less: the leading-zero count is wrong for minus a power of two and is put
    right.
    """
    top = 1 << (ACC_WIDTH - 1)
    near = [sign * (1 << n) + d for n in range(ACC_WIDTH - 1) for sign in (1, -1) for d in (-1, 0, 1)]
    cases = [0, 1, -1, top - 1, 1 - top, -top, *near]
    await check(dut, [(acc, 0) for acc in cases if -top <= acc < top])


@BENCH.test()
async def ties_at_every_position(dut):
    random = rng()
    cases = []
    for n in range(ACC_WIDTH - 26):
        for low in (-1, 0, 1):
            significand = random.choice((1 << 23, (1 << 24) - 1, random.getrandbits(23) | 1 << 23))
            cases.append(random.choice((1, -1)) * ((2 * significand + 1 << n) + (low if n else 0)))
    await check(dut, [(acc, random.randint(-40, 40)) for acc in cases])


@BENCH.test()
@resets(within=30)
async def random_with_gaps(dut):
    random = rng()
    cases = []
    for _ in range(600):
        acc = random.getrandbits(random.randrange(1, ACC_WIDTH)) * random.choice((1, -1))
        cases.append((acc, random.choice((0, 0, random.randint(-40, 40), S_MIN if acc else 0, S_MAX))))
    await check(dut, cases, gap=0.4)


@BENCH.test()
async def the_golden_dot_product(dut):
    random = rng()
    w, x = ([[finite(random) for _ in range(24)] for _ in range(12)] for _ in range(2))
    cases = [(sum(product(a, b) for a, b in zip(row, vector, strict=True)), 0) for vector in x for row in w]
    golden = exact_dot(from_bits(w), from_bits(x)).reshape(-1).view(np.uint32)
    await check(dut, cases, expected=[int(g) for g in golden])
