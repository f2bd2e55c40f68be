"""pytest plugin: each bench test x parameters x simulator is one item and a simulation; those of a build share a
simulator's start.
"""

import os
import re
import shlex
import shutil
import tempfile
from functools import cached_property, partial
from itertools import product
from pathlib import Path

import pytest

from hayate.rtl.contract.errors import HayateError
from hayate.sim import cache, runner, tools
from hayate.sim.tools import BuildError, SimulationError, installed
from hayate.verif.bench.bench import Bench, Job
from hayate.verif.bench.held import Held

LOG_LINES = 60
DEFAULT_SEED = 1
_HELD = pytest.StashKey[Held]()


def pytest_addoption(parser):
    group = parser.getgroup("hayate", "Hayate benches")
    group.addoption(
        "--sim", choices=runner.SIMS, help="only this simulator (default: Verilator, and Icarus where installed)"
    )
    group.addoption(
        "--seed", type=int, default=DEFAULT_SEED, help=f"seed of the benches' randomness (default: {DEFAULT_SEED})"
    )
    group.addoption("--waves", action="store_true", help="record waves below build/waves (default: none)")
    parser.addini("bench_root", "where builds and waves go, from the root folder (default: build)", default="build")


def pytest_pycollect_makeitem(collector, name, obj):
    options = getattr(obj, "__bench__", None)
    if options is None:
        return None
    if chosen := collector.config.getoption("--sim"):
        sims = [s for s in options.sims if s == chosen]
    else:
        sims = installed(options.sims)
    indices = [i for i, p in enumerate(options.bench.params) if options.only is None or options.only(p)]
    quick = _quick(options.bench, sims, indices)
    items = []
    for index in indices:
        label = options.bench.ids[index]
        for sim in sims:
            full = f"{name}[{label}-{sim}]" if label else f"{name}[{sim}]"
            item = BenchItem.from_parent(collector, name=full, function=obj, index=index, sim=sim)
            if (sim, index) not in quick:
                item.add_marker(pytest.mark.nightly)
            items.append(item)
    return items


def _quick(bench: Bench, sims: list[str], indices: list[int]) -> set[tuple[str, int]]:
    """The simulators and sets of parameters of the quick tier: the last parameters on Verilator and the first ones on
    Icarus, or, where there is one simulator, both on that; and what the bench says on Verilator. Nightly runs all.
    """
    ends = (zip(sims, (-1, 0)) if len(sims) > 1 else product(sims, (-1, 0))) if indices else ()
    more = (
        [i for i in indices if bench.quick is not None and bench.quick(bench.params[i])] if "verilator" in sims else ()
    )
    return {*((sim, indices[end]) for sim, end in ends), *(("verilator", i) for i in more)}


def _root(config) -> Path:
    return config.rootpath / config.getini("bench_root")


def _runs(config) -> Path:
    """The folder in which simulations of benches have theirs."""
    return _root(config) / "sim" / "run"


def _held(config) -> Held:
    return config.stash.setdefault(_HELD, Held(_runs(config)))


@pytest.fixture(scope="session")
def held(pytestconfig) -> Held:
    """The simulator at hand, for tests that run one themselves."""
    return _held(pytestconfig)


class BenchItem(pytest.Item):
    """One simulation."""

    def __init__(self, *, function, index: int, sim: str, **rest):
        super().__init__(**rest)
        self.obj = self.function = function
        self.options = function.__bench__
        self.index = index
        self.sim = sim
        for mark in getattr(function, "pytestmark", []):
            self.add_marker(getattr(pytest.mark, mark.name).with_args(*mark.args, **mark.kwargs))

    @property
    def seed(self) -> int:
        return self.config.getoption("--seed")

    @property
    def root(self) -> Path:
        return _root(self.config)

    @cached_property
    def group(self) -> str:
        """The same for items of one build, in other files too where these share what makes it."""
        bench = self.options.bench
        return f"{self._origin} {bench.params[self.index]} {bench.name} {self.sim}"

    @cached_property
    def _origin(self) -> tuple[Path, str | int]:
        """The file that makes the component, and what in that file does."""
        bench = self.options.bench
        return _origin(bench.make, self.config.rootpath / "verif") or (self.path, bench.line)

    def _build(self) -> runner.Build:
        bench = self.options.bench
        parameters = bench.params[self.index]
        workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        return runner.build(
            self._elaborated(),
            name=bench.name,
            sources=bench.sources(self.path.parent, parameters),
            sim=self.sim,
            waves=self.config.getoption("--waves"),
            optimize=bench.optimize,
            jobs=1 if workers > 1 else 2,
            blocks=bench.blocks,
            root=self.root / "sim",
        )

    def _elaborated(self) -> str:
        """The Verilog of the bench's component; elaborated again only when a source that it depends on has changed."""
        bench, root = self.options.bench, self.config.rootpath

        def make() -> str:
            made = bench.make(**bench.params[self.index])
            return made if isinstance(made, str) else runner.verilog(made, bench.name)

        if not self.path.is_relative_to(root / "verif"):
            return make()
        file, nth = self._origin
        key = f"{file.relative_to(root)} {nth} {bench.params[self.index]} {bench.name}"
        files = cache.sources(root, file) + cache.sources(root, root / "rtl" / "verilog" / "convert.py")
        return cache.text(make, key=key, files=files, root=self.root / "sim" / "text")

    def runtest(self):
        build = self._build()
        slug = re.sub(r"\W+", "-", f"{self.path.stem}-{self.name}").strip("-")
        runs = _runs(self.config)
        runs.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix=f"{slug}.", dir=runs))
        waves = self.config.getoption("--waves")
        job = Job(str(self.path), self.function.__name__, self.index, self.seed)
        try:
            prepare = self.options.prepare
            plusargs = prepare(directory, **self.options.bench.params[self.index]) if prepare else ()
            # Plusargs and waves are the whole process's: one with either serves this test alone.
            runner.run(
                build,
                "hayate.verif.bench.inside",
                directory=directory,
                seed=self.seed,
                waves=waves,
                log=directory / "log",
                env=job.environment(),
                plusargs=plusargs,
                timeout=self.options.bench.timeout,
                execute=tools.execute
                if waves or plusargs
                else partial(_held(self.config).execute, module=str(self.path)),
            )
        finally:
            recorded = directory / build.wave_file
            if waves and recorded.is_file():
                target = self.root / "waves" / f"{slug}.{build.waves}"
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(recorded, target)
                self.user_properties.append(("waves", str(target)))
            shutil.rmtree(directory, ignore_errors=True)

    def replay(self) -> str:
        """The command that runs this very simulation again."""
        try:
            path = self.path.relative_to(self.config.rootpath)
        except ValueError:
            path = self.path
        return f"pytest {shlex.quote(str(path))} -k {shlex.quote(self.name)} --sim {self.sim} --seed {self.seed}"

    def repr_failure(self, excinfo, style=None):
        error = excinfo.value
        if isinstance(error, SimulationError):
            tail = "\n".join(error.log.splitlines()[-LOG_LINES:])
            text = f"{tail}\n\n{error}"
        elif isinstance(error, (BuildError, HayateError)):
            text = str(error)
        else:
            text = str(super().repr_failure(excinfo, style))
        return f"{text}\nreplay: {self.replay()}"

    def reportinfo(self):
        return self.path, self.obj.__code__.co_firstlineno - 1, self.name


def _origin(make, folder: Path) -> tuple[Path, str] | None:
    """The file below `folder` that defines the function `make` for all who import it, and its name there, so that they
    elaborate once.
    """
    name, code = getattr(make, "__qualname__", ""), getattr(make, "__code__", None)
    if code is None or not name.isidentifier() or not Path(code.co_filename).is_relative_to(folder):
        return None
    return Path(code.co_filename), name


def pytest_unconfigure(config):
    if held := config.stash.get(_HELD, None):
        held.close()


def pytest_terminal_summary(terminalreporter):
    for kind in ("passed", "failed"):
        for report in terminalreporter.stats.get(kind, []):
            for key, value in getattr(report, "user_properties", []):
                if key == "waves" and report.when == "call":
                    terminalreporter.write_line(f"waves: {value}")
