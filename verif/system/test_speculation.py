"""Speculation changes nothing but the number of passes: tokens, logits, energies and decisions are those of one token a
pass, by every drafter and for every M; and the chip drafts, accepts and rejects exactly as the golden model.
"""

from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import product
from unittest.mock import patch

import numpy as np
import pytest

from hayate.backends import rtl as rtl_backend
from hayate.compiler.link import pair
from hayate.golden.conductor import loop
from hayate.golden.conductor.compare import matches
from hayate.golden.conductor.draft import DRAFTERS, Drafting
from hayate.golden.conductor.generate import generate
from hayate.golden.conductor.tree import verify
from hayate.golden.tile.sequencer import Tile
from hayate.rtl.contract.image import NGRAMS
from hayate.verif.system.checks import SETTINGS, difference, drafted, image
from hayate.verif.system.test_invariance import AXES, COVER, config

#: Prompts after which the small models repeat themselves, and one after which they do not.
PROMPTS = ((7, 3, 41, 1, 5, 19, 22), (5, 5, 5, 5, 9, 5, 5), (1, 2, 3, 1, 2, 4, 1, 2, 3, 1, 2))
TOKENS = 24
WIDE = (1, 8, 2)
#: Costs under which drafting is cut now and then.
COSTS = [256, 280, 300, 330, 360, 390, 420, 450], 110
#: (drafter, nodes, branch, whether drafting is controlled by cost)
WAYS = [
    ("ngram", None, None, False),
    ("ngram", None, 1, True),
    ("ngram", 2, 1, False),
    ("nested", None, 1, False),
    ("ngram", None, None, True),
    ("nested", None, None, True),
    ("nested", 1, None, False),
    ("nested", None, None, False),
    ("draft", None, None, True),
    ("draft", None, None, False),
]


def name(machine):
    return "-".join(map(str, machine))


@cache
def close(tied, copies):
    """A model with a draft model that is itself, but for noise: right about every other time."""
    random = np.random.default_rng(1)

    def blur(name, t):
        if t.dtype != np.float16 or name == NGRAMS:
            return t
        wide = t.astype(np.float32)
        return (wide + 0.3 * wide.std() * random.standard_normal(t.shape)).astype(np.float16)

    draft = image(tied, copies="fp16")
    return pair(
        image(tied, copies=copies), replace(draft, tensors={name: blur(name, t) for name, t in draft.tensors.items()})
    )


@contextmanager
def golden_passes():
    """A list to which golden passes with logits come, drafting ones too: [(position, bits of the logits) of each node],
    None for the position of what drafts, which the chip does not tell.
    """
    passes, run_pass = [], Tile.run_pass

    def noted(tile, tokens, positions, slots, *, wanted, draft=False, **how):
        logits = run_pass(tile, tokens, positions, slots, wanted=wanted, draft=draft, **how)
        if len(wanted):
            alone = draft or tile is not tiles.setdefault("target", tile)
            passes.append(
                [(None if alone else int(positions[n]), row.view(np.uint32).tolist()) for n, row in zip(wanted, logits)]
            )
        return logits

    tiles = {}
    with patch.object(Tile, "run_pass", noted):
        yield passes


@contextmanager
def chip_passes():
    """A list to which those of a run on the chip come, in the same form: nodes that were rejected are on the trace as
    well.
    """
    passes, read_trace = [], rtl_backend.read_trace

    def noted(path, vocab):
        nodes = {}
        for line in path.read_text().splitlines():
            first, *rest = line.split()
            words = [int(word, 16) for word in rest]
            if first != "v":
                for lane, bits in enumerate(words[1:]):
                    if words[0] >> lane & 1:
                        nodes.setdefault(lane, {})[int(first, 16)] = bits
            elif nodes:
                passes.append(
                    [
                        (words[1 + lane] if words[0] else None, [rows[row] for row in range(vocab)])
                        for lane, rows in sorted(nodes.items())
                    ]
                )
                nodes = {}
        return read_trace(path, vocab)

    with patch.object(rtl_backend, "read_trace", noted):
        yield passes


def check(run, machine, tied, setting, prompt, speculate, nodes, branch, control, draft="small", **options):
    """The chip's result, equal to golden's with the same drafter, whose text is golden's without one; and pass by pass
    the same nodes at the same positions, rejected ones too: of each the logits, which no other token behind no other
    parent has. draft: as of `checks.drafted`, or "close".
    """
    copies, choice = SETTINGS[setting]
    model, lanes = image(tied, copies=copies), machine[1]
    if speculate == "draft":
        model = close(tied, copies) if draft == "close" else drafted(tied, copies=copies, draft=draft)
    pins = dict(choice.get("pins", ()))
    common = {"all_logits": True, **{k: v for k, v in choice.items() if k != "pins"}, **options}
    how = {"speculate": speculate, "nodes": nodes, "branch": branch, "costs": COSTS if control else None}
    plain = generate(model, list(prompt), TOKENS, lanes=4, pins=pins, **common)
    with golden_passes() as golden:
        expected = generate(model, list(prompt), TOKENS, lanes=lanes, pins=pins, **how, **common)
    assert difference(replace(expected, drafting=plain.drafting), plain) == ""
    with chip_passes() as chip:
        result = run(model, config(*machine), prompt, TOKENS, pins=choice.get("pins", ()), **how, **common)
    for n, (a, b) in enumerate(zip(chip, golden)):
        assert [at for at, _ in a] == [at for at, _ in b], f"pass {n}: positions of its nodes"
        assert [k for k in range(len(b)) if a[k] != b[k]] == [], f"pass {n}: nodes whose logits differ"
    assert len(chip) == len(golden)
    assert difference(result, expected) == "", f"{setting}, tied: {tied}, {how}"
    assert matches(result, expected) and result.passes == expected.passes
    return result


#: Machines whose passes have room for drafts; each way is tried on one of them, with a text (tied, prompt) that accepts
#: some nodes.
DRAFTING = [m for m in COVER if m[1] > 1]
TEXTS = [(False, 0), (False, 0), (False, 2), (True, 0), (False, 0), (False, 0)]


@pytest.mark.parametrize("machine", DRAFTING, ids=name)
def test_drafters_in_turn(run, machine):
    n = DRAFTING.index(machine)
    setting = ("auto", "int8", "auto, low quality", "fp16")[n % 4]
    tied, prompt = TEXTS[n]
    d = check(run, machine, tied, setting, PROMPTS[prompt], *WAYS[n]).drafting
    assert 0.2 < d.accepted / d.proposed < 0.8


#: Machines on which tiles share the draft model's KV head, the target's too or not, or all is on one; and the draft
#: model of each.
PAIRS = [((1, 2, 4), "same"), ((2, 2, 2), "small"), ((4, 4, 4), "close")]


@pytest.mark.parametrize(("machine", "draft"), PAIRS, ids=str)
def test_draft_models(run, machine, draft):
    """Greedy, sampled and filtered, as the target is; prompts and texts fed behind the target, rejected drafts fed
    again.
    """
    drawn = {"temperature": 2.0, "seed": 5}
    filtered = {"same": [{"top_k": 3}], "close": [{"min_p": 0.2}]}.get(draft, [])
    for prompt, options in [
        (PROMPTS[1], {}),
        (PROMPTS[0], drawn),
        *((PROMPTS[0], {**drawn, **one}) for one in filtered),
    ]:
        setting = "auto" if draft == "small" else "int8"
        d = check(
            run, machine, draft != "close", setting, prompt, "draft", None, None, False, draft, **options
        ).drafting
        assert d.passes > d.proposed > 0
        assert draft == "small" or 0 < d.accepted
        assert draft != "close" or 0.2 < d.accepted / d.proposed < 0.8


@pytest.mark.nightly
def test_wide(run):
    """M = 8: most of a pass may be rejected; and siblings are accepted."""
    results = [
        check(run, WIDE, tied, "auto", prompt, *way)
        for tied, prompt, way in [
            (True, PROMPTS[1], ("ngram", None, 2, True)),
            (False, PROMPTS[0], ("nested", None, None, False)),
        ]
    ]
    total = sum((r.drafting.accepted for r in results), 0)
    assert 0 < total < sum(r.drafting.proposed for r in results)


def test_endings_within_a_pass(run):
    """A path is cut at the token limit and the end of the context as it is without speculation."""
    model = image(True)
    for limit in (6, 60):
        plain = generate(model, list(PROMPTS[1]), limit, lanes=4)
        result = run(model, config(2, 4, 4), PROMPTS[1], limit, speculate="nested", all_logits=False)
        assert difference(replace(result, drafting=plain.drafting), plain) == ""


def test_end_tokens_within_a_pass(run, monkeypatch):
    """Each of several end tokens cuts the path of an accepted draft, as it cuts the text without speculation: chosen at
    the root, at an accepted node with accepted ones behind it, and at the last node; and with the first token, which no
    draft precedes.
    """
    model, prompt, machine, passes = image(False), list(PROMPTS[0]), config(2, 4, 4), []
    with monkeypatch.context() as patch:
        patch.setattr(loop, "verify", lambda *of: passes.append(verify(*of)) or passes[-1])
        free = generate(model, prompt, TOKENS, lanes=4, speculate="nested").tokens
    before = [1 + sum(len(emitted) for _, emitted in passes[:n]) for n in range(len(passes))]
    at = next(start for start, (_, emitted) in zip(before, passes) if len(emitted) == 4)
    others = [token for token in range(model.model["vocab"]) if token not in free]
    for place, number in ((at, 1), (at + 1, 2), (at + 3, 3), (0, 0)):
        end = (*others[:number], free[place], *others[number:3])
        plain, expected = (generate(model, prompt, TOKENS, lanes=4, end=end, speculate=by) for by in ("off", "nested"))
        assert plain.tokens == free[: place + 1] and free.index(free[place]) == place
        result = run(model, machine, prompt, TOKENS, end=end, speculate="nested", all_logits=False)
        assert difference(result, expected) == "" and result.passes == expected.passes
        assert difference(replace(result, drafting=plain.drafting), plain) == ""
    assert difference(run(model, machine, prompt, TOKENS, end=end, all_logits=False), plain) == ""


EVERY = list(product((True, False), ("auto", "pins", "planes, auto", "odd"), PROMPTS, WAYS))
MACHINES = [m for m in product(*AXES.values()) if m[1] > 1] + [WIDE, (2, 8, 4), (4, 8, 2)]
SHARE = 5  # a machine takes every so manieth case, as all of them on every machine take hours


def cases(machine):
    """Those of `EVERY` that a machine takes: every model with every setting and prompt, two of the ways each, all ways
    in turn.
    """
    first = MACHINES.index(machine)
    return [case for n, case in enumerate(EVERY) if (n + n // len(WAYS) + first) % SHARE == 0]


def test_every_case_is_taken():
    taken = [case for machine in MACHINES for case in cases(machine)]
    assert all(taken.count(case) == len(MACHINES) // SHARE for case in EVERY)
    for machine in MACHINES:
        assert {case[:3] for case in cases(machine)} == {case[:3] for case in EVERY}
        assert {case[3] for case in cases(machine)} == set(WAYS)


@pytest.mark.nightly
@pytest.mark.parametrize("machine", MACHINES, ids=name)
def test_every_way(run, machine):
    for tied, setting, prompt, way in cases(machine):
        check(run, machine, tied, setting, prompt, *way)


def test_golden_covers_what_matters():
    """The prompts give accepted nodes, rejected ones, and accepted siblings."""
    found = Drafting()
    for prompt, tied, branch in product(PROMPTS, (True, False), (1, 2)):
        d = generate(image(tied), list(prompt), TOKENS, lanes=8, speculate="ngram", branch=branch).drafting
        found = Drafting(found.proposed + d.proposed, found.accepted + d.accepted, found.siblings + d.siblings)
    assert found.siblings > 0 and found.siblings < found.accepted < found.proposed
    assert set(DRAFTERS) == {"off", *(way[0] for way in WAYS)}
