"""One lane of the vector unit's arithmetic."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.alu_ops import ALU_LATENCY, ALU_OP_BITS, AluOp
from hayate.rtl.numerics.elementary import ELEMENTARY_LATENCY, Elementary, ElementaryFunction
from hayate.rtl.numerics.fp32_add import FP32_ADD_LATENCY, Fp32Add, Fp32AddMode
from hayate.rtl.numerics.fp32_mul import FP32_MUL_LATENCY, Fp32Mul
from hayate.rtl.numerics.silu import SILU_LATENCY, Silu

__all__ = ["VectorAlu"]

assert FP32_ADD_LATENCY == FP32_MUL_LATENCY == ELEMENTARY_LATENCY == SILU_LATENCY == ALU_LATENCY - 1

_OPERATIONS = {
    # operation: (unit, its mode, if it has any)
    AluOp.MUL: ("mul", None),
    AluOp.ADD: ("add", Fp32AddMode.ADD),
    AluOp.MAX: ("add", Fp32AddMode.MAX),
    AluOp.MOV: ("add", Fp32AddMode.MOV),
    AluOp.EXP: ("elementary", ElementaryFunction.EXP),
    AluOp.RECIP: ("elementary", ElementaryFunction.RECIP),
    AluOp.RSQRT: ("elementary", ElementaryFunction.RSQRT),
    AluOp.SILU: ("silu", None),
}


class VectorAlu(wiring.Component):
    """An FP32 operation a cycle, on one lane.

    `out_valid`, `y` and `sat` follow `valid` by ALU_LATENCY cycles whatever the operation; there is no backpressure.
    Operands are finite, subnormals included; results are those of `Fp32Add`, `Fp32Mul`, `Elementary` and `Silu`, and
    never infinite or NaN. A unit's registers load only with an operation of its own in their stage, so idle units stand
    still. Reset clears the valid bits.

    Members
    -------
    valid : In(1)
        An operation is present.
    op : In(ALU_OP_BITS)
        An `AluOp`; an unassigned code does what NOP does.
    neg_a, neg_b : In(1)
        Flip the sign of the operand first.
    a, b : In(32)
        FP32 operands.
    out_valid, y, sat : Out(1), Out(32), Out(1)
        The result and whether it saturated; `y` and `sat` hold until the next one.
    """

    valid: In(1)
    op: In(ALU_OP_BITS)
    neg_a: In(1)
    neg_b: In(1)
    a: In(32)
    b: In(32)
    out_valid: Out(1)
    y: Out(32)
    sat: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.add = add = Fp32Add()
        m.submodules.mul = mul = Fp32Mul()
        m.submodules.elementary = elementary = Elementary()
        m.submodules.silu = silu = Silu()
        # the last one's result is chosen last: that which comes latest in its cycle
        units = {"silu": silu, "add": add, "mul": mul, "elementary": elementary}

        a = Signal(32)
        b = Signal(32)
        m.d.comb += [
            a.eq(Cat(self.a[:31], self.a[31] ^ self.neg_a)),
            b.eq(Cat(self.b[:31], self.b[31] ^ self.neg_b)),
            add.a.eq(a), add.b.eq(b),
            mul.a.eq(a), mul.b.eq(b),
            elementary.x.eq(a),
            silu.x.eq(a),
        ]  # fmt: skip
        with m.Switch(self.op):
            for op, (unit, mode) in _OPERATIONS.items():
                with m.Case(op):
                    m.d.comb += units[unit].valid.eq(self.valid)
                    if mode is not None:
                        m.d.comb += units[unit].mode.eq(mode)

        # At most one unit delivers in a cycle; none does for NOP.
        present = Signal(ALU_LATENCY)
        m.d.sync += [present.eq(Cat(self.valid, present)), self.out_valid.eq(present[ALU_LATENCY - 2])]
        with m.If(present[ALU_LATENCY - 2]):
            m.d.sync += [self.y.eq(0), self.sat.eq(0)]
            for unit in units.values():
                with m.If(unit.out_valid):
                    m.d.sync += [self.y.eq(unit.y), self.sat.eq(0 if unit is silu else unit.sat)]
        return m
