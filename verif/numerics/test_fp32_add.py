"""Fp32Add against golden, and golden against TestFloat."""

import numpy as np

from hayate.golden.numerics import fp32
from hayate.rtl.numerics.fp32_add import FP32_ADD_LATENCY, Fp32Add, Fp32AddMode
from hayate.verif.bench import Bench, cases, rng
from hayate.verif.bench.drivers import start
from hayate.verif.bench.reset import resets
from hayate.verif.numerics import fp32_lane as lane

BENCH = Bench(lambda: Fp32Add())


def expected(a, b, mode):
    """(pattern, saturated) of golden for one operation."""
    x, y = lane.floats([a]), lane.floats([b])
    if mode == Fp32AddMode.MOV:
        return a, 0
    result, saturated = (fp32.add if mode == Fp32AddMode.ADD else fp32.maximum)(x, y)
    return int(lane.patterns(result)[0]), int(saturated[0])


def operation(a, b, mode):
    y, sat = expected(a, b, mode)
    return {"mode": mode, "a": a, "b": b}, {"y": y, "sat": sat}


@BENCH.test()
@resets(within=30)
async def random_pairs(dut):
    await start(dut)
    generator = rng("operands")
    operations = [
        operation(a, b, generator.choice(list(Fp32AddMode))) for a, b in lane.pairs(generator, cases(6000, icarus=4))
    ]
    await lane.pipeline(dut, FP32_ADD_LATENCY, operations, rng("gaps"))


@BENCH.test()
async def corner_pairs(dut):
    await start(dut)
    operations = [operation(a, b, mode) for a in lane.CORNERS for b in lane.CORNERS for mode in (0, 1)]
    await lane.pipeline(dut, FP32_ADD_LATENCY, operations, rng("gaps"), gap=0)


@BENCH.test()
async def every_alignment(dut):
    """Each distance of exponents with fractions that end in a tie, just above one and just below."""
    await start(dut)
    generator = rng("signs")
    operations = []
    for distance in range(30):
        for fraction in (0, 1, 2, 3, 0x400000, 0x400001, 0x3FFFFF, 0x7FFFFE, 0x7FFFFF):
            for other in (0, 1, 2, 0x7FFFFF, 0x400000):
                a, b = 100 << 23 | fraction, (100 - distance) << 23 | other
                signs = generator.getrandbits(2)
                a, b = a | (signs & 1) << 31, b | (signs >> 1) << 31
                operations += [operation(a, b, 0), operation(b ^ 1 << 31, a, 0)]
    # The same at the end of the range: only the carry of rounding takes some of the sums beyond it.
    carried = 0
    for distance in range(30):
        for fraction in (0x7FFFFF, 0x7FFFFE):
            for other in (0, 1, 0x7FFFFF):
                sign = generator.getrandbits(1) << 31
                a, b = sign | 254 << 23 | fraction, sign | (254 - distance) << 23 | other
                operations.append(operation(a, b, 0))
                x, y = (abs(float(v)) for v in lane.floats([a, b]))
                carried += operations[-1][1]["sat"] and x + y < 2.0**128
    assert carried >= 3
    await lane.pipeline(dut, FP32_ADD_LATENCY, operations, rng("gaps"), gap=0)


@BENCH.test(sims=("verilator",))
async def testfloat_vectors(dut):
    await start(dut)
    operations = [
        ({"mode": 0, "a": int(a), "b": int(b)}, {"y": int(y), "sat": int(s)})
        for (a, b), y, s in zip(*lane.vectors("f32_add"))
    ]
    operations += [operation(a, b, 0) for a, b in lane.pairs(rng("more"), 1000)]
    await lane.pipeline(dut, FP32_ADD_LATENCY, operations, rng("gaps"), gap=0)


def test_golden_sum_is_testfloats():
    operands, result, overflow = lane.vectors("f32_add")
    y, saturated = fp32.add(*lane.floats(operands.T.copy()))
    assert np.array_equal(lane.patterns(y), result) and np.array_equal(saturated, overflow)


def test_golden_sum_by_hand():
    big = fp32.FP32_MAX
    y, saturated = fp32.add(
        np.float32([big, -big, 1, -0.0, 1.0, 2.0**-149]), np.float32([big, -big, -1, -0.0, 2.0**-24, -0.0])
    )
    assert lane.patterns(y).tolist() == [0x7F7FFFFF, 0xFF7FFFFF, 0, 0x80000000, 0x3F800000, 1]
    assert saturated.tolist() == [True, True, False, False, False, False]


def test_golden_maximum_keeps_the_first_of_equals():
    a, b = np.float32([0.0, -0.0, 1, -3, -2, 5]), np.float32([-0.0, 0.0, 2, -2, -3, 5])
    y, saturated = fp32.maximum(a, b)
    assert lane.patterns(y).tolist() == lane.patterns(np.float32([0.0, -0.0, 2, -2, -2, 5])).tolist()
    assert not saturated.any()
