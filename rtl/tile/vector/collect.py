"""What the ring brings to the vector lanes: exact partial sums and maxima of other tiles, and of this one."""

from functools import reduce
from operator import or_

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.constants import ACC_WIDTH
from hayate.rtl.contract.flits import LANE_BITS
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
    """Per lane an exact sum of partial sums, modulo 2**96, and a maximum for each of ROUNDS_AHEAD rounds of attention.

    Partial sums arrive as halves, low 64 bits unsigned or high 32 bits, in any order and interleaving of sources; every
    half is added by itself, one per cycle. `request` asks for the sums as FP32, rounded once and multiplied by
    2**exponent: `ready` rises lanes + NORM_LATENCY + 2 cycles after `request` and stays, with `sums` beside it, until
    `taken`, which sets all the sums to zero. Halves that arrive between `request` and `taken` are outside the contract.
    `maxima` show those of `show_round` and follow a maximum by one cycle; the largest stays until `max_clear` while its
    round is shown, after which it is LOWEST. Reset clears everything. Nothing toggles without an input strobe.

    Sums of two lanes::

        cycle    0   1   2   3   4   5   6   7   8   9   10  11
        request  ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~________
        started  ____~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~________
        walking  ____~~~~~~~~____________________________________
        ready    ____________________________~~~~~~~~~~~~________
        taken    ____________________________________~~~~________

    Parameters
    ----------
    lanes: sums and maxima.

    Members
    -------
    sum_valid, max_valid, lane(3), high, word(64): In. A half of a partial sum (`high`: the upper one), or a maximum in
        word[31:0] of `round` (2).
    request: In, held until `taken`. exponent: In(8), two's complement, at most 40 in magnitude. taken: In.
    ready: Out. sums: Out, `lanes` x FP32.
    show_round (2), max_clear: In. maxima: Out, `lanes` x FP32.
    """

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(
            {
                "sum_valid": In(1),
                "max_valid": In(1),
                "lane": In(LANE_BITS),
                "high": In(1),
                "word": In(64),
                "request": In(1),
                "exponent": In(8),
                "taken": In(1),
                "ready": Out(1),
                "sums": Out(32).array(lanes),
                "round": In(ROUND_BITS),
                "show_round": In(ROUND_BITS),
                "max_clear": In(1),
                "maxima": Out(32).array(lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lanes, bits = self.lanes, max(1, ceil_log2(self.lanes))
        m.submodules.store = store = memory.Memory(shape=ACC_WIDTH, depth=1 << bits, init=[])
        write, old, look = store.write_port(), store.read_port(domain="comb"), store.read_port(domain="comb")
        normalizer = Normalizer()
        m.submodules.normalizer = once(platform, normalizer)

        # Accumulate. A lane that holds nothing reads as zero, which clears all lanes in a cycle.
        holds = Signal(1 << bits)
        lane = Signal(bits)
        present = Signal(ACC_WIDTH)
        addend = Signal(ACC_WIDTH)
        m.d.comb += [
            lane.eq(self.lane if lanes > 1 else 0),
            old.addr.eq(lane),
            write.addr.eq(lane),
            write.en.eq(self.sum_valid),
            present.eq(Mux(holds.bit_select(lane, 1), old.data, 0)),
            addend.eq(Mux(self.high, self.word[:32] << 64, self.word)),
            write.data.eq(present + addend),
        ]
        with m.If(self.taken):
            m.d.sync += holds.eq(0)
        with m.Elif(self.sum_valid):
            m.d.sync += holds.bit_select(lane, 1).eq(1)

        # Round: lane after lane through one normalizer.
        walking = Signal()
        at = Signal(bits)
        back = Signal(bits)
        s1_valid = Signal()
        s1_acc = Signal(ACC_WIDTH)
        m.d.comb += look.addr.eq(at)
        m.d.sync += s1_valid.eq(walking)
        started = Signal()
        with m.If(self.request & ~started):
            m.d.sync += [started.eq(1), walking.eq(1), at.eq(0), back.eq(0)]
        with m.If(walking):
            m.d.sync += [
                s1_acc.eq(Mux(holds.bit_select(at, 1), look.data, 0)),
                at.eq(at + 1),
                walking.eq(at != lanes - 1),
            ]
        m.d.comb += [normalizer.valid.eq(s1_valid), normalizer.acc.eq(s1_acc), normalizer.s.eq(self.exponent)]
        with m.If(normalizer.out_valid):
            for k in range(lanes):
                with m.If(back == k):
                    m.d.sync += self.sums[k].eq(normalizer.fp32)
            m.d.sync += [back.eq(back + 1), self.ready.eq(back == lanes - 1)]
        with m.If(self.taken):
            m.d.sync += [started.eq(0), self.ready.eq(0)]

        # Maxima: one comparison a cycle serves all lanes. A round that holds nothing reads as LOWEST.
        value = self.word[:32]
        larger = Signal()
        olds = []
        for k in range(lanes):
            m.submodules[f"maxima_{k}"] = kept = memory.Memory(shape=32, depth=ROUNDS_AHEAD, init=[])
            put, compared, shown = kept.write_port(), kept.read_port(domain="comb"), kept.read_port(domain="comb")
            there = Signal(ROUNDS_AHEAD, name=f"there_{k}")
            strobe = self.max_valid & (lane == k)
            before = Signal(32, name=f"before_{k}")
            m.d.comb += [
                compared.addr.eq(self.round),
                put.addr.eq(self.round),
                shown.addr.eq(self.show_round),
                put.data.eq(value),
                before.eq(Mux(there.bit_select(self.round, 1), compared.data, LOWEST)),
                put.en.eq(strobe & (larger | ~there.bit_select(self.round, 1))),
                self.maxima[k].eq(Mux(there.bit_select(self.show_round, 1), shown.data, LOWEST)),
            ]
            olds.append(before & (lane == k).replicate(32))
            with m.If(strobe):
                m.d.sync += there.bit_select(self.round, 1).eq(1)
            with m.If(self.max_clear):
                m.d.sync += there.bit_select(self.show_round, 1).eq(0)
        m.d.comb += larger.eq(above(value, reduce(or_, olds)))
        return m
