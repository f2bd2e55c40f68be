"""A tile: ring stop, sequencer, matrix engine and vector engine on one clock."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out, connect

from hayate.rtl.contract.activity import ACTIVITY
from hayate.rtl.contract.flits import CONDUCTOR, FlitKind
from hayate.rtl.contract.isa import Counter, PassWord, Space
from hayate.rtl.contract.words import COUNTER_ADDRESS, ENERGY_ADDRESS
from hayate.rtl.ring.flit import FLIT_STREAM, end_of, flit_layout, flit_stream, narrow, pack, struct, view, widen
from hayate.rtl.ring.stop import RingStop
from hayate.rtl.tile.counters import Counters
from hayate.rtl.tile.energy import Energy
from hayate.rtl.tile.interfaces import LogitTrace
from hayate.rtl.tile.matrix.engine import MatrixEngine
from hayate.rtl.tile.sequencer.sequencer import Sequencer
from hayate.rtl.tile.vector.engine import VectorEngine

#: READs that wait here: three of the governor and one of the host, each of which waits for its answers before it asks
#: again.
READ_DEPTH = 4


class Tile(wiring.Component):
    """One tile of a package; all tiles of a package are the same module.

    It does what the flits on the ring tell it: LOAD fills its memories, PASS words start a pass, READ is answered.
    Flits are filtered by physical stop number (LOAD, READ) or by logical tile index (all others). Reset empties the
    ring stop and the engines and ends the pass; memories and CSRs keep what LOAD brought, so that a loaded model stays
    loaded, and energies what was added up.

    READs, at most READ_DEPTH at a time, are answered in order: with a counter, or, when the address has ENERGY_BIT,
    with an energy of the generation in progress or the last one. In a pass that measures, the SYNC to the conductor
    waits until the matrix engine is idle, so that whoever has seen the SYNCs finds complete energies: the differences
    of a `dual` matrix come after the rows that others wait for.

    Parameters
    ----------
    banks, lanes, bank_depth, act_depth, stage_depth, vmem_depth, program_depth, micro_depth, desc_depth, landing_depth,
        max_slots: as in `Config`.
    nested: weights may have integer planes; without it the tile reads FP16 copies only, whatever its descriptors name.
    governor: energies are there; without it each of them is 0, and no pass may measure. Needs `nested`.
    sampling: there is noise; without it every pass is greedy, whatever START says.

    Members
    -------
    stop_id: In(8). Physical stop number on the ring, a constant strap; tile t is stop t + 1.
    ring_in, ring_out: streams of flits.
    trace: Out(LogitTrace). activity: Out(ACTIVITY). For recorders; nothing depends on who reads them.
    fault: Out. High for a cycle when an uncorrectable error of a bank or a parity error of a memory was seen.
    """

    def __init__(
        self,
        *,
        banks,
        lanes,
        bank_depth,
        act_depth,
        stage_depth,
        vmem_depth,
        program_depth,
        micro_depth,
        desc_depth,
        landing_depth,
        max_slots,
        nested=True,
        governor=True,
        sampling=True,
    ):
        if governor and not nested:
            raise ValueError("a governor needs nested planes to choose from")
        self._lanes, self._desc_depth, self._governor = lanes, desc_depth, governor
        self._matrix = dict(
            banks=banks,
            lanes=lanes,
            bank_depth=bank_depth,
            act_depth=act_depth,
            max_slots=max_slots,
            landing_depth=landing_depth,
            nested=nested,
            governor=governor,
        )
        self._vector = dict(
            lanes=lanes,
            vmem_depth=vmem_depth,
            stage_depth=stage_depth,
            micro_depth=micro_depth,
            landing_depth=landing_depth,
            max_slots=max_slots,
            sampling=sampling,
        )
        self._sequencer = dict(
            lanes=lanes,
            program_depth=program_depth,
            desc_depth=desc_depth,
            nested=nested,
            governor=governor,
            sampling=sampling,
        )
        super().__init__(
            {
                "stop_id": In(8),
                "ring_in": In(flit_stream(lanes)),
                "ring_out": Out(flit_stream(lanes)),
                "trace": Out(LogitTrace(lanes)),
                "activity": Out(struct(ACTIVITY)),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.stop = stop = RingStop(self._lanes)
        m.submodules.sequencer = sequencer = Sequencer(**self._sequencer)
        m.submodules.matrix = matrix = MatrixEngine(**self._matrix)
        m.submodules.vector = vector = VectorEngine(**self._vector)
        m.submodules.counters = counters = Counters(len(matrix.useful))

        # Ring stop and receiver. Nothing holds flits back: a stop that did could starve its own injections, and the
        # ring with them.
        connect(m, wiring.flipped(self.ring_in), stop.ring_in)
        connect(m, stop.ring_out, wiring.flipped(self.ring_out))
        m.d.comb += stop.stop_id.eq(self.stop_id)
        arrived = stop.deliver.payload
        by_stop = (arrived.kind == FlitKind.LOAD) | (arrived.kind == FlitKind.READ)
        number = Mux(by_stop, self.stop_id, sequencer.current.tile.index)
        mine = (arrived.lo <= number) & (number <= arrived.hi)
        rx_valid = Signal()
        rx = Signal(flit_layout(self._lanes))
        m.submodules.reads = reads = fifo.SyncFIFO(width=ENERGY_ADDRESS.bits, depth=READ_DEPTH)
        m.d.comb += stop.deliver.ready.eq(1)
        m.d.sync += rx_valid.eq(0)
        m.d.comb += reads.w_data.eq(arrived.addr)
        with m.If(stop.deliver.valid & mine):
            with m.If(arrived.kind == FlitKind.READ):  # A reply is a READ too, but its range is the conductor's.
                m.d.comb += reads.w_en.eq(1)
            with m.Else():
                m.d.sync += [rx_valid.eq(1), rx.eq(arrived)]
        for block, flit in ((sequencer, narrow(rx)), (matrix, rx), (vector, rx)):
            m.d.comb += [block.rx_valid.eq(rx_valid), block.rx.eq(flit)]

        # Sequencer and engines.
        connect(m, sequencer.matrix, matrix.entry)
        connect(m, sequencer.vector, vector.entry)
        connect(m, sequencer.current, matrix.current, vector.current)
        connect(m, matrix.rows, vector.rows)
        connect(m, vector.trace, wiring.flipped(self.trace))
        m.d.comb += [
            sequencer.matrix_busy.eq(matrix.busy),
            sequencer.vector_busy.eq(vector.busy),
            vector.seed.eq(sequencer.seed),
            *(taken.eq(group) for taken, group in zip(vector.groups, sequencer.groups)),
        ]

        # Towards the ring: a reply, fetched rows, vector results. Each source keeps its order; none of them waits for
        # another tile.
        pass_word = Signal()
        m.d.comb += pass_word.eq(rx_valid & (rx.kind == FlitKind.PASS))
        begins = Signal()
        m.d.comb += begins.eq(pass_word & (rx.chan == PassWord.BEGIN))
        reply = FLIT_STREAM.create(path=("reply",))
        energy_parity = self._answer(m, reads, counters, matrix, reply, begins, rx_valid, rx)
        hold = Signal()
        last = vector.tx.payload
        if self._governor:
            m.d.comb += hold.eq(
                (last.kind == FlitKind.SYNC) & (last.lo == CONDUCTOR) & sequencer.current.state.measure & matrix.busy
            )
        # Only what the vector engine sends may end before it is round: so much is known before the choice.
        m.d.comb += [
            stop.near.eq(~reply.valid & ~matrix.tx.valid & last.near),
            stop.travels.eq(end_of(last) != self.stop_id),
        ]
        with m.If(reply.valid):
            self._pass_on(m, stop.inject, reply, widen(reply.payload, self._lanes))
        with m.Elif(matrix.tx.valid):
            self._pass_on(m, stop.inject, matrix.tx, matrix.tx.payload)
        with m.Elif(~hold):
            self._pass_on(m, stop.inject, vector.tx, last)

        # Counters.
        counting = Signal()
        with m.If(begins):
            m.d.sync += counting.eq(1)
        with m.If(pass_word & (rx.chan == PassWord.FINISH)):
            m.d.sync += counting.eq(0)
        m.d.comb += [
            counters.clear.eq(begins),
            counters.counting.eq(counting),
            counters.running.eq(sequencer.running),
            counters.cause.eq(matrix.cause),
            counters.useful.eq(matrix.useful),
            counters.useful_kv.eq(matrix.useful_kv),
            counters.saturated.eq(vector.saturated),
            counters.corrected.eq(matrix.corrected),
            counters.uncorrectable.eq(matrix.uncorrectable),
            counters.parity.eq(sequencer.parity | matrix.parity | vector.parity | energy_parity),
        ]
        m.d.sync += self.fault.eq(counters.uncorrectable | counters.parity)

        queued, link = sequencer.queued, self.ring_out
        m.d.comb += self.activity.as_value().eq(
            pack(
                ACTIVITY,
                cause=Mux(sequencer.running, matrix.cause, Counter.IDLE),
                counted=counting,
                taken=matrix.taken,
                served=vector.entry.valid & vector.entry.ready,
                queued=queued.valid,
                vector=queued.vector,
                next=queued.next,
                layer=queued.layer,
                sent=link.valid & link.ready,
                kind=link.payload.kind,
            )
        )
        return m

    def _answer(self, m, reads, counters, matrix, reply, begins, rx_valid, rx):
        """Look-up of the oldest READ and its reply; the strobe of a damaged energy.

        A READ of a counter and one of an energy, which come right after each other::

            cycle           0     1     2     3     4     5     6     7     8     9     10    11    12    13
            ring_in.valid   ~~~~~~~~~~~~________________________________________________________________________
            reads.r_rdy     ____________~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~__________________
            state           IDLE..............LOOK..REPLY.IDLE..LOOK....................REPLY.IDLE..............
            look            ____________~~~~~~____________~~~~~~________________________________________________
            is_energy       ______________________________~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~__________________
            found           ______________________________________________________~~~~~~________________________
            reply.valid     ________________________~~~~~~______________________________~~~~~~__________________
            ring_out.valid  ______________________________~~~~~~______________________________~~~~~~____________
        """
        asked = view(ENERGY_ADDRESS, reads.r_data)
        is_energy = Signal()
        found = Signal()
        parity = Signal()
        value = Signal(64, reset_less=True)
        total = Signal(64)
        m.d.comb += [
            is_energy.eq(asked.energy),
            counters.select.eq(view(COUNTER_ADDRESS, reads.r_data).counter),
            reply.payload.kind.eq(FlitKind.READ),
            reply.payload.lo.eq(CONDUCTOR),
            reply.payload.hi.eq(CONDUCTOR),
            reply.payload.chan.eq(Space.COUNTER),
            reply.payload.addr.eq(reads.r_data),
            reply.payload.data.eq(value),
        ]
        look = Signal()
        with m.FSM(name="answer"):
            with m.State("IDLE"):
                m.d.comb += look.eq(reads.r_rdy)
                with m.If(look):
                    m.next = "LOOK"
            with m.State("LOOK"):
                m.d.sync += value.eq(Mux(is_energy, total, counters.value))
                with m.If(~is_energy | found):
                    m.next = "REPLY"
            with m.State("REPLY"):
                m.d.comb += [reply.valid.eq(1), reads.r_en.eq(reply.ready)]
                with m.If(reply.ready):
                    m.next = "IDLE"

        if not self._governor:
            m.d.comb += found.eq(1)
            return parity
        m.submodules.energy = energy = Energy(self._lanes, self._desc_depth)
        connect(m, matrix.measured, energy.row)
        m.d.comb += [
            energy.init.eq(rx_valid & (rx.kind == FlitKind.LOAD) & (rx.chan == Space.CLEAR)),
            energy.init_addr.eq(rx.addr),
            energy.clear.eq(begins),
            energy.read.eq(look & is_energy),
            energy.read_kind.eq(asked.kind),
            energy.read_index.eq(asked.planes),
            found.eq(energy.read_valid),
            total.eq(energy.read_total),
            parity.eq(energy.parity),
        ]
        return parity

    @staticmethod
    def _pass_on(m, target, source, flit):
        m.d.comb += [target.valid.eq(source.valid), target.payload.eq(flit), source.ready.eq(target.ready)]
