"""Energies against integers of any size: saturation, any order of matrices, clearing, reads among rows, damaged
totals.
"""

import numpy as np

from hayate.rtl.contract.isa import Energy as Kind
from hayate.rtl.tile.energy import ENERGY_LATENCY, READ_LATENCY, Energy
from hayate.rtl.tile.queues import Grids
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, settle, start
from hayate.verif.bench.reset import resets

BENCH = Bench(
    lambda lanes, depth: Energy(lanes, depth, inject=True),
    params=[{"lanes": 1, "depth": 64}, {"lanes": 4, "depth": 12}, {"lanes": 8, "depth": 16}],
    optimize="-O0",
)
MASK = (1 << 96) - 1
GRIDS = ("out", "err", "int8_err")  # by `Energy`


def term(acc, grid):
    """Square of `acc` on its grid."""
    return int(np.clip(acc >> grid, -(1 << 15), (1 << 15) - 1)) ** 2


class Model:
    """Totals by (matrix, kind)."""

    def __init__(self):
        self.totals = {}

    def row(self, row):
        kind = Kind.INT8_ERR if row["difference"] else Kind.OUT
        self._add(row["planes"], kind, row["sums"], row["grids"][GRIDS[kind]], row["mask"])
        if row["low_valid"]:
            self._add(row["planes"], Kind.ERR, row["lows"], row["grids"]["err"], row["mask"])

    def _add(self, matrix, kind, values, grid, mask):
        found = sum(term(v, grid) for k, v in enumerate(values) if mask >> k & 1)
        self.totals[matrix, kind] = self.totals.get((matrix, kind), 0) + found


def value(r, grid):
    """A sum around the ends of what its grid can tell apart, of either sign, or any size up to the accumulator's."""
    what = r.random()
    if what < 0.3:
        found = ((r.choice([0x7FFE, 0x7FFF, 0x8000, 0x8001, 0, 1]) << grid) + r.randrange(-1, 2)) * r.choice([1, -1])
    elif what < 0.6:
        found = (
            r.randrange(-(1 << 15), 1 << 15) << grid | r.getrandbits(grid) if grid else r.randrange(-(1 << 15), 1 << 15)
        )
    else:
        found = r.getrandbits(r.randrange(1, 96)) * r.choice([1, -1])
    return max(-(1 << 95), min((1 << 95) - 1, found))


def some_row(r, matrices):
    grids = {name: r.choice([0, 1, 15, 16, 17, 63, 64, 79, 80, 81, 95, 96, 127, r.randrange(128)]) for name in GRIDS}
    difference = r.getrandbits(1)
    lanes = params()["lanes"]
    return {
        "planes": r.choice(matrices),
        "difference": difference,
        "low_valid": r.getrandbits(1),
        "mask": r.getrandbits(lanes),
        "grids": grids,
        "sums": [value(r, grids["int8_err" if difference else "out"]) for _ in range(lanes)],
        "lows": [value(r, grids["err"]) for _ in range(lanes)],
    }


def drive(dut, row, r):
    """Present `row`, or noise without `valid`."""
    dut.row__valid.value = int(row is not None)
    for name, content in (row or some_row(r, range(params()["depth"]))).items():
        if isinstance(content, list):
            content = sum((v & MASK) << 96 * k for k, v in enumerate(content))
        if name == "grids":
            content = Grids.const(content).as_bits()
        getattr(dut, f"row__{name}").value = content


async def clear(dut):
    dut.clear.value = 1
    await clock(dut)
    dut.clear.value = 0


async def read(dut, matrix, kind):
    """The total and the cycles that it took."""
    dut.read.value, dut.read_index.value, dut.read_kind.value = 1, matrix, int(kind)
    await clock(dut)
    dut.read.value = 0
    for cycle in range(1, 100):
        await settle()
        if int(dut.read_valid.value):
            total = int(dut.read_total.value)
            await clock(dut)
            return total, cycle
        await clock(dut)
    raise AssertionError("a read is not answered")


async def check(dut, model):
    await clock(dut, ENERGY_LATENCY)  # rows under way would hold the first read back
    for matrix in range(params()["depth"]):
        for kind in Kind:
            assert await read(dut, matrix, kind) == (model.totals.get((matrix, kind), 0), READ_LATENCY), (matrix, kind)
    assert (await read(dut, 0, 3))[0] == 0


@BENCH.test()
@resets(within=120)
async def totals_equal_integers(dut):
    """Few matrices make for rows of the same one at every distance; a clear without a pause begins the next round."""
    await start(dut)
    r = rng("rows")
    for matrices in ([3], [0, params()["depth"] - 1], [1, 2, 3], range(params()["depth"])):
        await clear(dut)
        model = Model()
        for _ in range(150):
            row = some_row(r, matrices) if r.random() < 0.8 else None
            drive(dut, row, r)
            if row:
                model.row(row)
            await clock(dut)
        drive(dut, None, r)
        await check(dut, model)
        drive(dut, some_row(r, matrices), r)  # under way when the next round's clear comes
        await clock(dut)
        drive(dut, None, r)


@BENCH.test()
async def totals_grow_beyond_32_bits(dut):
    await start(dut)
    await clear(dut)
    lanes, model = params()["lanes"], Model()
    row = {
        "planes": 5,
        "difference": 1,
        "low_valid": 1,
        "mask": (1 << lanes) - 1,
        "grids": dict.fromkeys(GRIDS, 3),
        "sums": [-(1 << 95)] * lanes,
        "lows": [(1 << 95) - 1] * lanes,
    }
    drive(dut, row, rng("noise"))
    for _ in range(40):
        model.row(row)
        await clock(dut)
    dut.row__valid.value = 0
    assert min(model.totals.values()) > 1 << 32
    for kind in Kind:
        assert (await read(dut, 5, kind))[0] == model.totals.get((5, kind), 0)


@BENCH.test()
async def a_read_waits_for_rows_before_it(dut):
    await start(dut)
    await clear(dut)
    r, model = rng("rows"), Model()
    for streak in (1, 2, 5, 9):
        rows = [some_row(r, [7]) for _ in range(streak)]
        dut.read.value, dut.read_index.value, dut.read_kind.value = 1, 7, int(Kind.OUT)  # with the first of them
        for row in rows:
            model.row(row)
            drive(dut, row, r)
            await clock(dut)
            dut.read.value = 0
            await settle()
            assert not int(dut.read_valid.value)
        drive(dut, None, r)
        await clock(dut, ENERGY_LATENCY - 2)  # the last row was presented a cycle ago
        await settle()
        assert not int(dut.read_valid.value)
        await clock(dut)
        await settle()
        assert int(dut.read_valid.value) and int(dut.read_total.value) == model.totals.get((7, Kind.OUT), 0)
        await clock(dut)


@BENCH.test()
async def what_was_cleared_stays_away(dut):
    """Totals that nobody reads or adds to grow old: as many generations as an epoch counts, as close as allowed, with
    resets.
    """
    await start(dut)
    r, depth = rng("generations"), params()["depth"]
    least = -(-(2 * depth + 3 * 31) // 31)  # cycles from clear to clear
    for gaps, reset in (
        ([0] * 16, 0),  # more than half an epoch at once
        ([least] * 32, 0),
        ([2 * depth] * 32, 0),  # what is refreshed last is under way at every clear
        ([least + 3] * 32, 2 * depth),
        ([1], 1),  # an epoch that began again with the reset would be the one of what is added up next
    ):
        if reset:
            dut.rst.value = 1
            await clock(dut)
            dut.rst.value = 0
        for matrix in range(depth):
            for difference in range(2):
                row = some_row(r, [matrix])
                drive(dut, {**row, "difference": difference, "low_valid": 1, "mask": (1 << params()["lanes"]) - 1}, r)
                await clock(dut)
        drive(dut, None, r)
        await clock(dut, ENERGY_LATENCY)
        for gap in gaps:
            await clear(dut)
            await clock(dut, gap // 2)
            if reset:
                dut.rst.value = 1
                await clock(dut, reset)
                dut.rst.value = 0
            await clock(dut, gap - gap // 2)
        await check(dut, Model())


@BENCH.test()
async def clears_of_nothing_use_up_no_epoch(dut):
    """As many as an epoch counts, a cycle apart: generations that end at once. What came before the first stays
    away.
    """
    await start(dut)
    r = rng("nothing")
    for clears in (31, 32, 33, 64):
        for matrix in range(params()["depth"]):
            drive(dut, {**some_row(r, [matrix]), "low_valid": 1, "mask": (1 << params()["lanes"]) - 1}, r)
            await clock(dut)
        drive(dut, None, r)
        await clock(dut, ENERGY_LATENCY)
        for _ in range(clears):
            await clear(dut)
        await check(dut, Model())


@BENCH.test()
async def damaged_totals_are_noticed(dut):
    await start(dut)
    await clear(dut)
    await clock(dut, 2 * params()["depth"] + 8)
    r = rng("flips")
    seen = 0

    async def watch():
        nonlocal seen
        while True:
            await clock(dut)
            seen += int(dut.parity.value)

    import cocotb

    cocotb.start_soon(watch())
    await check(dut, Model())
    assert seen == 0
    for bit in range(72):
        dut.flip.value = 1 << bit
        drive(dut, {**some_row(r, [2]), "low_valid": 1}, r)
        await clock(dut)
        drive(dut, None, r)
        await clock(dut, 12)
        dut.flip.value = 0
        before = seen
        await read(dut, 2, r.choice(list(Kind)))
        await clock(dut, 2)
        assert seen > before, f"flip of bit {bit} was missed"
        await clear(dut)  # zeros everywhere again
        await clock(dut, 2 * params()["depth"] + 8)
