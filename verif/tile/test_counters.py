"""The counters against a plain statistics."""

from hayate.rtl.contract.isa import Counter
from hayate.rtl.tile.counters import Counters
from hayate.verif.bench import Bench, rng
from hayate.verif.bench.drivers import clock, start
from hayate.verif.bench.reset import resets

BENCH = Bench(lambda: Counters(6))  # of 32 banks
CAUSES = [c for c in Counter if c <= Counter.IDLE]


async def read(dut):
    values = {}
    for counter in Counter:
        dut.select.value = int(counter)
        await clock(dut, 3)
        values[counter] = int(dut.value.value)
    return values


@BENCH.test()
@resets(within=60)
async def every_cycle_has_one_cause(dut):
    await start(dut)
    r = rng("events")
    dut.clear.value = 1
    await clock(dut)
    dut.clear.value = 0
    statistics = dict.fromkeys(Counter, 0)
    cycles = 500
    for _ in range(cycles):
        running, cause, useful, kv = r.random() < 0.8, r.choice(CAUSES[:-1]), r.randrange(33), r.getrandbits(1)
        saturated, events = r.randrange(17), [r.getrandbits(1) for _ in range(3)]
        dut.counting.value, dut.running.value, dut.cause.value, dut.useful.value, dut.useful_kv.value = (
            1,
            running,
            int(cause),
            useful,
            kv,
        )
        dut.saturated.value = saturated
        dut.corrected.value, dut.uncorrectable.value, dut.parity.value = events
        statistics[cause if running else Counter.IDLE] += 1
        statistics[Counter.USEFUL_KV if kv else Counter.USEFUL_WEIGHT] += useful
        statistics[Counter.SATURATED] += saturated
        for counter, event in zip((Counter.ECC_CORRECTED, Counter.ECC_FATAL, Counter.PARITY), events):
            statistics[counter] += event
        await clock(dut)
    for name in ("counting", "saturated", "corrected", "uncorrectable", "parity", "useful"):
        getattr(dut, name).value = 0
    values = await read(dut)
    assert values == statistics
    assert sum(values[c] for c in CAUSES) == cycles


@BENCH.test()
async def stopped_counters_hold_and_clear_empties_them(dut):
    await start(dut)
    dut.counting.value, dut.running.value, dut.cause.value = 1, 1, int(Counter.FETCH)
    await clock(dut, 10)
    dut.counting.value = 0
    await clock(dut, 5)
    assert (await read(dut))[Counter.FETCH] == 10
    dut.clear.value = 1
    await clock(dut)
    dut.clear.value = 0
    assert set((await read(dut)).values()) == {0}
