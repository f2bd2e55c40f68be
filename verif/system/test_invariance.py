"""The product's promise: tokens and logits are bit-identical whatever the number of tiles and banks and the width of a pass."""

from itertools import combinations, product

import numpy as np
import pytest

from hayate.generate import matches
from hayate.rtl.contract.config import load_config
from hayate.verif.system.checks import difference, golden, image

AXES = {"tiles": (1, 2, 4), "lanes": (1, 2, 4), "banks": (2, 4)}
#: Each pair of values of two axes occurs.
COVER = [(1, 1, 2), (1, 2, 4), (1, 4, 2), (2, 1, 4), (2, 2, 2), (2, 4, 4), (4, 1, 2), (4, 2, 4), (4, 4, 2)]
#: Beyond the cross: tiles that share KV heads unevenly, the fewest banks, and banks that most matrices leave empty.
MORE = [(3, 2, 2), (3, 4, 4), (2, 2, 1), (1, 4, 1), (2, 2, 8), (4, 1, 8)]


def config(tiles, lanes, banks):
    depth = max(4096, 8192 // (tiles * banks))  # one bank alone must hold the whole model
    return load_config("unit", [f"tiles={tiles}", f"lanes={lanes}", f"banks={banks}", f"bank_depth={depth}"])


def check(run, tiles, lanes, banks):
    """Several prefill passes, the last one partial for every M above 1, and decoding, with both kinds of head."""
    for tied in (True, False):
        reference = golden(tied)
        assert difference(run(image(tied), config(tiles, lanes, banks)), reference) == ""
    assert len(set(reference.tokens)) > 3, "a model that repeats itself shows little"


def test_the_covering_array_covers():
    for one, two in combinations(range(3), 2):
        values = list(AXES.values())
        assert {(c[one], c[two]) for c in COVER} == set(product(values[one], values[two]))


@pytest.mark.parametrize(("tiles", "lanes", "banks"), COVER)
def test_pairwise(run, tiles, lanes, banks):
    check(run, tiles, lanes, banks)


@pytest.mark.nightly
@pytest.mark.parametrize(("tiles", "lanes", "banks"), [*product(*AXES.values()), *MORE])
def test_full_cross(run, tiles, lanes, banks):
    check(run, tiles, lanes, banks)


def test_a_difference_is_seen():
    """One bit of one logit, a token, a position: each of them is a difference, to these tests and to the command line."""
    reference = golden(False)
    assert difference(reference, reference) == "" and matches(reference, reference)

    def other(tokens=reference.tokens, logits=reference.logits):
        return type(reference)(prompt=reference.prompt, tokens=list(tokens), logits=dict(logits))

    flipped = reference.logits[3].copy()
    flipped.view(np.uint32)[17] ^= 1
    zero = {**reference.logits, 3: np.zeros_like(flipped)}
    for changed, text in [
        (other(logits={**reference.logits, 3: flipped}), "position 3: 1 logits differ; token 17"),
        (other(tokens=[*reference.tokens[:-1], 0]), "tokens"),
        (other(logits={p: row for p, row in reference.logits.items() if p != 5}), "logits of positions"),
    ]:
        assert difference(changed, reference).startswith(text) and not matches(changed, reference)
    assert "50 logits differ" in difference(other(logits={**zero, 3: -zero[3]}), other(logits=zero)), "the sign of a zero is a bit too"
