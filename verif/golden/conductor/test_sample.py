"""Golden sampling: what is drawn has the softmax's odds, and does not depend on who drafts, nor on how many positions a
pass has.
"""

import math
from functools import cache
from itertools import product

import numpy as np
import pytest

from hayate.compiler import compile_model
from hayate.golden.conductor.generate import generate, slots_for
from hayate.golden.conductor.sample import inverse, log_share, require_filters, require_seed
from hayate.golden.numerics import gumbel
from hayate.golden.tile.sequencer import Tile
from hayate.rtl.contract.errors import HayateError
from hayate.verif.models.tiny import write_tiny_model

PROMPT = (3, 1, 4, 1, 5)
VOCAB = 16
WAYS = [("off", 4, None), ("ngram", 4, 1), ("ngram", 8, 2), ("nested", 2, None), ("nested", 8, None)]


@cache
def model(folder, tied):
    path = write_tiny_model(
        folder / f"tied{tied}",
        hidden=16,
        layers=1,
        heads=2,
        kv_heads=1,
        head_dim=8,
        ff=16,
        vocab=VOCAB,
        context=40,
        seed=3,
        tied=tied,
    )
    return compile_model(path, group=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def untied(folder):
    return model(folder, False)


@pytest.fixture(params=[(True, 6.0), (False, 1.0)], ids=["tied", "untied"])
def warm(request, folder):
    """(model, a temperature at which it neither repeats itself nor forgets what it was taught)."""
    tied, temperature = request.param
    return model(folder, tied), temperature


@pytest.mark.parametrize("way", WAYS)
def test_one_seed_is_one_text(warm, way):
    """By every drafter, for every M; logits too. Another seed, temperature or filter is another text."""
    image, unit = warm
    speculate, lanes, branch = way
    texts, proposed = set(), 0
    for temperature, seed, filters in (
        (unit, 1, {}),
        (unit, 1 << 63, {"top_k": 3}),
        (0.3 * unit, 1, {"min_p": 0.1}),
        (unit, (1 << 64) - 1, {}),
        (2 * unit, 5, {"min_p": 0.2, "top_k": 4}),
    ):
        options = {"temperature": temperature, "seed": seed, **filters}
        plain = generate(image, PROMPT, 24, lanes=1, all_logits=True, **options)
        other = generate(image, PROMPT, 24, lanes=lanes, all_logits=True, speculate=speculate, branch=branch, **options)
        assert other.tokens == plain.tokens and other.logits.keys() == plain.logits.keys()
        assert all(np.array_equal(other.logits[p], row) for p, row in plain.logits.items())
        texts.add(tuple(plain.tokens))
        proposed += other.drafting.proposed
    assert len(texts) == 5 and bool(proposed) == (speculate != "off")


def test_every_token_is_the_largest_sum(warm):
    """z = fl(logit / T, as a product), plus the noise of the position at which the token will stand."""
    image, unit = warm
    for temperature in (0.3 * unit, unit, 2.5 * unit):
        seed = int(temperature * 1000)
        made = generate(image, PROMPT, 12, temperature=temperature, seed=seed)
        for n, token in enumerate(made.tokens):
            at = len(PROMPT) + n
            z = made.logits[at - 1] * np.float32(1 / temperature)
            assert token == (z + gumbel.noise(seed, at, np.arange(VOCAB))).argmax()


def test_no_temperature_is_greedy(untied):
    plain = generate(untied, PROMPT, 16)
    assert plain.tokens == [int(plain.logits[len(PROMPT) - 1 + n].argmax()) for n in range(16)]
    tile = Tile(untied, lanes=4, slots=slots_for(untied, 4))
    assert generate(untied, PROMPT, 16, tile=tile, temperature=2.0, seed=5).tokens != plain.tokens
    assert generate(untied, PROMPT, 16, tile=tile, seed=5).tokens == plain.tokens
    assert generate(untied, PROMPT, 16, temperature=1e-30, seed=9).tokens == plain.tokens


def test_draft_passes_draw_the_same_noise(untied):
    """A drafter that reads the very weights that verify: everything that it proposes is taken."""
    made = generate(untied, PROMPT, 20, speculate="nested", precision="int4", temperature=1.5, seed=3)
    assert made.drafting.proposed == made.drafting.accepted > 10


def chi_square(counts, odds):
    """(statistic, degrees of freedom) of counts against odds; what is expected fewer than 5 times is pooled."""
    expected = odds * counts.sum()
    rare = expected < 5
    counts, expected = (np.append(v[~rare], v[rare].sum()) for v in (counts, expected))
    counts, expected = counts[expected > 0], expected[expected > 0]
    return ((counts - expected) ** 2 / expected).sum(), len(counts) - 1


def passing(z, min_p, top_k):
    """bool [vocabulary]: what filters keep of one position's z, by its definition."""
    floor = -math.inf if min_p is None else np.float32(float(z.max()) + float(np.float32(math.log(min_p))))
    order = sorted(range(len(z)), key=lambda token: (-z[token], token))
    return np.array([z[token] >= floor and token in order[:top_k] for token in range(len(z))])


FILTERS = [(None, 1), (None, 2), (None, 5), (None, 64), (1.0, None), (0.3, None), (1e-9, None), (0.05, 6), (0.5, 3)]


def test_every_token_is_the_largest_sum_of_what_is_kept(warm):
    image, unit = warm
    sizes = set()
    for n, (min_p, top_k) in enumerate(FILTERS):
        temperature = (0.4, 1, 3)[n % 3] * unit
        made = generate(image, PROMPT, 12, temperature=temperature, seed=n, min_p=min_p, top_k=top_k)
        for k, token in enumerate(made.tokens):
            at = len(PROMPT) + k
            z = made.logits[at - 1] * np.float32(1 / temperature)
            kept = passing(z, min_p, top_k)
            sizes.add(int(kept.sum()))
            assert token == np.where(kept, z + gumbel.noise(n, at, np.arange(VOCAB)), -np.inf).argmax(), (
                min_p,
                top_k,
                k,
            )
    assert min(sizes) == 1 and max(sizes) == VOCAB and len(sizes) > 4


def test_filters_at_their_ends(untied):
    """The strictest are greedy, the loosest are none, and a filter is forgotten by the next generation."""
    hot = {"temperature": 2.0, "seed": 5}
    plain, free = generate(untied, PROMPT, 16).tokens, generate(untied, PROMPT, 16, **hot).tokens
    assert (
        plain
        == generate(untied, PROMPT, 16, **hot, top_k=1).tokens
        == generate(untied, PROMPT, 16, **hot, min_p=1).tokens
        != free
    )
    assert (
        free
        == generate(untied, PROMPT, 16, **hot, top_k=16).tokens
        == generate(untied, PROMPT, 16, **hot, top_k=64).tokens
    )
    assert free == generate(untied, PROMPT, 16, **hot, min_p=1e-300).tokens
    tile = Tile(untied, lanes=4, slots=slots_for(untied, 4))
    assert generate(untied, PROMPT, 16, tile=tile, **hot, min_p=0.9, top_k=2).tokens != free
    assert generate(untied, PROMPT, 16, tile=tile, **hot).tokens == free


ODDS = list(product(("off", "nested"), ({}, {"min_p": 0.1}, {"top_k": 5}, {"min_p": 0.05, "top_k": 7})))


@pytest.mark.parametrize(
    ("speculate", "filters"),
    [pytest.param(*case, marks=[pytest.mark.nightly] if (n + n // 4) % 2 else []) for n, case in enumerate(ODDS)],
    ids=str,
)
def test_odds_are_those_of_the_softmax(untied, speculate, filters):
    """Over many seeds: of the first token, and of the second behind the commonest first, which the drafter has proposed
    or not. Filters leave tokens out, and the others keep their odds to one another.
    """
    temperature, seeds, prompt = (1.0 if filters else 0.5), 240, [4, 1, 5]
    tile = Tile(untied, lanes=8, slots=slots_for(untied, 8))
    drawn = [
        generate(
            untied,
            prompt,
            3,
            lanes=8,
            tile=tile,
            temperature=temperature,
            seed=seed,
            speculate=speculate,
            precision="fp16",
            **filters,
        )
        for seed in range(seeds)
    ]

    def check(position, texts):
        logits = texts[0].logits[position].astype(np.float64) / temperature
        odds = np.exp(logits - logits.max()) * passing(
            logits.astype(np.float32), filters.get("min_p"), filters.get("top_k")
        )
        counts = np.bincount([t.tokens[position + 1 - len(prompt)] for t in texts], minlength=VOCAB)
        found, freedom = chi_square(counts, odds / odds.sum())
        assert not counts[odds == 0].any() and (odds == 0).any() == bool(filters)
        assert freedom > 2 and found < freedom + 4 * math.sqrt(2 * freedom), (
            f"{found:.1f} of {freedom} degrees of freedom"
        )

    check(len(prompt) - 1, drawn)
    common = np.bincount([t.tokens[0] for t in drawn]).argmax()
    check(len(prompt), [t for t in drawn if t.tokens[0] == common])
    accepted, proposed = (sum(getattr(t.drafting, name) for t in drawn) for name in ("accepted", "proposed"))
    assert speculate == "off" or 0 < accepted < proposed


@pytest.mark.parametrize(
    ("temperature", "complaint"),
    [
        (-1, "-1 is no temperature"),
        (math.inf, "inf is no temperature"),
        (math.nan, "nan is no temperature"),
        (1e-39, "1e-39 is so low that FP32 does not hold 1/1e-39"),
        (5e-324, "4.94066e-324 is so low"),
    ],
)
def test_temperatures_that_are_none(untied, temperature, complaint):
    with pytest.raises(HayateError, match=f"--temperature: {complaint}"):
        generate(untied, PROMPT, 1, temperature=temperature)


@pytest.mark.parametrize("seed", [-1, 1 << 64])
def test_seeds_that_do_not_fit(untied, seed):
    with pytest.raises(HayateError, match=f"--seed: {seed} does not fit 64 bits; use 0 to 18446744073709551615"):
        generate(untied, PROMPT, 1, seed=seed)


@pytest.mark.parametrize(
    ("temperature", "min_p", "top_k", "complaint"),
    [
        (1, 0, None, "--min-p: 0 is no share of the likeliest token's probability; use more than 0"),
        (1, 1.5, None, "--min-p: 1.5 is no share"),
        (1, -0.1, 4, "--min-p: -0.1 is no share"),
        (1, math.nan, None, "--min-p: nan is no share"),
        (1, None, 0, "--top-k: 0 tokens cannot be chosen from; use 1 to 64"),
        (1, 0.5, 65, "--top-k: 65 tokens cannot"),
        (1, None, -1, "--top-k: -1 tokens"),
        (
            0,
            0.5,
            None,
            "--min-p: without a temperature the best token is taken, and nothing is filtered; "
            "add --temperature 1, or leave --min-p out",
        ),
        (0, None, 4, "--top-k: without a temperature"),
    ],
)
def test_filters_that_are_none(untied, temperature, min_p, top_k, complaint):
    with pytest.raises(HayateError, match=f"^{complaint}"):
        generate(untied, PROMPT, 1, temperature=temperature, min_p=min_p, top_k=top_k)


def test_inverses():
    assert inverse(0) == 1 and inverse(0.5) == 2 and inverse(1e30) == np.float32(1e-30)
    assert inverse(0.8).dtype == np.float32 and inverse(1e300) == 0
    require_seed(0), require_seed((1 << 64) - 1)


def test_shares():
    assert log_share(None) is None and log_share(1) == 0 and log_share(0.5).dtype == np.float32
    assert log_share(0.5) == np.float32(math.log(0.5)) and log_share(5e-324) == np.float32(math.log(5e-324))
    require_filters(1, 5e-324, 1), require_filters(1, 1, 64), require_filters(0, None, None)
