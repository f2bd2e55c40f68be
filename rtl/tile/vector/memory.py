"""Vector memory: the FP32 values that a tile's vector lanes work on."""

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.memory.parity import ParityMemory, slices


class VectorMemory(wiring.Component):
    """`lanes` memories of `depth` FP32 words with two read ports and one write port; all lanes share the addresses.

    Two reads and one write per cycle, never stalled. Data come one cycle after the read's enable and hold until that
    port's next read. A word written in cycle t is seen by reads from cycle t + 1 on; a read of the address that is
    being written returns the old word. `parity` is high two cycles after a read of any word that does not match its
    parity bit. Memories start as zeros, which are valid; reset does not clear them. Each read port has its own copy of
    the words, as block RAM offers no third port.

    Parameters
    ----------
    lanes, depth: vectors, words of each.
    inject: adds the input `flip`, XORed into what both copies store (parity bit on top), for tests.

    Members
    -------
    a_en, a_addr, b_en, b_addr: In. a_data, b_data: Out, `lanes` x 32 bits.
    write, write_addr: In. write_data: In, `lanes` x 32 bits.
    parity: Out, a strobe.
    """

    def __init__(self, lanes: int, depth: int, *, inject: bool = False):
        if lanes < 1 or depth < 2:
            raise ValueError(f"a vector memory has at least 1 lane and 2 words, not {lanes} and {depth}")
        self.lanes, self.depth, self._inject = lanes, depth, inject
        bits = ceil_log2(depth)
        members = {
            "a_en": In(1),
            "a_addr": In(bits),
            "b_en": In(1),
            "b_addr": In(bits),
            "write": In(1),
            "write_addr": In(bits),
            "write_data": In(32).array(lanes),
            "a_data": Out(32).array(lanes),
            "b_data": Out(32).array(lanes),
            "parity": Out(1),
        }
        if inject:
            members["flip"] = In(32 + slices(32))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        errors = []
        for k in range(self.lanes):
            for port, en, addr, data in (
                ("a", self.a_en, self.a_addr, self.a_data[k]),
                ("b", self.b_en, self.b_addr, self.b_data[k]),
            ):
                m.submodules[f"{port}_{k}"] = store = ParityMemory(32, self.depth, inject=self._inject)
                m.d.comb += [
                    store.wr_en.eq(self.write),
                    store.wr_addr.eq(self.write_addr),
                    store.wr_data.eq(self.write_data[k]),
                    store.rd_en.eq(en),
                    store.rd_addr.eq(addr),
                    data.eq(store.rd_data),
                ]
                if self._inject:
                    m.d.comb += store.flip.eq(self.flip)
                errors.append(store.error)
        m.d.comb += self.parity.eq(Cat(*errors).any())
        return m
