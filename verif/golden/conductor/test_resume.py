"""A text that is resumed is the text: what was chosen stands behind the prompt, and nothing is decided on it."""

import numpy as np
import pytest

from hayate.golden.conductor.generate import generate
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.precision import MEASURED_POSITIONS
from hayate.verif.system.checks import LONG, formats, image

TOKENS = 6


@pytest.mark.parametrize("length", [1, 2, 5, MEASURED_POSITIONS - 1, MEASURED_POSITIONS, MEASURED_POSITIONS + 2])
def test_it_goes_on_as_it_was(length):
    """Whatever was the prompt's length, wherever the text was cut off, and however wide passes are afterwards."""
    ways = [
        {"speculate": "off"},
        {"speculate": "ngram", "temperature": 2.0, "seed": 7},
        {"speculate": "nested", "top_k": 5, "temperature": 1.0},
    ]
    mixed = set()
    for n, (cut, lanes) in enumerate([(1, 1), (3, 4), (5, 8)]):
        tied, how = bool((n + length) % 2), ways[n]
        whole = generate(image(tied), LONG[:length], TOKENS, lanes=2, **how)
        text = [*LONG[:length], *whole.tokens[:cut]]
        rest = generate(image(tied), text, TOKENS - cut, lanes=lanes, committed=cut, **how)
        assert rest.tokens == whole.tokens[cut:] and rest.precision == whole.precision
        for position in rest.logits.keys() & whole.logits.keys():
            np.testing.assert_array_equal(rest.logits[position], whole.logits[position])
        mixed.add(len(set(formats(whole).values())))
    assert max(mixed) > 1


def test_without_saying_so_decisions_may_be_others():
    """Which is what `committed` is for."""
    whole = generate(image(False), LONG[:2], TOKENS, lanes=2)
    rest = generate(image(False), [*LONG[:2], *whole.tokens[:4]], TOKENS - 4, lanes=2)
    assert rest.precision != whole.precision


@pytest.mark.parametrize("committed", [-1, 3, 4])
def test_a_text_without_a_prompt_is_refused(committed):
    with pytest.raises(HayateError, match="cannot be a text that is resumed"):
        generate(image(False), LONG[:3], TOKENS, lanes=2, committed=committed)
