"""Plans the tree of the next pass and lets it grow: how many nodes, which, and whose choice they are."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.conductor.feeder import FED, Feeder
from hayate.rtl.conductor.ngram import NgramDrafter
from hayate.rtl.conductor.utility import Utility
from hayate.rtl.contract.draft import (
    CHANCE_BITS,
    FIRST_CHANCE,
    MORE_CHANCE,
    MOST_SECONDS,
    STEP_BITS,
    TABLE_LOG2,
    Drafter,
)
from hayate.rtl.contract.flits import LANE_BITS
from hayate.rtl.contract.words import PASS_SIZE_BITS, POSITION_BITS, TOKEN_BITS
from hayate.rtl.interfaces import BASE_WRITE, Drafting


class Planner(wiring.Component):
    """Decides on the nodes behind the root of each pass.

    A plan begins the cycle after `verified`, from `room` and, with `draft.control`, by `Utility`. Drafters are of two
    kinds. NGRAM answers from its tables: where `grows`, nodes come once the tree has its root, each as soon as it is
    sure to be in the plan. The others take passes, for which the plan must be there: until it is, from the cycle after
    `verified` on, `planning` is high. NESTED has weights read as INT4 (`drafting`): each pass evaluates the newest
    node, and what is chosen there becomes the next, until there are as many as planned, less min(branch, MOST_SECONDS,
    half of the plan): siblings, the second best choices with the least margins, the nearest to the root first of equal
    ones. Then all are verified, and `drafting` is low. DRAFT does the same without siblings, but its passes are the
    second model's (`feeds`), over positions that `Feeder` offers as `word`s; those before the last one (`caught_up`)
    bring no node.

    While `grow` is high, `add` says that a node comes, one a cycle, and `grown` that it is the last one for now, or
    that there is none. With a drafter that takes passes `grown` is high in the first cycle, where no siblings follow,
    and `add` where the pass brings a node. In its `shadow` a node of the tables is not added but compared with what is
    then chosen, the first token that is appended with `emitted` 0; `Utility` hears of that instead of the pass. With
    `corrupt` the lowest bit of every token that is drafted, or compared, is turned over, where this gives a token below
    `vocabulary`: a drafter that is right as good as never, to measure what the control costs. Only where the drafter
    missed the choice by this bit, or the vocabulary ends with its token, is the node right.

    Nothing holds the block back. Reset is a `clear`, but for the tables: a text begins with `clear`.

    NESTED under control: two nodes are planned, and each comes of a pass::

        cycle     0   1   2   3   4   5   6   7   8   9   10  11  12  13
        verified  ~~~~____________________________________________________
        planning  ____~~~~~~~~~~~~~~~~____________________________________
        root      ________________________~~~~____________________________
        drafting  ____________________________~~~~~~~~~~~~~~~~~~~~~~~~____
        grow      ____________________________________~~~~________~~~~____
        add       ____________________________________~~~~________~~~~____

    Parameters
    ----------
    lanes: M. With one lane there is nothing to plan. depth: positions of a text.

    Members
    -------
    draft: In(Drafting), of which `nodes` is not looked at; vocabulary: In(21), tokens are below it. Constant from
        `clear` to the text's end.
    clear: In, a strobe. append: In, a strobe; token (20), position (16): In, of the text, its prompt included. settle:
        In, a strobe, as of `NgramDrafter`.
    verified: In, a strobe: a pass has been verified, and its tokens are appended. With it, and with each `append`:
        prompt: In, the pass is of the prompt; emitted: In(4), tokens of the pass before this cycle. With it: over: In,
        no other comes; room: In(4), nodes that the next one may draft; depth: In(3), nodes of the longest chain behind
        the root.
    planning: Out. root: In, a strobe, not while planning: a tree has its root; count: In(4), its nodes so far.
    grows, drafting, feeds: Out, see above; `grows` with `root`, the others from the next cycle on. word: Out stream of
        FED, fed (16), fed_count (4): Out, as of `Feeder`. caught_up: Out, behind a pass's words: it is the last one
        before a node.
    grow: In, a level; choice, second: In(20), margin: In(16), what a pass that drafts has chosen, as of `Candidates`.
        add, grown: Out. node: Out(20), the token of one; parent: Out(3).
    base_write: In(BASE_WRITE), as of `NgramDrafter`.
    first, more: Out(16), what `Utility` expects. fault: Out, as of `NgramDrafter` and `Feeder`.
    """

    def __init__(self, *, lanes, depth):
        self._lanes, self._depth = lanes, depth
        super().__init__(
            {
                "draft": In(Drafting()),
                "vocabulary": In(TOKEN_BITS + 1),
                "clear": In(1),
                "append": In(1),
                "token": In(TOKEN_BITS),
                "position": In(POSITION_BITS),
                "settle": In(1),
                "verified": In(1),
                "prompt": In(1),
                "over": In(1),
                "room": In(PASS_SIZE_BITS),
                "depth": In(3),
                "emitted": In(PASS_SIZE_BITS),
                "planning": Out(1),
                "root": In(1),
                "count": In(PASS_SIZE_BITS),
                "grows": Out(1),
                "drafting": Out(1),
                "feeds": Out(1),
                "word": Out(stream.Signature(FED)),
                "fed": Out(POSITION_BITS),
                "fed_count": Out(PASS_SIZE_BITS),
                "caught_up": Out(1),
                "grow": In(1),
                "choice": In(TOKEN_BITS),
                "second": In(TOKEN_BITS),
                "margin": In(STEP_BITS + 1),
                "add": Out(1),
                "grown": Out(1),
                "node": Out(TOKEN_BITS),
                "parent": Out(LANE_BITS),
                "base_write": In(BASE_WRITE),
                "first": Out(CHANCE_BITS, init=FIRST_CHANCE),
                "more": Out(CHANCE_BITS, init=MORE_CHANCE),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if self._lanes == 1:
            m.d.comb += [self.first.eq(FIRST_CHANCE), self.more.eq(MORE_CHANCE)]
            return m
        m.submodules.utility = utility = Utility(self._lanes)
        m.submodules.ngram = ngram = NgramDrafter(lanes=self._lanes, size_log2=TABLE_LOG2, depth=self._depth)
        m.submodules.feeder = feeder = Feeder(lanes=self._lanes, depth=self._depth)
        # the tree may be planned; how many nodes it has is not known yet
        asked = Signal()
        weighs = Signal()
        room = Signal(PASS_SIZE_BITS)
        shadow = Signal()
        left = Signal(range(MOST_SECONDS + 1))  # siblings that are still to come
        guessed = Signal()
        guess = Signal(TOKEN_BITS)
        right = Signal()
        tables = Signal()
        passes = Signal()
        wanted = Signal()
        m.d.comb += [
            tables.eq(self.draft.drafter == Drafter.NGRAM),
            passes.eq((self.draft.drafter == Drafter.NESTED) | (self.draft.drafter == Drafter.DRAFT)),
            wanted.eq(shadow | (room != 0)),
            self.grows.eq(tables & wanted),
            self.planning.eq(passes & weighs),
            self.fault.eq(ngram.fault | feeder.fault),
            self.first.eq(utility.first),
            self.more.eq(utility.more),
        ]

        m.d.comb += [
            utility.clear.eq(self.clear),
            utility.room.eq(room),
            utility.draft_cost.eq(self.draft.cost),
            *(a.eq(b) for a, b in zip(utility.costs, self.draft.costs)),
            utility.rise.eq(self.append & ~self.prompt & (self.emitted > 1)),
            utility.learn.eq(self.verified & ~self.prompt & ~guessed),
            utility.score.eq(self.verified & ~self.prompt & guessed),
            utility.right.eq(right),
            utility.proposed.eq(self.depth),
            utility.accepted.eq(self.emitted - 1),
            utility.plan.eq(weighs & asked),
        ]
        m.d.sync += asked.eq(self.verified & ~self.over)
        with m.If(self.verified):
            m.d.sync += [
                room.eq(self.room),
                shadow.eq(0),
                guessed.eq(0),
                weighs.eq(self.draft.control & (self.draft.drafter != Drafter.OFF) & ~self.over),
            ]
        with m.If(utility.done):
            m.d.sync += [room.eq(utility.nodes), shadow.eq(utility.shadow), weighs.eq(0)]

        wiring.connect(m, wiring.flipped(self.base_write), ngram.base_write)
        nothing = Signal()  # the tables have answered that there is none
        m.d.comb += [
            ngram.clear.eq(self.clear),
            ngram.append.eq(self.append),
            ngram.token.eq(self.token),
            ngram.position.eq(self.position),
            ngram.base.eq(self.draft.base),
            ngram.settle.eq(self.settle),
            ngram.propose.eq(asked & self.grows),
            ngram.branch.eq(self.draft.branch),
            ngram.sure.eq(~weighs),
            ngram.want.eq(Mux(weighs, utility.nodes, Mux(shadow, 1, room))),
            ngram.node.ready.eq(self.grow & ~self.drafting),
        ]
        with m.If(asked | ngram.none):
            m.d.sync += nothing.eq(ngram.none)
        with m.If(self.append & (self.emitted == 0)):
            m.d.sync += right.eq(self.token == guess)

        # The second model's cache is to hold the text and the nodes of the chain; the last token of the text is its
        # root.
        newest = Signal(POSITION_BITS)
        goal = Signal(POSITION_BITS)
        with m.If(self.append):
            m.d.sync += newest.eq(self.position)
        m.d.comb += [
            self.feeds.eq(self.drafting & (self.draft.drafter == Drafter.DRAFT)),
            self.caught_up.eq(feeder.fed == goal),
            feeder.clear.eq(self.clear),
            feeder.append.eq(self.append),
            feeder.draft.eq(self.feeds & self.add),
            feeder.token.eq(Mux(self.append, self.token, self.node)),
            feeder.position.eq(Mux(self.append, self.position, goal)),
            feeder.goal.eq(goal),
            self.fed.eq(feeder.fed),
            self.fed_count.eq(feeder.count),
            self.word.valid.eq(feeder.word.valid),
            self.word.payload.eq(feeder.word.payload),
            feeder.word.ready.eq(self.word.ready),
        ]
        with m.If(feeder.draft):
            m.d.sync += goal.eq(goal + 1)
        with m.If(self.root):
            m.d.sync += [self.drafting.eq(passes & (room != 0)), feeder.root.eq(newest), goal.eq(newest + 1)]
            m.d.comb += feeder.start.eq((self.draft.drafter == Drafter.DRAFT) & (room != 0))
        with m.If(self.drafting):
            finished = self._chosen(m, room, left)
            m.d.comb += feeder.start.eq(self.grow & self.feeds & ~finished)
        with m.Else():
            offered = ngram.node.payload
            m.d.comb += [
                self.add.eq(self.grow & ngram.node.valid & ~shadow),
                self.node.eq(self._drafted(offered.token)),
                self.parent.eq(offered.parent),
                self.grown.eq(self.grow & (nothing | ngram.none | ngram.node.valid & offered.last)),
            ]
            with m.If(self.grow & ngram.node.valid & shadow):
                m.d.sync += [guessed.eq(1), guess.eq(self.node)]
        with m.If(self.clear):
            m.d.sync += [weighs.eq(0), self.drafting.eq(0), guessed.eq(0), shadow.eq(0), asked.eq(0), left.eq(0)]
        return m

    def _drafted(self, token):
        """A token as it becomes a node. Of those that there are, only the last one of an odd vocabulary could become
        one that is not.
        """
        return token ^ (self.draft.corrupt & ((token | 1) != self.vocabulary))

    def _chosen(self, m, room, left):
        """While a drafter takes passes: the node that was chosen and, behind the last one of the chain, its siblings,
        `left` of them.
        """
        branch = Signal(range(MOST_SECONDS + 1))
        chain = Signal(PASS_SIZE_BITS)
        brings = ~self.feeds | self.caught_up
        finished = Signal()
        m.d.comb += [
            branch.eq(Mux(self.feeds, 0, least(self.draft.branch, least(room >> 1, MOST_SECONDS)))),
            chain.eq(room - branch),
            finished.eq(self.grown & ((left == 1) | (self.count == chain) & brings)),
        ]
        # The nearest ones so far, in order; of equal ones the earlier stays in front.
        layout = data.StructLayout({"margin": STEP_BITS + 1, "token": TOKEN_BITS, "parent": LANE_BITS})
        seconds = [Signal(layout, name=f"second_{k}") for k in range(MOST_SECONDS)]
        new = Signal(layout)
        known = Signal(MOST_SECONDS)
        stays = Cat(known[k] & (seconds[k].margin <= self.margin) for k in range(MOST_SECONDS))
        m.d.comb += [
            new.margin.eq(self.margin),
            new.token.eq(self.second),
            new.parent.eq(self.count - 1),
            self.add.eq(self.grow & brings),
        ]
        with m.If(left != 0):
            m.d.comb += [
                self.node.eq(self._drafted(seconds[0].token)),
                self.parent.eq(seconds[0].parent),
                self.grown.eq(self.grow & (left == 1)),
            ]
            with m.If(self.grow):
                m.d.sync += [left.eq(left - 1), *(a.eq(b) for a, b in zip(seconds, seconds[1:]))]
        with m.Else():
            m.d.comb += [
                self.node.eq(self._drafted(self.choice)),
                self.parent.eq(self.count - 1),
                self.grown.eq(self.grow & ((self.count != chain) | (branch == 0))),
            ]
            with m.If(self.grow):
                m.d.sync += known.eq(Mux(self.count == 1, 1, known << 1 | 1))
                for k in range(MOST_SECONDS):
                    with m.If((self.count == 1) | ~stays[k]):
                        m.d.sync += seconds[k].eq(
                            Mux((self.count != 1) & ~stays[k - 1], seconds[k - 1], new) if k else new
                        )
                with m.If(self.count == chain):
                    m.d.sync += left.eq(branch)
        with m.If(finished):
            m.d.sync += self.drafting.eq(0)
        return finished


def least(a, b):
    """The lesser of two numbers."""
    return Mux(a < b, a, b)
