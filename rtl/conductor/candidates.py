"""Reduction of the tiles' candidates to one token per position."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..numerics.bits import sort_key


class Candidates(wiring.Component):
    """Keeps, per position, the largest logit and its token; ties go to the lowest token, whatever order candidates arrive in.

    A candidate is taken in the cycle of `valid`; one a cycle. `token` shows the best so far one cycle later, combinationally selected by
    `select`. `clear` empties all positions and wins over a candidate in the same cycle.

    Parameters
    ----------
    lanes: M.

    Members
    -------
    clear, valid: In. lane: In(3). value: In(32), FP32, finite. token_in: In(20).
    select: In(3), a position. token: Out(20). present: Out, the position has had a candidate since `clear`.
    """

    def __init__(self, lanes):
        self._lanes = lanes
        super().__init__({
            "clear": In(1), "valid": In(1), "lane": In(3), "value": In(32), "token_in": In(20),
            "select": In(3), "token": Out(20), "present": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        key = Signal(32)
        m.d.comb += key.eq(sort_key(self.value))
        for lane in range(self._lanes):
            best, token, present = Signal(32, name=f"best_{lane}"), Signal(20, name=f"token_{lane}"), Signal(name=f"present_{lane}")
            better = ~present | (key > best) | ((key == best) & (self.token_in < token))
            with m.If(self.clear):
                m.d.sync += present.eq(0)
            with m.Elif(self.valid & (self.lane == lane) & better):
                m.d.sync += [best.eq(key), token.eq(self.token_in), present.eq(1)]
            with m.If(self.select == lane):
                m.d.comb += [self.token.eq(token), self.present.eq(present)]
        return m
