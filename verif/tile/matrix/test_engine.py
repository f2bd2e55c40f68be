"""Matrix engine against the golden one: shapes, ring traffic, faults and whole random programs."""

import pytest

from hayate.rtl.contract.isa import Counter, Op
from hayate.verif.bench import Bench, rng
from hayate.verif.bench.drivers import clock
from hayate.verif.bench.reset import resets
from hayate.verif.tile.matrix.matrix_driver import (
    ACT_DEPTH,
    SIZES,
    SLOTS,
    Driver,
    engine,
    entry_bits,
    macro,
    nested,
    positions,
    word,
)
from hayate.verif.tile.matrix.matrix_golden import Pass
from hayate.verif.tile.matrix.planes import any_read, load_matrices

BENCH = Bench(engine, params=SIZES, sources=macro)
FAULTS = Bench(
    lambda **sizes: engine(**sizes, inject=True),
    params=[{"banks": 2, "lanes": 2}, {"banks": 2, "lanes": 2, "nested": False}],
    sources=macro,
)


@BENCH.test()
async def random_shapes_back_to_back(dut):
    """GEMVs of all shapes, with ring traffic into words that they do not read, random releases and pauses."""
    random = rng()
    driver = await Driver.begin(dut, hold=0.6, pause=0.1)
    driver.fill(random)
    await driver.quiet()
    shapes = [driver.shape(random) for _ in range(25)]
    # Shapes read the lower half of the activation buffer only; the upper half is being filled meanwhile.
    for _ in range(120):
        lanes = random.sample(range(driver.lanes), random.randrange(1, driver.lanes + 1))
        driver.write_act({k: [word(random)] for k in lanes}, random.randrange(ACT_DEPTH // 2, ACT_DEPTH))
    await driver.execute(shapes)
    for kv in (0, 1):
        assert driver.useful[kv] == sum(s["live"] * s["length"] for s in shapes if s["kv"] == kv)
    await driver.quiet()
    upper = [{**s, "act": s["act"] + ACT_DEPTH // 2} for s in shapes[:8]]
    await driver.execute(upper)


@BENCH.test(only=nested)
async def every_format_back_to_back(dut):
    """Matrices with planes in every format and, with a governor, measured; whatever is read before and behind them,
    FP16 words too.
    """
    random = rng()
    driver = await Driver.begin(dut, hold=0.4, pause=0.1)
    driver.fill(random)
    matrices = load_matrices(driver, random, 8)
    assert len(matrices) > 2
    measured = []
    await driver.quiet()
    for _ in range(3):
        driver.show(positions(random, Pass()))
        shapes = [
            driver.shape(random) if random.random() < 0.3 else any_read(driver, random, random.choice(matrices))
            for _ in range(14)
        ]
        driver.useful.clear()
        measured += [s["dual"] for s in shapes if s.get("measure")]
        await driver.execute(shapes)
        for kv in (0, 1):
            assert driver.useful[kv] == sum(
                s["live"] * driver.model.streams(s)[0] for s in shapes if s.get("kv", 0) == kv
            )
    assert set(measured) == ({0, 1} if driver.governor else set())


@BENCH.test()
async def nothing_to_do_gives_nothing(dut):
    random = rng()
    driver = await Driver.begin(dut)
    driver.fill(random, 16)
    await driver.quiet()
    some = {"op": Op.GEMV, "base": 2, "words": 2, "length": 2, "rows": 3, "live": 3}
    await driver.execute(
        [
            {**some, "rows": 0},
            some,
            {**some, "length": 0},
            {**some, "rows": 0, "length": 0},
            some,
            {**some, "rows": 0, "kv": 1},
            some,
        ]
    )
    assert len(driver.no_rows) == 2


@BENCH.test()
async def a_gemv_without_rows_has_its_turn(dut):
    """It is told of behind the waits before it, and when the words of the GEMVs before it are all on their way."""
    random = rng()
    driver = await Driver.begin(dut, hold=0, pause=0)
    driver.fill(random, 16)
    await driver.quiet()
    some = {"op": Op.GEMV, "base": 2, "words": 10, "length": 10, "rows": 2 * driver.banks, "live": 0}
    wait, none = {"op": Op.M_WAIT, "chan": 3, "count": 2}, {**some, "rows": 0}
    driver.source.put(*(entry_bits(e) for e in (some, none, wait, none, some)))
    driver.sync(3)
    await clock(dut, 100)
    last_word = max(at for at, cause in enumerate(driver.causes) if cause == Counter.WEIGHT) - 1
    assert len(driver.no_rows) == 1 and driver.no_rows[0] > last_word and len(driver.rows) == 2 * driver.banks
    driver.sync(3)
    await driver.idle()
    assert len(driver.no_rows) == 2 and driver.no_rows[1] > driver.synced[1] and len(driver.rows) == 4 * driver.banks


@BENCH.test()
@resets(within=2500)
async def random_programs(dut):
    """Every kind of entry in any order; waits are satisfied while the program runs."""
    random = rng()
    driver = await Driver.begin(dut, hold=0.5, stall=0.3, pause=0.3)
    driver.fill(random)
    matrices = load_matrices(driver, random, 5) if driver.nested else []
    for _ in range(4):
        driver.show(positions(random, Pass(tiles=3, group_size=2, group_index=1)))
        await driver.quiet()
        program, channels = [], []
        for _ in range(25):
            kind = random.choice([Op.GEMV, Op.GEMV, Op.GEMV, Op.KVW, Op.FETCH, Op.M_WAIT])
            act = random.randrange(ACT_DEPTH // 2)
            if kind == Op.GEMV:
                planes = matrices and random.getrandbits(1)
                program.append(any_read(driver, random, random.choice(matrices)) if planes else driver.shape(random))
            elif kind == Op.M_WAIT:
                chan, count = random.randrange(8), random.randrange(4)
                channels += [chan] * count
                program.append({"op": kind, "chan": chan, "count": count})
            elif kind == Op.FETCH:
                program.append(
                    {"op": kind, "chan": 1, "words": 2, "rows": 40, "row0": 3, "index": random.randrange(3), "stage": 8}
                )
            elif random.getrandbits(1):
                program.append({"op": kind, "value": 1, "base": 60, "words": SLOTS // 4, "rows": 4, "act": act})
            else:
                program.append({"op": kind, "base": random.randrange(8), "words": 2, "act": act})
        random.shuffle(channels)
        for chan in channels:
            driver.sync(chan)
            if random.random() < 0.5:  # other traffic in between: nobody reads the upper half
                driver.write_act({0: [word(random)]}, ACT_DEPTH - 1 - random.randrange(8))
        await driver.execute(program)


@FAULTS.test()
async def flipped_bits_are_seen(dut):
    """One flip in a bank is put right, two are reported; a flip in the activation buffer is reported, when read and
    only then.
    """
    random = rng()
    driver = await Driver.begin(dut, hold=0.1)
    driver.fill(random, 16)
    await driver.quiet()
    read = {"op": Op.GEMV, "base": 0, "words": 2, "length": 2, "rows": 4, "live": 4, "act": 0}
    for flip, strobe in ((1 << 5, "corrected"), (1 << 70, "corrected"), (3 << 20, "uncorrectable")):
        driver.strobes.clear()
        dut.e__flip_bank.value = flip
        driver.load(1, 3, [int(driver.model.bank[1, 3])])
        await driver.quiet()
        dut.e__flip_bank.value = 0
        if strobe == "corrected":
            await driver.execute([read])
        else:
            driver.source.put(entry_bits(read))
            await driver.idle()
            driver.rows.clear()
        assert driver.strobes == {"corrected": 0, "uncorrectable": 0, "parity": 0, strobe: 1}
    driver.load(1, 3, [0])
    for bit in (0, 40, 64, 65):
        driver.strobes.clear()
        dut.e__flip_act.value = 1 << bit
        driver.write_act({1: [0]}, 1)
        await driver.quiet()
        dut.e__flip_act.value = 0
        await clock(dut, 5)
        assert driver.strobes["parity"] == 0
        driver.model.act[1, 1] = 1 << bit if bit < 64 else 0
        await driver.execute([read])
        # once for each of the two row groups
        assert driver.strobes == {"corrected": 0, "uncorrectable": 0, "parity": 2}


def test_bank_depth_is_checked():
    from hayate.rtl.tile.matrix.engine import MatrixEngine

    with pytest.raises(ValueError, match="a bank has at most 1048576 words, not 1048577"):
        MatrixEngine(banks=1, lanes=1, bank_depth=1048577, act_depth=64, max_slots=16, landing_depth=32)
