"""The gate of the load window: lets a word in, or says why not, and knows whether a model is loaded."""

import zlib
from operator import xor

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.draft import BASE_LOG2, BASE_ONE_BIT
from hayate.rtl.contract.flits import FLIT_FIELDS, STOP_BITS, FlitKind
from hayate.rtl.contract.isa import BANK_SHIFT, PRECISION_BIT, Space
from hayate.rtl.contract.load import (
    CSR_MOST,
    FACT_BITS,
    LNP_SHIFT,
    OPEN_REGISTERS,
    WORDS_OF_ENTRY,
    Fact,
    Feature,
    Reason,
    csr_widths,
)
from hayate.rtl.contract.precision import Format
from hayate.rtl.contract.regmap import LOAD_ALL_TILES, LOAD_SPACE_BITS, LOAD_SPACE_SHIFT, LOAD_TILE_SHIFT, LoadSpace
from hayate.rtl.contract.topology import FIRST_STOP, LAST_STOP, stop_of
from hayate.rtl.contract.words import POSITION_BITS, TOKEN_BITS
from hayate.rtl.interfaces import Bundle, Tables
from hayate.rtl.numerics.bits import tree
from hayate.rtl.ring.flit import FLIT_STREAM, Flit

BEAT_BITS = 3  # log2 of the bytes of a word

#: a word of the load window and where it goes. Its low bits, with zeros for the byte, are the bus address.
LoadWord = data.StructLayout(
    {"addr": FLIT_FIELDS["addr"], "space": LOAD_SPACE_BITS, "tile": FLIT_FIELDS["lo"], "data": 64}
)

#: what the machine knows of the model: `Fact` in lower case.
Facts = data.StructLayout({fact.name.lower(): bits for fact, bits in FACT_BITS.items()})

LOCAL = (LoadSpace.PROMPT, LoadSpace.GOVERNOR, LoadSpace.NGRAM, LoadSpace.MODEL)
#: Flits on the ring at once: more than all its stops can hold.
FLYING = 10
_ONES = 0xFFFFFFFF


class GateState(Bundle):
    """What the gate knows of the model.

    began: Out, a strobe: OPEN is taken. opened, loaded: Out. facts: Out(Facts). prompt_count: Out(16), tokens of the
    prompt written in order since the model was loaded.
    """

    def __init__(self):
        super().__init__(
            {
                "began": Out(1),
                "opened": Out(1),
                "loaded": Out(1),
                "facts": Out(Facts),
                "prompt_count": Out(POSITION_BITS),
            }
        )


class Conditions(Bundle):
    """What the gate heeds of the machine behind it.

    hold: Out, no word is taken, unless it is refused for `busy`. busy: Out, a generation is in progress, or stuck.
    fault: Out, a memory error, which unseals. abandon: Out, what is on the ring is lost; a load in progress with it.
    clearing: Out, the words are the initializer's. returned: Out, a LOAD has been all round the ring.
    """

    def __init__(self):
        super().__init__({name: Out(1) for name in ("hold", "busy", "fault", "abandon", "clearing", "returned")})


class Gate(wiring.Component):
    """Judges the words of the load window, one a cycle, and passes them on: to the ring as LOAD flits, or to the
    conductor's memories.

    `refused` and `reason` (a `Reason`) belong to the word on offer. A refused word is taken and goes nowhere. A load
    begins with `Fact.OPEN` and ends with `Fact.SEAL`, whose data must be the CRC of all words taken between the two;
    then, and until the next OPEN, a memory error or INIT, the machine is `loaded`. Behind the seal only what differs
    from one generation to the next is taken: prompts, formats, TOP_K, MIN_P, INVT and LNP. Nothing is taken while
    `busy`.

    A flit is offered, and a local word written, the cycle after its word. SEAL is not taken before `quiet`: every word
    before it is in its memory then. Reset ends a load that is not sealed, and an entry of which words are missing;
    what is loaded stays. While `clearing` the words are the initializer's and are not judged, and the machine forgets
    that a model is loaded.

    The last word of a model, which goes to a tile, SEAL, and a word that comes too late::

        cycle                0   1   2   3   4   5   6   7
        words.valid          ~~~~~~~~~~~~~~~~~~~~~~~~~~~~____
        words.ready          ~~~~________________~~~~~~~~~~~~
        refused              ________________________~~~~~~~~
        conditions.returned  ________________~~~~____________
        quiet                ~~~~________________~~~~~~~~~~~~
        state.opened         ~~~~~~~~~~~~~~~~~~~~~~~~________
        state.loaded         ________________________~~~~~~~~

    Parameters
    ----------
    config: `Config`.

    Members
    -------
    words: In stream of LoadWord. malformed: In, the word on offer came in a form that is refused.
    refused: Out. reason: Out(4).
    conditions: In(Conditions). state: Out(GateState). lost: Out, a strobe: words that were taken are abandoned.
    tx: Out stream of Flit; its `data` changes only when a word has been taken.
    quiet: Out, no flit is on offer or on its way.
    tables: Out(Tables), `enable` high for a cycle per entry.
    """

    def __init__(self, config):
        self._config = config
        super().__init__(
            {
                "words": In(stream.Signature(LoadWord)),
                "malformed": In(1),
                "refused": Out(1),
                "reason": Out(4),
                "conditions": In(Conditions()),
                "tx": Out(FLIT_STREAM),
                "quiet": Out(1),
                "lost": Out(1),
                "state": Out(GateState()),
                "tables": Out(Tables(governor=bool(config.governor))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word, tx, conditions = self.words.payload, self.tx, self.conditions
        taken = Signal()
        accepted = Signal()
        is_open = Signal()
        is_seal = Signal()
        local = Signal()
        m.d.comb += [
            is_open.eq((word.space == LoadSpace.MODEL) & (word.addr == Fact.OPEN)),
            is_seal.eq((word.space == LoadSpace.MODEL) & (word.addr == Fact.SEAL)),
            local.eq(Cat(word.space == space for space in LOCAL).any()),
            self.words.ready.eq(conditions.busy | (~tx.valid | tx.ready) & ~conditions.hold & (~is_seal | self.quiet)),
            taken.eq(self.words.valid & self.words.ready),
            accepted.eq(taken & ~self.refused),
            self.state.began.eq(accepted & is_open),
        ]
        self._judge(m, word, is_open, is_seal, local, accepted)

        # One register holds the flit on offer, or the local word being written.
        flit = Signal(Flit)
        stop = stop_of(word.tile)[:STOP_BITS]
        to_all = word.tile == LOAD_ALL_TILES
        writes = {LoadSpace.PROMPT: self.tables.prompt.enable, LoadSpace.NGRAM: self.tables.base.enable}
        m.d.comb += [
            tx.payload.eq(flit),
            tx.payload.kind.eq(FlitKind.LOAD),
            self.tables.prompt.address.eq(flit.addr),
            self.tables.prompt.data.eq(flit.data),
            self.tables.base.address.eq(flit.addr),
            self.tables.base.data.eq(flit.data),
        ]
        if self._config.governor:
            writes[LoadSpace.GOVERNOR] = self.tables.matrices.enable
            m.d.comb += [self.tables.matrices.address.eq(flit.addr), self.tables.matrices.data.eq(flit.data)]
        for space, write in writes.items():
            m.d.sync += write.eq(accepted & (word.space == space))
        with m.If(tx.ready | self.conditions.abandon):
            m.d.sync += tx.valid.eq(0)
        with m.If(accepted):
            m.d.sync += [
                tx.valid.eq(~local),
                flit.addr.eq(word.addr),
                flit.data.eq(word.data),
                flit.chan.eq(word.space),
                flit.lo.eq(Mux(to_all, FIRST_STOP, stop)),
                flit.hi.eq(Mux(to_all, LAST_STOP, stop)),
            ]

        flying = Signal(FLYING)
        left = tx.valid & tx.ready
        m.d.comb += [self.quiet.eq(~tx.valid & (flying == 0)), self.lost.eq(self.conditions.abandon & ~self.quiet)]
        m.d.sync += flying.eq(flying + left - (self.conditions.returned & (flying != 0)))
        with m.If(self.conditions.abandon):
            m.d.sync += flying.eq(0)
        return m

    def _judge(self, m, word, is_open, is_seal, local, accepted):
        """Whether the word on offer is refused, and the state that the words leave."""
        conditions, state = self.conditions, self.state
        facts = Signal(Facts, reset_less=True)
        loaded = Signal(reset_less=True)
        count = Signal(POSITION_BITS, reset_less=True)
        # its address; its value; it may be written behind the seal
        exists = Signal()
        fits = Signal(init=1)
        patch = Signal()
        sum_matches = Signal()
        follows = Signal()
        written = Signal.like(count)  # with the token that is being written: not with one that reset keeps from it
        m.d.comb += [
            state.facts.eq(facts),
            state.loaded.eq(loaded),
            state.prompt_count.eq(written),
            written.eq(count + (self.tables.prompt.enable & (self.tables.prompt.address == count))),
        ]
        self._limits(m, word, facts, exists, fits, patch)
        self._seal(m, word, is_open, is_seal, accepted, sum_matches)
        self._entries(m, word, accepted, follows)

        there = local | (word.tile < self._config.tiles) | (word.tile == LOAD_ALL_TILES)
        prompt = word.space == LoadSpace.PROMPT
        rules = (  # in this order
            (self.malformed, Reason.FORM),
            (conditions.busy, Reason.BUSY),
            (~exists | ~there, Reason.ADDRESS),
            (~is_open & ~loaded & (prompt | ~state.opened), Reason.NO_LOAD),
            (~is_open & loaded & ~patch, Reason.SEALED),
            (~fits, Reason.DATA),
            (~follows, Reason.ORDER),
            (is_seal & ~sum_matches, Reason.SEAL),
        )
        for applies, reason in reversed(rules):
            with m.If(applies):
                m.d.comb += self.reason.eq(reason)
        m.d.comb += self.refused.eq((self.reason != Reason.NONE) & ~conditions.clearing)

        with m.If(accepted & (word.space == LoadSpace.MODEL)):
            with m.Switch(word.addr):
                for fact in FACT_BITS:
                    with m.Case(fact):
                        m.d.sync += facts[fact.name.lower()].eq(word.data)
        m.d.sync += count.eq(written)
        with m.If(is_seal & self.words.valid & self.words.ready & state.opened & ~self.malformed & ~conditions.busy):
            m.d.sync += [state.opened.eq(0), loaded.eq(accepted)]
        with m.If(conditions.abandon):
            m.d.sync += state.opened.eq(0)
        with m.If(accepted & is_open):
            m.d.sync += [state.opened.eq(1), loaded.eq(0), count.eq(0), facts.eq(0)]
        with m.If(conditions.fault | conditions.clearing):
            m.d.sync += [state.opened.eq(0), loaded.eq(0)]
        with m.If(conditions.clearing):
            m.d.sync += [count.eq(0), facts.eq(0)]

    def _limits(self, m, word, facts, exists, fits, patch):
        """What is there, what it holds, and what of it may be written behind the seal."""
        c, addr, value = self._config, word.addr, word.data
        features = [facts.features & feature != 0 for feature in Feature]
        planes, draft, _, filters = features
        with m.Switch(word.space):
            with m.Case(Space.BANK):
                m.d.comb += exists.eq((addr[:BANK_SHIFT] < c.bank_depth) & (addr[BANK_SHIFT:] < c.banks))
            with m.Case(Space.PROGRAM):
                m.d.comb += exists.eq(addr < WORDS_OF_ENTRY[Space.PROGRAM] * c.program_depth)
            with m.Case(Space.DESC):
                m.d.comb += exists.eq(addr < WORDS_OF_ENTRY[Space.DESC] * c.desc_depth)
            with m.Case(Space.MICRO):
                m.d.comb += exists.eq(addr < WORDS_OF_ENTRY[Space.MICRO] * c.micro_depth)
            with m.Case(Space.VMEM):
                named = (addr == facts.sampling[:LNP_SHIFT]) | (addr == facts.sampling[LNP_SHIFT:])
                m.d.comb += [exists.eq(addr < c.vmem_depth), fits.eq(~value[32:].any()), patch.eq(named)]
            with m.Case(Space.CSR):
                with m.Switch(addr):
                    for register, bits in csr_widths(c.sampling).items():
                        with m.Case(register):
                            m.d.comb += [exists.eq(1), fits.eq(value <= CSR_MOST.get(register, (1 << bits) - 1))]
                    if c.nested:
                        with m.Case(f"{'0' * (len(addr) - PRECISION_BIT - 1)}1{'-' * PRECISION_BIT}"):
                            m.d.comb += [
                                exists.eq(addr[:PRECISION_BIT] < c.desc_depth),
                                fits.eq(value <= max(Format)),
                                patch.eq(planes),
                            ]
                if c.sampling:
                    with m.If(Cat(addr == register for register in OPEN_REGISTERS).any()):
                        m.d.comb += patch.eq(filters | ~value.any())
            with m.Case(LoadSpace.GOVERNOR):
                m.d.comb += exists.eq(addr < WORDS_OF_ENTRY[LoadSpace.GOVERNOR] * c.matrices)
            with m.Case(LoadSpace.PROMPT):
                m.d.comb += [exists.eq(addr < c.prompt_depth), fits.eq(value < facts.vocabulary), patch.eq(1)]
            with m.Case(LoadSpace.NGRAM):
                m.d.comb += [
                    exists.eq(addr < (1 << BASE_ONE_BIT) + (1 << BASE_LOG2[0])),
                    fits.eq((value[:TOKEN_BITS] < facts.vocabulary) & ~value[32:].any()),
                ]
            with m.Case(LoadSpace.MODEL):
                has = Feature(0xF if c.nested else 0xF & ~Feature.PLANES)
                most = {Fact.VOCABULARY: 1 << TOKEN_BITS, Fact.CONTEXT: max(c.context, 0), Fact.MATRICES: c.matrices}
                with m.Switch(addr):
                    with m.Case(Fact.OPEN):
                        m.d.comb += exists.eq(1)
                    for fact, limit in most.items():
                        with m.Case(fact):
                            m.d.comb += [exists.eq(1), fits.eq(value <= limit)]
                    with m.Case(
                        Fact.TILES
                    ):  # one that the model has not been placed on would go on with an earlier one's
                        m.d.comb += [exists.eq(1), fits.eq(value == c.tiles)]
                    with m.Case(Fact.FEATURES):
                        m.d.comb += [exists.eq(1), fits.eq(~(value & ~int(has)).any())]
                    with m.Case(Fact.SAMPLING):
                        m.d.comb += [exists.eq(1), fits.eq(~value[FACT_BITS[Fact.SAMPLING] :].any())]
                    with m.Case(Fact.SEAL):  # a model has tokens, tiles and positions
                        m.d.comb += [
                            exists.eq(1),
                            fits.eq(facts.vocabulary.any() & facts.tiles.any() & facts.context.any()),
                        ]

    def _seal(self, m, word, is_open, is_seal, accepted, matches):
        """The CRC of the words taken since OPEN."""
        # inverted, as the CRC's definition has it
        state = Signal(32)
        after = Signal(32)
        address = Cat(Const(0, BEAT_BITS), word.addr, word.space, word.tile)
        # Linear in every bit, so that one word a cycle takes no more than a sum of constants: what zlib makes of each
        # bit alone.
        bits = {
            j: zlib.crc32((1 << j).to_bytes(16, "little"), _ONES) ^ _ONES
            for j in (*range(BEAT_BITS, len(address)), *range(64, 128))
        }
        terms = [
            Mux(bit, bits[j], 0)
            for j, bit in enumerate(Cat(address, Const(0, 64 - len(address)), word.data))
            if j in bits
        ]
        terms += [Mux(bit, zlib.crc32(bytes(16), 1 << j ^ _ONES) ^ _ONES, 0) for j, bit in enumerate(state)]
        m.d.comb += [after.eq(tree(xor, terms)), matches.eq(word.data == state ^ _ONES)]
        with m.If(accepted & is_open):
            m.d.sync += state.eq(_ONES)
        with m.Elif(accepted & ~is_seal):
            m.d.sync += state.eq(after)
        assert len(address) <= LOAD_TILE_SHIFT + 8 and LOAD_SPACE_SHIFT == BEAT_BITS + len(word.addr)

    def _entries(self, m, word, accepted, follows):
        """The words of an entry come one right behind the other, as far as words of entries go."""
        bits = (max(WORDS_OF_ENTRY.values()) - 1).bit_length()
        # bits of the address that number the words of an entry; none where words stand alone
        spaces = range(1 << LOAD_SPACE_BITS)
        inside = Array(Const(WORDS_OF_ENTRY.get(space, 1) - 1, bits) for space in spaces)[word.space]
        number, entry = word.addr[:bits], Cat(word.addr[bits:], word.space, word.tile)
        next_number = Signal(bits)
        last_entry = Signal.like(entry)
        there = Signal()
        first = (number & inside) == 0
        m.d.comb += follows.eq(first | there & (number == next_number) & (entry == last_entry))
        with m.If(accepted & inside.any()):
            m.d.sync += [there.eq(1), next_number.eq(number + 1), last_entry.eq(entry)]
        with m.If(self.conditions.abandon):
            m.d.sync += there.eq(0)
