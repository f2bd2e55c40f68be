"""`hayate bench layer` on a layer that is small, and what the guide says of the large one."""

import json
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.nightly
def test_bench_layer(builds, cli, work):
    outcome = cli(
        "bench", "layer", "--shape", "tiny", "--context", "61", "--precision", "fp16,int8,int4", "--json", "l.json"
    )
    assert outcome.code == 0, outcome.err
    result = json.loads((work / "l.json").read_text())
    kinds = {"ratio_tiny", "ratio_tiny_alone", "cycles", "causes", "alone", "utilization", "utilization_alone"}
    assert set(result) == {*kinds, "int8", "int4", "setup"} and set(result["int8"]) == set(result["int4"]) == kinds
    for rows in (result, result["int8"], result["int4"]):
        cycles = rows["cycles"]
        assert rows["ratio_tiny"] == {n: round(cycles[n] / cycles["1"], 4) for n in "1234"}
        assert cycles["1"] < cycles["2"] < cycles["3"] < cycles["4"]
        alone = rows["alone"]
        assert rows["ratio_tiny_alone"] == {n: round(alone[n] / alone["1"], 4) for n in "1234"}
        assert 0 < alone["1"] < alone["4"] and all(alone[n] < cycles[n] for n in "1234")
        assert {n: row["weight"] for n, row in rows["causes"].items()} == dict.fromkeys(
            "1234", rows["causes"]["1"]["weight"]
        )
        useful = {n: row["useful_weight"] + row["useful_kv"] for n, row in rows["causes"].items()}
        assert rows["utilization"] == {n: round(useful[n] / (4 * cycles[n]), 4) for n in "1234"}
        # the second layer is better used than a pass, with its embedding and output
        assert all(rows["utilization"][n] < rows["utilization_alone"][n] < 1 for n in "1234")
    assert result["int4"]["alone"]["1"] < result["int8"]["alone"]["1"] < result["alone"]["1"]


@pytest.mark.parametrize(
    "options, parts",
    [
        (["--shape", "llama"], ["--shape", "'llama' is not known", "llama-3-70b"]),
        (["--precision", "int2"], ["--precision", "'int2' is not known", "fp16,int8,int4"]),
        (["--context", "3"], ["--context", "3 positions, and a pass has up to 4", "use 256"]),
        (["--json", "nowhere/"], ["--json"]),
    ],
)
def test_bench_layer_refuses(options, parts, refused, work):
    (work / "nowhere").mkdir()
    refused("bench", "layer", *options, parts=parts)


def test_the_guide_quotes_what_was_measured():
    """And a pass with four positions costs at most 5 % more than one with one."""
    guide, found = (DOCS / "speculation.md").read_text(), json.loads((DOCS / "layer.json").read_text())
    assert (found["setup"]["shape"], found["setup"]["context"]) == ("llama-3-70b", 256)
    for n in "1234":
        cells = [f"{rows['cycles'][n]:,} | {rows['ratio_70b'][n]:.4f}" for rows in (found, found["int8"])]
        cells.append(f"{found['int8']['alone'][n]:,} | {found['int8']['ratio_70b_alone'][n]:.4f}")
        assert f"| {n} | {' | '.join(cells)} |" in guide
    assert all(
        ratio <= 1.05 for ratios in (found["ratio_70b"], found["int8"]["ratio_70b_alone"]) for ratio in ratios.values()
    )
