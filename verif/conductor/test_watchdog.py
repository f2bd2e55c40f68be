"""The watchdog against a count."""

from hayate.rtl.conductor.watchdog import Watchdog
from hayate.verif.bench import Bench, rng
from hayate.verif.bench.drivers import clock, settle, start
from hayate.verif.bench.reset import resets

BENCH = Bench(lambda: Watchdog())


@BENCH.test()
@resets(within=60)
async def it_expires_in_the_cycle_stated(dut):
    """And with what leaves no progress between: pauses, and a restart in that very cycle. 0 is a long time."""
    await start(dut)
    r, seen = rng("cycles"), 0
    for _ in range(150):
        dut.limit.value, dut.restart.value = (limit := r.choice([0, 1, 2, 7, 40])), 1
        await clock(dut)
        dut.restart.value, dut.limit.value, spent = 0, r.getrandbits(32), 0
        for _ in range(r.randrange(60)):
            counts = int(r.random() < 0.8)
            restart = int(spent + counts == limit and r.random() < 0.5)
            dut.counts.value, dut.restart.value = counts, restart
            await settle()
            expired = bool(counts and not restart and spent + 1 == limit)
            assert int(dut.expired.value) == expired
            spent, seen = spent + counts, seen + expired
            await clock(dut)
            if restart or expired:
                break
    assert seen > 30
