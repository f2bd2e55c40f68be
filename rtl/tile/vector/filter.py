"""Filters of what is sampled: min-p's floor, and the search for the threshold of top-k."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.filters import (
    COUNT_BITS,
    COUNTS_PER_WORD,
    DIGIT_BITS,
    DIGITS,
    TOP_K_MAX,
    WORD_COUNT_BITS,
)
from hayate.rtl.contract.flits import STOP_BITS, WORD_BITS
from hayate.rtl.contract.words import COUNT_ADDRESS
from hayate.rtl.numerics.bits import sort_key
from hayate.rtl.ring.flit import view

#: Digits that a count is kept for.
COUNTS = 1 << DIGIT_BITS
WORDS = COUNTS // COUNTS_PER_WORD
#: Cycles from z to `keep`.
KEEP_LATENCY = 6

_Counts = data.ArrayLayout(COUNT_BITS, COUNTS_PER_WORD)


def add(a, b):
    """Sum of two counts, TOP_K_MAX at most."""
    total = a + b
    return Mux(total[COUNT_BITS - 1 :].any(), TOP_K_MAX, total)


class Filter(wiring.Component):
    """Says of each z whether it may be sampled: it must not be below the floor (`min_p`), and be one of the `top_k`
    largest of all tiles.

    The threshold of top-k is found digit by digit, as `hayate.rtl.contract.filters` says. Each round is: all z go by
    once and are counted; `words` are sent to all tiles and cleared; the words of all tiles arrive; `select` takes the
    digit. After the last round the threshold is exact, and of those z that equal it, this tile knows how many it may
    keep: those that tiles of lower index leave over, the first that come. So z must come in the order of their tokens,
    and tiles of lower index hold lower tokens. Without `top_k` no round is needed, and with fewer z than `top_k` all of
    them pass. Words of the next round may arrive before `select`, those of a later one not.

    A z is counted 2 cycles after `z_valid`, and `keep` follows it by KEEP_LATENCY cycles; one comes per cycle at most.
    `select` takes SELECT_CYCLES for each wanted lane and one more; `selected` strobes in the last of them, and z may
    come from the next cycle on. `start` forgets everything but the floor. Reset too.

    A digit for two wanted lanes::

        cycle     0       1       2       3       4       5       6       7       8       9       10
        select    ~~~~~~~~________________________________________________________________________________
        state     IDLE....COMPARE.DIGIT...TAKE....KEEP....COMPARE.DIGIT...TAKE....KEEP....COMPARE.IDLE....
        todo      3.......................................2...............................0...............
        selected  ________________________________________________________________________~~~~~~~~________

    Parameters
    ----------
    lanes: positions that have a z, a power of two.

    Members
    -------
    start: In. A pass begins. top_k (7): In, 0: off. min_p: In. index (8): In, of this tile. want: In(lanes). All
        constant during a pass.
    floor_valid, floor: In, `lanes` x FP32. z_valid, z: In, `lanes` x FP32. keep: Out(lanes).
    words: Out, `lanes` x 128, this tile's counts. parity: Out, of the round. clear: In, the words have been sent.
    count_valid: In(lanes). addr (12): In. counts: In, `lanes` x 64. A SUM flit with counts.
    select: In, not while it is under way. selected: Out.
    """

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(
            {
                "start": In(1),
                "top_k": In(COUNT_BITS),
                "min_p": In(1),
                "index": In(STOP_BITS),
                "want": In(lanes),
                "floor_valid": In(1),
                "floor": In(32).array(lanes),
                "z_valid": In(1),
                "z": In(32).array(lanes),
                "keep": Out(lanes),
                "words": Out(64 * WORDS).array(lanes),
                "parity": Out(1),
                "clear": In(1),
                "count_valid": In(lanes),
                "addr": In(COUNT_ADDRESS.bits),
                "counts": In(WORD_BITS * lanes),
                "select": In(1),
                "selected": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lanes = self.lanes
        unknown = Signal(range(DIGITS + 1), init=DIGITS)  # digits that are still to be found
        place = Signal(range(DIGITS))  # of the next one, from the lowest
        known = Signal(32)  # mask of the others
        thresholds = [Signal(32, name=f"threshold_{k}") for k in range(lanes)]
        left = [Signal(COUNT_BITS, name=f"left_{k}") for k in range(lanes)]  # of top_k, at the threshold's prefix
        ties = [Signal(COUNT_BITS, name=f"ties_{k}") for k in range(lanes)]  # of these, that this tile may keep
        m.d.comb += [place.eq(unknown - 1), self.parity.eq(unknown[0])]

        # z: compared (1), then counted and judged (2).
        s1_valid = Signal()
        m.d.sync += s1_valid.eq(self.z_valid)
        kept = Signal(lanes)
        for k in range(lanes):
            floor = Signal(32, name=f"floor_key_{k}")
            own = Signal(32, name=f"key_{k}")
            digit = Signal(DIGIT_BITS, name=f"s1_digit_{k}")
            match = Signal(name=f"s1_match_{k}")
            above = Signal(name=f"s1_above_{k}")
            high = Signal(name=f"s1_high_{k}")
            m.d.comb += own.eq(sort_key(self.z[k]))
            with m.If(self.floor_valid):
                m.d.sync += floor.eq(sort_key(self.floor[k]))
            with m.If(self.z_valid):
                m.d.sync += [
                    digit.eq(own.word_select(place, DIGIT_BITS)),
                    match.eq(~((own ^ thresholds[k]) & known).any()),
                    above.eq(~self.top_k.any() | (own > thresholds[k])),
                    high.eq(~self.min_p | (own >= floor)),
                ]
            m.d.comb += kept[k].eq(high & (above | match & ties[k].any()))
            with m.If(s1_valid & match & ties[k].any()):
                m.d.sync += ties[k].eq(ties[k] - 1)
            for d in range(COUNTS):
                count = Signal(COUNT_BITS, name=f"count_{k}_{d}")
                m.d.comb += self.words[k].word_select(d, WORD_COUNT_BITS).eq(count)
                with m.If(self.clear | self.start):
                    m.d.sync += count.eq(0)
                with m.Elif(s1_valid & match & (digit >= d) & ~count[-1]):
                    m.d.sync += count.eq(count + 1)
        delayed = kept
        for n in range(KEEP_LATENCY - 1):
            later = Signal(lanes, name=f"kept_{n}")
            m.d.sync += later.eq(delayed)
            delayed = later
        m.d.comb += self.keep.eq(delayed)

        self._search(m, unknown, place, known, thresholds, left, ties)
        with m.If(self.start):
            m.d.sync += [unknown.eq(DIGITS), known.eq(0)]
            for k in range(lanes):
                m.d.sync += [thresholds[k].eq(0), left[k].eq(self.top_k)]
        return m

    def _collect(self, m, number, ended):
        """Sums of the counts of all tiles, and of those of lower index, two lists of COUNTS, of lane `number` in this
        round.
        """
        sums, lower, address = [], [], view(COUNT_ADDRESS, self.addr)
        layout = data.StructLayout({"all": _Counts, "lower": _Counts})
        for half in range(WORDS):
            looked = Signal(layout, name=f"looked_{half}")
            for k in range(self.lanes):  # a lane's memory holds the sums of rounds of either parity
                m.submodules[f"sums_{half}_{k}"] = store = memory.Memory(shape=layout, depth=2, init=[])
                write, old, look = store.write_port(), store.read_port(domain="comb"), store.read_port(domain="comb")
                holds = Signal(2, name=f"holds_{half}_{k}")
                present = Signal(layout, name=f"present_{half}_{k}")
                m.d.comb += [
                    old.addr.eq(address.parity),
                    write.addr.eq(address.parity),
                    look.addr.eq(self.parity),
                    write.en.eq(self.count_valid[k] & (address.high == half)),
                    present.eq(Mux(holds.bit_select(address.parity, 1), old.data.as_value(), 0)),
                ]
                word = self.counts.word_select(k, WORD_BITS)
                for j in range(COUNTS_PER_WORD):
                    count = word[WORD_COUNT_BITS * j :][:COUNT_BITS]
                    m.d.comb += [
                        write.data.all[j].eq(add(present.all[j], count)),
                        write.data.lower[j].eq(add(present.lower[j], Mux(address.index < self.index, count, 0))),
                    ]
                with m.If(self.start):
                    m.d.sync += holds.eq(0)
                with m.Elif(ended | write.en):
                    done = Cat(ended & ~self.parity, ended & self.parity)
                    m.d.sync += holds.eq(holds & ~done | Mux(write.en, Const(1, 1) << address.parity, 0))
                with m.If(number == k):
                    m.d.comb += looked.eq(look.data)
            sums += [looked.all[j] for j in range(COUNTS_PER_WORD)]
            lower += [looked.lower[j] for j in range(COUNTS_PER_WORD)]
        return sums, lower

    def _search(self, m, unknown, place, known, thresholds, left, ties):
        """`select`: lane after lane, which sums reach what is left of top_k; how many do is the digit."""
        lanes = self.lanes
        ended = Signal()
        todo = Signal(lanes)  # lanes not yet done
        here = Signal(lanes)  # the first of them
        m.d.comb += here.eq(todo & -todo)
        wanted = Signal(COUNT_BITS)
        number = Signal(ceil_log2(lanes))
        for k in range(lanes):
            with m.If(here[k]):
                m.d.comb += [wanted.eq(left[k]), number.eq(k)]
        sums, lower = self._collect(m, number, ended)

        reached = Signal(COUNTS - 1)
        digit = Signal(DIGIT_BITS)
        above = Signal(COUNT_BITS)
        taken = Signal(COUNT_BITS)
        rest = Signal(COUNT_BITS)
        m.d.comb += [rest.eq(wanted - above), self.selected.eq(ended)]
        with m.FSM(name="search"):
            with m.State("IDLE"):
                m.d.sync += todo.eq(self.want)
                with m.If(self.select):
                    m.next = "COMPARE"
            with m.State("COMPARE"):
                m.d.sync += reached.eq(Cat(total >= wanted for total in sums[1:]))
                m.next = "DIGIT"
                with m.If(~todo.any()):
                    m.d.comb += ended.eq(1)
                    m.d.sync += [unknown.eq(unknown - 1), known.eq(Cat(known[DIGIT_BITS:], Const(-1, DIGIT_BITS)))]
                    m.next = "IDLE"
            with m.State("DIGIT"):  # sums do not rise with the digit
                m.d.sync += digit.eq(sum(reached))
                m.next = "TAKE"
            with m.State("TAKE"):
                with m.Switch(digit):
                    for d in range(COUNTS):
                        with m.Case(d):
                            m.d.sync += (
                                [above.eq(sums[d + 1]), taken.eq(lower[d] - lower[d + 1])]
                                if d + 1 < COUNTS
                                else [above.eq(0), taken.eq(lower[d])]
                            )
                m.next = "KEEP"
            with m.State("KEEP"):
                for k in range(lanes):
                    with m.If(here[k]):
                        m.d.sync += [
                            thresholds[k].word_select(place, DIGIT_BITS).eq(digit),
                            left[k].eq(rest),
                            ties[k].eq(Mux(rest > taken, rest - taken, 0)),
                        ]
                m.d.sync += todo.eq(todo & ~here)
                m.next = "COMPARE"
