"""The documents: generated parts are fresh, what they name exists, the code in them works."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hayate.cli.main import app
from hayate.rtl.contract import encoding
from hayate.scripts import docs, figures

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *docs.documents(ROOT),
    *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "models/README.md", "verif/bench/README.md")),
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
page = pytest.mark.parametrize("path", PAGES, ids=NAMES)


def blocks(path, language):
    """Code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


def prose(text):
    """`text` without code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(path):
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_generated_sections_are_fresh():
    assert [str(path.relative_to(ROOT)) for path in docs.stale()] == [], "run: python scripts/docs.py"


def test_every_generator_is_used_and_every_section_is_closed():
    text = "\n".join(path.read_text() for path in docs.documents(ROOT))
    opened = re.findall(r"<!-- generated: ([\w-]+) -->", text)
    assert sorted(opened) == sorted(docs.SECTIONS)
    assert sorted(re.findall(r"<!-- end: ([\w-]+) -->", text)) == sorted(opened)


def test_a_changed_table_is_stale(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("nothing generated\n")
    text = (ROOT / "docs" / "isa.md").read_text()
    where = tmp_path / "docs" / "isa.md"
    where.write_text(text)
    assert docs.stale(tmp_path) == {}
    at, width = encoding.DESCRIPTOR.places["row0"]
    row = f"| {at + width - 1}:{at} | `row0` |"
    assert row in text
    where.write_text(text.replace(row, f"| {at + width}:{at} | `row0` |"))
    assert docs.stale(tmp_path) == {where: text}


def test_an_unknown_section_is_an_error():
    with pytest.raises(KeyError, match="nonsense"):
        docs.refresh("<!-- generated: nonsense -->\n<!-- end: nonsense -->")


def test_every_bit_of_every_format_is_documented_once():
    for name, fields in [
        *((op.name, f) for op, f in encoding.FORMATS.items()),
        ("micro", encoding.MICRO.places),
        ("descriptor", encoding.DESCRIPTOR.places),
        ("planes", encoding.PLANES.places),
    ]:
        covered = [bit for low, width in fields.values() for bit in range(low, low + width)]
        assert covered == list(range(len(covered))), name
    tables = re.split(r"^\*\*(.*)\*\*$", docs.instructions(), flags=re.MULTILINE)[1:]
    found = {name: rows for names, rows in zip(tables[::2], tables[1::2]) for name in names.split(", ")}
    for op, fields in encoding.FORMATS.items():
        if len(fields) > 1:
            rows = re.findall(r"^\| (\d+)(?::(\d+))? \| `(\w+)` \| .+ \|$", found[op.name], re.MULTILINE)
            assert {name: (int(low or high), int(high) + 1 - int(low or high)) for high, low, name in rows} == fields, (
                op.name
            )


@page
def test_links_lead_somewhere(path):
    bad = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            bad.append(target)
    assert bad == []


@page
def test_paths_exist(path):
    """Paths of the tree in backticks, and files that commands name. The example block of adding-a-block.md is made
    up.
    """
    named = set(
        re.findall(
            r"\b(?<![\w/])(?:api|rtl|compiler|golden|sim|verif|fpga|scripts|models|docs)/[\w./-]*\w/?", path.read_text()
        )
    )
    made_up = {
        f"{folder}/{name}.py"
        for folder, name in (
            ("rtl/numerics", "x"),
            ("golden/numerics", "x"),
            ("verif/numerics", "test_x"),
            ("rtl/numerics", "clamp"),
            ("golden/numerics", "clamp"),
            ("verif/numerics", "test_clamp"),
            ("golden/tile", "pe"),
        )
    }
    assert sorted(name for name in named - made_up if not (ROOT / name).exists()) == []


@page
def test_commands_and_their_options_exist(path):
    lines = [
        line.partition("#")[0] for block in blocks(path, "sh") + blocks(path, "text") for line in block.splitlines()
    ]
    lines += re.findall(r"`([^`\n]+)`", prose(path.read_text()))
    targets = set(re.findall(r"^([\w/.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in lines:
        if line.startswith("make ") and "=" not in line:
            assert set(shlex.split(line)[1:]) <= targets, line
        elif line.startswith("hayate "):
            words = shlex.split(line)[1:]
            command = words[:2] if words[0] in ("config", "bench") else words[:1]
            help_text = (
                CliRunner().invoke(app, [*command, "--help"]).output if not command[0].startswith("-") else "--version"
            )
            assert "No such command" not in help_text and "Usage:" in help_text or command[0].startswith("-"), line
            for option in (word for word in words if word.startswith("-")):
                assert re.search(rf"{option}\b", help_text), f"{line}: {option}"


def test_python_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(ROOT / "docs" / "soc-integration.md", "python")
    exec(compile(code, "soc-integration.md", "exec"), {"__name__": "guide"})
    count = int(capsys.readouterr().out.split()[0])
    assert count > 0 and (tmp_path / "words.bin").stat().st_size == 16 * count
    assert (tmp_path / "model.hyld").read_bytes().endswith((tmp_path / "words.bin").read_bytes())


@pytest.mark.parametrize("block", range(3))
def test_python_of_the_example_block_is_valid(block):
    code = blocks(ROOT / "docs" / "adding-a-block.md", "python")
    assert len(code) == 3
    compile(code[block], "adding-a-block.md", "exec")


def test_figures_are_of_a_checked_run():
    """The sample text is what the tokens say, and the table's shares are those of the counters."""
    from tokenizers import Tokenizer

    f = figures.load()
    tokenizer = Tokenizer.from_file(str(ROOT / "models" / f["model"] / "tokenizer.json"))
    demo = f["demo"]
    assert demo["golden_match"] is True and demo["backend"] == "rtl"
    assert tokenizer.decode(demo["tokens"]) == demo["text"] and tokenizer.decode(demo["prompt_tokens"]) == f["prompt"]
    assert demo["cycles"]["prefill"] + demo["cycles"]["decode"] == demo["cycles"]["total"]


def test_figures_are_those_of_the_records_they_come_from():
    assert figures.collect() == figures.FIGURES.read_text(), "run: python scripts/docs.py"


def test_a_synthesis_baseline_becomes_rows():
    part = {"lut": 1234, "mult18x18d": 16, "dp16kd": 40}
    design = {"banks": 4, "lanes": 1}
    path = {"from": "a", "to": "b", "levels": 7, "logic_ns": 4.21, "routing_ns": 9.87}
    found = figures.synthesis(
        "nested",
        {
            "design": design,
            "device": "LFE5U-85F",
            "tile": part,
            "pe": {"lut": 99},
            "fmax_mhz": 71.239,
            "placements": {"1": 58.04, "2": 71.239},
            "path": path,
        },
    )
    assert [value for _, value, *_ in found[:-1]] == ["1,234", "99", "16; 40", "71.2 MHz"]
    assert found[-1][1] == "7 levels of logic, 4.2 ns in it and 9.9 ns in wires" and "`a` to `b`" in found[-1][0]
    assert {label for *_, label, _ in found} <= set(figures.LABELS) and "(1: 58.0, 2: 71.2)" in found[-2][0]
    assert {command for *_, command in found} == {"python -m hayate.fpga.synth --formats nested"}


def test_only_checked_runs_become_figures(tmp_path):
    demo = figures.load()["demo"]
    result = tmp_path / "result.json"
    result.write_text(json.dumps(demo))
    assert json.loads(figures.collect(result, figures.load()["model"]))["demo"] == demo
    for change in ({"backend": "golden"}, {"golden_match": False}, {"golden_match": None}):
        result.write_text(json.dumps({**demo, **change}))
        with pytest.raises(SystemExit, match="not a checked run"):
            figures.collect(result, "py-nano")


def test_readme_has_no_figure_typed_by_hand():
    typed = docs.MARK.sub("", (ROOT / "README.md").read_text())
    assert re.findall(r"[\d.,]+\s*(?:cycles|MHz|kHz|LUT|nats|tokens/s|%|×|seconds|minutes)", typed) == []


@page
def test_nothing_is_left_to_be_filled_in(path):
    assert re.findall(r"\b(?:TODO|TBD|FIXME|XXX)\b", path.read_text()) == []
