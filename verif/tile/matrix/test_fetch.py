"""Fetches, in the engine: which rows are sent, as which flits, and what they cost."""

from hayate.rtl.contract.isa import Counter, FetchIndex, Op
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.reset import resets
from hayate.verif.tile.matrix.matrix_driver import BANK_DEPTH, SIZES, Driver, engine, entry_bits, macro, positions
from hayate.verif.tile.matrix.matrix_golden import Pass, Position

BENCH = Bench(engine, params=SIZES, sources=macro)


@BENCH.test()
@resets(within=1500)
async def fetches_what_it_owns(dut):
    """Rows in and out of this tile's range, for tokens and both parts of a position, against a ring that is mostly
    full; rows that several positions name are sent to all of them at once.
    """
    random = rng()
    driver = await Driver.begin(dut, stall=0.7)
    driver.fill(random)
    await driver.quiet()
    for index in (FetchIndex.TOKEN, FetchIndex.POS_HI, FetchIndex.POS_LO) * 3:
        driver.show(positions(random, Pass(tiles=random.randrange(1, 6))))
        width = random.choice([1, 3, 7])
        rows = random.randrange(1, BANK_DEPTH // width * driver.banks)
        row0 = random.choice([0, random.randrange(20)])
        if index == FetchIndex.TOKEN:  # the borders of the range are hit
            driver.now.positions[0].token = random.choice(
                [row0, row0 + rows - 1, row0 + rows, max(row0 - 1, 0), (1 << 20) - 1]
            )
            for p in driver.now.positions[1:]:  # some name the same row as others
                p.token = random.choice([p.token, driver.now.positions[0].token])
            driver.show(driver.now)
        entry = {
            "op": Op.FETCH,
            "chan": random.randrange(8),
            "base": 0,
            "words": width,
            "rows": rows,
            "row0": row0,
            "index": index,
            "stage": 8 * random.randrange(8),
        }
        await driver.execute([entry, driver.shape(random), entry])


@BENCH.test()
async def takes_the_cycles_of_the_formula(dut):
    """With a free ring: 6 + words for a row that is here, 4 for one that has been sent, 3 for one that is not here; the
    GEMV behind follows at once.
    """
    random = rng()
    driver = await Driver.begin(dut, pause=0, stall=0, hold=0)
    last = {"op": Op.GEMV, "base": 0, "words": 1, "length": 1, "rows": 1}
    for _ in range(8):
        now = Pass(tiles=4)
        now.positions = [
            Position(random.choice((9, random.randrange(30))), 0, 0)
            for _ in range(random.randrange(1, params()["lanes"] + 1))
        ]
        driver.show(now)
        width = random.choice([1, 4, 12])
        entry = {"op": Op.FETCH, "base": 1, "words": width, "rows": 9, "row0": 8, "index": FetchIndex.TOKEN}
        spans = await driver.spans([entry, last])
        assert spans == [(Counter.FETCH, driver.model.cycles(entry, now)), (Counter.WEIGHT, 1)]


@BENCH.test()
async def a_full_ring_holds_it(dut):
    """While no flit is taken the engine stays busy with FETCH, and nothing is lost."""
    from hayate.verif.bench.drivers import clock

    driver = await Driver.begin(dut, pause=0, stall=1.0)
    driver.fill(rng(), 64)
    await driver.quiet()
    entry = {
        "op": Op.FETCH,
        "chan": 6,
        "base": 3,
        "words": 20,
        "rows": 1,
        "row0": 0,
        "index": FetchIndex.TOKEN,
        "stage": 104,
    }
    driver.source.put(entry_bits(entry))
    await clock(dut, 60)
    assert int(dut.e__busy.value) and driver.causes[-1] == Counter.FETCH
    driver.sink.stall = 0.0
    await driver.idle()
    driver.check([], driver.model.run(entry, driver.now)[1])
