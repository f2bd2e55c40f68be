"""Golden token tree and free list, by hand and against the rules read literally."""

import random

import pytest

from hayate.golden.conductor.free_list import FreeList
from hayate.golden.conductor.tree import Node, ancestors, siblings, verify

#    0 ── 1 ── 3 ── 5
#    │    └─── 4
#    └─── 2 ── 6
TREE = [
    Node(token, 10 + depth, parent)
    for token, depth, parent in [(7, 0, -1), (1, 1, 0), (2, 1, 0), (3, 2, 1), (4, 2, 1), (5, 3, 3), (3, 2, 2)]
]


def never(token, generated):
    return False


def test_ancestors():
    assert ancestors(TREE) == [0b1, 0b11, 0b101, 0b1011, 0b10011, 0b101011, 0b1000101]
    chain = [Node(9, 4 + k, k - 1) for k in range(8)]
    assert ancestors(chain) == [(2 << k) - 1 for k in range(8)]
    assert ancestors([]) == []
    assert ancestors([Node(1, 0), Node(2, 5)]) == [0b1, 0b10]


def test_siblings():
    assert siblings(TREE) == 0b10100
    assert siblings([Node(9, k, k - 1) for k in range(8)]) == 0
    assert siblings([Node(1, 0), Node(2, 5)]) == 0


@pytest.mark.parametrize("parent", [-2, 1, 2])
def test_a_parent_is_a_lower_node(parent):
    with pytest.raises(ValueError, match=f"node 1 has parent {parent}"):
        ancestors([Node(1, 0), Node(2, 1, parent), Node(3, 2, 1)])


def test_a_parent_is_one_position_before():
    with pytest.raises(ValueError, match="node 1 at 2 has its parent at 0"):
        ancestors([Node(1, 0), Node(2, 2, 0)])


@pytest.mark.parametrize(
    ("choices", "start", "path", "tokens"),
    [
        ([9, 0, 0, 0, 0, 0, 0], 0, [0], [9]),  # no child: one token, as without speculation
        ([1, 3, 0, 5, 0, 8, 0], 0, [0, 1, 3, 5], [1, 3, 5, 8]),  # down to a leaf, whose choice counts too
        ([1, 4, 0, 0, 6, 0, 0], 0, [0, 1, 4], [1, 4, 6]),  # a sibling
        ([2, 0, 4, 0, 0, 0, 0], 0, [0, 2], [2, 4]),  # the other branch's token is no match
        ([1, 3, 0, 5, 0, 8, 7], 6, [6], [7]),  # from the last node
        ([0, 3, 0, 4, 0, 0, 0], 1, [1, 3], [3, 4]),
    ],
)
def test_verify(choices, start, path, tokens):
    assert verify(TREE, choices, start, never) == (path, tokens)


def test_equal_siblings_go_to_the_lowest():
    nodes = [Node(1, 0), Node(5, 1, 0), Node(5, 1, 0), Node(6, 2, 2)]
    assert verify(nodes, [5, 6, 6, 6], 0, never) == ([0, 1], [5, 6])


def test_the_text_ends():
    choices = [1, 3, 0, 5, 0, 8, 0]
    seen = []

    def ends(token, generated):
        seen.append((token, generated))
        return token == 5

    assert verify(TREE, choices, 0, ends) == ([0, 1, 3], [1, 3, 5])
    assert seen == [(1, 1), (3, 2), (5, 3)]
    assert verify(TREE, choices, 0, lambda token, generated: generated == 2) == ([0, 1], [1, 3])
    assert verify(TREE, choices, 0, lambda token, generated: True) == ([0], [1])


def test_tokens_do_not_depend_on_the_tree():
    """Whatever is drafted, the tokens are those of one node a pass, for any text that is a function of its past."""
    r = random.Random(1)

    def following(text):
        return (text[-1] * 5 + sum(text[-3:-1]) + 1) % 4

    def speculate(nodes_in_a_pass, length):
        text = [r.randrange(4)]
        plain = list(text)
        while len(plain) <= length:
            plain.append(following(plain))
        while len(text) <= length:
            nodes, texts = [Node(text[-1], len(text) - 1)], [list(text)]
            for k in range(1, r.randint(1, nodes_in_a_pass)):
                parent = r.randrange(k)
                nodes.append(Node(r.randrange(4), nodes[parent].position + 1, parent))
                texts.append([*texts[parent], nodes[-1].token])
            room = length + 1 - len(text)
            path, tokens = verify(
                nodes, [following(t) for t in texts], 0, lambda token, generated, room=room: generated == room
            )
            assert len(path) == len(tokens) and ancestors(nodes)[path[-1]] == sum(1 << k for k in path)
            text += tokens
        assert text == plain

    for size in (1, 2, 4, 8):
        for _ in range(20):
            speculate(size, 30)


def test_slots():
    slots = FreeList(4)
    assert [slots.take() for _ in range(5)] == [0, 1, 2, 3, 4] and slots.hwm == 5
    slots.give(3)
    slots.give(1)
    slots.give(2)
    assert slots.hwm == 5 and slots.pool == [1, 2, 3]
    assert [slots.take() for _ in range(4)] == [1, 2, 3, 5] and slots.hwm == 6
    slots.reset()
    assert slots.hwm == 0 and slots.take() == 0


@pytest.mark.parametrize("lanes", [1, 2, 4, 8])
def test_passes_need_few_slots(lanes):
    """Of text of length n, at most n + lanes - 1 slots are ever in use: a rejected slot comes back before a new one is
    taken.
    """
    r, slots, committed = random.Random(lanes), FreeList(lanes), set()
    for _ in range(500):
        taken = [slots.take() for _ in range(r.randint(1, lanes))]
        assert committed.isdisjoint(taken)
        kept = {taken[0], *r.sample(taken, r.randint(1, len(taken)))}
        committed |= kept
        for slot in taken:
            if slot not in kept:
                slots.give(slot)
        assert len(slots.pool) <= lanes - 1 and slots.hwm == len(committed) + len(slots.pool)


def test_misuse_of_slots():
    slots = FreeList(1)
    slots.take(), slots.take()
    with pytest.raises(ValueError, match="slot 2 is not taken"):
        slots.give(2)
    slots.give(1)
    with pytest.raises(ValueError, match="slot 1 is not taken"):
        slots.give(1)
    with pytest.raises(ValueError, match="1 slots are free already"):
        slots.give(0)
