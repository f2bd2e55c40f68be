"""On the shipped prompts, py-mini's output with any drafter equals its output without: tokens and logits, bit for bit,
for M = 2, 4, 8.
"""

from functools import cache

import numpy as np
import pytest

from hayate import models, prompts
from hayate.golden.conductor.draft import DRAFTERS, Off, Tree
from hayate.golden.conductor.free_list import FreeList
from hayate.golden.conductor.generate import generate, slots_for
from hayate.golden.tile.sequencer import Tile
from hayate.rtl.contract.draft import BRANCH

LANES = (2, 4, 8)
#: Drafter, nodes and branch, where they are not the defaults.
WAYS = [
    ("ngram", None, 0),
    ("ngram", None, 1),
    ("ngram", 1, 0),
    ("nested", None, None),
    ("nested", None, 1),
    ("nested", 1, None),
    ("draft", None, 0),
    ("draft", 1, None),
]
SAMPLED = {"temperature": 0.8, "seed": 7}


@cache
def image(model):
    """`Image` of a shipped model, with py-pico to draft for it, and a function: its `Tile` of so many lanes, made
    once.
    """
    found = models.load(model, "py-pico")
    return found, cache(lambda lanes: Tile(found, lanes=lanes, slots=slots_for(found, lanes)))


@cache
def plain(model, prompt, tokens, precision, sampled=False):
    """Generation without speculation, one position a pass."""
    found, tile = image(model)
    return generate(
        found,
        models.Text(found).encode(prompt),
        tokens,
        lanes=1,
        tile=tile(1),
        precision=precision,
        **(SAMPLED if sampled else {}),
    )


def check(model, prompt, tokens, lanes, way, precision="fp16", sampled=False):
    """`Drafting` of a generation that equals the one without speculation."""
    speculate, nodes, branch = way
    found, tile = image(model)
    reference = plain(model, prompt, tokens, precision, sampled)
    result = generate(
        found,
        reference.prompt,
        tokens,
        lanes=lanes,
        tile=tile(lanes),
        precision=precision,
        speculate=speculate,
        nodes=nodes,
        branch=branch,
        **(SAMPLED if sampled else {}),
    )
    assert result.tokens == reference.tokens, (prompt, lanes, way)
    assert result.logits.keys() == reference.logits.keys()
    for position, row in reference.logits.items():
        assert np.array_equal(result.logits[position].view(np.uint32), row.view(np.uint32)), (
            prompt,
            lanes,
            way,
            position,
        )
    assert result.precision == reference.precision
    assert result.passes <= -(-len(reference.prompt) // lanes) + tokens - 1
    return result.drafting


def total(found):
    return sum(d.proposed for d in found), sum(d.accepted for d in found), sum(d.siblings for d in found)


@pytest.mark.nightly
def test_a_slice():
    """Four prompts, each with another drafter, M and precision in turn."""
    found = []
    for n, prompt in enumerate(prompts.load(4)):
        for k, lanes in enumerate(LANES):
            found.append(
                check("py-nano", prompt, 16, lanes, WAYS[(n + 2 * k) % len(WAYS)], ("fp16", "int8", "auto")[n % 3])
            )
    for n, (prompt, lanes) in enumerate(zip(prompts.load(6), 2 * LANES)):
        found.append(
            check("py-nano", prompt, 16, lanes, ("draft", None, None), ("auto", "fp16")[n % 2], sampled=n >= 3)
        )
        assert found[-1].passes > found[-1].proposed, "the prompt is fed too"
    proposed, accepted, _ = total(found)
    assert 0 < accepted < proposed


def test_nested_sees_what_a_whole_chain_would():
    """A node drafted by evaluating the newest one alone is that which the whole chain, evaluated at once, would
    give.
    """
    found, tile = image("py-nano")
    tile = tile(8)
    for prompt in prompts.load(4):
        tile.state.reset()
        tile.state.draw(None, 0)
        free, text = FreeList(8), models.Text(found).encode(prompt)[:8]
        tile.run_pass(text[:-1], range(len(text) - 1), [free.take() for _ in text[1:]], hwm=free.hwm, wanted=[])
        tree = Tree(free, text[-1], len(text) - 1)
        while len(tree.nodes) < 8:
            tree.add(tree.draft(tile), len(tree.nodes) - 1)
        chain = [(n.token, n.position, slot) for n, slot in zip(tree.nodes, tree.slots)]
        tile.run_pass(*zip(*chain), hwm=free.hwm, wanted=range(8), draft=True, commit=False)
        assert tile.choices()[:-1] == [n.token for n in tree.nodes[1:]]


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(8))
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_every_prompt(precision, part):
    """Each drafter and M; the generation without speculation, which takes the longest, once for all of them."""
    texts = prompts.load()[part::8]
    for way in (way for way in WAYS if way[1] is None):
        for lanes in LANES:
            found = [check("py-mini", prompt, 64, lanes, way, precision) for prompt in texts]
            if way[0] == "draft":
                found += [check("py-mini", prompt, 64, lanes, way, precision, sampled=True) for prompt in texts]
            proposed, accepted, siblings = total(found)
            assert 0 < accepted < proposed, (way, lanes)
            assert siblings == 0 or way[2]


def test_the_ways_cover_the_drafters():
    assert {"off", *(way[0] for way in WAYS)} == set(DRAFTERS) and {0, 1} >= set(BRANCH.values())


def test_a_spoiled_token_is_one_that_there_is():
    assert [Off(corrupt=True, vocabulary=5).drafted(token) for token in range(5)] == [1, 0, 3, 2, 4]
    assert [Off(corrupt=True).drafted(4), Off(vocabulary=5).drafted(3)] == [5, 3]
