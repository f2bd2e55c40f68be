"""Golden drafting: the tree of a pass as it grows, and the drafters that let it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from hayate.golden.conductor.ngram import BaseTable, NgramTable
from hayate.golden.conductor.tree import Node, ancestors, siblings
from hayate.golden.tile.saturation import Saturations
from hayate.golden.tile.sequencer import Tile
from hayate.rtl.contract.draft import MOST_SECONDS, TABLE_LOG2, Drafter
from hayate.rtl.contract.errors import HayateError

DRAFTERS = tuple(d.name.lower() for d in Drafter)


class Tree:
    """Nodes of a pass, in the order in which they were added, with their KV slots.

    Parameters
    ----------
    free: `FreeList` that slots come from. token, position: of the root.
    """

    def __init__(self, free, token, position):
        self._free = free
        self.nodes, self.slots = [], []
        self._add(Node(token, position, -1))

    def _add(self, node):
        self.nodes.append(node)
        self.slots.append(self._free.take())

    def add(self, token, parent):
        """A node that continues node `parent` with `token`."""
        self._add(Node(token, self.nodes[parent].position + 1, parent))

    @property
    def depth(self):
        """Nodes of the longest chain behind the root."""
        return max(n.position for n in self.nodes) - self.nodes[0].position

    def run(self, tile):
        """Evaluate all nodes in one pass; float32 [nodes, vocab]. Nothing is committed."""
        return tile.run_pass(
            [n.token for n in self.nodes],
            [n.position for n in self.nodes],
            self.slots,
            hwm=self._free.hwm,
            wanted=range(len(self.nodes)),
            ancestors=ancestors(self.nodes),
            commit=False,
        )

    def draft(self, tile):
        """Evaluate the newest node alone, in a pass that drafts, as if all before it, a chain, were text. Returns what
        is chosen there.

        So the slot of the node before it, which the pass before this one has filled, is committed. `run` takes all of
        this back: it gives each slot to its node anew, and rewrites K and V.
        """
        if len(self.nodes) > 1:
            tile.commit([0])
        newest = self.nodes[-1]
        tile.run_pass(
            [newest.token], [newest.position], self.slots[-1:], hwm=self._free.hwm, wanted=[0], draft=True, commit=False
        )
        return tile.choices()[0]


@dataclass
class Drafting:
    """What drafting came to in a generation.

    proposed, accepted: nodes behind the roots. siblings: accepted nodes whose parent has an earlier child. passes: of a
    model that drafts. lengths: accepted nodes of a pass -> passes in which it was so, over the passes behind the
    prompt.
    """

    proposed: int = 0
    accepted: int = 0
    siblings: int = 0
    passes: int = 0
    lengths: dict = field(default_factory=dict)

    def note(self, nodes, path):
        """A verified pass: its nodes, and the indices of those on the path, the root among them."""
        self.proposed += len(nodes) - 1
        self.accepted += len(path) - 1
        self.siblings += sum(siblings(nodes) >> i & 1 for i in path)
        self.lengths[len(path) - 1] = self.lengths.get(len(path) - 1, 0) + 1


class Off:
    """Proposes nothing; what every drafter is asked.

    corrupt: turn the lowest bit of every drafted token over, so that a right one becomes wrong: to measure what
    drafting in vain costs. A node is still right where the drafter missed the choice by this bit. A token that would
    not be below `vocabulary` (None: any would) stays as it was. saturated: `Saturations` of its own passes on a model
    of its own.
    """

    def __init__(self, corrupt=False, vocabulary=None):
        self._corrupt, self._vocabulary = int(corrupt), vocabulary

    @property
    def saturated(self):
        return Saturations()

    def drafted(self, token):
        """A token that was found, as it is put into a tree."""
        other = token ^ self._corrupt
        return token if self._vocabulary is not None and other >= self._vocabulary else other

    def append(self, tokens):
        """The text goes on with `tokens`."""

    def settle(self):
        """A pass begins: what was appended may be learned."""

    def grow(self, tree, room, tile):
        """Add up to `room` nodes to a tree that has its root. Returns the passes that it took."""
        return 0


class Ngram(Off):
    """Proposes what followed the last tokens before, see `NgramTable`. branch: nodes for the alternative. rows: of the
    `BaseTable`.
    """

    def __init__(self, branch, depth, rows=(), **corrupt):
        super().__init__(**corrupt)
        self._branch = branch
        self._table = NgramTable(TABLE_LOG2, depth, BaseTable(rows) if len(rows) else None)

    def append(self, tokens):
        for token in tokens:
            self._table.append(token)

    def settle(self):
        self._table.settle()

    def grow(self, tree, room, tile):
        for token, parent in self._table.propose(room, self._branch) if room else ():
            tree.add(self.drafted(token), parent)
        return 0

    def guess(self):
        """The token that would be the only node, None where there is none."""
        proposed = self._table.propose(1, 0)
        return self.drafted(proposed[0][0]) if proposed else None


class Nested(Off):
    """Proposes what the model chooses when its weights are read as INT4: each pass evaluates the newest node and adds
    one to the chain.

    The last min(branch, MOST_SECONDS, room // 2) nodes are siblings: the second best tokens where they came nearest to
    the best ones, the nearest first, of equally near ones that which is nearer to the root. They take no passes.
    """

    def __init__(self, branch, **corrupt):
        super().__init__(**corrupt)
        self._branch = branch

    def grow(self, tree, room, tile):
        branch, seconds = min(self._branch, MOST_SECONDS, room // 2), []
        for newest in range(room - branch):
            tree.add(self.drafted(tree.draft(tile)), newest)
            token, margin = tile.second()
            seconds.append((margin, newest, token))
        for _, parent, token in sorted(seconds)[:branch]:
            tree.add(self.drafted(token), parent)
        return room - branch


class Model(Off):
    """Proposes what a second model chooses, one node after the other; it has a KV cache of its own, where a slot is a
    position.

    Before it drafts it is fed the text as far as its cache does not hold it, in passes of M positions; then each node
    takes a pass. What `fed` counts as held is the longest part of the text's beginning that was fed: drafted tokens
    that the text did not take do not count.

    Parameters
    ----------
    tile: `Tile` of the second model, with a slot for each position of a text. drawn: what `TileState.draw` takes;
        passes sample and filter like the target's, with the same noise.
    """

    def __init__(self, tile, drawn, **corrupt):
        super().__init__(**corrupt)
        self._tile, self._text, self._held = tile, [], []
        self._lanes = tile.state.lanes
        tile.state.reset()
        tile.state.draw(*drawn)

    @property
    def saturated(self):
        return self._tile.state.saturated

    def append(self, tokens):
        self._text += tokens

    def grow(self, tree, room, tile):
        if not room:
            return 0
        fed = next(
            (at for at, (a, b) in enumerate(zip(self._held, self._text)) if a != b),
            min(len(self._held), len(self._text)),
        )
        passes = 0
        while fed < len(self._text):
            passes, fed = passes + 1, self._feed(fed, self._text[fed : fed + self._lanes])
        tree.add(self.drafted(self._tile.choices()[0]), 0)
        for _ in range(room - 1):
            last = tree.nodes[-1]
            passes, fed = passes + 1, self._feed(last.position, [last.token])
            tree.add(self.drafted(self._tile.choices()[0]), len(tree.nodes) - 1)
        return passes

    def _feed(self, at, tokens):
        """One pass over `tokens`, which stand at positions from `at` on. Returns the position behind them."""
        end = at + len(tokens)
        self._tile.run_pass(
            tokens, range(at, end), range(at, end), hwm=end, wanted=[len(tokens) - 1] if end >= len(self._text) else []
        )
        self._held[at:] = tokens
        return end


def require_drafter(image, speculate):
    """Raise HayateError where `speculate` is not in `DRAFTERS`, or the image has nothing that it could read."""
    if speculate not in DRAFTERS:
        raise HayateError("--speculate", "", f"{speculate!r} is no drafter", f"use one of {', '.join(DRAFTERS)}")
    if speculate == "nested" and not any(d.planes for d in image.weight_matrices().values()):
        raise HayateError(
            "--speculate",
            "nested",
            "needs INT8/INT4 planes, and the image has none",
            "compile the model again with --planes, or use ngram",
        )
    if speculate == "draft" and image.draft is None:
        raise HayateError(
            "--speculate", "draft", "needs a draft model, and the image has none", "give one with --draft, or use ngram"
        )


def make(image, speculate, branch, *, lanes, context, drawn=(None, 0), corrupt=False, log=None):
    """The drafter of a name in `DRAFTERS`.

    branch: nodes for alternatives. lanes: M. context: positions that a text may have. drawn: see `Model`. corrupt: see
    `Off`. log: as of `Tile`, of passes of a second model.
    Raises as `require_drafter`.
    """
    require_drafter(image, speculate)

    def make_model(**corrupt):
        return Model(Tile(image.draft, lanes=lanes, slots=-(-context // 4) * 4, log=log), drawn, **corrupt)

    drafters: dict[str, Callable] = {
        "off": Off,
        "ngram": partial(Ngram, branch, context + 1, image.ngrams),
        "nested": partial(Nested, branch),
        "draft": make_model,
    }
    return drafters[speculate](corrupt=corrupt, vocabulary=image.model["vocab"])
