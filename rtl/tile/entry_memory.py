"""Memory of entries that a load brings in several words: program, micro-operations, descriptors."""

from collections.abc import Iterable

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import ENTRY_WORDS, Space
from hayate.rtl.contract.word import Word
from hayate.rtl.contract.words import ENTRY_ADDRESSES
from hayate.rtl.memory.parity import ParityMemory
from hayate.rtl.ring.flit import Flit, view

WORD_BITS = 64


def used(words: Iterable[Word], **kept: int) -> tuple[tuple[int, int], ...]:
    """(lowest bit, bits) of each run of bits that the fields of any of `words` take in an entry.

    kept: field -> its lowest bits that somebody looks at, where those are not all.
    """
    bits = {
        at + n
        for word in words
        for name, (at, width) in word.places.items()
        for n in range(min(width, kept.get(name, width)))
    }
    # A run also ends with a word of the load window, as each of those has a memory of its own.
    begins = [b for b in sorted(bits) if b - 1 not in bits or not b % WORD_BITS]
    ends = [b + 1 for b in sorted(bits) if b + 1 not in bits or not (b + 1) % WORD_BITS]
    return tuple((begin, end - begin) for begin, end in zip(begins, ends, strict=True))


class EntryMemory(wiring.Component):
    """Entries of one space, with parity, of which only the bits in use are stored; the others read as 0.

    A LOAD flit of the space writes the word of an entry that its address names (`words.ENTRY_ADDRESSES`); other flits
    pass by, none is refused, and words may come in any order. A read returns the entry one cycle after `rd_en`, and it
    holds until the next read; reading an entry while a word of it is written is undefined. The memory starts as zeros
    with valid parity, and reset does not clear it. No entry may be beyond `depth`.

    Parameters
    ----------
    space: `Space.PROGRAM`, MICRO or DESC. used: the bits that are stored, as of `used`. depth: entries.

    Members
    -------
    rx_valid, rx: In. Flits delivered to this tile.
    rd_en, rd_addr: In. rd_data: Out, the entry up to its highest bit in use. error: Out, high two cycles after a
        read of an entry that is damaged.
    """

    def __init__(self, space: Space, used: tuple[tuple[int, int], ...], depth: int):
        self._space, self._used, self._depth = space, used, depth
        at, bits = used[-1]
        if at + bits > WORD_BITS * ENTRY_WORDS[space]:
            raise ValueError(f"an entry of {space.name} has {WORD_BITS * ENTRY_WORDS[space]} bits, not {at + bits}")
        super().__init__(
            {
                "rx_valid": In(1),
                "rx": In(Flit),
                "rd_en": In(1),
                "rd_addr": In(ceil_log2(depth)),
                "rd_data": Out(at + bits),
                "error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        address = view(ENTRY_ADDRESSES[self._space], self.rx.addr)
        load = Signal()
        errors = []
        m.d.comb += load.eq(self.rx_valid & (self.rx.kind == FlitKind.LOAD) & (self.rx.chan == self._space))
        for number in range(ENTRY_WORDS[self._space]):
            runs = [(at, bits) for at, bits in self._used if at // WORD_BITS == number]
            if not runs:
                continue
            store = ParityMemory(sum(bits for _, bits in runs), self._depth)
            m.submodules[f"word_{number}"] = store
            m.d.comb += [
                store.wr_en.eq(load & (address.word == number)),
                store.wr_addr.eq(address.index),
                store.wr_data.eq(Cat(self.rx.data.bit_select(at % WORD_BITS, bits) for at, bits in runs)),
                store.rd_en.eq(self.rd_en),
                store.rd_addr.eq(self.rd_addr),
            ]
            errors.append(store.error)
            first = 0
            for at, bits in runs:
                m.d.comb += self.rd_data[at : at + bits].eq(store.rd_data[first : first + bits])
                first += bits
        m.d.comb += self.error.eq(Cat(errors).any())
        return m
