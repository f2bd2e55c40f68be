"""The matrix engine where small machines never come: the last addresses of the largest bank, slots above 1,023, 8
lanes, 32 banks.
"""

import pytest

from hayate.rtl.contract.isa import BANK_BITS, FetchIndex, Op
from hayate.verif.bench import Bench, params, rng
from hayate.verif.tile.matrix.matrix_driver import ACT_DEPTH, Driver, engine, macro
from hayate.verif.tile.matrix.matrix_golden import Pass, Position
from hayate.verif.tile.matrix.planes import any_read, load_matrices

DEPTH = 1 << 15  # words at the end of a bank
SLOTS = 1 << 14


def large(**sizes):
    return engine(**sizes, max_slots=SLOTS)


#: Planes cost a wide engine most of its time to build; their addresses have a bench of their own (test_gemv).
BENCH = Bench(
    large,
    params=[{"banks": 1, "lanes": 8, "nested": False, "bank_depth": 1 << BANK_BITS}],
    sources=macro,
    sims=("verilator",),
    optimize="-O0",
)
LARGER = Bench(
    large,
    params=[
        {"banks": 32, "lanes": 1, "nested": False, "bank_depth": DEPTH},
        {"banks": 2, "lanes": 8, "governor": True, "bank_depth": 1 << BANK_BITS},
    ],
    sources=macro,
    sims=("verilator",),
    optimize="-O0",
)

GROUP = 16  # tiles that share the slots
COLUMNS = SLOTS // 4  # words of a row of V
K, V = 1100, 4000  # where keys and values lie


def far_positions(random, now):
    """As many as there are lanes, with slots of this tile up to the last one and indices up to the largest."""
    quads = random.sample(range(now.group_index, SLOTS // 4, GROUP), 2 * params()["lanes"])[: params()["lanes"]]
    now.positions = [
        Position(
            (1 << 20) - 1 - random.randrange(30), (1 << 16) - 1 - random.randrange(100), 4 * q + random.randrange(4)
        )
        for q in quads
    ]
    now.positions[-1].slot = 4 * (SLOTS // 4 - GROUP + now.group_index) + 3
    return now


@BENCH.test()
async def random_programs_at_the_far_end(dut):
    await far_end(dut)


@pytest.mark.nightly
@LARGER.test()
async def larger_engines_at_the_far_end(dut):
    await far_end(dut)


async def far_end(dut):
    random = rng()
    driver = await Driver.begin(dut, hold=0.3, stall=0.1, pause=0.1, depth=DEPTH)
    driver.fill(random)
    matrices = load_matrices(driver, random, 4) if driver.nested else []
    useful = 0
    for _ in range(2):
        now = far_positions(
            random, Pass(tiles=GROUP, group_size=GROUP, group_index=random.randrange(GROUP), want=random.getrandbits(8))
        )
        driver.show(now)
        await driver.quiet()
        program = [driver.shape(random) for _ in range(4)]
        program += [any_read(driver, random, random.choice(matrices)) for _ in range(5) if matrices]
        for index, row0 in ((FetchIndex.TOKEN, (1 << 20) - 20), (FetchIndex.POS_HI, 4090), (FetchIndex.POS_LO, 5)):
            where = {"chan": random.randrange(16), "stage": 4000}
            program.append({"op": Op.FETCH, "words": 3, "rows": 20, "row0": row0, "index": index, **where})
        random.shuffle(program)
        act = random.randrange(8, ACT_DEPTH - 4)
        program.append({"op": Op.KVW, "base": K, "words": 2, "act": act})
        program.append({"op": Op.KVW, "value": 1, "base": V, "words": COLUMNS, "rows": 4, "act": act})
        for p in now.positions:
            row, column = p.slot // 4 // GROUP * 4 + p.slot % 4, p.slot // 4
            program += [
                {
                    "op": Op.GEMV,
                    "base": K + row // driver.banks * 2,
                    "words": 2,
                    "length": 2,
                    "rows": driver.banks,
                    "act": act,
                },
                {"op": Op.GEMV, "base": V + column, "words": COLUMNS, "length": 1, "rows": 4, "act": act, "kv": 1},
            ]
        await driver.execute(program)
        useful += sum(e["live"] * driver.model.streams(e)[0] for e in program if "live" in e)
    assert sum(driver.useful.values()) == useful
