"""Fixtures of the command line's tests: a folder to work in, a small model, and the program, in this process."""

import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from hayate.cli import main as program
from hayate.verif.models.tiny import write_tiny_model


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Folder of a model of 64 tokens and 48 positions; do not change it."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def work(tmp_path, monkeypatch):
    """An empty folder, and the current one."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def builds(work, pytestconfig):
    """The checkout's simulation builds, in the place where a command run in `work` looks for them."""
    shared = pytestconfig.rootpath / "build" / "sim"
    shared.mkdir(parents=True, exist_ok=True)
    (work / "build").mkdir()
    (work / "build" / "sim").symlink_to(shared)
    return shared


@pytest.fixture
def cli(work, capsys, monkeypatch):
    """The command line as a function of its arguments; returns an `Outcome`."""
    handlers = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    }

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["hayate", *map(str, arguments)])
        code = 0
        try:
            program.main()
        except SystemExit as end:
            code = end.code or 0
        return Outcome(code, *capsys.readouterr())

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def refused(cli, work):
    """Run a command that must end in one line of standard error with every text in `parts`, exit code 2 and nothing
    written.
    """

    def run(*arguments, parts):
        before = contents(work)
        outcome = cli(*arguments)
        assert outcome.code == 2, outcome
        assert outcome.err.startswith("hayate: ") and outcome.err.count("\n") == 1, outcome.err
        assert [part for part in parts if part not in outcome.err] == [], outcome.err
        assert contents(work) == before
        return outcome

    return run


def contents(folder: Path):
    """What lies in `folder`: path -> bytes, None for a folder."""
    return {str(p.relative_to(folder)): None if p.is_dir() else p.read_bytes() for p in sorted(folder.rglob("*"))}
