"""FP32 sum, and the maximum that the same data path gives."""

from enum import IntEnum

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.numerics.bits import leading_zeros, lost_bits, round_stage

__all__ = ["FP32_ADD_LATENCY", "Fp32Add", "Fp32AddMode"]

FP32_ADD_LATENCY = 5


class Fp32AddMode(IntEnum):
    """What `Fp32Add` makes of its operands."""

    ADD = 0
    MAX = 1
    MOV = 2


class Fp32Add(wiring.Component):
    """a + b, max(a, b) or a, rounded to nearest-even.

    Takes an operation a cycle; `out_valid`, `y` and `sat` follow `valid` by FP32_ADD_LATENCY cycles. There is no
    backpressure. Operands are finite, subnormals included. A sum that overflows becomes the largest finite value of its
    sign and raises `sat`. An exact zero is +0 unless both operands are -0; the maximum of equal operands is `a`, and -0
    equals +0. Registers load only with a valid operation in their stage; reset clears the valid bits.

    Members
    -------
    valid, mode, a, b : In(1), In(2), In(32), In(32)
        An operation, an `Fp32AddMode` and two FP32 operands.
    out_valid, y, sat : Out(1), Out(32), Out(1)
        The result; `y` and `sat` hold until the next one.
    """

    valid: In(1)
    mode: In(2)
    a: In(32)
    b: In(32)
    out_valid: Out(1)
    y: Out(32)
    sat: Out(1)

    def elaborate(self, platform):
        m = Module()

        # Stage 1: order by magnitude.
        a_ge = Signal()
        take_b = Signal()
        only = Signal()  # the second operand counts as zero
        m.d.comb += [a_ge.eq(self.a[:31] >= self.b[:31]), only.eq(self.mode != Fp32AddMode.ADD)]
        with m.Switch(self.mode):
            with m.Case(Fp32AddMode.ADD):
                m.d.comb += take_b.eq(~a_ge)
            with m.Case(Fp32AddMode.MAX):
                # Two negative operands of equal magnitude are the same number, so that case needs no care.
                both_zero = (self.a[:31] | self.b[:31]) == 0
                m.d.comb += take_b.eq(
                    Mux(self.a[31], self.b[31] & a_ge | ~self.b[31] & ~both_zero, ~self.b[31] & ~a_ge)
                )
        big = Signal(31)
        small = Signal(31)
        big_exponent = Signal(8)
        a_exponent = Signal(8)
        b_exponent = Signal(8)
        distance = Signal(5)

        def clamped(difference):
            return difference[:5] | difference[5:8].any().replicate(5)

        m.d.comb += [
            big.eq(Mux(take_b, self.b[:31], self.a[:31])),
            small.eq(Mux(take_b, self.a[:31], self.b[:31]) & ~only.replicate(31)),
            # A subnormal has the exponent of the smallest normal number.
            big_exponent.eq(big[23:] | ~big[23:].any()),
            # Both differences are ready when the order is.
            a_exponent.eq(self.a[23:31] | ~self.a[23:31].any()),
            b_exponent.eq(self.b[23:31] | ~self.b[23:31].any()),
            # Where one operand counts the other one may be anything, never written memory included.
            distance.eq(
                Mux(take_b, clamped(b_exponent - a_exponent), clamped(a_exponent - b_exponent)) & ~only.replicate(5)
            ),
        ]
        s1_valid = Signal()
        s1_sign = Signal()
        s1_subtract = Signal()
        s1_exponent = Signal(8)
        s1_distance = Signal(5)
        s1_big = Signal(24)
        s1_small = Signal(24)
        m.d.sync += s1_valid.eq(self.valid)
        with m.If(self.valid):
            m.d.sync += [
                s1_sign.eq(Mux(take_b, self.b[31], self.a[31])),
                s1_subtract.eq((self.a[31] ^ self.b[31]) & ~only),
                s1_exponent.eq(big_exponent),
                s1_distance.eq(distance),
                s1_big.eq(Cat(big[:23], big[23:].any())),
                s1_small.eq(Cat(small[:23], small[23:].any())),
            ]

        # Stage 2: align (guard, round and sticky bits below the significand) and add.
        aligned = Signal(27)
        wide = Signal(27)
        addend = Signal(27)
        total = Signal(29)
        m.d.comb += [
            wide.eq(s1_small << 3),
            # What leaves the 26 bits above the sticky position ends in it.
            aligned.eq(Cat(lost_bits(wide[1:], s1_distance), (wide[1:] >> s1_distance)[:26])),
            addend.eq(aligned ^ s1_subtract.replicate(27)),
            # Bit 0 carries the +1 of the two's complement into the chain.
            total.eq(Cat(s1_subtract, s1_big << 3) + Cat(s1_subtract, addend, s1_subtract)),
        ]
        s2_valid = Signal()
        s2_sign = Signal()
        s2_subtract = Signal()
        s2_exponent = Signal(8)
        s2_sum = Signal(28)
        s2_end = Signal(28)  # a one where the smallest exponent ends a shift to the left
        m.d.sync += s2_valid.eq(s1_valid)
        with m.If(s1_valid):
            m.d.sync += [
                s2_sign.eq(s1_sign),
                s2_subtract.eq(s1_subtract),
                s2_exponent.eq(s1_exponent),
                s2_sum.eq(total[1:]),
                s2_end.eq(Cat(s1_exponent == 27 - i for i in range(28))),
            ]

        # Stage 3: how far to the left, no further than the smallest exponent allows.
        shift = leading_zeros(m, s2_sum | s2_end, "shift")
        s3_valid = Signal()
        s3_sign = Signal()
        s3_exponent = Signal(8)
        s3_sum = Signal(28)
        s3_shift = Signal(5)
        m.d.sync += s3_valid.eq(s2_valid)
        with m.If(s2_valid):
            m.d.sync += [
                s3_sign.eq(s2_sign & ~(s2_subtract & ~s2_sum.any())),
                s3_exponent.eq(s2_exponent + 1),
                s3_sum.eq(s2_sum),
                s3_shift.eq(shift),
            ]

        # Stage 4: normalize.
        normal = Signal(28)
        m.d.comb += normal.eq(s3_sum << s3_shift)
        s4_valid = Signal()
        s4_sign = Signal()
        s4_up = Signal()
        s4_field = Signal(8)
        s4_fraction = Signal(23)
        m.d.sync += s4_valid.eq(s3_valid)
        with m.If(s3_valid):
            m.d.sync += [
                s4_sign.eq(s3_sign),
                s4_field.eq((s3_exponent - s3_shift) & normal[27].replicate(8)),
                s4_fraction.eq(normal[4:27]),
                s4_up.eq(normal[3] & (normal[:3].any() | normal[4])),
            ]

        # Stage 5: round.
        round_stage(m, self, valid=s4_valid, sign=s4_sign, field=s4_field, fraction=s4_fraction, up=s4_up, big=0)
        return m
