"""The micro-sequencer alone: what it issues, when, and that no read overtakes the write that it needs."""

from dataclasses import asdict

import cocotb

from hayate.golden.tile.cycles import run as run_cycles
from hayate.rtl.contract.alu_ops import AluOp
from hayate.rtl.contract.encoding import Micro, encode_micro
from hayate.rtl.contract.flits import pack_flit
from hayate.rtl.contract.isa import ASrc, BSrc, Mode, Space
from hayate.rtl.contract.latencies import DEPENDENCE, RESULT_LATENCY
from hayate.rtl.tile.queues import VectorEntry
from hayate.rtl.tile.vector.micro import START_LATENCY, Element, MicroSequencer
from hayate.verif.bench import Bench, rng
from hayate.verif.bench.drivers import clock, settle, start
from hayate.verif.bench.reset import resets
from hayate.verif.tile.loads import entry_flits
from hayate.verif.tile.vector.vector_driver import now, packed
from hayate.verif.tile.vector.vector_scenario import entry

LANDING = 32
MICRO_ADDRESS = VectorEntry["routine"].width
BENCH = Bench(
    lambda: MicroSequencer(
        micro_depth=1 << MICRO_ADDRESS, landing_depth=LANDING, stage_depth=1 << 12, vmem_depth=1 << 12
    )
)


def fields(layout, word):
    out, at = {}, 0
    for name, width in layout.members.items():
        out[name] = word >> at & (1 << width) - 1
        at += width
    return out


class Watch:
    """Notes issued elements and results with their cycles."""

    def __init__(self, dut):
        self.dut, self.issued, self.results, self.steps, self.released, self.reserved = dut, [], [], 0, [], 0
        cocotb.start_soon(self._run())

    async def _run(self):
        dut = self.dut
        while True:
            await clock(dut)
            if int(dut.issue.value):
                self.issued.append((now(), fields(Element, int(dut.element.value))))
            if int(dut.result.value):
                self.results.append((now(), int(dut.result_addr.value)))
            if int(dut.freed.value):
                self.released.append(int(dut.freed.value))
            self.reserved += int(dut.reserve.value)
            self.steps += int(dut.step.value)


async def load(dut, routine, at=0):
    for i, op in enumerate(routine, at):
        for flit in entry_flits(Space.MICRO, i, encode_micro(op)):
            dut.rx.value, dut.rx_valid.value = pack_flit(**flit), 1
            await clock(dut)
    dut.rx_valid.value = 0


async def go(dut, this):
    """Start a RUN; returns (cycle of start, cycle of done)."""
    dut.entry.value, dut.start.value = packed(VectorEntry, this), 1
    await clock(dut)
    first = now()
    dut.start.value = 0
    while True:
        await clock(dut)
        if int(dut.done.value):
            return first, now()


def random_routine(r, low):
    """Micro-operations whose addresses are `low` and a little more."""
    ops = []
    for _ in range(r.randint(1, 6)):
        mode = lambda: r.choice(list(Mode))  # noqa: E731
        ops.append(
            Micro(
                op=r.choice([AluOp.MUL, AluOp.ADD, AluOp.MAX, AluOp.EXP, AluOp.MOV, AluOp.NOP]),
                a=low + r.randrange(8),
                a_src=r.choice([ASrc.VMEM, ASrc.VMEM, ASrc.LANDING, ASrc.STAGE]),
                a_mode=mode(),
                b=low + r.randrange(8),
                b_src=r.choice([BSrc.VMEM, BSrc.VMEM, BSrc.MAXREG, BSrc.NOISE]),
                b_mode=mode(),
                d=low + r.randrange(8),
                d_vm=r.random() < 0.8,
                d_mode=r.randrange(2),
            )
        )
    return ops


@BENCH.test()
@resets(within=200)
async def random_routines(dut):
    """Elements come in order, at the cycles of the timing rule; every read of a result follows its write by DEPENDENCE
    cycles.
    """
    r = rng()
    await start(dut, proceed=1, credit=1, rows=LANDING)
    watch = Watch(dut)
    for _ in range(120):
        low = r.choice([0, (1 << 12) - 60])  # near either end of vector memory
        routine, at = random_routine(r, low), r.randrange((1 << MICRO_ADDRESS) - 6)
        await load(dut, routine, at)
        micro = {i: asdict(op) for i, op in enumerate(routine, at)}
        this = entry(
            0,
            routine=at,
            length=len(routine),
            n=r.choice([0, 1, 2, 5, 8, 13]),
            vl=r.choice([1, 2, 3, 8, 16]),
            slide=r.choice([0, 3, 20, 20 if low else 1 << 11]),
            round=r.randrange(9),
        )
        watch.issued.clear(), watch.results.clear()
        first, done = await go(dut, this)
        assert done - first + 1 == run_cycles(this, micro, 1), (this, routine)
        await clock(dut, DEPENDENCE + RESULT_LATENCY + 4)  # the last element may still wait
        elements = [element for _, element in watch.issued]
        wanted = [
            (e + i, op)
            for e in range(0, this["n"], this["vl"])
            for op in routine
            for i in range(min(this["vl"], this["n"] - e))
        ]
        if this["n"] == 0:
            assert len(elements) == len(routine) and not any(x["d_vm"] or x["use_a"] or x["use_b"] for x in elements)
            assert not watch.results
        else:
            assert [(x["idx"], x["op"]) for x in elements] == [(idx, op.op) for idx, op in wanted]
            assert watch.issued[0][0] == first + START_LATENCY
            for x, (idx, op) in zip(elements, wanted):
                assert (
                    x["d"] == op.d + (idx % this["vl"] if op.d_mode else idx + this["slide"])
                    and x["round"] == this["round"] % 4
                )
                if op.a_mode == Mode.STREAM:
                    assert x["a"] == op.a + idx + this["slide"]
                if op.b_mode == Mode.STREAM:
                    assert x["b"] == op.b + idx + this["slide"]
        reads_max = any(op.b_src == BSrc.MAXREG and op.op in (AluOp.MUL, AluOp.ADD, AluOp.MAX) for op in routine)
        assert [x["clear_max"] for x in elements] == [0] * (len(elements) - 1) + [int(reads_max)]
        writes = [(t, x["d"]) for t, x in watch.issued if x["d_vm"]]
        assert watch.results == [(t + RESULT_LATENCY, d) for t, d in writes]
        for t, x in watch.issued:
            reads = {x["a"]} if x["use_a"] and x["a_src"] == ASrc.VMEM else set()
            reads |= {x["b"]} if x["use_b"] and not x["b_max"] | x["b_noise"] else set()
            assert not any(d in reads and 0 < t - written < DEPENDENCE for written, d in writes)
    assert not watch.reserved and not watch.released


@BENCH.test()
async def rows_and_credit(dut):
    """An iteration waits for all of its rows and releases them at its end; a quad waits for credit, the RUN for
    `proceed`.
    """
    await start(dut)
    watch = Watch(dut)
    await load(dut, [Micro(op=AluOp.MOV, a_src=ASrc.LANDING, a_mode=Mode.STREAM, d_send=1)])
    this = entry(0, routine=0, length=1, n=12, vl=8, landing=2)
    task = cocotb.start_soon(go(dut, this))
    await clock(dut, 10)
    assert not watch.steps
    dut.proceed.value, dut.rows.value = 1, 15
    await clock(dut, 10)
    assert not watch.steps  # 16 rows are needed
    dut.rows.value = 16
    await clock(dut, 10)
    assert not watch.steps and not watch.reserved  # no credit
    dut.credit.value = 1
    await clock(dut)
    dut.credit.value = 0
    await clock(dut, 10)
    assert (watch.steps, watch.reserved, watch.released) == (4, 1, [])
    dut.credit.value = 1
    await clock(dut, 4)
    dut.rows.value = 7
    await clock(dut, 10)
    assert (watch.steps, watch.reserved, watch.released) == (8, 2, [16])
    dut.rows.value = 8
    await task
    await clock(dut, 3)
    assert (watch.steps, watch.reserved, watch.released) == (12, 3, [16, 8])


@BENCH.test()
async def a_held_element_waits(dut):
    await start(dut, proceed=1, credit=1, hold=1)
    watch = Watch(dut)
    await load(dut, [Micro(op=AluOp.RECIP, a_src=ASrc.SUM, d_vm=1, d=9)])
    first, done = await go(dut, entry(0, routine=0, length=1, n=1))
    assert done == first + 2
    await clock(dut, 10)
    await settle()
    assert int(dut.pending.value) and not watch.issued and not int(dut.idle.value)
    dut.hold.value = 0
    await clock(dut, RESULT_LATENCY + 1)
    assert len(watch.issued) == 1
    await clock(dut)
    assert len(watch.results) == 1 and int(dut.idle.value)
