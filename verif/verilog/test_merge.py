"""Modules of equal content become one; everything else stays as it is."""

import re

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.verilog.convert import verilog
from hayate.rtl.verilog.merge import merge_identical
from hayate.verif.bench import Bench, rng


class Step(wiring.Component):
    """y = x + by, one cycle later; `odd`, its lowest bit."""

    def __init__(self, by):
        self._by = by
        super().__init__({"x": In(8), "y": Out(8), "odd": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.add = add = Add(self._by)
        m.d.comb += add.x.eq(self.x)
        m.d.sync += self.y.eq(add.y)
        m.d.comb += self.odd.eq(self.y[0])
        return m


class Add(wiring.Component):
    def __init__(self, by):
        self._by = by
        super().__init__({"x": In(8), "y": Out(8)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.y.eq(self.x + self._by)
        return m


class Row(wiring.Component):
    """Steps one behind the other; the last one's `odd` is looked at, the others' are not."""

    def __init__(self, by):
        self._by = by
        super().__init__({"x": In(8), "y": Out(8), "odd": Out(1)})

    def elaborate(self, platform):
        m = Module()
        value = self.x
        for n, by in enumerate(self._by):
            step = Step(by)
            m.submodules[f"step_{n}"] = step
            # A port that has no name of its own: Amaranth numbers it through the design.
            m.d.comb += step.x.eq(Cat(value[4:], value[:4]))
            value = step.y
        m.d.comb += [self.y.eq(value), self.odd.eq(step.odd)]
        return m


def modules(text):
    return re.findall(r"^module (\w+)", text, re.MULTILINE)


def test_equal_modules_are_one():
    text = verilog(Row([3, 3, 3, 3]), "row")
    assert len(modules(text)) == 9
    assert modules(merge_identical(text)) == ["row", "row_step_0", "row_step_0_add"]


def test_outputs_that_an_instance_does_not_use_are_open_pins():
    """Outputs only: an input that is not there stays a fault that tools see."""
    one = (
        "module one(a, q);\n  input a;\n  wire a;\n  output q;\n  wire q;\n  wire r;\n  assign q = a;\n  assign "
        "r = a;\nendmodule\n"
    )
    two = one.replace("one(a, q)", "two(a, q, r)").replace("  wire r;\n", "  output r;\n  wire r;\n")
    top = (
        "module top(a);\n  input a;\n  wire a;\n  wire q;\n  one  first(\n    .a(a),\n    .q(q)\n  );\n"
        "  two  second(\n    .a(a)\n  );\n  two  third(\n    .r(q)\n  );\nendmodule\n"
    )
    merged = merge_identical(one + two + top)
    pins = dict(re.findall(r"^  one  (\w+)\(\n(.*?)^  \);$", merged, re.MULTILINE | re.DOTALL))
    assert pins == {
        "first": "    .a(a),\n    .q(q),\n    .r()\n",
        "second": "    .a(a),\n    .q(),\n    .r()\n",
        "third": "    .q(),\n    .r(q)\n",
    }


def test_different_modules_stay():
    merged = merge_identical(verilog(Row([3, 5, 3, 5]), "row"))
    assert modules(merged) == ["row", "row_step_0", "row_step_0_add", "row_step_1", "row_step_1_add"]
    assert [m for m in re.findall(r"^  (row_\w+) +step_\d", merged, re.MULTILINE)] == ["row_step_0", "row_step_1"] * 2


def test_merging_again_changes_nothing():
    merged = merge_identical(verilog(Row([1, 2, 1]), "row"))
    assert merge_identical(merged) == merged


def test_other_text_is_passed_on():
    other = "// hello\nmodule mine #(parameter A = 1) (\n    input wire clk\n);\nendmodule\n\n"
    text = verilog(Row([1]), "row")
    assert merge_identical(other + text).startswith(other) and merge_identical(other) == other


def test_text_depends_on_content_alone():
    """What stands in front of a module in the design shows in its name only."""

    def last(by):
        text = merge_identical(verilog(Row(by), "row"))
        both = re.findall(r"^module row_step_\d+\w*\(.*?^endmodule$", text, re.MULTILINE | re.DOTALL)[-2:]
        return re.sub(r"step_\d+", "step", "\n".join(both))

    assert last([2, 9, 1]) == last([1]) != last([2])


BENCH = Bench(lambda: merge_identical(verilog(Row([3, 3, 7, 3]), "dut")))


@BENCH.test()
async def the_merged_design_works(dut):
    from hayate.verif.bench.drivers import clock, start

    await start(dut)
    generator, given = rng("values"), []
    for _ in range(50):
        given.append(generator.getrandbits(8))
        dut.x.value = given[-1]
        await clock(dut)
        if len(given) > 4:
            value = given[-5]
            for by in (3, 3, 7, 3):
                value = ((value >> 4 | value << 4) & 0xFF) + by & 0xFF
            assert int(dut.y.value) == value and int(dut.odd.value) == value & 1


def test_attributes_do_not_part_an_output_from_its_wire():
    text = (
        "module one(\\port$2$7 , clk);\n  input clk;\n  wire clk;\n  (* init = 1'h0 *)\n  output \\port$2$7 ;\n  "
        "wire \\port$2$7 ;\n"
        "  assign \\port$2$7  = clk;\nendmodule\n"
    )
    assert "  (* init = 1'h0 *)\n  output \\port$0 ;\n  wire \\port$0 ;\n" in merge_identical(text)
