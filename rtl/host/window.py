"""The AXI4 subordinate of the load window: write bursts become load words."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.regmap import LOAD_TILE_SHIFT
from hayate.rtl.host.axi import Axi4, Burst, Response
from hayate.rtl.host.gate import BEAT_BITS, LoadWord


class Window(wiring.Component):
    """Each beat of a write burst is offered as one word; the burst is refused, with SLVERR, when one of its words is.

    INCR bursts count up within the space, FIXED ones stay; WLAST ends a burst (AWLEN is not looked at). One beat a
    cycle as long as words are taken. The response comes when `quiet`: all words are then where they belong. From the
    first word that is refused to the end of the burst all are `malformed`; so is a word of a burst that is neither INCR
    nor FIXED, whose size is not 8 bytes or whose address is not a multiple of 8, and one with a strobe low. Reads are
    answered with SLVERR and zeros on every beat. Attributes (lock, cache, protection) are not looked at. Reset drops a
    burst in progress. Where words on their way are `lost` the burst in progress is refused.

    A burst of two words::

        cycle               0     1     2     3     4     5     6     7
        bus.awvalid         ~~~~~~__________________________________________
        bus.wvalid          ____________~~~~~~~~~~~~________________________
        state               ADDRE.DATA..............RESPO.............ADDRE.
        words.valid         ____________~~~~~~~~~~~~________________________
        words.payload.addr  0.................1.....2.......................
        quiet               ____________________________________~~~~~~~~~~~~
        bus.bvalid          ____________________________________~~~~~~______

    Members
    -------
    bus: In(Axi4). words: Out stream of LoadWord. malformed: Out, refused: In, of the word on offer. quiet, lost: In.
    """

    bus: In(Axi4())
    words: Out(stream.Signature(LoadWord))
    malformed: Out(1)
    refused: In(1)
    quiet: In(1)
    lost: In(1)

    def elaborate(self, platform):
        m = Module()
        bus, word = self.bus, self.words.payload
        window = data.StructLayout(
            {
                "byte": BEAT_BITS,
                "addr": len(word.addr),
                "space": len(word.space),
                "tile": len(bus.awaddr) - LOAD_TILE_SHIFT,
            }
        )
        asked = Signal(window)
        # of the next beat
        addr = Signal.like(word.addr)
        space = Signal.like(word.space)
        tile = Signal.like(word.tile)
        counts_up = Signal()
        bad = Signal()
        answered = Signal()
        m.d.comb += [
            asked.eq(bus.awaddr),
            word.addr.eq(addr),
            word.space.eq(space),
            word.tile.eq(tile),
            word.data.eq(bus.wdata),
            self.malformed.eq(bad | ~bus.wstrb.all()),
        ]
        with m.FSM(name="write") as write:
            with m.State("ADDRESS"):
                with m.If(bus.awvalid):
                    m.d.sync += [
                        bus.bid.eq(bus.awid),
                        addr.eq(asked.addr),
                        space.eq(asked.space),
                        tile.eq(asked.tile),
                        counts_up.eq(bus.awburst == Burst.INCR),
                        bad.eq(
                            (asked.byte != 0)
                            | (bus.awsize != BEAT_BITS)
                            | (bus.awburst != Burst.INCR) & (bus.awburst != Burst.FIXED)
                        ),
                    ]
                    m.next = "DATA"
            with m.State("DATA"):
                with m.If(bus.wvalid & bus.wready):
                    m.d.sync += [bad.eq(self.refused), addr.eq(addr + counts_up)]
                    with m.If(bus.wlast):
                        m.next = "RESPONSE"
            with m.State("RESPONSE"):
                m.d.sync += answered.eq(bus.bvalid & ~bus.bready)  # it stays, whatever somebody else now sends
                with m.If(bus.bvalid & bus.bready):
                    m.next = "ADDRESS"
        with m.If(self.lost & ~write.ongoing("ADDRESS") & ~bus.bvalid):
            m.d.sync += bad.eq(1)
        m.d.comb += [
            bus.awready.eq(write.ongoing("ADDRESS")),
            self.words.valid.eq(write.ongoing("DATA") & bus.wvalid),
            bus.wready.eq(write.ongoing("DATA") & self.words.ready),
            bus.bvalid.eq(write.ongoing("RESPONSE") & (self.quiet | answered)),
            bus.bresp.eq(bad.replicate(2) & Response.SLVERR),
        ]

        beats = Signal(8)  # of a read that follow the one on offer
        m.d.comb += [bus.arready.eq(~bus.rvalid), bus.rresp.eq(Response.SLVERR), bus.rlast.eq(beats == 0)]
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [bus.rvalid.eq(1), bus.rid.eq(bus.arid), beats.eq(bus.arlen)]
        with m.If(bus.rvalid & bus.rready):
            m.d.sync += [beats.eq(beats - 1), bus.rvalid.eq(~bus.rlast)]
        return m
