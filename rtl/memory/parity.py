"""Synchronous memory with a parity bit per slice, for memories whose flip could change a token."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

SLICE = 32  # data bits that one parity bit covers


def slices(width):
    """Parity bits of a word."""
    return -(-width // SLICE)


class ParityMemory(wiring.Component):
    """One write port, one read port, `depth` words of `width` bits, even parity per 32 bits.

    A read returns the word one cycle after `rd_en`; it holds until the next read. `error` is high in the second cycle
    after a read whose word does not match its parity, and only then: a block RAM is slow enough without its parity
    behind it. What a read of the address being written returns is
    undefined (the old word in simulation). The memory starts as zeros, which have valid parity; reset does not clear
    it.

    Parameters
    ----------
    width, depth: bits of a word, words.
    inject: adds the input `flip`, XORed into the stored word (parity included) on a write, for tests.

    Members
    -------
    wr_en, wr_addr, wr_data: write port.
    rd_en, rd_addr: In. rd_data: Out(width), error: Out(1).
    """

    def __init__(self, width, depth, inject=False):
        self.width, self.depth = width, depth
        bits = (depth - 1).bit_length()
        members = {
            "wr_en": In(1),
            "wr_addr": In(bits),
            "wr_data": In(width),
            "rd_en": In(1),
            "rd_addr": In(bits),
            "rd_data": Out(width),
            "error": Out(1),
        }
        if inject:
            members["flip"] = In(width + slices(width))
        self._inject = inject
        super().__init__(members)

    def _parity(self, word):
        return Cat(word[i * SLICE : min((i + 1) * SLICE, self.width)].xor() for i in range(slices(self.width)))

    def elaborate(self, platform):
        m = Module()
        # A read of the word being written is the user's to avoid, or to take as it comes: no logic is spent on telling
        # the two apart.
        m.submodules.store = store = memory.Memory(
            shape=self.width + slices(self.width), depth=self.depth, init=[], attrs={"no_rw_check": 1}
        )
        write, read = store.write_port(), store.read_port()
        stored = Cat(self.wr_data, self._parity(self.wr_data))
        m.d.comb += [
            write.en.eq(self.wr_en),
            write.addr.eq(self.wr_addr),
            write.data.eq(stored ^ self.flip if self._inject else stored),
            read.en.eq(self.rd_en),
            read.addr.eq(self.rd_addr),
            self.rd_data.eq(read.data[: self.width]),
        ]
        fresh = Signal()
        m.d.sync += fresh.eq(self.rd_en)
        m.d.sync += self.error.eq(fresh & (self._parity(self.rd_data) != read.data[self.width :]))
        return m
