"""The benches' own bench: conversion, builds, clock and reset, streams under pauses and backpressure."""

import shutil
from dataclasses import replace
from pathlib import Path

import cocotb_tools.config
import pytest
from amaranth import Module, Signal
from amaranth.hdl import Instance
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.utils import get_sim_time

from hayate.sim import cache, environment, runner
from hayate.sim.convert import Port, plain_names, ports, verilog
from hayate.verif.bench import Bench, params, rng, seed
from hayate.verif.bench.drivers import PERIOD, Sink, Source, clock, settle, start
from hayate.verif.bench.held import Held
from hayate.verif.bench.plugin import _origin, _quick
from hayate.verif.tile.matrix.matrix_driver import engine

HERE = Path(__file__).parent


class Doubler(wiring.Component):
    """A one-entry stage that hands on twice the value."""

    def __init__(self, width=8):
        self.width = width
        super().__init__({"i": In(stream.Signature(width)), "o": Out(stream.Signature(width + 1))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload << 1)]
        return m


class Adder(wiring.Component):
    """Combinational; the operands are one struct."""

    Pair = data.StructLayout({"a": 8, "b": 4})
    pair: In(Pair)
    sum: Out(9)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.sum.eq(self.pair.a + self.pair.b)
        return m


class Counter(wiring.Component):
    """Counts up by an external Verilog increment."""

    count: Out(8)

    def elaborate(self, platform):
        m = Module()
        following = Signal(8)
        m.submodules.increment = Instance("increment", i_a=self.count, o_y=following)
        m.d.sync += self.count.eq(following)
        return m


STARTED = """
module dut(input clk, output reg [7:0] value);
  integer start;
  initial if ($value$plusargs("start=%d", start)) value = start[7:0];
  always @(posedge clk) value <= value + 8'd1;
endmodule
"""
INCREMENT = "module increment(input [7:0] a, output [7:0] y); assign y = a + 1; endmodule\n"

DOUBLER = Bench(lambda width=8: Doubler(width), params=[{"width": 8}, {"width": 40}])
ADDER = Bench(Adder)
VERILOG = Bench(lambda: STARTED)
COUNTER = Bench(Counter, sources=[INCREMENT])


@DOUBLER.test()
async def doubles_in_order(dut):
    await start(dut)
    generator = rng("values")
    values = [generator.getrandbits(params()["width"]) for _ in range(200)]
    source, sink = Source(dut, "i", pause=0.3), Sink(dut, "o", stall=0.4)
    source.put(*values)
    assert await sink.take(len(values)) == [2 * v for v in values]


@DOUBLER.test()
async def takes_one_a_cycle(dut):
    await start(dut)
    source, sink = Source(dut, "i", pause=0), Sink(dut, "o", stall=0)
    before = get_sim_time("ns")
    source.put(*range(100))
    assert await sink.take(100) == [2 * v for v in range(100)]
    assert get_sim_time("ns") - before == 101 * PERIOD  # one cycle of latency


@ADDER.test()
async def adds(dut):
    await start(dut)
    generator = rng()
    for _ in range(100):
        a, b = generator.getrandbits(8), generator.getrandbits(4)
        dut.pair.value = Adder.Pair.const({"a": a, "b": b}).as_bits()
        await settle()
        assert int(dut.sum.value) == a + b


@COUNTER.test()
async def starts_at_zero_and_counts(dut):
    await start(dut)
    first = int(dut.count.value)
    assert first == 0
    for expected in range(1, 300):
        await clock(dut)
        assert int(dut.count.value) == expected % 256
    for cycles in (1, 4, 5, 100):  # long waits count the same edges as short ones
        before = int(dut.count.value)
        await clock(dut, cycles)
        assert int(dut.count.value) == (before + cycles) % 256
        await settle()
        await clock(dut, cycles)
        assert int(dut.count.value) == (before + 2 * cycles) % 256
    assert seed() >= 0


def seven(folder):
    assert folder.is_dir()
    return ["+start=7"]


@VERILOG.test(prepare=seven)
async def starts_where_the_plusarg_says(dut):
    await start(dut)
    before = int(dut.value.value)
    assert before == 7 + 2  # `start` returns at the third edge, and what is read there is from before it
    await clock(dut)
    assert int(dut.value.value) == before + 1


def test_conversion_is_deterministic_and_has_no_paths():
    first, second = verilog(Doubler(), "dut"), verilog(Doubler(), "dut")
    assert first == second
    assert str(HERE) not in first
    assert sorted(ports(first, "dut"), key=lambda p: p.name) == [
        Port("clk", "input", 1),
        Port("i__payload", "input", 8),
        Port("i__ready", "output", 1),
        Port("i__valid", "input", 1),
        Port("o__payload", "output", 9),
        Port("o__ready", "input", 1),
        Port("o__valid", "output", 1),
        Port("rst", "input", 1),
    ]


def test_plain_names_avoid_clashes():
    text = "module \\a.b (x);\nendmodule\nmodule a_b(x);\nendmodule\n"
    text += "module top(x);\n  \\a.b  \\a.b  (x);\n  \\c.d  = 1;\nendmodule\n"
    plain = plain_names(text)
    assert plain.startswith("module a_b_2 (x);")
    assert "  a_b_2  a_b_2  (x);" in plain
    assert "\\c.d  = 1" in plain


def test_a_port_list_in_the_ansi_style_is_read():
    text = "module m(input wire clk, input [7:0] a,\n output reg signed [3:0] y);\nendmodule\n"
    assert ports(text, "m") == (Port("clk", "input", 1), Port("a", "input", 8), Port("y", "output", 4))


def test_a_missing_top_module_is_named():
    with pytest.raises(ValueError, match="no module 'absent'"):
        ports("module top();\nendmodule\n", "absent")


def test_parameters_that_share_a_name_are_refused():
    with pytest.raises(ValueError, match="share a name"):
        Bench(Doubler, params=[{"width": "a b"}, {"width": "a_b"}])


def test_the_quick_tier_runs_the_extremes_and_what_the_bench_adds():
    bench, both = (
        Bench(Doubler, params=[{"width": n} for n in range(1, 6)], quick=lambda p: p["width"] in (2, 4)),
        ["verilator", "icarus"],
    )
    assert _quick(bench, both, [0, 1, 2, 4]) == {("verilator", 1), ("verilator", 4), ("icarus", 0)}
    assert _quick(bench, ["icarus"], [0, 1, 2]) == {("icarus", 0), ("icarus", 2)}
    assert _quick(bench, both, []) == set()
    assert _quick(Bench(Doubler), both, [0]) == {("verilator", 0), ("icarus", 0)}


def test_elaborated_text_is_kept_until_a_source_changes(tmp_path):
    source, made = tmp_path / "pe.py", []

    def text(key):
        return cache.text(
            lambda: made.append(key) or f"text {len(made)}", key=key, files=[source], root=tmp_path / "kept"
        )

    source.write_text("one")
    assert [text("a"), text("a"), text("b")] == ["text 1", "text 1", "text 2"]
    source.write_text("two")
    assert text("a") == "text 3"


def test_files_that_share_a_maker_share_what_it_made():
    """A function in a module of helpers is known by its name there; what a test file makes for itself is that file's
    own.
    """
    assert _origin(engine, HERE.parent) == (HERE.parent / "tile" / "matrix" / "matrix_driver.py", "engine")
    assert (
        _origin(lambda: engine(1, 1), HERE.parent)
        is _origin(Adder, HERE.parent)
        is _origin(verilog, HERE.parent)
        is None
    )


def test_sources_follow_imports_into_packages_and_data(tmp_path):
    for name, content in {
        "rtl/__init__.py": "",
        "rtl/memory/__init__.py": "",
        "rtl/memory/bank.py": "from hayate.rtl import secded\n",
        "rtl/memory/macro.v": "",
        "rtl/secded.py": "",
        "rtl/unrelated.py": "",
        "verif/test_bank.py": "def f():\n    from hayate.rtl.memory.bank import Bank\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    found = [str(p.relative_to(tmp_path)) for p in cache.sources(tmp_path, tmp_path / "verif" / "test_bank.py")]
    assert found == [
        "rtl/__init__.py",
        "rtl/memory/__init__.py",
        "rtl/memory/bank.py",
        "rtl/memory/macro.v",
        "rtl/secded.py",
        "verif/test_bank.py",
    ]


def test_a_failed_build_leaves_nothing(tmp_path):
    broken = "module top(input clk);\n  nonsense u(.a(clk));\nendmodule\n"
    with pytest.raises(runner.BuildError, match="could not build 'top'"):
        runner.build(broken, sim="verilator", root=tmp_path)
    assert [p.name for p in (tmp_path / "verilator").iterdir() if p.is_dir()] == []


def test_a_simulator_that_does_not_get_to_its_tests_says_so(tmp_path):
    """Started to serve several, it is started again for the one, whose log it then writes."""
    held, log = Held(tmp_path / "runs"), tmp_path / "log"
    command = ["sh", "-c", "read request; echo no design; exit 3"]
    assert held.execute(command, cwd=tmp_path, env=environment.clean(), log=log, timeout=60, module=__file__) == 3
    assert log.read_text() == "no design\n"
    assert [*(tmp_path / "runs").iterdir()] == []


def test_a_build_outlives_the_environment_that_made_it(tmp_path, monkeypatch, pytestconfig):
    """Verilator's program names the folder of cocotb's libraries, which may have been moved, or removed."""
    (tmp_path / "passes.py").write_text("import cocotb\n\n\n@cocotb.test()\nasync def passes(dut):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    text = "module top(input a, output b);\nassign b = a;\nendmodule\n"
    build = runner.build(text, root=pytestconfig.rootpath / "build" / "sim")
    folder = tmp_path / "build"
    shutil.copytree(build.directory, folder)
    program, libraries = folder / "top", str(cocotb_tools.config.libs_dir).encode()
    content = program.read_bytes()
    assert libraries in content
    program.write_bytes(content.replace(libraries, b"/gone".ljust(len(libraries), b"x")))
    runner.run(replace(build, directory=folder), "passes", directory=tmp_path / "run", log=tmp_path / "log")
