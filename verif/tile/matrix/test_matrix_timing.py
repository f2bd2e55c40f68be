"""Cycles of the matrix engine, exactly: throughput, latency, stalls and what each cycle is attributed to."""

from hayate.rtl.contract.isa import Counter, Op
from hayate.rtl.contract.precision import Format, stream_words
from hayate.verif.bench import Bench, rng
from hayate.verif.tile.matrix.matrix_driver import LANDING, SIZES, Driver, engine, entry_bits, macro, nested
from hayate.verif.tile.matrix.planes import any_read, load_matrices, load_matrix, read

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
    from hayate.rtl.contract.latencies import ROW_LATENCY

    driver = await begin(dut)
    for rows, length in ((1, 9), (driver.banks, 8), (2 * driver.banks + 1, 10), (5, 12)):
        entry = gemv(rows, length)
        groups = -(-rows // driver.banks)
        assert await driver.spans([entry]) == [(Counter.WEIGHT, groups * length)]
        assert driver.model.cycles(entry, driver.now) == groups * length
        first_word = driver.first_word()
        due = [
            first_word + g * length + length - 1 + ROW_LATENCY + i
            for g in range(groups)
            for i in range(min(driver.banks, rows - g * driver.banks))
        ]
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
    assert await driver.spans([long, {**long, "kv": 1}, long]) == [
        (Counter.WEIGHT, 16),
        (Counter.KV_READ, 16),
        (Counter.WEIGHT, 16),
    ]
    wait = {"op": Op.M_WAIT, "chan": 3, "count": 1}
    driver.sync(3)
    driver.sync(3)
    await driver.quiet()
    assert await driver.spans([long, wait, long, wait, long]) == [(Counter.WEIGHT, 48)]


@BENCH.test(only=nested)
async def formats_cost_their_words(dut):
    """With groups of 128, 512 elements take 128 cycles in FP16, 65 in INT8, 33 in INT4, and formats follow each other
    without a bubble.
    """
    driver, random = await begin(dut), rng()
    groups = 2
    matrix = load_matrix(driver, random, groups * driver.banks - driver.banks // 2, 128, 2, fp16=1)
    await driver.quiet()
    entries = {fmt: read(random, matrix, fmt) for fmt in Format}
    for fmt, words in ((Format.FP16, 128), (Format.INT8, 65), (Format.INT4, 33)):
        assert words == stream_words(512, 128, fmt)
        assert driver.model.cycles(entries[fmt], driver.now) == groups * words
        assert await driver.spans([entries[fmt]]) == [(Counter.WEIGHT, groups * words)]
    mixed = [Format.INT4, Format.FP16, Format.INT8, Format.INT8, Format.INT4, Format.INT4, Format.FP16]
    words = sum(stream_words(512, 128, fmt) for fmt in mixed)
    assert await driver.spans([entries[fmt] for fmt in mixed]) == [(Counter.WEIGHT, groups * words)]


@BENCH.test(only=nested)
async def rows_of_every_format_are_on_time(dut):
    """Random shapes, also rows shorter than their group is high: cycles as modelled, rows and the governor's sums
    ROW_LATENCY behind.
    """
    from hayate.rtl.contract.latencies import NORM_LATENCY, ROW_LATENCY

    driver, random = await begin(dut), rng()
    matrices = [*load_matrices(driver, random, 6), load_matrix(driver, random, 2 * driver.banks + 1, 1, 0, fp16=1)]
    assert matrices[-1]
    await driver.quiet()
    for matrix in [m for m in matrices for _ in range(3)]:
        entry = any_read(driver, random, matrix)
        if driver.governor and matrix is matrices[-1]:
            entry = read(random, matrix, measure=True)
        streams = driver.model.streams(entry)
        driver.causes.clear()
        driver.row_cycles.clear()
        driver.rows.clear()
        driver.energy_cycles.clear()
        driver.cycle = 0
        spans = await driver.spans([entry])
        energy_cycles = driver.energy_cycles
        assert sum(n for _, n in spans) == driver.model.cycles(entry, driver.now)
        # Each stream begins as the one before it ends; its last word waits until the rows of that one have left.
        at, before, due, energies = driver.first_word() - 1, 0, [], []
        for first in range(0, matrix["rows"], driver.banks):
            rows = min(driver.banks, matrix["rows"] - first)
            for i, words in enumerate(streams):
                at += max(words, before)
                before = rows
                if i == 0:
                    due += [at + ROW_LATENCY + r for r in range(rows)]
                energies += [at + ROW_LATENCY - NORM_LATENCY + r for r in range(rows)]
        assert driver.row_cycles == due
        assert energy_cycles == (energies if entry.get("measure") else [])


@BENCH.test()
async def what_a_wait_costs(dut):
    """The first word issues four cycles after the SYNC is shown; a wait that is satisfied when it comes costs one
    cycle.
    """
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
    from hayate.rtl.tile.matrix.engine import START_LATENCY

    driver = await begin(dut)
    await driver.spans([gemv(1, 1)])
    assert driver.first_word() == driver.taken[-1] + START_LATENCY
