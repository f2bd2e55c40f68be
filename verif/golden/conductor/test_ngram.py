"""The n-gram drafter against a search of the whole text, and on texts whose tree is known."""

import random

import pytest

from hayate.golden.conductor.ngram import MAX_SIZE_LOG2, ORDERS, BaseTable, NgramTable, base_key, key, rotate


def text(r, length, vocabulary):
    """Random tokens with repetition: loops of short periods, copies of earlier stretches, changes in them."""
    alphabet = [r.getrandbits(r.choice([9, 17, 20])) for _ in range(vocabulary)]
    found = [r.choice(alphabet)]
    while len(found) < length:
        kind, start = r.randrange(4), r.randrange(len(found))
        if kind == 0:
            found += [r.choice(alphabet) for _ in range(r.randint(1, 6))]
        elif kind == 1:
            found += found[start : start + r.randint(2, 20)]
        else:
            found += (found[-r.randint(1, 5) :] * 8)[: r.randint(2, 16)]
    return found[:length]


def positions(h, settled, k, size_log2):
    """Positions in the entry that the last k tokens meet: those since its tag last changed, if it is their tag."""
    if len(h) < k:
        return []
    index, tag = key(h[-k:], size_log2)
    same = []
    for p in range(k, settled):
        if key(h[p - k : p], size_log2)[0] == index:
            same = [*same, p] if key(h[p - k : p], size_log2)[1] == tag else []
    return same


def search(h, settled, nodes, branch, size_log2):
    """The tree by the words of the docstrings, without tables."""
    found = [p for p in (positions(h, settled, k, size_log2) for k in ORDERS) if p]
    if not found or not nodes:
        return []
    primary = found[0][-1]
    candidates = [p for p in reversed(found[0]) if h[p] != h[primary]][:1]
    for same in found[1:]:
        candidates += [same[-1]] if h[same[-1]] != h[primary] else [p for p in reversed(same) if h[p] != h[primary]][:1]
    tree = []
    for start, count in (
        ((primary, nodes - branch), *((c, branch) for c in candidates[:1])) if candidates else ((primary, nodes),)
    ):
        p, parent = start, 0
        for _ in range(count):
            tree.append((h[p], parent))
            parent, p = len(tree), start if p == len(h) - 1 else p + 1
    return tree


@pytest.mark.parametrize("size_log2", [1, 3, 6, 9, 12])
def test_tree_equals_a_search_of_the_text(size_log2):
    r = random.Random(size_log2)
    proposed = forked = 0
    for vocabulary in (1, 2, 3, 20, 200):
        table, settled = NgramTable(size_log2, 300), 0
        for token in text(r, 300, vocabulary):
            table.append(token)
            if r.random() < 0.7:
                nodes = r.randrange(8)
                branch = r.randrange(max(nodes, 1))
                tree = table.propose(nodes, branch)
                assert tree == search(table.history, settled, nodes, branch, size_log2)
                proposed += bool(tree)
                forked += sum(parent == 0 for _, parent in tree) == 2
            if r.random() < 0.5:
                table.settle()
                settled = len(table.history)
    assert proposed > 200 and forked > 20


def test_a_loop_goes_on():
    for period in range(1, 6):
        table = NgramTable(9, 64)
        loop = list(range(100, 100 + period))
        for token in loop * 3:
            table.append(token)
        table.settle()
        assert table.propose(7, 3) == [(loop[i % period], i) for i in range(7)]


def test_the_alternate_is_what_came_before():
    table = NgramTable(9, 64)
    for token in [1, 2, 3, 7, 8, 1, 2, 3, 9, 6, 1, 2, 3]:
        table.append(token)
    assert table.propose(5, 2) == []  # nothing is settled yet
    table.settle()
    assert table.propose(5, 2) == [(9, 0), (6, 1), (1, 2), (7, 0), (8, 4)]
    assert table.propose(5, 0) == [(9, 0), (6, 1), (1, 2), (2, 3), (3, 4)]
    assert table.propose(2, 7) == [(9, 0), (7, 0)]
    assert table.propose(1, 7) == [(9, 0)]
    assert table.propose(0, 0) == []


def test_the_base_table_speaks_where_two_tokens_are_new():
    table = NgramTable(9, 64, BaseTable([(-1, 3, 4), (3, 4, 5), (-1, 4, 9), (4, 5, 6), (8, 3, 7), (3, 4, 1)]))
    for token in [3]:
        table.append(token)
    assert table.propose(3, 1) == [(4, 0), (5, 1), (6, 2)]
    assert table.propose(7, 1) == [(4, 0), (5, 1), (6, 2)]  # nothing is known behind 6
    for token in [2, 8, 3]:
        table.append(token)
    table.settle()
    # two tokens before one; the alternate is what followed 3, and keeps its length
    assert table.propose(4, 1) == [(7, 0), (2, 0)]
    table.append(2)
    # what followed 2 in the text: the base table knows nothing
    assert table.propose(4, 2) == [(8, 0), (3, 1), (2, 2), (8, 3)]
    for token in [8, 3, 3]:
        table.append(token)
    table.settle()
    for token in [2, 8]:
        table.append(token)
    assert table.propose(2, 0) == [(3, 0), (3, 1)]  # the text itself knows what follows 2, 8


def test_base_rows_keep_their_entries():
    rows = [(1, 2, 3), (1, 2, 4), (-1, 2, 5), (-1, 2 + 512, 6)]
    table = BaseTable(rows)
    assert table.look([1, 2]) == 3 and table.look([2]) == table.look([7, 2]) == 5
    assert table.look([514]) is None and table.look([9]) is None
    words = dict(table.words())
    assert len(words) == 4096 + 512 and sorted(words) == list(range(4608))
    index, tag = base_key([1, 2])
    assert {a: w for a, w in words.items() if w} == {4096 + 2: 1 << 31 | 5, index: 1 << 31 | tag << 20 | 3}


def test_keys_do_not_crowd():
    """Contexts of small tokens, as a small vocabulary has them, spread over index and tag."""
    r = random.Random(1)
    for size_log2 in (8, 10, MAX_SIZE_LOG2):
        for k in ORDERS:
            contexts = {tuple(r.randrange(512) for _ in range(k)) for _ in range(1 << size_log2)}
            keys = [key(list(c), size_log2) for c in contexts]
            random_share = 1 - (1 - 2.0**-size_log2) ** len(keys)
            assert len({i for i, _ in keys}) > 0.9 * random_share * 2**size_log2
            assert len(set(keys)) > 0.98 * len(keys)


def test_domain():
    assert rotate(1 << 19 | 1, 1) == 3
    with pytest.raises(ValueError, match="2 to 4096 entries"):
        NgramTable(13, 8)
    table = NgramTable(4, 1)
    table.append(5)
    with pytest.raises(ValueError, match="1 positions"):
        table.append(5)
