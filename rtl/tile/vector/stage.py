"""Stage buffer: rows that a FETCH brought, read element by element as FP16 or FP32."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.flits import LANE_BITS
from hayate.rtl.memory.parity import ParityMemory, slices
from hayate.rtl.numerics.bits import leading_zeros


def widen(m, half, name):
    """FP32 bits of a finite FP16 value, exactly; combinational. Subnormals become normal numbers."""
    fraction, field = half[:10], half[10:15]
    zeros = leading_zeros(m, fraction, f"{name}_zeros")
    wide = Signal(32, name=f"{name}_wide")
    exponent = Signal(8, name=f"{name}_exponent")
    shifted = Signal(10, name=f"{name}_shifted")
    m.d.comb += [
        exponent.eq(Mux(field.any(), field + 112, Mux(fraction.any(), 112 - zeros, 0))),
        shifted.eq(Mux(field.any(), fraction, (fraction << 1 << zeros)[:10])),
        wide.eq(Cat(Const(0, 13), shifted, exponent, half[15])),
    ]
    return wide


class StageBuffer(wiring.Component):
    """`lanes` memories of `depth` 64-bit words, written one word of one lane at a time, read as elements of all lanes
    at once.

    One write and one read per cycle, never stalled. `read` fetches a word; one cycle later, and until the next `read`,
    `element` is what `half` and `pick` choose of it, registered by `take`, so `data` follows `take` by one cycle. A
    word written in cycle t is seen by reads from cycle t + 1 on. `parity` is high two cycles after a read of a word
    that does not match its parity bits. In simulation memories start as zeros; elsewhere every address is written with
    `every_lane` first. Reset does not clear them.

    Parameters
    ----------
    lanes, depth: vectors, words of each.
    inject: adds the input `flip`, XORed into what is stored (parity bits on top), for tests.

    Members
    -------
    write, write_lane, write_addr, write_data: In. A lane that does not exist is not written. every_lane: In, with
        `write`: all are.
    read, read_addr: In.
    take: In. half: In, the element is FP16 (widened exactly), else FP32. pick: In(2), element of the word, of 4 or (low
        bit) of 2.
    data: Out, `lanes` x FP32. parity: Out, a strobe.
    """

    def __init__(self, lanes: int, depth: int, *, inject: bool = False):
        if lanes < 1 or depth < 2:
            raise ValueError(f"a stage buffer has at least 1 lane and 2 words, not {lanes} and {depth}")
        self.lanes, self.depth, self._inject = lanes, depth, inject
        members = {
            "write": In(1),
            "write_lane": In(LANE_BITS),
            "every_lane": In(1),
            "write_addr": In(ceil_log2(depth)),
            "write_data": In(64),
            "read": In(1),
            "read_addr": In(ceil_log2(depth)),
            "take": In(1),
            "half": In(1),
            "pick": In(2),
            "data": Out(32).array(lanes),
            "parity": Out(1),
        }
        if inject:
            members["flip"] = In(64 + slices(64))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        is_half = Signal()
        with m.If(self.take):
            m.d.sync += is_half.eq(self.half)
        errors = []
        for k in range(self.lanes):
            m.submodules[f"lane_{k}"] = store = ParityMemory(64, self.depth, inject=self._inject)
            m.d.comb += [
                store.wr_en.eq(self.write & ((self.write_lane == k) | self.every_lane)),
                store.wr_addr.eq(self.write_addr),
                store.wr_data.eq(self.write_data),
                store.rd_en.eq(self.read),
                store.rd_addr.eq(self.read_addr),
            ]
            if self._inject:
                m.d.comb += store.flip.eq(self.flip)
            errors.append(store.error)
            element = Signal(32, name=f"element_{k}", reset_less=True)
            low = Signal(16, name=f"low_{k}")
            word = store.rd_data
            third, upper = Mux(self.half, self.pick[1], self.pick[0]), Mux(self.half, self.pick[0], 0)
            m.d.comb += low.eq(Mux(third, Mux(upper, word[48:], word[32:48]), Mux(upper, word[16:32], word[:16])))
            with m.If(self.take):
                m.d.sync += element.eq(Cat(low, Mux(self.pick[0], word[48:], word[16:32])))
            m.d.comb += self.data[k].eq(Mux(is_half, widen(m, element[:16], f"half_{k}"), element))
        m.d.comb += self.parity.eq(Cat(*errors).any())
        return m
