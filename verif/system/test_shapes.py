"""Models of random shapes on machines of every kind equal the golden model, tiles that own no row of some matrix among
them.

A tile may own no row of the residual stream, of a KV head, of the logits, of the feed-forward network or of a draft
model's matrices, and still takes part in every exchange. Shapes and requests are drawn by seed (`--seed`), and
hypothesis shrinks those that fail.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from hayate.compiler import compile_model
from hayate.compiler.link import pair
from hayate.golden.conductor.draft import DRAFTERS
from hayate.golden.conductor.generate import generate
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.layout import attention, split
from hayate.verif.models.tiny import write_tiny_model
from hayate.verif.system.checks import difference
from hayate.verif.system.test_formats import CONFIGS

#: (tiles, lanes, banks), for `make nightly`.
MACHINES = [
    (2, 2, 2),
    (2, 1, 8),
    (4, 2, 1),
    (5, 2, 2),
    (6, 4, 2),
    (7, 1, 2),
    (8, 2, 2),
    (9, 4, 1),
    (11, 2, 4),
    (16, 1, 2),
    (24, 2, 1),
    (1, 8, 4),
]
CONTEXT, VOCAB = 28, 40


@dataclass(frozen=True)
class Shape:
    """Sizes of a model: `write_tiny_model`'s."""

    hidden: int
    layers: int
    kv_heads: int
    group: int
    head_dim: int
    ff: int
    vocab: int
    tied: bool
    seed: int

    def rowless(self, tiles):
        """Which of a model's matrices some of so many tiles have no row of."""
        quads = {"residual": self.hidden // 4, "swiglu": self.ff // 4, "logits": -(-self.vocab // 4)}
        found = {name for name, n in quads.items() if any(len(range(*split(n, tiles, t))) == 0 for t in range(tiles))}
        heads = [attention(self.kv_heads, tiles, t) for t in range(tiles)]
        alone = any(len(range(*split(self.head_dim // 4, a.group_size, a.group_index))) == 0 for a in heads)
        return found | ({"head"} if alone else set())


def quads(most):
    """Multiples of 4 from 4 on, small ones more often than large ones."""
    return st.integers(1, most).map(lambda n: 4 * n)


def shapes(vocab=None):
    return st.builds(
        Shape,
        hidden=quads(9),
        layers=st.integers(1, 2),
        kv_heads=st.integers(1, 3),
        group=st.integers(1, 3),
        head_dim=quads(4),
        ff=quads(9),
        vocab=st.integers(2, VOCAB) if vocab is None else st.just(vocab),
        tied=st.booleans(),
        seed=st.integers(0, 3),
    )


@cache
def image(shape, planes=True):
    with TemporaryDirectory() as folder:
        path = write_tiny_model(
            Path(folder) / "model",
            hidden=shape.hidden,
            layers=shape.layers,
            heads=shape.kv_heads * shape.group,
            kv_heads=shape.kv_heads,
            head_dim=shape.head_dim,
            ff=shape.ff,
            vocab=shape.vocab,
            context=CONTEXT,
            seed=shape.seed,
            tied=shape.tied,
        )
        return compile_model(path, planes=planes)


@st.composite
def requests(draw, formats, sampling):
    """(shape, that of a draft model or None, prompt, tokens, options of `generate`)."""
    drafters = [name for name in DRAFTERS if name != "nested" or "int4" in formats]
    shape, speculate = draw(shapes()), draw(st.sampled_from(drafters))
    draft = draw(shapes(shape.vocab)) if speculate == "draft" else None
    prompt = draw(st.lists(st.integers(0, shape.vocab - 1), min_size=1, max_size=9))
    options = {"precision": draw(st.sampled_from(formats)), "speculate": speculate}
    if sampling and draw(st.booleans()):
        options |= {
            "temperature": 0.9,
            "seed": draw(st.integers(0, 3)),
            "min_p": draw(st.sampled_from((None, 0.02))),
            "top_k": draw(st.sampled_from((None, 1, 5))),
        }
    return shape, draft, prompt, draw(st.integers(1, 8)), options


def machine(tiles, lanes, banks):
    """A machine whose memories hold any of the shapes, with its draft model, on any number of tiles."""
    return load_config(
        "unit",
        [
            f"tiles={tiles}",
            f"lanes={lanes}",
            f"banks={banks}",
            "bank_depth=16384",
            "act_depth=1024",
            "stage_depth=256",
            "vmem_depth=2048",
            "program_depth=512",
            "micro_depth=512",
            "desc_depth=256",
        ],
    )


#: `make test` has tiles that other tests have built: one that reads FP16 alone and does not sample, and the preset.
TWELVE, DEMO = replace(CONFIGS["fp16"], tiles=12), load_config("demo")


def name(sizes):
    return "-".join(map(str, sizes))


def compare(run, config, examples, number):
    """So many random shapes and requests on one machine. Returns the kinds of matrices that some tile had no row of."""
    seen, formats = set(), ("auto", "fp16", "int8", "int4") if config.governor else ("fp16",)

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=False,
        print_blob=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(requests(formats, config.sampling))
    def check(request):
        shape, draft, prompt, tokens, options = request
        model = pair(image(shape), image(draft, planes=False)) if draft else image(shape)
        seen.update(shape.rowless(config.tiles))
        expected = generate(model, prompt, tokens, lanes=config.lanes, all_logits=True, **options)
        found = run(model, config, prompt, tokens, **options)
        assert not found.fault and difference(found, expected) == "", request

    check()
    return seen


@pytest.mark.parametrize(
    "config", [pytest.param(TWELVE, marks=pytest.mark.nightly, id="twelve"), pytest.param(DEMO, id="demo")]
)
def test_random_shapes(run, pytestconfig, config):
    seen = compare(run, config, 7, pytestconfig.getoption("--seed"))
    assert {"residual", "swiglu", "logits"} <= seen


@pytest.mark.nightly
@pytest.mark.parametrize("sizes", MACHINES, ids=name)
def test_many_random_shapes(run, pytestconfig, sizes):
    seen = compare(run, machine(*sizes), 20, pytestconfig.getoption("--seed"))
    assert sizes[0] < 8 or seen == {"residual", "swiglu", "logits", "head"}, "the shapes leave no tile without rows"


SMALL = Shape(hidden=20, layers=2, kv_heads=2, group=2, head_dim=8, ff=28, vocab=37, tied=True, seed=1)
ONE_QUAD = Shape(hidden=4, layers=1, kv_heads=1, group=1, head_dim=4, ff=8, vocab=8, tied=False, seed=0)


def agree(run, config, shape, tokens=6, **options):
    """The chip gives what golden does, which computes as one tile that owns every row."""
    model, prompt = image(shape), [1, 2, 3, 1, 2][:tokens]
    found = run(model, config, prompt, tokens, **options)
    assert (
        difference(found, generate(model, prompt, tokens, lanes=1, all_logits=True, **options)) == ""
        and not found.fault
    )


@pytest.mark.parametrize("shape", [SMALL, ONE_QUAD], ids=["small", "one-quad"])
def test_twelve_tiles_are_as_one(run, shape):
    agree(run, TWELVE, shape, precision="fp16")


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("shape", "options"),
    [(SMALL, {}), (ONE_QUAD, {"temperature": 0.8, "seed": 5, "top_k": 3})],
    ids=["small", "one-quad"],
)
def test_sixty_four_tiles_are_as_one(run, shape, options):
    """So many tiles simulate slowly, a few hundred cycles a second."""
    for tiles in (1, 64):
        agree(run, machine(tiles, 1, 1), shape, tokens=2, **options)


def test_the_shapes_leave_tiles_without_rows():
    assert SMALL.rowless(12) == {"residual", "swiglu", "logits", "head"} and SMALL.rowless(1) == set()
    assert ONE_QUAD.rowless(2) == {"residual", "head"}
