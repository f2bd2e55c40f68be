"""What a failing bench looks like, and that nothing outlives an interrupted one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hayate.sim.runner import SIMS
from hayate.sim.tools import installed

FAILING = """
import os
import signal
import time
from pathlib import Path
from amaranth import Module
from amaranth.hdl import Assert
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb.utils import get_sim_time
from hayate.verif.bench import Bench
from hayate.verif.bench.drivers import clock, start


class Wire(wiring.Component):
    a: In(4)
    y: Out(4)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.y.eq(self.a)
        m.d.sync += Assert(self.a != 9)
        return m


BENCH = Bench(Wire)
IMPATIENT = Bench(Wire, timeout=2)
SEEN = []


@IMPATIENT.test()
async def sleeps(dut):
    time.sleep(10_000)


@BENCH.test()
async def leaves_traces(dut):
    await untouched(dut)


@BENCH.test()
async def crashes(dut):
    await start(dut)
    os.kill(os.getpid(), signal.SIGSEGV)


@BENCH.test()
async def sees_no_traces(dut):
    await untouched(dut)


async def untouched(dut):
    assert SEEN == [] and get_sim_time("ps") == 0 and not (dut.y.value.is_resolvable and int(dut.y.value))
    SEEN.append(await start(dut, a=7))
    await clock(dut, 2)
    assert int(dut.y.value) == 7


@BENCH.test()
async def wrong_value(dut):
    await start(dut)
    dut.a.value = 3
    await clock(dut, 2)
    assert int(dut.y.value) == 4


@BENCH.test()
async def breaks_the_assertion(dut):
    await start(dut)
    dut.a.value = 9
    await clock(dut, 3)


@BENCH.test(limit=50)
async def never_ends(dut):
    await start(dut)
    await clock(dut, 10_000)


@BENCH.test()
async def good(dut):
    await start(dut)
"""


@pytest.fixture(scope="module", params=installed(SIMS))
def failing(request, tmp_path_factory):
    """The simulator, and the output of pytest on a file whose tests fail, each in its own way, in forks of one
    simulator.
    """
    options = ["--sim", request.param, "--seed", "7"]
    return request.param, pytest_on(tmp_path_factory.mktemp("failing"), request.config, *options).stdout


def pytest_on(folder: Path, config, *options: str):
    return subprocess.run(command(folder, config, *options), cwd=folder, capture_output=True, text=True, check=False)


def command(folder: Path, config, *options: str) -> list[str]:
    (folder / "test_wire.py").write_text(FAILING)
    (folder / "pytest.ini").write_text(
        f"[pytest]\naddopts = --import-mode=importlib\nbench_root = {config.rootpath / 'build'}\n"
    )
    return [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "hayate.verif.bench.plugin",
        "-p",
        "no:cacheprovider",
        "test_wire.py",
        *options,
    ]


def test_failures_fail(failing):
    """And nothing else does: neither a crash nor the end of patience nor what a test leaves behind costs another test
    anything.
    """
    sim, output = failing
    assert "5 failed, 3 passed" in output
    assert f"FAILED test_wire.py::sleeps[{sim}]" in output and "no end after 2 s" in output
    assert f"FAILED test_wire.py::crashes[{sim}]" in output and "ended with status -11 before its tests did" in output


def test_a_failure_shows_the_traceback_and_how_to_replay(failing):
    sim, output = failing
    assert "assert 3 == 4" in output
    assert f"replay: pytest test_wire.py -k 'wrong_value[{sim}]' --sim {sim} --seed 7" in output
    assert "seed 7" in output


def test_an_assertion_of_the_design_fails_the_item(failing):
    sim, output = failing
    assert f"FAILED test_wire.py::breaks_the_assertion[{sim}]" in output


def test_the_limit_of_cycles_fails_the_item(failing):
    sim, output = failing
    assert f"FAILED test_wire.py::never_ends[{sim}]" in output


@pytest.mark.parametrize(
    "sim", [pytest.param(s, marks=[pytest.mark.nightly] if s == "verilator" else []) for s in installed(SIMS)]
)
def test_waves_are_recorded(sim, tmp_path, request):
    options = ["--sim", sim, "--waves", "-k", "wrong_value or breaks_the_assertion or never_ends or good"]
    output = pytest_on(tmp_path, request.config, *options).stdout
    recorded = [Path(line.removeprefix("waves: ")) for line in output.splitlines() if line.startswith("waves: ")]
    assert len(recorded) == 4
    assert all(path.stat().st_size > 0 for path in recorded)


def test_an_interrupt_leaves_no_process_behind(tmp_path, request):
    """Ctrl-C while a simulation runs: pytest ends, and so does the simulator."""
    note = tmp_path / "process"
    text = (
        FAILING
        + f"""

@BENCH.test(limit=10**9)
async def runs_on(dut):
    import os
    await start(dut)
    Path({str(note)!r}).write_text(str(os.getpid()))
    while True:
        await clock(dut)
"""
    )
    arguments = command(tmp_path, request.config, "-k", "runs_on", "--sim", "verilator")
    (tmp_path / "test_wire.py").write_text(text)
    # A shell's background jobs inherit SIGINT as ignored; the pytest under test must see it all the same.
    runner = subprocess.Popen(
        arguments,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (note.is_file() and note.read_text()):
        assert runner.poll() is None, "pytest ended before the simulation ran"
        time.sleep(0.1)
    simulator = int(note.read_text())
    os.kill(simulator, 0)
    runner.send_signal(signal.SIGINT)
    assert runner.wait(timeout=120) == pytest.ExitCode.INTERRUPTED
    with pytest.raises(ProcessLookupError):
        os.kill(simulator, 0)
