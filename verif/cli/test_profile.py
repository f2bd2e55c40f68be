"""`hayate profile` from the command line, on either backend."""

import json

import pytest

SMALL = ("--config", "unit", "--tokens", "3", "--ignore-eos", "--precision", "int8", "--json", "r.json")


def rows(result):
    """Cycles of each tile, by stage and cause, of a result."""
    return [{tuple(r[k] for k in ("layer", "stage", "cause")): r["cycles"] for r in t["rows"]} for t in result["tiles"]]


def test_both_backends(builds, cli, tiny, work):
    """They tell the same of what the banks do, say which of them it is, and write the same kinds of slices."""
    found, traces = {}, {}
    for backend in ("rtl", "golden"):
        outcome = cli("profile", "ab", "--model", tiny, "--backend", backend, *SMALL, "--trace", "t.json")
        assert outcome.code == 0, outcome
        found[backend] = json.loads((work / "r.json").read_text())
        traces[backend] = {e["name"] for e in json.loads((work / "t.json").read_text())["traceEvents"]}
        assert "cycles a token" in outcome.out and "100.0" in outcome.out and "perfetto" in outcome.out
    rtl, golden = found["rtl"], found["golden"]
    assert (rtl["source"], golden["source"]) == ("simulated", "modelled")
    assert "(modelled)" in golden["sentences"][0] and "(simulated)" in rtl["sentences"][0]
    assert rtl["tokens"] == golden["tokens"] and rtl.keys() == golden.keys()
    assert golden["cycles"] == pytest.approx(rtl["cycles"], rel=0.01)
    for mine, theirs in zip(rows(golden), rows(rtl), strict=True):
        work_of = lambda tile: {key: n for key, n in tile.items() if key[2] in ("weight", "kv_read", "kv_write")}  # noqa: E731
        assert work_of(mine) == work_of(theirs)
    assert traces["golden"] == traces["rtl"]


def test_a_result_for_a_program(cli, tiny):
    """With JSON on standard output, text and tables are for people, on standard error."""
    outcome = cli("profile", "ab", "--model", tiny, "--backend", "golden", *SMALL[:-1], "-")
    result = json.loads(outcome.out)
    assert outcome.code == 0 and sum(r["cycles"] for r in result["tiles"][0]["rows"]) == result["tiles"][0]["cycles"]
    assert "percent of all tiles' cycles" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--tile", "2"), ["--tile", "2 is none of 2", "from 0 to 1"]),
        (("--backend", "rlt"), ["--backend", "rtl"]),
        (("--trace", "r.json"), ["r.json"]),
        (("--trace", "."), ["--trace", "is a folder"]),
        (("--set", "bank_depth=16"), ["bank_depth"]),
    ],
    ids=lambda value: value[0].strip("-") if isinstance(value, tuple) else "",
)
def test_refused(refused, tiny, arguments, parts):
    refused("profile", "ab", "--model", tiny, "--backend", "golden", *SMALL, *arguments, parts=parts)
