"""Where cycles went, from recordings of the chip: every counter again, by layer and stage; and the trace of it."""

import json

import pytest

from hayate.profile import perfetto, report
from hayate.profile.account import WORKING, spans
from hayate.profile.record import read
from hayate.profile.stages import BETWEEN, STAGES, instructions
from hayate.rtl.contract.activity import ACTIVITY, Phase
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import Counter
from hayate.rtl.contract.layout import ceil_div
from hayate.verif.system.checks import PROMPT, image

UNIT = load_config("unit")
CAUSES = [c for c in Counter if c <= Counter.IDLE]
SETTINGS = {
    "auto": {},
    "drafted": {"precision": "int8", "speculate": "ngram", "nodes": 2},
    "sampled": {"precision": "fp16", "temperature": 0.8, "seed": 3, "top_k": 5},
}


@pytest.fixture(params=SETTINGS)
def result(recall, request):
    return recall(False, UNIT, PROMPT, 4, False, activity=True, **SETTINGS[request.param])


@pytest.fixture
def fp16(recall):
    return recall(False, UNIT, PROMPT, 4, False, activity=True, precision="fp16")


@pytest.fixture
def names():
    return instructions(image(False), UNIT)


def test_every_counter_again(result, names):
    """The account of each tile sums to its counters, cause by cause, and knows all stages."""
    for tally, counters in zip(report.accounts(result.activity, names), result.counters, strict=True):
        found = dict.fromkeys(CAUSES, 0)
        for (_, _, cause), cycles in tally.items():
            found[cause] += cycles
        assert found == {c: counters[c.name.lower()] for c in CAUSES}
        assert {stage for _, stage, _ in tally} <= {*STAGES, BETWEEN}


def test_weights_belong_to_their_matrices(fp16, names):
    """Cycles with weights, by layer and stage, follow from rows and words of the matrices."""
    model = image(False).model
    hidden, ff, heads = model["hidden"], model["intermediate"], model["heads"] * model["head_dim"]
    both = heads + 2 * model["kv_heads"] * model["head_dim"]
    sizes = {"qkv": (both, hidden), "wo": (hidden, heads), "gate": (2 * ff, hidden), "down": (hidden, ff)}
    reads = [
        {
            (layer, stage): sum(n for (at, s, cause), n in tally.items() if (at, s, cause) == (layer, stage, 0))
            for layer in range(model["layers"])
            for stage in sizes
        }
        for tally in report.accounts(fp16.activity, names)
    ]
    for layer in range(model["layers"]):
        for stage, (rows, columns) in sizes.items():
            words = sum(tile[layer, stage] for tile in reads) * UNIT.banks
            assert words >= fp16.passes * rows * ceil_div(columns, 4)
            assert words < fp16.passes * (rows + UNIT.tiles * UNIT.banks * 4 * model["heads"]) * ceil_div(columns, 4)


def test_spans_leave_no_gap(result, names):
    """They follow one another through the generation, and belong to entries in the order of the program."""
    for tile in result.activity.tiles:
        found = spans(tile, names)
        assert all(a.stop == b.first for a, b in zip(found, found[1:]))
        at_work = [s.entry for s in found if s.entry is not None and s.cause in WORKING]
        assert at_work == sorted(at_work) and not any(names[tile.matrix[n].at].waits for n in at_work)


def test_the_conductor_s_phases(result):
    """Each pass is one; they cover the generation."""
    phases = result.activity.phases
    assert sum(phase == Phase.PASS for _, phase in phases) == result.passes + result.drafting.passes
    assert sum(report.phases(result.activity).values()) == result.cycles
    assert sum(kept for _, kept in result.activity.kept) == len(PROMPT) + len(result.tokens) - 1


def test_the_trace(result, names):
    """JSON whose slices of a track do not overlap, within the generation; flits are those that were recorded."""
    trace = json.loads(json.dumps(perfetto.events(result.activity, names)))
    tracks = {}
    for event in trace["traceEvents"]:
        if event["ph"] == "X":
            tracks.setdefault((event["pid"], event["tid"]), []).append(event)
    assert len(tracks) == 1 + 3 * UNIT.tiles
    for track in tracks.values():
        assert all(a["ts"] + a["dur"] <= b["ts"] for a, b in zip(track, track[1:]))
        assert track[0]["ts"] >= 0 and track[-1]["ts"] + track[-1]["dur"] <= result.cycles + UNIT.tiles * 4
    named = {event["name"] for track in tracks.values() for event in track}
    assert {"layer 1: GEMV wdown", "layer 0: softmax kcache", "DATA", "pass"} <= named


def test_sentences_and_tables(result, names):
    """Shares are those of the account; the tables end with 100 percent."""
    tiles = report.accounts(result.activity, names)
    said = report.sentences(tiles, result.activity, len(result.tokens), "simulated")
    weight = sum(tile["weight"] for tile in result.counters) / sum(map(lambda t: sum(t.values()), tiles))
    assert f"{100 * weight:.1f} %" in said[1]
    for table in (report.by_cause(tiles), report.by_layer(tiles[0], 0)):
        assert list(table.columns[-1].cells)[-1] == "100.0"
    rows = report.data(tiles, result.activity)["tiles"]
    assert [tile["cycles"] for tile in rows] == [sum(row["cycles"] for row in tile["rows"]) for tile in rows]


def word(**fields):
    return f"{ACTIVITY.pack(**fields):x}"


def test_a_recording_is_read_by_cycles(tmp_path):
    """What lasts counts in every cycle; a recording that ends in between says so."""
    lines = [
        "p 3 2",
        f"0 5 {word(counted=1, cause=7, queued=1, next=9, layer=2)}",
        f"0 6 {word(counted=1, cause=4, sent=1, kind=FlitKind.SYNC)}",
        f"0 9 {word(counted=1, cause=4, taken=1)}",
        f"0 10 {word(counted=0)}",
        "v 11 5",
    ]
    path = tmp_path / "activity"
    path.write_text("\n".join(lines) + "\n")
    found = read(path, 1)
    (tile,) = found.tiles
    assert tile.causes == [(5, 7), (6, 4), (10, None)] and tile.sent == [(6, 9, FlitKind.SYNC)]
    assert tile.matrix == [(8, 2, 5, 9)] and not tile.vector
    assert found.phases == [(3, Phase.PROMPT)] and found.kept == [(11, 2)]
    path.write_text("\n".join(lines[:3]) + "\n")
    with pytest.raises(AssertionError, match="1 entries were queued and 0 taken"):
        read(path, 1)
