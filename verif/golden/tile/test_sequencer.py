"""Golden passes over token trees: every node computes what its path alone would, and what is rejected leaves no
trace.
"""

import numpy as np
import pytest

from hayate.compiler import compile_model
from hayate.golden.tile.sequencer import Tile
from hayate.rtl.contract.precision import Format
from hayate.verif.models.tiny import write_tiny_model

SLOTS, VOCAB = 48, 50
PROMPT = [7, 3, 41, 1, 5]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return compile_model(
        write_tiny_model(
            folder, hidden=24, layers=2, heads=6, kv_heads=2, head_dim=8, ff=40, vocab=VOCAB, context=40, seed=27
        ),
        group=32,
    )


class Tree:
    """Random trees, their nodes in slots of a pool of free ones or else in new ones."""

    def __init__(self, random, tile, lanes):
        self.random, self.tile, self.lanes = random, tile, lanes
        self.free, self.hwm = [], 0

    def allocate(self, count):
        self.free.sort()
        slots, self.free = self.free[:count], self.free[count:]
        new = range(self.hwm, self.hwm + count - len(slots))
        self.hwm = new.stop
        return [*slots, *new]

    def grow(self, root, at):
        """Run a tree below token `root` at position `at`: (tokens, parents, slots, logits)."""
        count = int(self.random.integers(1, self.lanes + 1))
        tokens = [root, *self.random.integers(0, VOCAB, count - 1).tolist()]
        parents = [-1, *(int(self.random.integers(0, k)) for k in range(1, count))]
        positions, ancestors = [at], [1]
        for k in range(1, count):
            positions.append(positions[parents[k]] + 1)
            ancestors.append(ancestors[parents[k]] | 1 << k)
        slots = self.allocate(count)
        logits = self.tile.run_pass(
            tokens, positions, slots, hwm=self.hwm, wanted=range(count), ancestors=ancestors, commit=False
        )
        return tokens, parents, slots, logits

    def accept(self, parents, slots):
        """Make a random path from the root part of the text; its nodes."""
        path = [0]
        while (children := [k for k, p in enumerate(parents) if p == path[-1]]) and self.random.random() < 0.7:
            path.append(int(self.random.choice(children)))
        self.tile.commit(path)
        self.free += [s for k, s in enumerate(slots) if k not in path]
        return path


@pytest.mark.parametrize("lanes", [2, 4, 8])
def test_nodes_of_a_tree_compute_what_their_paths_would(image, lanes):
    random = np.random.default_rng(lanes)
    tile, plain = Tile(image, lanes=lanes, slots=SLOTS), Tile(image, lanes=1, slots=SLOTS)
    reused = 0
    for _ in range(2):  # the second generation finds the slots of the first
        tree = Tree(random, tile, lanes)
        for at in range(0, len(PROMPT), lanes):
            part = PROMPT[at : at + lanes]
            tile.run_pass(part, range(at, at + len(part)), tree.allocate(len(part)), hwm=tree.hwm, wanted=[])
        for at, token in enumerate(PROMPT):
            plain.run_pass([token], [at], [at], hwm=at + 1, wanted=[])
        text = list(PROMPT)
        for _ in range(8):
            root = int(random.integers(0, VOCAB))
            reused += bool(tree.free)
            tokens, parents, slots, logits = tree.grow(root, len(text))
            for node in range(len(tokens)):
                path = [node]
                while path[0]:
                    path.insert(0, parents[path[0]])
                for depth, k in enumerate(path):
                    at = len(text) + depth
                    alone = plain.run_pass([tokens[k]], [at], [at], hwm=at + 1, wanted=[0])[0]
                assert np.array_equal(alone.view(np.uint32), logits[node].view(np.uint32)), (tokens, parents, node)
            accepted = tree.accept(parents, slots)
            for k in accepted:
                plain.run_pass([tokens[k]], [len(text)], [len(text)], hwm=len(text) + 1, wanted=[])
                text.append(tokens[k])
            if len(text) + lanes > 36:
                break
    assert reused


def test_a_chain_is_the_default(image):
    tiles = [Tile(image, lanes=4, slots=SLOTS) for _ in range(2)]
    one = tiles[0].run_pass([1, 2, 3], [0, 1, 2], [2, 0, 1], hwm=3, wanted=[0, 1, 2])
    other = tiles[1].run_pass(
        [1, 2, 3], [0, 1, 2], [2, 0, 1], hwm=3, wanted=[0, 1, 2], ancestors=[0b1, 0b11, 0b111], commit=False
    )
    assert np.array_equal(one, other)
    tiles[1].commit(range(3))
    assert np.array_equal(tiles[0].state.slot_position, tiles[1].state.slot_position)


def test_a_draft_pass_reads_hi_planes(image):
    tiles = [Tile(image, lanes=2, slots=SLOTS) for _ in range(2)]
    passes = [([9, 4], [0, 1], [0, 1]), ([30], [2], [2])]
    full = [tiles[0].run_pass(*p, hwm=p[2][-1] + 1, wanted=[0]) for p in passes]
    drafted = [tiles[0].run_pass(*p, hwm=p[2][-1] + 1, wanted=[0], draft=True) for p in passes]
    assert all((a != b).any() for a, b in zip(full, drafted))
    tiles[1].state.load_precision(dict.fromkeys(tiles[1].state.precision, Format.INT4))
    for p, logits in zip(passes, drafted):
        assert np.array_equal(tiles[1].run_pass(*p, hwm=p[2][-1] + 1, wanted=[0]), logits)
    again = [tiles[0].run_pass(*p, hwm=p[2][-1] + 1, wanted=[0]) for p in passes]
    assert all(np.array_equal(a, b) for a, b in zip(full, again))
    with pytest.raises(ValueError, match="does not measure"):
        tiles[0].run_pass([9], [0], [0], hwm=1, wanted=[], measure=True, draft=True)
