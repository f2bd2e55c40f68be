"""The harness reaches every input of a component and hears every output."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hayate.fpga.harness import Harness

WORD = data.StructLayout({"low": 3, "high": 2})


class Passer(wiring.Component):
    """Outputs equal to its inputs, in every kind of member that a tile has."""

    taken: In(stream.Signature(WORD))
    given: Out(stream.Signature(WORD))
    many: In(2).array(3)
    copies: Out(2).array(3)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [
            self.given.payload.eq(self.taken.payload),
            self.given.valid.eq(self.taken.valid),
            self.taken.ready.eq(self.given.ready),
            *(copy.eq(one) for copy, one in zip(self.copies, self.many)),
        ]
        return m


INPUTS = 5 + 1 + 1 + 3 * 2  # payload, valid, the other stream's ready, the array
LATENCY = 3  # register behind the outputs, groups, parity


@pytest.mark.parametrize("ones", [1, 2, 3, INPUTS])
def test_parity_of_all_inputs_comes_out(ones):
    """A run of ones walks through the shift register; the parity tells how many of them are in it."""
    dut = Harness(Passer())
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    seen, cycles = [], ones + INPUTS + LATENCY + 1

    async def bench(ctx):
        for cycle in range(cycles):
            ctx.set(dut.feed, cycle < ones)
            await ctx.tick()
            seen.append(ctx.get(dut.parity))

    simulator.add_testbench(bench)
    simulator.run()
    inside = [sum(0 <= cycle - n < INPUTS for n in range(ones)) for cycle in range(cycles)]
    assert seen == [0] * LATENCY + [count & 1 for count in inside[: cycles - LATENCY]]
