"""Hardware counters of whole generations against what the model and the prompt make necessary."""

import pytest

from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.layout import ceil_div
from hayate.rtl_backend import CAUSES
from hayate.verif.system.checks import PROMPT, image

UNIT = load_config("unit")
#: Cycles from START to BEGIN's departure and from FINISH's departure to DONE, which no tile counts.
OFFSET = 1


@pytest.fixture
def result(recall):
    """A generation whose logits are all computed."""
    return recall(False, UNIT, PROMPT, 4, True)


def plan(prompt, tokens, lanes, all_logits):
    """(KV slots in use, logits wanted) of every pass."""
    steps = [(min(at + lanes, prompt), all_logits or at + lanes >= prompt) for at in range(0, prompt, lanes)]
    return steps + [(prompt + n, True) for n in range(1, tokens)]


def useful(model, steps):
    """(weight words, KV words) that the passes need: unpadded rows and columns, each once a pass; whole words along a row."""
    hidden, heads, kv_heads, ff = (model[k] for k in ("hidden", "heads", "kv_heads", "intermediate"))
    head_dim, layers = model["head_dim"], model["layers"]
    shapes = [(heads * head_dim, hidden), (kv_heads * head_dim, hidden), (kv_heads * head_dim, hidden), (hidden, heads * head_dim),
              (2 * ff, hidden), (hidden, ff)]
    layer = sum(rows * ceil_div(columns, 4) for rows, columns in shapes)
    head = model["vocab"] * ceil_div(hidden, 4)
    weights = sum(layers * layer + head * wanted for _, wanted in steps)
    kv = sum(layers * kv_heads * (slots * ceil_div(head_dim, 4) + head_dim * ceil_div(slots, 4)) for slots, _ in steps)
    return weights, kv


def test_every_cycle_has_a_cause(result):
    """Each tile attributes the same number of cycles, all but the few before BEGIN and after FINISH."""
    totals = {sum(tile[cause] for cause in CAUSES) for tile in result.counters}
    assert totals == {result.counted} and len(result.counters) == UNIT.tiles
    assert result.cycles - result.counted == OFFSET
    assert sum(result.cycle_report()["causes"].values()) == UNIT.tiles * result.counted


@pytest.mark.parametrize(("tied", "length", "all_logits"), [(False, 7, True), (True, 7, True), (False, 6, False), (False, 1, False)])
def test_useful_words_equal_the_plan(recall, tied, length, all_logits):
    r = recall(tied, UNIT, PROMPT[:length], 4, all_logits)
    expected = useful(image(tied).model, plan(length, 4, UNIT.lanes, all_logits))
    assert tuple(sum(tile[name] for tile in r.counters) for name in ("useful_weight", "useful_kv")) == expected
    assert r.utilization == sum(expected) / (r.counted * UNIT.tiles * UNIT.banks)


def test_words_streamed_cover_the_useful_ones(result):
    """A streaming cycle reads at most a word per bank, so useful words never exceed the cycles' room."""
    for tile in result.counters:
        assert 0 < tile["useful_weight"] <= tile["weight"] * UNIT.banks
        assert 0 < tile["useful_kv"] <= tile["kv_read"] * UNIT.banks


def test_every_cause_of_work_occurs(result):
    for tile in result.counters:
        assert [name for name in ("weight", "kv_read", "kv_write", "fetch", "wait_ring", "issue", "idle") if not tile[name]] == []


def test_nothing_went_wrong(result):
    assert not result.fault
    assert all(tile[name] == 0 for tile in result.counters for name in ("saturated", "ecc_corrected", "ecc_fatal", "parity"))
