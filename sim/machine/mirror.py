"""A ring with one tile of a package in RTL, and twins that repeat its traffic at the stops of all others.

All tiles of a package run one program on equal shares of each matrix, so they send the same flits at nearly the same
time. That is what a machine is measured by whose tiles do not all fit a simulation.
"""

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Mux, ResetSignal, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.flits import CONDUCTOR, NEAR_ADDRESS, STOP_BITS, WORD_BITS, FlitKind
from hayate.rtl.contract.isa import PassWord
from hayate.rtl.contract.topology import Topology, group_end, stop_of
from hayate.rtl.contract.words import DATA_ADDRESS
from hayate.rtl.ring.flit import FLIT_STREAM, end_of, flit_layout, flit_stream, pack, view, widen
from hayate.rtl.ring.stop import RingStop, inject_from
from hayate.sim.machine.sim_top import TILE

#: Flits that may wait at a twin's stop, which a source that injects without a pause keeps from injecting: as many as it
#: sends at a stretch.
DEPTH = 4096


def group_of(tile, kv_heads, tiles):
    """`lo`, `hi` and `end` of what a tile sends to its group: what the loader has in GROUP_LO, GROUP_HI, GROUP_END."""
    a = Topology(tiles).group(kv_heads, tile)
    return {"lo": a.group_lo, "hi": a.group_hi, "end": group_end(a, tile)}


class MirroredRing(wiring.Component):
    """Stop 0, which is the bench's, and a stop for each of `tiles` tiles; those of `real` are module `sim_top.TILE`,
    the others twins.

    A twin is a real `RingStop` whose flits are copies of those that the last tile, which must be real, has put on the
    ring, 2 cycles behind it. They differ in who takes them (`lo`, `hi`) and where they leave the ring (`end`): a flit
    to the tile's group goes to the twin's, one to itself to the twin, others to where they went. Addresses and data
    stay those of the tile; what arrives is never refused. Not repeated are the rows that a FETCH sends, since one tile
    alone has each row, and answers to a READ.

    So injection, arbitration, hops and bandwidth are those of the ring that is built. Assumed is that the other tiles
    send when this one does: shares of all tiles are equal, none of them waits where this one does not, and none owns a
    row that is fetched. A twin whose flits the ring does not take keeps them in a queue, where a tile's vector unit
    would stand still.

    Parameters
    ----------
    tiles, kv_heads, lanes: of the package and the model. real: logical numbers of the tiles in RTL, the last one among
        them.
    fetched: channels on which nothing but rows that a FETCH sends is waited for.

    Members
    -------
    inject: In stream of Flit at stop 0.
    begun: Out(32), cycle since reset in which stop 0 took the last START. answers: Out(8), SYNCs to the conductor at
        stop 0 since then.
    ended: Out(32), cycle of the last of them.
    replies: Out(16), READs answered since reset. reply: Out(64), the last answer.
    waiting: Out, the most flits that ever waited at a twin's stop; `DEPTH` of them may. fault: Out, a tile saw a memory
        error, ever.
    """

    def __init__(self, tiles, kv_heads, lanes, real, fetched):
        self.tiles, self.kv_heads, self.lanes = tiles, kv_heads, lanes
        self.real, self.fetched = frozenset(real), frozenset(fetched)
        if tiles - 1 not in self.real or not self.real <= set(range(tiles)):
            raise ValueError(f"real: tiles of {tiles}, the last one among them, not {sorted(self.real)}")
        super().__init__(
            {
                "inject": In(FLIT_STREAM),
                "begun": Out(32),
                "answers": Out(8),
                "ended": Out(32),
                "replies": Out(16),
                "reply": Out(64),
                "waiting": Out(range(DEPTH + 1)),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.conductor = conductor = RingStop(self.lanes)
        given = flit_stream(self.lanes).create(path=("given",))
        m.d.comb += [
            given.valid.eq(self.inject.valid),
            given.payload.eq(widen(self.inject.payload, self.lanes)),
            self.inject.ready.eq(given.ready),
        ]
        inject_from(m, conductor, given)
        self._watch(m, conductor)

        lead = self.tiles - 1
        seen = flit_stream(self.lanes).create(path=("seen",))  # what the lead has injected, as it leaves its stop
        levels, faults = [], []
        before = conductor.ring_out
        for t in range(self.tiles):
            after = flit_stream(self.lanes).create(path=(f"hop_{t + 1}",))
            if t in self.real:
                fault = Signal(name=f"fault_{t}")
                m.submodules[f"tile_{t}"] = Instance(
                    TILE,
                    i_clk=ClockSignal(),
                    i_rst=ResetSignal(),
                    i_stop_id=Const(stop_of(t), 8),
                    i_ring_in__valid=before.valid,
                    i_ring_in__payload=before.payload.as_value(),
                    o_ring_in__ready=before.ready,
                    o_ring_out__valid=after.valid,
                    o_ring_out__payload=after.payload.as_value(),
                    i_ring_out__ready=after.ready,
                    o_fault=fault,
                )
                faults.append(fault)
            else:
                levels.append(self._twin(m, t, seen, before, after))
            before = after
        m.d.comb += [
            conductor.ring_in.valid.eq(before.valid),
            conductor.ring_in.payload.eq(before.payload),
            before.ready.eq(conductor.ring_in.ready),
        ]

        flit = before.payload  # the last stop is the lead's
        repeated = Signal()
        with m.Switch(flit.kind):
            with m.Case(FlitKind.DATA):
                m.d.comb += repeated.eq(~view(DATA_ADDRESS, flit.addr).stage)
            with m.Case(FlitKind.SYNC):  # one to the conductor is on no channel
                m.d.comb += repeated.eq((flit.lo == CONDUCTOR) | Cat(flit.chan != chan for chan in self.fetched).all())
            with m.Case(FlitKind.SUM, FlitKind.MAX, FlitKind.CAND):
                m.d.comb += repeated.eq(1)
        m.d.comb += [
            seen.valid.eq(before.valid & before.ready & (flit.src == stop_of(lead)) & repeated),
            seen.payload.eq(flit),
        ]
        for level in levels:
            with m.If(level > self.waiting):
                m.d.sync += self.waiting.eq(level)
        for fault in faults:
            with m.If(fault):
                m.d.sync += self.fault.eq(1)
        return m

    def _twin(self, m, tile, seen, before, after):
        """The stop of a twin between streams `before` and `after`; how many flits wait at it."""
        flit = flit_layout(self.lanes)
        m.submodules[f"stop_{tile}"] = stop = RingStop(self.lanes)
        m.submodules[f"queue_{tile}"] = queue = fifo.SyncFIFO(width=flit.size, depth=DEPTH)
        lead, own = group_of(self.tiles - 1, self.kv_heads, self.tiles), group_of(tile, self.kv_heads, self.tiles)
        copy = Signal(flit, name=f"copy_{tile}")
        waiting = flit_stream(self.lanes).create(path=(f"waiting_{tile}",))
        f = seen.payload
        m.d.comb += [
            copy.eq(f),
            waiting.payload.as_value().eq(queue.r_data),
            waiting.valid.eq(queue.r_rdy),
            queue.r_en.eq(waiting.ready),
        ]
        inject_from(m, stop, waiting)
        here, there = (group["end"] for group in (lead, own))
        with m.If((f.lo == lead["lo"]) & (f.hi == lead["hi"]) & (Mux(f.near, end_of(f), 0) == here)):
            address = pack(NEAR_ADDRESS, addr=view(NEAR_ADDRESS, f.addr).addr, end=Const(there, STOP_BITS))
            m.d.comb += [copy.lo.eq(own["lo"]), copy.hi.eq(own["hi"]), copy.addr.eq(address)]
        with m.Elif((f.lo == self.tiles - 1) & (f.hi == self.tiles - 1)):
            m.d.comb += [copy.lo.eq(tile), copy.hi.eq(tile)]
        m.d.comb += [
            queue.w_en.eq(seen.valid),
            queue.w_data.eq(copy),
            stop.stop_id.eq(stop_of(tile)),
            stop.deliver.ready.eq(1),
            stop.ring_in.valid.eq(before.valid),
            stop.ring_in.payload.eq(before.payload),
            before.ready.eq(stop.ring_in.ready),
            after.valid.eq(stop.ring_out.valid),
            after.payload.eq(stop.ring_out.payload),
            stop.ring_out.ready.eq(after.ready),
        ]
        return queue.level

    def _watch(self, m, conductor):
        """The clock that passes are measured by, and what arrives at stop 0."""
        cycle = Signal(32)
        given, arrived = self.inject.payload, conductor.deliver.payload
        m.d.comb += conductor.deliver.ready.eq(1)
        m.d.sync += cycle.eq(cycle + 1)
        mine = conductor.deliver.valid & (arrived.lo == CONDUCTOR)
        with m.If(mine & (arrived.kind == FlitKind.SYNC)):
            m.d.sync += [self.answers.eq(self.answers + 1), self.ended.eq(cycle)]
        with m.If(mine & (arrived.kind == FlitKind.READ)):
            m.d.sync += [self.replies.eq(self.replies + 1), self.reply.eq(arrived.data.word_select(0, WORD_BITS))]
        with m.If(
            self.inject.valid & self.inject.ready & (given.kind == FlitKind.PASS) & (given.chan == PassWord.START)
        ):
            m.d.sync += [self.begun.eq(cycle), self.answers.eq(0)]
