"""Reset from outside and by command, and what follows a power-up: the order in which the machine becomes ready."""

from amaranth.hdl import Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

#: Cycles of the machine's own reset behind a command.
RESET_CYCLES = 2


class Power(wiring.Component):
    """Resets the machine behind the host port, has it cleared where that is asked for, and says when it is ready.

    `core_reset` is a register: it follows `rst` by a cycle and holds for RESET_CYCLES cycles more, and likewise behind
    `reset` and `clear`. `init` in any cycle of `rst`, and `clear`, ask for all memories to be cleared: `clearing` then
    rises with the end of `core_reset` and stays until `cleared`. A reset of either kind before that has it begin anew.
    `ready` is high where neither is.

    The command `clear`::

        cycle       0   1   2   3   4   5   6   7   8
        clear       ~~~~________________________________
        core_reset  ____~~~~~~~~________________________
        wanted      ____~~~~~~~~~~~~____________________
        clearing    ____________~~~~~~~~~~~~~~~~________
        sweep       ____________~~~~____________________
        cleared     ________________________~~~~________
        ready       ~~~~________________________~~~~~~~~

    Members
    -------
    init: In, a strap or a power-up signal, looked at while `rst` is high. reset, clear: In, commands, strobes.
    cleared: In. core_reset, clearing, ready: Out. sweep: Out, a strobe, in the first cycle of `clearing`.
    """

    init: In(1)
    reset: In(1)
    clear: In(1)
    cleared: In(1)
    core_reset: Out(1, init=1)
    clearing: Out(1)
    sweep: Out(1)
    ready: Out(1)

    def elaborate(self, platform):
        m = Module()
        wanted = Signal(reset_less=True)
        left = Signal(range(RESET_CYCLES + 1), init=RESET_CYCLES)
        m.d.sync += self.sweep.eq(0)
        with m.If(ResetSignal()):
            m.d.sync += wanted.eq(self.init | self.clear | wanted | self.clearing)
        with m.Elif(self.clear | self.reset & self.clearing):
            m.d.sync += wanted.eq(1)
        with m.Elif(self.sweep):
            m.d.sync += wanted.eq(0)
        with m.If(self.reset | self.clear):
            m.d.sync += [left.eq(RESET_CYCLES), self.core_reset.eq(1), self.clearing.eq(0)]
        with m.Elif(self.core_reset):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 1):
                m.d.sync += [self.core_reset.eq(0), self.clearing.eq(wanted), self.sweep.eq(wanted)]
        with m.Elif(self.clearing & self.cleared & ~self.sweep):
            m.d.sync += self.clearing.eq(0)
        m.d.comb += self.ready.eq(~self.core_reset & ~self.clearing)
        return m
