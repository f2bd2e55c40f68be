"""FP16 to MXINT8: exponents of blocks, and bytes.

Source: OCP Microscaling Formats (MX) Specification v1.0, MXINT8, with -128 left unused and block exponents from -10 on.
"""

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.precision import MX_MAX
from hayate.rtl.numerics.bits import lost_bits
from hayate.rtl.numerics.fp16 import Fp16

__all__ = ["MXINT8_LATENCY", "TOP_MIN", "ToMxInt8", "block_top", "largest"]

MXINT8_LATENCY = 2

TOP_MIN = 5  # the exponent field of 2**-10


def largest(m: Module, values, name: str):
    """The largest of some unsigned values of one width; a balanced tree, combinational."""
    level, depth = list(values), 0
    while len(level) > 1:
        merged = []
        for i in range(0, len(level) - 1, 2):
            greater = Signal(len(level[i]), name=f"{name}_{depth}_{i // 2}")
            m.d.comb += greater.eq(Mux(level[i] > level[i + 1], level[i], level[i + 1]))
            merged.append(greater)
        level, depth = merged + level[2 * len(merged) :], depth + 1
    return level[0]


def block_top(m: Module, elements, name: str):
    """The exponent field, at least TOP_MIN, of some FP16 patterns whose leading one becomes a byte's bit 6;
    combinational.

    It is e' + 5 = e + 15; the `top` of a block is the largest `top` of its parts. Six bits: the field lies above its
    even parity, which comes along with the comparisons and costs no time behind them.
    """
    guarded = [Cat(Fp16(x).exponent.xor(), Fp16(x).exponent) for x in elements]
    greatest = largest(m, guarded, f"{name}_field")
    top = Signal(6, name=name)
    m.d.comb += top.eq(Mux(greatest[1:] < TOP_MIN, Cat(C(TOP_MIN.bit_count() & 1, 1), C(TOP_MIN, 5)), greatest))
    return top


class ToMxInt8(wiring.Component):
    """x * 2**(6 - e) as signed bytes, rounded to nearest, ties to even, clamped to +-127.

    Takes all its elements every cycle; `out_valid` and `codes` follow `valid` by MXINT8_LATENCY cycles. There is no
    backpressure. Elements are finite, and none has a larger exponent field than `top` says. Registers load only with
    valid elements in their stage; reset clears the valid bits.

    Parameters
    ----------
    count: elements of a cycle.

    Members
    -------
    valid, x, top: In(1), In(`count` x 16), In(5). Elements in FP16, and e + 15 of their block, as `block_top` has it.
        Where all elements are zero, `top` may be zero as well.
    out_valid, codes: Out(1), Out(`count` x 8). Two's complement; `codes` holds until the next ones.
    """

    def __init__(self, count: int = 16):
        if count < 1:
            raise ValueError(f"at least 1 element is converted at a time, not {count}")
        self.count = count
        super().__init__(
            {
                "valid": In(1),
                "x": In(data.ArrayLayout(16, count)),
                "top": In(5),
                "out_valid": Out(1),
                "codes": Out(data.ArrayLayout(8, count)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        s1_valid = Signal()
        m.d.sync += [s1_valid.eq(self.valid), self.out_valid.eq(s1_valid)]
        for i in range(self.count):
            # Stage 1: align. The significand is 7 integer bits, one to round by and three more where `down` is 0.
            fields = Fp16(self.x[i])
            normal = Signal(name=f"normal_{i}")
            field = Signal(5, name=f"field_{i}")
            down = Signal(6, name=f"down_{i}")
            significand = Signal(11, name=f"significand_{i}")
            shifted = Signal(11, name=f"shifted_{i}")
            m.d.comb += [
                normal.eq(fields.exponent.any()),
                field.eq(Cat(fields.exponent[0] | ~normal, fields.exponent[1:])),
                significand.eq(Cat(fields.fraction, normal)),
                down.eq(self.top - field),
                shifted.eq(significand >> down[:3]),
            ]
            s1_kept = Signal(8, name=f"s1_kept_{i}", reset_less=True)
            s1_sticky = Signal(name=f"s1_sticky_{i}", reset_less=True)
            s1_negative = Signal(name=f"s1_negative_{i}", reset_less=True)
            with m.If(self.valid):
                # Shifted by 8 or more it is less than half a unit: below 2**11 / 2**12.
                m.d.sync += [
                    s1_kept.eq(Mux(down[3:].any(), 0, shifted[3:])),
                    s1_sticky.eq(shifted[:3].any() | lost_bits(significand[:7], down[:3])),
                    s1_negative.eq(fields.negative),
                ]

            # Stage 2: round, clamp, negate.
            rounded = Signal(8, name=f"rounded_{i}")
            magnitude = Signal(7, name=f"magnitude_{i}")
            up = Signal(name=f"up_{i}")
            m.d.comb += [
                up.eq(s1_kept[0] & (s1_sticky | s1_kept[1])),
                rounded.eq(s1_kept[1:] + up),
                magnitude.eq(Mux(rounded[7], MX_MAX, rounded[:7])),
            ]
            s2_code = Signal(8, name=f"s2_code_{i}", reset_less=True)
            with m.If(s1_valid):
                m.d.sync += s2_code.eq((magnitude ^ s1_negative.replicate(8)) + s1_negative)
            m.d.comb += self.codes[i].eq(s2_code)
        return m
