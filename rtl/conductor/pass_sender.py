"""What the conductor tells the tiles of a pass: the words of PASS flits, one node after the other."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.conductor.feeder import FED
from hayate.rtl.conductor.nodes import Node
from hayate.rtl.contract.flits import LANE_BITS, FlitKind
from hayate.rtl.contract.isa import PassWord
from hayate.rtl.contract.topology import LAST_TILE
from hayate.rtl.contract.words import (
    BEGIN,
    LANE,
    PASS_ADDRESS,
    PASS_POSITIONS,
    PASS_SIZE_BITS,
    SEED_BITS,
    SLOT_BITS,
    START,
)
from hayate.rtl.ring.flit import FLIT_STREAM, pack

#: every logical tile.


class PassSender(wiring.Component):
    """Sends one of four messages while `go` is high, to the cycle in which `done` is:

    BEGIN, FINISH: one flit. LANE: a LANE for each node, and START behind them. COMMIT: a COMMIT for each node in
    `kept`; nodes that are not are let go of, a cycle each. A pass that drafts has the newest node alone, as its
    position 0, and sees those before it, a chain, as text: in front of its LANE comes a COMMIT for the node before it,
    unless it is the root.

    A flit is offered from the first cycle of `go` on, the next one in the cycle behind it; nothing is registered in
    front of `tx`. `done` comes with the last flit's `ready`, or the last node let go of. `go` then falls, or another
    message begins in the next cycle. Reset ends a message.

    With `second` a LANE message is of a pass of the second model: the `word`s take the place of nodes, and each is
    waited for. Nodes and slots are left alone.

    The message LANE, of two nodes, the second of which comes late (`short`: no node is left)::

        cycle     0   1   2   3   4   5
        go        ~~~~~~~~~~~~~~~~~~~~____
        more      ~~~~~~~~~~~~____________
        short     ____~~~~~~~~____~~~~____
        tx.valid  ~~~~________~~~~~~~~____
        place     ~~~~________~~~~________
        started   ________________~~~~____
        done      ________________~~~~____

    Parameters
    ----------
    lanes: M.

    Members
    -------
    go: In, a level. message: In(3), a `PassWord` but START. done: Out. All of this, and all that follows, is constant
        from `go` to `done`, but for `node` and `slot`, which follow `lane`, `hold`, `more` with `count`, and with
        `second` for `count`, `hwm` and `chosen`, which START finds right.
    count: In(4), nodes of the pass. more: In. Others may come while this is high, from LANE on: `count` rises, and
        falls no more until `done`. A LANE waits for its node, and START until none may come. lane: Out(3), a node;
        node: In(Node), that one. slot: In(16), what the node gets that has none yet.
    place: Out, a strobe: node `lane` gets `slot`, as LANE says. give: Out, a strobe: its slot is free again.
    kept: In(lanes). hold: In. The last node's turn in COMMIT does not come.
    prompt, chosen, all_logits, measure, decisive, drafting, sample, hwm (16): In, of START. The pass is of the prompt;
        tokens are chosen from it: of each node, or in a pass of the prompt of the last. With `all_logits` logits are
        wanted of all of the prompt. A pass of the prompt may measure, and be the last one that does (`decisive`): its
        last node's logits are then wanted, and count. seed: In(64), of BEGIN. started: Out, a strobe: START is taken.
    second: In. word: In stream of FED. tx: Out stream of Flit to the ring stop.
    """

    def __init__(self, lanes):
        self._lanes = lanes
        super().__init__(
            {
                "go": In(1),
                "message": In(3),
                "done": Out(1),
                "count": In(PASS_SIZE_BITS),
                "lane": Out(LANE_BITS),
                "node": In(Node),
                "slot": In(SLOT_BITS),
                "more": In(1),
                "place": Out(1),
                "give": Out(1),
                "kept": In(lanes),
                "hold": In(1),
                "prompt": In(1),
                "chosen": In(1),
                "all_logits": In(1),
                "measure": In(1),
                "decisive": In(1),
                "drafting": In(1),
                "sample": In(1),
                "hwm": In(SLOT_BITS),
                "seed": In(SEED_BITS),
                "second": In(1),
                "word": In(stream.Signature(FED)),
                "started": Out(1),
                "tx": Out(FLIT_STREAM),
            }
        )

    def elaborate(self, platform):
        m = Module()
        node, flit = self.node, self.tx.payload
        word = Signal(3)
        last = Signal(LANE_BITS)
        slot = Signal(SLOT_BITS)
        # start_due: START comes next, but where `plain`
        start_due = Signal()
        walks = Signal()
        ends = Signal()
        step = Signal()
        kept = Signal()
        # the newest node's pass; the node before it is text, or is to become so now
        alone = Signal()
        linked = Signal()
        link = Signal()
        # node of a walk; positions of the pass; a word takes the place of a node
        at = Signal(PASS_SIZE_BITS)
        count = Signal(PASS_SIZE_BITS)
        fed = Signal()
        seen = Mux(alone, 1, node.ancestors)
        # LANEs of all nodes; those that are there are sent
        plain = Signal()
        short = Signal()
        every = Signal(PASS_POSITIONS)
        final = Signal(PASS_POSITIONS)
        want = Signal(PASS_POSITIONS)
        counted = Signal(PASS_POSITIONS)
        m.d.comb += [
            alone.eq(self.drafting & ~self.second & (self.message == PassWord.LANE)),
            link.eq(alone & (last != 0) & ~linked & ~start_due),
            plain.eq((self.message == PassWord.LANE) & ~alone & ~self.second),
            short.eq(plain & (at == self.count)),
            self.lane.eq(Mux(alone, last - link, at)),
            count.eq(Mux(alone, 1, self.count)),
            every.eq(Cat(count > n for n in range(PASS_POSITIONS))),
            final.eq(Cat(count == n + 1 for n in range(PASS_POSITIONS))),
            want.eq(every),
        ]
        with m.If(self.second | self.prompt & ~self.all_logits):
            m.d.comb += want.eq(Mux(self.chosen | self.decisive, final, 0))
        # One position's logits only: ALL_LOGITS is for a look at the machine, and must not change what it decides.
        with m.If(self.decisive):
            m.d.comb += counted.eq(final)

        m.d.comb += [
            last.eq(self.count - 1),
            slot.eq(Mux(node.placed, node.slot, self.slot)),
            word.eq(Mux(start_due | short, PassWord.START, Mux(link, PassWord.COMMIT, self.message))),
            fed.eq(self.second & (word == PassWord.LANE)),
            walks.eq((word == PassWord.LANE) | (word == PassWord.COMMIT)),
            flit.kind.eq(FlitKind.PASS),
            flit.hi.eq(LAST_TILE),
            flit.chan.eq(word),
            flit.addr.eq(pack(PASS_ADDRESS, lane=Mux(alone, 0, at)[:LANE_BITS])),
            flit.data.eq(
                pack(LANE, token=node.token, position=node.position, slot=slot, ancestors=seen, second=Const(0, 1))
            ),
            ends.eq(~walks | (self.lane == last) & ~plain),
            kept.eq(self.kept.bit_select(self.lane, 1)),
        ]
        with m.If(word == PassWord.START):
            m.d.comb += flit.data.eq(
                pack(
                    START,
                    last=Mux(alone, 0, last),
                    measure=self.measure,
                    draft=self.drafting & ~self.second,
                    sample=self.sample,
                    second=self.second,
                    want=want,
                    hwm=self.hwm,
                    counted=counted,
                )
            )
        with m.Elif(word == PassWord.BEGIN):
            m.d.comb += flit.data.eq(pack(BEGIN, seed=self.seed))
        with m.If(fed):  # a slot is a position, and being below that of a node seen is enough
            offered = self.word.payload
            m.d.comb += [
                flit.data.eq(
                    pack(
                        LANE,
                        token=offered.token,
                        position=offered.position,
                        slot=offered.position,
                        ancestors=(Const(1, PASS_POSITIONS) << self.lane)[:PASS_POSITIONS],
                        second=Const(1, 1),
                    )
                ),
                ends.eq(offered.last),
                self.word.ready.eq(step),
            ]

        with m.If((word == PassWord.COMMIT) & ~link):
            free = ~(self.hold & (self.lane == last))
            m.d.comb += [
                self.tx.valid.eq(self.go & kept & free),
                step.eq(self.go & free & (~kept | self.tx.ready)),
                self.give.eq(step & ~kept),
            ]
        with m.Else():
            m.d.comb += [
                self.tx.valid.eq(self.go & (self.word.valid | ~fed) & ~(short & self.more)),
                step.eq(self.tx.valid & self.tx.ready),
                self.place.eq(step & (word == PassWord.LANE) & ~fed),
            ]
        with m.If(self.started | link & step):
            m.d.sync += linked.eq(link)
        m.d.comb += [
            self.started.eq(step & (word == PassWord.START)),
            self.done.eq(step & ends & (word != PassWord.LANE)),
        ]
        with m.If(step):
            m.d.sync += [at.eq(Mux(ends | alone, 0, at + 1)), start_due.eq(ends & (word == PassWord.LANE))]
        return m
