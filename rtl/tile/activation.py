"""Activation buffer: the vectors that a tile's weights are multiplied with, one memory per lane."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..memory.parity import ParityMemory, slices

#: Cycles from `read` to `data`: the memory, and a register that carries the fan-out to the PEs.
ACT_LATENCY = 2


class ActivationBuffer(wiring.Component):
    """`lanes` memories of `depth` 64-bit words, written one word of one lane at a time, read at one address of all lanes at once.

    One write and one read per cycle, never stalled. A word written in cycle t is seen by reads from cycle t + 1 on; what a read of the
    address being written returns is undefined (the old word in simulation). `data` comes ACT_LATENCY cycles after `read` and holds until
    the next read's. Parity is kept per 32 bits; `parity` is high beside `data` when any word of the read does not match
    its own. Memories start as zeros, which are valid; reset does not clear them.

    Parameters
    ----------
    lanes, depth: activation vectors, words of each.
    inject: adds the input `flip`, XORed into what is stored (parity bits on top), for tests.

    Members
    -------
    write, write_lane, write_addr, write_data: In. A lane that does not exist is not written.
    read, read_addr: In.
    data: Out, `lanes` x 64 bits. parity: Out, a strobe.
    """

    def __init__(self, lanes: int, depth: int, *, inject: bool = False):
        if lanes < 1 or depth < 2:
            raise ValueError(f"an activation buffer has at least 1 lane and 2 words, not {lanes} and {depth}")
        self.lanes, self.depth, self._inject = lanes, depth, inject
        members = {
            "write": In(1), "write_lane": In(3), "write_addr": In(ceil_log2(depth)), "write_data": In(64),
            "read": In(1), "read_addr": In(ceil_log2(depth)),
            "data": Out(data.ArrayLayout(64, lanes)), "parity": Out(1),
        }
        if inject:
            members["flip"] = In(64 + slices(64))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        s1_fresh = Signal()
        m.d.sync += s1_fresh.eq(self.read)
        errors = []
        for k in range(self.lanes):
            m.submodules[f"lane_{k}"] = store = ParityMemory(64, self.depth, inject=self._inject)
            m.d.comb += [
                store.wr_en.eq(self.write & (self.write_lane == k)),
                store.wr_addr.eq(self.write_addr), store.wr_data.eq(self.write_data),
                store.rd_en.eq(self.read), store.rd_addr.eq(self.read_addr),
            ]
            if self._inject:
                m.d.comb += store.flip.eq(self.flip)
            s2_word = Signal(64, name=f"s2_word_{k}", reset_less=True)
            with m.If(s1_fresh):
                m.d.sync += s2_word.eq(store.rd_data)
            m.d.comb += self.data[k].eq(s2_word)
            errors.append(store.error)
        m.d.sync += self.parity.eq(Cat(*errors).any())
        return m
