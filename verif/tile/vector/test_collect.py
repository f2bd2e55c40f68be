"""Collected sums and maxima: any order of arrival, exact, rounded once."""

import numpy as np

from hayate.rtl.contract.isa import ROUNDS_AHEAD
from hayate.rtl.contract.latencies import NORM_LATENCY
from hayate.rtl.tile.vector.collect import LOWEST, Collect
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, start
from hayate.verif.bench.reset import resets
from hayate.verif.tile.vector.vector_golden import bits, round_sum

BENCH = Bench(Collect, params=[{"lanes": 1}, {"lanes": 2}, {"lanes": 4}, {"lanes": 8}], optimize="-O0")


@BENCH.test()
@resets(within=60)
async def sums_in_any_order(dut):
    """Halves of signed partial sums of several sources, shuffled; some lanes get none; then the reading, with its exact
    latency.
    """
    r, lanes = rng(), params()["lanes"]
    await start(dut)
    for _ in range(40):
        totals, halves = [0] * lanes, []
        for lane in range(lanes):
            for _ in range(r.choice([0, 1, 3, 8])):
                part = r.randint(-(1 << r.randint(1, 91)), 1 << r.randint(1, 91))
                totals[lane] += part
                halves += [(lane, 0, part & (1 << 64) - 1), (lane, 1, part >> 64 & (1 << 32) - 1)]
        r.shuffle(halves)
        for lane, high, word in halves:
            dut.sum_valid.value, dut.lane.value, dut.high.value = 1, lane, high
            # only the low half of an upper word counts
            dut.word.value = word | (r.getrandbits(32) << 32 if high else 0)
            await clock(dut)
            dut.sum_valid.value = 0
            await clock(dut, r.randrange(2))
        exponent = r.randint(-40, 40)
        dut.request.value, dut.exponent.value = 1, exponent & 0xFF
        await clock(dut)
        for _ in range(lanes + NORM_LATENCY + 1):
            await clock(dut)
            assert not int(dut.ready.value)
        await clock(dut)
        for _ in range(3):  # it waits
            assert int(dut.ready.value)
            await clock(dut)
        wanted = [int(bits(round_sum(total, exponent))) for total in totals]
        assert [int(getattr(dut, f"sums__{k}").value) for k in range(lanes)] == wanted
        dut.taken.value = 1
        await clock(dut)
        dut.taken.value, dut.request.value = 0, 0
        await clock(dut, 2)
        assert not int(dut.ready.value)


@BENCH.test()
@resets(within=60)
async def maxima(dut):
    r, lanes = rng(), params()["lanes"]
    await start(dut)
    largest = [[None] * lanes for _ in range(ROUNDS_AHEAD)]
    special = [0.0, -0.0, 1.5, -1.5, 1e-45, -1e-45, float(np.finfo(np.float32).min)]
    for _ in range(1000):
        lane = r.randrange(lanes)
        value = np.float32(r.choice(special) if r.random() < 0.6 else r.gauss(0, 1))
        valid, clear = r.random() < 0.7, r.random() < 0.04
        into, shown = r.randrange(ROUNDS_AHEAD), r.randrange(ROUNDS_AHEAD)
        clear &= into != shown  # a maximum may come while another round is cleared
        dut.max_valid.value, dut.max_clear.value, dut.round.value, dut.show_round.value = valid, clear, into, shown
        dut.lane.value, dut.word.value = lane, int(bits(value)) | r.getrandbits(32) << 32
        await clock(dut)
        for k in range(lanes):
            held = largest[shown][k]
            assert int(getattr(dut, f"maxima__{k}").value) == (LOWEST if held is None else int(bits(held)))
        if clear:
            largest[shown] = [None] * lanes
        held = largest[into][lane]
        if valid and (held is None or (value, not np.signbit(value)) > (held, not np.signbit(held))):
            largest[into][lane] = value


def test_the_reference_rounds_to_even():
    assert round_sum(1 << 48, 0) == 1 and round_sum(-3 << 47, 1) == -3
    assert round_sum((1 << 24) + 1 << 48, 0) == 1 << 24 and round_sum((1 << 24) + 3 << 48, 0) == (1 << 24) + 4
    assert round_sum((1 << 96) - (1 << 48), 0) == -1
