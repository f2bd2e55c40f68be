"""What the ring brings to the vector lanes: exact partial sums and maxima of other tiles, and of this one."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.constants import ACC_WIDTH
from hayate.rtl.contract.flits import STOP_BITS
from hayate.rtl.contract.isa import ROUNDS_AHEAD
from hayate.rtl.numerics.normalizer import Normalizer
from hayate.rtl.verilog.once import once

ROUND_BITS = ceil_log2(ROUNDS_AHEAD)
#: FP32 bits of the largest negative finite value: the maximum of nothing.
LOWEST = 0xFF7FFFFF


def above(a, b):
    """FP32 a > b, combinational; +0 is above -0, so that the largest of several does not depend on their order."""
    magnitude = a[:31] > b[:31]
    return Mux(a[31] ^ b[31], b[31], Mux(a[31], b[:31] > a[:31], magnitude))


class Collect(wiring.Component):
    """Per lane exact sums of partial sums, modulo 2**96, and maxima: those of each of ROUNDS_AHEAD rounds of attention
    (`vec`) apart, and sums outside of attention (round 0) beside them.

    Partial sums arrive as halves, low 64 bits unsigned or high 32 bits, in any order and interleaving of sources; every
    half is added by itself, one per lane and cycle. They are rounded to FP32 once, lane after lane through one
    normalizer. Those of an attention round are as soon as `senders` upper halves are there, each behind its lower one,
    in lanes + NORM_LATENCY + 3 cycles from the last one on unless others are in front; the others when `request` asks
    for them, which multiplies them by 2**exponent, in lanes + NORM_LATENCY + 2 cycles. `ready` tells of the sums that
    `sum_vec` and `sum_round` name, and stays until `taken`, which sets them to zero; `sums` shows them from the next
    cycle on, until others are taken. Halves that arrive when their sums are complete, or after a `request`, are outside
    the contract until they are taken.
    `maxima` show those of `show_round` and follow a maximum by one cycle; the largest stays until `max_clear` while its
    round is shown, after which it is LOWEST. Reset clears everything. Nothing toggles without an input strobe.

    Sums of two lanes::

        cycle    0   1   2   3   4   5   6   7   8   9   10  11
        request  ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~________
        busy     ____~~~~~~~~~~~~~~~~~~~~~~~~____________________
        walking  ____~~~~~~~~____________________________________
        ready    ____________________________~~~~~~~~~~~~________
        taken    ____________________________________~~~~________

    Parameters
    ----------
    lanes: sums and maxima.

    Members
    -------
    sum_valid, max_valid: In(lanes). high: In. words: In, `lanes` x 64. A half of a partial sum (`high`: the upper one),
        or a maximum in the lower half of the word, of `round` (2), with `vec` a sum of attention.
    senders: In(8), that send sums of an attention round; constant while any are under way.
    request: In, held until `taken`, with sum_vec, sum_round (2) constant. exponent: In(8), two's complement, at most 40
        in magnitude; not for sums of attention. taken: In.
    ready: Out. sums: Out, `lanes` x FP32.
    show_round (2), max_clear: In. maxima: Out, `lanes` x FP32.
    """

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(
            {
                "sum_valid": In(lanes),
                "max_valid": In(lanes),
                "high": In(1),
                "words": In(64 * lanes),
                "round": In(ROUND_BITS),
                "vec": In(1),
                "senders": In(STOP_BITS),
                "request": In(1),
                "sum_round": In(ROUND_BITS),
                "sum_vec": In(1),
                "exponent": In(8),
                "taken": In(1),
                "ready": Out(1),
                "sums": Out(32).array(lanes),
                "show_round": In(ROUND_BITS),
                "max_clear": In(1),
                "maxima": Out(32).array(lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lanes, bits, depth = self.lanes, max(1, ceil_log2(self.lanes)), 2 * ROUNDS_AHEAD
        normalizer = Normalizer()
        m.submodules.normalizer = once(platform, normalizer)
        arrives = Signal(ROUND_BITS + 1)  # what a half is added to, what is being rounded, what is asked for
        walked = Signal(ROUND_BITS + 1)
        asked = Signal(ROUND_BITS + 1)
        done = Signal(depth)  # rounded
        m.d.comb += [
            arrives.eq(Cat(self.round, self.vec)),
            asked.eq(Cat(self.sum_round, self.sum_vec)),
            self.ready.eq(done.bit_select(asked, 1)),  # without `request`, which comes late
        ]

        # Accumulate. What holds nothing reads as zero.
        sums, roundings = [], []
        for k in range(lanes):
            m.submodules[f"sums_{k}"] = store = memory.Memory(shape=ACC_WIDTH, depth=depth, init=[])
            write, old, look = store.write_port(), store.read_port(domain="comb"), store.read_port(domain="comb")
            holds = Signal(depth, name=f"holds_{k}")
            present = Signal(ACC_WIDTH, name=f"present_{k}")
            addend = Signal(ACC_WIDTH, name=f"addend_{k}")
            word = self.words.word_select(k, 64)
            m.d.comb += [
                old.addr.eq(arrives),
                write.addr.eq(arrives),
                look.addr.eq(walked),
                write.en.eq(self.sum_valid[k]),
                present.eq(Mux(holds.bit_select(arrives, 1), old.data, 0)),
                addend.eq(Mux(self.high, word[:32] << 64, word)),
                write.data.eq(present + addend),
            ]
            with m.If(self.sum_valid[k]):
                m.d.sync += holds.bit_select(arrives, 1).eq(1)
            with m.If(self.taken):
                m.d.sync += holds.bit_select(asked, 1).eq(0)
            sums.append(Mux(holds.bit_select(walked, 1), look.data, 0))
            m.submodules[f"rounded_{k}"] = kept = memory.Memory(shape=32, depth=depth, init=[])
            put, get = kept.write_port(), kept.read_port(domain="comb")
            roundings.append(put)
            m.d.comb += [put.addr.eq(walked), put.data.eq(normalizer.fp32), get.addr.eq(asked)]
            with m.If(self.taken):
                m.d.sync += self.sums[k].eq(get.data)

        # Rounds of attention that are complete.
        counts = Array(Signal(STOP_BITS, name=f"count_{n}") for n in range(ROUNDS_AHEAD))
        complete = Signal(ROUNDS_AHEAD)
        begun = Signal(ROUNDS_AHEAD)
        count = Signal(STOP_BITS)
        last = Signal()
        m.d.comb += [count.eq(counts[self.round] + 1), last.eq(count == self.senders)]
        with m.If(self.sum_valid.any() & self.high & self.vec):
            m.d.sync += counts[self.round].eq(Mux(last, 0, count))
            m.d.sync += complete.eq(complete & ~begun | last << self.round)
        with m.Else():
            m.d.sync += complete.eq(complete & ~begun)

        # Round: lane after lane.
        busy = Signal()
        walking = Signal()
        at = Signal(bits)
        back = Signal(bits)
        exponent = Signal(8)
        s1_valid = Signal()
        s1_acc = Signal(ACC_WIDTH)
        starts = Signal()
        general = Signal()  # what is asked for is no sum of attention, and to be rounded now
        first = Signal(ROUND_BITS)
        for n in reversed(range(ROUNDS_AHEAD)):
            with m.If(complete[n]):
                m.d.comb += first.eq(n)
        m.d.comb += [
            general.eq(self.request & ~self.sum_vec & ~done[0]),
            starts.eq(~busy & (general | complete.any())),
            begun.eq(Mux(starts & ~general, 1 << first, 0)),
            normalizer.valid.eq(s1_valid),
            normalizer.acc.eq(s1_acc),
            normalizer.s.eq(exponent),
        ]
        m.d.sync += s1_valid.eq(walking)
        with m.If(starts):
            m.d.sync += [
                busy.eq(1),
                walking.eq(1),
                at.eq(0),
                back.eq(0),
                walked.eq(Mux(general, asked, Cat(first, 1))),
                exponent.eq(Mux(general, self.exponent, 0)),
            ]
        with m.If(walking):
            with m.Switch(at):
                for k, total in enumerate(sums):
                    with m.Case(k):
                        m.d.sync += s1_acc.eq(total)
            m.d.sync += [at.eq(at + 1), walking.eq(at != lanes - 1)]
        rounded = Signal()
        m.d.comb += rounded.eq(normalizer.out_valid & (back == lanes - 1))
        m.d.comb += [put.en.eq(normalizer.out_valid & (back == k)) for k, put in enumerate(roundings)]
        with m.If(normalizer.out_valid):
            m.d.sync += back.eq(back + 1)
        with m.If(rounded):
            m.d.sync += busy.eq(0)
        m.d.sync += done.eq(done & ~Mux(self.taken, 1 << asked, 0)[:depth] | Mux(rounded, 1 << walked, 0)[:depth])

        # Maxima. A round that holds nothing reads as LOWEST.
        for k in range(lanes):
            m.submodules[f"maxima_{k}"] = kept = memory.Memory(shape=32, depth=ROUNDS_AHEAD, init=[])
            put, compared, shown = kept.write_port(), kept.read_port(domain="comb"), kept.read_port(domain="comb")
            there = Signal(ROUNDS_AHEAD, name=f"there_{k}")
            value = self.words.word_select(k, 64)[:32]
            before = Signal(32, name=f"before_{k}")
            m.d.comb += [
                compared.addr.eq(self.round),
                put.addr.eq(self.round),
                shown.addr.eq(self.show_round),
                put.data.eq(value),
                before.eq(Mux(there.bit_select(self.round, 1), compared.data, LOWEST)),
                put.en.eq(self.max_valid[k] & (above(value, before) | ~there.bit_select(self.round, 1))),
                self.maxima[k].eq(Mux(there.bit_select(self.show_round, 1), shown.data, LOWEST)),
            ]
            with m.If(self.max_valid[k]):
                m.d.sync += there.bit_select(self.round, 1).eq(1)
            with m.If(self.max_clear):
                m.d.sync += there.bit_select(self.show_round, 1).eq(0)
        return m
