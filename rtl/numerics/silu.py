"""silu(x) = x / (1 + e^-x) by table and quadratic interpolation."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract import silu as table
from hayate.rtl.contract.silu import U_BITS
from hayate.rtl.numerics.rom import rom

__all__ = ["SILU_LATENCY", "Silu"]

SILU_LATENCY = 5


def _within(fraction, bits):
    """The fraction below its first `bits`, in U_BITS."""
    rest = len(fraction) - bits
    return fraction[rest - U_BITS : rest] if rest >= U_BITS else Cat(Const(0, U_BITS - rest), fraction[:rest])


class Silu(wiring.Component):
    """x / (1 + e^-x).

    Takes an operation a cycle; `out_valid` and `y` follow `valid` by SILU_LATENCY = 5 cycles. There is no backpressure.
    `x` is finite, subnormals included. The results are those of `hayate.rtl.contract.silu`: within 2^-18 of the true
    value from -8 on, within 2^-24 absolutely below; x / 2 for |x| < 2^-18, x from 16 on, -0 from -20 down, and a zero
    with the sign of x where |x| < 2^-125. None overflows. Registers load only with a valid operation in their stage;
    reset clears the valid bits. Takes two 18-bit multipliers and a 512 × 63 ROM.

    Members
    -------
    valid, x : In(1), In(32)
        An operation: an FP32 operand.
    out_valid, y : Out(1), Out(32)
        The result, a register, which holds until the next one.
    """

    valid: In(1)
    x: In(32)
    out_valid: Out(1)
    y: Out(32)

    def elaborate(self, platform):
        m = Module()
        sections = {(s.sign, s.exponent): s.bits for s in table.SECTIONS}
        small_bits, middle_bits, fine_bits = sections[1, table.SMALLEST], sections[1, 0], sections[1, 1]

        # Stage 1: the table row, straight from the operand; what needs no table.
        fraction = Signal(23)
        exponent = Signal(8)
        negative = Signal()
        fine = Signal()  # how many rows a binade has
        middle = Signal()
        row = Signal(table.ROW_BITS)
        beyond = Signal()  # at least 2^5 in magnitude
        large = Signal()  # at least 2^4
        assert table.BIAS == 127 and table.LARGEST == 4 and table.TAIL == 1.25 * 2**4
        m.d.comb += [
            Cat(fraction, exponent, negative).eq(self.x),
            fine.eq(negative & exponent[7]),
            middle.eq((exponent[7] | exponent[2:7].all() & exponent[:2].any()) & ~fine),
            beyond.eq(exponent[7] & exponent[2:7].any()),
            large.eq(beyond | exponent[7] & exponent[:2].all()),
        ]
        with m.If(fine):
            m.d.comb += row.eq(Cat(fraction[-fine_bits:], exponent[:2], 1))
        with m.Elif(middle):
            kind = Mux(negative, Const(0b111, 3), Cat(exponent[7], Const(0b01, 2)))
            m.d.comb += row.eq(Cat(fraction[-middle_bits:], exponent[:2], kind))
        with m.Else():
            m.d.comb += row.eq(Cat(fraction[-small_bits:], exponent[:4], negative))

        s1_valid = Signal()
        s1_fraction = Signal(23)
        s1_exponent = Signal(8)
        s1_negative = Signal()
        s1_fine = Signal()
        s1_middle = Signal()
        s1_small = Signal()
        s1_large = Signal()
        s1_zero = Signal()
        m.d.sync += s1_valid.eq(self.valid)
        with m.If(self.valid):
            m.d.sync += [
                s1_fraction.eq(fraction),
                s1_exponent.eq(exponent),
                s1_negative.eq(negative),
                s1_fine.eq(fine),
                s1_middle.eq(middle),
                s1_small.eq(exponent < table.BIAS + table.SMALLEST),
                s1_large.eq(large & ~negative),
                s1_zero.eq(~exponent[1:].any() | negative & large & (beyond | fraction[-2:].any())),
            ]

        # The table's output belongs to stage 1's registers.
        widths = (table.C0_BITS, table.C1_BITS, table.C2_BITS, table.D_BITS)
        words = []
        for fields in table.ROWS:
            word = 0
            for value, width in zip(reversed(fields), reversed(widths)):
                word = word << width | value & (1 << width) - 1
            words.append(word)
        coefficients = rom(m, words, sum(widths), row, self.valid, "table")
        c0, c1, c2, d = (coefficients[sum(widths[:i]) :][:width] for i, width in enumerate(widths))

        # Stage 2: give the table a cycle of its own, as a memory its output comes late. Where silu is x or x / 2, the
        # operand takes the place of c0, and u is zero.
        s2_valid = Signal()
        s2_negative = Signal()
        s2_zero = Signal()
        s2_exponent = Signal(8)
        s2_c0 = Signal(table.C0_BITS)
        s2_c1 = Signal(signed(table.C1_BITS))
        s2_c2 = Signal(signed(table.C2_BITS))
        s2_u = Signal(signed(U_BITS))
        bypass = s1_small | s1_large
        within = Signal(U_BITS)
        m.d.comb += within.eq(
            Mux(
                s1_fine,
                _within(s1_fraction, fine_bits),
                Mux(s1_middle, _within(s1_fraction, middle_bits), _within(s1_fraction, small_bits)),
            )
        )
        m.d.sync += s2_valid.eq(s1_valid)
        with m.If(s1_valid):
            m.d.sync += [
                s2_negative.eq(s1_negative),
                s2_zero.eq(s1_zero),
                s2_exponent.eq(s1_exponent - Mux(bypass, s1_small, d)),
                s2_c0.eq(Mux(bypass, Cat(0, s1_fraction, 1), c0)),
                s2_c1.eq(c1),
                s2_c2.eq(c2),
                s2_u.eq(Cat(within[:-1], ~within[-1])),  # counted from the middle
            ]
            with m.If(bypass):
                m.d.sync += s2_u.eq(0)

        # Stage 3: the inner step of the polynomial.
        s3_valid = Signal()
        s3_negative = Signal()
        s3_zero = Signal()
        s3_exponent = Signal(8)
        s3_c0 = Signal(table.C0_BITS)
        s3_t = Signal(signed(table.C1_BITS))
        s3_u = Signal(signed(U_BITS))
        m.d.sync += s3_valid.eq(s2_valid)
        with m.If(s2_valid):
            m.d.sync += [
                s3_negative.eq(s2_negative),
                s3_zero.eq(s2_zero),
                s3_exponent.eq(s2_exponent),
                s3_c0.eq(s2_c0),
                s3_t.eq(s2_c1 + (s2_c2 * s2_u >> table.T_SHIFT)),
                s3_u.eq(s2_u),
            ]

        # Stage 4: the outer step.
        s4_valid = Signal()
        s4_negative = Signal()
        s4_zero = Signal()
        s4_exponent = Signal(8)
        s4_p = Signal(table.C0_BITS)
        m.d.sync += s4_valid.eq(s3_valid)
        with m.If(s3_valid):
            m.d.sync += [
                s4_negative.eq(s3_negative),
                s4_zero.eq(s3_zero),
                s4_exponent.eq(s3_exponent),
                s4_p.eq(s3_c0 + (s3_t * s3_u >> table.P_SHIFT)),
            ]

        # Stage 5: the leading one is the last bit or the one before; the table has rounded already.
        carry = s4_p[-1]
        m.d.sync += self.out_valid.eq(s4_valid)
        with m.If(s4_valid):
            m.d.sync += self.y.eq(Cat(Mux(carry, s4_p[2:25], s4_p[1:24]), (s4_exponent + carry)[:8], s4_negative))
            with m.If(s4_zero):
                m.d.sync += self.y[:31].eq(0)
        return m
