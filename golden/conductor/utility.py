"""Golden utility control: how many nodes to draft for a pass, from how often drafts were right and from what passes
cost.
"""

from hayate.rtl.contract.config import MAX_LANES
from hayate.rtl.contract.draft import (
    CHANCE_BITS,
    CHANCE_SHIFT,
    COST_BITS,
    DOUBT_SHIFT,
    DRAFT_COST_BITS,
    FIRST_CHANCE,
    MORE_CHANCE,
    OWN_CHANCE,
    RETRY_MOST,
    RETRY_PASSES,
)


def toward(chance, right, shift):
    """A chance, moved 1 / 2**shift of its way up (`right`) or down. The step is rounded down, so it never leaves its
    bits.
    """
    return chance + ((1 << CHANCE_BITS) - 1 - chance >> shift) if right else chance - (chance >> shift)


class Utility:
    """Chooses n, the nodes behind the root of the next pass, so that the expected tokens per cost are the most.

    `first` is the chance that a node right behind the root is accepted, `more` that an accepted chain goes on by one
    more node; a and b are their upper 8 bits. n nodes are expected to give (256 + S_n) / 256 tokens: S_n = t_1 + ... +
    t_n, t_1 = a, t_n = t_(n-1) * b >> 8. They cost C_n = costs[n] + n * draft_cost. The n with the largest (256 + S_n)
    / C_n is chosen, of equal ones the least; all integers.

    What is chosen depends on the text, the drafter and the table, never on the time that a machine takes.

    Parameters
    ----------
    costs: of a pass with 1, 2, ... 8 nodes, integers of 16 bits, the first one `COST_UNIT`; those beyond M are not
        looked at.
    draft_cost: of each pass that drafts a node, 12 bits. 0: the drafter takes no passes of its own.

    Members: ``first``, ``more``: 16 bits each. ``idle``: plans that came to nothing since the last one that drafted.
    ``pause``: plans from there to the next try of a drafter with passes of its own.
    """

    def __init__(self, costs, draft_cost=0):
        if len(costs) != MAX_LANES or not all(0 < c < 1 << COST_BITS for c in costs):
            raise ValueError(f"{costs} are not {MAX_LANES} costs of {COST_BITS} bits")
        if not 0 <= draft_cost < 1 << DRAFT_COST_BITS:
            raise ValueError(f"a draft's cost has {DRAFT_COST_BITS} bits, not {draft_cost}")
        self._costs, self._draft_cost = list(costs), draft_cost
        self.begin()

    def begin(self):
        """A generation begins: trust the drafter a little."""
        self.first, self.more = OWN_CHANCE if self._draft_cost else FIRST_CHANCE, MORE_CHANCE
        self.idle, self.pause = 0, RETRY_PASSES

    def plan(self, room):
        """(nodes, shadow) for the next pass: nodes to draft, at most `room`; whether to draft one that is not put into
        the pass.

        Where drafting does not pay, a drafter without passes of its own is asked for one node all the same, in shadow:
        the caller compares it with the token that is then chosen and tells `score`. One with passes of its own drafts a
        node in the RETRY_PASSES-th such pass, and then after twice as many each time, RETRY_MOST at most, until one is
        right. With `room` 0 it is (0, False), and nothing changes.
        """
        if not room:
            return 0, False
        best, value, cost = 0, 256, self._costs[0]
        total, term = 256, self.first >> 8
        for n in range(1, room + 1):
            total += term
            if total * cost > value * (now := self._costs[n] + n * self._draft_cost):
                best, value, cost = n, total, now
            term = term * (self.more >> 8) >> 8
        if best or not self._draft_cost:
            self.idle, self.pause = 0, RETRY_PASSES
            return best, not best
        self.idle = (self.idle + 1) % self.pause
        if self.idle:
            return 0, False
        self.pause = min(2 * self.pause, RETRY_MOST)
        return 1, False

    def learn(self, proposed, accepted):
        """A pass was verified. proposed: nodes of its longest chain behind the root; accepted: nodes of the path behind
        the root.

        `first` moves up if any was accepted, else down. Then `more` moves up for each further one accepted, and down if
        the chain broke behind an accepted node; it moves up by a little if the chain had one node, so that chains that
        were too short grow again. Nothing proposed: nothing changes.
        """
        if not proposed:
            return
        self.first = toward(self.first, accepted > 0, CHANCE_SHIFT)
        if accepted:
            self.pause = RETRY_PASSES
        for _ in range(accepted - 1):
            self.more = toward(self.more, True, CHANCE_SHIFT)
        if 0 < accepted < proposed:
            self.more = toward(self.more, False, CHANCE_SHIFT)
        if accepted == proposed == 1:
            self.more = toward(self.more, True, DOUBT_SHIFT)

    def score(self, right):
        """The node drafted in shadow was `right`, or it was not. Only `first` moves. Not called where the drafter had
        none.
        """
        self.first = toward(self.first, right, CHANCE_SHIFT)
