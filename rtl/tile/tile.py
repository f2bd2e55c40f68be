"""A tile: ring stop, sequencer, matrix engine and vector engine on one clock."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect

from ..contract.flits import CONDUCTOR, FlitKind
from ..contract.isa import PassWord, Space
from ..ring.flit import FLIT_STREAM, Flit
from ..ring.stop import RingStop
from .counters import Counters
from .matrix import MatrixEngine
from .sequencer import Sequencer
from .vector import VectorEngine


class Tile(wiring.Component):
    """One tile of a package; all tiles of a package are the same module.

    It does what the flits on the ring tell it: LOAD fills its memories, PASS words start a pass, READ is answered. Flits are filtered by
    physical stop number (LOAD, READ) or by logical tile index (all others); reset empties the ring stop and the engines, not the memories.

    Parameters
    ----------
    banks, lanes, bank_depth, act_depth, stage_depth, vmem_depth, program_depth, micro_depth, desc_depth, landing_depth, max_slots:
        as in `Config`.

    Members
    -------
    stop_id: In(8). Physical stop number on the ring, a constant strap; tile t is stop t + 1.
    ring_in, ring_out: streams of Flit.
    trace_valid, trace_row (20), trace_mask (M), trace_values (M x FP32): Out. Logits of one row of the head: global row, positions whose
        logits are wanted, values. One row per cycle at most; nothing waits for a reader.
    fault: Out. High for a cycle when an uncorrectable error of a bank or a parity error of a memory was seen.
    """

    def __init__(self, *, banks, lanes, bank_depth, act_depth, stage_depth, vmem_depth, program_depth, micro_depth, desc_depth,
                 landing_depth, max_slots):
        self._banks, self._lanes = banks, lanes
        self._matrix = dict(banks=banks, lanes=lanes, bank_depth=bank_depth, act_depth=act_depth, max_slots=max_slots,
                            landing_depth=landing_depth)
        self._vector = dict(lanes=lanes, vmem_depth=vmem_depth, stage_depth=stage_depth, micro_depth=micro_depth,
                            landing_depth=landing_depth, max_slots=max_slots)
        self._sequencer = dict(lanes=lanes, program_depth=program_depth, desc_depth=desc_depth)
        super().__init__({
            "stop_id": In(8), "ring_in": In(FLIT_STREAM), "ring_out": Out(FLIT_STREAM),
            "trace_valid": Out(1), "trace_row": Out(20), "trace_mask": Out(lanes), "trace_values": Out(32).array(lanes),
            "fault": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.stop = stop = RingStop()
        m.submodules.sequencer = sequencer = Sequencer(**self._sequencer)
        m.submodules.matrix = matrix = MatrixEngine(**self._matrix)
        m.submodules.vector = vector = VectorEngine(**self._vector)
        m.submodules.counters = counters = Counters(len(matrix.useful))

        # Ring stop and receiver. Nothing holds flits back: a stop that did could starve its own injections, and the ring with them.
        connect(m, wiring.flipped(self.ring_in), stop.ring_in)
        connect(m, stop.ring_out, wiring.flipped(self.ring_out))
        m.d.comb += stop.stop_id.eq(self.stop_id)
        arrived = stop.deliver.payload
        by_stop = (arrived.kind == FlitKind.LOAD) | (arrived.kind == FlitKind.READ)
        number = Mux(by_stop, self.stop_id, sequencer.tile.index)
        mine = (arrived.lo <= number) & (number <= arrived.hi)
        rx_valid, rx = Signal(), Signal(Flit)
        reading = Signal(2)  # a READ is looked up, then its reply waits for the ring
        m.d.comb += stop.deliver.ready.eq(1)
        m.d.sync += rx_valid.eq(0)
        with m.If(stop.deliver.valid & mine):
            with m.If(arrived.kind == FlitKind.READ):
                # One READ at a time: the host port waits for the reply. A reply is a READ too, but its range is the conductor's.
                m.d.sync += [reading.eq(1), counters.select.eq(arrived.addr)]
            with m.Else():
                m.d.sync += [rx_valid.eq(1), rx.eq(arrived)]
        for block in (sequencer, matrix, vector):
            m.d.comb += [block.rx_valid.eq(rx_valid), block.rx.eq(rx)]

        # Sequencer and engines.
        connect(m, sequencer.matrix, matrix.entry)
        connect(m, sequencer.vector, vector.entry)
        m.d.comb += [sequencer.matrix_busy.eq(matrix.busy), sequencer.vector_busy.eq(vector.busy)]
        for engine in (matrix, vector):
            m.d.comb += [engine.pass_state.eq(sequencer.pass_state), engine.tile.eq(sequencer.tile)]
            m.d.comb += [a.eq(b) for a, b in zip(engine.lanes_state, sequencer.lanes_state)]
        m.d.comb += [vector.row_valid.eq(matrix.row_valid), matrix.release.eq(vector.release)]
        m.d.comb += [a.eq(b) for a, b in zip(vector.row, matrix.row)]

        # Towards the ring: a reply, fetched rows, vector results. Each source keeps its order; none of them waits for another tile.
        reply = stream.Signature(Flit).create(path=("reply",))
        m.d.comb += [
            reply.valid.eq(reading == 3), reply.payload.kind.eq(FlitKind.READ), reply.payload.lo.eq(CONDUCTOR),
            reply.payload.hi.eq(CONDUCTOR), reply.payload.chan.eq(Space.COUNTER), reply.payload.addr.eq(counters.select),
            reply.payload.data.eq(counters.value),
        ]
        with m.If((reading == 1) | (reading == 2)):
            m.d.sync += reading.eq(reading + 1)
        with m.Elif(reply.valid & reply.ready):
            m.d.sync += reading.eq(0)
        with m.If(reply.valid):
            self._pass_on(m, stop.inject, reply)
        with m.Elif(matrix.tx.valid):
            self._pass_on(m, stop.inject, matrix.tx)
        with m.Else():
            self._pass_on(m, stop.inject, vector.tx)

        # Counters.
        pass_word = rx_valid & (rx.kind == FlitKind.PASS)
        counting = Signal()
        with m.If(pass_word & (rx.chan == PassWord.BEGIN)):
            m.d.sync += counting.eq(1)
        with m.If(pass_word & (rx.chan == PassWord.FINISH)):
            m.d.sync += counting.eq(0)
        m.d.comb += [
            counters.clear.eq(pass_word & (rx.chan == PassWord.BEGIN)), counters.counting.eq(counting),
            counters.running.eq(sequencer.running), counters.cause.eq(matrix.cause), counters.useful.eq(matrix.useful),
            counters.useful_kv.eq(matrix.useful_kv), counters.saturated.eq(vector.saturated),
            counters.corrected.eq(matrix.corrected), counters.uncorrectable.eq(matrix.uncorrectable),
            counters.parity.eq(sequencer.parity | matrix.parity | vector.parity),
            self.trace_valid.eq(vector.trace_valid), self.trace_row.eq(vector.trace_row), self.trace_mask.eq(vector.trace_mask),
        ]
        m.d.comb += [a.eq(b) for a, b in zip(self.trace_values, vector.trace_values)]
        m.d.sync += self.fault.eq(counters.uncorrectable | counters.parity)
        return m

    @staticmethod
    def _pass_on(m, target, source):
        m.d.comb += [target.valid.eq(source.valid), target.payload.eq(source.payload), source.ready.eq(target.ready)]
