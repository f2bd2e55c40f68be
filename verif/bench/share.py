"""pytest plugin that shares tests out: among the workers of one run, and among the slices of a night.

What belongs together stays together, so that it is built and started once: the tests of a bench with the same
parameters on the same simulator, and the tests of any other file, unless that takes so long that the file is better
divided. Long ones come first. How long a test takes is what `verif/durations.json` recorded once
(`scripts/durations.py`); it decides about order and balance, and about nothing else.
"""

import json
import os
import re
from collections.abc import Iterable
from functools import cached_property
from itertools import chain
from pathlib import Path
from statistics import median

import pytest

from hayate.rtl.contract.files import whole

BASELINE = Path("verif", "durations.json")
UNKNOWN = 0.5  # seconds of a test of which nothing is known, and the least that is recorded
MACHINE = 20  # the same of a test of whole machines, which are to begin first even then
DIVIDED = 150  # seconds of a file without benches that workers may divide: its tests often wait for the same build
SYNTH = 600  # seconds of what `make nightly` does beside the tests, with the first slice
_BENCH = re.compile(r"::\w+\[((?:.*-)?(?:verilator|icarus))\]$")


class Durations:
    """Seconds of tests, by node id: what was recorded, or else what the same function took with other parameters."""

    def __init__(self, recorded: dict[str, float]):
        self.recorded = recorded

    @classmethod
    def read(cls, file: Path) -> "Durations":
        """From a file that `write` made; without one, nothing is known."""
        tree = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        return cls({f"{path}::{name}": seconds for path, names in tree.items() for name, seconds in names.items()})

    def write(self, file: Path):
        tree: dict[str, dict[str, float]] = {}
        for nodeid, seconds in sorted(self.recorded.items()):
            if seconds >= UNKNOWN:
                path, _, name = nodeid.partition("::")
                tree.setdefault(path, {})[name] = round(seconds, 1)
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as out:
            out.write((json.dumps(tree, indent=0, ensure_ascii=False) + "\n").encode())

    @cached_property
    def _functions(self) -> dict[str, float]:
        of: dict[str, list[float]] = {}
        for nodeid, seconds in self.recorded.items():
            of.setdefault(nodeid.partition("[")[0], []).append(seconds)
        return {name: median(seconds) for name, seconds in of.items()}

    def of(self, nodeid: str) -> float:
        unknown = MACHINE if nodeid.startswith("verif/system/") else UNKNOWN
        return self.recorded.get(nodeid) or self._functions.get(nodeid.partition("[")[0], unknown)


def scopes(nodeids: Iterable[str], durations: Durations) -> dict[str, list[str]]:
    """The tests that one worker runs in a row, by a name for them; those that take longest first."""
    files: dict[str, list[str]] = {}
    found: dict[str, list[str]] = {}
    for nodeid in nodeids:
        path = nodeid.partition("::")[0]
        if match := _BENCH.search(nodeid):
            found.setdefault(f"{path}[{match[1]}]", []).append(nodeid)
        else:
            files.setdefault(path, []).append(nodeid)
    for path, inside in files.items():
        if sum(map(durations.of, inside)) < DIVIDED:
            found[path] = inside
        else:
            found |= {nodeid: [nodeid] for nodeid in inside}
    return dict(sorted(found.items(), key=lambda scope: -sum(map(durations.of, scope[1]))))


def sliced(units: dict[str, float], count: int, first: float = 0) -> list[list[str]]:
    """The names in `units` as `count` lists that take about as long as one another, the same on every call.

    units: seconds by name. first: seconds that the first slice is busy with something else.
    """
    slices: list[list[str]] = [[] for _ in range(count)]
    load = [first] + [0.0] * (count - 1)
    for name, seconds in sorted(units.items(), key=lambda unit: (-unit[1], unit[0])):
        least = load.index(min(load))
        slices[least].append(name)
        load[least] += seconds
    return slices


def parse_slice(text: str) -> tuple[int, int]:
    """(2, 3) of "2/3". Raises pytest.UsageError."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise pytest.UsageError(f"--slice {text}: give K/N with 1 <= K <= N, such as 2/3")
    return int(match[1]), int(match[2])


def pytest_addoption(parser):
    group = parser.getgroup("hayate", "Hayate benches")
    group.addoption(
        "--slice", metavar="K/N", help="only the K-th of N parts of what is selected, which take about equally long"
    )
    group.addoption("--record", type=Path, metavar="FILE", help="add to FILE how long each test takes")


@pytest.hookimpl(trylast=True)  # after -m and -k
def pytest_collection_modifyitems(config, items):
    durations = Durations.read(config.rootpath / BASELINE)
    if text := config.getoption("--slice"):
        kept = _slice(items, *parse_slice(text), durations)
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in kept])
        items[:] = [item for item in items if item.nodeid in kept]
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = {
            nodeid: n for n, nodeid in enumerate(chain(*scopes([item.nodeid for item in items], durations).values()))
        }
        items.sort(key=lambda item: place[item.nodeid])
    first: dict[str, int] = {}  # tests of one build one after another
    for n, item in enumerate(items):
        first.setdefault(getattr(item, "group", item.nodeid), n)
    items.sort(key=lambda item: first[getattr(item, "group", item.nodeid)])


def _slice(items, number: int, count: int, durations: Durations) -> set[str]:
    """The tests of slice `number` from 1 to `count`. Items of one build and of one scope stay together."""
    names = {
        nodeid: name for name, inside in scopes([item.nodeid for item in items], durations).items() for nodeid in inside
    }
    units: dict[str, list[str]] = {}
    for item in items:
        units.setdefault(getattr(item, "group", names[item.nodeid]), []).append(item.nodeid)
    seconds = {name: sum(map(durations.of, inside)) for name, inside in units.items()}
    return {nodeid for name in sliced(seconds, count, SYNTH)[number - 1] for nodeid in units[name]}


def pytest_xdist_make_scheduler(config, log):
    """Whole scopes, in the order in which the workers have put them."""
    return _scheduler(config, log) if config.getvalue("dist") == "load" else None


class _Recorder:
    """Adds up what each test takes, set-up included, on the process that reports."""

    def __init__(self, file: Path):
        self.file, self.seconds = file, {}

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0) + report.duration

    def pytest_sessionfinish(self):
        before = Durations.read(self.file).recorded
        Durations(before | self.seconds).write(self.file)


def pytest_configure(config):
    file = config.getoption("--record")
    if file and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder(file))


def _scheduler(config, log):
    """xdist's scheduler that hands out whole scopes in the order in which the workers have put them, with ours for
    scopes.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def add_node_collection(self, node, collection):
            found = scopes(collection, Durations.read(config.rootpath / BASELINE))
            self._names = {nodeid: name for name, inside in found.items() for nodeid in inside}
            super().add_node_collection(node, collection)

        def _split_scope(self, nodeid):
            return self._names[nodeid]

    config.option.loadscopereorder = False
    return Scheduling(config, log)
