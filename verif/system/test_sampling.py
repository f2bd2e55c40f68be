"""Sampled generations on the chip: those of golden, bit for bit, with and without drafts and filters; and machines that
are built without noise.
"""

import re

import numpy as np
import pytest

from hayate.golden.conductor.generate import generate
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.errors import HayateError
from hayate.verif.system.checks import PROMPT, difference, golden, image
from hayate.verif.system.test_formats import CONFIGS
from hayate.verif.system.test_invariance import AXES, COVER, config
from hayate.verif.system.test_speculation import PROMPTS, TOKENS, WIDE, check, name

#: Of the machines, with who drafts for them: a tile alone, and more than one position a pass.
TURNS = {(1, 1, 2): ("off",), (2, 2, 2): ("off", "nested"), (4, 4, 4): ("ngram", "nested")}
#: (tied, temperature, seed): one that the small models take for cold, and one at which they wander.
HEATS = [(False, 0.8, 1), (True, 4.0, 0xFEDCBA9876543210), (True, 0.8, 7), (False, 2.0, (1 << 64) - 1)]


@pytest.mark.parametrize("machine", TURNS, ids=name)
def test_equals_golden(run, machine):
    assert machine in COVER
    for n, speculate in enumerate(TURNS[machine]):
        for tied, temperature, seed in HEATS[len(TURNS) - 1 + n :][:1]:
            result = check(
                run,
                machine,
                tied,
                ("auto", "int8")[n],
                PROMPTS[n],
                speculate,
                None,
                None,
                speculate == "nested",
                temperature=temperature,
                seed=seed,
            )
            assert speculate == "off" or result.drafting.proposed > 0
            assert tied or len(set(result.tokens)) > 5


#: Of the machines, with (who drafts, tied, temperature, min-p, top-k): a filter alone, both, and more tokens than there
#: are.
FILTERED = {
    (1, 1, 2): [("off", False, 2.5, None, 5)],
    (2, 2, 2): [("nested", False, 2.0, 0.05, 6), ("nested", True, 6.0, None, 64)],
    (4, 4, 4): [("ngram", False, 1.5, 0.2, None), ("nested", True, 6.0, 0.02, 9)],
}


@pytest.mark.parametrize("machine", FILTERED, ids=name)
def test_filtered_equals_golden(run, machine):
    """The text is not that without filters, unless they leave nothing out."""
    assert machine in TURNS
    for speculate, tied, temperature, min_p, top_k in FILTERED[machine]:
        options = {"temperature": temperature, "seed": 11}
        result = check(
            run, machine, tied, "int8", PROMPTS[2], speculate, None, None, False, min_p=min_p, top_k=top_k, **options
        )
        free = generate(image(tied), list(PROMPTS[2]), TOKENS, lanes=4, precision="int8", **options)
        assert (result.tokens != free.tokens) == (top_k != 64)
        assert speculate == "off" or result.drafting.proposed > 0


@pytest.mark.nightly
@pytest.mark.parametrize(
    "machine", [*((t, m, b) for t in AXES["tiles"] for m in AXES["lanes"] for b in AXES["banks"]), WIDE], ids=name
)
def test_everywhere(run, machine):
    for tied, temperature, seed in HEATS:
        for n, speculate in enumerate(("off", "ngram", "nested")[: 3 if machine[1] > 1 else 1]):
            check(
                run,
                machine,
                tied,
                "auto, low quality",
                PROMPTS[n],
                speculate,
                None,
                None,
                speculate == "nested",
                temperature=temperature,
                seed=seed,
            )
            for min_p, top_k in ((0.1, None), (None, 1 + seed % 20), (0.01, 64)):
                check(
                    run,
                    machine,
                    tied,
                    "int4",
                    PROMPTS[n],
                    speculate,
                    None,
                    None,
                    False,
                    temperature=temperature,
                    seed=seed,
                    min_p=min_p,
                    top_k=top_k,
                )


def test_greedy_follows_sampled(run):
    """The temperature is loaded for a generation; and logits are those of the same text whatever it is drawn by."""
    sampled = run(image(False), config(2, 2, 2), PROMPT, 5, temperature=0.8, seed=3, precision="fp16")
    plain = generate(image(False), [*PROMPT, *sampled.tokens[:-1]], 1, all_logits=True, precision="fp16")
    for position, row in sampled.logits.items():
        np.testing.assert_array_equal(row.view(np.uint32), plain.logits[position].view(np.uint32))


WITHOUT = CONFIGS["fp16"]


def test_without_noise_it_is_greedy(run):
    result = run(image(), WITHOUT, PROMPT[:3], 3, precision="fp16")
    assert difference(result, golden(prompt=PROMPT[:3], tokens=3, precision="fp16")) == ""
    with pytest.raises(
        HayateError,
        match=re.escape(
            "configuration unit: sampling: 0 draws no noise, which --temperature 0.8 needs; "
            "--set sampling=1, or --temperature 0"
        ),
    ):
        run(image(), WITHOUT, PROMPT[:3], 1, temperature=0.8, precision="fp16")


def test_what_is_not_asked_for_is_not_there(chip):
    names = ("gumbel", "threefry", "filters", "threshold")
    for machine, there in ((WITHOUT, set()), (load_config("unit"), set(names))):
        text = chip(machine)
        assert {word for word in names if re.search(rf"\b{word}", text)} == there
