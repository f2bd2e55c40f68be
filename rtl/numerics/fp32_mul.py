"""FP32 product."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.numerics.bits import leading_zeros, lost_bits, round_stage

__all__ = ["FP32_MUL_LATENCY", "Fp32Mul"]

FP32_MUL_LATENCY = 5


class Fp32Mul(wiring.Component):
    """a · b, rounded to nearest-even.

    Takes an operation a cycle; `out_valid`, `y` and `sat` follow `valid` by FP32_MUL_LATENCY cycles. There is no
    backpressure. Operands are finite, subnormals included. A product that overflows becomes the largest finite value of
    its sign and raises `sat`. Registers load only with a valid operation in their stage; reset clears the valid bits.
    The 24 × 24 bit product takes four 18-bit multipliers.

    Members
    -------
    valid, a, b : In(1), In(32), In(32)
        An operation and two FP32 operands.
    out_valid, y, sat : Out(1), Out(32), Out(1)
        The result; `y` and `sat` hold until the next one.
    """

    valid: In(1)
    a: In(32)
    b: In(32)
    out_valid: Out(1)
    y: Out(32)
    sat: Out(1)

    def elaborate(self, platform):
        m = Module()

        # Stage 1: find the operand that may be subnormal, and its leading zeros. When both are, the product rounds to
        # zero anyway.
        a_normal = Signal()
        b_normal = Signal()
        first = Signal(24)
        other = Signal(24)
        m.d.comb += [
            a_normal.eq(self.a[23:31].any()),
            b_normal.eq(self.b[23:31].any()),
            first.eq(Mux(a_normal, Cat(self.b[:23], b_normal), self.a[:23])),
            other.eq(Mux(a_normal, Cat(self.a[:23], 1), Cat(self.b[:23], b_normal))),
        ]
        zeros = leading_zeros(m, first, "zeros")
        s1_valid = Signal()
        s1_sign = Signal()
        s1_exponent = Signal(9)
        s1_zeros = Signal(5)
        s1_first = Signal(24)
        s1_other = Signal(24)
        m.d.sync += s1_valid.eq(self.valid)
        with m.If(self.valid):
            m.d.sync += [
                s1_sign.eq(self.a[31] ^ self.b[31]),
                s1_exponent.eq((self.a[23:31] | ~a_normal) + (self.b[23:31] | ~b_normal)),
                s1_zeros.eq(zeros),
                s1_first.eq(first),
                s1_other.eq(other),
            ]

        # Stage 2: normalize it.
        s2_valid = Signal()
        s2_sign = Signal()
        s2_exponent = Signal(9)
        s2_zeros = Signal(5)
        s2_first = Signal(24)
        s2_other = Signal(24)
        m.d.sync += s2_valid.eq(s1_valid)
        with m.If(s1_valid):
            m.d.sync += [
                s2_sign.eq(s1_sign),
                s2_exponent.eq(s1_exponent),
                s2_zeros.eq(s1_zeros),
                s2_first.eq(s1_first << s1_zeros),
                s2_other.eq(s1_other),
            ]

        # Stage 3: multiply. `exponent` is the field that a product in [1, 2) would have.
        exponent = Signal(signed(11))
        below = Signal(signed(11))
        m.d.comb += [exponent.eq(s2_exponent - 127 - s2_zeros), below.eq(127 + s2_zeros - s2_exponent)]
        s3_valid = Signal()
        s3_sign = Signal()
        s3_exponent = Signal(signed(11))
        s3_product = Signal(48)
        s3_below = Signal(6)  # right shift to the smallest exponent when the product is in [2, 4), clamped
        m.d.sync += s3_valid.eq(s2_valid)
        with m.If(s2_valid):
            m.d.sync += [
                s3_sign.eq(s2_sign),
                s3_exponent.eq(exponent),
                s3_product.eq(s2_first * s2_other),
                s3_below.eq(Mux(below[10], 0, below[:5] | below[5:10].any().replicate(5))),
                s3_below[5].eq(exponent <= 0),  # the shift when it is in [1, 2) is one more
            ]

        # Stage 4: align to the result's exponent.
        high = s3_product[47]
        mantissa = Signal(25)
        shift = Signal(5)
        shifted = Signal(25)
        field = Signal(signed(11))
        sticky = Signal()
        m.d.comb += [
            mantissa.eq(Mux(high, s3_product[23:], s3_product[22:47])),
            shift.eq(Mux(high | ~s3_below[5] | s3_below[:5].all(), s3_below[:5], s3_below[:5] + 1)),
            shifted.eq(mantissa >> shift),
            field.eq(s3_exponent + high),
            sticky.eq(lost_bits(mantissa, shift) | s3_product[:22].any() | high & s3_product[22]),
        ]
        s4_valid = Signal()
        s4_sign = Signal()
        s4_up = Signal()
        s4_big = Signal()
        s4_field = Signal(8)
        s4_fraction = Signal(23)
        m.d.sync += s4_valid.eq(s3_valid)
        with m.If(s3_valid):
            m.d.sync += [
                s4_sign.eq(s3_sign),
                s4_field.eq(field[:8] & shifted[24].replicate(8)),
                s4_big.eq(shifted[24] & field[8:10].any()),
                s4_fraction.eq(shifted[1:24]),
                s4_up.eq(shifted[0] & (sticky | shifted[1])),
            ]

        # Stage 5: round.
        round_stage(m, self, valid=s4_valid, sign=s4_sign, field=s4_field, fraction=s4_fraction, up=s4_up, big=s4_big)
        return m
