"""Where tokens leave the conductor: the FIFO to the host, and the rules by which a text ends."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.words import PASS_SIZE_BITS, POSITION_BITS, TOKEN_BITS
from hayate.rtl.interfaces import TOKENS, Ending, Token


class TokenOutput(wiring.Component):
    """Takes the tokens of a pass in order and says of each whether the text ends with it.

    `stop` and `full` belong to the token that `emit` shows, in the same cycle; the other outputs follow a token that is
    taken by one cycle. A full FIFO refuses tokens. With `abort` it loses them instead: such a token counts as taken,
    and the text has ended in front of it. A text ends with the token limit, an end token or an abort, or (`full`) when
    the token's position is the context limit. Reset empties the FIFO; what its memory holds beyond its level is never
    looked at.

    Two tokens, which are all that are wanted::

        cycle         0   1   2   3   4
        begins        ~~~~________________
        emit.valid    ____~~~~~~~~________
        first         ____~~~~____________
        stop          ________~~~~________
        over          ____________~~~~~~~~
        level         0.......1...2.......
        tokens.valid  ____________~~~~~~~~

    Parameters
    ----------
    lanes: M. depth: tokens of the FIFO.

    Members
    -------
    clear: In, a generation begins. begins: In, a pass has been answered; position: In(16), of the token that it emits
        first.
    abort: In, level. ending: In(Ending). draft_nodes (4), cycles (32): In.
    emit: In stream of tokens. stop: Out. taken: Out, a token is taken in this cycle; at: Out(16), its position.
    tokens: Out stream, see `interfaces.Token`. level: Out(16), tokens in the FIFO.
    over, full: Out. The text has ended; it is the context's fault. last: Out(20), the last token. emitted: Out(4),
        tokens of this pass.
    first: Out, a token that is taken now is the text's first.
    room: Out(4), nodes that the next pass may draft: at most `draft_nodes` and M - 1, and none that could not be
        emitted.
    fault: Out. A damaged word has left the FIFO, for one cycle.
    """

    def __init__(self, *, lanes, depth):
        self._lanes, self._depth = lanes, depth
        super().__init__(
            {
                "clear": In(1),
                "begins": In(1),
                "position": In(POSITION_BITS),
                "abort": In(1),
                "ending": In(Ending()),
                "draft_nodes": In(4),
                "cycles": In(32),
                "emit": In(stream.Signature(TOKEN_BITS)),
                "stop": Out(1),
                "taken": Out(1),
                "at": Out(POSITION_BITS),
                "tokens": Out(TOKENS),
                "level": Out(16),
                "over": Out(1),
                "full": Out(1),
                "last": Out(TOKEN_BITS),
                "emitted": Out(PASS_SIZE_BITS),
                "first": Out(1),
                "room": Out(PASS_SIZE_BITS),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = queue = fifo.SyncFIFOBuffered(width=Token.size + 1, depth=self._depth)
        token = self.emit.payload
        generated = Signal(POSITION_BITS)
        ending = self.ending
        ends = Signal()
        beyond = Signal()
        found = Cat(
            enable & (token == ending.tokens.word_select(n, TOKEN_BITS)) for n, enable in enumerate(ending.enable)
        ).any()
        entry = Cat(token, self.cycles)
        m.d.comb += [
            queue.w_en.eq(self.emit.valid),
            queue.w_data.eq(Cat(entry, entry.xor())),
            self.emit.ready.eq(queue.w_rdy | self.abort),
            self.tokens.payload.eq(queue.r_data[:-1]),
            self.tokens.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.tokens.ready),
            self.level.eq(queue.level),
            self.fault.eq(self.tokens.valid & self.tokens.ready & queue.r_data.xor()),
            beyond.eq(self.at >= ending.context_limit),
            ends.eq((generated + 1 == ending.token_limit) | self.abort | found),
            self.stop.eq(ends | beyond),
            self.taken.eq(self.emit.valid & self.emit.ready),
            self.first.eq(self.taken & (generated == 0)),
            self.room.eq(
                least(
                    self.draft_nodes,
                    self._lanes - 1,
                    ending.context_limit - self.at,
                    ending.token_limit - generated - 1,
                )
            ),
        ]
        with m.If(self.begins):
            m.d.sync += [self.at.eq(self.position), self.emitted.eq(0)]
        with m.Elif(self.taken):
            m.d.sync += [
                generated.eq(generated + 1),
                self.at.eq(self.at + 1),
                self.emitted.eq(self.emitted + 1),
                self.last.eq(token),
                self.over.eq(self.stop),
                self.full.eq(beyond & ~ends),
            ]
        with m.If(self.clear):
            m.d.sync += [generated.eq(0), self.over.eq(0), self.full.eq(0)]
        return m


def least(*values):
    """The least of some values that are not negative, but 15 at most."""
    best = Const(15, 4)
    for value in values:
        small = Const(min(value, 15), 4) if isinstance(value, int) else Mux(value > 15, 15, value)[:4]
        best = Mux(small < best, small, best)
    return best
