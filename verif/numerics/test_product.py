"""Product against integer arithmetic and TestFloat: every exponent pair, corners, random operands."""

import numpy as np

from hayate.rtl.numerics.product import HIGH_BITS, LOW_BITS, PRODUCT_LATENCY, Product
from hayate.verif.bench import Bench, rng
from hayate.verif.golden.numerics.fp16 import from_bits
from hayate.verif.numerics.operands import CORNERS, decoded, finite, product, signed
from hayate.verif.numerics.testfloat import vectors

BENCH = Bench(Product)


async def check(dut, pairs, gap=0.0):
    """Present pairs of FP16 patterns, one a cycle; compare each product, and that it holds through idle cycles."""
    from hayate.verif.bench.drivers import clock, start

    await start(dut)
    noise = rng("gap")
    pairs, expected = list(pairs), [None] * PRODUCT_LATENCY
    while pairs or any(e is not None for e in expected):
        idle = not pairs or noise.random() < gap
        a, b = (noise.getrandbits(16), noise.getrandbits(16)) if idle else pairs.pop()
        # The two operands may share the offset of -2 in any way.
        offset = noise.choice((0, -1, -2))
        dut.en.value = int(not idle)
        dut.a.value, dut.b.value = decoded(a, offset), decoded(b, -2 - offset)
        await clock(dut)
        shown = signed(int(dut.high.value), HIGH_BITS) * (1 << LOW_BITS) + int(dut.low.value) + int(dut.carry.value)
        due = expected.pop(0)
        assert due is None or shown == due
        expected.append((due if expected == [] else expected[-1]) if idle else product(a, b))
        if not pairs and idle:
            return


@BENCH.test()
async def every_pair_of_exponents(dut):
    random = rng()
    pairs = []
    for ea in range(31):
        for eb in range(31):
            a, b = (random.getrandbits(1) << 15 | e << 10 | random.choice((0, 1, 0x3FF, random.getrandbits(10))) for e in (ea, eb))
            pairs.append((a, b))
    await check(dut, pairs)


@BENCH.test()
async def corners(dut):
    await check(dut, [(a, b) for a in CORNERS for b in CORNERS])


@BENCH.test()
async def random_with_gaps(dut):
    random = rng()
    await check(dut, [(finite(random), finite(random)) for _ in range(1500)], gap=0.4)


@BENCH.test()
async def testfloat(dut):
    """The exact product, rounded to FP16, is TestFloat's result wherever that is finite."""
    a, b, result = vectors("f16_mul", seed=7)
    chosen = rng().sample(range(len(a)), 2000)
    for i in chosen:
        exact = np.float64(product(int(a[i]), int(b[i]))) * 2.0**-48  # 22 bits: exact
        # Sign apart: the grid of the accumulators has no negative zero.
        assert abs(exact.astype(np.float16)) == abs(from_bits(result[i]))
    await check(dut, [(int(a[i]), int(b[i])) for i in chosen])
