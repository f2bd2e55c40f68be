"""Golden n-gram drafter: a token tree proposed from what followed the last tokens earlier in the same text."""

from hayate.rtl.contract.draft import BASE_ENTRY, BASE_LOG2, BASE_ONE_BIT, ROTATIONS, TAG_BITS
from hayate.rtl.contract.words import TOKEN_BITS

ORDERS = (3, 2, 1)  # tokens of context, longest first
MAX_SIZE_LOG2 = TOKEN_BITS - TAG_BITS


def rotate(token, by):
    """20 bits, rotated left."""
    return (token << by | token >> TOKEN_BITS - by) & (1 << TOKEN_BITS) - 1


def key(context, size_log2):
    """(index, tag) of a context, a list of 1 to 3 tokens, oldest first.

    The word is the XOR of all rotations that ROTATIONS names, of 20 bits each. The tag is its top 8 bits, the index its
    low `size_log2` bits; the bits between, if any, are XORed into the low end of the index.
    """
    word = 0
    for token, rotations in zip(reversed(context), ROTATIONS):
        for by in rotations:
            word ^= rotate(token, by)
    low = word & (1 << MAX_SIZE_LOG2) - 1
    index = low
    while index >> size_log2:
        index = index & (1 << size_log2) - 1 ^ index >> size_log2
    return index, word >> MAX_SIZE_LOG2


def base_key(context):
    """(index, tag) of a context of one or two tokens, oldest first, in its base table."""
    if len(context) == 1:
        return context[0] & (1 << BASE_LOG2[0]) - 1, context[0] >> BASE_LOG2[0]
    return key(context, BASE_LOG2[1])


class BaseTable:
    """What mostly follows one token and two in texts of the model's kind: two direct-mapped tables that do not change.

    Parameters
    ----------
    rows: int [n, 3], (older, newer, token), older -1 in a context of one token. The first row that comes to an entry
        keeps it.
    """

    def __init__(self, rows):
        self._tables: tuple[dict, dict] = ({}, {})  # contexts of one token, of two: index -> (tag, token)
        for older, newer, token in rows:
            context = [int(newer)] if older < 0 else [int(older), int(newer)]
            index, tag = base_key(context)
            self._tables[len(context) - 1].setdefault(index, (tag, int(token)))

    def look(self, text):
        """The token that follows the last two of `text`, else the one that follows the last; None where neither is
        known.
        """
        for k in (2, 1):
            if len(text) >= k:
                index, tag = base_key(text[-k:])
                found, token = self._tables[k - 1].get(index, (None, 0))
                if found == tag:
                    return token
        return None

    def words(self):
        """[(address, data)] of every entry, those without a context too, for LOAD space NGRAM."""
        tag, valid = BASE_ENTRY["token"], BASE_ENTRY["token"] + BASE_ENTRY["tag"]
        found = []
        for table, bits, first in zip(self._tables, BASE_LOG2, (1 << BASE_ONE_BIT, 0)):
            entries = [(0, 0)] * (1 << bits)
            for index, entry in table.items():
                entries[index] = (entry[0] | 1 << valid - tag, entry[1])
            found += [(first + index, top << tag | token) for index, (top, token) in enumerate(entries)]
        return found


class NgramTable:
    """History of one generation and, for each order k, a direct-mapped table of what followed the last k tokens.

    An entry is (tag, latest, alt): the last position that followed such a context, and the last one before it whose
    token differed; position 0 means none. Positions count from 0, in the order of `append`.

    Parameters
    ----------
    size_log2: log2 of a table's entries, 1 to 12. depth: positions of the history. base: `BaseTable`, None: do without.
    """

    def __init__(self, size_log2, depth, base=None):
        if not 1 <= size_log2 <= MAX_SIZE_LOG2:
            raise ValueError(f"a table has 2 to {1 << MAX_SIZE_LOG2} entries, not 2**{size_log2}")
        self._size_log2, self._depth, self._base = size_log2, depth, base
        self.history = []
        self._tables: dict[int, dict] = {k: {} for k in ORDERS}  # index -> (tag, latest, alt)
        self._settled = 0  # positions that are in the tables

    def append(self, token):
        """Take the text's next token. It is not in the tables before `settle`."""
        if len(self.history) == self._depth:
            raise ValueError(f"the history has {self._depth} positions")
        self.history.append(token)

    def settle(self):
        """Insert all positions p appended since, in order, into the table of each order k <= p.

        Key: the k tokens before p. An entry of another tag becomes (tag, p, 0). Otherwise, `alt` becomes the old
        `latest` when the two positions hold different tokens, and `latest` becomes p.
        """
        h = self.history
        for p in range(self._settled, len(h)):
            for k in ORDERS:
                if p >= k:
                    index, tag = key(h[p - k : p], self._size_log2)
                    old, latest, alt = self._tables[k].get(index, (0, 0, 0))
                    if old != tag or not latest:
                        alt = 0
                    elif h[latest] != h[p]:
                        alt = latest
                    self._tables[k][index] = (tag, p, alt)
        self._settled = len(h)

    def propose(self, nodes, branch):
        """[(token, parent)] for nodes 1, 2, ... below the last token of the history, which is node 0; at most `nodes`,
        or none at all.

        The primary chain starts at `latest` of the longest order whose entry has the tag of the last tokens. The
        alternate starts at the first that exists of: `alt` of that entry; then for each shorter order that hits,
        longest first, its `latest` if the token there is not the primary's first, else its `alt`. The last min(branch,
        nodes - 1) nodes are the alternate's, a chain of its own below node 0, unless there is no alternate. A chain is
        h[p], h[p + 1], ...; behind the last token of the history it goes on at p.

        Where neither three tokens nor two hit, the primary chain is what the base table says, token by token, as far as
        it knows one; the alternate is then that of order 1 as above.
        """
        hits = [entry for entry in map(self._look, ORDERS) if entry]
        h = self.history
        if nodes and self._base and not any(map(self._look, ORDERS[:2])) and (token := self._base.look(h)) is not None:
            alternate = next((latest if h[latest] != token else alt for latest, alt in hits), 0)
            tree: list[tuple[int, int]] = []
            branch, text = min(branch, nodes - 1) if alternate else 0, h[-2:]
            while token is not None and len(tree) < nodes - branch:
                tree.append((token, len(tree)))
                text = [*text, token]
                token = self._base.look(text)
            return tree + self._chain(alternate, branch, len(tree) + 1)
        if not hits or not nodes:
            return []
        (primary, alternate), *shorter = hits
        for latest, alt in shorter:
            alternate = alternate or (latest if h[latest] != h[primary] else alt)
        branch = min(branch, nodes - 1) if alternate else 0
        return self._chain(primary, nodes - branch, 1) + self._chain(alternate, branch, nodes - branch + 1)

    def _look(self, k):
        """(latest, alt) for the last k tokens, or None."""
        if len(self.history) < k:
            return None
        index, tag = key(self.history[-k:], self._size_log2)
        old, latest, alt = self._tables[k].get(index, (0, 0, 0))
        return (latest, alt) if latest and old == tag else None

    def _chain(self, start, count, first):
        """`count` nodes from position `start` on; the first of them is node `first`, below the root."""
        period = len(self.history) - start
        return [(self.history[start + i % period], first + i - 1 if i else 0) for i in range(count)]
