"""Product against integer arithmetic and TestFloat: every exponent pair, corners, random operands, and if wide sums of
integers.
"""

import numpy as np

from hayate.golden.numerics.fp16 import from_bits
from hayate.rtl.numerics.product import HIGH_BITS, LOW_BITS, PRODUCT_LATENCY, WIDE_HIGH_BITS, Product
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.reset import resets
from hayate.verif.numerics.operands import CORNERS, decoded, finite, product, signed
from hayate.verif.numerics.testfloat import vectors

BENCH = Bench(Product, params=[{"wide": False}, {"wide": True}])


def width_of_b():
    """Bits of the second factor's significand."""
    return 12 if params()["wide"] else 11


def packed(significand, exponent, negative, bits):
    """The bits of an operand whose significand has so many bits."""
    return significand | exponent % 64 << bits | negative << bits + 6


def case(a, b, offset=-1):
    """The ports for two FP16 patterns, which share the exponents' offset of -2 in any way, and the product."""
    wide = decoded(b, -2 - offset)
    return decoded(a, offset), packed(wide & 0x7FF, wide >> 11 & 63, wide >> 17, width_of_b()), product(a, b)


def wide_case(significand, total, random, factor):
    """The ports for a product by an integer of up to 12 bits, with any share of the shift, and the product."""
    exponent, sign_a, sign_b = random.randrange(64), random.getrandbits(1), random.getrandbits(1)
    exact = (-1) ** (sign_a ^ sign_b) * significand * factor << total
    return packed(significand, exponent, sign_a, 11), packed(factor, total - exponent, sign_b, 12), exact


async def check(dut, cases, gap=0.0):
    """Present cases, one a cycle; compare each product, and that it holds through idle cycles."""
    from hayate.verif.bench.drivers import clock, start

    await start(dut)
    noise = rng("gap")
    cases, expected = list(cases), [None] * PRODUCT_LATENCY
    while cases or any(e is not None for e in expected):
        idle = not cases or noise.random() < gap
        a, b, exact = (noise.getrandbits(18), noise.getrandbits(7 + width_of_b()), None) if idle else cases.pop()
        dut.en.value = int(not idle)
        dut.a.value, dut.b.value = a, b
        await clock(dut)
        high = signed(int(dut.high.value), WIDE_HIGH_BITS if params()["wide"] else HIGH_BITS)
        shown = high * (1 << LOW_BITS) + int(dut.low.value) + int(dut.carry.value)
        due = expected.pop(0)
        assert due is None or shown == due
        expected.append((due if expected == [] else expected[-1]) if idle else exact)
        if not cases and idle:
            return


@BENCH.test()
async def every_pair_of_exponents(dut):
    random = rng()
    cases = []
    for ea in range(31):
        for eb in range(31):
            a, b = (
                random.getrandbits(1) << 15 | e << 10 | random.choice((0, 1, 0x3FF, random.getrandbits(10)))
                for e in (ea, eb)
            )
            cases.append(case(a, b, random.choice((0, -1, -2))))
    await check(dut, cases)


@BENCH.test()
async def corners(dut):
    await check(dut, [case(a, b) for a in CORNERS for b in CORNERS])


@BENCH.test()
@resets(within=30)
async def random_with_gaps(dut):
    random = rng()
    await check(dut, [case(finite(random), finite(random), random.choice((0, -1, -2))) for _ in range(1500)], gap=0.4)


@BENCH.test(only=lambda p: p["wide"])
async def integers_of_twelve_bits(dut):
    """A scale times the magnitude of a sum: every shift up to 60, the extremes and any values, products below 2**82."""
    random = rng()
    cases = []
    for total in range(61):
        for significand, factor in ((1100, 3556), (1023, 4064), (1, 4064), (1024, 1), (1100, 0), (0, 4064)):
            cases.append(wide_case(significand, total, random, factor))
        for _ in range(8):
            factor = random.randrange(4096)
            cases.append(
                wide_case(random.randrange(min(2048, (1 << 82 - total) // max(factor, 1))), total, random, factor)
            )
    cases += [wide_case(2047, total, random, 4095) for total in range(60)]
    await check(dut, cases, gap=0.1)


@BENCH.test()
async def testfloat(dut):
    """The exact product, rounded to FP16, is TestFloat's result wherever that is finite."""
    a, b, result = vectors("f16_mul", seed=7)
    chosen = rng().sample(range(len(a)), 2000)
    for i in chosen:
        exact = np.float64(product(int(a[i]), int(b[i]))) * 2.0**-48  # 22 bits: exact
        # Sign apart: the grid of the accumulators has no negative zero.
        assert abs(exact.astype(np.float16)) == abs(from_bits(result[i]))
    await check(dut, [case(int(a[i]), int(b[i])) for i in chosen])
