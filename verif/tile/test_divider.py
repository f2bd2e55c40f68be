"""The sequential divider against Python's integers."""

from hayate.rtl.tile.divider import Divider
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, start
from hayate.verif.bench.reset import resets

BENCH = Bench(lambda width=16, den=8: Divider(width, den), params=[{"width": 16, "den": 8}, {"width": 4, "den": 4}])


async def divide(dut, numerator, denominator):
    """(quotient, remainder, cycles from start to done)."""
    dut.start.value, dut.numerator.value, dut.denominator.value = 1, numerator, denominator
    await clock(dut)
    dut.start.value = 0
    cycles = 0
    while True:
        await clock(dut)
        cycles += 1
        if int(dut.done.value):
            return int(dut.quotient.value), int(dut.remainder.value), cycles
        assert cycles < 100, "the divider does not finish"


@BENCH.test()
@resets(within=60)
async def quotients(dut):
    width, den = params()["width"], params()["den"]
    await start(dut)
    r = rng("operands")
    pairs = [(0, 1), ((1 << width) - 1, 1), ((1 << width) - 1, (1 << den) - 1), (1, 2)]
    pairs += [(r.getrandbits(width), r.randrange(1, 1 << den)) for _ in range(60)]
    for a, b in pairs:
        q, rem, cycles = await divide(dut, a, b)
        assert (q, rem) == divmod(a, b)
        assert cycles == width + 1


@BENCH.test()
async def zero_denominator_gives_ones(dut):
    await start(dut)
    q, _, _ = await divide(dut, 5, 0)
    assert q == (1 << params()["width"]) - 1
