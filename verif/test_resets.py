"""Every component with registers is reset in the middle of its traffic: by a bench with `resets` or `alone`
(verif/bench/reset.py).
"""

import ast
from pathlib import Path

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out
from cocotb.utils import get_sim_time

from hayate.sim.structure import components, python_files
from hayate.verif.bench import Bench, rng
from hayate.verif.bench.drivers import PERIOD, clock, start
from hayate.verif.bench.reset import resets

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("tile", "ring", "memory", "numerics")


def has_state(text: str) -> bool:
    """Whether `text` makes registers or memories of its own."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr in ("sync", "FSM", "Memory", "SyncFIFO"):
            return True
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Instance":
            return True
    return False


def resets_in_the_middle(text: str) -> bool:
    """Whether `text` has a test that `resets` cuts off, or that cuts off a part by itself."""
    return any(
        isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("resets", "alone")
        for node in ast.walk(ast.parse(text))
    )


def never_reset(root: Path, folders=FOLDERS) -> list[str]:
    """Modules with components that have state, whose bench never resets them in the middle."""
    found = []
    for folder in folders:
        for path in python_files(root, f"rtl/{folder}"):
            text = path.read_text()
            inner = path.relative_to(root / "rtl")
            bench = root / "verif" / inner.with_name(f"test_{path.name}")
            if (
                components(text)
                and has_state(text)
                and not (bench.is_file() and resets_in_the_middle(bench.read_text()))
            ):
                found.append(str(inner))
    return found


def test_every_component_with_state_is_reset_in_the_middle():
    assert never_reset(ROOT) == []


def test_one_that_is_not_is_found(tmp_path):
    for folder in ("rtl", "verif"):
        (tmp_path / folder / "tile").mkdir(parents=True)
    for name, body in {
        "a": "m.d.sync += x",
        "b": "m.d.comb += x",
        "c": "with m.FSM(): pass",
        "d": "m.d.sync += x",
    }.items():
        (tmp_path / "rtl" / "tile" / f"{name}.py").write_text(f"class {name.upper()}(wiring.Component):\n    {body}\n")
        (tmp_path / "verif" / "tile" / f"test_{name}.py").write_text("@B.test()\nasync def t(dut): pass\n")
    (tmp_path / "verif" / "tile" / "test_d.py").write_text("@B.test()\n@resets(within=9)\nasync def t(dut): pass\n")
    assert never_reset(tmp_path, ["tile"]) == ["tile/a.py", "tile/c.py"]


class Cycles(wiring.Component):
    """Counts cycles, once from reset and once through it."""

    since_reset: Out(16)
    ever: Out(16)

    def elaborate(self, platform):
        m = Module()
        ever = Signal(16, reset_less=True)
        m.d.sync += [self.since_reset.eq(self.since_reset + 1), ever.eq(ever + 1)]
        m.d.comb += self.ever.eq(ever)
        return m


BENCH = Bench(Cycles)
runs = []


@BENCH.test()
async def interrupted_runs_are_seen(dut):
    """Runs end at cycles of their own, with numbers of their own; what has no reset goes on, and nothing that they
    started does.
    """

    @resets(within=20)
    async def run(dut):
        await start(dut)
        noted = {
            "since": int(dut.since_reset.value),
            "ever": int(dut.ever.value),
            "number": rng().random(),
            "cycles": 0,
        }
        runs.append(noted)
        for _ in range(30):
            noted["phase"] = get_sim_time("ns") % PERIOD
            await clock(dut)
            noted["cycles"] += 1

    await run(dut)
    assert [run["since"] for run in runs] == [runs[0]["since"]] * 4
    assert all(a["ever"] < b["ever"] for a, b in zip(runs, runs[1:]))
    assert len({run["number"] for run in runs}) == 4 and runs[-1]["number"] == rng().random()
    assert (
        all(run["cycles"] < 20 for run in runs[:3])
        and len({run["cycles"] for run in runs}) > 2
        and runs[-1]["cycles"] == 30
    )
    assert len({run["phase"] for run in runs}) == 1
