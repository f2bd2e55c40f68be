"""The tile's sequencer: walks the program once per pass and feeds the two engines.

Loops, descriptor look-up and address arithmetic happen here, so that an engine's queue entry holds plain numbers.
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from hayate.rtl.contract.encoding import OPERATIONS
from hayate.rtl.contract.flits import STOP_BITS
from hayate.rtl.contract.isa import (
    ACT_BITS,
    BANK_BITS,
    COUNT_BITS,
    EXPONENT_BITS,
    LOCAL_ROW_BITS,
    LOOP_BITS,
    OP_BITS,
    QUEUE_DEPTH,
    ROUNDS_AHEAD,
    ROW_BITS,
    STRIDE_BITS,
    Block,
    LoopCount,
    LoopReg,
    Op,
    SendMode,
    Space,
    WaitKind,
)
from hayate.rtl.contract.precision import Format
from hayate.rtl.contract.words import SEED_BITS, SLOT_BITS
from hayate.rtl.ring.flit import Flit
from hayate.rtl.tile.divider import Divider
from hayate.rtl.tile.entry_memory import EntryMemory
from hayate.rtl.tile.interfaces import CurrentPass, Queued, apart_log2
from hayate.rtl.tile.queues import GroupState, VectorEntry, matrix_entry_layout
from hayate.rtl.tile.sequencer.entries import (
    INSTRUCTIONS,
    Descriptor,
    Planes,
    descriptor_bits,
    field,
    matrix_entry,
    resolved_layout,
    vector_entry,
)
from hayate.rtl.tile.sequencer.precision_table import FORMAT_BITS, PrecisionTable
from hayate.rtl.tile.sequencer.registers import TileRegisters

_ENGINE_OPS = [op for op, operation in OPERATIONS.items() if operation.engine != "sequencer"]
_MATRIX_OPS = [op for op in _ENGINE_OPS if OPERATIONS[op].engine == "matrix"]


class Sequencer(wiring.Component):
    """Program walker of a tile.

    A pass begins with the START word, on its model's first instruction, and ends when the program reaches END and both
    engines are idle. An engine instruction takes 8 cycles here, a loop instruction 3; the two queues of 4 entries, and
    a register after the vector engine's, hide that.

    If `nested`, a GEMV of weights whose descriptor names integer planes takes 10 cycles. It reads the precision table's
    format of them; a pass that measures takes the FP16 copy if there is one, else INT8, a draft pass INT4, without the
    table. K and V never have planes.

    A GEMV of weights with planes, as the first of a program, and the END after it (names of states are cut off)::

        cycle         0     1     2     3     4     5     6     7     8     9     10    11    12    13    14
        state         FETCH.LATCH.DECOD.INDEX.LOOK_.BLOCK.BASE..PLANE.COPIE.PUSH..FETCH.LATCH.DECOD.END...IDLE..
        matrix.valid  ____________________________________________________________~~~~~~________________________
        running       ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~______

    Parameters
    ----------
    lanes: M. program_depth, desc_depth: entries of the two memories; the precision table has one for each descriptor.
    nested: there is a precision table; without it all GEMVs are FP16. governor: passes may measure; needs `nested`.
        sampling: may sample.
    inject: with `nested` adds `flip_table` (3), bits to flip in what the precision table is being given, for tests.

    Members
    -------
    rx_valid, rx: In. Flits delivered to this tile: LOAD of CSR (the precision table too), PROGRAM and DESC; PASS. Never
        refused. LOAD only between passes.
    matrix, vector: Out streams of resolved instructions, in program order each:
        `matrix_entry_layout(nested, governor)`, VectorEntry.
    matrix_busy, vector_busy: In. The engine has work of its own (its queue here not counted).
    running: Out. A pass is in progress.
    current: Out(CurrentPass), seed (64): Out. Constant while a pass runs. groups: Out, see `TileRegisters`.
    queued: Out(Queued). With each entry that goes into a queue.
    parity: Out. One cycle per read of a damaged program word, descriptor or entry of the precision table, two cycles
        after the read.
    """

    def __init__(self, *, lanes, program_depth, desc_depth, nested=True, governor=True, sampling=True, inject=False):
        self._lanes, self._program_depth, self._desc_depth, self._inject = lanes, program_depth, desc_depth, inject
        self._nested, self._governor, self._sampling = nested, governor, sampling
        self._entry = matrix_entry_layout(nested, governor)
        members = {
            "rx_valid": In(1),
            "rx": In(Flit),
            "matrix": Out(stream.Signature(self._entry)),
            "vector": Out(stream.Signature(VectorEntry)),
            "matrix_busy": In(1),
            "vector_busy": In(1),
            "running": Out(1),
            "parity": Out(1),
            "seed": Out(SEED_BITS),
            "current": Out(CurrentPass(lanes)),
            "groups": Out(GroupState).array(2),
            "queued": Out(Queued()),
        }
        if inject and nested:
            members["flip_table"] = In(FORMAT_BITS + 1)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.program = program = EntryMemory(Space.PROGRAM, INSTRUCTIONS, self._program_depth)
        m.submodules.descriptors = descriptors = EntryMemory(
            Space.DESC, descriptor_bits(self._desc_depth, self._nested), self._desc_depth
        )
        m.submodules.registers = registers = TileRegisters(self._lanes, sampling=self._sampling)
        m.submodules.matrix_queue = mq = fifo.SyncFIFO(width=self._entry.size, depth=QUEUE_DEPTH)
        m.submodules.vector_queue = vq = fifo.SyncFIFO(width=VectorEntry.size, depth=QUEUE_DEPTH)
        m.submodules.divider = divider = Divider(SLOT_BITS, STOP_BITS)
        lane_bits = (self._lanes - 1).bit_length()
        state, tile = self.current.state, self.current.tile

        to_matrix = Signal(self._entry)
        to_vector = Signal(VectorEntry)
        # The vector engine computes with the entry that it is shown, so that one comes from a register.
        offers = Signal()
        offered = Signal(VectorEntry, reset_less=True)
        with m.If(vq.r_en):
            m.d.sync += offers.eq(vq.r_rdy)
            with m.If(vq.r_rdy):
                m.d.sync += offered.eq(vq.r_data)
        m.d.comb += [
            mq.w_data.eq(to_matrix),
            vq.w_data.eq(to_vector),
            self.matrix.payload.eq(mq.r_data),
            self.matrix.valid.eq(mq.r_rdy),
            mq.r_en.eq(self.matrix.ready),
            self.vector.payload.eq(offered),
            self.vector.valid.eq(offers),
            vq.r_en.eq(~offers | self.vector.ready),
        ]
        self._receive(m, program, descriptors, registers)

        # Registers of the walk.
        word = Signal(len(program.rd_data))
        pc = Signal(range(self._program_depth))
        loop_pc = Array(Signal.like(pc, name=f"loop_pc_{r.name.lower()}") for r in LoopReg)
        loop_left = Array(Signal(LOOP_BITS, name=f"loop_left_{r.name.lower()}") for r in LoopReg)
        index = Array(Signal(LOOP_BITS, name=f"index_{r.name.lower()}") for r in LoopReg)
        layer, head, j, chunk = (index[r] for r in LoopReg)
        rounds = Signal(LOOP_BITS)
        # Attention rounds go in chunks: the first round of this one, rounds from there on, and which one of its chunk J
        # is.
        first_round = Signal(LOOP_BITS)
        rounds_left = Signal(LOOP_BITS)
        of_chunk = Signal(ceil_log2(ROUNDS_AHEAD))
        chunk_size = Const(1, ROUNDS_AHEAD.bit_length()) << tile.rounds_log2
        m.d.comb += [
            first_round.eq(chunk << tile.rounds_log2),
            rounds_left.eq(rounds - first_round),
            of_chunk.eq(j & (chunk_size - 1)),
        ]
        att_total = Signal(COUNT_BITS)
        slot_rows = Signal(SLOT_BITS)
        live_slots = Signal(SLOT_BITS)

        # One multiplier, fed from registers, used step after step: one DSP block. Block strides are its widest factor.
        mul_a = Signal(16)
        mul_b = Signal(STRIDE_BITS)
        product = Signal(24)
        m.d.comb += product.eq(mul_a * mul_b)

        op = word[:OP_BITS]
        # what was read last, seen as either kind
        desc = Signal(Descriptor)
        planes = Signal(Planes)
        desc_index = Signal(range(self._desc_depth))
        m.d.comb += [
            desc.as_value().eq(descriptors.rd_data),
            program.rd_addr.eq(pc),
            descriptors.rd_addr.eq(desc_index),
        ]
        block = Signal(16)
        address = Signal(ACT_BITS)
        send_base = Signal(ACT_BITS)
        base = Signal(BANK_BITS)
        count_product = Signal(COUNT_BITS)
        # of the primary descriptor
        words = Signal(ROW_BITS)
        matrix_rows = Signal(LOCAL_ROW_BITS)
        s_in = Signal(EXPONENT_BITS)
        quad0 = Signal(ACT_BITS)

        is_matrix = Signal()
        m.d.comb += [
            is_matrix.eq(Cat(op == one for one in _MATRIX_OPS).any()),
            self.queued.vector.eq(~is_matrix),
            self.queued.next.eq(pc),
            self.queued.layer.eq(layer),
        ]
        gemv = lambda name: field(word, name, Op.GEMV)  # noqa: E731
        run = lambda name: field(word, name, Op.RUN)  # noqa: E731
        quads = Signal(SLOT_BITS)
        resolved = Signal(resolved_layout(self._nested))
        damage = Signal()
        m.d.comb += [
            quads.eq((state.hwm + 3) >> 2),
            resolved.address.eq(Mux(op == Op.GEMV, address + product, address)),
            resolved.send_addr.eq(send_base + address),
            resolved.count.eq(count_product),
            resolved.base.eq(base),
            resolved.words.eq(words),
            resolved.rows.eq(matrix_rows),
            resolved.s_in.eq(s_in),
            resolved.round.eq(j),
            resolved.slot_rows.eq(slot_rows),
            resolved.live_slots.eq(live_slots),
            resolved.quads.eq(quads),
            resolved.of_chunk.eq(of_chunk),
            resolved.slide.eq(product),
        ]
        m.d.comb += self.parity.eq(program.error | descriptors.error | damage)
        if self._nested:
            # a GEMV with planes; the pass measures; drafts
            integer = Signal()
            measure = Signal()
            draft = state.draft
            lo_start, hi_base, lo_base = (Signal(BANK_BITS, name=name) for name in ("lo_start", "hi_base", "lo_base"))
            fmt = Signal(FORMAT_BITS)
            m.submodules.precision_table = table = PrecisionTable(self._desc_depth, inject=self._inject)
            m.d.comb += [
                table.rx_valid.eq(self.rx_valid),
                table.rx.eq(self.rx),
                table.index.eq(desc_index),
                damage.eq(table.error),
                measure.eq(state.measure if self._governor else 0),
                planes.as_value().eq(descriptors.rd_data),
                resolved.integer.eq(integer),
                resolved.measure.eq(measure),
                resolved.format.eq(fmt),
                resolved.planes.eq(desc_index),
                resolved.hi_base.eq(hi_base),
                resolved.lo_base.eq(lo_base),
            ]
            if self._inject:
                m.d.comb += table.flip.eq(self.flip_table)
        matrix_entry(m, to_matrix, word, desc, planes, resolved)
        vector_entry(m, to_vector, word, desc, tile, resolved)

        with m.FSM(name="walk"):
            with m.State("IDLE"):
                with m.If(registers.start):
                    m.next = "SLOTS"
            with m.State("SLOTS"):
                apart = apart_log2(state.positions, self._lanes)
                # Slot quads of this tile: ceil((quads - group_index) / group_size), by one division.
                m.d.comb += [
                    divider.start.eq(1),
                    divider.numerator.eq(quads - 1 - tile.group_index),
                    divider.denominator.eq(tile.group_size),
                ]
                m.d.sync += [
                    pc.eq(tile.entry),
                    self.running.eq(1),
                    desc_index.eq(0),
                    *(i.eq(0) for i in index),
                    rounds.eq(((tile.group << apart) + self._lanes - 1) >> lane_bits),
                ]
                m.next = "DIVIDE"
            with m.State("DIVIDE"):
                m.d.sync += [mul_a.eq(tile.att_senders), mul_b.eq(rounds)]
                with m.If(divider.done):
                    with m.If(quads <= tile.group_index):
                        m.d.sync += [slot_rows.eq(0), live_slots.eq(0)]
                    with m.Else():
                        rows = (divider.quotient + 1) << 2
                        missing = Mux(divider.remainder == 0, (quads << 2) - state.hwm, 0)
                        m.d.sync += [slot_rows.eq(rows), live_slots.eq(rows - missing)]
                    m.next = "ATTEND"
            with m.State("ATTEND"):
                m.d.comb += descriptors.rd_en.eq(1)  # so that entries which need no descriptor hold known bits too
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
                        count = Signal(LOOP_BITS)
                        begin = Signal(LOOP_BITS)
                        with m.Switch(field(word, "kind", Op.LOOP)):
                            with m.Case(LoopCount.HEADS):
                                m.d.comb += count.eq(tile.heads)
                            with m.Case(LoopCount.ROUNDS):
                                m.d.comb += [
                                    count.eq(Mux(rounds_left < chunk_size, rounds_left, chunk_size)),
                                    begin.eq(first_round),
                                ]
                            with m.Case(LoopCount.CHUNKS):
                                m.d.comb += count.eq((rounds + chunk_size - 1) >> tile.rounds_log2)
                            with m.Default():
                                m.d.comb += count.eq(field(word, "count", Op.LOOP))
                        m.d.sync += [loop_pc[reg].eq(pc + 1), loop_left[reg].eq(count), index[reg].eq(begin)]
                        with m.If(count == 0):
                            m.d.sync += pc.eq(pc + field(word, "skip", Op.LOOP))
                    with m.Case(Op.ENDLOOP):
                        reg = field(word, "reg", Op.ENDLOOP)
                        with m.If(loop_left[reg] == 1):
                            m.d.sync += index[reg].eq(0)
                        with m.Else():
                            m.d.sync += [
                                loop_left[reg].eq(loop_left[reg] - 1),
                                index[reg].eq(index[reg] + 1),
                                pc.eq(loop_pc[reg]),
                            ]
                    with m.Case(Op.SKIP):
                        sample, filters = (
                            state.sample,
                            state.sample & (tile.min_p | tile.top_k.any()),
                        )
                        # by `When`
                        facts = Array((state.want == 0, sample, ~sample, filters, ~filters, tile.top_k == 0))
                        with m.If(facts[field(word, "when", Op.SKIP)]):
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
                            for kind, factor in [
                                (WaitKind.ONE, 1),
                                (WaitKind.ALL, tile.count),
                                (WaitKind.GROUP, tile.group_size),
                                (WaitKind.LANES, state.positions),
                                (WaitKind.ATTEND, att_total),
                            ]:
                                with m.Case(kind):
                                    m.d.sync += mul_b.eq(factor)
                    with m.Case(Op.RUN):
                        m.d.sync += [mul_a.eq(tile.head0 + head), mul_b.eq(tile.group)]
                    with m.Default():
                        m.d.sync += [mul_a.eq(head), mul_b.eq(gemv("group"))]
                m.next = "LOOK_UP"
            with m.State("LOOK_UP"):
                m.d.comb += descriptors.rd_en.eq((op == Op.GEMV) | (op == Op.FETCH) | (op == Op.KVW) | (op == Op.RUN))
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
                        with m.If(run("send_mode") == SendMode.SLOTS):
                            m.d.sync += mul_a.eq(of_chunk)
                m.d.sync += count_product.eq(product)
                m.next = "BLOCK"
            with m.State("BLOCK"):
                m.d.sync += [words.eq(desc.words), matrix_rows.eq(desc.rows), s_in.eq(desc.s_in), quad0.eq(desc.quad0)]
                if self._nested:
                    m.d.sync += [desc_index.eq(desc.alt), integer.eq((op == Op.GEMV) & ~gemv("kv") & (desc.alt != 0))]
                m.d.sync += [
                    address.eq(product),
                    mul_a.eq(block),
                    mul_b.eq(Mux(op == Op.RUN, tile.hdq, desc.block_stride)),
                ]
                m.next = "BASE"
            with m.State("BASE"):
                m.d.sync += [
                    base.eq(desc.base + product),
                    mul_a.eq(Mux(gemv("slot_words"), of_chunk, j)),
                    mul_b.eq(gemv("act_j")),
                ]
                with m.If(op == Op.RUN):
                    m.d.sync += [mul_a.eq(of_chunk), mul_b.eq(run("slide"))]
                    m.d.sync += send_base.eq(
                        run("send_base") + Mux(run("send_mode") == SendMode.SLOTS, tile.group_index, quad0)
                    )
                    with m.If(run("send_mode") == SendMode.OUTPUT):
                        m.d.sync += address.eq(product)
                with m.Elif(op == Op.GEMV):
                    m.d.sync += address.eq(address + gemv("act"))
                with m.Else():
                    m.d.sync += address.eq(
                        address + field(word, "act", Op.KVW) + Mux(field(word, "value", Op.KVW), quad0, 0)
                    )
                m.next = "PUSH"
                if self._nested:
                    m.d.comb += [descriptors.rd_en.eq(integer), table.read.eq(integer & ~measure & ~draft)]
                    with m.If(integer):
                        m.next = "PLANES"

            if self._nested:  # only for a GEMV with planes
                with m.State("PLANES"):
                    # there may be no FP16 copy to read, whatever the table says
                    best = Mux(planes.fp16, Format.FP16, Format.INT8)
                    m.d.sync += [
                        address.eq(address + product),
                        lo_start.eq(planes.base + planes.lo_offset),
                        mul_a.eq(block),
                        mul_b.eq(planes.block_stride),
                        fmt.eq(
                            Mux(draft, Format.INT4, Mux(measure | (table.format == Format.FP16), best, table.format))
                        ),
                    ]
                    m.next = "COPIES"
                with m.State("COPIES"):
                    m.d.sync += [hi_base.eq(planes.base + product), lo_base.eq(lo_start + product), mul_a.eq(0)]
                    m.next = "PUSH"

            with m.State("PUSH"):
                m.d.comb += [mq.w_en.eq(is_matrix), vq.w_en.eq(~is_matrix)]
                with m.If(Mux(is_matrix, mq.w_rdy, vq.w_rdy)):
                    m.d.comb += self.queued.valid.eq(1)
                    m.next = "FETCH"

            with m.State("END"):
                with m.If(~mq.r_rdy & ~vq.r_rdy & ~offers & ~self.matrix_busy & ~self.vector_busy):
                    m.d.sync += self.running.eq(0)
                    m.next = "IDLE"
        return m

    def _receive(self, m, program, descriptors, registers):
        """Loads and pass words from the ring."""
        rx = self.rx
        m.d.comb += [
            registers.rx_valid.eq(self.rx_valid),
            registers.rx.eq(rx),
            self.seed.eq(registers.seed),
            *(shown.eq(group) for shown, group in zip(self.groups, registers.groups)),
        ]
        connect(m, registers.current, flipped(self.current))
        for memory in (program, descriptors):
            m.d.comb += [memory.rx_valid.eq(self.rx_valid), memory.rx.eq(rx)]
