"""Golden token loop: prefill in passes of M positions, then greedy decoding, one position a pass."""

from dataclasses import dataclass, field

import numpy as np

from hayate.rtl.contract.errors import HayateError

from ..tile.sequencer import Tile


@dataclass
class Generation:
    """What a generation produced: `tokens`, and `logits` by absolute position (those that were wanted), and `passes`."""

    prompt: list
    tokens: list = field(default_factory=list)
    logits: dict = field(default_factory=dict)
    passes: int = 0
    saturated: int = 0


def choose(logits):
    """Index of the largest of float32 [vocab]; ties, -0 and +0 among them, go to the lowest index."""
    return int(np.argmax(logits + np.float32(0)))


def check_request(image, prompt, tokens, slots, lanes):
    """Raise HayateError for a prompt or a length that the machine cannot serve."""
    vocab, context = image.model["vocab"], min(image.model["context"], slots - lanes)
    if not prompt:
        raise HayateError("prompt", "", "it has no tokens", "give at least one character or one id")
    bad = [t for t in prompt if not 0 <= t < vocab]
    if bad:
        raise HayateError("prompt", "token id", f"{bad[0]} is outside the vocabulary of {vocab}", f"use ids from 0 to {vocab - 1}")
    if tokens < 1:
        raise HayateError("--tokens", "", f"{tokens} tokens cannot be generated", "ask for at least 1")
    if len(prompt) > context:
        raise HayateError("prompt", "length", f"{len(prompt)} tokens exceed the context of {context}",
                          f"shorten the prompt by {len(prompt) - context} tokens")


def generate(image, prompt, tokens, *, lanes=4, slots=None, end=(), all_logits=False, on_token=None, tile=None):
    """Greedy continuation of `prompt` by at most `tokens` tokens, cut at an end token or at the end of the context.

    Parameters
    ----------
    image: `Image`. prompt: token ids. lanes: M. slots: KV slots (default: the model's context and M in whole quads).
    end: ids that end the text (emitted, then stop). all_logits: keep the logits of every prompt position.
    on_token: called with each token id as it is chosen. tile: a `Tile` to reuse.

    Returns `Generation`. Raises HayateError for a request that does not fit.
    """
    slots = slots or -(-(image.model["context"] + lanes) // 4) * 4
    prompt = [int(t) for t in prompt]
    check_request(image, prompt, tokens, slots, lanes)
    tile = tile or Tile(image, lanes=lanes, slots=slots)
    tile.state.reset()
    context = min(image.model["context"], slots - lanes)
    result = Generation(prompt)
    for start in range(0, len(prompt), lanes):
        part = prompt[start:start + lanes]
        last = start + len(part) == len(prompt)
        positions = np.arange(start, start + len(part))
        wanted = range(len(part)) if all_logits else [len(part) - 1] if last else []
        logits = tile.run_pass(part, positions, positions, hwm=start + len(part), wanted=wanted)
        result.passes += 1
        result.logits.update((int(positions[w]), row) for w, row in zip(wanted, logits))
    at = len(prompt)
    while True:
        token = choose(result.logits[at - 1])
        result.tokens.append(token)
        if on_token:
            on_token(token)
        if len(result.tokens) == tokens or token in end or at == context:
            break
        result.logits[at] = tile.run_pass([token], [at], [at], hwm=at + 1, wanted=[0])[0]
        result.passes += 1
        at += 1
    result.saturated = tile.state.saturated
    return result


def teacher_force(image, tokens, *, lanes=64, slots=None, tile=None):
    """Logits of every position of `tokens`, fed as they are: float32 [len(tokens), vocab]. Raises HayateError beyond the context."""
    slots = slots or -(-(image.model["context"] + lanes) // 4) * 4
    check_request(image, list(tokens), 1, slots, lanes)
    tile = tile or Tile(image, lanes=lanes, slots=slots)
    tile.state.reset()
    rows = []
    for start in range(0, len(tokens), lanes):
        part = list(tokens[start:start + lanes])
        positions = np.arange(start, start + len(part))
        rows.append(tile.run_pass(part, positions, positions, hwm=start + len(part), wanted=range(len(part))))
    return np.concatenate(rows)
