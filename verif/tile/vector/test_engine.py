"""The vector engine against its golden model: whole random passes, exact cycles, back-pressure."""

import cocotb
import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hayate.golden.tile.cycles import run as run_cycles
from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import Op, PassWord
from hayate.rtl.contract.latencies import SELECT_CYCLES
from hayate.rtl.contract.words import COMMIT
from hayate.rtl.tile.vector.engine import VectorEngine
from hayate.sim.tools import installed
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, start
from hayate.verif.bench.reset import resets
from hayate.verif.tile.vector.vector_driver import APART, NO_ROWS, Driver, no_rows
from hayate.verif.tile.vector.vector_golden import VectorGolden
from hayate.verif.tile.vector.vector_programs import (
    EPS,
    FIELDS,
    GAIN,
    INVD,
    LNP,
    MICROS,
    RINV,
    SCALE,
    STAGE_DEPTH,
    VMEM_DEPTH,
    ZINV,
    X,
)
from hayate.verif.tile.vector.vector_scenario import HEAD_DIM, MAX_SLOTS, Pass, entry, geometry, run

LANDING = 32
CONSTANTS = {
    INVD: 1 / 64,
    EPS: 1e-5,
    SCALE: 0.25,
    GAIN: 1.5,
    LNP: -1.5,
    RINV: 0.7,
    ZINV: 0.01,
    **{X + k: k - 20.5 for k in range(64)},
}
CONSTANTS = {address: np.float32(value) for address, value in CONSTANTS.items()}


class Boxed(wiring.Component):
    """The engine with `e__` before its ports: `release` is a Verilog keyword, which a top module cannot have as a
    port.
    """

    def __init__(self, lanes):
        self.engine = VectorEngine(
            lanes=lanes,
            vmem_depth=VMEM_DEPTH,
            stage_depth=STAGE_DEPTH,
            micro_depth=64,
            landing_depth=LANDING,
            max_slots=MAX_SLOTS,
        )
        super().__init__({"e": Out(self.engine.signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.engine = self.engine
        wiring.connect(m, self.engine, wiring.flipped(self.e))
        return m


def engine(lanes=2):
    return Boxed(lanes)


BENCH = Bench(engine, params=[{"lanes": 1}, {"lanes": 2}, {"lanes": 8}, {"lanes": 4}])
# what builds it sooner
MOST = Bench(engine, params=[{"lanes": 8}], sims=installed(("icarus", "verilator"))[:1], optimize="-O0")


async def prepare(dut, tile, **options):
    """A driver with everything loaded, and the golden model in the same state."""
    lanes = params()["lanes"]
    await start(dut)
    driver = Driver(dut, rng("driver"), lanes=lanes, landing_depth=LANDING, **options)
    golden = VectorGolden(lanes=lanes, vmem_depth=VMEM_DEPTH, stage_depth=STAGE_DEPTH, max_slots=MAX_SLOTS, tile=tile)
    golden.micro = dict(enumerate(FIELDS))
    for address, value in CONSTANTS.items():
        golden.vmem[:, address] = value
    await driver.load(MICROS, CONSTANTS)
    return driver, golden


async def perform(driver, golden, this):
    """One pass on both."""
    passes = {"positions": this.positions, "want": this.want, "hwm": this.hwm, "second": this.second}
    driver.set_pass(passes, this.states, this.tile)
    driver.dut.e__seed.value = golden.seed = this.seed
    golden.begin(this.states, **passes)
    await driver.receive(this.begin, pause=0)
    for flit in this.begin:
        golden.receive(flit)
    for step in this.steps:
        driver.rows += step.rows
        golden.rows.extend(row for row in step.rows if row is not NO_ROWS)
        if step.flits:
            await clock(driver.dut, APART)
            await driver.receive(step.flits)
            for flit in step.flits:
                golden.receive(flit)
        golden.execute(step.entry)
        await driver.entries([step.entry])
    await driver.idle()


def compare(driver, golden):
    sent = driver.sent()
    for k, (got, wanted) in enumerate(zip(sent, golden.sent)):
        assert got == wanted, f"flit {k} of {len(golden.sent)}: {got}, not {wanted}"
    assert len(sent) == len(golden.sent)
    assert len(driver.trace) == len(golden.trace)
    for (row, mask, values), (wanted_row, wanted_mask, wanted) in zip(driver.trace, golden.trace):
        assert (row, mask) == (wanted_row, wanted_mask)
        assert all(w is None or v == w for v, w in zip(values, wanted)), (row, values, wanted)
    assert driver.saturated == golden.saturated
    assert driver.parity == 0
    assert driver.room == LANDING and not driver.rows and not golden.rows


@BENCH.test()
@resets(within=3000)
async def passes(dut):
    r = rng("passes")
    tile = geometry(r)
    driver, golden = await prepare(dut, tile)
    # Reset clears no memory: what golden takes to be zero is made so.
    await driver.load([], {address: np.float32(0) for address in range(VMEM_DEPTH) if address not in CONSTANTS})
    driver.set_pass({"positions": 1, "want": 0, "hwm": 4}, [{}] * params()["lanes"], tile)
    for slot in range(MAX_SLOTS):
        flit = {"kind": FlitKind.PASS, "chan": PassWord.COMMIT, "data": COMMIT.pack(slot=slot)}
        await driver.receive([flit], pause=0)
        golden.receive(flit)
        await clock(dut, 24)  # a note is at work for as long as a division takes
    for _ in range(4):
        await perform(driver, golden, Pass(r, params()["lanes"], tile))
    compare(driver, golden)
    assert golden.saturated > 0 and sum(max(1, len(flit["words"])) for flit in golden.sent) > 200


@MOST.test()
async def eight_lanes(dut):
    """Every lane's result saturates in cycles in which all that is rounded to FP16 does, too; and all of it is sent."""
    r, lanes = rng("passes"), params()["lanes"]
    tile = geometry(r)
    driver, golden = await prepare(dut, tile)
    passes, state = {"positions": lanes, "want": 0, "hwm": 4}, {"token": 0, "position": 0, "slot": 0, "ancestors": 1}
    driver.set_pass(passes, [state] * lanes, tile)
    golden.begin([state] * lanes, **passes)
    rows = [np.full(lanes, np.finfo(np.float32).max)] * 32
    driver.rows += rows
    golden.rows.extend(rows)
    for this in (run("residual", 32, landing=1, send=1), run("final", 32, send=1)):
        golden.execute(this)
        await driver.entries([this])
    await driver.idle()
    compare(driver, golden)
    assert driver.most_saturated == 2 * lanes


@BENCH.test()
async def passes_in_a_slow_ring(dut):
    r = rng("slow")
    tile = geometry(r)
    driver, golden = await prepare(dut, tile, stall=0.85, pause=0.02)
    for _ in range(2):
        await perform(driver, golden, Pass(r, params()["lanes"], tile))
    compare(driver, golden)


@BENCH.test()
async def passes_without_pauses(dut):
    r = rng("fast")
    tile = {**geometry(r), "top_k": r.choice([3, 20, 64])}
    driver, golden = await prepare(dut, tile, stall=0, pause=0)
    lanes = params()["lanes"]
    for n in range(max(3, lanes)):  # of every count of positions
        await perform(driver, golden, Pass(r, lanes, tile, n % lanes + 1))
    compare(driver, golden)


PLAIN = {
    "index": 0,
    "count": 1,
    "group_lo": 0,
    "group_hi": 0,
    "group_size": 1,
    "group_index": 0,
    "heads": 1,
    "head0": 0,
    "att_senders": 1,
    "group": 1,
    "hdq": HEAD_DIM // 4,
}


async def measure(driver, golden, this):
    """Cycles that an entry occupies the engine, its rows waiting and the ring free."""
    rows = [np.ones(driver.lanes, np.float32) for _ in range(golden.rows_needed(this))]
    driver.rows += rows or no_rows(this)
    golden.rows.extend(rows)
    await clock(driver.dut, APART)
    first, (taken,) = await driver.entries([this], pause=0)
    golden.execute(this)
    await driver.idle()
    return taken - first + 1


@BENCH.test()
async def cycles(dut):
    lanes = params()["lanes"]
    driver, golden = await prepare(dut, PLAIN, stall=0, pause=0)
    passes = {"positions": lanes, "want": 1, "hwm": 32}
    states = [{"token": 0, "position": 50, "slot": 0, "ancestors": 0}] * lanes
    driver.set_pass(passes, states, PLAIN)
    golden.begin(states, **passes)
    send = {"send": 1, "hi": 0}
    stated = [
        # what a RUN occupies the engine for: elements x micro-operations + 2, and the waits for results
        # a read of what came 8 cycles before waits for the ninth
        (run("swiglu", 8, landing=2, **send), 4 * 8 + 2 + (9 - 8)),
        # the last four elements' longer
        (run("swiglu", 12, landing=2, **send), 12 * 4 + 2 + (9 - 8) + (9 - 8) + (9 - 4)),
        (run("residual", 32, landing=1, **send), 32 + 2),
        (run("rotated", 16, landing=1, **send), 5 * 16 + 2 + 2 * 3 * (9 - 8)),
        (run("scores", 32, landing=1, vl=32, vec=1), 32 + 2),
        (run("softmax", 32, vl=32, vec=1, **send), 2 * 32 + 2),
        (run("show", 64, vl=64), 64 + 2),
        (run("count", 64, vl=64), 64 + 2),
        (run("temper", 32, landing=1, vl=16), 3 * 32 + 2),
        (run("keep", 16, noise=1), 16 + 2 + 18),  # as above; DEPTH of them then come one a cycle
        (entry(Op.SELECT), 1 + SELECT_CYCLES + 1),
        # the first row of noise is there 21 cycles after it began
        (run("sample", 8, landing=1, noise=1), 3 * 8 + 2 + 2 * (9 - 8)),
        (run("swiglu", 0, landing=2, **send), 4 + 2),
        # the sum is rounded, the second reads the first, the third steps
        (run("rms", 1, sumscale=1), 3 + (lanes + 5) + 9 + 1),
        (entry(Op.V_WAIT), 1),
    ]
    for this, wanted in stated:
        if this["op"] == Op.RUN:
            assert run_cycles(this, golden.micro, lanes) == wanted, this
        assert await measure(driver, golden, this) == wanted, this
    for want in (1, (1 << lanes) - 1):  # a row of noise takes a cycle for each lane that a token is chosen for
        driver.set_pass({**passes, "want": want}, states, PLAIN)
        golden.begin(states, lanes, want, 32)
        for n, vl in ((32, 8), (20, 5)):
            this = run("sample", n, landing=1, vl=vl, noise=1)
            assert await measure(driver, golden, this) == run_cycles(this, golden.micro, lanes, want.bit_count()), this
    driver.set_pass(passes, states, PLAIN)
    golden.begin(states, **passes)
    others = [
        (name, rows, vl) for name, rows in (("rotated", 1), ("rope", 0), ("largest", 0)) for vl in (1, 2, 3, 5, 8)
    ]
    for name, rows, vl in [("swiglu", 2, 4), *others]:
        this = run(name, 8, landing=rows, vl=vl, **(send if rows else {}))
        assert await measure(driver, golden, this) == run_cycles(this, golden.micro, lanes), this
    # One after another: the next is seen in the cycle after the one before was taken.
    many = [run("show", 16)] * 5
    first, taken = await driver.entries(many, pause=0)
    assert [t - first + 1 for t in taken] == [18 * (k + 1) for k in range(5)]
    for this in many:
        golden.execute(this)
    await driver.idle()
    compare(driver, golden)


@BENCH.test()
async def waits(dut):
    """V_WAIT takes what it asked for and no more; a RUN stands still until its rows are there."""
    lanes = params()["lanes"]
    driver, golden = await prepare(dut, PLAIN, stall=0, pause=0)
    driver.set_pass(
        {"positions": lanes, "want": (1 << lanes) - 1, "hwm": 4},
        [{"token": 0, "position": 0, "slot": 0}] * lanes,
        PLAIN,
    )
    await driver.receive([{"kind": FlitKind.SYNC, "chan": 3}] * 5 + [{"kind": FlitKind.SYNC, "chan": 2}])
    first, taken = await driver.entries([entry(Op.V_WAIT, chan=3, count=2)] * 2)
    assert taken == [first, first + 1]
    got = []

    async def later():
        got.extend((await driver.entries([entry(Op.V_WAIT, chan=3, count=2), run("head", 4, landing=1)]))[1])

    cocotb.start_soon(later())
    await clock(dut, 20)
    assert not got and int(dut.e__busy.value)
    await driver.receive([{"kind": FlitKind.SYNC, "chan": 3}])
    await clock(dut, 20)
    assert not driver.trace and int(dut.e__busy.value)
    driver.rows += [np.full(lanes, k, np.float32) for k in range(4)]
    await driver.idle()
    assert len(got) == 2 and [row for row, *_ in driver.trace] == [0, 1, 2, 3]


@BENCH.test()
async def a_run_without_rows_waits_for_its_gemv(dut):
    """Its SYNC says that this tile has come so far, rows or not: it must not leave before what the GEMV waits for."""
    driver, golden = await prepare(dut, PLAIN, stall=0, pause=0)
    driver.set_pass(
        {"positions": 1, "want": 1, "hwm": 4}, [{"token": 0, "position": 0, "slot": 0}] * driver.lanes, PLAIN
    )
    send = {"send": 1, "hi": 0}
    both = [run("residual", 0, landing=1, chan=3, **send), run("swiglu", 0, landing=2, chan=4, **send)]
    others = [run("final", 0, chan=5, **send), run("out", 0, landing=1, vec=1, chan=6, **send)]
    cocotb.start_soon(driver.entries([*both, *others]))
    for sent in ([], [3], [3, 4, 5, 6]):  # what takes no rows waits for none, and attention orders itself
        await clock(dut, 60)
        assert [flit["chan"] for flit in driver.sent()] == sent and int(dut.e__busy.value) == (len(sent) < 4)
        driver.rows += [NO_ROWS] * (len(sent) < 2)
    cocotb.start_soon(driver.entries(both))  # counted ahead of time, each serves one RUN
    driver.rows += [NO_ROWS] * 2
    await driver.idle()
    assert [flit["chan"] for flit in driver.sent()] == [3, 4, 5, 6, 3, 4]


def test_the_timing_rule_counts_a_wait_once():
    routine = {k: dict(FIELDS[k]) for k in range(len(FIELDS))}
    assert run_cycles(run("show", 4), routine, 1) == 6
    with pytest.raises(KeyError):
        run_cycles({**run("show", 4), "routine": 1000}, routine, 1)
