"""Gives up on what makes no progress."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Watchdog(wiring.Component):
    """Counts cycles since the last progress.

    `expired` is high in the `limit`-th cycle with `counts` behind the last `restart`, unless this cycle has a `restart`
    itself; a limit of 0 stands for 2**32. Cycles without `counts` are free. Reset leaves nothing to expire before 2**32
    cycles: begin with a `restart`.

    Members
    -------
    limit: In(32), looked at with `restart`. restart: In, a strobe. counts: In. expired: Out, a strobe.
    """

    limit: In(32)
    restart: In(1)
    counts: In(1)
    expired: Out(1)

    def elaborate(self, platform):
        m = Module()
        left = Signal(32)
        m.d.comb += self.expired.eq(self.counts & ~self.restart & (left == 1))
        with m.If(self.restart):
            m.d.sync += left.eq(self.limit)
        with m.Elif(self.counts):
            m.d.sync += left.eq(left - 1)
        return m
