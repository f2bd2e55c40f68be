"""One exact FP16 product, placed on the fixed-point grid of the accumulators."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.numerics.fp16 import Operand, WideOperand

PRODUCT_LATENCY = 1
LOW_BITS = 32
HIGH_BITS, WIDE_HIGH_BITS = 49, 51  # sign included


class Product(wiring.Component):
    """The exact product of two decoded operands, as two words that are summed apart from each other.

    `high * 2**32 + low + carry` is the product in units of 2**-48, for every pair of finite FP16 values, and, if
    `wide`, for every magnitude below 2**82 whose factors have the widths of the ports. A negative product is the
    inverted magnitude plus `carry`, so
    that negation costs no adder: the carry enters a later sum. Splitting the 81 or 83 bits keeps every adder short and
    every simulated value within a machine word.

    Part of the shift happens in front of the multiplier, on 11 bits instead of 22; the rest, with the inversion, behind
    the register. Latency PRODUCT_LATENCY = 1, one product per cycle, no backpressure, no reset of the data path.

    Parameters
    ----------
    wide : `b` may be a sum of integers.

    Members
    -------
    en : in, the operands are valid; the register holds where it is low.
    a, b : in, `Operand`, `b` a `WideOperand` if `wide`; their exponents add up to 0..58, if `wide` 60, modulo 64.
    low : out, 32 bits, unsigned.
    high : out, HIGH_BITS or WIDE_HIGH_BITS, signed.
    carry : out, one bit: the product is negative.
    """

    def __init__(self, *, wide: bool = False):
        self._high_bits = WIDE_HIGH_BITS if wide else HIGH_BITS
        super().__init__(
            {
                "en": In(1),
                "a": In(Operand),
                "b": In(WideOperand if wide else Operand),
                "low": Out(LOW_BITS),
                "high": Out(self._high_bits),
                "carry": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()

        shift = Signal(6)
        shifted = Signal(18)  # of 11 bits by 0..7: still one DSP input
        product = Signal(18 + len(self.b.significand), reset_less=True)
        coarse = Signal(3, reset_less=True)  # the shift that remains, in units of 8
        negative = Signal(reset_less=True)
        m.d.comb += [
            shift.eq(self.a.exponent + self.b.exponent),
            shifted.eq(self.a.significand << shift[:3]),
        ]
        with m.If(self.en):
            m.d.sync += [
                product.eq(shifted * self.b.significand),
                coarse.eq(shift[3:]),
                negative.eq(self.a.negative ^ self.b.negative),
            ]

        placed = Signal(len(product) + 24)
        upper = coarse[2]
        magnitude_bits = self._high_bits - 1
        m.d.comb += [
            placed.eq(product << Cat(0, 0, 0, coarse[:2])),
            self.low.eq(Mux(upper, 0, placed[:32]) ^ negative.replicate(32)),
            self.high.eq(
                Cat(Mux(upper, placed[:magnitude_bits], placed[32:]) ^ negative.replicate(magnitude_bits), negative)
            ),
            self.carry.eq(negative),
        ]
        return m
