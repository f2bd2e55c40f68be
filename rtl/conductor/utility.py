"""Utility control: how many nodes to draft for a pass, from how often drafts were right and from what passes cost."""

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

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
from hayate.rtl.contract.words import PASS_SIZE_BITS

VALUE_BITS = 11  # 256 and 255 for each of 7 nodes
TOTAL_COST_BITS = 17  # a pass of 16 bits, and 7 drafts of 12


class Utility(wiring.Component):
    """Chooses the nodes behind the root of the next pass: the n with the most expected tokens per cost, the least n of
    equal ones.

    a and b are the upper 8 bits of two chances of 16: that a node right behind the root is accepted, and that an
    accepted chain goes on by one more node. Of n nodes (256 + S_n) / 256 tokens are expected: S_n = t_1 + ... + t_n,
    t_1 = a, t_n = t_(n-1) * b >> 8. They cost C_n = costs[n] + n * draft_cost. Quotients are compared by their cross
    products, exactly. Where n comes out as 0, a drafter without passes of its own (draft_cost 0) is to draft one node
    in `shadow`; one that has them drafts a node in the RETRY_PASSES-th such pass, and then after twice as many each
    time, RETRY_MOST at most, until one is right.

    `done` is high room + 1 cycles after `plan`, for one cycle; the results show with it and hold until the next plan.
    From the cycle behind `plan` to `done` `nodes` rises: it is never more than what will come out. What was verified or
    scored moves the first chance by 1/8 of its way to 1 or 0. The second chance goes up by 1/8 with each `rise`, while
    the pass is being verified; behind `learn`, down by 1/8 where the chain broke behind an accepted node, or up by 1/64
    where a chain of one node was accepted. A plan may come with `learn` or `score` or at any time behind them, and
    begins when this has been done: in the cycle behind them, or where the second chance moves in the one behind that.
    Steps are rounded down.

    From a plan until `done`, nothing is learned or scored and no other plan is asked for. `learn`, `score` and `rise`
    do not come in the 2 cycles behind a `learn`, nor `learn` and `score` together; `rise` may come with `learn`.
    `clear` wins over everything, ends what is in progress and sets the chances to FIRST_CHANCE, OWN_CHANCE where
    draft_cost is not 0, and MORE_CHANCE; so does reset, as if draft_cost were 0.
    Nothing holds the block back. One multiplier of 8 x 8 bits, two of 11 x 17.

    A plan that comes with what a pass teaches, and finds two nodes best (`doubt`: the second chance moves)::

        cycle  0   1   2   3   4   5   6
        plan   ~~~~________________________
        learn  ~~~~________________________
        doubt  ____~~~~____________________
        step0  ________~~~~________________
        going  ____________~~~~~~~~________
        nodes  0...............1...2.......
        done   ____________________~~~~____

    Parameters
    ----------
    lanes: M.

    Members
    -------
    costs: In, `lanes` x 16, of a pass with 1, 2, ... nodes, not 0. draft_cost: In(12), of a pass that drafts a node; 0:
        the drafter has none. room: In(4), most nodes, below `lanes`. All constant from `plan` until the cycle before
        `done`, `draft_cost` from `clear` on.
    clear: In, a strobe: a generation begins. plan: In, a strobe. done: Out, a strobe. nodes: Out(3). shadow: Out. See
        above.
    rise: In, a strobe: a node behind the first has been accepted. learn: In, a strobe. proposed, accepted: In(4), nodes
        of a verified pass behind the root: in its longest chain, on the path. Nothing moves where none was proposed.
    score: In, a strobe. right: In. Whether the node drafted in shadow had the token that was chosen.
    first, more: Out(16). The two chances, in 1/65536.
    """

    def __init__(self, lanes):
        self._lanes = lanes
        super().__init__(
            {
                "costs": In(COST_BITS).array(lanes),
                "draft_cost": In(DRAFT_COST_BITS),
                "room": In(PASS_SIZE_BITS),
                "clear": In(1),
                "plan": In(1),
                "done": Out(1),
                "nodes": Out(3),
                "shadow": Out(1),
                "rise": In(1),
                "learn": In(1),
                "proposed": In(PASS_SIZE_BITS),
                "accepted": In(PASS_SIZE_BITS),
                "score": In(1),
                "right": In(1),
                "first": Out(CHANCE_BITS, init=FIRST_CHANCE),
                "more": Out(CHANCE_BITS, init=MORE_CHANCE),
            }
        )

    def elaborate(self, platform):
        m = Module()
        first, more = self.first, self.more

        # What passes teach.
        # steps of `more` that are still to come
        down = Signal()
        doubt = Signal()
        with m.If(self.score | self.learn & (self.proposed != 0)):
            m.d.sync += first.eq(toward(first, Mux(self.score, self.right, self.accepted != 0), CHANCE_SHIFT))
        m.d.sync += [
            down.eq(self.learn & (self.accepted != 0) & (self.accepted < self.proposed)),
            doubt.eq(self.learn & (self.accepted == 1) & (self.proposed == 1)),
        ]
        with m.If(self.rise):
            m.d.sync += more.eq(toward(more, 1, CHANCE_SHIFT))
        with m.Elif(down):
            m.d.sync += more.eq(toward(more, 0, CHANCE_SHIFT))
        with m.Elif(doubt):
            m.d.sync += more.eq(toward(more, 1, DOUBT_SHIFT))

        # Plan: in step n, n is compared with the best of those below, and what step n + 1 compares is made. Step 0 only
        # makes.
        waiting = Signal()
        going = Signal()
        step0 = Signal()
        n = Signal(range(MAX_LANES))
        best = Signal(range(MAX_LANES))
        # expected of n nodes, times 256; what node n + 1 adds
        tokens = Signal(VALUE_BITS)
        term = Signal(8)
        # of n nodes; drafts of n + 1
        cost = Signal(TOTAL_COST_BITS)
        drafts = Signal(TOTAL_COST_BITS)
        best_tokens = Signal(VALUE_BITS)
        best_cost = Signal(TOTAL_COST_BITS)
        last = Signal()
        better = Signal()
        m.d.comb += [
            step0.eq((self.plan | waiting) & ~(self.learn | self.score | down | doubt)),
            last.eq(n == self.room),
            better.eq(tokens * best_cost > best_tokens * cost),
        ]
        costs = Array([*self.costs, *[0] * (MAX_LANES + 1 - self._lanes)])
        now_n = Signal(PASS_SIZE_BITS)
        now_term = Signal(8)
        now_drafts = Signal(TOTAL_COST_BITS)
        m.d.comb += [
            now_n.eq(Mux(step0, 0, n)),
            now_term.eq(Mux(step0, first[8:], term)),
            now_drafts.eq(Mux(step0, self.draft_cost, drafts)),
        ]
        m.d.sync += [waiting.eq((self.plan | waiting) & ~step0), self.done.eq(0)]
        with m.If(step0 | going):
            m.d.sync += [
                n.eq(now_n + 1),
                tokens.eq(Mux(step0, 256, tokens) + now_term),
                term.eq((now_term * more[8:]) >> 8),
                cost.eq(costs[now_n + 1] + now_drafts),
                drafts.eq(now_drafts + self.draft_cost),
            ]
        idle = Signal(range(RETRY_MOST))
        own = Signal()
        retry = Signal()
        due = Signal()
        pause = Signal(range(RETRY_MOST), init=RETRY_PASSES - 1)  # less 1
        m.d.comb += [own.eq(self.draft_cost != 0), due.eq(idle == pause)]
        with m.If(self.learn & (self.accepted != 0)):
            m.d.sync += pause.eq(RETRY_PASSES - 1)
        with m.If(self.plan):
            m.d.sync += [best.eq(0), retry.eq(0)]
        with m.If(step0):
            m.d.sync += [
                best.eq(0),
                best_tokens.eq(256),
                best_cost.eq(self.costs[0]),
                going.eq(self.room != 0),
                self.done.eq(self.room == 0),
                retry.eq(own & due & (self.room != 0)),
                self.shadow.eq(~own & (self.room != 0)),
            ]
        with m.Elif(going):
            m.d.sync += [going.eq(~last), self.done.eq(last)]
            with m.If(better):
                m.d.sync += [best.eq(n), best_tokens.eq(tokens), best_cost.eq(cost), self.shadow.eq(0), retry.eq(0)]
        m.d.comb += self.nodes.eq(best | retry)
        with m.If(going & last):
            some = better | (best != 0)
            m.d.sync += idle.eq(Mux(some | ~own | due, 0, idle + 1))
            with m.If(some):
                m.d.sync += pause.eq(RETRY_PASSES - 1)
            with m.Elif(own & due):
                m.d.sync += pause.eq(pause | pause << 1 | 1)

        with m.If(self.clear):
            m.d.sync += [
                first.eq(Mux(own, OWN_CHANCE, FIRST_CHANCE)),
                more.eq(MORE_CHANCE),
                idle.eq(0),
                pause.eq(RETRY_PASSES - 1),
                down.eq(0),
                doubt.eq(0),
                waiting.eq(0),
                going.eq(0),
                self.done.eq(0),
            ]
        return m


def toward(chance, right, shift):
    """A chance moved 1 / 2**shift of its way up where `right`, else down."""
    step = (chance ^ Mux(right, (1 << CHANCE_BITS) - 1, 0)) >> shift
    return Mux(right, chance + step, chance - step)[:CHANCE_BITS]
