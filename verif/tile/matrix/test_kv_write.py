"""K and V writes, in the engine: where the words land, read back by products, and what they cost."""

from hayate.rtl.contract.isa import Counter, Op
from hayate.rtl.contract.layout import ceil_div
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.reset import resets
from hayate.verif.tile.matrix.matrix_driver import (
    ACT_DEPTH,
    BANK_DEPTH,
    SIZES,
    SLOTS,
    Driver,
    engine,
    macro,
    positions,
    words,
)
from hayate.verif.tile.matrix.matrix_golden import Pass, Position

BENCH = Bench(engine, params=SIZES, sources=macro)


def one_hot(driver, at, n):
    """Activations that pick element n of a row out of every lane's word buffer, from word `at` on."""
    driver.write_act(dict.fromkeys(range(driver.lanes), [0x3C00 << 16 * (n % 4)]), at + n // 4)


@BENCH.test()
@resets(within=1500)
async def keys_land_in_their_slots(dut):
    """K of each position into its slot's row, in groups of one to three tiles, read back by products with ones."""
    random = rng()
    driver = await Driver.begin(dut, hold=0.1, pause=0.1)
    driver.fill(random)
    width = 4
    for size in (1, 2, 3):
        now = Pass(group_size=size, group_index=random.randrange(size))
        for _ in range(3):
            driver.show(positions(random, now))
            act = random.randrange(8, ACT_DEPTH - width)
            driver.write_act({k: words(random, width) for k in range(driver.lanes)}, act)
            await driver.quiet()
            base = random.randrange(8)
            key = {"op": Op.KVW, "base": base, "words": width, "act": act}
            rows = min(4 * ceil_div(SLOTS // 4, size), (BANK_DEPTH - base) // width * driver.banks)
            back = {"op": Op.GEMV, "base": base, "words": width, "length": width, "rows": rows, "live": 0}
            for p in now.positions:  # a small bank holds fewer slots
                p.slot %= rows
            driver.show(now)
            # The row is read right behind the write, with the very words that were written as activations.
            await driver.execute([key, {**back, "act": act}, key, {**back, "act": 0}])


@BENCH.test()
async def values_are_merged_into_their_columns(dut):
    """V of each position into its column: neighbours of the same word keep theirs, positions of one pass share
    words.
    """
    random = rng()
    driver = await Driver.begin(dut, hold=0.1, pause=0.1)
    driver.fill(random)
    columns = 3  # words, so 12 slots
    for round_ in range(6):
        now = Pass()
        count = driver.lanes if round_ < 3 else random.randrange(1, driver.lanes + 1)
        now.positions = [
            Position(0, 0, s) for s in random.sample(range(4 if round_ == 0 and count <= 4 else 4 * columns), count)
        ]
        driver.show(now)
        rows = random.choice([4, 8, 12, 16])
        act = random.randrange(16, ACT_DEPTH - 4)
        driver.write_act({k: words(random, 4) for k in range(driver.lanes)}, act)
        for n in range(columns):  # all slots of a column pass through the sum with a weight of their own
            driver.write_act({k: words(random, 1) for k in range(driver.lanes)}, n)
        await driver.quiet()
        base = random.randrange(8)
        value = {"op": Op.KVW, "value": 1, "base": base, "words": columns, "act": act, "rows": rows}
        back = {"op": Op.GEMV, "base": base, "words": columns, "length": columns, "rows": rows, "live": 0, "kv": 1}
        await driver.execute([value, back])
        for slot in now.positions[0].slot, 1:
            driver.write_act(dict.fromkeys(range(driver.lanes), [0] * columns), 4)
            one_hot(driver, 4, slot)
            await driver.quiet()
            await driver.execute([{**back, "act": 4}])


@BENCH.test()
async def takes_the_cycles_of_the_formula(dut):
    """K and V of random passes cost what the golden model says, each cycle attributed to KV_WRITE; the GEMV behind
    follows at once.
    """
    from hayate.verif.bench.drivers import clock

    random = rng()
    driver = await Driver.begin(dut, pause=0, stall=0, hold=0)
    last = {"op": Op.GEMV, "base": 0, "words": 1, "length": 1, "rows": 1}
    for _ in range(8):
        now = Pass(group_size=random.choice([1, 2, 3]))
        now.group_index = random.randrange(now.group_size)
        count = random.randrange(1, params()["lanes"] + 1)
        now.positions = [Position(0, 0, s) for s in random.sample(range(32), count)]
        driver.show(now)
        await clock(dut, 16 * driver.lanes)  # the homes of the new slots are being computed
        for entry in (
            {"op": Op.KVW, "base": 1, "words": random.randrange(1, 5), "act": 2},
            {"op": Op.KVW, "base": 1, "words": 8, "act": 2, "rows": random.choice([4, 8, 12]), "value": 1},
        ):
            cycles = driver.model.cycles(entry, now)
            assert await driver.spans([entry, last]) == [(Counter.KV_WRITE, cycles), (Counter.WEIGHT, 1)]


@BENCH.test()
async def a_new_slot_is_waited_for(dut):
    """A write right behind the change of pass and group uses the new homes."""
    random = rng()
    driver = await Driver.begin(dut, pause=0, hold=0)
    driver.fill(random, 64)
    await driver.quiet()
    for size in (3, 1, 2, 1, 3):
        driver.show(positions(random, Pass(group_size=size, group_index=size - 1)))
        for p in driver.now.positions:
            p.slot %= 16
        driver.show(driver.now)
        key = {"op": Op.KVW, "base": 0, "words": 2, "act": random.randrange(8)}
        await driver.execute(
            [key, {"op": Op.GEMV, "base": 0, "words": 2, "length": 2, "rows": 16, "live": 0, "act": 9}]
        )
