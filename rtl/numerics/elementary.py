"""exp, reciprocal and reciprocal square root by table and quadratic interpolation."""

from enum import IntEnum

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract import tables
from hayate.rtl.contract.tables import Table
from hayate.rtl.numerics.bits import leading_zeros
from hayate.rtl.numerics.rom import rom

__all__ = ["ELEMENTARY_LATENCY", "Elementary", "ElementaryFunction"]

ELEMENTARY_LATENCY = 5


class ElementaryFunction(IntEnum):
    """What `Elementary` computes."""

    EXP = 0
    RECIP = 1
    RSQRT = 2


class Elementary(wiring.Component):
    """e^x, 1/x or 1/√x.

    Takes an operation a cycle; `out_valid`, `y` and `sat` follow `valid` by ELEMENTARY_LATENCY cycles. There is no
    backpressure. `x` is finite, subnormals included. The results are those of `hayate.rtl.contract.tables`, within
    2^-22 of the true value, rounding included. `sat` marks a result that overflowed: exp and recip out of range, and
    rsqrt of x <= 0; it is then the largest finite value, with the sign of x for recip. exp gives +0 below 2^-126.
    Registers load only with a valid operation in their stage; reset clears the valid bits. The result is the end of the
    last multiplier's path, not a register: register it at once. Takes five 18-bit multipliers and a 256 × 58 ROM.

    Members
    -------
    valid, mode, x : In(1), In(2), In(32)
        An operation: an `ElementaryFunction` and an FP32 operand.
    out_valid, y, sat : Out(1), Out(32), Out(1)
        The result; `y` and `sat` hold until the next one.
    """

    valid: In(1)
    mode: In(2)
    x: In(32)
    out_valid: Out(1)
    y: Out(32)
    sat: Out(1)

    def elaborate(self, platform):
        m = Module()
        magnitude_bits = tables.X_FRACTION + 7
        is_exp = Signal()
        m.d.comb += is_exp.eq(self.mode == ElementaryFunction.EXP)

        # Stage 1: one right shift makes exp's argument a fixed-point number, or normalizes a mirrored significand.
        normal = Signal()
        significand = Signal(24)
        exponent = Signal(8)
        shift_in = Signal(magnitude_bits)
        shift_out = Signal(magnitude_bits)
        amount = Signal(6)
        distance = Signal(signed(9))
        vanishes = Signal()
        m.d.comb += [
            exponent.eq(self.x[23:31]),
            normal.eq(exponent.any()),
            significand.eq(Cat(self.x[:23], normal)),
        ]
        zeros = Signal(5)
        subnormal_zeros = leading_zeros(m, Cat(self.x[:23], Const(0, 1)), "zeros")  # does not wait for `normal`
        m.d.comb += [
            zeros.eq(Mux(normal, 0, subnormal_zeros)),
            distance.eq(127 + 6 - exponent),
            amount.eq(Mux(is_exp, distance[:6], zeros)),
            vanishes.eq(is_exp & distance[6:8].any()),
            shift_in.eq(Mux(is_exp, Cat(Const(0, magnitude_bits - 24), significand), significand[::-1])),
            shift_out.eq(Mux(vanishes, 0, shift_in >> amount)),
        ]
        s1_valid = Signal()
        s1_mode = Signal(2)
        s1_negative = Signal()
        s1_zero = Signal()
        s1_huge = Signal()
        s1_power = Signal(signed(9))  # of the normalized significand in [1, 2)
        s1_shifted = Signal(magnitude_bits)
        m.d.sync += s1_valid.eq(self.valid)
        with m.If(self.valid):
            m.d.sync += [
                s1_mode.eq(self.mode),
                s1_negative.eq(self.x[31]),
                s1_zero.eq(~self.x[:31].any()),
                s1_huge.eq(distance < 0),
                s1_power.eq((exponent | ~normal) - 127 - zeros),
                s1_shifted.eq(shift_out),
            ]

        # Stage 2: exp's argument times log2(e), in three products. A negative argument is inverted, one short of its
        # negative: what that leaves out is added behind the multipliers, which are what takes long here.
        high_bits = magnitude_bits - tables.X_LOW_BITS
        negate = Signal()
        low = Signal(tables.X_LOW_BITS)
        high = Signal(signed(high_bits + 1))
        m.d.comb += [
            negate.eq((s1_mode == ElementaryFunction.EXP) & s1_negative),
            low.eq(s1_shifted[: tables.X_LOW_BITS] ^ negate.replicate(tables.X_LOW_BITS)),
            high.eq(Cat(s1_shifted[tables.X_LOW_BITS :] ^ negate.replicate(high_bits), negate)),
        ]
        s2_valid = Signal()
        s2_mode = Signal(2)
        s2_negative = Signal()
        s2_zero = Signal()
        s2_huge = Signal()
        s2_power = Signal(signed(9))
        s2_fraction = Signal(23)
        # the argument was inverted; and the 1 to be added carries into `high`
        s2_negated = Signal()
        s2_round = Signal()
        s2_hh = Signal(signed(high_bits + 18))
        s2_hl = Signal(signed(high_bits + 17))
        s2_lh = Signal(tables.X_LOW_BITS + 17)
        m.d.sync += s2_valid.eq(s1_valid)
        with m.If(s1_valid):
            m.d.sync += [
                s2_mode.eq(s1_mode),
                s2_negative.eq(s1_negative),
                s2_zero.eq(s1_zero),
                s2_huge.eq(s1_huge),
                s2_power.eq(s1_power),
                s2_fraction.eq(s1_shifted[1:24][::-1]),
                s2_negated.eq(negate),
                s2_round.eq(negate & ~s1_shifted[: tables.X_LOW_BITS].any()),
                s2_hh.eq(high * tables.LOG2E_HIGH),
                s2_hl.eq(high * tables.LOG2E_LOW),
                s2_lh.eq(low * tables.LOG2E_HIGH),
            ]

        # Stage 3: their sum splits into a power and a fraction; choose the table row. With low = 2^X_LOW_BITS, where
        # the 1 carries, low times LOG2E_HIGH holds the carry already.
        middle = Signal(signed(high_bits + 18))
        lowest = Signal(tables.X_LOW_BITS + 18)
        scaled = Signal(signed(39))  # in units of 2^-30
        fraction = Signal(23)
        row = Signal(8)
        m.d.comb += [
            middle.eq(s2_hl + Mux(s2_round, tables.LOG2E_LOW, 0)),
            lowest.eq(s2_lh + Mux(s2_negated, tables.LOG2E_HIGH, 0)),
            scaled.eq((s2_hh << 5) + (middle >> 12) + (lowest >> 12)),
            fraction.eq(s2_fraction),
        ]
        s3_valid = Signal()
        s3_u = Signal(tables.U_BITS)
        s3_power = Signal(signed(9))  # of a result in [1, 2)
        s3_sign = Signal()
        s3_force_max = Signal()
        s3_force_zero = Signal()
        s3_exp = Signal()
        m.d.sync += s3_valid.eq(s2_valid)
        with m.If(s2_valid):
            with m.Switch(s2_mode):
                with m.Case(ElementaryFunction.EXP):
                    m.d.comb += row.eq(Cat(scaled[24:30], Const(Table.EXP, 2)))
                    m.d.sync += [
                        s3_u.eq(scaled[6:24]),
                        s3_power.eq(scaled[30:].as_signed()),
                        s3_force_max.eq(s2_huge & ~s2_negative),
                        s3_force_zero.eq(s2_huge & s2_negative),
                        s3_sign.eq(0),
                    ]
                with m.Default():
                    root = s2_mode == ElementaryFunction.RSQRT
                    m.d.comb += row.eq(Cat(fraction[17:], Mux(root, Cat(s2_power[0], 1), Table.RECIP)))
                    m.d.sync += [
                        s3_u.eq(Cat(1, ~fraction[:17])),
                        s3_power.eq(~Mux(root, s2_power >> 1, s2_power)),
                        # 1/2^-128 is the one result that only its carry takes out of range.
                        s3_force_max.eq(s2_zero | Mux(root, s2_negative, (s2_power == -128) & ~fraction.any())),
                        s3_force_zero.eq(0),
                        s3_sign.eq(~root & s2_negative),
                    ]
            m.d.sync += s3_exp.eq(s2_mode == ElementaryFunction.EXP)

        # The table's output belongs to stage 3's registers.
        words = [c0 & (1 << 26) - 1 | c1 << 26 | c2 << 44 for c0, c1, c2 in tables.ROWS]
        coefficients = rom(m, words, 58, row, s2_valid, "table")
        c0, c1, c2 = coefficients[:26], coefficients[26:44], coefficients[44:]  # the top bit of c0 is always one

        # Stage 4: give the table a cycle of its own, as a memory its output comes late; settle range and exponent.
        s4_valid = Signal()
        s4_sign = Signal()
        s4_max = Signal()
        s4_zero = Signal()
        # `next` is the field when the value carries to the next power
        s4_field = Signal(8)
        s4_next = Signal(8)
        s4_shift = Signal(2)
        s4_c0 = Signal(26)
        s4_c1 = Signal(18)
        s4_c2 = Signal(14)
        s4_u = Signal(18)
        m.d.sync += s4_valid.eq(s3_valid)
        with m.If(s3_valid):
            # Only 1/x has subnormal results: of a power of -127, or of -128, whose carry stays subnormal.
            lowest = s3_power == -128
            subnormal = s3_power <= -127
            over = ~s3_power[8] & s3_power[7]
            m.d.sync += [
                s4_sign.eq(s3_sign),
                s4_field.eq((s3_power + 127)[:8] & ~lowest.replicate(8)),
                s4_next.eq((s3_power + 128)[:8]),
                s4_shift.eq(Cat(subnormal & ~lowest, lowest)),
                s4_max.eq(s3_force_max | over & ~s3_force_zero),
                s4_zero.eq(s3_force_zero | s3_exp & subnormal & ~s3_force_max),
                s4_c0.eq(c0),
                s4_c1.eq(c1),
                s4_c2.eq(c2),
                s4_u.eq(s3_u),
            ]

        # Stage 5: the inner step of the polynomial.
        s5_sign = Signal()
        s5_max = Signal()
        s5_field = Signal(8)
        s5_next = Signal(8)
        # which bits of the polynomial are the fraction: the ones of 2^-23, 2^-22 or 2^-21 on, or none
        s5_place = Signal(3)
        s5_c0 = Signal(26)
        s5_t = Signal(18)
        s5_u = Signal(18)
        m.d.sync += self.out_valid.eq(s4_valid)
        with m.If(s4_valid):
            m.d.sync += [
                s5_sign.eq(s4_sign),
                s5_max.eq(s4_max),
                # The largest value and zero are settled here, so that little follows the last multiplier.
                s5_field.eq(Mux(s4_max, 254, Mux(s4_zero, 0, s4_field))),
                s5_next.eq(Mux(s4_max, 254, Mux(s4_zero, 0, s4_next))),
                s5_place.eq(Mux(s4_max | s4_zero, 0, Cat(s4_shift == 0, s4_shift[0] & ~s4_shift[1], s4_shift[1]))),
                s5_c0.eq(s4_c0),
                s5_t.eq(s4_c1 + (s4_c2 * s4_u >> tables.T_SHIFT)),
                s5_u.eq(s4_u),
            ]

        # Combinational: the outer step. The table has rounded already; bit 27 is a carry to the next power of two.
        p = Signal(28)
        fraction_out = Signal(23)
        m.d.comb += [
            p.eq(Cat(s5_c0, 1) + (s5_t * s5_u >> tables.P_SHIFT)),
            fraction_out.eq(
                p[3:26] & s5_place[0].replicate(23)
                | p[4:27] & s5_place[1].replicate(23)
                | p[5:28] & s5_place[2].replicate(23)
                | s5_max.replicate(23)
            ),
            self.sat.eq(s5_max),
            self.y.eq(Cat(fraction_out, Mux(p[27], s5_next, s5_field), s5_sign)),
        ]
        return m
