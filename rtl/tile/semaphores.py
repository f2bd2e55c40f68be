"""Counting semaphores of an engine's channels: how many contributions have arrived and not been waited for yet."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.isa import CHANNELS, COUNT_BITS

#: Bits of a level: above the most SYNC flits that any program leaves outstanding on one channel.
LEVEL_BITS = 12


class Semaphores(wiring.Component):
    """One counter per channel, raised by `post` and lowered by `take`.

    A post is counted from the next cycle on. `enough` is combinational: the level of `chan` is at least `count`, and
    nothing is posted in this cycle, as the levels are in a memory that is written at one place a cycle. `take`
    subtracts `count` from the level at the end of the cycle and is allowed only while `enough` is high. A level wraps
    at 2**LEVEL_BITS. Reset clears all levels. Nothing toggles while neither input strobes.

    Members
    -------
    post, post_chan: In. One contribution to a channel has arrived.
    chan, count: In. Channel in question and the contributions asked of it.
    enough: Out. take: In.
    """

    post: In(1)
    post_chan: In(range(CHANNELS))
    chan: In(range(CHANNELS))
    count: In(COUNT_BITS)
    enough: Out(1)
    take: In(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.levels = levels = memory.Memory(shape=LEVEL_BITS, depth=CHANNELS, init=[])
        write, raised, asked = levels.write_port(), levels.read_port(domain="comb"), levels.read_port(domain="comb")
        there = Signal(CHANNELS)  # channels that were written since reset; the others read as 0

        # Whether a channel was written is known as late as its level, so it only chooses between two results.
        left = Signal(COUNT_BITS + 1)
        raised_there = Signal()
        asked_there = Signal()
        after_post = Signal(LEVEL_BITS)
        after_take = Signal(LEVEL_BITS)
        m.d.comb += [
            raised.addr.eq(self.post_chan),
            asked.addr.eq(self.chan),
            raised_there.eq(there.bit_select(self.post_chan, 1)),
            asked_there.eq(there.bit_select(self.chan, 1)),
            left.eq(asked.data - self.count),
            self.enough.eq(Mux(asked_there, ~left[-1], self.count == 0) & ~self.post),
            after_post.eq(Mux(raised_there, raised.data + 1, 1)),
            after_take.eq(Mux(asked_there, left, 0)),
            write.en.eq(self.post | self.take),
            write.addr.eq(Mux(self.post, self.post_chan, self.chan)),
            write.data.eq(Mux(self.post, after_post, after_take)),
        ]
        with m.If(write.en):
            m.d.sync += there.bit_select(write.addr, 1).eq(1)
        return m
