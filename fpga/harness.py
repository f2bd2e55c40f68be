"""A component between registers, behind a handful of pins, so that a device's pins limit neither its size nor its
clock.
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Harness(wiring.Component):
    """Shift register into every input of `component`, and a register and a parity behind every output.

    Every input comes out of a flip-flop and every output ends in one, so the clock that placement and routing report is
    the component's own. Nothing of the component is constant or unused, so nothing of it is optimized away. The
    component is the submodule `dut`.

    Parameters
    ----------
    component: a `wiring.Component`; its signature may hold streams and arrays.

    Members
    -------
    feed: In. One bit a cycle into the shift register. parity: Out. Parity of all outputs, three cycles later.
    """

    #: Outputs in one parity of the first level.
    GROUP = 16

    feed: In(1)
    parity: Out(1)

    def __init__(self, component):
        self._component = component
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self._component
        leaves = [(member.flow, value) for _, member, value in dut.signature.flatten(dut)]
        inputs = [getattr(value, "as_value", lambda v=value: v)() for flow, value in leaves if flow == In]
        outputs = Cat(getattr(value, "as_value", lambda v=value: v)() for flow, value in leaves if flow == Out)
        shift = Signal(sum(len(value) for value in inputs))
        m.d.sync += shift.eq(Cat(self.feed, shift))
        at = 0
        for value in inputs:
            m.d.comb += value.eq(shift[at : at + len(value)])
            at += len(value)
        seen = Signal(len(outputs))
        groups = Signal(-(-len(outputs) // self.GROUP))
        m.d.sync += [
            seen.eq(outputs),
            groups.eq(Cat(seen[i : i + self.GROUP].xor() for i in range(0, len(outputs), self.GROUP))),
            self.parity.eq(groups.xor()),
        ]
        return m
