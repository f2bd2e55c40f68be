"""Micro-sequencer: repeats a routine over the elements of a RUN, one element per cycle, and keeps reads behind the
writes they need.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.alu_ops import ALU_OP_BITS, TWO_OPERANDS, AluOp
from hayate.rtl.contract.encoding import MICRO
from hayate.rtl.contract.isa import (
    EXPONENT_BITS,
    GLOBAL_ROW_BITS,
    LENGTH_BITS,
    LOCAL_ROW_BITS,
    ROUNDS_AHEAD,
    VL_BITS,
    VMEM_BITS,
    ASrc,
    BSrc,
    Mode,
    Space,
)
from hayate.rtl.contract.latencies import RESULT_LATENCY
from hayate.rtl.ring.flit import Flit, struct
from hayate.rtl.tile.entry_memory import EntryMemory, used
from hayate.rtl.tile.queues import VectorEntry

Micro = struct(MICRO)

#: An element about to be issued: everything that later stages need to know about it.
Element = data.StructLayout(
    {
        "op": ALU_OP_BITS,
        "neg_a": 1,
        "neg_b": 1,
        "a_src": 2,
        "b_max": 1,
        "b_noise": 1,
        "use_a": 1,
        "use_b": 1,
        "a": VMEM_BITS,
        "b": VMEM_BITS,
        "d": VMEM_BITS,
        "half": 1,
        "pick": 2,
        "d_vm": 1,
        "d_send": 1,
        "d_square": 1,
        "d_sum": 1,
        "d_max": 1,
        "d_arg": 1,
        "d_log": 1,
        "masked": 1,
        "d_floor": 1,
        "filtered": 1,
        "idx": LOCAL_ROW_BITS,
        "row": GLOBAL_ROW_BITS,
        "s": 6,
        "exponent": EXPONENT_BITS,
        "clear_max": 1,
        "round": ceil_log2(ROUNDS_AHEAD),
        "vec": 1,
    }
)

#: Cycles from `start` to the first element's issue.
START_LATENCY = 3


class MicroSequencer(wiring.Component):
    """Front end of the vector engine's pipeline.

    `start` begins the RUN in `entry`. Its n elements are cut into iterations of up to vl; in each one every
    micro-operation goes through the iteration's elements, one per cycle, without a bubble between micro-operations or
    iterations. Elements pass two stages: `step` (addresses are formed; `idx`, `stage_addr` and `landing_offset` belong
    to it) and `issue`, one cycle later at the earliest, where vector memory is read. An element waits in front of
    `step` for the landing rows of its iteration and, where it begins a quad to be sent, for `credit`; it waits in front
    of `issue` while `hold` is high or a result that it reads is not written yet. That interlock compares addresses, so
    every routine sees its own results; a read follows the write by DEPENDENCE cycles. Rows of an iteration are released
    with its last step; `done` strobes with the last step of the RUN, and `entry` may change after it. A RUN of no
    elements goes through its routine once without effect except `clear_max`, one cycle per micro-operation.

    Timing without waits: first issue START_LATENCY cycles after `start`, `done` in the cycle of (elements x
    micro-operations) + 1 after `start`. Registers load only with an element. Reset abandons everything but the
    micro-operations.

    An element with two micro-operations, the second of which reads what the first one writes::

        cycle    0   1   2   3   4   5   6   7   8   9   10  11  12  13  14  15  16  17  18  19  20  21
        start    ~~~~____________________________________________________________________________________
        loading  ____~~~~________________________________________________________________________________
        begun    ____~~~~________________________________________________________________________________
        step     ________~~~~~~~~________________________________________________________________________
        pending  ____________~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~____________________________________
        issue    ____________~~~~________________________________~~~~____________________________________
        result   ____________________________________________~~~~________________________________~~~~____
        done     ____________~~~~________________________________________________________________________
        idle     ~~~~________________________________________________________________________________~~~~

    Parameters
    ----------
    micro_depth: micro-operations. landing_depth, stage_depth, vmem_depth: words of those memories, for address widths.

    Members
    -------
    rx_valid, rx: In. Flits delivered to this tile; a LOAD of space MICRO comes only while idle.
    entry: In, VectorEntry. start: In. proceed: In, the RUN may begin stepping. begun: Out, it does after this cycle.
        done: Out.
    rows: In, landing rows waiting. freed: Out(8), rows released. landing_read, landing_offset: Out.
    credit: In. reserve: Out. A quad of results will be sent.
    step: Out. idx: Out, element of the RUN. mask_read: Out, it is masked. stage_read, stage_addr: Out.
    hold: In. issue: Out. pending: Out, an element waits to be issued. element: Out, the one that is issued or pending.
    result, result_addr: Out. The result of the element issued RESULT_LATENCY cycles ago writes vector memory, and
        where.
    flying: Out, an element is between issue and result. idle: Out, nothing is in progress here.
    parity: Out, a strobe.
    """

    def __init__(self, *, micro_depth: int, landing_depth: int, stage_depth: int, vmem_depth: int):
        self._micro_depth, self._landing_depth = micro_depth, landing_depth
        self._bits = {
            "stage": ceil_log2(stage_depth),
            "vmem": ceil_log2(vmem_depth),
            "landing": ceil_log2(landing_depth),
        }
        super().__init__(
            {
                "rx_valid": In(1),
                "rx": In(Flit),
                "entry": In(VectorEntry),
                "start": In(1),
                "proceed": In(1),
                "begun": Out(1),
                "done": Out(1),
                "rows": In(range(landing_depth + 1)),
                "freed": Out(8),
                "landing_read": Out(1),
                "landing_offset": Out(self._bits["landing"]),
                "credit": In(1),
                "reserve": Out(1),
                "step": Out(1),
                "idx": Out(LOCAL_ROW_BITS),
                "mask_read": Out(1),
                "stage_read": Out(1),
                "stage_addr": Out(self._bits["stage"]),
                "hold": In(1),
                "issue": Out(1),
                "pending": Out(1),
                "element": Out(Element),
                "result": Out(1),
                "result_addr": Out(self._bits["vmem"]),
                "flying": Out(1),
                "idle": Out(1),
                "parity": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Addresses no longer than the deepest memory that they go to.
        address = max(self._bits.values())
        m.submodules.store = store = EntryMemory(
            Space.MICRO, used((MICRO,), a=address, b=address, d=address), self._micro_depth
        )
        entry = self.entry
        micro = Signal(Micro)
        fetched = Signal(Micro)
        m.d.comb += [
            store.rx_valid.eq(self.rx_valid),
            store.rx.eq(self.rx),
            fetched.eq(store.rd_data),
            self.parity.eq(store.error),
        ]

        # Prefetch: the memory's output is the next micro-operation, the routine's first again behind its last.
        pc = Signal(range(self._micro_depth))
        at = Signal(range(self._micro_depth))
        consume = Signal()
        m.d.comb += [
            at.eq(Mux(self.start, entry.routine, pc)),
            store.rd_addr.eq(at),
            store.rd_en.eq(self.start | consume),
        ]
        with m.If(store.rd_en):
            m.d.sync += pc.eq(Mux(at == (entry.routine + entry.length - 1)[: len(at)], entry.routine, at + 1))

        # The walk: micro-operation `ops` of the iteration, element i of it, e = elements of earlier iterations.
        loading = Signal()
        stepping = Signal()
        # after: elements behind this iteration, unless it is the final one
        i = Signal(VL_BITS)
        e = Signal(LOCAL_ROW_BITS)
        after = Signal(LOCAL_ROW_BITS)
        # idx and e, `slide` further on: where STREAM operands are in vector memory
        at_idx = Signal(VMEM_BITS)
        at_e = Signal(VMEM_BITS)
        self._at_idx = at_idx
        last_i = Signal(VL_BITS)
        final = Signal()
        ops = Signal(LENGTH_BITS)
        need = Signal(VL_BITS + 1)
        ghost = Signal()
        # of the RUN: `done` pops the queue that `entry` comes from, and cannot wait for its output
        last_op = Signal(LENGTH_BITS)
        op_end = Signal()
        iteration_end = Signal()
        m.d.comb += [
            op_end.eq(i == last_i),
            iteration_end.eq(op_end & (ops == last_op)),
            self.done.eq(self.step & iteration_end & final),
            self.begun.eq(loading & self.proceed & (~self.pending | self.issue)),
            consume.eq(self.begun | (self.step & op_end)),
        ]
        # An iteration that is not the final one has vl elements: nothing here waits for the size of the one before.
        left = Signal(LOCAL_ROW_BITS)
        next_e = Signal(LOCAL_ROW_BITS)
        next_final = Signal()
        next_size = Signal(VL_BITS)
        next_last = Signal(VL_BITS)
        next_at = Signal(VMEM_BITS)
        m.d.comb += [
            left.eq(Mux(loading, entry.n, after)),
            next_e.eq(Mux(loading, 0, e + entry.vl)),
            next_final.eq(left <= entry.vl),
            next_at.eq(Mux(loading, entry.slide, at_e + entry.vl)),
            next_size.eq(Mux(next_final, left, entry.vl)),
            next_last.eq(Mux(next_final, (left - left.any())[:VL_BITS], entry.vl - 1)),
        ]
        with m.If(self.start):
            m.d.sync += [loading.eq(1), last_op.eq(entry.length - 1)]
        with m.If(self.begun):
            m.d.sync += [loading.eq(0), stepping.eq(1), ghost.eq(entry.n == 0)]
        with m.If(self.done):
            m.d.sync += stepping.eq(0)
        with m.If(self.begun | (self.step & iteration_end)):
            m.d.sync += [
                after.eq(left - entry.vl),
                e.eq(next_e),
                self.idx.eq(next_e),
                i.eq(0),
                ops.eq(0),
                final.eq(next_final),
                at_e.eq(next_at),
                at_idx.eq(next_at),
                last_i.eq(next_last),
                need.eq(Mux(entry.landing[1], next_size << 1, Mux(entry.landing[0], next_size, 0))),
            ]
        with m.Elif(self.step):
            m.d.sync += [
                i.eq(Mux(op_end, 0, i + 1)),
                self.idx.eq(Mux(op_end, e, self.idx + 1)),
                at_idx.eq(Mux(op_end, at_e, at_idx + 1)),
                ops.eq(ops + op_end),
            ]
        with m.If(consume):
            m.d.sync += micro.eq(fetched)

        # Step: an element leaves for the issue register.
        quad = Signal(2)  # halves sent so far, modulo 4
        m.d.comb += [
            self.step.eq(
                stepping
                & (self.rows >= need)
                & (~micro.d_send | quad.any() | self.credit | ghost)
                & (~self.pending | self.issue)
            ),
            self.freed.eq(Mux(self.step & iteration_end, need, 0)),
            self.reserve.eq(self.step & micro.d_send & ~quad.any() & ~ghost),
            self.landing_read.eq(self.step & (micro.a_src == ASrc.LANDING)),
            self.mask_read.eq(self.step & micro.masked),
            self.stage_read.eq(self.step & (micro.a_src == ASrc.STAGE)),
            self.landing_offset.eq(micro.a + Mux(micro.a_mode == Mode.TEMP, Cat(i[:2], 0, i[2:]), i)),
            self.stage_addr.eq(
                Mux(micro.a_mode == Mode.STREAM, micro.a + entry.quad0 + (self.idx >> 2), micro.a + (self.idx >> 1))
            ),
        ]
        with m.If(self.step & micro.d_send & ~ghost):
            m.d.sync += quad.eq(quad + 1)
        # of this element, and of earlier ones of the RUN
        reads_max = Signal()
        read_max = Signal()
        m.d.comb += reads_max.eq(self._takes_two(micro.op) & (micro.b_src == BSrc.MAXREG))
        next_a = Signal(VMEM_BITS)
        next_b = Signal(VMEM_BITS)
        m.d.comb += [
            next_a.eq(self._address(micro.a, micro.a_mode, i)),
            next_b.eq(self._address(micro.b, micro.b_mode, i)),
        ]
        with m.If(self.step):
            m.d.sync += read_max.eq((read_max | reads_max) & ~self.done)
            m.d.sync += self._form(micro, ghost, i, read_max | reads_max, next_a, next_b)
            m.d.sync += self.pending.eq(1)
        with m.Elif(self.issue):
            m.d.sync += self.pending.eq(0)

        self._interlock(m, micro, ghost, next_a, next_b)
        m.d.comb += self.idle.eq(~loading & ~stepping & ~self.pending & ~self.flying)
        return m

    @staticmethod
    def _takes_two(op):
        return Cat(op == code for code in TWO_OPERANDS).any()

    def _address(self, base, mode, i):
        return base + Mux(mode[1], Mux(mode[0], i ^ 1, 0), Mux(mode[0], i, self._at_idx))

    def _form(self, micro, ghost, i, reads_max, next_a, next_b):
        """Assignments of the issue register."""
        entry, out, live = self.entry, self.element, ~ghost
        return [
            out.op.eq(micro.op),
            out.neg_a.eq(micro.neg_a),
            out.neg_b.eq(micro.neg_b),
            out.a_src.eq(micro.a_src),
            out.b_max.eq(micro.b_src == BSrc.MAXREG),
            out.b_noise.eq(micro.b_src == BSrc.NOISE),
            out.use_a.eq(live & (micro.op != AluOp.NOP)),
            out.use_b.eq(live & self._takes_two(micro.op)),
            out.a.eq(next_a),
            out.b.eq(next_b),
            out.d.eq(micro.d + Mux(micro.d_mode, i, self._at_idx)),
            out.half.eq(micro.a_mode == Mode.STREAM),
            out.pick.eq(self.idx),
            *(
                out[name].eq(micro[name] & live)
                for name in ("d_vm", "d_send", "d_square", "d_sum", "d_max", "d_arg", "d_log", "d_floor", "filtered")
            ),
            out.masked.eq(micro.masked),
            out.idx.eq(self.idx),
            out.row.eq(entry.row0 + self.idx),
            out.s.eq(entry.s_out),
            out.exponent.eq(Mux(entry.sumscale, entry.s_in << 1, 0)),
            out.clear_max.eq(self.done & reads_max),
            out.round.eq(entry.round),
            out.vec.eq(entry.vec),
        ]

    def _interlock(self, m, micro, ghost, next_a, next_b):
        """Hold the pending element while what it reads is under way to vector memory.

        Addresses are compared as the element enters the issue register; from then on the clashes travel with the
        writes.
        """
        out, bits = self.element, self._bits["vmem"]
        live = Signal(RESULT_LATENCY)  # an element is in that stage; bit 0 is the one after issue
        writes = Signal(RESULT_LATENCY)
        clashes = Signal(RESULT_LATENCY)  # the pending element reads what the write in that stage writes
        m.d.sync += [
            live.eq(Cat(self.issue, live)),
            writes.eq(Cat(self.issue & out.d_vm, writes)),
            clashes.eq(clashes << 1),
        ]
        reads_a = Signal()
        reads_b = Signal()
        m.d.comb += [
            reads_a.eq(~ghost & (micro.op != AluOp.NOP) & (micro.a_src == ASrc.VMEM)),
            reads_b.eq(~ghost & self._takes_two(micro.op) & (micro.b_src == BSrc.VMEM)),
        ]
        entering = []
        # An element enters behind one that issues, or behind none: the pending one's write will be in the stage after
        # issue.
        carried, moving, stays = out.d[:bits], self.issue & out.d_vm, self.pending & out.d_vm
        for k in range(RESULT_LATENCY):
            entering.append(stays & ((carried == next_a[:bits]) & reads_a | (carried == next_b[:bits]) & reads_b))
            address = Signal(bits, name=f"write_addr_{k + 1}", reset_less=True)
            with m.If(moving):
                m.d.sync += address.eq(carried)
            carried, moving, stays = address, writes[k], writes[k]
        with m.If(self.step):
            m.d.sync += clashes.eq(Cat(*entering))
        m.d.comb += [
            self.issue.eq(self.pending & ~self.hold & ~clashes.any()),
            self.flying.eq(live.any()),
            self.result.eq(writes[-1]),
            self.result_addr.eq(carried),
        ]
