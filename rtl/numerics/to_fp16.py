"""FP32 to scaled FP16."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.numerics.bits import lost_bits, round_stage

__all__ = ["ToFp16"]


class ToFp16(wiring.Component):
    """x · 2^-s as FP16, rounded once to nearest-even.

    Takes a value a cycle; `out_valid`, `y` and `sat` follow `valid` by TO_FP16_LATENCY cycles. There is no
    backpressure. `x` is finite; subnormals are kept on both sides. What overflows becomes ±65504 and raises `sat`.
    Registers load only with a valid value in their stage; reset clears the valid bits.

    Members
    -------
    valid, x, s : In(1), In(32), In(signed(6))
        A value in FP32 and the exponent to divide by.
    out_valid, y, sat : Out(1), Out(16), Out(1)
        The result; `y` and `sat` hold until the next one.
    """

    valid: In(1)
    x: In(32)
    s: In(signed(6))
    out_valid: Out(1)
    y: Out(16)
    sat: Out(1)

    def elaborate(self, platform):
        m = Module()

        # Stage 1: the exponent field in FP16, and how far below its smallest exponent it lies.
        field = Signal(signed(10))
        below = Signal(signed(10))
        m.d.comb += [field.eq(self.x[23:31] - self.s - 112), below.eq(self.s + 113 - self.x[23:31])]
        s1_valid = Signal()
        s1_sign = Signal()
        s1_big = Signal()
        s1_field = Signal(5)
        s1_shift = Signal(4)
        s1_mantissa = Signal(24)
        m.d.sync += s1_valid.eq(self.valid)
        with m.If(self.valid):
            m.d.sync += [
                s1_sign.eq(self.x[31]),
                s1_field.eq(field[:5]),
                s1_big.eq(~field[9] & field[5:9].any()),
                s1_shift.eq(Mux(below[9], 0, below[:4] | below[4:9].any().replicate(4))),
                # An FP32 subnormal is shifted out entirely, so its exponent of one less than it says is of no matter.
                s1_mantissa.eq(Cat(self.x[:23], self.x[23:31].any())),
            ]

        # Stage 2: align.
        shifted = Signal(12)
        m.d.comb += shifted.eq(s1_mantissa[12:] >> s1_shift)
        s2_valid = Signal()
        s2_sign = Signal()
        s2_big = Signal()
        s2_up = Signal()
        s2_field = Signal(5)
        s2_fraction = Signal(10)
        m.d.sync += s2_valid.eq(s1_valid)
        with m.If(s1_valid):
            sticky = s1_mantissa[:12].any() | lost_bits(s1_mantissa[12:], s1_shift)
            m.d.sync += [
                s2_sign.eq(s1_sign),
                s2_big.eq(s1_big),
                s2_field.eq(s1_field & shifted[11].replicate(5)),
                s2_fraction.eq(shifted[1:11]),
                s2_up.eq(shifted[0] & (sticky | shifted[1])),
            ]

        # Stage 3: round.
        round_stage(m, self, valid=s2_valid, sign=s2_sign, field=s2_field, fraction=s2_fraction, up=s2_up, big=s2_big)
        return m
