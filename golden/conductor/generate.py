"""Golden generation: a continuation, greedy or sampled, of a prompt by an image; or the logits of a text that is
given.
"""

from functools import partial

import numpy as np

from hayate.golden.conductor import draft, loop
from hayate.golden.conductor.governor import QUALITY, Governor
from hayate.golden.conductor.sample import inverse, log_share, require_filters, require_seed
from hayate.golden.conductor.utility import Utility
from hayate.golden.tile.sequencer import Tile
from hayate.rtl.contract.draft import Drafter, default_branch
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.image import DRAFT
from hayate.rtl.contract.precision import measured_positions
from hayate.rtl.contract.regmap import END_TOKENS


def check_request(image, prompt, tokens, slots, lanes):
    """Raise HayateError for a prompt or a length that the machine cannot serve."""
    vocab, context = image.model["vocab"], min(image.model["context"], slots - lanes)
    if not prompt:
        raise HayateError("prompt", "", "it has no tokens", "give at least one character or one id")
    bad = [t for t in prompt if not 0 <= t < vocab]
    if bad:
        raise HayateError(
            "prompt", "token id", f"{bad[0]} is outside the vocabulary of {vocab}", f"use ids from 0 to {vocab - 1}"
        )
    if tokens < 1:
        raise HayateError("--tokens", "", f"{tokens} tokens cannot be generated", "ask for at least 1")
    if len(prompt) > context:
        remedy = f"shorten the prompt by {len(prompt) - context} tokens"
        if context < image.model["context"]:
            own = image.model["context"]
            remedy += f", or use the model's {own} positions: --set max_slots={slots_for(image, lanes)}"
        raise HayateError("prompt", "length", f"{len(prompt)} tokens exceed the context of {context}", remedy)


def require_committed(prompt, committed):
    """Raise HayateError unless `prompt` has tokens in front of those that are resumed."""
    if not 0 <= committed < len(prompt):
        raise HayateError(
            "prompt",
            "committed",
            f"{committed} of its {len(prompt)} tokens cannot be a text that is resumed",
            "give the prompt, and behind it the text",
        )


def require_end(end, source):
    """Raise HayateError that names `source`, a model, where more tokens end its texts than the machine looks for.

    Golden could look for any number; it refuses what the chip does, so that a text is the same on both.
    """
    count = len(set(end))
    if count > END_TOKENS:
        raise HayateError(
            source,
            "eos_token_id",
            f"{count} end tokens, the chip looks for at most {END_TOKENS}",
            f"keep {END_TOKENS} of them in the model's config.json and generation_config.json, or use --ignore-eos",
        )


def generate(
    image,
    prompt,
    tokens,
    *,
    lanes=4,
    slots=None,
    end=(),
    all_logits=False,
    on_token=None,
    tile=None,
    precision="auto",
    quality=QUALITY,
    pins=None,
    speculate="off",
    nodes=None,
    branch=None,
    costs=None,
    corrupt=False,
    temperature=0.0,
    seed=0,
    min_p=None,
    top_k=None,
    committed=0,
    log=None,
):
    """Continuation of `prompt` by at most `tokens` tokens, cut at an end token or at the end of the context.

    Parameters
    ----------
    image: `Image`. prompt: token ids. lanes: M. slots: KV slots (default: the model's context and M in whole quads).
    end: ids that end the text (emitted, then stop), as many as `require_end` allows. all_logits: keep the logits of
        every prompt position;
    the energies of the matrix that makes them count the last one all the same. on_token: called with each token id as
        it is chosen.
    tile: a `Tile` to reuse.
    precision, quality, pins: see `Governor`. speculate: one of `draft.DRAFTERS`; tokens and logits do not depend on it.
        nodes: most nodes
    that are proposed for a pass (default: M - 1). branch: of those, for alternatives (default: `default_branch`).
    costs: of passes, for `Utility`, a list and what a pass that drafts costs; without them as much is drafted as there
        is room for.
    corrupt: draft wrong tokens, to measure what that costs, see `draft.Off`.
    temperature: 0 takes the best token; else a token's odds are those of softmax(logits / temperature), drawn by
        `seed`.
    min_p: with a temperature, tokens whose odds are below this share of the likeliest one's are left out. top_k: all
        but so many of the
    largest logits, 1 to 64, are. A text depends on model, prompt, formats, temperature, filters and seed alone.
    committed: the last tokens of `prompt` are the beginning of a text that is resumed. What follows is what would have
        followed them: no decision is made on them, and places in the text, by which noise is drawn, count on.
    log: as of `Tile`.

    Returns `loop.Generation`. Raises HayateError for a request that does not fit.
    """
    slots = slots or slots_for(image, lanes)
    prompt = [int(t) for t in prompt]
    check_request(image, prompt, tokens, slots, lanes)
    require_committed(prompt, committed)
    require_end(end, image.model["name"])
    scale = inverse(temperature)
    require_seed(seed)
    require_filters(temperature, min_p, top_k)
    governor = Governor(image, precision, quality, pins)
    context = min(image.model["context"], slots - lanes)
    draft.require_drafter(image, speculate)
    branch = default_branch(Drafter[speculate.upper()], lanes) if branch is None else branch
    drawn = scale if temperature else None, seed, log_share(min_p), top_k or 0
    drafter = draft.make(
        image, speculate, branch, lanes=lanes, context=context, drawn=drawn, corrupt=corrupt, log=log and log.of_draft()
    )
    tile = tile or Tile(image, lanes=lanes, slots=slots, log=log)
    tile.state.reset()
    tile.state.draw(*drawn)
    governor.begin(tile.state)
    own = costs[1] if costs and Drafter[speculate.upper()].takes_passes else 0
    utility = Utility(costs[0], own) if costs and speculate != "off" else None
    result = loop.run(
        tile,
        prompt,
        tokens,
        lanes=lanes,
        context=context,
        drafter=drafter,
        utility=utility,
        nodes=nodes,
        end=end,
        all_logits=all_logits,
        on_token=on_token,
        measure=governor.measure,
        committed=committed,
        freeze=partial(governor.freeze, tile.state),
    )
    result.saturated = tile.state.saturated.merged(drafter.saturated, DRAFT)
    return result


def teacher_force(
    image, tokens, *, lanes=64, slots=None, tile=None, prompt=None, precision="auto", quality=QUALITY, pins=None
):
    """Feed `tokens` as they are: the first `prompt` of them (default: all) as the prompt, on whose first
    MEASURED_POSITIONS "auto" measures; what follows these is read at the precision that this froze.

    With prompt=64 and windows of 256 tokens this is the quality protocol, which scores what follows the prompt.
    Energies are those of a `generate` with that prompt: the matrix that makes the logits counts the last position
    measured only, though all logits are returned.

    Returns (float32 [len(tokens), vocab] of logits, `loop.Generation.precision`); what saturated is in
    `tile.state.saturated`.
    Raises HayateError beyond the context.
    """
    slots = slots or slots_for(image, lanes)
    tokens = [int(t) for t in tokens]
    prompt = len(tokens) if prompt is None else prompt
    check_request(image, tokens, 1, slots, lanes)
    if not 1 <= prompt <= len(tokens):
        raise HayateError(
            "prompt", "length", f"{prompt} is not between 1 and the {len(tokens)} tokens given", "shorten the prompt"
        )
    governor = Governor(image, precision, quality, pins)
    tile = tile or Tile(image, lanes=lanes, slots=slots)
    tile.state.reset()
    tile.state.draw(None, 0)
    governor.begin(tile.state)

    def feed(start, stop, measure=False):
        for positions in loop.passes(start, stop, lanes):
            count = len(positions)
            yield tile.run_pass(
                tokens[positions[0] : positions[-1] + 1],
                positions,
                positions,
                hwm=positions[-1] + 1,
                wanted=range(count),
                measure=measure,
                counted=[count - 1] if measure and positions[-1] == stop - 1 else [],
            )

    measured = measured_positions(prompt) if governor.measure else 0
    rows = list(feed(0, measured, measure=True))
    chosen = governor.freeze(tile.state)
    return np.concatenate([*rows, *feed(measured, len(tokens))]), chosen


def slots_for(image, lanes):
    """KV slots for the whole context and M, in whole quads."""
    return -(-(image.model["context"] + lanes) // 4) * 4
