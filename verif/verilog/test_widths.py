"""Operators on operands of unequal widths: their function stays, and the Verilog shows every extension."""

import operator
import re
import subprocess
from itertools import permutations
from itertools import product as pairs_of

from amaranth.hdl import Array, Module, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.verilog.convert import verilog
from hayate.rtl.verilog.widths import equal_widths
from hayate.sim import tools
from hayate.verif.bench import Bench, rng

SHAPES = {"a": unsigned(3), "b": signed(5), "c": unsigned(9), "d": signed(12)}
OUT = 32
TWO = {name: getattr(operator, name) for name in ("add", "sub", "mul", "eq", "ne", "lt", "le", "gt", "ge")}
TWO["more"] = lambda x, y: x + y + x * 5  # a sum of wider and narrower sums
CONSTANTS = {"none": 0, "one": 1, "minus": -1, "seven": 7, "fifteen": 15, "low": -16, "big": 300}
SHIFTS = {"shl": lambda x, a: x << a, "shr": lambda x, a: x >> a, "zero": lambda x, a: x == 0}
PARTS = {
    "bits": lambda x, a: x.bit_select(a, 2),
    "words": lambda x, a: x.word_select(a, 2),
    "beyond": lambda x, a: x.bit_select(a, 10),
}
OF_PARTS = {"bits": lambda x, a: x >> a & 3, "words": lambda x, a: x >> 2 * a & 3, "beyond": lambda x, a: x >> a & 1023}


def results(value, parts):
    """{name: result} of every operator on every pair of `value` (Amaranth's, or numbers)."""
    pairs = {f"{x}_{y}": (value[x], value[y]) for x, y in permutations(SHAPES, 2)}
    pairs |= {f"{x}_{name}": (value[x], constant) for x, (name, constant) in pairs_of(SHAPES, CONSTANTS.items())}
    found = {f"{name}_{pair}": of(*two) for (name, of), (pair, two) in pairs_of(TWO.items(), pairs.items())}
    found |= {f"{name}_{x}": of(value[x], value["a"]) for (name, of), x in pairs_of(SHIFTS.items(), SHAPES)}
    return found | {f"{name}_{x}": of(value[x], value["a"]) for (name, of), x in pairs_of(parts.items(), "ac")}


class Operators(wiring.Component):
    """All of `results` at once, and a choice among one thing, whose index has no bits."""

    def __init__(self):
        super().__init__(
            {
                **{name: In(shape) for name, shape in SHAPES.items()},
                "only": Out(3),
                **{name: Out(OUT) for name in results(dict.fromkeys(SHAPES, 0), OF_PARTS)},
            }
        )

    def elaborate(self, platform):
        m = Module()
        for name, value in results({name: getattr(self, name) for name in SHAPES}, PARTS).items():
            m.d.comb += getattr(self, name).eq(value)
        index = Signal(range(1))
        m.d.sync += index.eq(index + 1)
        m.d.comb += self.only.eq(Array([self.a])[index])
        return m


BENCH = Bench(Operators)


@BENCH.test()
async def function_is_that_of_numbers(dut):
    from hayate.verif.bench.drivers import settle, start

    await start(dut)
    generator = rng("values")
    for round_ in range(60):
        values = {}
        for name, shape in SHAPES.items():
            low = -(1 << shape.width - 1) if shape.signed else 0
            high = low + (1 << shape.width) - 1
            values[name] = generator.choice((low, high, 0, 1)) if round_ % 2 else generator.randint(low, high)
            getattr(dut, name).value = values[name] & ((1 << shape.width) - 1)
        await settle()
        for name, value in results(values, OF_PARTS).items():
            assert int(getattr(dut, name).value) == int(value) & ((1 << OUT) - 1), (name, values)
        assert int(dut.only.value) == values["a"]


def test_lint_finds_nothing_hidden(tmp_path):
    """Nor in comparisons with constants out of reach."""
    text = verilog(Operators())
    (tmp_path / "top.v").write_text(text)
    command = [tools.find("verilator").path, "--lint-only", "--quiet", "top.v"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "[-1:0]" not in text and not re.search(r"= ! ", text)


CELL = """\
  cell $KIND $1
    parameter \\A_SIGNED 0
    parameter \\B_SIGNED 0
    parameter \\A_WIDTH 3
    parameter \\B_WIDTH WIDTH
    parameter \\Y_WIDTH 4
    connect \\A \\x [2:0]
    connect \\B \\y
    connect \\Y $2
  end
"""


def test_other_cells_and_equal_widths_stay():
    product, equal, other = (
        CELL.replace("KIND", kind).replace("B_WIDTH WIDTH", f"B_WIDTH {width}")
        for kind, width in (("mul", 2), ("add", 3), ("add", 2))
    )
    assert equal_widths(product) == product and equal_widths(equal) == equal and equal_widths(other) != other
