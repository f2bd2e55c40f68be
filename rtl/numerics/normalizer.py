"""Rounds an exact accumulator to FP32."""

from amaranth import C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.constants import ACC_LSB, ACC_WIDTH

_KEPT = 25  # significand and the bit after it
_TOP_EXPONENT = 127 + ACC_LSB + ACC_WIDTH - 1  # biased exponent of an accumulator without leading zeros, before s


class Normalizer(wiring.Component):
    """fp32 = RNE(acc * 2**-48) * 2**s: one rounding, nearest-even; a zero sum is +0.

    A nonzero sum lies between 2**-48 and 2**47, so the result is a normal number for every accumulator as long as s is
    within -78..80; the contract keeps |s| <= 40 for matrices. Other s are outside the domain, because nothing saturates
    here.

    Latency NORM_LATENCY = 3, one value per cycle, no backpressure. Reset clears the valid flags; data registers hold
    while nothing passes them.

    Members
    -------
    valid : in, `acc` and `s` are taken this cycle.
    acc : in, 96 bits signed, in units of 2**-48.
    s : in, 8 bits signed, exponent of the power of two.
    out_valid : out, `valid` NORM_LATENCY cycles ago.
    fp32 : out, 32 bits; holds until the next result.
    """

    valid: In(1)
    acc: In(signed(ACC_WIDTH))
    s: In(signed(8))
    out_valid: Out(1)
    fp32: Out(32)

    def elaborate(self, platform):
        m = Module()

        # Stage 1: magnitude, and its leading zeros counted on the inverted number so that nothing waits for the
        # negation. The
        # count is one too many for minus a power of two: then the shift below moves the only bit out.
        s1_valid = Signal()
        s1_negative = Signal(reset_less=True)
        s1_zero = Signal(reset_less=True)
        s1_magnitude = Signal(ACC_WIDTH, reset_less=True)
        s1_shift = Signal(7, reset_less=True)
        s1_exponent = Signal(8, reset_less=True)  # of a magnitude without leading zeros
        negative = Signal()
        inverted = Signal(ACC_WIDTH)
        zeros = Signal(7)
        m.d.comb += [
            negative.eq(self.acc[-1]),
            inverted.eq(self.acc ^ negative.replicate(ACC_WIDTH)),
            zeros.eq(leading_zeros(m, inverted)),
        ]
        m.d.sync += s1_valid.eq(self.valid)
        with m.If(self.valid):
            m.d.sync += [
                s1_negative.eq(negative),
                s1_zero.eq((zeros == ACC_WIDTH) & ~negative),
                s1_magnitude.eq(inverted + negative),
                s1_shift.eq(zeros),
                s1_exponent.eq(self.s + _TOP_EXPONENT),
            ]

        # Stage 2: significand of 24 bits, first bit and disjunction of the rest.
        s2_valid = Signal()
        s2_negative = Signal(reset_less=True)
        s2_zero = Signal(reset_less=True)
        s2_significand = Signal(24, reset_less=True)
        s2_half = Signal(reset_less=True)
        s2_sticky = Signal(reset_less=True)
        s2_exponent = Signal(8, reset_less=True)
        # Coarse steps first: what can no longer reach the significand goes into the disjunction and is not shifted any
        # further.
        window, below = s1_magnitude, []
        for step in reversed(range(len(s1_shift))):
            shifted = Signal(len(window), name=f"shifted_{1 << step}")
            m.d.comb += shifted.eq(Mux(s1_shift[step], window << (1 << step), window))
            out_of_reach = max(0, len(window) - (_KEPT + (1 << step) - 1))
            below.append(shifted[:out_of_reach].any())
            window = shifted[out_of_reach:]
        m.d.sync += s2_valid.eq(s1_valid)
        with m.If(s1_valid):
            m.d.sync += [
                s2_negative.eq(s1_negative),
                s2_zero.eq(s1_zero),
                s2_significand.eq(window[1:]),
                s2_half.eq(window[0]),
                s2_sticky.eq(Cat(below).any()),
                s2_exponent.eq(s1_exponent - s1_shift),
            ]

        # Stage 3: round. A significand without its leading one is the power of two whose bit was moved out; like a
        # carry out of the rounding it leaves a zero fraction and the next exponent.
        s3_valid = Signal()
        s3_fp32 = Signal(32, reset_less=True)
        up = Signal()
        rounded = Signal(25)
        next_power = Signal()
        m.d.comb += [
            up.eq(s2_half & (s2_sticky | s2_significand[0])),
            rounded.eq(s2_significand + up),
            next_power.eq(rounded[24] | ~rounded[23]),
        ]
        m.d.sync += s3_valid.eq(s2_valid)
        with m.If(s2_valid):
            m.d.sync += s3_fp32.eq(
                Mux(s2_zero, 0, Cat(rounded[:23], (s2_exponent + next_power)[:8], s2_negative)),
            )

        m.d.comb += [self.out_valid.eq(s3_valid), self.fp32.eq(s3_fp32)]
        return m


def leading_zeros(m: Module, value: Value, name: str = "zeros") -> Value:
    """How many zeros stand above the highest one of `value`; its width where there is none. A balanced tree.

    Every node is a signal of its own in `m.d.comb`, `name` in front: a nested expression would be walked exponentially
    often.
    """
    width = 1 << (len(value) - 1).bit_length()
    # Each node counts 2**n bits in n + 1 bits, of which the top one says that there is nothing else. Ones below the
    # value stop the count at its width.
    counts = [~bit for bit in Cat(C(-1, width - len(value)), value)]
    level = 0
    while len(counts) > 1:
        level += 1
        pairs = []
        for i, (low, high) in enumerate(zip(counts[::2], counts[1::2])):
            node = Signal(level + 1, name=f"{name}_{level}_{i}")
            rest = Mux(high[-1], low[:-1], high[:-1]) if level > 1 else C(0, 0)
            m.d.comb += node.eq(Cat(rest, high[-1] & ~low[-1], high[-1] & low[-1]))
            pairs.append(node)
        counts = pairs
    return counts[0]
