"""Every clipped result is counted once, under the descriptor and the operation that clipped it, and nothing else is."""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from hayate.golden.conductor.generate import generate, teacher_force
from hayate.golden.tile.saturation import Saturations, same_count
from hayate.golden.tile.sequencer import Tile
from hayate.verif.models.loud import SHAPE, loud_image
from hayate.verif.models.tiny import tiny_weights

PROMPT = [7, 3, 41, 1, 5, 19, 22]
LIMIT = 65520  # from here on FP16 rounds to infinity
WHOLE = 2.0**20  # exactly representable factors: what is not clipped stays what it was
#: name -> (factors of weights, static exponents, what must clip and nothing else). Layer 1 alone, unless the name says
#: otherwise.
PLACES = {
    "nothing": ({}, {}, set()),
    "query": ({"1.self_attn.q_proj": WHOLE}, {}, {("layers.1.wq", "fp16")}),
    "key": ({"1.self_attn.k_proj": WHOLE, "1.self_attn.q_proj": 1 / WHOLE}, {}, {("layers.1.wk", "fp16")}),
    "value": ({"1.self_attn.v_proj": WHOLE, "1.self_attn.o_proj": 1 / WHOLE}, {}, {("layers.1.wv", "fp16")}),
    "attention output": ({}, {(1, "ao"): -20}, {("layers.1.vcache", "fp16")}),
    "gate and up": ({"1.mlp.up_proj": WHOLE, "1.mlp.down_proj": 1 / WHOLE}, {}, {("layers.1.wgu", "fp16")}),
    "silu": ({"1.mlp.gate_proj": 256}, {}, set()),
    "embedding, residual": (
        {"embed_tokens": WHOLE},
        {},
        {("load", "fp16"), *((f"layers.{n}.{w}", "fp16") for n in range(2) for w in ("wo", "wdown"))},
    ),
    "attention's residual": ({}, {(1, "xb"): -20}, {("layers.1.wo", "fp16")}),
    "last residual": ({}, {"xf": -20}, {("layers.1.wdown", "fp16")}),
}


@cache
def image(place):
    scales, exponents, _ = PLACES[place]
    return loud_image(scales, exponents, tied=False)


@pytest.mark.parametrize("place", PLACES)
def test_a_clipped_value_is_counted_where_it_is_made(place):
    found = generate(image(place), PROMPT, 3).saturated
    assert set(found.counts) == PLACES[place][2] and found.shared == 0
    assert found.total == sum(found.counts.values()) == found.on(4)


@pytest.mark.parametrize("lanes", [1, 2, 4, 8])
def test_counts_are_exact(lanes):
    """As many as the weights say, of the tokens fed: neither idle lanes of the last pass of a prompt nor padded query
    heads count.
    """
    g = generate(image("embedding, residual"), PROMPT, 3, lanes=lanes)
    table = np.abs(
        tiny_weights(**SHAPE, tied=False)["model.embed_tokens.weight"].astype(np.float32) * np.float32(WHOLE)
    )
    fed = PROMPT + g.tokens[:-1]
    assert g.saturated.counts["load", "fp16"] == int((table[fed] >= LIMIT).sum()) > 0
    g = generate(loud_image({"1.self_attn.v_proj": 64}, {(1, "ao"): -30}, tied=False), PROMPT, 3, lanes=lanes)
    assert g.saturated.counts == {("layers.1.vcache", "fp16"): len(fed) * SHAPE["heads"] * SHAPE["head_dim"]}


def test_masked_scores_do_not_count():
    """FP32 overflows in the scores of all slots, the hidden ones too: only those that a position sees count."""
    plain = image("nothing")
    constants = (
        replace(c, values=(float(np.finfo(np.float32).max),)) if c.region == "SCALE" else c for c in plain.constants
    )
    g = generate(replace(plain, constants=tuple(constants)), PROMPT, 1, lanes=8)
    visible = len(PROMPT) * (len(PROMPT) + 1) // 2 * SHAPE["heads"]
    assert visible // 2 < g.saturated.counts["layers.0.kcache", "mul"] <= visible


def test_shared_results_count_once_and_in_every_tile():
    found = generate(loud_image({}, zero=(3,), tied=False, config={"rms_norm_eps": 1e-50}), [3], 1).saturated
    assert found.counts == {(f"layers.{n}.{x}", "rsqrt"): 1 for n in range(2) for x in ("xa", "xb")} | {
        ("xf", "rsqrt"): 1
    }
    assert (found.total, found.shared, found.on(1), found.on(4)) == (5, 5, 5, 20)


def test_a_generation_starts_at_zero():
    tile = Tile(image("query"), lanes=4, slots=52)
    first, second = (generate(image("query"), PROMPT, 3, tile=tile).saturated for _ in range(2))
    assert first == second and first.total > 0
    teacher_force(image("query"), PROMPT, lanes=4, tile=tile)
    assert 0 < tile.state.saturated.total < first.total


def test_merging_and_comparing():
    one, other = Saturations(), Saturations()
    one.note("a", None, 3, False)
    other.note("a", 0, 2, True)
    other.note("a", 0, 0, True)
    both = one.merged(other, "draft.")
    assert both.total == 5 and both.on(3) == 9 and both.counts["a", "fp16"] == 3
    assert [name for name, _ in both.counts] == ["a", "draft.a"]
    chip, golden = (lambda n: SimpleNamespace(saturated=n, counters=[{}] * 3)), SimpleNamespace(saturated=both)
    assert same_count(chip(9), golden) and not same_count(chip(5), golden) and same_count(chip(5), chip(5))
    assert same_count(golden, SimpleNamespace(saturated=one.merged(other, "draft.")))
    assert not same_count(golden, SimpleNamespace(saturated=one))
