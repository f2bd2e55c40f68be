"""Golden n-gram drafter: a token tree proposed from what followed the last tokens earlier in the same text."""

ORDERS = (3, 2, 1)  # tokens of context, longest first
TOKEN_BITS = 20
TAG_BITS = 8
MAX_SIZE_LOG2 = TOKEN_BITS - TAG_BITS
#: for the newest token of a context, the one before it, and so on: the rotations of it that are XORed together.
ROTATIONS = ((0, 4, 17), (5, 12), (2, 6, 13))


def rotate(token, by):
    """20 bits, rotated left."""
    return (token << by | token >> TOKEN_BITS - by) & (1 << TOKEN_BITS) - 1


def key(context, size_log2):
    """(index, tag) of a context, a list of 1 to 3 tokens, oldest first.

    The word is the XOR of all rotations that ROTATIONS names, of 20 bits each. The tag is its top 8 bits, the index its low `size_log2`
    bits; the bits between, if any, are XORed into the low end of the index.
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


class NgramTable:
    """History of one generation and, for each order k, a direct-mapped table of what followed the last k tokens.

    An entry is (tag, latest, alt): the last position that followed such a context, and the last one before it whose token differed;
    position 0 means none. Positions count from 0, in the order of `append`.

    Parameters
    ----------
    size_log2: log2 of a table's entries, 1 to 12. depth: positions of the history.
    """

    def __init__(self, size_log2, depth):
        if not 1 <= size_log2 <= MAX_SIZE_LOG2:
            raise ValueError(f"a table has 2 to {1 << MAX_SIZE_LOG2} entries, not 2**{size_log2}")
        self._size_log2, self._depth = size_log2, depth
        self.history = []
        self._tables = {k: {} for k in ORDERS}  # index -> (tag, latest, alt)
        self._settled = 0  # positions that are in the tables

    def append(self, token):
        """Take the text's next token. It is not in the tables before `settle`."""
        if len(self.history) == self._depth:
            raise ValueError(f"the history has {self._depth} positions")
        self.history.append(token)

    def settle(self):
        """Insert all positions p appended since, in order, into the table of each order k <= p.

        Key: the k tokens before p. An entry of another tag becomes (tag, p, 0). Otherwise, `alt` becomes the old `latest` when the two
        positions hold different tokens, and `latest` becomes p.
        """
        h = self.history
        for p in range(self._settled, len(h)):
            for k in ORDERS:
                if p >= k:
                    index, tag = key(h[p - k:p], self._size_log2)
                    old, latest, alt = self._tables[k].get(index, (0, 0, 0))
                    if old != tag or not latest:
                        alt = 0
                    elif h[latest] != h[p]:
                        alt = latest
                    self._tables[k][index] = (tag, p, alt)
        self._settled = len(h)

    def propose(self, nodes, branch):
        """[(token, parent)] for nodes 1, 2, ... below the last token of the history, which is node 0; at most `nodes`, or none at all.

        The primary chain starts at `latest` of the longest order whose entry has the tag of the last tokens. The alternate starts at the
        first that exists of: `alt` of that entry; then for each shorter order that hits, longest first, its `latest` if the token there is
        not the primary's first, else its `alt`. The last min(branch, nodes - 1) nodes are the alternate's, a chain of its own below node 0,
        unless there is no alternate. A chain is h[p], h[p + 1], ...; behind the last token of the history it goes on at p.
        """
        hits = [entry for entry in map(self._look, ORDERS) if entry]
        if not hits or not nodes:
            return []
        h = self.history
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
