"""Declares benches: a component, the parameters to build it with, and the coroutines that test it.

The same file is read twice: by pytest, which turns each test x parameters x simulator into one item, and inside the
simulator, where the coroutine runs.
"""

import json
import os
import random
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT = "HAYATE_BENCH"
#: Folder of Verilog that is elaborated once for all tests.
TEXTS = Path(__file__).resolve().parents[2] / "build" / "sim" / "text"


@dataclass(frozen=True)
class Options:
    """What a test asks for beyond its bench."""

    bench: "Bench"
    sims: tuple[str, ...]
    limit: int
    only: Callable[[Mapping], bool] | None
    prepare: Callable | None


class Bench:
    """A component under test, built once for each set of parameters.

    Parameters
    ----------
    make: called with one set of parameters as keywords; returns the `wiring.Component`, or Verilog text whose top
        module is called as `name` says.
    params: the sets of parameters; each must give another item name (`{"m": 4}` gives `m4`).
    sources: more Verilog for every build: paths (relative ones start at the test file's folder) or text. A callable is
        given the parameters and returns such a list.
    sims: the simulators this bench is meant for; Icarus is left out where it is not installed.
    name: name of the top module.
    optimize: g++ flag for Verilator's code. -O0 suits large designs that run briefly; long simulations gain from -O2.
    timeout: seconds of wall clock that one item's simulation may take.
    blocks: modules, each used many times, that Verilator compiles by themselves, as in `runner.build`.
    quick: given a set of parameters, says whether the quick tier runs this set too, on Verilator, beside the last one.
    """

    def __init__(
        self,
        make: Callable,
        *,
        params: Sequence[Mapping] = ({},),
        sources: Sequence[Path | str] | Callable = (),
        sims: Sequence[str] = ("verilator", "icarus"),
        name: str = "dut",
        optimize: str = "-O1",
        timeout: float = 600,
        blocks: Sequence[str] = (),
        quick: Callable[[Mapping], bool] | None = None,
    ):
        self.make = make
        self.params = [dict(p) for p in params]
        self.sims = tuple(sims)
        self.name = name
        self.optimize = optimize
        self.timeout = timeout
        self.blocks = tuple(blocks)
        self.quick = quick
        self.line = sys._getframe(1).f_lineno  # tells the benches of a file apart
        self._sources = sources
        self.ids = [label(p) for p in self.params]
        if len(set(self.ids)) != len(self.ids):
            raise ValueError(f"two sets of parameters share a name: {self.ids}")

    def test(
        self,
        *,
        sims: Sequence[str] | None = None,
        limit: int = 1_000_000,
        only: Callable | None = None,
        prepare: Callable | None = None,
    ):
        """Decorator that makes a coroutine function, which takes `dut`, a test of this bench.

        Parameters
        ----------
        sims: narrows the bench's simulators for this test.
        limit: clock cycles after which the test has failed.
        only: given a set of parameters, says whether this test runs with it.
        prepare: called before the simulation as `prepare(folder, **parameters)`, where `folder` is the simulation's own
            working directory: writes what the design reads at its start and returns plusargs for it.
        """
        options = Options(self, tuple(sims or self.sims), limit, only, prepare)

        def mark(function):
            function.__bench__ = options
            return function

        return mark

    def sources(self, folder: Path, parameters: Mapping) -> list[Path | str]:
        found = self._sources(**parameters) if callable(self._sources) else self._sources
        return [s if isinstance(s, str) else folder / s for s in found]


def label(parameters: Mapping) -> str:
    """The part of an item's name that stands for a set of parameters."""
    return "-".join(re.sub(r"[^\w.]+", "_", f"{k}{v}") for k, v in parameters.items())


@dataclass(frozen=True)
class Job:
    """What the process inside the simulator is told: which test of which file, with which parameters and seed.

    cut: cycles behind which a reset in the middle will have ended this run of the test; 0 for one to its end.
    """

    file: str
    test: str
    index: int
    seed: int | str
    cut: int = 0

    def environment(self) -> dict[str, str]:
        return {ENVIRONMENT: json.dumps(self.__dict__)}


def job() -> Job:
    """The job of this process. Raises RuntimeError outside a simulation."""
    if ENVIRONMENT not in os.environ:
        raise RuntimeError("params(), rng() and seed() only have a meaning inside a simulation started by a bench")
    return Job(**json.loads(os.environ[ENVIRONMENT]))


_params: dict = {}


def params() -> dict:
    """The parameters that the component under test was made with."""
    return dict(_params)


def seed() -> int | str:
    """The seed of this run: `--seed`, or 1."""
    return job().seed


def cases(count: int, *, icarus: int = 1) -> int:
    """How many of `count` random cases to make: all on Verilator, on Icarus, which is 10 times slower, one of `icarus`.
    Where a reset cuts the test off, no more than could begin until then: each takes a cycle or more.
    """
    import cocotb

    if "icarus" in cocotb.SIM_NAME.lower():
        count = -(-count // icarus)
    return min(count, job().cut or count)


def rng(stream: object = "") -> random.Random:
    """A generator of its own for each (seed, test, stream): the same on every run and every simulator."""
    now = job()
    return random.Random(f"{now.seed}/{now.test}/{now.index}/{stream}")
