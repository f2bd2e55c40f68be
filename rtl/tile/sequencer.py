"""The tile's sequencer: walks the program once per pass and feeds the two engines.

Loops, descriptor look-up and address arithmetic happen here, so that an engine's queue entry holds plain numbers.
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..contract.flits import FlitKind
from ..contract.isa import (
    DESCRIPTOR,
    FORMATS,
    Block,
    Cast,
    Csr,
    LoopCount,
    LoopReg,
    Op,
    PassWord,
    Rows,
    SendMode,
    Space,
    WaitKind,
)
from ..memory.parity import ParityMemory
from ..ring.flit import Flit
from .divider import Divider
from .queues import LaneState, MatrixEntry, PassState, TileState, VectorEntry

QUEUE_DEPTH = 4

#: CSR -> field of `TileState`.
CSR_FIELDS = {
    Csr.TILE_INDEX: "index", Csr.TILE_COUNT: "count", Csr.GROUP_LO: "group_lo", Csr.GROUP_HI: "group_hi",
    Csr.GROUP_SIZE: "group_size", Csr.GROUP_INDEX: "group_index", Csr.LOCAL_HEADS: "heads", Csr.HEAD0: "head0",
    Csr.ATT_SENDERS: "att_senders", Csr.GROUP: "group", Csr.GP_LOG2: "gp_log2", Csr.HDQ: "hdq",
}

_ENGINE_OPS = (Op.M_WAIT, Op.GEMV, Op.FETCH, Op.KVW, Op.V_WAIT, Op.RUN, Op.SENDSUM, Op.SENDMAX, Op.SENDCAND)


def field(word, name, *ops):
    """Field `name` of the instruction in `word`; its place is the same in all of `ops` (checked)."""
    places = {FORMATS[op][name] for op in ops}
    assert len(places) == 1, f"{name} lies in different places in {ops}"
    at, width = places.pop()
    return word[at:at + width]


class Sequencer(wiring.Component):
    """Program walker of a tile.

    A pass begins with the START word and ends when the program reaches END and both engines are idle. An engine instruction takes 8
    cycles here, a loop instruction 3; the two queues of 4 entries hide that behind the engines.

    Parameters
    ----------
    lanes: M. program_depth, desc_depth: entries of the two memories.

    Members
    -------
    rx_valid, rx: In. Flits delivered to this tile: LOAD of CSR, PROGRAM and DESC; PASS. Never refused. LOAD only between passes.
    matrix, vector: Out streams of resolved instructions, in program order each.
    matrix_busy, vector_busy: In. The engine has work of its own (its queue here not counted).
    running: Out. A pass is in progress.
    pass_state, lanes_state, tile: Out. Constant while a pass runs.
    parity: Out. One cycle per read of a damaged program or descriptor word.
    """

    def __init__(self, *, lanes, program_depth, desc_depth):
        self._lanes, self._program_depth, self._desc_depth = lanes, program_depth, desc_depth
        super().__init__({
            "rx_valid": In(1), "rx": In(Flit),
            "matrix": Out(stream.Signature(MatrixEntry)), "vector": Out(stream.Signature(VectorEntry)),
            "matrix_busy": In(1), "vector_busy": In(1),
            "running": Out(1), "parity": Out(1),
            "pass_state": Out(PassState), "lanes_state": Out(LaneState).array(lanes), "tile": Out(TileState),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.program = program = ParityMemory(128, self._program_depth)
        m.submodules.descriptors = descriptors = ParityMemory(128, self._desc_depth)
        m.submodules.matrix_queue = mq = fifo.SyncFIFO(width=MatrixEntry.size, depth=QUEUE_DEPTH)
        m.submodules.vector_queue = vq = fifo.SyncFIFO(width=VectorEntry.size, depth=QUEUE_DEPTH)
        m.submodules.divider = divider = Divider(16, 8)
        lane_bits = (self._lanes - 1).bit_length()

        matrix_entry, vector_entry = Signal(MatrixEntry), Signal(VectorEntry)
        m.d.comb += [
            mq.w_data.eq(matrix_entry), vq.w_data.eq(vector_entry),
            self.matrix.payload.eq(mq.r_data), self.matrix.valid.eq(mq.r_rdy), mq.r_en.eq(self.matrix.ready),
            self.vector.payload.eq(vq.r_data), self.vector.valid.eq(vq.r_rdy), vq.r_en.eq(self.vector.ready),
            self.parity.eq(program.error | descriptors.error),
        ]

        start = Signal()
        self._receive(m, program, descriptors, start)

        # Registers of the walk.
        word = Signal(128)
        pc = Signal(range(self._program_depth))
        loop_pc = Array(Signal.like(pc, name=f"loop_pc_{r.name.lower()}") for r in LoopReg)
        loop_left = Array(Signal(8, name=f"loop_left_{r.name.lower()}") for r in LoopReg)
        index = Array(Signal(8, name=f"index_{r.name.lower()}") for r in LoopReg)
        layer, head, j = (index[r] for r in LoopReg)
        rounds = Signal(8)
        att_total = Signal(16)
        slot_rows, live_slots = Signal(16), Signal(16)

        # One multiplier, fed from registers, used step after step: one DSP block. A block stride takes 18 bits, as bank addresses do.
        mul_a, mul_b, product = Signal(16), Signal(18), Signal(24)
        m.d.comb += product.eq(mul_a * mul_b)

        op = word[:4]
        desc = Signal(data.StructLayout({name: width for name, (_, width) in DESCRIPTOR.items()}))
        m.d.comb += desc.as_value().eq(descriptors.rd_data)
        desc_index = Signal(10)
        m.d.comb += [program.rd_addr.eq(pc), descriptors.rd_addr.eq(desc_index)]
        address, base = Signal(12), Signal(20)

        is_matrix = Signal()
        m.d.comb += is_matrix.eq((op == Op.GEMV) | (op == Op.FETCH) | (op == Op.KVW) | (op == Op.M_WAIT))
        gemv = lambda name: field(word, name, Op.GEMV)  # noqa: E731
        run = lambda name: field(word, name, Op.RUN)  # noqa: E731
        quads = Signal(16)
        m.d.comb += quads.eq((self.pass_state.hwm + 3) >> 2)

        with m.FSM(name="walk"):
            with m.State("IDLE"):
                with m.If(start):
                    m.next = "SLOTS"
            with m.State("SLOTS"):
                # Slot quads of this tile: ceil((quads - group_index) / group_size), by one division.
                m.d.comb += [
                    divider.start.eq(1), divider.numerator.eq(quads - 1 - self.tile.group_index),
                    divider.denominator.eq(self.tile.group_size),
                ]
                m.d.sync += [
                    pc.eq(0), self.running.eq(1), *(i.eq(0) for i in index),
                    rounds.eq(((self.pass_state.positions << self.tile.gp_log2) + self._lanes - 1) >> lane_bits),
                ]
                m.next = "DIVIDE"
            with m.State("DIVIDE"):
                m.d.sync += [mul_a.eq(self.tile.att_senders), mul_b.eq(rounds)]
                with m.If(divider.done):
                    with m.If(quads <= self.tile.group_index):
                        m.d.sync += [slot_rows.eq(0), live_slots.eq(0)]
                    with m.Else():
                        rows = (divider.quotient + 1) << 2
                        missing = Mux(divider.remainder == 0, (quads << 2) - self.pass_state.hwm, 0)
                        m.d.sync += [slot_rows.eq(rows), live_slots.eq(rows - missing)]
                    m.next = "ATTEND"
            with m.State("ATTEND"):
                m.d.sync += att_total.eq(product)
                m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += program.rd_en.eq(1)
                m.next = "LATCH"
            with m.State("LATCH"):
                m.d.sync += word.eq(program.rd_data)
                m.next = "DECODE"

            with m.State("DECODE"):
                m.d.sync += pc.eq(pc + 1)
                m.d.sync += [mul_a.eq(layer), mul_b.eq(Mux(op == Op.FETCH, 0, gemv("dstep")))]
                m.next = "FETCH"
                with m.Switch(op):
                    with m.Case(Op.END):
                        m.next = "END"
                    with m.Case(Op.LOOP):
                        reg = field(word, "reg", Op.LOOP)
                        count = Signal(8)
                        with m.Switch(field(word, "kind", Op.LOOP)):
                            with m.Case(LoopCount.HEADS):
                                m.d.comb += count.eq(self.tile.heads)
                            with m.Case(LoopCount.ROUNDS):
                                m.d.comb += count.eq(rounds)
                            with m.Default():
                                m.d.comb += count.eq(field(word, "count", Op.LOOP))
                        m.d.sync += [loop_pc[reg].eq(pc + 1), loop_left[reg].eq(count), index[reg].eq(0)]
                        with m.If(count == 0):
                            m.d.sync += pc.eq(pc + field(word, "skip", Op.LOOP))
                    with m.Case(Op.ENDLOOP):
                        reg = field(word, "reg", Op.ENDLOOP)
                        with m.If(loop_left[reg] == 1):
                            m.d.sync += index[reg].eq(0)
                        with m.Else():
                            m.d.sync += [loop_left[reg].eq(loop_left[reg] - 1), index[reg].eq(index[reg] + 1), pc.eq(loop_pc[reg])]
                    with m.Case(Op.SKIP):
                        with m.If(self.pass_state.want == 0):
                            m.d.sync += pc.eq(pc + field(word, "offset", Op.SKIP))
                    with m.Case(*_ENGINE_OPS):
                        m.next = "INDEX"

            # Engine instructions: product of the step before is used, factors of the next are set.
            with m.State("INDEX"):
                m.d.sync += desc_index.eq(product + gemv("desc"))
                with m.Switch(op):
                    with m.Case(Op.M_WAIT, Op.V_WAIT):
                        m.d.sync += mul_a.eq(field(word, "count", Op.M_WAIT, Op.V_WAIT))
                        with m.Switch(field(word, "kind", Op.M_WAIT, Op.V_WAIT)):
                            for kind, factor in [(WaitKind.ONE, 1), (WaitKind.ALL, self.tile.count), (WaitKind.GROUP, self.tile.group_size),
                                                 (WaitKind.LANES, self.pass_state.positions), (WaitKind.ATTEND, att_total)]:
                                with m.Case(kind):
                                    m.d.sync += mul_b.eq(factor)
                    with m.Case(Op.RUN):
                        m.d.sync += [mul_a.eq(self.tile.head0 + head), mul_b.eq(self.tile.group)]
                    with m.Default():
                        m.d.sync += [mul_a.eq(head), mul_b.eq(gemv("group"))]
                m.next = "LOOK_UP"
            with m.State("LOOK_UP"):
                m.d.comb += descriptors.rd_en.eq((op == Op.GEMV) | (op == Op.FETCH) | (op == Op.KVW) | (op == Op.RUN))
                block = Signal(16)
                m.d.sync += [block.eq(head), mul_a.eq(head)]
                with m.Switch(op):
                    with m.Case(Op.GEMV):
                        m.d.sync += mul_b.eq(gemv("act_h"))
                        with m.Switch(gemv("block")):
                            with m.Case(Block.ZERO):
                                m.d.sync += block.eq(0)
                            with m.Case(Block.HEAD_GROUP):
                                m.d.sync += block.eq(product + j)
                    with m.Case(Op.KVW):
                        m.d.sync += mul_b.eq(field(word, "act_h", Op.KVW))
                    with m.Case(Op.FETCH):
                        m.d.sync += [mul_b.eq(0), block.eq(0)]
                    with m.Default():
                        m.d.sync += [mul_b.eq(run("send_h")), block.eq(product)]
                count_product = Signal(16)
                m.d.sync += count_product.eq(product)
                m.next = "BLOCK"
            with m.State("BLOCK"):
                m.d.sync += [address.eq(product), mul_a.eq(block), mul_b.eq(Mux(op == Op.RUN, self.tile.hdq, desc.block_stride))]
                m.next = "BASE"
            with m.State("BASE"):
                m.d.sync += [base.eq(desc.base + product), mul_a.eq(j), mul_b.eq(gemv("act_j"))]
                with m.If(op == Op.RUN):
                    with m.Switch(run("send_mode")):
                        with m.Case(SendMode.SLOTS):
                            m.d.sync += address.eq(run("send_base") + self.tile.group_index)
                        with m.Case(SendMode.OUTPUT):
                            m.d.sync += address.eq(run("send_base") + product + desc.quad0)
                        with m.Default():
                            m.d.sync += address.eq(run("send_base") + address + desc.quad0)
                with m.Elif(op == Op.GEMV):
                    m.d.sync += address.eq(address + gemv("act"))
                with m.Else():
                    m.d.sync += address.eq(address + field(word, "act", Op.KVW) + Mux(field(word, "value", Op.KVW), desc.quad0, 0))
                m.next = "PUSH"
            with m.State("PUSH"):
                self._entries(m, word, op, matrix_entry, vector_entry, desc, base, address, product, count_product, j, slot_rows,
                              live_slots, quads)
                m.d.comb += [mq.w_en.eq(is_matrix), vq.w_en.eq(~is_matrix)]
                with m.If(Mux(is_matrix, mq.w_rdy, vq.w_rdy)):
                    m.next = "FETCH"

            with m.State("END"):
                with m.If(~mq.r_rdy & ~vq.r_rdy & ~self.matrix_busy & ~self.vector_busy):
                    m.d.sync += self.running.eq(0)
                    m.next = "IDLE"
        return m

    def _receive(self, m, program, descriptors, start):
        """Loads and pass words from the ring."""
        rx = self.rx
        load = self.rx_valid & (rx.kind == FlitKind.LOAD)
        low = Signal(64)  # low half of a 128-bit entry, until its high half arrives
        with m.If(load & ~rx.addr[0]):
            m.d.sync += low.eq(rx.data)
        for memory, space in ((program, Space.PROGRAM), (descriptors, Space.DESC)):
            m.d.comb += [
                memory.wr_en.eq(load & (rx.chan == space) & rx.addr[0]),
                memory.wr_addr.eq(rx.addr[1:]), memory.wr_data.eq(Cat(low, rx.data)),
            ]
        with m.If(load & (rx.chan == Space.CSR)):
            with m.Switch(rx.addr[:4]):
                for csr, name in CSR_FIELDS.items():
                    with m.Case(csr):
                        m.d.sync += self.tile[name].eq(rx.data)
        with m.If(self.rx_valid & (rx.kind == FlitKind.PASS)):
            with m.If(rx.chan == PassWord.LANE):
                for lane in range(self._lanes):
                    with m.If(rx.lane == lane):
                        m.d.sync += self.lanes_state[lane].as_value().eq(rx.data)
            with m.Elif(rx.chan == PassWord.START):
                m.d.comb += start.eq(1)
                m.d.sync += [
                    self.pass_state.positions.eq(rx.data[:3] + 1), self.pass_state.want.eq(rx.data[8:16]),
                    self.pass_state.hwm.eq(rx.data[16:32]),
                ]

    def _entries(self, m, word, op, matrix, vector, desc, base, address, product, count, j, slot_rows, live_slots, quads):
        """Fields of the two queue entries in the PUSH step."""
        gemv = lambda name: field(word, name, Op.GEMV)  # noqa: E731
        run = lambda name: field(word, name, Op.RUN)  # noqa: E731
        slot_count = gemv("rows") == Rows.SLOTS
        fresh = ~gemv("kv") | (j == 0)  # a later attention round reads the same K and V again
        is_gemv = op == Op.GEMV
        act = address + Mux(is_gemv, product, 0)
        m.d.comb += [
            matrix.op.eq(op), matrix.count.eq(count), matrix.base.eq(base), matrix.words.eq(desc.words),
            matrix.chan.eq(Mux(op == Op.FETCH, field(word, "chan", Op.FETCH), field(word, "chan", Op.M_WAIT))),
            matrix.length.eq(Mux(is_gemv & gemv("slot_words"), quads, desc.words)),
            matrix.rows.eq(Mux(is_gemv & slot_count, slot_rows, desc.rows)),
            matrix.live.eq(Mux(fresh, Mux(slot_count, live_slots, desc.rows), 0)),
            matrix.act.eq(act), matrix.s_in.eq(desc.s_in), matrix.kv.eq(gemv("kv")),
            matrix.value.eq(field(word, "value", Op.KVW)), matrix.row0.eq(desc.row0),
            matrix.index.eq(field(word, "index", Op.FETCH)), matrix.stage.eq(field(word, "stage", Op.FETCH)),
        ]
        is_run = op == Op.RUN
        send_sum = (Op.SENDSUM, Op.SENDMAX)
        cast = Mux(is_run, run("cast"), field(word, "cast", *send_sum))
        with m.Switch(cast):
            with m.Case(Cast.ALL):
                m.d.comb += [vector.lo.eq(0), vector.hi.eq(self.tile.count - 1)]
            with m.Case(Cast.GROUP):
                m.d.comb += [vector.lo.eq(self.tile.group_lo), vector.hi.eq(self.tile.group_hi)]
            with m.Default():
                m.d.comb += [vector.lo.eq(self.tile.index), vector.hi.eq(self.tile.index)]
        with m.Switch(run("rows")):
            with m.Case(Rows.SLOTS):
                m.d.comb += vector.n.eq(slot_rows)
            with m.Case(Rows.IMM):
                m.d.comb += vector.n.eq(run("count"))
            with m.Default():
                m.d.comb += vector.n.eq(desc.rows >> (run("landing") == 2))
        m.d.comb += [
            vector.op.eq(op), vector.count.eq(count), vector.routine.eq(run("routine")), vector.length.eq(run("length")),
            vector.chan.eq(Mux(is_run, run("chan"), field(word, "chan", Op.V_WAIT, *send_sum))),
            vector.vl.eq(run("vl")), vector.landing.eq(run("landing")), vector.round.eq(j),
            vector.vec.eq(Mux(is_run, run("vec"), field(word, "vec", *send_sum))),
            vector.sumscale.eq(run("sumscale")), vector.s_in.eq(desc.s_in), vector.s_out.eq(desc.s_out),
            vector.send.eq(is_run & run("send")), vector.send_mode.eq(run("send_mode")), vector.send_addr.eq(address),
            vector.row0.eq(desc.row0), vector.quad0.eq(desc.quad0),
        ]
