"""A stop of the unidirectional ring: forwards, copies, injects, and removes what it injected."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.flits import FLIT_FIELDS
from hayate.rtl.ring.flit import end_of, flit_layout, flit_stream


class RingStop(wiring.Component):
    """Joins one tile, or the conductor, to the ring.

    A flit goes round the full circle, unless it is ``near``. Every stop that it arrives at delivers it, once; its
    source is the last to do so and takes it off the ring. One with ``near`` is delivered at its source as it is
    injected, travels to its `end_of` and is taken off there; where that is the source, it never travels. Which flits
    concern the tile is for the receiver to decide, by ``lo`` and ``hi``. Flits of one source arrive everywhere in the
    order in which they were injected, except that those with ``near`` may come before others at their source; flits
    of different sources in any order.

    Latency is HOP_LATENCY on each way through an empty stop, from ``ring_in`` or ``inject`` to ``ring_out`` and to
    ``deliver``; each way sustains a flit a cycle. Transit goes first: a
    flit is injected in a cycle in which none arrives but one that is back at its source, and one with ``near`` in a
    cycle in which none arrives. So the ring as a whole injects at most a flit a cycle that goes all the way round, and
    a source that injects without a pause keeps the ones behind it waiting until it is done. Because injecting needs two
    free places in the transit buffer and leaves one, the ring always has a free place, and traffic moves as long as
    every ``deliver`` is taken in the end (bubble flow control).

    Backpressure: a flit is taken from ``ring_in`` when it can be both stored for transit and delivered.
    ``ring_in.ready`` follows ``deliver.ready``, and ``inject.ready`` follows ``ring_in.valid``, ``deliver.ready`` and
    the flit, within the cycle; no path leads from ``ring_out.ready`` to ``ring_in.ready``, so that stops can be put in
    a circle. Reset empties the stop.

    Source: C. Carrión et al., "A flow control mechanism to avoid message deadlock in k-ary n-cube networks", HiPC 1997.

    Parameters
    ----------
    lanes : int
        Words of a flit, M.
    depth : int
        Places of the transit buffer, a power of two, at least 4 (with fewer, injection could not keep up with the
        ring).

    Members
    -------
    stop_id : In(8)
        Physical number of this stop, different from those of all others on the ring; constant from reset on.
    ring_in : In(stream of Flit)
        From the previous stop.
    ring_out : Out(stream of Flit)
        To the next stop.
    inject : In(stream of Flit)
        From the tile; ``src`` is ignored, ``stop_id`` takes its place.
    near, travels : In
        Of what `inject` offers: its ``near``; its `end_of` is not ``stop_id``. Who chooses among several sources knows
        both of each source before the choice, which comes late. `inject_from` makes them of a single source's flit.
    deliver : Out(stream of Flit)
        To the tile. It must be taken in the end, whatever becomes of ``inject``.

    Raises
    ------
    ValueError
        If ``depth`` is not such a number.
    """

    def __init__(self, lanes: int, depth: int = 4):
        if depth < 4 or depth & (depth - 1):
            raise ValueError(f"depth: the transit buffer takes a power of two of places, at least 4, not {depth}")
        self.lanes, self.depth = lanes, depth
        flits = flit_stream(lanes)
        super().__init__(
            {
                "stop_id": In(FLIT_FIELDS["src"]),
                "ring_in": In(flits),
                "ring_out": Out(flits),
                "inject": In(flits),
                "near": In(1),
                "travels": In(1),
                "deliver": Out(flits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        flit = flit_layout(self.lanes)
        m.submodules.transit = transit = memory.Memory(shape=flit, depth=self.depth, init=[])
        write = transit.write_port()
        read = transit.read_port(domain="comb")
        level = Signal(range(self.depth + 1))

        # Ready of the ring does not look at this cycle's departure: that would be a path round the whole circle.
        can_deliver = Signal()
        arrives = Signal()  # a flit is taken from the ring,
        passes = Signal()  # and must travel on
        # it is back at its source; it has come to its end
        own = Signal()
        ends = Signal()
        near = self.near
        travels = self.travels
        room = Signal()
        loops = Signal()
        # the ring does not need the transit buffer's write port; not looked at is whether a flit `ends`, for time
        vacant = Signal()
        injects = Signal()
        departs = Signal()
        m.d.comb += [
            own.eq(self.ring_in.payload.src == self.stop_id),
            ends.eq(self.ring_in.payload.near & (end_of(self.ring_in.payload) == self.stop_id)),
            can_deliver.eq(~self.deliver.valid | self.deliver.ready),
            self.ring_in.ready.eq(can_deliver & (level != self.depth)),
            arrives.eq(self.ring_in.valid & self.ring_in.ready),
            passes.eq(arrives & ~own & ~ends),
            vacant.eq(~self.ring_in.valid | own),
            room.eq(level <= self.depth - 2),
            self.inject.ready.eq(room & Mux(near, ~self.ring_in.valid & can_deliver, vacant)),
            loops.eq(self.inject.valid & near & room & ~self.ring_in.valid),  # it is delivered here as it is injected
            injects.eq(self.inject.valid & self.inject.ready),
            self.ring_out.valid.eq(level != 0),
            departs.eq(self.ring_out.valid & self.ring_out.ready),
        ]

        m.d.comb += [
            write.en.eq(passes | injects & (~near | travels)),
            write.data.eq(self.ring_in.payload),
            self.ring_out.payload.eq(read.data),
        ]
        with m.If(vacant):
            m.d.comb += [write.data.eq(self.inject.payload), write.data.src.eq(self.stop_id)]
        with m.If(write.en):
            m.d.sync += write.addr.eq(write.addr + 1)
        with m.If(departs):
            m.d.sync += read.addr.eq(read.addr + 1)
        # Whether a flit is stored is known last, and only chooses.
        stays = Signal.like(level)
        grows = Signal.like(level)
        m.d.comb += [stays.eq(level - departs), grows.eq(level - departs + 1)]
        m.d.sync += level.eq(Mux(write.en, grows, stays))

        with m.If(can_deliver):
            m.d.sync += self.deliver.valid.eq(arrives | loops)
        delivered = Signal(flit, reset_less=True)
        with m.If(can_deliver & self.ring_in.valid):
            m.d.sync += delivered.eq(self.ring_in.payload)
        with m.Elif(can_deliver & self.inject.valid):
            m.d.sync += [delivered.eq(self.inject.payload), delivered.src.eq(self.stop_id)]
        m.d.comb += self.deliver.payload.eq(delivered)
        return m


def inject_from(m, stop, source):
    """Join a source of flits, an interface that reads them from ``source.payload``, to a stop that has no other."""
    m.d.comb += [
        stop.inject.valid.eq(source.valid),
        stop.inject.payload.eq(source.payload),
        source.ready.eq(stop.inject.ready),
        stop.near.eq(source.payload.near),
        stop.travels.eq(end_of(source.payload) != stop.stop_id),
    ]
