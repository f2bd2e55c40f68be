"""Cycles of the matrix engine, exactly: throughput, latency, stalls and what each cycle is attributed to."""

from hayate.rtl.contract.isa import Counter, Op
from hayate.verif.bench import Bench, rng
from hayate.verif.tile.matrix_driver import LANDING, SIZES, Driver, engine, entry_bits, macro

BENCH = Bench(engine, params=SIZES, sources=macro)


def gemv(rows, length, **more):
    return {"op": Op.GEMV, "base": 3, "words": length, "length": length, "rows": rows, "live": rows, "act": 5, **more}


async def begin(dut, hold=0.0):
    """An engine whose entries, flits and rows never wait for anything outside."""
    driver = await Driver.begin(dut, pause=0, stall=0, hold=hold)
    driver.fill(rng("fill"))
    await driver.quiet()
    return driver


@BENCH.test()
async def one_word_per_cycle(dut):
    """R rows of W words take ceil(R / B) * W cycles where rows are no shorter than their groups are high."""
    from hayate.rtl.tile.matrix import ROW_LATENCY

    driver = await begin(dut)
    for rows, length in ((1, 9), (driver.banks, 8), (2 * driver.banks + 1, 10), (5, 12)):
        entry = gemv(rows, length)
        groups = -(-rows // driver.banks)
        assert await driver.spans([entry]) == [(Counter.WEIGHT, groups * length)]
        assert driver.model.cycles(entry, driver.now) == groups * length
        first_word = driver.first_word()
        due = [first_word + g * length + length - 1 + ROW_LATENCY + i
               for g in range(groups) for i in range(min(driver.banks, rows - g * driver.banks))]
        assert driver.row_cycles == due
        driver.causes.clear()
        driver.cycle = 0
        driver.check(list(driver.model.run(entry, driver.now)[0]), [])


@BENCH.test()
async def gemvs_follow_without_a_bubble(dut):
    """Entries that are queued, single-word ones too, stream as one; so do they across satisfied waits."""
    driver = await begin(dut)
    long, short = gemv(2 * driver.banks, 8), gemv(1, 1)
    assert await driver.spans([long, long, {**short, "length": 8}, short, short, short, long]) == [(Counter.WEIGHT, 59)]
    assert await driver.spans([long, {**long, "kv": 1}, long]) == [(Counter.WEIGHT, 16), (Counter.KV_READ, 16), (Counter.WEIGHT, 16)]
    wait = {"op": Op.M_WAIT, "chan": 3, "count": 1}
    driver.sync(3)
    driver.sync(3)
    await driver.quiet()
    assert await driver.spans([long, wait, long, wait, long]) == [(Counter.WEIGHT, 48)]


@BENCH.test()
async def what_a_wait_costs(dut):
    """The first word issues four cycles after the SYNC is shown; a wait that is satisfied when it comes costs one cycle."""
    from hayate.verif.bench.drivers import clock

    driver = await begin(dut)
    wait = {"op": Op.M_WAIT, "chan": 6, "count": 2}
    driver.sync(6)
    await driver.quiet()
    driver.source.put(entry_bits(wait), entry_bits(gemv(1, 2)))
    await clock(dut, 20)
    assert driver.causes[-1] == Counter.WAIT_RING
    driver.sync(6)
    await driver.idle()
    assert driver.first_word() == driver.synced[-1] + 4
    driver.sync(6)
    driver.sync(6)
    await driver.quiet()
    spans = await driver.spans([wait, gemv(1, 2)])
    assert spans == [(Counter.WAIT_RING, 1), (Counter.ISSUE, 1), (Counter.WEIGHT, 2)]


@BENCH.test()
async def rows_shorter_than_a_group_wait_for_the_drain(dut):
    """One-word rows leave at one row per cycle: each group but the first waits until the one before has left."""
    driver = await begin(dut)
    entry = gemv(4 * driver.banks + 1, 1)
    spans = await driver.spans([entry])
    total = sum(n for _, n in spans)
    assert total == 1 + 4 * driver.banks == driver.model.cycles(entry, driver.now)
    words = sum(n for cause, n in spans if cause == Counter.WEIGHT)
    assert words == 5
    assert sum(n for cause, n in spans if cause == Counter.WAIT_DRAIN) == total - words


@BENCH.test()
async def a_full_landing_buffer_stalls(dut):
    """With no row released, exactly as many rows come out as the buffer holds; each released group lets one more go."""
    from hayate.verif.bench.drivers import clock

    driver = await begin(dut, hold=1.0)
    groups = LANDING // driver.banks
    driver.source.put(entry_bits(gemv(LANDING + 2 * driver.banks, 2)))
    await clock(dut, 4 * groups + LANDING + 60)
    assert len(driver.rows) == LANDING
    assert driver.causes[-1] == Counter.WAIT_VECTOR
    driver.hold = 0.0
    await driver.idle()
    assert len(driver.rows) == LANDING + 2 * driver.banks
    assert driver.causes.count(Counter.WEIGHT) == 2 * (groups + 2)


@BENCH.test()
async def the_first_word_comes_two_cycles_after_the_entry(dut):
    from hayate.rtl.tile.matrix import START_LATENCY

    driver = await begin(dut)
    await driver.spans([gemv(1, 1)])
    assert driver.first_word() == driver.taken[-1] + START_LATENCY
