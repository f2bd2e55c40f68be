"""Exact running sum of one lane's FP16 values or of their squares."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.constants import ACC_WIDTH
from hayate.rtl.numerics.fp16 import ONE, Operand, add_carry, decode
from hayate.rtl.numerics.product import Product


class Reducer(wiring.Component):
    """acc = sum of h, or of h * h, over the values presented since `clear`, plus partial sums from elsewhere; exact.

    Units of 2**-48. The sum cannot overflow within K_MAX = 32,768 values in all, partial sums included. What is
    presented in a cycle is in `acc` REDUCER_LATENCY = 3 cycles later; one term per cycle, no backpressure. `clear`
    shows a zero in the next
    cycle: it drops what was presented before its own cycle, and the term of that cycle is the first of the new sum.
    Reset does what `clear` does.

    Members
    -------
    clear : in, start again.
    valid : in, `h` is a term.
    square : in, with `valid`: the term is h * h and not h.
    h : in, 16 bits, finite FP16.
    add_valid : in, `add` is a term. At most one of `valid` and `add_valid` is high in a cycle.
    add : in, 96 bits signed, another exact sum.
    acc : out, 96 bits signed.
    """

    clear: In(1)
    valid: In(1)
    square: In(1)
    h: In(16)
    add_valid: In(1)
    add: In(signed(ACC_WIDTH))
    acc: Out(signed(ACC_WIDTH))

    def elaborate(self, platform):
        m = Module()
        m.submodules.product = product = Product()

        # Stage 1: operands.
        s1_valid = Signal()
        s1_add_valid = Signal()
        s1_a = Signal(Operand, reset_less=True)
        s1_b = Signal(Operand, reset_less=True)
        s1_add = Signal(signed(ACC_WIDTH), reset_less=True)
        operand = Signal(Operand)
        m.d.comb += operand.eq(decode(self.h))
        m.d.sync += [s1_valid.eq(self.valid), s1_add_valid.eq(self.add_valid)]
        with m.If(self.valid):
            m.d.sync += [s1_a.eq(operand), s1_b.eq(Mux(self.square, operand.as_value(), ONE.as_value()))]
        with m.If(self.add_valid):
            m.d.sync += s1_add.eq(self.add)

        # Stage 2: product, or the partial sum beside it.
        s2_valid = Signal()
        s2_add_valid = Signal()
        s2_add = Signal(signed(ACC_WIDTH), reset_less=True)
        m.d.comb += [product.en.eq(s1_valid), product.a.eq(s1_a), product.b.eq(s1_b)]
        m.d.sync += [s2_valid.eq(s1_valid & ~self.clear), s2_add_valid.eq(s1_add_valid & ~self.clear)]
        with m.If(s1_add_valid):
            m.d.sync += s2_add.eq(s1_add)

        # Stage 3: accumulator.
        s3_acc = Signal(signed(ACC_WIDTH))
        term = Signal(signed(ACC_WIDTH))
        carry = Signal()
        m.d.comb += [
            term.eq(Mux(s2_add_valid, s2_add, Cat(product.low, product.high).as_signed())),
            carry.eq(product.carry & ~s2_add_valid),
            self.acc.eq(s3_acc),
        ]
        with m.If(self.clear):
            m.d.sync += s3_acc.eq(0)
        with m.Elif(s2_valid | s2_add_valid):
            m.d.sync += s3_acc.eq(add_carry(s3_acc, term, carry))
        return m
