"""The gate of the load window, by its rules: what of a stream of words is taken, and why the rest is not."""

import zlib
from dataclasses import dataclass, field

from hayate.rtl.contract.config import Config
from hayate.rtl.contract.flits import FlitKind, pack_flit
from hayate.rtl.contract.isa import BANK_SHIFT, PRECISION_BIT, Csr, Space
from hayate.rtl.contract.load import FACT_BITS, LNP_SHIFT, WORDS_OF_ENTRY, Fact, Feature, Reason, csr_widths
from hayate.rtl.contract.regmap import LOAD_ALL_TILES, LoadSpace, load_address
from hayate.rtl.contract.topology import FIRST_STOP, LAST_STOP, stop_of
from hayate.rtl.contract.words import TOKEN_BITS

BASE_ENTRIES = 4096 + 512
LOCAL = {LoadSpace.PROMPT: TOKEN_BITS, LoadSpace.NGRAM: 32, LoadSpace.GOVERNOR: 64}  # space -> bits of a word


@dataclass
class Gate:
    """State of the gate of a machine of `config`; all of it but `opened`, `low` and `crc` outlives a reset."""

    config: Config
    loaded: bool = False
    opened: bool = False
    facts: dict = field(default_factory=dict)
    prompt_count: int = 0
    low: tuple | None = None
    crc: int = 0

    def fact(self, which):
        return self.facts.get(which, 0)

    def exists(self, tile, space, addr):
        """Whether this machine has such a word."""
        c = self.config
        if space == Space.BANK:
            return addr >> BANK_SHIFT < c.banks and addr % (1 << BANK_SHIFT) < c.bank_depth and self._tile(tile)
        if space == Space.CSR:
            table = c.nested and addr >> PRECISION_BIT == 1 and addr % (1 << PRECISION_BIT) < c.desc_depth
            return (table or addr in csr_widths(c.sampling)) and self._tile(tile)
        if space == LoadSpace.MODEL:
            return addr in set(Fact)
        depth = {
            Space.PROGRAM: c.program_depth,
            Space.DESC: c.desc_depth,
            Space.MICRO: c.micro_depth,
            Space.VMEM: c.vmem_depth,
            LoadSpace.GOVERNOR: c.matrices,
            LoadSpace.PROMPT: c.prompt_depth,
            LoadSpace.NGRAM: BASE_ENTRIES,
        }.get(space, 0)
        return addr < WORDS_OF_ENTRY.get(space, 1) * depth and (space in LOCAL or self._tile(tile))

    def _tile(self, tile):
        return tile < self.config.tiles or tile == LOAD_ALL_TILES

    def fits(self, space, addr, data):
        """Whether the word can hold `data`, and the model may have it."""
        c = self.config
        if space == Space.VMEM:
            return data < 1 << 32
        if space == Space.CSR:
            if addr == Csr.TOP_K:
                return data <= 64
            return data <= 2 if addr >> PRECISION_BIT else data < 1 << csr_widths(c.sampling)[addr]
        if space == LoadSpace.PROMPT:
            return data < self.fact(Fact.VOCABULARY)
        if space == LoadSpace.NGRAM:
            return data < 1 << 32 and data % (1 << TOKEN_BITS) < self.fact(Fact.VOCABULARY)
        if space == LoadSpace.MODEL:
            if addr == Fact.TILES:
                return data == c.tiles
            most = {
                Fact.VOCABULARY: 1 << TOKEN_BITS,
                Fact.CONTEXT: max(c.max_slots - c.lanes, 0),
                Fact.MATRICES: c.matrices,
                Fact.FEATURES: 15,
                Fact.SAMPLING: (1 << FACT_BITS[Fact.SAMPLING]) - 1,
            }
            if addr == Fact.SEAL:
                return all(self.fact(f) for f in (Fact.VOCABULARY, Fact.TILES, Fact.CONTEXT))
            return data <= most.get(addr, data) and (addr != Fact.FEATURES or c.nested or not data & Feature.PLANES)
        return True

    def stays_open(self, space, addr, data):
        """Whether the word may be written behind the seal."""
        features = self.fact(Fact.FEATURES)
        if space == Space.VMEM:
            named = self.fact(Fact.SAMPLING)
            return addr in (named % (1 << LNP_SHIFT), named >> LNP_SHIFT)
        if space == Space.CSR:
            if addr >> PRECISION_BIT:
                return bool(features & Feature.PLANES)
            return addr in (Csr.TOP_K, Csr.MIN_P) and (data == 0 or bool(features & Feature.FILTERS))
        return space == LoadSpace.PROMPT

    def judge(self, tile, space, addr, data, malformed, busy):
        """The `Reason` for which a word is refused, or NONE."""
        opens = space == LoadSpace.MODEL and addr == Fact.OPEN
        if malformed:
            return Reason.FORM
        if busy:
            return Reason.BUSY
        if not self.exists(tile, space, addr):
            return Reason.ADDRESS
        if not opens and not self.loaded and (space == LoadSpace.PROMPT or not self.opened):
            return Reason.NO_LOAD
        if not opens and self.loaded and not self.stays_open(space, addr, data):
            return Reason.SEALED
        if not self.fits(space, addr, data):
            return Reason.DATA
        if addr % WORDS_OF_ENTRY.get(space, 1) and self.low != (tile, space, addr - 1):
            return Reason.ORDER
        if space == LoadSpace.MODEL and addr == Fact.SEAL and data != self.crc:
            return Reason.SEAL
        return Reason.NONE

    def word(self, tile, space, addr, data, *, malformed=False, busy=False):
        """Give it a word: (its `Reason`, the flit that it becomes or None, (space, address, data) of a local write or
        None).
        """
        reason = self.judge(tile, space, addr, data, malformed, busy)
        if space == LoadSpace.MODEL and addr == Fact.SEAL and self.opened and not malformed and not busy:
            self.opened, self.loaded = False, reason == Reason.NONE
        if reason != Reason.NONE:
            return reason, None, None
        if space == LoadSpace.MODEL:
            if addr == Fact.OPEN:
                self.loaded, self.opened, self.facts, self.prompt_count, self.crc = False, True, {}, 0, 0
            elif addr != Fact.SEAL:
                self.facts[Fact(addr)] = data % (1 << FACT_BITS[addr])
        if not (space == LoadSpace.MODEL and addr in (Fact.OPEN, Fact.SEAL)):
            record = load_address(tile, space, addr).to_bytes(8, "little") + data.to_bytes(8, "little")
            self.crc = zlib.crc32(record, self.crc)
        if space in WORDS_OF_ENTRY:
            self.low = (tile, space, addr)
        if space == LoadSpace.PROMPT and addr == self.prompt_count:
            self.prompt_count += 1
        if space in LOCAL:
            return reason, None, (space, addr, data % (1 << LOCAL[space]))
        if space == LoadSpace.MODEL:
            return reason, None, None
        lo, hi = (FIRST_STOP, LAST_STOP) if tile == LOAD_ALL_TILES else (stop_of(tile),) * 2
        return reason, pack_flit(kind=FlitKind.LOAD, lo=lo, hi=hi, chan=space, addr=addr, data=data), None

    def reset(self):
        """What `rst`, or the machine's own reset, leaves."""
        self.opened, self.low = False, None

    def fault(self):
        """A memory error was seen."""
        self.opened = self.loaded = False
