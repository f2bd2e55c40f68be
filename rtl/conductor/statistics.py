"""What drafting came to: counters over the verified passes of a generation."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.words import PASS_SIZE_BITS


class Statistics(wiring.Component):
    """Adds up passes. The effect of `verified` shows 2 cycles later, that of other strobes 1; a verified pass every 2
    cycles at most.

    Parameters
    ----------
    lanes: M.

    Members
    -------
    clear: In, a generation begins. verified: In, strobe. count: In(4), nodes of the pass. emitted: In(4), tokens that
        it gave, 1 to `lanes`: the root's, and one for each accepted node. siblings: In(lanes), accepted nodes whose
        parent has an earlier child.
    answered, issued: In, strobes: the last answer of a pass that will be verified; the START of any pass. drafting: In,
        with `issued`: it only drafts.
    passes, draft_passes: Out(32), issued ones, those that only draft apart.
    proposed, accepted, sibling_commits: Out(32). lengths: Out, `lanes` x 32, passes with 0, 1, ... accepted nodes.
    turnaround: Out(16), the most cycles from an `answered` to the next `issued`.
    """

    def __init__(self, lanes):
        self._lanes = lanes
        super().__init__(
            {
                "clear": In(1),
                "verified": In(1),
                "count": In(PASS_SIZE_BITS),
                "emitted": In(PASS_SIZE_BITS),
                "siblings": In(lanes),
                "answered": In(1),
                "issued": In(1),
                "drafting": In(1),
                "turnaround": Out(16),
                "passes": Out(32),
                "draft_passes": Out(32),
                "proposed": Out(32),
                "accepted": Out(32),
                "sibling_commits": Out(32),
                "lengths": Out(32).array(lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        s1_verified = Signal()
        s1_drafted = Signal(PASS_SIZE_BITS)
        s1_accepted = Signal(PASS_SIZE_BITS)
        s1_siblings = Signal(PASS_SIZE_BITS)
        m.d.sync += [
            s1_verified.eq(self.verified),
            s1_drafted.eq(self.count - 1),
            s1_accepted.eq(self.emitted - 1),
            s1_siblings.eq(sum(self.siblings[n] for n in range(self._lanes))),
        ]
        timed = Signal()
        cycles = Signal(16)
        m.d.sync += cycles.eq(cycles + 1)
        with m.If(self.answered):
            m.d.sync += [timed.eq(1), cycles.eq(1)]
        with m.If(self.issued):
            m.d.sync += timed.eq(0)
            with m.If(timed & (cycles > self.turnaround)):
                m.d.sync += self.turnaround.eq(cycles)
            with m.If(self.drafting):
                m.d.sync += self.draft_passes.eq(self.draft_passes + 1)
            with m.Else():
                m.d.sync += self.passes.eq(self.passes + 1)
        with m.If(self.clear):
            m.d.sync += [timed.eq(0), self.turnaround.eq(0), self.passes.eq(0), self.draft_passes.eq(0)]

        with m.If(self.clear):
            m.d.sync += [c.eq(0) for c in (self.proposed, self.accepted, self.sibling_commits, *self.lengths)]
        with m.Elif(s1_verified):
            m.d.sync += [
                self.proposed.eq(self.proposed + s1_drafted),
                self.accepted.eq(self.accepted + s1_accepted),
                self.sibling_commits.eq(self.sibling_commits + s1_siblings),
            ]
            for n in range(self._lanes):
                with m.If(s1_accepted == n):
                    m.d.sync += self.lengths[n].eq(self.lengths[n] + 1)
        return m
