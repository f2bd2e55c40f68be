"""Fp32Mul against golden, and golden against TestFloat."""

import numpy as np

from hayate.golden.numerics import fp32
from hayate.rtl.numerics.fp32_mul import FP32_MUL_LATENCY, Fp32Mul
from hayate.verif.bench import Bench, cases, rng
from hayate.verif.bench.drivers import start
from hayate.verif.bench.reset import resets
from hayate.verif.numerics import fp32_lane as lane

BENCH = Bench(lambda: Fp32Mul())


def operation(a, b):
    y, saturated = fp32.mul(lane.floats([a]), lane.floats([b]))
    return {"a": a, "b": b}, {"y": int(lane.patterns(y)[0]), "sat": int(saturated[0])}


@BENCH.test()
@resets(within=30)
async def random_pairs(dut):
    await start(dut)
    operations = [operation(a, b) for a, b in lane.pairs(rng("operands"), cases(6000, icarus=4))]
    await lane.pipeline(dut, FP32_MUL_LATENCY, operations, rng("gaps"))


@BENCH.test()
async def corner_pairs(dut):
    await start(dut)
    operations = [operation(a, b) for a in lane.CORNERS for b in lane.CORNERS]
    await lane.pipeline(dut, FP32_MUL_LATENCY, operations, rng("gaps"), gap=0)


@BENCH.test()
async def around_the_subnormal_boundary(dut):
    """Products between 2^-152 and 2^-122: every right shift, from normal and from subnormal operands, with ties."""
    await start(dut)
    generator = rng("operands")
    operations = []
    for power in range(-152, -121):
        for _ in range(24):
            # A factor of at least 2^-149, and what is missing to the product; few fraction bits make ties likely.
            first = generator.randrange(-149, -20)
            bits = generator.choice((1, 2, 12, 24))
            x = (generator.getrandbits(bits) | 1 << bits - 1) * 2.0 ** (first - bits + 1)
            y = (generator.getrandbits(13) | 1 << 12) * 2.0 ** (power - first - 12)
            a, b = (int(lane.patterns(np.float32([v]))[0]) for v in (x, y))
            a |= generator.getrandbits(1) << 31
            operations += [operation(a, b), operation(b, a)]
    await lane.pipeline(dut, FP32_MUL_LATENCY, operations, rng("gaps"), gap=0)


@BENCH.test()
async def rounding_reaches_the_end_of_the_range(dut):
    """Products that only the carry of rounding takes beyond the largest finite value, and those next to them that
    stay.
    """
    await start(dut)
    pairs, stay = lane.nearly_too_large(rng("operands"), 60), 0
    operations = [operation(a, b) for a, b in pairs]
    for a, b in pairs:
        x, y = (abs(float(v)) for v in lane.floats([a, b]))
        assert float(np.finfo(np.float32).max) < x * y < 2.0**128, (
            "the product of two floats is exact in double precision"
        )
    assert all(outputs["sat"] for _, outputs in operations)
    for a, b in pairs:
        operations.append(operation(a, b - 1))
        stay += not operations[-1][1]["sat"]
    assert stay > 30
    await lane.pipeline(dut, FP32_MUL_LATENCY, operations, rng("gaps"), gap=0)


@BENCH.test(sims=("verilator",))
async def testfloat_vectors(dut):
    await start(dut)
    operations = [
        ({"a": int(a), "b": int(b)}, {"y": int(y), "sat": int(s)}) for (a, b), y, s in zip(*lane.vectors("f32_mul"))
    ]
    operations += [operation(a, b) for a, b in lane.pairs(rng("more"), 1000)]
    await lane.pipeline(dut, FP32_MUL_LATENCY, operations, rng("gaps"), gap=0)


def test_golden_product_is_testfloats():
    operands, result, overflow = lane.vectors("f32_mul")
    y, saturated = fp32.mul(*lane.floats(operands.T.copy()))
    assert np.array_equal(lane.patterns(y), result) and np.array_equal(saturated, overflow)


def test_golden_product_by_hand():
    x = np.float32([2.0**64, -(2.0**64), 2.0**-100, 2.0**-75, 3, -0.0])
    y, saturated = fp32.mul(x, np.float32([2.0**64, 2.0**64, 2.0**-49, 2.0**-75, -7, 5]))
    assert lane.patterns(y).tolist() == [0x7F7FFFFF, 0xFF7FFFFF, 1, 0, 0xC1A80000, 0x80000000]
    assert saturated.tolist() == [True, True, False, False, False, False]
