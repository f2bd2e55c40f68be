"""Precision table: the format in which a tile reads each matrix that has integer planes."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import Space
from hayate.rtl.contract.words import PRECISION_ADDRESS
from hayate.rtl.memory.parity import ParityMemory
from hayate.rtl.ring.flit import Flit, view

FORMAT_BITS = 2


class PrecisionTable(wiring.Component):
    """A `precision.Format` per index of a planes descriptor, in a memory with parity.

    A LOAD flit of space CSR with address 2**PRECISION_BIT + index stores data[1:0]; every other flit passes by, and
    flits are never refused. A read returns the entry one cycle after `read`, and it holds until the next read; reading
    an entry in the cycle in which it is written is undefined. The table starts as zeros, FP16 with valid parity, and
    reset does not clear it: whoever loads a matrix without an FP16 copy writes its entry too. The value 3 is no format
    and must not be written.

    Parameters
    ----------
    depth: entries; indexes beyond them are outside the contract.
    inject: adds the input `flip` (3), XORed into what is stored (parity bit on top), for tests.

    Members
    -------
    rx_valid, rx: In. Flits delivered to this tile.
    read, index: In. format: Out(2).
    error: Out. High two cycles after a read of a damaged entry.
    """

    def __init__(self, depth, *, inject=False):
        self._depth, self._inject = depth, inject
        members = {
            "rx_valid": In(1),
            "rx": In(Flit),
            "read": In(1),
            "index": In(ceil_log2(depth)),
            "format": Out(FORMAT_BITS),
            "error": Out(1),
        }
        if inject:
            members["flip"] = In(FORMAT_BITS + 1)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.store = store = ParityMemory(FORMAT_BITS, self._depth, inject=self._inject)
        load_csr = Signal()
        address = view(PRECISION_ADDRESS, self.rx.addr)
        m.d.comb += [
            load_csr.eq(self.rx_valid & (self.rx.kind == FlitKind.LOAD) & (self.rx.chan == Space.CSR)),
            store.wr_en.eq(load_csr & address.precision),
            store.wr_addr.eq(address.planes),
            store.wr_data.eq(self.rx.data),
            store.rd_en.eq(self.read),
            store.rd_addr.eq(self.index),
            self.format.eq(store.rd_data),
            self.error.eq(store.error),
        ]
        if self._inject:
            m.d.comb += store.flip.eq(self.flip)
        return m
