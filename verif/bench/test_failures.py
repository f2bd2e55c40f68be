"""What a failing bench looks like, and that nothing outlives an interrupted one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hayate.verif.bench.runner import SIMS
from hayate.verif.bench.tools import installed

FAILING = '''
from pathlib import Path
from amaranth import Module
from amaranth.hdl import Assert
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
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
'''


@pytest.fixture(scope="module", params=installed(SIMS))
def failing(request, tmp_path_factory):
    """The simulator, and the output of pytest on a file whose tests fail, each in its own way."""
    folder = tmp_path_factory.mktemp("failing")
    options = ["--sim", request.param, "--seed", "7", "--waves"]
    return request.param, pytest_on(folder, request.config, *options).stdout


def pytest_on(folder: Path, config, *options: str):
    return subprocess.run(command(folder, config, *options), cwd=folder, capture_output=True, text=True, check=False)


def command(folder: Path, config, *options: str) -> list[str]:
    (folder / "test_wire.py").write_text(FAILING)
    (folder / "pytest.ini").write_text(f"[pytest]\naddopts = --import-mode=importlib\nbench_root = {config.rootpath / 'build'}\n")
    return [sys.executable, "-m", "pytest", "-p", "hayate.verif.bench.plugin", "-p", "no:cacheprovider", "test_wire.py", *options]


def test_failures_fail(failing):
    _, output = failing
    assert "3 failed, 1 passed" in output


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


def test_waves_are_recorded(failing):
    _, output = failing
    recorded = [Path(line.removeprefix("waves: ")) for line in output.splitlines() if line.startswith("waves: ")]
    assert len(recorded) == 4
    assert all(path.stat().st_size > 0 for path in recorded)


def test_an_interrupt_leaves_no_process_behind(tmp_path, request):
    """Ctrl-C while a simulation runs: pytest ends, and so does the simulator."""
    note = tmp_path / "process"
    text = FAILING + f"""

@BENCH.test(limit=10**9)
async def runs_on(dut):
    import os
    await start(dut)
    Path({str(note)!r}).write_text(str(os.getpid()))
    while True:
        await clock(dut)
"""
    arguments = command(tmp_path, request.config, "-k", "runs_on", "--sim", "verilator")
    (tmp_path / "test_wire.py").write_text(text)
    # A shell's background jobs inherit SIGINT as ignored; the pytest under test must see it all the same.
    runner = subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    while not (note.is_file() and note.read_text()):
        assert runner.poll() is None, "pytest ended before the simulation ran"
        time.sleep(0.1)
    simulator = int(note.read_text())
    os.kill(simulator, 0)
    runner.send_signal(signal.SIGINT)
    assert runner.wait(timeout=120) == pytest.ExitCode.INTERRUPTED
    with pytest.raises(ProcessLookupError):
        os.kill(simulator, 0)
