"""Lint tools say nothing of the emitted Verilog that lint.WAIVED does not name, wherever in a design it stands."""

import re
from pathlib import Path

import pytest
from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.progress import Steps
from hayate.rtl.contract.config import load_config
from hayate.rtl.emit import emit
from hayate.rtl.memory.bank import Bank
from hayate.rtl.verilog.lint import WAIVED, waivers
from hayate.sim.machine.texts import chip_text
from hayate.verif.lint import icarus, kinds, run, slang, verilator

NEVER = {
    "WIDTHTRUNC",
    "WIDTHEXPAND",
    "WIDTH",
    "LATCH",
    "MULTIDRIVEN",
    "UNDRIVEN",
    "UNOPTFLAT",
    "CASEINCOMPLETE",
    "COMBDLY",
    "PINMISSING",
}
#: What configurations leave out or make smallest and largest.
VARIANTS = {
    "fp16": ["formats=fp16"],
    "nested": ["formats=nested"],
    "plain": ["sampling=0", "formats=fp16"],
    "wide": ["lanes=8"],
    "least": ["tiles=1", "banks=1", "lanes=1"],
    "many": ["tiles=5", "banks=8", "lanes=1", "bank_depth=512"],
}


class Little(wiring.Component):
    """A tile's place: a bank, whose answer is looked at."""

    def __init__(self):
        super().__init__({"x": In(8), "y": Out(8)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.bank_0 = bank = Bank(64, 8)
        m.d.comb += [bank.en.eq(1), bank.we.eq(self.x[7]), bank.addr.eq(self.x), bank.wdata.eq(self.x)]
        m.d.comb += self.y.eq(bank.rdata)
        return m


class LittlePackage(wiring.Component):
    """A package's place; z is x."""

    def __init__(self, config, tile):
        self._tile = tile
        super().__init__({"x": In(8), "y": Out(8), "z": Out(8)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.tile_0 = Instance(self._tile, i_clk=ClockSignal(), i_rst=ResetSignal(), i_x=self.x, o_y=self.y)
        m.d.comb += self.z.eq(self.x)
        return m


@pytest.fixture
def little(monkeypatch, tmp_path):
    """A folder with chip.v and chip.vlt, made as the chip is, of two modules and a bank."""
    monkeypatch.setattr("hayate.rtl.package.tile", lambda config: Little())
    monkeypatch.setattr("hayate.rtl.package.Package", LittlePackage)
    return write(tmp_path, emit(load_config("unit")).verilog)


def write(folder, text):
    (folder / "chip.v").write_text(text)
    (folder / "chip.vlt").write_text(waivers("chip.v"))
    return folder


def says(folder, top="hayate"):
    """What each tool says of chip.v."""
    return {
        "verilator": verilator(folder, "-Wall", "--top-module", top, "chip.vlt", "chip.v"),
        "slang": slang(folder, "--top", top, "chip.v"),
        "icarus": icarus(folder, "-s", top, "chip.v"),
    }


NOTHING = {"verilator": "", "slang": "", "icarus": ""}


@pytest.mark.parametrize(
    ("preset", "tiles"), [("unit", 2), *(pytest.param("demo", tiles, marks=pytest.mark.nightly) for tiles in (1, 4))]
)
def test_lint_says_nothing(preset, tiles, pytestconfig, tmp_path):
    """All tools, and Verilator with all its warnings but those waived, of which none is on by default. It looks at
    every tile anew.
    """
    text = chip_text(load_config(preset, [f"tiles={tiles}"]), pytestconfig.rootpath / "build" / "sim" / "text", Steps())
    assert says(write(tmp_path, text)) == NOTHING


@pytest.mark.nightly
@pytest.mark.parametrize("variant", VARIANTS)
def test_lint_says_nothing_of_variants(variant, tmp_path):
    assert says(write(tmp_path, emit(load_config("unit", VARIANTS[variant]), "soc7").verilog), "soc7") == NOTHING


@pytest.mark.nightly
@pytest.mark.parametrize("options", [(), ("-DSYNTHESIS",)])
@pytest.mark.parametrize("preset", ["unit", "demo"])
def test_default_lint_says_nothing(preset, options, pytestconfig, tmp_path):
    text = chip_text(load_config(preset), pytestconfig.rootpath / "build" / "sim" / "text", Steps())
    assert verilator(write(tmp_path, text), "--top-module", "hayate", *options, "chip.v") == ""


def test_waivers_are_few_and_never_of_faults():
    assert 0 < len(WAIVED) <= 10 and not NEVER & set(WAIVED)
    lines = re.findall(r"^lint_off -rule (\w+) -file \"\*(.*)\"$", waivers("a chip.v"), re.MULTILINE)
    assert lines == [(kind, "a?chip.v") for kind in WAIVED]


def test_waivers_are_matters_of_style(tmp_path):
    """A text with each of them: Verilator names all under -Wall and none without. Only the file itself is waived."""
    text = """\
module top(input wire clk, input wire d, output wire q);
  wire unread = d;
  part part(.clk(clk), .d(d), .q(q), .open());
endmodule
module part(input wire clk, input wire d, output wire q, output wire open);
  reg part = 0;
  always @(posedge clk) part <= d;
  assign q = part;
  assign open = d;
endmodule
"""
    write(tmp_path, text)
    (tmp_path / "other.v").write_text(text)
    assert kinds(verilator(tmp_path, "-Wall", "-Wno-fatal", "--top-module", "top", "chip.v")) == set(WAIVED)
    assert verilator(tmp_path, "--top-module", "top", "chip.v") == ""
    assert verilator(tmp_path, "-Wall", "--top-module", "top", "chip.vlt", "chip.v") == ""
    said = verilator(tmp_path, "-Wall", "-Wno-fatal", "--top-module", "top", "chip.vlt", "other.v")
    assert kinds(said) == set(WAIVED)


#: Faults in what drives `planted`, 8 bits wide.
PLANTED = {
    "WIDTHTRUNC": "  wire [7:0] planted = {x, x};\n",
    "WIDTHEXPAND": "  wire [7:0] planted = x[3:0];\n",
    "LATCH": "  reg [7:0] planted;\n  always @* if (x[0]) planted = x;\n",
    "MULTIDRIVEN": "  reg [7:0] planted;\n  always @* planted = x;\n  always @* planted = ~x;\n",
    "CASEINCOMPLETE": "  reg [7:0] planted;\n  always @* begin\n    planted = x;\n"
    "    casez (x[1:0])\n      2'h0: planted = ~x;\n    endcase\n  end\n",
    "PINMISSING": "  wire [7:0] planted;\n  hayate_tile absent(.clk(clk), .x(x), .y(planted));\n",
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_fault_is_seen(kind, little):
    text = (little / "chip.v").read_text()
    assert verilator(little, "-Wall", "--top-module", "hayate", "chip.vlt", "chip.v") == ""
    assert "  assign z = x;\n" in text
    write(little, text.replace("  assign z = x;\n", PLANTED[kind] + "  assign z = planted;\n"))
    assert kind in kinds(verilator(little, "-Wall", "-Wno-fatal", "--top-module", "hayate", "chip.vlt", "chip.v"))
    assert kind in kinds(verilator(little, "-Wno-fatal", "--top-module", "hayate", "chip.v"))


def test_slang_and_icarus_see_faults(little):
    text = (little / "chip.v").read_text()
    assert says(little) == NOTHING
    write(little, text.replace('$fopen({stem, ".hex"}, "r")', '$fopen(stem, "r")'))
    assert "no implicit conversion" in slang(little, "--top", "hayate", "chip.v")
    write(little, text.replace("endmodule", "  hayate_absent planted ();\nendmodule", 1))
    assert "hayate_absent" in says(little)["slang"]
    if icarus(little, "-s", "hayate", "chip.v"):
        assert "hayate_absent" in says(little)["icarus"]


USER = """\
module {name}(input wire clk, input wire rst, input wire [7:0] x, output wire [7:0] y, output wire [7:0] z);
  {of} inner(clk, rst, x, y, z);
endmodule
"""


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_it_stands_before_and_behind_modules_with_a_timescale(timed, first, little):
    """And those without. The chip's ports stand in order of their names."""
    (little / "user.v").write_text("`timescale 1ns/1ps\n" * timed + USER.format(name="user", of="hayate"))
    files = ["user.v", "chip.v"] if first else ["chip.v", "user.v"]
    assert verilator(little, "--top-module", "user", *files) == ""
    # These two want to hear of a unit for the modules that have none, or that it is well.
    assert slang(little, "--timescale", "1ns/1ps", "--top", "user", *files) == ""
    assert icarus(little, "-Wno-timescale", "-s", "user", *files) == ""


def test_its_own_silence_about_timescales_ends_with_it(little):
    """A module behind the chip, in the same file, that lacks one is still named."""
    (little / "user.v").write_text("`timescale 1ns/1ps\n" + USER.format(name="user", of="bare"))
    write(little, (little / "chip.v").read_text() + USER.format(name="bare", of="hayate"))
    said = verilator(little, "-Wno-fatal", "--top-module", "user", "chip.v", "user.v")
    assert kinds(said) == {"TIMESCALEMOD"} and "module bare" in said and "module hayate" not in said


def test_the_bank_macro_can_come_from_elsewhere(little):
    text = (little / "chip.v").read_text()
    macro = re.search(r"^module hayate_bank_macro.*?^endmodule\n", text, re.MULTILINE | re.DOTALL)[0]
    (little / "own.v").write_text(macro)
    options = "-DHAYATE_BANK_MACRO", "--top-module", "hayate", "chip.v"
    assert verilator(little, *options, "own.v") == ""
    assert icarus(little, "-DHAYATE_BANK_MACRO", "-s", "hayate", "chip.v", "own.v") == ""
    assert "hayate_bank_macro" in verilator(little, *options)


@pytest.mark.nightly
def test_yosys_finds_no_fault(pytestconfig):
    """No undriven or doubly driven signal, no loop. Amaranth's own Yosys has no `check`: this one is of extra fpga."""
    from hayate.fpga.synth import tool

    folder = Path(pytestconfig.rootpath) / "build" / "lint"  # YoWASP tools do not see the system's temporary folder
    folder.mkdir(parents=True, exist_ok=True)
    text = chip_text(load_config("unit"), pytestconfig.rootpath / "build" / "sim" / "text", Steps())
    twice = "module twice(input a, input b, output y);\n  assign y = !a;\n  assign y = !b;\nendmodule\n"
    said = {}
    for top, content in (("hayate", text), ("twice", text + twice)):
        (folder / f"{top}.v").write_text(content)
        script = f"read_verilog {top}.v; hierarchy -check -top {top}; proc; check -assert; log all checked"
        said[top] = run(folder, [tool("yosys", native=False), "-p", script])
    assert "Warning" not in said["hayate"] and said["hayate"].count("\nall checked\n") == 1
    assert "multiple conflicting drivers" in said["twice"] and "\nall checked\n" not in said["twice"]
