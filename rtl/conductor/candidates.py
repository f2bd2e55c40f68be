"""Reduction of the tiles' candidates to one token per position, and to the two best of position 0."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.draft import STEP_BITS, STEP_MOST, STEP_SHIFT
from hayate.rtl.contract.flits import LANE_BITS, WORD_BITS
from hayate.rtl.contract.isa import NO_ROW
from hayate.rtl.contract.words import CANDIDATE, TOKEN_BITS
from hayate.rtl.numerics.bits import sort_key
from hayate.rtl.ring.flit import view

CANDIDATE_CYCLES = 2  # from a candidate to `token`


def steps(key):
    """The number with a `sort_key` in steps: its magnitude times 2**STEP_SHIFT, rounded down, at most STEP_MOST;
    signed.
    """
    magnitude = Mux(key[31], key[:31], ~key[:31])
    exponent, significand = magnitude[23:], magnitude[23 - STEP_BITS + 1 : 23] | 1 << STEP_BITS - 1
    least = 127 - STEP_SHIFT  # of the exponents that make a step
    whole = (significand >> (least + STEP_BITS - 1 - exponent)[:4])[:STEP_BITS]
    found = Mux(exponent < least, 0, Mux(exponent >= least + STEP_BITS, STEP_MOST, whole))
    return Mux(key[31], found, -found)


class Candidates(wiring.Component):
    """Keeps, per position, the largest score and its token; ties go to the lowest token, whatever order candidates
    arrive in. Of position 0 it keeps the next one, too.

    A candidate of each position is taken in the cycle of its bit of `valid`; one a cycle. `token` and `second` show it
    CANDIDATE_CYCLES = 2 later, and `margin` a cycle behind them. `clear` empties all positions; it does not come in the
    cycle behind a candidate, and wins over one in the same cycle. Reset is a clear.

    Two candidates of position 0, the later of which is the better one::

        cycle     0   1   2   3   4
        valid     ~~~~~~~~____________
        s1_valid  ____~~~~~~~~________
        wins_0    ~~~~~~~~~~~~________
        present   ________~~~~~~~~~~~~
        known     ____________~~~~~~~~
        token     0.......5...6.......
        second    0...........5.......

    Parameters
    ----------
    lanes: M.

    Members
    -------
    clear: In. valid: In(lanes). words: In, `lanes` x 64, each a `words.CANDIDATE` of a finite value.
    select: In(3), a position. token: Out(20). present: Out, the position has had a candidate since `clear`.
    second: Out(20), the second best token of position 0. margin: Out(16), by how many steps its score is below the
        best, see `steps`. Both have a meaning once there were two candidates.
    """

    def __init__(self, lanes):
        self._lanes = lanes
        super().__init__(
            {
                "clear": In(1),
                "valid": In(self._lanes),
                "words": In(WORD_BITS * self._lanes),
                "select": In(LANE_BITS),
                "token": Out(TOKEN_BITS),
                "present": Out(1),
                "second": Out(TOKEN_BITS),
                "margin": Out(STEP_BITS + 1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        s1_valid = Signal(self._lanes)
        m.d.sync += s1_valid.eq(Mux(self.clear, 0, self.valid))
        for lane in range(self._lanes):
            candidate = view(CANDIDATE, self.words.word_select(lane, WORD_BITS))
            s1_key = Signal(32, name=f"s1_key_{lane}")
            s1_token = Signal(TOKEN_BITS, name=f"s1_token_{lane}")
            with m.If(self.valid[lane]):
                m.d.sync += [s1_key.eq(sort_key(candidate.value)), s1_token.eq(candidate.token)]

            def better(key, token, s1_key=s1_key, s1_token=s1_token):
                return (s1_key > key) | (s1_key == key) & (s1_token < token)

            best = Signal(32, name=f"best_{lane}")
            token = Signal(TOKEN_BITS, name=f"token_{lane}")
            present = Signal(name=f"present_{lane}")
            takes = Signal(name=f"takes_{lane}")
            wins = Signal(name=f"wins_{lane}")
            m.d.comb += [takes.eq(s1_valid[lane]), wins.eq(~present | better(best, token))]
            with m.If(self.clear):
                m.d.sync += present.eq(0)
            with m.Elif(takes & wins):
                m.d.sync += [best.eq(s1_key), token.eq(s1_token), present.eq(1)]
            with m.If(self.select == lane):
                m.d.comb += [self.token.eq(token), self.present.eq(present)]
            if lane == 0:
                next_best = Signal(32)
                known = Signal()
                second = Signal(TOKEN_BITS)
                # A tile that has no other names no token; it must not become one, as nobody would have its embedding.
                m.d.comb += self.second.eq(Mux(second == NO_ROW, 0, second))
                with m.If(self.clear):
                    m.d.sync += known.eq(0)
                with m.Elif(takes & wins):
                    m.d.sync += [next_best.eq(best), second.eq(token), known.eq(present)]
                with m.Elif(takes & (~known | better(next_best, second))):
                    m.d.sync += [next_best.eq(s1_key), second.eq(s1_token), known.eq(1)]
                m.d.sync += self.margin.eq(steps(best) - steps(next_best))
        return m
