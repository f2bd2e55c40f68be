"""Counting semaphores of an engine's channels: how many contributions have arrived and not been waited for yet."""

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..contract.isa import CHANNELS

#: Bits of a level: above the most SYNC flits that any program leaves outstanding on one channel.
LEVEL_BITS = 12


class Semaphores(wiring.Component):
    """One counter per channel, raised by `post` and lowered by `take`.

    A post is counted from the next cycle on. `enough` is combinational: the level of `chan` is at least `count`. `take` subtracts `count`
    from it at the end of the cycle and is allowed only while `enough` is high; a post to the same channel in that cycle is not lost. A
    level wraps at 2**LEVEL_BITS. Reset clears all levels. Nothing toggles while neither input strobes.

    Members
    -------
    post, post_chan: In. One contribution to a channel has arrived.
    chan, count: In. Channel in question and the contributions asked of it (0 is always satisfied).
    enough: Out. take: In.
    """

    post: In(1)
    post_chan: In(range(CHANNELS))
    chan: In(range(CHANNELS))
    count: In(16)
    enough: Out(1)
    take: In(1)

    def elaborate(self, platform):
        m = Module()
        levels = Array(Signal(LEVEL_BITS, name=f"level_{c}") for c in range(CHANNELS))
        left = Signal(17)
        m.d.comb += [left.eq(levels[self.chan] - self.count), self.enough.eq(~left[-1])]
        for c in range(CHANNELS):
            up, down = Signal(name=f"up_{c}"), Signal(name=f"down_{c}")
            m.d.comb += [up.eq(self.post & (self.post_chan == c)), down.eq(self.take & (self.chan == c))]
            with m.If(up | down):
                m.d.sync += levels[c].eq(Mux(down, left[:LEVEL_BITS], levels[c]) + up)
        return m
