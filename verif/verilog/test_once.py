"""Modules that are written once for many components, and that they work as components elaborated where they stand
do.
"""

import re

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.verilog.convert import verilog
from hayate.rtl.verilog.once import once
from hayate.verif.bench import Bench, rng
from hayate.verif.bench.drivers import clock, settle, start

WIDTHS = (3, 5, 3)


class StepCounter(wiring.Component):
    """Counts modulo 2^width."""

    def __init__(self, width):
        self.width = width
        super().__init__({"step": In(1), "value": Out(width, init=1)})

    def elaborate(self, platform):
        m = Module()
        with m.If(self.step):
            m.d.sync += self.value.eq(self.value + 1)
        return m


class Inverter(wiring.Component):
    """Has neither clock nor reset."""

    a: In(1)
    b: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.b.eq(~self.a)
        return m


class Counters(wiring.Component):
    """Three counters, two of them equal, and two inverters."""

    step: In(3)
    values: Out(sum(WIDTHS))
    inverted: Out(2)

    def elaborate(self, platform):
        m = Module()
        counters, inverters = [StepCounter(width) for width in WIDTHS], [Inverter(), Inverter()]
        for n, counter in enumerate(counters):
            m.submodules[f"counter_{n}"] = once(platform, counter, WIDTHS[n])
            m.d.comb += counter.step.eq(self.step[n])
        for n, inverter in enumerate(inverters):
            m.submodules[f"inverter_{n}"] = once(platform, inverter)
            m.d.comb += [inverter.a.eq(self.step[n]), self.inverted[n].eq(inverter.b)]
        m.d.comb += self.values.eq(Cat(counter.value for counter in counters))
        return m


BENCH = Bench(Counters)


@BENCH.test()
async def counts_from_every_reset(dut):
    r = rng("steps")
    for _ in range(3):
        await start(dut)
        counts = [1] * 3
        for _ in range(r.randint(5, 60)):
            dut.step.value = step = r.getrandbits(3)
            await settle()
            assert int(dut.inverted.value) == ~step & 3
            await clock(dut)
            counts = [(n + (step >> i & 1)) % (1 << width) for i, (n, width) in enumerate(zip(counts, WIDTHS))]
            await settle()
            assert int(dut.values.value) == counts[0] | counts[1] << 3 | counts[2] << 8


def test_a_module_for_each_class_and_parameters():
    text = verilog(Counters(), "top")
    assert sorted(re.findall(r"^module (\w+)", text, re.MULTILINE)) == [
        "top",
        "top_inverter",
        "top_step_counter",
        "top_step_counter_2",
    ]
    used = [text.count(f"\n  {name} ") for name in ("top_inverter", "top_step_counter", "top_step_counter_2")]
    assert used == [2, 2, 1]


def test_elsewhere_a_component_is_itself():
    counter = StepCounter(2)
    assert once(None, counter, 2) is counter
