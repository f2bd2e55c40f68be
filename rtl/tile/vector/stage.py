"""Stage buffer: rows that a FETCH brought, read element by element as FP16 or FP32."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

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
    """`lanes` memories of `depth` 64-bit words, written `lanes` words of any lanes at a time, read as elements of all
    lanes at once.

    One write and one read per cycle, never stalled. A write fills row `write_row`, which is the `lanes` consecutive
    words from `lanes` * `write_row` on, of each lane that it names, all with the same. `read` fetches a word; one cycle
    later, and until the next `read`, `element` is what `half` and `pick` choose of it, registered by `take`, so `data`
    follows `take` by one cycle. A word written in cycle t is seen by reads from cycle t + 1 on. `parity` is high two
    cycles after a read of a word that does not match its parity bits. In simulation memories start as zeros; elsewhere
    every row of every lane is written first. Reset does not clear them.

    Parameters
    ----------
    lanes: vectors, a power of two. depth: words of each, a multiple of `lanes`, at least two rows.
    inject: adds the input `flip`, XORed into what is stored (parity bits on top), for tests.

    Members
    -------
    write: In(lanes). write_row, write_data: In, the latter `lanes` x 64, the word of the lowest address first.
    read, read_addr: In.
    take: In. half: In, the element is FP16 (widened exactly), else FP32. pick: In(2), element of the word, of 4 or (low
        bit) of 2.
    data: Out, `lanes` x FP32. parity: Out, a strobe.
    """

    def __init__(self, lanes: int, depth: int, *, inject: bool = False):
        if lanes < 1 or lanes & (lanes - 1) or depth < 2 * lanes or depth % lanes:
            raise ValueError(
                f"a stage buffer has a power of two of lanes and at least two rows of as many words, not {lanes} lanes "
                f"and {depth} words"
            )
        self.lanes, self.depth, self._inject = lanes, depth, inject
        members = {
            "write": In(lanes),
            "write_row": In(ceil_log2(depth // lanes)),
            "write_data": In(64 * lanes),
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
        # Words lie in `lanes` memories a lane, by the lowest bits of their addresses.
        bits = ceil_log2(self.lanes)
        is_half = Signal()
        place = Signal(bits)  # memory that was read
        with m.If(self.take):
            m.d.sync += is_half.eq(self.half)
        with m.If(self.read):
            m.d.sync += place.eq(self.read_addr)
        errors = []
        for k in range(self.lanes):
            word = Signal(64, name=f"word_{k}")
            with m.Switch(place):
                for w in range(self.lanes):
                    m.submodules[f"lane_{k}_{w}" if bits else f"lane_{k}"] = store = ParityMemory(
                        64, self.depth // self.lanes, inject=self._inject
                    )
                    m.d.comb += [
                        store.wr_en.eq(self.write[k]),
                        store.wr_addr.eq(self.write_row),
                        store.wr_data.eq(self.write_data.word_select(w, 64)),
                        store.rd_en.eq(self.read & (self.read_addr[:bits] == w)),
                        store.rd_addr.eq(self.read_addr[bits:]),
                    ]
                    if self._inject:
                        m.d.comb += store.flip.eq(self.flip)
                    errors.append(store.error)
                    with m.Case(w):
                        m.d.comb += word.eq(store.rd_data)
            element = Signal(32, name=f"element_{k}", reset_less=True)
            low = Signal(16, name=f"low_{k}")
            third, upper = Mux(self.half, self.pick[1], self.pick[0]), Mux(self.half, self.pick[0], 0)
            m.d.comb += low.eq(Mux(third, Mux(upper, word[48:], word[32:48]), Mux(upper, word[16:32], word[:16])))
            with m.If(self.take):
                m.d.sync += element.eq(Cat(low, Mux(self.pick[0], word[48:], word[16:32])))
            m.d.comb += self.data[k].eq(Mux(is_half, widen(m, element[:16], f"half_{k}"), element))
        m.d.comb += self.parity.eq(Cat(*errors).any())
        return m
