"""Feeds the second model: which tokens its cache holds, and the passes over those that it does not hold yet."""

from amaranth.hdl import Array, Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.flits import LANE_BITS
from hayate.rtl.contract.words import PASS_SIZE_BITS, POSITION_BITS, TOKEN_BITS
from hayate.rtl.memory.parity import ParityMemory

#: a position of a pass of the second model; `last`: the pass has no more.
FED = data.StructLayout({"token": TOKEN_BITS, "position": POSITION_BITS, "lane": LANE_BITS, "last": 1})


class Feeder(wiring.Component):
    """Tokens by position, and how many of them the second model's cache holds: `fed`.

    `append` stores a token of the text, `draft` one that the second model has chosen, each at its position, at most one
    a cycle. A token of the text that stands where another one was fed, and whatever was fed behind it, no longer counts
    as fed. Drafts count from position `root`, that of the last token of the text.

    From `start` on `word` offers the positions from `fed` to `goal` - 1, at most M of them, every other cycle; the last
    one has `last`. `count` is how many have been taken since `start`; `fed` counts them too. Reset clears `fed` and
    abandons what is offered.

    A pass over two of the three positions that are not fed::

        cycle   0   1   2   3   4   5   6
        start   ~~~~________________________
        active  ____~~~~~~~~~~~~~~~~________
        shown   ________~~~~____~~~~________
        last    ____________~~~~~~~~~~~~~~~~
        count   0...........1.......2.......
        fed     0...........1.......2.......

    Parameters
    ----------
    lanes: M, at least 2. depth: positions of a text. inject: adds `flip` (TOKEN_BITS + 1), as of `ParityMemory`, for
        tests.

    Members
    -------
    clear: In, a generation begins: nothing is fed, and what is offered is abandoned.
    append, draft: In, strobes. token (20), position (16): In. root: In(16), constant from its first draft to the next
        root's.
    start: In, strobe, not while words are offered. goal: In(16), above `fed`, constant from `start` to the last word.
    word: Out stream of FED. count: Out(4). fed: Out(16).
    fault: Out. A damaged word was read, for one cycle.
    """

    def __init__(self, *, lanes, depth, inject=False):
        self._lanes, self._depth, self._inject = lanes, depth, inject
        super().__init__(
            {
                "clear": In(1),
                "append": In(1),
                "draft": In(1),
                "token": In(TOKEN_BITS),
                "position": In(POSITION_BITS),
                "root": In(POSITION_BITS),
                "goal": In(POSITION_BITS),
                "start": In(1),
                "word": Out(stream.Signature(FED)),
                "count": Out(PASS_SIZE_BITS),
                "fed": Out(POSITION_BITS),
                "fault": Out(1),
                **({"flip": In(TOKEN_BITS + 1)} if inject else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.text = text = ParityMemory(TOKEN_BITS, self._depth, inject=self._inject)
        # by depth below the root, less 1
        drafts = Array(Signal(TOKEN_BITS, name=f"draft_{n}") for n in range(self._lanes - 1))
        depth = Signal(3)
        active = Signal()
        shown = Signal()
        last = Signal()
        m.d.comb += [
            depth.eq(self.position - self.root - 1),
            text.wr_en.eq(self.append | self.draft),
            text.wr_addr.eq(self.position),
            text.wr_data.eq(self.token),
            text.rd_en.eq(active & ~shown),
            text.rd_addr.eq(self.fed),
            self.fault.eq(text.error),
            last.eq((self.count == self._lanes - 1) | (self.fed + 1 == self.goal)),
            self.word.valid.eq(shown),
            self.word.payload.eq(Cat(text.rd_data, self.fed, self.count[:LANE_BITS], last)),
        ]
        if self._inject:
            m.d.comb += text.flip.eq(self.flip)
        with m.If(self.draft):
            m.d.sync += drafts[depth].eq(self.token)
        with m.If(self.start):
            m.d.sync += [active.eq(1), self.count.eq(0)]
        with m.Elif(active):
            m.d.sync += shown.eq(1)
        with m.If(shown & self.word.ready):
            m.d.sync += [shown.eq(0), active.eq(~last), self.fed.eq(self.fed + 1), self.count.eq(self.count + 1)]
        with m.If(self.clear):
            m.d.sync += [self.fed.eq(0), active.eq(0), shown.eq(0)]
        with m.Elif(self.append & (self.position < self.fed) & (drafts[depth] != self.token)):
            m.d.sync += self.fed.eq(self.position)
        return m
