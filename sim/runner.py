"""Builds a design once per content and runs cocotb modules on it, from pytest or from the command line.

`build` keys the directory by the hash of everything that goes in (Verilog, flags, tool version), so that a second call
with the same content costs nothing, and two processes that want the same build share one.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hayate.rtl.contract.errors import HayateError
from hayate.sim import folders, tools
from hayate.sim.blocks import split
from hayate.sim.convert import Port, ports, verilog
from hayate.sim.tools import BuildError, SimulationError

TIMESCALE = ("1ns", "1ps")
SIMS = ("verilator", "icarus")
_RECIPE = 7  # part of the hash: raise it when the way a build is made changes


@dataclass(frozen=True)
class Build:
    """A design ready to run: where it lies and which ports its top module has."""

    sim: str
    directory: Path
    top: str
    ports: tuple[Port, ...]
    waves: str = ""  # "fst" or "vcd" where the build can record them

    @property
    def wave_file(self) -> str:
        return f"dump.{self.waves}" if self.sim == "verilator" else f"{self.top}.fst"


def default_root() -> Path:
    return Path.cwd() / "build" / "sim"


def build(
    top,
    *,
    name: str = "top",
    sources: Sequence[Path | str] = (),
    sim: str = "verilator",
    waves: bool = False,
    fst: bool = True,
    optimize: str = "-O1",
    threads: int = 1,
    jobs: int = 2,
    blocks: Sequence[str] = (),
    root: Path | None = None,
) -> Build:
    """Build `top` for `sim`, or find the build that already exists.

    Parameters
    ----------
    top: a `wiring.Component`, or the text of a Verilog file that holds module `name`.
    sources: more Verilog: a Path is a file, a str the text itself.
    waves: able to record waves (slower). FST where the headers exist and `fst` is left True, else VCD.
    optimize: g++'s flag for the design's own code.
    threads: simulation threads of Verilator.
    jobs: parallel compilers.
    blocks: modules that Verilator compiles by themselves (see `blocks`), unless waves are to be recorded.
    root: the folder of all builds; `build/sim` below the current one unless given.

    Raises
    ------
    HayateError: the simulator or its compiler is not installed, or the folder cannot be written. BuildError: it refused
    the design.
    """
    tool = tools.find(sim)
    texts = [top if isinstance(top, str) else verilog(top, name)]
    found = ports(texts[0], name)
    texts += [s if isinstance(s, str) else Path(s).read_text(encoding="utf-8") for s in sources]
    kind = "" if not waves else "fst" if sim == "icarus" or (fst and tools.fst_headers()) else "vcd"
    recipe = {"sim": sim, "tool": tool.version, "recipe": _RECIPE}
    if sim == "verilator":
        recipe |= {"optimize": optimize, "threads": threads}
    root = default_root() if root is None else Path(root)
    blocks = list(blocks) if sim == "verilator" and not waves else []
    whole = recipe | {"waves": kind, "cocotb": _cocotb_version(), "blocks": blocks}
    result = Build(sim, _directory(root / sim, whole, name, texts), name, found, kind)
    if _ready(result.directory):
        return result
    if sim == "verilator":
        folders.require_name(root)
    folders.require(root / sim)
    with folders.written(root / sim):
        (root / sim).mkdir(parents=True, exist_ok=True)
        parts = []
        for block in blocks:
            at = next((n for n, t in enumerate(texts) if re.search(rf"^module {block}\b", t, re.MULTILINE)), 0)
            own, texts[at] = split(texts[at], block)
            alone = recipe | {"block": True}
            parts.append(_Work(block, [own], alone, _directory(root / sim, alone, block, [own]), "", ports(own, block)))
            _make(parts[-1], tool, jobs)
        _make(_Work(name, texts, whole, result.directory, kind, found, parts), tool, jobs)
    return result


def _directory(root: Path, recipe: dict, name: str, texts: list[str]) -> Path:
    """Where the build of module `name` of `texts` lies."""
    return root / hashlib.sha256(json.dumps([recipe | {"name": name}, *texts]).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class _Work:
    """What goes into a build: a design, or a block that designs are linked with.

    texts: the Verilog, that of module `name` first. recipe: what else the result depends on. directory: where it will
    lie.
    parts: the blocks of a design.
    """

    name: str
    texts: list[str]
    recipe: dict
    directory: Path
    waves: str = ""
    ports: tuple[Port, ...] = ()
    parts: Sequence["_Work"] = ()

    @property
    def files(self) -> tuple[Path, Path]:
        """What a block leaves for those that are linked with it."""
        return self.directory / f"{self.name}.sv", self.directory / "block.a"


def _make(work: _Work, tool, jobs: int):
    """Build into a folder of another name and move it into place; one process at a time."""
    directory = work.directory
    with folders.lock(directory.with_suffix(".lock")):
        if _ready(directory):
            return
        shutil.rmtree(directory, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"{directory.name}.", dir=directory.parent))
        try:
            files = [scratch / name for name in ("design.v", *(f"extra{i}.v" for i in range(len(work.texts) - 1)))]
            for file, content in zip(files, work.texts, strict=True):
                file.write_text(content, encoding="utf-8")
            with folders.written(directory.parent):  # while what it has made is there, so that a full disk is seen
                _compile(work, scratch, [*files[1:], files[0]], tool, jobs)
            record = {**work.recipe, "name": work.name, "ports": [asdict(p) for p in work.ports]}
            (scratch / "build.json").write_text(json.dumps(record, indent=1))
            os.rename(scratch, directory)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _cocotb_version() -> str:
    from importlib.metadata import version

    return version("cocotb")


def _ready(directory: Path) -> bool:
    return (directory / "build.json").is_file()


def _compile(work: _Work, scratch: Path, files: list[Path], tool, jobs: int):
    from hayate.sim import simulators  # cocotb's runner is only needed where something is built or run

    log, sim = scratch / "build.log", work.recipe["sim"]
    if sim == "verilator":
        settings = {key: work.recipe[key] for key in ("optimize", "threads")} | {
            "jobs": jobs,
            "output": log,
            "ports": work.ports,
        }
        if "block" in work.recipe:
            runner: simulators._Build = simulators.Block(tool, **settings)
        else:
            runner = fast = simulators.FastVerilator(
                tool, waves=work.waves, parts=[part.files for part in work.parts], **settings
            )
            control = scratch / "ports.vlt"
            control.write_text(fast.control(work.name))
            files = [control, *files]
    else:
        runner = simulators.PlainIcarus(tool, log)
    try:
        runner.make(files, work.name, scratch, TIMESCALE, bool(work.waves))
    except simulators.CommandFailed as error:
        tail = "\n".join(log.read_text("utf-8", "replace").splitlines()[-40:])
        raise BuildError(f"{sim} could not build {work.name!r}:\n{tail}\n{error}") from None
    runner.clean_up(scratch)


def run(
    build: Build,
    module: str,
    *,
    directory: Path,
    seed: int | None = None,
    waves: bool = False,
    log: Path | None = None,
    env: dict[str, str] | None = None,
    plusargs: Sequence[str] = (),
    timeout: float | None = None,
    execute=tools.execute,
) -> Path:
    """Run the cocotb tests of Python module `module` on `build`; returns cocotb's result file when all passed.

    Parameters
    ----------
    directory: the simulation's working directory, made if missing; waves and results go there.
    seed: cocotb's random seed.
    log: file for the simulator's output; None lets it through to ours.
    env: more environment variables for the simulation.
    plusargs: arguments for the simulator, such as "+hayate_banks=FOLDER".
    timeout: seconds of wall clock.
    execute: what runs the simulator, `tools.execute` or one that does as it does.

    Raises
    ------
    SimulationError: a test failed, none ran, an assertion of the design fired, or the time limit passed.
    """
    from hayate.sim import simulators

    if waves and not build.waves:
        raise HayateError("--waves", "", "this build records no waves", "build it with waves=True")
    directory.mkdir(parents=True, exist_ok=True)
    results = directory / "results.xml"
    results.unlink(missing_ok=True)
    if log is not None:
        log.unlink(missing_ok=True)
    command, environment = simulators.test_command(build, module, directory, results, seed, waves, plusargs)
    environment |= {"HAYATE_PORTS": json.dumps([asdict(p) for p in build.ports])} | (env or {})
    try:
        status = execute(command, cwd=directory, env=environment, log=log, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise SimulationError(f"no end after {timeout:g} s", _read(log)) from None
    if status == folders.LIMIT:
        raise HayateError(
            directory, "", "a file of the simulation became larger than it may", "raise the limit (ulimit -f)"
        )
    simulators.judge(build, status, results, _read(log))
    return results


def _read(log: Path | None) -> str:
    return log.read_text("utf-8", "replace") if log is not None and log.is_file() else ""
