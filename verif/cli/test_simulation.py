"""The rtl backend from the command line: results, waveforms, and interrupts that leave nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from hayate.compiler import compile_model
from hayate.models import shipped
from hayate.progress import Steps
from hayate.rtl.contract.config import load_config
from hayate.sim.machine.texts import chip_text
from hayate.sim.runner import SIMS
from hayate.sim.tools import installed
from hayate.verif.models.tiny import write_tiny_model

PATIENCE = 120  # seconds after which a step that should have been seen counts as missing


def test_the_chip_equals_golden(builds, cli, tiny, work):
    outcome = cli(
        "generate", "ab", "--model", tiny, "--config", "unit", "--tokens", "5", "--ignore-eos", "--json", "r.json"
    )
    result = json.loads((work / "r.json").read_text())
    assert outcome.code == 0, outcome.err
    assert result["golden_match"] is True and len(result["tokens"]) == 5 and "ab" + result["text"] in outcome.out
    cycles = result["cycles"]
    assert (
        cycles["total"] == cycles["prefill"] + cycles["decode"]
        and cycles["first_token"] == cycles["tokens"][0] <= cycles["prefill"]
    )
    assert 0 < result["utilization"] < 1 and result["tokens_per_pass"] == 1.0
    assert "\x1b" not in outcome.out and "yes" in outcome.out
    again = cli("generate", "ab", "--model", tiny, "--config", "unit", "--tokens", "5", "--ignore-eos", "--json", "-")
    repeated = json.loads(again.out)
    assert "elaborating" not in again.err and "ab" + result["text"] in again.err
    assert [repeated[k] for k in ("tokens", "utilization")] == [result[k] for k in ("tokens", "utilization")]
    assert repeated["cycles"]["tokens"] == cycles["tokens"]


@pytest.mark.parametrize(
    "options", [[], ["--precision", "int4", "--pin", "layers.0.wq=fp16", "--pin", "emb=int8"]], ids=["auto", "pins"]
)
def test_the_chip_answers_for_its_precision(options, builds, cli, tiny):
    """Formats and energies of both backends are the same, and those that were asked for."""
    found = []
    for backend in ("rtl", "golden"):
        outcome = cli(
            "generate",
            "ab",
            "--model",
            tiny,
            "--config",
            "unit",
            "--tokens",
            "3",
            "--backend",
            backend,
            "--json",
            "-",
            *options,
        )
        assert outcome.code == 0, outcome.err
        found.append(json.loads(outcome.out))
    chip, model = found
    assert (
        chip["golden_match"] is True and chip["precision"] == model["precision"] and chip["tokens"] == model["tokens"]
    )
    formats = {name: row["format"] for name, row in chip["precision"].items()}
    if options:
        assert (
            formats == {**dict.fromkeys(formats, "int4"), "layers.0.wq": "fp16", "emb": "int8"}
            and chip["cycles"]["governor"] == 0
        )
    else:
        assert all(row["out"] > 0 for row in chip["precision"].values()) and chip["cycles"]["governor"] > 0


def is_waveform(path):
    """True for the beginning of an FST file (its header block, or one compressed as a whole) or of a VCD file."""
    data = path.read_bytes()
    fst = data[:9] == b"\0" + (329).to_bytes(8, "big") or data[:1] == b"\xfe"
    return fst if path.suffix == ".fst" else data.lstrip()[:1] == b"$"


@pytest.mark.parametrize(
    ("sim", "kind"),
    [
        pytest.param(sim, kind, marks=[] if (sim, kind) == ("icarus", "vcd") else [pytest.mark.nightly])
        for sim, kind in (("icarus", "vcd"), ("icarus", "fst"), ("verilator", "vcd"))
        if sim in installed(SIMS)
    ],
)
def test_waves(sim, kind, builds, cli, tiny, work):
    """The window is what is recorded: its times lie within its cycles, 10 ns each; and the generation is golden's, on
    every simulator. The smallest machine builds fastest.
    """
    smallest = ["--config", "unit", "--set", "tiles=1", "--set", "lanes=1", "--set", "bank_depth=8192"]
    outcome = cli(
        "generate",
        "--prompt-ids",
        "7",
        "--model",
        tiny,
        *smallest,
        "--tokens",
        "1",
        "--json",
        "r.json",
        "--sim",
        sim,
        "--waves",
        f"w/chip.{kind}",
        "--wave-window",
        "2000:2100",
    )
    assert outcome.code == 0, outcome.err
    assert json.loads((work / "r.json").read_text())["golden_match"] is True
    assert is_waveform(work / "w" / f"chip.{kind}")
    if kind == "fst":
        return
    text = (work / "w" / "chip.vcd").read_text()
    unit = {"1ps": 1000, "1ns": 1}[re.search(r"\$timescale\s+(\w+)", text)[1]]
    times = [int(t) / unit / 10 for t in re.findall(r"^#(\d+)$", text, re.MULTILINE)]
    assert len(times) >= 200 and 1999 <= times[0] and times[-1] <= 2101
    assert re.search(r"\$var .* clk ", text)


class Program:
    """A command in a process of its own, whose descendants can be told by a mark in their environment (LC_: kept for
    them).
    """

    def __init__(self, *arguments):
        self.mark = uuid.uuid4().hex
        self.log = Path("log").resolve()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hayate.cli", *map(str, arguments)],
                env={**os.environ, "LC_HAYATE_TEST_MARK": self.mark},
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def alive(self):
        """Ids of the program and its descendants."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self.mark.encode() in path.read_bytes():
                    found.append(int(path.parent.name))
            except OSError:  # it has ended
                pass
        return found

    def wait_for(self, condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, f"ended too early: {self.log.read_text()}"
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.01)

    def interrupt(self, number):
        """Send the signal; the exit code, once every process is gone."""
        try:
            self.process.send_signal(number)
            code = self.process.wait(PATIENCE)
            end = time.monotonic() + PATIENCE
            while self.alive() and time.monotonic() < end:
                time.sleep(0.05)
            assert self.alive() == []
            return code
        finally:
            for process in self.alive():
                os.kill(process, signal.SIGKILL)


SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)


@pytest.fixture(scope="session")
def long_model(tmp_path_factory):
    """Image of a model whose generation takes seconds on any machine: 60 tokens of 50,000 weights, in FP16 alone so
    that they fit.
    """
    folder = tmp_path_factory.mktemp("models")
    model = write_tiny_model(folder / "long", hidden=64, layers=1, head_dim=16, ff=192, context=62)
    compile_model(model, planes=False).save(folder / "long.hayate")
    return folder / "long.hayate"


@SIGNALS
def test_interrupt_while_simulating(number, builds, work, long_model):
    program = Program(
        "generate", "a", "--model", long_model, "--config", "unit", "--ignore-eos", "--no-check", "--json", "r.json"
    )
    program.wait_for(lambda: re.search(r"^a.", program.log.read_text(), re.MULTILINE))
    assert len(program.alive()) > 1
    assert program.interrupt(number) == 128 + number
    assert "interrupted" in program.log.read_text() and "Traceback" not in program.log.read_text()
    assert sorted(p.name for p in work.iterdir()) == ["build", "log"]


@pytest.mark.parametrize(
    "number, stage", [(signal.SIGINT, "*/V*.mk"), (signal.SIGTERM, "*/design.v")], ids=["make", "verilator"]
)
def test_interrupt_while_building(number, stage, tiny, work, pytestconfig):
    shared = pytestconfig.rootpath / "build" / "sim" / "text"
    chip_text(load_config("unit"), shared, Steps())
    sim = work / "build" / "sim"
    sim.mkdir(parents=True)
    (sim / "text").symlink_to(shared)
    program = Program("generate", "a", "--model", tiny, "--config", "unit")

    def reached():
        try:
            return any((sim / "verilator").glob(stage))
        except FileNotFoundError:  # the folder was made and removed again, to see whether it can be
            return False

    program.wait_for(reached)
    assert program.interrupt(number) == 128 + number
    assert "interrupted" in program.log.read_text() and "Traceback" not in program.log.read_text()
    assert [p for p in (sim / "verilator").iterdir() if p.suffix != ".lock"] == []


def test_interrupt_while_elaborating(tiny, work):
    program = Program("generate", "a", "--model", tiny, "--config", "unit")
    program.wait_for(lambda: "elaborating" in program.log.read_text())
    assert program.interrupt(signal.SIGTERM) == 128 + signal.SIGTERM
    assert "interrupted" in program.log.read_text() and [p for p in (work / "build").rglob("*") if p.is_file()] == []


def test_demo_runs_the_chip(monkeypatch, cli, work):
    """`hayate demo` is a generation on the rtl backend, checked, with its result in build/demo."""
    from hayate.cli import demo

    seen = []
    monkeypatch.setattr(demo, "generate", lambda request, json: seen.append((request, json)) or 0)
    assert cli("demo").code == 0
    ((request, json_file),) = seen
    assert (request.backend, request.config, request.check, request.tokens) == ("rtl", "demo", True, 64)
    assert request.model in shipped() and request.prompt and json_file == "build/demo/result.json"
