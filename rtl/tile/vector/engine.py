"""Vector engine: everything a tile computes that is not a dot product, and everything that it sends."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect

from hayate.rtl.contract.flits import CONDUCTOR, KIND_BITS, FlitKind
from hayate.rtl.contract.isa import Op
from hayate.rtl.contract.latencies import REDUCER_LATENCY, RESULT_LATENCY, TO_FP16_LATENCY
from hayate.rtl.contract.words import COUNT_ADDRESS, SEED_BITS
from hayate.rtl.numerics.reducer import Reducer
from hayate.rtl.ring.flit import flit_layout, flit_stream, pack
from hayate.rtl.tile.interfaces import CurrentPass, FinishedRows, LogitTrace
from hayate.rtl.tile.queues import GroupState, VectorEntry
from hayate.rtl.tile.semaphores import Semaphores
from hayate.rtl.tile.vector.argmax import ArgMax
from hayate.rtl.tile.vector.blocks import Blocks
from hayate.rtl.tile.vector.collect import Collect
from hayate.rtl.tile.vector.filter import KEEP_LATENCY, Filter
from hayate.rtl.tile.vector.landing import LandingBuffer
from hayate.rtl.tile.vector.mask import LaneMap, SlotMask
from hayate.rtl.tile.vector.memory import VectorMemory
from hayate.rtl.tile.vector.micro import START_LATENCY, MicroSequencer
from hayate.rtl.tile.vector.noise import NoiseRows
from hayate.rtl.tile.vector.pipeline import pipeline
from hayate.rtl.tile.vector.receive import receive
from hayate.rtl.tile.vector.sender import COUNTED, Sender
from hayate.rtl.tile.vector.stage import StageBuffer
from hayate.rtl.verilog.once import once

#: Cycles from a SENDMAX or SENDSUM, which no element is issued with, until maxima and sums hold all earlier results and
#: no later one.
_MAXIMA_ASIDE = RESULT_LATENCY + 1
_SUMS_ASIDE = RESULT_LATENCY + TO_FP16_LATENCY + REDUCER_LATENCY
assert RESULT_LATENCY + TO_FP16_LATENCY < _SUMS_ASIDE <= RESULT_LATENCY + TO_FP16_LATENCY + START_LATENCY + 1
_SENDS = {Op.SENDSUM: FlitKind.SUM, Op.SENDMAX: FlitKind.MAX, Op.SENDCAND: FlitKind.CAND, Op.SENDCOUNT: FlitKind.SUM}
assert RESULT_LATENCY == 2 + KEEP_LATENCY, "what is kept shall meet the result"


class VectorEngine(wiring.Component):
    """Executes V_WAIT, RUN, SENDSUM, SENDMAX, SENDCAND, SENDCOUNT and SELECT in order, `lanes` elements of a
    micro-operation per cycle.

    V_WAIT takes one cycle once its channel holds enough. A RUN of N = elements x micro-operations takes N + 2 cycles
    without waits (what may wait is said at `MicroSequencer`; one of weights' rows that has none waits for the turn of
    its GEMV; a micro-operation that reads the collected sums waits lanes + NORM_LATENCY + 2 cycles; one that reads
    noise waits for its row, see `NoiseRows`, which begins with the RUN), and its last results follow DEPENDENCE cycles
    later, under whatever comes next. SENDCAND and SENDCOUNT wait for all results, and for everything sent before.
    SENDSUM and SENDMAX wait only until all elements are issued and the one before of their kind is through; sums and
    maxima are set aside behind the last result while other instructions follow. Flits leave in program order. Elements
    that `masked` hides, and inactive lanes, give 0 to vector memory and words and nothing to sums, maxima and
    `saturated`. Received flits are never refused. Reset abandons work and clears sums, maxima and channels, not the
    memories. SELECT takes SELECT_CYCLES for each wanted lane and 2 more.

    A RUN of two elements whose maximum is taken, and the SENDMAX after it (names of states are cut off)::

        cycle        0   1   2   3   4   5   6   7   8   9   10  11  12  13  14  15  16  17  18  19  20  21  22  23
        entry.valid  ~~~~~~~~~~~~~~~~~~~~~~~~~~~~____________________________________________________________________
        entry.ready  ____________~~~~________~~~~____________________________________________________________________
        state        IDL.RUN.........IDL.ASI.....IDL.................................................................
        step         ________~~~~~~~~________________________________________________________________________________
        issue        ____________~~~~~~~~____________________________________________________________________________
        tx.valid     ____________________________________________________________________________~~~~~~~~____________
        busy         ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~____________

    Parameters
    ----------
    lanes, vmem_depth, stage_depth, micro_depth, landing_depth, max_slots: as in `Config`.
    sampling: there are noise and filters; without them no RUN may ask for them, and there is neither SENDCOUNT nor
        SELECT.

    Members
    -------
    entry: In, stream of VectorEntry.
    current: In(CurrentPass), seed (64): In. Constant while busy. groups: In, see `TileRegisters`.
    rx_valid, rx: In. Flits for this tile: DATA for the stage buffer, SUM, MAX, SYNC, PASS (slots of lanes and of the
        text), LOAD of MICRO and VMEM (while idle only); others are ignored.
    rows: In(FinishedRows). tx: Out, stream of Flit. trace: Out(LogitTrace).
    busy: Out. saturated: Out(5), results and conversions saturated (one cycle late). parity: Out, a strobe per cycle
        with a damaged word.
    """

    def __init__(
        self,
        lanes: int,
        vmem_depth: int,
        stage_depth: int,
        micro_depth: int,
        landing_depth: int,
        max_slots: int,
        *,
        sampling: bool = True,
    ):
        self.lanes, self._sampling = lanes, sampling
        self._vmem_depth, self._stage_depth, self._micro_depth = vmem_depth, stage_depth, micro_depth
        self._landing_depth, self._max_slots = landing_depth, max_slots
        super().__init__(
            {
                "entry": In(stream.Signature(VectorEntry)),
                "current": In(CurrentPass(lanes)),
                "seed": In(SEED_BITS),
                "groups": In(GroupState).array(2),
                "rx_valid": In(1),
                "rx": In(flit_layout(lanes)),
                "rows": In(FinishedRows(lanes)),
                "tx": Out(flit_stream(lanes)),
                "trace": Out(LogitTrace(lanes)),
                "busy": Out(1),
                "saturated": Out(5),
                "parity": Out(1),
            }
        )

    @staticmethod
    def _aside(m, sender, kind, latency, valid):
        """What is set aside for a job of this kind, `latency` cycles behind `asked`: (asked, owed, in), of which the
        first is for the caller to drive. `valid` is the sender's.
        """
        name = kind.name.lower()
        asked = Signal(name=f"{name}_asked")
        owed = Signal(name=f"{name}_owed")
        on_way = Signal(latency, name=f"{name}_on_way")
        through = sender.done & (sender.done_kind == kind)
        m.d.sync += on_way.eq(Cat(asked, on_way[:-1]))
        for there, comes in ((valid, on_way[-1]), (owed, asked)):
            with m.If(comes):
                m.d.sync += there.eq(1)
            with m.Elif(through):
                m.d.sync += there.eq(0)
        return asked, owed, on_way[-1]

    def elaborate(self, platform):
        m = Module()
        lanes, entry, current = self.lanes, self.entry.payload, self.current
        m.submodules.micro = micro = MicroSequencer(
            micro_depth=self._micro_depth,
            landing_depth=self._landing_depth,
            stage_depth=self._stage_depth,
            vmem_depth=self._vmem_depth,
        )
        m.submodules.memory = vmem = VectorMemory(lanes, self._vmem_depth)
        m.submodules.landing = landing = LandingBuffer(lanes, self._landing_depth)
        m.submodules.stage = stage = StageBuffer(lanes, self._stage_depth)
        m.submodules.mask = mask = SlotMask(lanes, self._max_slots)
        m.submodules.collect = collect = Collect(lanes)
        m.submodules.argmax = argmax = ArgMax(lanes)
        m.submodules.lanes_of = lanes_of = LaneMap(lanes)
        m.submodules.sender = sender = Sender(lanes, counts=self._sampling)
        m.submodules.semaphores = semaphores = Semaphores()
        reducers = [Reducer() for _ in range(lanes)]
        for k, reducer in enumerate(reducers):
            m.submodules[f"reducer_{k}"] = once(platform, reducer)

        noise = filters = None
        if self._sampling:
            m.submodules.filters = filters = Filter(lanes)
            m.submodules.noise = noise = NoiseRows(lanes)
            m.d.comb += [
                noise.start.eq(micro.start & entry.noise),
                noise.row0.eq(entry.row0),
                noise.n.eq(entry.n),
                noise.seed.eq(self.seed),
                *(noise.positions[k].eq(current.lanes[k].position) for k in range(lanes)),
            ]
        blocks = Blocks(
            micro, vmem, landing, stage, mask, lanes_of, collect, sender, argmax, semaphores, reducers, noise, filters
        )
        load_vmem = receive(m, self, blocks)
        connect(m, sender.tx, wiring.flipped(self.tx))
        m.d.comb += [
            micro.entry.eq(entry),
            sender.tile.eq(current.tile),
            sender.positions.eq(current.state.positions),
            sender.reserve.eq(micro.reserve),
            micro.credit.eq(sender.credit),
            landing.row_valid.eq(self.rows.valid),
            landing.drop.eq(micro.freed),
            landing.read.eq(micro.landing_read),
            landing.offset.eq(micro.landing_offset),
            micro.rows.eq(landing.count),
            self.rows.freed.eq(micro.freed),
            stage.read.eq(micro.stage_read),
            stage.read_addr.eq(micro.stage_addr),
            *(a.eq(b) for a, b in zip(mask.groups, self.groups)),
            mask.in_second.eq(current.state.second),
            mask.read.eq(micro.mask_read),
            mask.row.eq(micro.idx),
            *(landing.row[k].eq(self.rows.values[k]) for k in range(lanes)),
        ]

        # Instructions.
        kind = Signal(KIND_BITS)
        job = sender.job
        look = Signal()
        clear = Signal()
        issued = Signal()  # all elements were, a cycle ago; from a register, as `pending` has a long way to go already
        m.d.sync += issued.eq(~micro.pending)
        sums_asked, sums_owed, sums_in = self._aside(m, sender, FlitKind.SUM, _SUMS_ASIDE, sender.sums_valid)
        maxima_asked, maxima_owed, maxima_in = self._aside(m, sender, FlitKind.MAX, _MAXIMA_ASIDE, sender.maxima_valid)
        settled = Signal()  # a cycle has passed since the last result
        sends_words = Signal()
        rowless = Signal()
        m.d.comb += [
            lanes_of.look.eq(look),
            lanes_of.serve.eq(micro.begun),
            lanes_of.vec.eq(entry.vec),
            lanes_of.round.eq(entry.round),
            lanes_of.n.eq(entry.n),
            lanes_of.pass_state.eq(current.state),
            lanes_of.tile.eq(current.tile),
            *(lanes_of.lanes_state[k].eq(current.lanes[k]) for k in range(lanes)),
            *(mask.position[k].eq(lanes_of.position[k]) for k in range(lanes)),
            *(mask.ancestors[k].eq(lanes_of.ancestors[k]) for k in range(lanes)),
            semaphores.chan.eq(entry.chan),
            semaphores.count.eq(entry.count),
            sends_words.eq((entry.op == Op.RUN) & entry.send),
            job.payload.kind.eq(Mux(entry.op == Op.RUN, FlitKind.DATA, kind)),
            job.payload.mode.eq(entry.send_mode),
            job.payload.addr.eq(entry.send_addr),
            job.payload.lo.eq(entry.lo),
            job.payload.hi.eq(entry.hi),
            job.payload.chan.eq(entry.chan),
            job.payload.end.eq(entry.end),
            job.payload.quads.eq(entry.n >> 2),
            job.payload.round.eq(entry.round),
            job.payload.active.eq(lanes_of.active),
            job.payload.vec.eq(entry.vec),
            micro.proceed.eq((~sends_words | job.ready) & ~(entry.vec & mask.busy) & (~rowless | landing.no_rows_left)),
            landing.no_rows.eq(self.rows.none),
            landing.no_rows_drop.eq(micro.begun & rowless),
        ]
        # Else a tile without rows would not wait for what its GEMV waits for, and its SYNC could count as one of the
        # phase before.
        # In attention, where tiles without slots are common, the order of the exchanges follows without it. From a
        # register, in time for the first cycle in which the RUN may begin.
        m.d.sync += rowless.eq((entry.landing != 0) & (entry.n == 0) & ~entry.vec)
        with m.Switch(entry.op):
            for op, flit in _SENDS.items():
                with m.Case(op):
                    m.d.comb += kind.eq(flit)
        wanted = Signal(lanes)
        m.d.comb += wanted.eq(Cat(current.state.want[k] & (current.state.positions > k) for k in range(lanes)))
        with m.If(entry.op == Op.SENDCAND):
            m.d.comb += [
                job.payload.active.eq(wanted),
                job.payload.lo.eq(CONDUCTOR),
                job.payload.hi.eq(CONDUCTOR),
                job.payload.end.eq(0),
            ]
        if self._sampling:
            m.d.comb += [noise.want.eq(wanted), filters.want.eq(wanted)]
            with m.If(entry.op == Op.SENDCOUNT):
                counts = pack(
                    COUNT_ADDRESS, high=Const(0, 1), counts=Const(1, 1), parity=filters.parity, index=current.tile.index
                )
                m.d.comb += [
                    job.payload.active.eq(wanted),
                    job.payload.mode.eq(COUNTED),
                    job.payload.addr.eq(counts),
                ]
        m.d.sync += settled.eq(micro.idle)

        with m.FSM(name="walk") as walk:
            with m.State("IDLE"):
                with m.If(self.entry.valid):
                    with m.If(entry.op == Op.V_WAIT):
                        m.d.comb += [semaphores.take.eq(semaphores.enough), self.entry.ready.eq(semaphores.enough)]
                    with m.Else():
                        m.d.comb += look.eq(1)
                        with m.If(entry.op == Op.RUN):
                            m.d.comb += micro.start.eq(1)
                            m.next = "RUN"
                        if filters:
                            with m.Elif(entry.op == Op.SELECT):
                                m.d.comb += filters.select.eq(1)
                                m.next = "SELECT"
                        with m.Elif((entry.op == Op.SENDSUM) | (entry.op == Op.SENDMAX)):
                            m.next = "ASIDE"
                        with m.Else():
                            m.next = "DRAIN"
            with m.State("RUN"):
                # Without elements nothing of this RUN may be seen before its end, the SYNC included.
                m.d.comb += [
                    job.valid.eq(sends_words & Mux(entry.n == 0, micro.done, micro.begun)),
                    self.entry.ready.eq(micro.done),
                ]
                with m.If(micro.done):
                    m.next = "IDLE"
            if filters:
                with m.State("SELECT"):
                    m.d.comb += self.entry.ready.eq(filters.selected)
                    with m.If(filters.selected):
                        m.next = "IDLE"
            with m.State("ASIDE"):
                sums = entry.op == Op.SENDSUM
                with m.If(issued & ~Mux(sums, sums_owed, maxima_owed)):
                    m.d.comb += [
                        job.valid.eq(1),
                        sums_asked.eq(job.ready & sums),
                        maxima_asked.eq(job.ready & ~sums),
                        self.entry.ready.eq(job.ready),
                    ]
                    with m.If(job.ready):
                        m.next = "IDLE"
            with m.State("DRAIN"):
                with m.If(micro.idle & ~maxima_owed & ~sums_owed & settled):
                    m.d.comb += job.valid.eq(1)
                    with m.If(job.ready):
                        m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [clear.eq(sender.done), self.entry.ready.eq(sender.done)]
                with m.If(sender.done):
                    m.next = "IDLE"
        m.d.comb += self.busy.eq(~walk.ongoing("IDLE") | self.entry.valid | ~micro.idle | sender.busy | mask.busy)

        pipeline(m, platform, self, blocks, wanted, load_vmem)
        # A cycle late: the next results are further away, and whether the ring took the last value is known late in a
        # cycle.
        m.d.comb += argmax.max_clear.eq(maxima_in)
        m.d.sync += argmax.arg_clear.eq(clear & (kind == FlitKind.CAND))
        if filters:
            m.d.sync += filters.clear.eq(clear & (entry.op == Op.SENDCOUNT))
            m.d.comb += [a.eq(b) for a, b in zip(sender.counts, filters.words)]
        for k, reducer in enumerate(reducers):
            with m.If(maxima_in):
                m.d.sync += sender.maxima[k].eq(argmax.maxima[k])
            with m.If(sums_in):
                m.d.sync += sender.sums[k].eq(reducer.acc)
            m.d.comb += [
                reducer.clear.eq(sums_in),
                sender.best[k].eq(argmax.best[k]),
                sender.rows[k].eq(argmax.rows[k]),
            ]
        m.d.comb += [
            sender.pair.eq(current.state.draft),
            sender.second.eq(argmax.second),
            sender.second_row.eq(argmax.second_row),
        ]
        m.d.sync += self.parity.eq(
            micro.parity | vmem.parity | stage.parity | mask.parity | (noise.parity if noise else 0)
        )
        return m
