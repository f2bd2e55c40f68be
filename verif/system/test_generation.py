"""Whole generations on the presets: how they end, how they are loaded, both simulators."""

import numpy as np
import pytest

from hayate import models
from hayate.golden.conductor.generate import generate, teacher_force
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.precision import Format
from hayate.sim.runner import SIMS
from hayate.sim.tools import installed
from hayate.verif.system.checks import LONG, PROMPT, SETTINGS, difference, formats, golden, image

UNIT = load_config("unit")
CONTEXT = 12  # of the models whose context is filled: short, so that it takes few cycles


def passes(prompt, tokens, lanes):
    """Passes of a generation: the prompt's, then one for each token but the last."""
    return -(-prompt // lanes) + tokens - 1


@pytest.mark.parametrize("length", range(1, 6))
def test_prompts_of_any_length(run, length):
    """Multiples of M and others, down to a single token; golden knows nothing of this machine's M."""
    reference = golden(tied=False, prompt=PROMPT[:length], tokens=3)
    result = run(image(tied=False), UNIT, PROMPT[:length], 3)
    assert difference(result, reference) == ""
    assert result.passes == passes(length, 3, UNIT.lanes) and not result.full and not result.fault
    assert len(result.token_cycles) == 3 and result.token_cycles == sorted(result.token_cycles)
    assert result.token_cycles[0] == result.prefill and result.token_cycles[-1] < result.cycles


def test_only_wanted_logits(run):
    """Without the option, the logits of the last prompt position and of each decoding pass appear, no others."""
    result = run(image(tied=False), UNIT, all_logits=False)
    assert difference(result, golden(tied=False, all_logits=False)) == ""
    assert sorted(result.logits) == list(range(len(PROMPT) - 1, len(PROMPT) + 5))


@pytest.mark.parametrize("tied", [True, False])
def test_logits_that_nobody_chooses_from_do_not_decide(recall, tied):
    """The energies of the matrix that makes them count the last position of the prompt, whichever logits are computed
    besides.
    """
    few, all_of_them = (recall(tied, UNIT, PROMPT, 4, all_logits) for all_logits in (False, True))
    assert few.precision == all_of_them.precision and few.tokens == all_of_them.tokens
    assert few.precision["emb" if tied else "head"]["out"] > 0


def test_a_restart_at_a_fixed_precision(recall):
    """A prompt that goes on with tokens chosen before, in the same formats, has the same logits at every position."""
    copies, options = SETTINGS["pins"]
    whole = recall(False, UNIT, PROMPT, 6, True, copies, **options)
    assert difference(whole, golden(False, copies=copies, **options)) == ""
    again = recall(False, UNIT, PROMPT + tuple(whole.tokens[:4]), 2, True, copies, **options)
    assert (
        again.tokens == whole.tokens[4:]
        and again.precision == whole.precision
        and len(set(formats(whole).values())) == 3
    )
    assert again.logits.keys() == whole.logits.keys()
    for position, row in whole.logits.items():
        np.testing.assert_array_equal(again.logits[position].view(np.uint32), row.view(np.uint32))


def test_a_resumed_generation(recall):
    """Golden takes over from the chip: the prompt once more, the chip's frozen decisions, its tokens; M and quality are
    others.
    """
    made = recall(False, UNIT, PROMPT, 6, True)
    frozen = {name: Format[fmt.upper()] for name, fmt in formats(made).items()}
    logits, chosen = teacher_force(
        image(False), [*PROMPT, *made.tokens[:-1]], prompt=len(PROMPT), lanes=8, quality=1, pins=frozen
    )
    assert {name: row["format"] for name, row in chosen.items()} == formats(made) and len(set(frozen.values())) == 3
    assert sorted(made.logits) == list(range(len(logits)))
    for position, row in made.logits.items():
        np.testing.assert_array_equal(logits[position].view(np.uint32), row.view(np.uint32))


@pytest.mark.parametrize("length", [1, 3, 6, 9])
def test_a_text_goes_on_where_it_was_cut_off(run, length):
    """Prompts that end within the first positions, or behind them; greedy and sampled, drafted and not: what was chosen
    goes into the prompt, and the rest of the text, its logits and the decisions are those of the whole.
    """
    prompt = LONG[:length]
    for cut, options in enumerate(
        [{}, {"temperature": 2.0, "seed": 5, "speculate": "ngram"}, {"speculate": "nested", "all_logits": False}], 1
    ):
        whole = golden(tied=False, prompt=prompt, tokens=6, **{"all_logits": True, **options})
        rest = run(
            image(tied=False), UNIT, prompt + tuple(whole.tokens[:cut]), tokens=6 - cut, committed=cut, **options
        )
        assert rest.tokens == whole.tokens[cut:] and not rest.fault
        assert rest.precision == whole.precision and len(set(formats(rest).values())) > 1
        for position in rest.logits.keys() & whole.logits.keys():
            np.testing.assert_array_equal(rest.logits[position].view(np.uint32), whole.logits[position].view(np.uint32))
        assert max(rest.logits) in whole.logits


def test_a_limit_of_one_token(run):
    result = run(image(tied=False), UNIT, tokens=1)
    assert difference(result, golden(tied=False, tokens=1)) == ""
    assert len(result.tokens) == 1 and result.passes == passes(len(PROMPT), 1, UNIT.lanes) and not result.full


@pytest.mark.parametrize("at", [0, 2])
def test_the_end_token_ends_it(run, at):
    """It is emitted, then generation stops, long before the limit."""
    end = golden(tied=False).tokens[at]
    assert golden(tied=False).tokens.index(end) == at
    result = run(image(tied=False), UNIT, tokens=30, end=(end,))
    assert difference(result, golden(tied=False, tokens=30, end=(end,))) == ""
    assert result.tokens[-1] == end and len(result.tokens) == at + 1 and not result.full


@pytest.mark.parametrize("length", [CONTEXT - 3, CONTEXT - 1, CONTEXT])
def test_the_context_ends_it(run, length):
    """A token is chosen at the last position and not fed again; a prompt may fill the context by itself."""
    prompt = (PROMPT * 2)[:length]
    result = run(image(tied=False, context=CONTEXT), UNIT, prompt, 30)
    assert difference(result, golden(tied=False, context=CONTEXT, prompt=prompt, tokens=30)) == ""
    assert result.full and len(result.tokens) == CONTEXT - length + 1


def test_the_limit_comes_before_the_end_of_the_context(run):
    prompt = (PROMPT * 2)[: CONTEXT - 2]
    result = run(image(tied=False, context=CONTEXT), UNIT, prompt, 3)
    assert len(result.tokens) == 3 and result.passes == passes(len(prompt), 3, UNIT.lanes) and not result.full


def test_loading_over_axi(run):
    """Everything through the load window, nothing from files: the same generation, in the same number of cycles."""
    result = run(image(), UNIT, PROMPT, 2, load="axi")
    assert difference(result, golden(prompt=PROMPT, tokens=2)) == ""
    assert result.cycles == run(image(), UNIT, PROMPT, 2).cycles


def test_a_second_run_is_the_same(run):
    first, second = (run(image(), UNIT, PROMPT[:2], 2) for _ in range(2))
    assert difference(first, second) == "" and (first.cycles, first.counters) == (second.cycles, second.counters)


@pytest.mark.nightly
@pytest.mark.parametrize("sim", [sim for sim in installed(SIMS) if sim != "verilator"])
def test_simulators_agree(run, sim):
    """The same cycles and counters, too: no value of the design depends on how a simulator starts.

    `make test` has the generation of `verif/cli/test_simulation.py`, whose waveform is recorded.
    """
    prompt = PROMPT[: UNIT.lanes]  # a full pass of it, and one of decoding
    ours, theirs = (run(image(tied=False), UNIT, prompt, 2, sim=name) for name in ("verilator", sim))
    assert difference(theirs, golden(tied=False, prompt=prompt, tokens=2)) == "" == difference(ours, theirs)
    assert (theirs.cycles, theirs.token_cycles, theirs.counters) == (ours.cycles, ours.token_cycles, ours.counters)


def test_threads_change_nothing(run):
    """Tiles that are simulated side by side, by fewer threads than tiles and by one each: the same bits and cycles."""
    demo, model = load_config("demo"), image(tied=False)
    one, *others = (run(model, demo, PROMPT[:5], 3, threads=n, execute=None) for n in (1, 3, demo.tiles))
    assert difference(one, golden(tied=False, prompt=PROMPT[:5], tokens=3)) == ""
    for other in others:
        assert difference(other, one) == ""
        assert (other.cycles, other.token_cycles, other.counters) == (one.cycles, one.token_cycles, one.counters)


def test_demo_with_py_nano(run):
    """The shipped model on the shipped configuration, through its tokenizer."""
    model = models.load("py-nano")
    prompt = models.Text(model).encode("def __init__(self, name):\n")
    result = run(model, load_config("demo"), prompt, 3)
    assert difference(result, generate(model, prompt, 3, lanes=8, all_logits=True)) == ""
    assert 0.2 < result.utilization < 1


@pytest.mark.nightly
@pytest.mark.parametrize("precision", ["auto", "fp16", "int8", "int4"])
@pytest.mark.parametrize("name", ["py-nano", "py-mini"])
def test_demo_in_every_precision(run, name, precision):
    model = models.load(name)
    prompt = models.Text(model).encode("class Stack:\n    def push(self, item):\n        self.")
    result = run(model, load_config("demo"), prompt, 12, precision=precision, all_logits=False)
    assert difference(result, generate(model, prompt, 12, lanes=8, precision=precision)) == ""
