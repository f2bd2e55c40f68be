"""Modules that Verilator compiles by themselves behave as those that it compiles with the rest."""

import re
from random import Random

import pytest

from hayate.sim import blocks, runner
from hayate.sim.convert import Port
from hayate.verif.bench import Bench, rng

#: Ports of every kind, a state, a way through without a clock. Two of them read each other's state; the third one's
#: inputs are constants.
DESIGN = """
module bottom(clk, rst, a, y);
  input clk;
  input rst;
  input [39:0] a;
  output reg [39:0] y;
  always @(posedge clk) y <= rst ? 40'h0 : y + a;
endmodule
module cell_(clk, rst, bit_, byte_, long_, wide, bit_o, byte_o, long_o, wide__o);
  input clk;
  input rst;
  input bit_;
  input [7:0] byte_;
  input [39:0] long_;
  input [130:0] wide;
  output bit_o;
  output [7:0] byte_o;
  output reg [39:0] long_o;
  output [130:0] wide__o;
  wire [39:0] sum;
  bottom bottom_0 (.clk(clk), .rst(rst), .a(long_), .y(sum));
  assign bit_o = bit_ ^ sum[39];
  assign byte_o = byte_ + sum[7:0];
  assign wide__o = wide ^ {91'h1, sum};
  always @(posedge clk) long_o <= rst ? 40'h3 : {long_o[38:0], bit_};
endmodule
module only_here(x, y);
  input [7:0] x;
  output [7:0] y;
  assign y = ~x;
endmodule
module dut(clk, rst, bit_, byte_, wide, bit_o, byte_o, long_o, wide_o, count);
  input clk;
  input rst;
  input bit_;
  input [7:0] byte_;
  input [130:0] wide;
  output bit_o;
  output [7:0] byte_o;
  output [39:0] long_o;
  output [130:0] wide_o;
  output [7:0] count;
  wire between;
  wire [7:0] through, back;
  wire [39:0] first, second;
  wire [130:0] over;
  cell_ one (.clk(clk), .rst(rst), .bit_(bit_), .byte_(byte_), .long_(second), .wide(wide),
    .bit_o(between), .byte_o(through), .long_o(first), .wide__o(over));
  only_here other (.x(through), .y(back));
  cell_ two (.clk(clk), .rst(rst), .bit_(between), .byte_(back), .long_(first), .wide(over),
    .bit_o(bit_o), .byte_o(byte_o), .long_o(second), .wide__o(wide_o));
  cell_ three (.clk(clk), .rst(1'b0), .bit_(1'b0), .byte_(8'h0), .long_(40'h5), .wide(131'h0),
    .bit_o(), .byte_o(count), .long_o(), .wide__o());
  assign long_o = second;
endmodule
"""
M40 = (1 << 40) - 1
BENCH = Bench(lambda: DESIGN, sims=("verilator",), blocks=("cell_",))


class Cell:
    def __init__(self):
        self.sum, self.out = 0, 3

    def through(self, bit, byte, wide):
        return bit ^ self.sum >> 39, byte + self.sum & 255, wide ^ (1 << 40 | self.sum)

    def clock(self, bit, long):
        self.sum, self.out = self.sum + long & M40, (self.out << 1 | bit) & M40


@BENCH.test()
async def instances_are_as_in_one_model(dut):
    """Inputs change at some edges and between others, so that a model is asked by both and by either alone."""
    from hayate.verif.bench.drivers import clock, settle, start

    await start(dut)
    dut.rst.value = 1
    await clock(dut, 2)
    dut.rst.value = 0
    first = int(dut.count.value) + 5
    dice, one, two, inputs = Random(rng("inputs").random()), Cell(), Cell(), (0, 0, 0)
    for n in range(500):
        if dice.random() < 0.6:
            inputs = dice.getrandbits(1), dice.getrandbits(8), dice.getrandbits(131)
            dut.bit_.value, dut.byte_.value, dut.wide.value = inputs
        await settle()
        between, byte, wide = one.through(*inputs)
        bit_o, byte_o, wide_o = two.through(between, ~byte & 255, wide)
        found = [int(port.value) for port in (dut.bit_o, dut.byte_o, dut.wide_o, dut.long_o, dut.count)]
        assert found == [bit_o, byte_o, wide_o, two.out, first + 5 * n & 255]
        one_out = one.out
        one.clock(inputs[0], two.out)
        two.clock(between, one_out)
        await clock(dut)


def names(text):
    return re.findall(r"^module (\w+)", text, re.MULTILINE)


def test_a_module_is_where_it_is_needed():
    own, rest = blocks.split(DESIGN, "cell_")
    assert names(own) == ["bottom", "cell_"] and names(rest) == ["only_here", "dut"]
    own, rest = blocks.split(
        DESIGN.replace("  only_here other", "  bottom third (.clk(clk));\n  only_here other"), "cell_"
    )
    assert names(own) == ["bottom", "cell_"] and names(rest) == ["bottom", "only_here", "dut"]


def test_a_block_is_the_same_in_designs_that_differ_in_what_they_say_of_themselves():
    pragma = "// verilator lint_save\n"
    own = {blocks.split(f"// {tiles} tiles.\n{pragma}{DESIGN}", "cell_")[0] for tiles in (2, 4)}
    assert own == {pragma + blocks.split(DESIGN, "cell_")[0]}


def test_a_block_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no module 'tile'"):
        blocks.split(DESIGN, "tile")


def test_only_code_that_is_known_is_changed(tmp_path):
    """Another Verilator's may lack one of the two places, or have one twice: then all of it stays as it is."""
    inputs, clock = "vlSelfRef.__VicoFirstIteration = 1U;", "CData __Vtrigprevexpr___TOP__clk__0;"
    source, header, found = tmp_path / "Vx___024root__0.cpp", tmp_path / "Vx___024root.h", tmp_path / "lean.h"
    for text, members, known in (
        (inputs, clock, True),
        (inputs + inputs, clock, False),
        ("", clock, False),
        (inputs, "", False),
    ):
        source.write_text(f"a;\n{text}\nb;")
        header.write_text(members)
        assert blocks.lean(tmp_path, "Vx") == known
        assert found.read_text() == f"#define HAYATE_LEAN {int(known)}\n"
        assert source.read_text() == f"a;\n{text.replace('1U', '!vlSelfRef.clk') if known else text}\nb;"


def test_the_pinned_verilator_is_known(pytestconfig):
    """Else simulations would be slow, and nobody would notice."""
    built = runner.build(DESIGN, name="dut", blocks=("cell_",), root=pytestconfig.rootpath / "build" / "sim")
    own = blocks.split(DESIGN, "cell_")[0]
    made = [
        at.parent for at in built.directory.parent.glob("*/cell_.sv") if (at.parent / "design.v").read_text() == own
    ]
    assert made and all((at / "lean.h").read_text() == "#define HAYATE_LEAN 1\n" for at in made)


def test_two_clocks_are_refused():
    """A model is called at rising edges of `clk` only."""
    ports = [Port("clk", "input", 1), Port("d", "input", 1), Port("q", "output", 1)]
    assert "posedge clk" in blocks.stand_in("cell_", ports)
    with pytest.raises(ValueError, match="no input clk"):
        blocks.stand_in("cell_", ports[1:])
