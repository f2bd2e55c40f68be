"""ToFp16 against golden, and golden against TestFloat and exact rational arithmetic."""

from fractions import Fraction

import numpy as np

from hayate.golden.numerics import fp32
from hayate.rtl.contract.latencies import TO_FP16_LATENCY
from hayate.rtl.numerics.to_fp16 import ToFp16
from hayate.verif.bench import Bench, cases, rng
from hayate.verif.bench.drivers import start
from hayate.verif.bench.reset import resets
from hayate.verif.numerics import fp32_lane as lane

BENCH = Bench(lambda: ToFp16())


def operation(x, s):
    y, saturated = fp32.to_fp16(lane.floats([x]), s)
    return {"x": x, "s": s & 63}, {"y": int(lane.patterns(y)[0]), "sat": int(saturated[0])}


def near_fp16(generator, s):
    """A pattern whose scaled value lies near the FP16 numbers, often half-way between two."""
    exponent = generator.randrange(127 - 28, 127 + 18) + s
    fraction = generator.getrandbits(11) << 12
    fraction += generator.choice((0, 0, 1, -1, generator.getrandbits(12)))
    return generator.getrandbits(1) << 31 | min(max(exponent, 0), 254) << 23 | fraction & 0x7FFFFF


@BENCH.test()
@resets(within=30)
async def random_values(dut):
    await start(dut)
    generator = rng("operands")
    operations = []
    for _ in range(cases(6000, icarus=4)):
        s = generator.randrange(-32, 32)
        operations.append(operation(near_fp16(generator, s) if generator.random() < 0.8 else lane.finite(generator), s))
    await lane.pipeline(dut, TO_FP16_LATENCY, operations, rng("gaps"))


@BENCH.test()
async def corners_at_every_scale(dut):
    await start(dut)
    operations = [operation(x, s) for x in lane.CORNERS for s in range(-32, 32)]
    await lane.pipeline(dut, TO_FP16_LATENCY, operations, rng("gaps"), gap=0)


@BENCH.test(sims=("verilator",))
async def testfloat_vectors(dut):
    await start(dut)
    operations = [
        ({"x": int(x), "s": 0}, {"y": int(y), "sat": int(s)})
        for (x,), y, s in zip(*lane.vectors("f32_to_f16", infinity=0x7C00))
    ]
    generator = rng("more")
    operations += [operation(near_fp16(generator, 0), 0) for _ in range(1000)]
    await lane.pipeline(dut, TO_FP16_LATENCY, operations, rng("gaps"), gap=0)


def test_golden_conversion_is_testfloats():
    operands, result, overflow = lane.vectors("f32_to_f16", infinity=0x7C00)
    y, saturated = fp32.to_fp16(lane.floats(operands[:, 0].copy()))
    assert np.array_equal(lane.patterns(y), result) and np.array_equal(saturated, overflow)


def test_golden_rounds_the_scaled_value_once():
    """Against a search among the neighbours in exact arithmetic, at scales that make subnormals and overflows."""
    generator = np.random.default_rng(5)
    grid = np.arange(0x7C00, dtype=np.uint16)
    values = [Fraction(float(v)) for v in grid.view(np.float16)]
    for _ in range(3000):
        s = int(generator.integers(-32, 32))
        pattern = int(generator.integers(max(0, 101 + s), min(254, 144 + s)) << 23) | int(
            generator.integers(1 << 12) << 11
        )
        x = lane.floats([pattern])
        exact = Fraction(float(x[0])) / Fraction(2) ** s
        y, saturated = fp32.to_fp16(x, s)
        got = int(lane.patterns(y)[0])
        overflows = exact >= 65520
        assert bool(saturated[0]) == overflows
        if overflows:
            assert got == 0x7BFF
            continue
        for other in (got - 1, got + 1):
            if 0 <= other < len(values):
                error, against = abs(exact - values[got]), abs(exact - values[other])
                assert error < against or error == against and got % 2 == 0
