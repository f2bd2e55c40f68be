"""Golden token loop: prefill in passes of M positions, then decoding; a pass verifies what a drafter proposes."""

from dataclasses import dataclass, field

import numpy as np

from hayate.golden.conductor import draft
from hayate.golden.conductor.free_list import FreeList
from hayate.golden.conductor.tree import verify
from hayate.golden.tile.saturation import Saturations
from hayate.rtl.contract.precision import measured_positions


@dataclass
class Generation:
    """What a generation produced: `tokens`, `logits` by absolute position (wanted, and part of the text), `passes` (not
    those that only draft), `drafting`, `plans` (nodes that each pass behind the prompt was to have behind its root),
    `saturated` and `precision`.

    `precision`: descriptor name of each weight matrix -> {"format": "fp16", "int8" or "int4", "out", "err", "int8_err":
    its energies}.
    """

    prompt: list
    tokens: list = field(default_factory=list)
    logits: dict = field(default_factory=dict)
    passes: int = 0
    saturated: Saturations = field(default_factory=Saturations)
    precision: dict = field(default_factory=dict)
    drafting: draft.Drafting = field(default_factory=draft.Drafting)
    plans: list = field(default_factory=list)


def passes(start, stop, lanes):
    """Positions of each pass that covers `start` to `stop`, at most `lanes` of them."""
    return [np.arange(at, min(at + lanes, stop)) for at in range(start, stop, lanes)]


def run(
    tile,
    prompt,
    tokens,
    *,
    lanes,
    context,
    drafter,
    utility=None,
    nodes=None,
    end=(),
    all_logits=False,
    on_token=None,
    measure=False,
    committed=0,
    freeze=dict,
):
    """Feed `prompt` to a tile, then choose at most `tokens` tokens, cut at a token in `end` or at position `context`.

    Parameters
    ----------
    tile: a `Tile`, or what stands in for one: `run_pass`, `choices` and `commit` are called. lanes: M. drafter: as of
        `draft.make`.
    utility: `Utility`; without it as much is drafted as there is room for. nodes: most that are proposed for a pass
        (default: M - 1).
    all_logits, on_token, committed: as for `generate`. measure: passes over the prompt's first MEASURED_POSITIONS
        positions do.
    freeze: called behind them, or without `measure` at the beginning; gives `Generation.precision`.

    Returns `Generation`, without `saturated`.
    """
    free, result = FreeList(lanes), Generation(prompt)
    measured = measured_positions(len(prompt) - committed) if measure else 0
    if not measured:
        result.precision = freeze()
    for positions in [*passes(0, measured, lanes), *passes(measured, len(prompt), lanes)]:
        last, decisive = (positions[-1] == end - 1 for end in (len(prompt), measured))
        wanted = range(len(positions)) if all_logits else [len(positions) - 1] if last or decisive else []
        taken = [free.take() for _ in positions]
        logits = tile.run_pass(
            prompt[positions[0] : positions[-1] + 1],
            positions,
            taken,
            hwm=free.hwm,
            wanted=wanted,
            measure=positions[0] < measured,
            counted=[len(positions) - 1] if decisive else [],
        )
        result.passes += 1
        result.logits.update((int(positions[w]), row) for w, row in zip(wanted, logits))
        if decisive:
            result.precision = freeze()
    drafter.append(prompt)
    drafter.settle()

    def ends(token, more):
        """Whether the text ends with `token`, the `more`-th that this pass emits."""
        length = len(result.tokens) + more
        return length == tokens or token in end or len(prompt) + length - 1 == context

    def emit(chosen):
        result.tokens += chosen
        drafter.append(chosen)
        for token in chosen:
            if on_token:
                on_token(token)

    emitted = tile.choices()[-1:]
    over = ends(emitted[0], 1)
    emit(emitted)
    while not over:
        at = len(prompt) + len(result.tokens) - 1
        tree = draft.Tree(free, emitted[-1], at)
        room = min(
            lanes - 1 if nodes is None else min(nodes, lanes - 1), context - 1 - at, tokens - len(result.tokens) - 1
        )
        planned, shadow = utility.plan(room) if utility else (room, False)
        result.plans.append(planned)
        guess = drafter.guess() if shadow else None
        result.drafting.passes += drafter.grow(tree, planned, tile)
        drafter.settle()
        logits = tree.run(tile)
        path, emitted = verify(tree.nodes, tile.choices(), 0, ends)
        over = ends(emitted[-1], len(emitted))
        if utility:
            utility.learn(tree.depth, len(path) - 1)
            if guess is not None:
                utility.score(guess == emitted[0])
        tile.commit(path)
        for i, slot in enumerate(tree.slots):
            if i not in path:
                free.give(slot)
        result.passes += 1
        result.drafting.note(tree.nodes, path)
        result.logits.update((tree.nodes[i].position, logits[i]) for i in path)
        emit(emitted)
    return result
