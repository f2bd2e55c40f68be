"""Walk through the token tree of a pass: which nodes the text takes, and what it emits."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.flits import LANE_BITS
from hayate.rtl.contract.words import PASS_SIZE_BITS, TOKEN_BITS


class Verifier(wiring.Component):
    """From node `first`, emits the token chosen at the node and goes on to the child that has this token, the lowest of
    several.

    The walk is over when no child has it, or `stop` is high while the emission is taken. The first emission is offered
    1 cycle after `start`; one step a cycle while `emit` is ready. `done` is high for the cycle after the last emission
    was taken, so n emissions that are never refused take n + 1 cycles from `start` to `done`. With `done`, `emit` shows
    the last token and `accepted`, `current` and `siblings` the whole path; they hold through the cycle of the next
    start, which may come with `done`. A start during a walk is not allowed. Reset ends the walk and empties the path.

    The tree and the choices are constant from `start` until the last emission is taken. Node 0 is the root, a parent is
    a lower node; the parent of the root, and whatever stands at `count` and beyond, is ignored.

    A chain of two nodes behind the root, the first of which has the token 5 that is chosen at the root::

        cycle         0   1   2   3   4
        start         ~~~~________________
        emit.valid    ____~~~~~~~~________
        emit.payload  0...5...7...........
        step          ____~~~~____________
        over          ________~~~~________
        accepted      0...1...3...........
        done          ____________~~~~____

    Parameters
    ----------
    lanes: M, nodes of a pass at most.

    Members
    -------
    tokens, parents: In, `lanes` x 20 and x 3 bits. count: In(4), nodes of the pass.
    start: In, a strobe. first: In(3), node to start at. prefix: In. The nodes below `first` belong to the path as well,
        as in a prompt.
    select: Out(3), a node. choice: In(20), what was chosen there, in the same cycle.
    emit: Out stream of tokens. stop: In. The text ends with the token that `emit` shows, in the same cycle.
    accepted: Out(lanes). Nodes of the path. current: Out(3), its last node.
    siblings: Out(lanes). Nodes of the path that are not their parent's first child.
    done: Out, a strobe.
    """

    def __init__(self, lanes):
        self._lanes = lanes
        super().__init__(
            {
                "tokens": In(TOKEN_BITS).array(lanes),
                "parents": In(LANE_BITS).array(lanes),
                "count": In(PASS_SIZE_BITS),
                "start": In(1),
                "first": In(LANE_BITS),
                "prefix": In(1),
                "select": Out(LANE_BITS),
                "choice": In(TOKEN_BITS),
                "emit": Out(stream.Signature(TOKEN_BITS)),
                "stop": In(1),
                "accepted": Out(lanes),
                "current": Out(LANE_BITS),
                "siblings": Out(lanes),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lanes, walking = self._lanes, self.emit.valid

        # The longest way: emitted token, its child, what was chosen there, next token to emit.
        match = Signal(lanes)
        late = Signal(lanes)
        child = Signal(LANE_BITS)
        found = Signal()
        for k in range(1, lanes):
            m.d.comb += [
                match[k].eq(
                    (self.parents[k] == self.current) & (k < self.count) & (self.tokens[k] == self.emit.payload)
                ),
                late[k].eq(Cat(self.parents[j] == self.parents[k] for j in range(1, k)).any()),
            ]
        for k in reversed(range(lanes)):
            with m.If(match[k]):
                m.d.comb += child.eq(k)
        m.d.comb += [found.eq(match.any()), self.select.eq(Mux(walking, child, self.first))]

        step = Signal()
        over = Signal()
        m.d.comb += [
            step.eq(walking & self.emit.ready & ~self.stop & found),
            over.eq(walking & self.emit.ready & (self.stop | ~found)),
        ]
        added = Cat((self.select == k) | (self.start & self.prefix & (self.first > k)) for k in range(lanes))
        kept = Mux(self.start, Const(0, lanes), Const(-1, lanes))
        with m.If(self.start | step):
            m.d.sync += [
                self.emit.payload.eq(self.choice),
                self.current.eq(self.select),
                self.accepted.eq(self.accepted & kept | added),
                self.siblings.eq(self.siblings & kept | added & late),
            ]
        with m.If(self.start):
            m.d.sync += walking.eq(1)
        with m.Elif(over):
            m.d.sync += walking.eq(0)
        m.d.sync += self.done.eq(over)
        return m
