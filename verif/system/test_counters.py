"""Hardware counters of whole generations against what the model, the prompt and the precision make necessary."""

import pytest

from hayate.backends.rtl import CAUSES
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.layout import ceil_div
from hayate.rtl.contract.precision import Format, measured_positions, stream_words
from hayate.verif.system.checks import COPIES, LONG, PROMPT, SETTINGS, formats, image

UNIT = load_config("unit")
#: Cycles from START to BEGIN's departure and from FINISH's departure to DONE, which no tile counts.
OFFSET = 1


@pytest.fixture
def result(recall):
    """A generation whose logits are all computed."""
    return recall(False, UNIT, PROMPT, 4, True)


def plan(prompt, tokens, lanes, all_logits, measured):
    """(KV slots in use, logits wanted, whether it measures) of every pass; `measured` positions of the prompt are."""
    steps = [
        (end, all_logits or end in (prompt, measured), end <= measured)
        for end in (min(at + lanes, prompt) for at in range(0, prompt, lanes))
    ]
    return steps + [(prompt + n, True, False) for n in range(1, tokens)]


def useful(model, group, steps, best, decided):
    """(weight words, KV words) that the passes need: unpadded rows and columns, each once a pass; whole words along a
    row.

    group: of the integer formats' scales. best, decided: matrix -> `Format` in passes that measure, and in the others.
    Where the governor measures, the integer words that it reads beside FP16 ones are not needed.
    """
    hidden, heads, kv_heads, ff = (model[k] for k in ("hidden", "heads", "kv_heads", "intermediate"))
    head_dim, layers = model["head_dim"], model["layers"]
    shapes = {
        "wq": (heads * head_dim, hidden),
        "wk": (kv_heads * head_dim, hidden),
        "wv": (kv_heads * head_dim, hidden),
        "wo": (hidden, heads * head_dim),
        "wgu": (2 * ff, hidden),
        "wdown": (hidden, ff),
    }
    shapes = {f"layers.{layer}.{name}": shape for layer in range(layers) for name, shape in shapes.items()}
    shapes["emb" if model["tied"] else "head"] = model["vocab"], hidden
    weights = kv = 0
    for slots, wanted, measures in steps:
        weights += sum(
            rows * stream_words(columns, group, (best if measures else decided)[name])
            for name, (rows, columns) in shapes.items()
            if wanted or name.startswith("layers")
        )
        kv += layers * kv_heads * (slots * ceil_div(head_dim, 4) + head_dim * ceil_div(slots, 4))
    return weights, kv


def expected(result, model, group, length, tokens, all_logits, fixed):
    """`useful` of a generation with `length` tokens of prompt; fixed: it measured nothing."""
    decided = {name: Format[fmt.upper()] for name, fmt in formats(result).items()}
    best = {d.name: Format.FP16 if d.tensor else Format.INT8 for d in model.descriptors if d.name in decided}
    steps = plan(length, tokens, UNIT.lanes, all_logits, 0 if fixed else measured_positions(length))
    return useful(model.model, group, steps, best, decided)


def counted(result):
    return tuple(sum(tile[name] for tile in result.counters) for name in ("useful_weight", "useful_kv"))


def test_every_cycle_has_a_cause(result):
    """Each tile attributes the same number of cycles, all but the few before BEGIN and after FINISH."""
    totals = {sum(tile[cause] for cause in CAUSES) for tile in result.counters}
    assert totals == {result.counted} and len(result.counters) == UNIT.tiles
    assert result.cycles - result.counted == OFFSET
    assert sum(result.cycle_report()["causes"].values()) == UNIT.tiles * result.counted


@pytest.mark.parametrize(
    ("tied", "length", "all_logits"),
    [(False, 7, True), (True, 7, True), (False, 6, False), (False, 1, False), (False, 8, False), (True, 11, False)],
)
def test_useful_words_equal_the_plan(recall, tied, length, all_logits):
    r = recall(tied, UNIT, LONG[:length], 4, all_logits)
    assert len(set(formats(r).values())) > 1
    assert counted(r) == expected(r, image(tied), COPIES["both"]["group"], length, 4, all_logits, fixed=False)
    assert r.utilization == sum(counted(r)) / (r.counted * UNIT.tiles * UNIT.banks)


@pytest.mark.parametrize("setting", [name for name in SETTINGS if name != "auto"])
def test_useful_words_of_every_setting(recall, setting):
    """Scales count, the padding of a row's last words does not; neither do padded rows of a machine that the model does
    not fill.
    """
    copies, options = SETTINGS[setting]
    r = recall(False, UNIT, PROMPT[:3], 3, False, copies, **options)
    group = COPIES[copies].get("group", 32)
    assert counted(r) == expected(r, image(False, copies=copies), group, 3, 3, False, fixed="precision" in options)


def test_the_governor_takes_a_part_of_the_cycles(recall):
    """Of those that tiles count as idle; none where it measures nothing."""
    settings = {name: SETTINGS[name] for name in ("odd", "int8", "fp16 alone")}
    runs = {
        name: recall(False, UNIT, PROMPT[:3], 3, False, copies, **options)
        for name, (copies, options) in settings.items()
    }
    assert 0 < runs["odd"].governor < min(tile["idle"] for tile in runs["odd"].counters)
    assert runs["int8"].governor == runs["fp16 alone"].governor == 0


def test_words_streamed_cover_the_useful_ones(result):
    """A streaming cycle reads at most a word per bank, so useful words never exceed the cycles' room."""
    for tile in result.counters:
        assert 0 < tile["useful_weight"] <= tile["weight"] * UNIT.banks
        assert 0 < tile["useful_kv"] <= tile["kv_read"] * UNIT.banks


def test_every_cause_of_work_occurs(result):
    for tile in result.counters:
        assert [
            name for name in ("weight", "kv_read", "kv_write", "fetch", "wait_ring", "issue", "idle") if not tile[name]
        ] == []


def test_nothing_went_wrong(result):
    assert not result.fault
    assert all(
        tile[name] == 0 for tile in result.counters for name in ("saturated", "ecc_corrected", "ecc_fatal", "parity")
    )
