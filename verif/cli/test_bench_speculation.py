"""The shipped prompts, and `hayate bench speculation` and `hayate bench verify` on a small model."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from statistics import mean

import pytest

from hayate import models, prompts
from hayate.backends.rtl import RtlResult
from hayate.bench import verify as bench_verify
from hayate.bench.speculation import DRAFTERS, loops, scores
from hayate.bench.verify import passes, ratios
from hayate.golden.conductor.draft import Drafting
from hayate.rtl.contract.errors import HayateError
from hayate.scripts import prompts as drawing
from hayate.scripts import speculation_picture

ROOT = Path(__file__).resolve().parents[2]


def test_the_prompts_are_what_the_script_writes():
    assert prompts.PROMPTS.read_bytes() == drawing.text().encode()


def test_the_prompts_follow_the_rule():
    content = json.loads(prompts.PROMPTS.read_text())
    found = content["prompts"]
    source = drawing.heldout()
    assert len(found) == len(set(found)) == prompts.COUNT and content["sha256"] == drawing.digest(source)
    tokens = models.Text(models.load("py-nano")).encode
    at = -1
    for prompt in found:
        assert prompt.endswith(":") and 1 <= len(tokens(prompt)) <= drawing.LIMIT
        at = source.index(f"{prompt}\n", at + 1)  # in the order of the text
        assert at == 0 or source[at - 1] == "\n"


def test_few_prompts_are_spread_over_all():
    everything = prompts.load()
    assert (
        prompts.load(1) == everything[:1]
        and prompts.load(16) == everything[::2]
        and prompts.load(5)[4] == everything[25]
    )
    for count in (0, prompts.COUNT + 1):
        with pytest.raises(HayateError, match=f"--prompts: {count} is not between 1 and 32"):
            prompts.load(count)


def test_a_text_without_colons_gives_no_prompts():
    with pytest.raises(ValueError, match="0 lines end in a colon, 311 are needed"):
        drawing.draw("one\ntwo\n", len)
    lines = [f"{n}:" for n in range(400)]
    lines[10] = "x" * 40 + ":"  # too long, so the one behind it is the tenth
    found = drawing.draw("\n".join(lines), len)
    assert found[0] == "0:" and found[1] == "11:" and all(len(p) <= 32 for p in found)


def row(cycles, passes, loops, **more):
    return {
        "cycles": cycles,
        "tokens": 12,
        "passes": passes,
        "proposed": 9,
        "accepted": 12 - passes,
        "sibling_commits": 1,
        "draft_passes": 0,
        "turnaround": passes,
        "lengths": [passes, 0],
        "loops": loops,
        **more,
    }


def test_scores_are_sums_over_the_prompts():
    found = scores(
        [
            {"off": row(1000, 12, True), "ngram": row(400, 4, True)},
            {"off": row(1200, 12, False), "ngram": row(1000, 8, False)},
        ]
    )
    assert found["off"]["tokens_per_pass"] == found["off"]["speedup"] == 1
    s = found["ngram"]
    assert (s["tokens_per_pass"], s["speedup"]) == (2.0, round(2200 / 1400, 4))
    assert (s["proposed"], s["accepted"], s["sibling_commits"]) == (18, 12, 2)
    assert s["looping"] == {"prompts": 1, "tokens_per_pass": 3.0, "speedup": 2.5}
    assert s["other"] == {"prompts": 1, "tokens_per_pass": 1.5, "speedup": 1.2}
    assert s["turnaround"] == 8 and s["speedups"] == [2.5, 1.2] and s["accepted_lengths"] == [12, 0]
    assert scores([{"off": row(10, 12, True)}])["off"]["other"] == {"prompts": 0}


@pytest.mark.parametrize(
    "tokens, expected",
    [
        ([5] * 8, True),
        ([5] * 7, False),
        ([1, 2, 3, 4] + [7] * 8, True),
        ([7] * 8 + [1], False),
        ([1, 2] * 4, True),
        ([9, 1, 2, 3] * 3, True),
        ([1, 2, 3, 4, 5] * 2, False),
        (list(range(24)), False),
        ([], False),
    ],
)
def test_loops(tokens, expected):
    assert loops(tokens) is expected


def test_passes_are_found_in_the_cycles_of_the_tokens():
    result = RtlResult(
        token_cycles=[900, 1900, 1901, 1902, 2950, 4000, 4001], drafting=Drafting(lengths={2: 1, 0: 1, 1: 1})
    )
    found = passes(result, 10)
    assert found == [(10, 3, 1000), (13, 1, 1050), (14, 2, 1050)]
    single = [(10 + i, 1, 800 + i) for i in range(6)]
    assert ratios({1: single, 3: found}) == {"1": 1.0, "3": 1.25}
    with pytest.raises(HayateError, match="no pass was filled with 4 positions"):
        ratios({1: single, 4: found})
    with pytest.raises(AssertionError, match="the chip accepted"):
        passes(RtlResult(token_cycles=[900, 1900], drafting=Drafting(lengths={2: 1})), 10)


@pytest.mark.nightly
def test_bench_speculation(builds, cli, tiny, work, monkeypatch):
    monkeypatch.setattr(prompts, "load", lambda count: ["abab:"][:count])
    outcome = cli(
        "bench",
        "speculation",
        "--model",
        tiny,
        "--draft",
        tiny,
        "--config",
        "unit",
        "--prompts",
        "1",
        "--tokens",
        "12",
        "--jobs",
        "1",
        "--precision",
        "fp16,int8",
        "--temperature",
        "0,0.8",
        "--no-draft-control",
        "--json",
        "s.json",
    )
    assert outcome.code == 0, outcome.err
    result = json.loads((work / "s.json").read_text())
    assert set(result) == {"setup", "int8", "t0.8", "int8_t0.8", *DRAFTERS} and set(result["int8"]) == set(
        result["t0.8"]
    ) == set(DRAFTERS)
    for part in (result, result["int8"], result["int8_t0.8"]):
        assert part["off"]["tokens_per_pass"] == part["off"]["speedup"] == 1 and part["off"]["proposed"] == 0
        for name in DRAFTERS:
            s = part[name]
            assert {"tokens_per_pass", "speedup", "proposed", "accepted", "sibling_commits"} < set(s)
            assert s["accepted"] == sum(n * count for n, count in enumerate(s["accepted_lengths"])) <= s["proposed"]
            assert s["looping"]["prompts"] + s["other"]["prompts"] == len(s["speedups"]) == 1
            assert s["speedup"] == round(part["off"]["cycles"] / s["cycles"], 4)
        assert part["nested"]["draft_passes"] == part["nested"]["proposed"] > 0
        assert part["draft"]["draft_passes"] > part["draft"]["proposed"] > 0
    assert "2 of 4: int8, speed-up ngram" in outcome.out and "4 of 4: int8, T = 0.8, speed-up ngram" in outcome.out


@pytest.mark.nightly
def test_bench_verify(builds, cli, tiny, work, monkeypatch):
    monkeypatch.setattr(bench_verify, "TEXT", "abab")
    outcome = cli(
        "bench",
        "verify",
        "--model",
        tiny,
        "--config",
        "unit",
        "--tokens",
        "32",
        "--precision",
        "int4",
        "--json",
        "v.json",
    )
    assert outcome.code == 0, outcome.err
    result = json.loads((work / "v.json").read_text())
    assert set(result) == {"ratio_demo", "passes", "setup"} and set(result["ratio_demo"]) == set(result["passes"]) == {
        "1",
        "2",
    }
    single, double = dict(result["passes"]["1"]), dict(result["passes"]["2"])
    assert result["ratio_demo"]["2"] == round(sum(double.values()) / sum(single[at] for at in double), 4)
    assert result["ratio_demo"]["1"] == 1 < result["ratio_demo"]["2"] < 2


REFUSED = {
    "prompts": (["speculation", "--prompts", "33"], ["--prompts", "33 is not between 1 and 32"]),
    "tokens": (["speculation", "--tokens", "7"], ["--tokens", "7 is not at least 8"]),
    "jobs": (["speculation", "--jobs", "0"], ["--jobs", "0 is not at least 1"]),
    "precision": (["speculation", "--precision", "fp16,fp8"], ["--precision", "'fp16,fp8' is no list of precisions"]),
    "precision twice": (["speculation", "--precision", "fp16,fp16"], ["--precision", "is no list of precisions"]),
    "temperature": (["speculation", "--temperature", "0,hot"], ["--temperature", "'0,hot' is no list of numbers"]),
    "temperature below 0": (["speculation", "--temperature", "-1"], ["--temperature", "-1 is no temperature"]),
    "drafter": (
        ["speculation", "--drafter", "ngram,off"],
        ["--drafter", "'ngram,off' is no list of drafters", "ngram_tree"],
    ),
    "too long": (["speculation", "--tokens", "40"], ["prompt", "exceed the context of 48"]),
    "draft": (["speculation", "--draft", "py-pico"], ["--draft py-pico", "tokenizer", "has 512 tokens, tiny 64"]),
    "verify: precision": (["verify", "--precision", "auto"], ["--precision", "'auto' is not known"]),
    "verify: too long": (["verify", "--tokens", "40"], ["prompt", "exceed the context of 48"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, refused, tiny):
    (command, *options), parts = REFUSED[case]
    draft = ["--draft", tiny] if command == "speculation" and "--draft" not in options else []
    refused("bench", command, "--model", tiny, *draft, "--json", "r.json", *options, parts=parts)


def test_the_guide_quotes_what_was_measured():
    guide = (ROOT / "docs" / "speculation.md").read_text()
    found = json.loads((ROOT / "docs" / "verify.json").read_text())
    for n, ratio in found["ratio_demo"].items():
        cycles = mean(cycles for _, cycles in found["passes"][n])
        assert f"\n| {n} | {cycles:,.0f} | {ratio:.3f} |\n" in guide
    for file in (speculation_picture.FOUND, speculation_picture.NGRAM, speculation_picture.WIDE):
        for part in speculation_picture.panels(json.loads(file.read_text())).values():
            assert speculation_picture.text(part) in guide


def test_the_picture_shows_what_was_measured():
    picture = ElementTree.parse(speculation_picture.PICTURE)
    described = picture.find("{http://www.w3.org/2000/svg}desc").text
    assert described == speculation_picture.describe(json.loads(speculation_picture.FOUND.read_text()))
