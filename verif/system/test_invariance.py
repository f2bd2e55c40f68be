"""The product's promise: tokens, logits, energies and decisions are bit-identical whatever the number of tiles and
banks and the width of a pass, in every precision.
"""

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest

from hayate.golden.conductor.compare import matches
from hayate.rtl.contract.config import MAX_LANES, load_config
from hayate.rtl.contract.precision import MEASURED_POSITIONS
from hayate.verif.system.checks import COPIES, LONG, MIXED, PROMPT, SETTINGS, difference, formats, golden, image
from hayate.verif.system.unchanged import entry, machine_key, recorded

AXES = {"tiles": (1, 2, 4), "lanes": (1, 2, 4), "banks": (2, 4)}
#: Each pair of values of two axes occurs.
COVER = [(1, 1, 2), (1, 2, 4), (1, 4, 2), (2, 1, 4), (2, 2, 2), (2, 4, 4), (4, 1, 2), (4, 2, 4), (4, 4, 4)]
#: Beyond the cross: tiles that share KV heads unevenly, the fewest banks, and banks that most matrices leave empty.
MORE = [(3, 2, 2), (3, 4, 4), (2, 2, 1), (1, 4, 1), (2, 2, 8), (4, 1, 8)]
OTHERS = [name for name in SETTINGS if name != "auto"]
MEASURING = ("auto", "auto, low quality", "planes, auto", "odd")


def turn(index):
    """(tied, setting) of the runs on the machine `index` of `COVER`: the governor, on both models in turn, and two
    other settings.
    """
    pairs = [*product((False, True), OTHERS)]
    return [(bool(index % 2), "auto"), *(pairs[(2 * index + n) % len(pairs)] for n in range(2))]


def config(tiles, lanes, banks):
    """A machine as small as its sizes allow, of a tile that those with as many lanes and banks share. The largest ones
    have that of the preset `demo`, and one is `unit`.
    """
    if (lanes, banks) == COVER[-1][1:]:
        return load_config("demo", [f"tiles={tiles}"])
    # One bank alone must hold the whole model, and two of them a draft model beside it.
    depth = 4096 if (tiles, lanes, banks) == (2, 2, 2) else {1: 16384, 2: 8192}.get(banks, 4096)
    return load_config("unit", [f"tiles={tiles}", f"lanes={lanes}", f"banks={banks}", f"bank_depth={depth}"])


def check(run, machine, tied, setting, prompt=PROMPT, all_logits=True):
    """Several prefill passes, the last one partial for every M above 1, and decoding. Returns what the chip gave."""
    copies, options = SETTINGS[setting]
    reference = golden(tied, copies=copies, prompt=prompt, all_logits=all_logits, **options)
    result = run(image(tied, copies=copies), config(*machine), prompt, all_logits=all_logits, **options)
    assert difference(result, reference) == "", f"{setting}, tied: {tied}, {len(prompt)} tokens of prompt"
    return result


def test_the_covering_array_covers():
    for one, two in combinations(range(3), 2):
        values = list(AXES.values())
        assert {(c[one], c[two]) for c in COVER} == set(product(values[one], values[two]))
    assert {pair for i in range(len(COVER)) for pair in turn(i)} == set(product((False, True), SETTINGS))


@pytest.mark.parametrize("tied", [True, False])
def test_the_settings_tell(tied):
    """Decisions are mixed where they should be, and each setting has logits of its own."""
    runs = {name: golden(tied, copies=copies, **options) for name, (copies, options) in SETTINGS.items()}
    assert [name for name in MIXED if len(set(formats(runs[name]).values())) < 2] == []
    assert set(formats(runs["auto"]).values()) == {"fp16", "int8", "int4"}
    assert set(formats(runs["fp16 alone"]).values()) == {"fp16"} and runs["fp16 alone"].tokens == runs["fp16"].tokens
    last = {name: r.logits[max(r.logits)].tobytes() for name, r in runs.items() if name != "fp16 alone"}
    assert len(set(last.values())) == len(last)
    assert tied or sum(len(set(r.tokens)) > 3 for r in runs.values()) > 5, "models that repeat themselves show little"


def test_energies_saturate_where_the_odd_image_says_so():
    """A grid finer by 6 bits makes energies 4,096 times larger, unless their terms no longer fit 16 bits."""
    plain, odd = (golden(False, copies=copies).precision["layers.1.wq"]["out"] for copies in ("both", "odd"))
    assert 10 * plain < odd < 2000 * plain


@pytest.mark.parametrize(("lanes", "banks"), dict.fromkeys(machine[1:] for machine in COVER))
def test_pairwise(run, lanes, banks):
    """Machines of one tile, which is built once. Cycles, too, are those on record."""
    for tiles in (machine[0] for machine in COVER if machine[1:] == (lanes, banks)):
        for tied, setting in turn(COVER.index((tiles, lanes, banks))):
            result = check(run, (tiles, lanes, banks), tied, setting)
            assert entry(result) == recorded()["machines"][machine_key(tiles, lanes, banks, tied, setting)]


@pytest.mark.parametrize("machine", [(1, 1, 2), (1, 2, 4), (1, 4, 2)], ids=str)
def test_the_first_positions_decide(run, machine):
    """For passes of every width: the rest of a prompt changes neither energies nor decisions, and is read as they say,
    with logits of the position that counts and of the last one alone.
    """
    assert MEASURED_POSITIONS % MAX_LANES == 0
    first = golden(False, prompt=LONG[:MEASURED_POSITIONS])
    result = check(run, machine, False, "auto", LONG, all_logits=False)
    assert result.precision == first.precision != golden(False).precision
    assert sorted(result.logits)[:2] == [MEASURED_POSITIONS - 1, len(LONG) - 1]
    assert len(set(formats(result).values())) > 1


@pytest.mark.nightly
@pytest.mark.parametrize(("tiles", "lanes", "banks"), [*product(*AXES.values()), *MORE, (1, 8, 2)])
def test_full_cross(run, tiles, lanes, banks):
    machine = tiles, lanes, banks
    for tied, setting in product((True, False), SETTINGS):
        check(run, machine, tied, setting)
    for tied, setting in product((True, False), MEASURING):
        check(run, machine, tied, setting, LONG)
    for length, all_logits in product(range(MEASURED_POSITIONS, len(LONG)), (False, True)):
        check(run, machine, False, "auto", LONG[:length], all_logits)


@pytest.mark.nightly
@pytest.mark.parametrize("copies", COPIES)
def test_every_quality(run, copies):
    """From blanket INT4 to the best copy of everything: prompts that differ, so that decisions near the threshold
    occur.
    """
    for n, quality in enumerate((1e-6, 0.2, 0.3, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1)):
        prompt = tuple(np.random.default_rng(n).integers(0, 50, 1 + n).tolist())
        for tied in (True, False):
            reference = golden(tied, copies=copies, prompt=prompt, tokens=3, quality=quality)
            assert (
                difference(run(image(tied, copies=copies), config(2, 2, 2), prompt, 3, quality=quality), reference)
                == ""
            )


def test_a_difference_is_seen():
    """A bit of a logit, a token, a position, an energy, a format: each is a difference, to these tests and to the
    command line.
    """
    reference = golden(False)
    assert difference(reference, reference) == "" and matches(reference, reference)

    def other(
        tokens=reference.tokens, logits=reference.logits, precision=reference.precision, drafting=reference.drafting
    ):
        return type(reference)(
            prompt=reference.prompt,
            tokens=list(tokens),
            logits=dict(logits),
            precision=dict(precision),
            drafting=drafting,
        )

    def row(**changes):
        return {**reference.precision, "head": {**reference.precision["head"], **changes}}

    flipped = reference.logits[3].copy()
    flipped.view(np.uint32)[17] ^= 1
    zero = {**reference.logits, 3: np.zeros_like(flipped)}
    for changed, text in [
        (other(logits={**reference.logits, 3: flipped}), "position 3: 1 logits differ; token 17"),
        (other(tokens=[*reference.tokens[:-1], 0]), "tokens"),
        (other(logits={p: row for p, row in reference.logits.items() if p != 5}), "logits of positions"),
        (other(precision=row(err=reference.precision["head"]["err"] ^ 1)), "matrix head"),
        (other(precision=row(format="bf16")), "matrix head"),
        (other(precision={}), "precision of matrices []"),
        (other(drafting=replace(reference.drafting, proposed=1)), "Drafting(proposed=1"),
    ]:
        assert difference(changed, reference).startswith(text) and not matches(changed, reference)
    assert "50 logits differ" in difference(other(logits={**zero, 3: -zero[3]}), other(logits=zero)), (
        "the sign of a zero is a bit too"
    )
