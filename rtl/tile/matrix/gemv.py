"""Address generator of a matrix block: which word of the banks and of the activations goes to the PEs in each cycle."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.isa import ACT_BITS, BANK_BITS, LOCAL_ROW_BITS, ROW_BITS
from hayate.rtl.contract.precision import Format
from hayate.rtl.tile.interfaces import EnergyTag, pe_word_layout
from hayate.rtl.tile.queues import matrix_entry_layout


class GemvIssue(wiring.Component):
    """Walks a block: groups of `banks` rows, one word per cycle, in FP16 or, with `nested`, in any of the formats.

    `load` starts an entry of at least one row and one word; it may come in the cycle of `ending`, and the new entry's
    first word then follows without a bubble. A word goes out in every active cycle, but for the last word of a group:
    that one waits until the drain has room (groups follow each other no faster than their rows leave, one a cycle) and
    until the landing buffer has room for all rows of the group, which are reserved as the word goes. Outputs describe
    the word of this cycle and are used only with `fire`.

    FP16 reads `length` words per row, the activation word beside each. INT4 reads a row's hi plane, a scale word ahead
    of every four groups of elements; INT8 reads after each hi word its lo word. Both use four activation words at
    once. `precision` has the word counts. A `dual` entry reads each row group twice: first in FP16, which ends in an
    ordinary result, then in INT8 with `subtract`, which ends in a `difference`: it takes the drain's time but no room
    in the landing buffer.

    A row of 32 elements in INT8: scales, then a hi and a lo word for each 16 elements::

        cycle    0   1   2   3   4   5   6   7
        load     ~~~~____________________________
        active   ____~~~~~~~~~~~~~~~~~~~~________
        fire     ____~~~~~~~~~~~~~~~~~~~~________
        first    ____~~~~________________~~~~~~~~
        last     ____________________~~~~________
        scales   ____~~~~________________~~~~~~~~
        nibbles  ________~~~~~~~~~~~~~~~~________
        low      ____________~~~~____~~~~________
        act      0...............4.......0.......
        ending   ____________________~~~~________

    Parameters
    ----------
    banks: rows of a group, a power of two. landing_depth: rows that the landing buffer holds, at least `banks`.
    nested: entries may have another format than FP16. governor: and may be `dual`; needs `nested`.

    Members
    -------
    load, entry: In. Start this GEMV; `matrix_entry_layout(nested, governor)`. Where its format is not FP16 or it is
        `dual`, `act` must be a multiple of 8.
    freed: In(8). Rows that left the landing buffer in this cycle; usable from the next one on.
    active: Out. A GEMV is in progress. ending: Out. Its last word goes out in this cycle.
    fire: Out. A word goes out. word: Out, `pe_word_layout(nested, governor)`: what the PEs are told of it, see `Pe`.
        `first`, `last`: it begins or ends its rows; the integer words of a `dual` entry go on with the FP16 sum.
        `nibbles`, `scales`: neither is FP16. `select`: which of the scales last read counts.
    wait_landing, wait_drain: Out. Why an active cycle has no word; never both.
    mask: Out(banks). Banks with a valid row (the last group may be short); row count ones from bit 0 up.
    addr: Out(BANK_BITS), bank address. act: Out(ACT_BITS), activation address, of the first of four words with `wide`.
        s_in: Out(8).
    kv: Out(1).
    useful: Out. Banks whose row is below the entry's `live`; 0 for the words that a `dual` entry reads on top of the
        FP16 ones.

    Only with `nested`: wide: Out. The word holds nibbles. left: Out(4). With `wide`: how many of the aligned 8
        activation words around `act` belong to the row, 1 to 8.
    Only with `governor`: tag: Out(EnergyTag). Where it is a `difference`, this word's result does not go to the landing
        buffer.
    """

    def __init__(self, banks: int, landing_depth: int, *, nested: bool = True, governor: bool = True):
        if banks < 1 or banks & (banks - 1):
            raise ValueError(f"banks must be a power of two, not {banks}")
        if landing_depth < banks:
            raise ValueError(f"a landing buffer of {landing_depth} rows cannot take a group of {banks}")
        if governor and not nested:
            raise ValueError("a governor needs nested planes to choose from")
        self.banks, self.landing_depth, self.nested, self.governor = banks, landing_depth, nested, governor
        members = {
            "load": In(1),
            "entry": In(matrix_entry_layout(nested, governor)),
            "freed": In(8),
            "active": Out(1),
            "ending": Out(1),
            "fire": Out(1),
            "word": Out(pe_word_layout(nested, governor)),
            "wait_landing": Out(1),
            "wait_drain": Out(1),
            "mask": Out(banks),
            "addr": Out(BANK_BITS),
            "act": Out(ACT_BITS),
            "s_in": Out(8),
            "kv": Out(1),
            "useful": Out(range(banks + 1)),
        }
        if nested:
            members |= {"wide": Out(1), "left": Out(4)}
        if governor:
            members["tag"] = Out(EnergyTag)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        banks, entry = self.banks, self.entry
        bits = ceil_log2(banks)

        # What stays for the whole entry.
        tail_rows = Signal(range(banks + 1))  # rows of the last group
        tail_mask = Signal(banks)
        # What moves.
        # this group's words are those of planes
        self._nested = nested = Signal(name="nested") if self.nested else Const(0)
        self._dual = dual = Signal(name="dual") if self.governor else Const(0)
        self._word_is_last = word_is_last = Signal()
        more = Signal(LOCAL_ROW_BITS - bits)  # groups after this one
        live_groups = Signal(
            LOCAL_ROW_BITS - bits
        )  # whole groups of live rows from this one on, then a part of a group
        live_rows = Signal(range(max(banks, 2)))
        group_is_last = Signal()
        difference = Signal()

        rows = Signal(range(banks + 1))
        m.d.comb += [
            rows.eq(Mux(group_is_last, tail_rows, banks)),
            self.mask.eq(Mux(group_is_last, tail_mask, (1 << banks) - 1)),
            difference.eq(dual & nested),
            self.useful.eq(Mux(difference, 0, Mux(live_groups != 0, banks, live_rows))),
        ]
        if self.governor:
            m.d.comb += [
                self.word.subtract.eq(difference),
                self.tag.difference.eq(difference),
                self.tag.nested.eq(nested),
            ]

        # Room for the group that the last word finishes. A group of n rows occupies the drain for n cycles.
        room = Signal(range(self.landing_depth + 1), init=self.landing_depth)
        occupied = Signal(banks)
        fits = Signal()
        finish = Signal()
        reserve = Signal()
        m.d.comb += [
            fits.eq(Mux(group_is_last, room >= tail_rows, room >= banks) | difference),
            self.wait_landing.eq(self.active & word_is_last & ~fits),
            self.wait_drain.eq(self.active & word_is_last & fits & occupied[0]),
            self.fire.eq(self.active & (~word_is_last | (fits & ~occupied[0]))),
            self.word.last.eq(word_is_last),
            finish.eq(self.fire & word_is_last),
            reserve.eq(finish & ~difference),
            self.ending.eq(finish & group_is_last & (nested | ~dual)),
        ]
        with m.If(finish):
            m.d.sync += occupied.eq(self.mask >> 1)
        with m.Else():
            m.d.sync += occupied.eq(occupied >> 1)
        with m.If(reserve | (self.freed != 0)):
            m.d.sync += room.eq(room + self.freed - Mux(reserve, rows, 0))

        with m.If(finish & (nested | ~dual)):
            m.d.sync += [more.eq(more - 1), group_is_last.eq(more == 1)]
            with m.If(live_groups != 0):
                m.d.sync += live_groups.eq(live_groups - 1)
            with m.Else():
                m.d.sync += live_rows.eq(0)
        with m.If(self.ending):
            m.d.sync += self.active.eq(0)
        if self.nested:
            self._walk_planes(m)
        else:
            self._walk_fp16(m)

        with m.If(self.load):
            before_last = Signal(LOCAL_ROW_BITS)  # the last row's number
            m.d.comb += before_last.eq(entry.rows - 1)
            place = before_last[:bits] if bits else Const(0, 1)
            m.d.sync += [
                self.active.eq(1),
                self.kv.eq(entry.kv),
                self.s_in.eq(entry.s_in),
                more.eq(before_last[bits:]),
                group_is_last.eq(before_last[bits:] == 0),
                tail_rows.eq(place + 1),
                tail_mask.eq((2 << place) - 1),
                live_groups.eq(entry.live[bits:]),
                live_rows.eq(entry.live[:bits] if bits else 0),
            ]
            if self.governor:
                m.d.sync += [
                    self.tag.measure.eq(entry.measure),
                    self.tag.wanted.eq(entry.wanted),
                    self.tag.planes.eq(entry.planes),
                    self.tag.grids.eq(entry.grids),
                ]
        return m

    def _walk_fp16(self, m):
        """The word of this cycle, and from it the next one's."""
        entry, word_is_last = self.entry, self._word_is_last
        length = Signal(ROW_BITS)
        words = Signal(ROW_BITS)
        act_base = Signal(ACT_BITS)
        row_addr = Signal(BANK_BITS)
        left = Signal(ROW_BITS)  # words of the row after this one
        with m.If(self.fire):
            with m.If(word_is_last):
                next_row = Signal(BANK_BITS)
                m.d.comb += next_row.eq(row_addr + words)
                m.d.sync += [
                    self.addr.eq(next_row),
                    row_addr.eq(next_row),
                    self.act.eq(act_base),
                    self.word.first.eq(1),
                    left.eq(length - 1),
                    word_is_last.eq(length == 1),
                ]
            with m.Else():
                m.d.sync += [
                    self.addr.eq(self.addr + 1),
                    self.act.eq(self.act + 1),
                    self.word.first.eq(0),
                    left.eq(left - 1),
                    word_is_last.eq(left == 1),
                ]
        with m.If(self.load):
            m.d.sync += [
                self.addr.eq(entry.base),
                row_addr.eq(entry.base),
                self.act.eq(entry.act),
                self.word.first.eq(1),
                left.eq(entry.length - 1),
                word_is_last.eq(entry.length == 1),
                length.eq(entry.length),
                words.eq(entry.words),
                act_base.eq(entry.act),
            ]

    def _walk_planes(self, m):
        """`_walk_fp16` for words of all kinds."""
        entry, nested, dual, word_is_last = self.entry, self._nested, self._dual, self._word_is_last
        # Of the entry.
        both = Signal()  # nibbles of both planes
        code = Signal(2)  # the group size's
        length = Signal(ROW_BITS)
        last_word = Signal(ROW_BITS)
        act_base = Signal(ACT_BITS)
        # Where the words lie: those of the hi plane and FP16 words in rows, the lo plane's all in one piece.
        # of the words that are being read
        row_addr = Signal(BANK_BITS)
        pitch = Signal(ROW_BITS)
        # `dual`: of those that come next
        other_addr = Signal(BANK_BITS)
        other_pitch = Signal(ROW_BITS)
        next_word, next_row, next_start = (
            Signal(BANK_BITS, name=name) for name in ("next_word", "next_row", "next_start")
        )
        # next word of the hi plane, while one of the lo plane is read; of that
        hi_addr = Signal(BANK_BITS)
        lo_addr = Signal(BANK_BITS)
        m.d.comb += [
            next_word.eq(self.addr + 1),
            next_row.eq(row_addr + pitch),
            next_start.eq(Mux(dual, other_addr, next_row)),
        ]

        left = Signal(ROW_BITS)  # words of the row after this one; hi words where the row is of nibbles
        chunk = Signal(5)  # hi word since the scale word
        chunk_ends = Signal()
        odd = Signal()
        quads = Signal(ROW_BITS)  # activation words from the aligned 8 of this one on
        m.d.comb += [
            chunk_ends.eq((chunk[:3] == 7) & (chunk[3] | (code == 0)) & (chunk[4] | ~code[1])),
            self.word.select.eq(Mux(code[1], chunk[3:], Mux(code[0], chunk[2:4], chunk[1:3]))),
            self.left.eq(Mux(quads[3:] != 0, 8, quads[:3])),
            self.wide.eq(self.word.nibbles),
        ]

        def first_low(value):
            return [self.word.first_low.eq(value)] if self.governor else []

        def begin(planes, goes_on, length, last_word, act):
            """First word of a row group; `goes_on` with the sum of the words before it."""
            return [
                nested.eq(planes),
                self.word.scales.eq(planes),
                self.word.nibbles.eq(0),
                self.word.low.eq(0),
                self.act.eq(act),
                self.word.first.eq(~goes_on),
                chunk.eq(0),
                odd.eq(0),
                quads.eq(length),
                *first_low(planes),
                left.eq(Mux(planes, last_word >> 2, last_word)),
                word_is_last.eq(~planes & (last_word == 0)),
            ]

        with m.If(self.fire):
            m.d.sync += [self.word.first.eq(0), *first_low(0)]
            with m.If(word_is_last):
                other = Signal()
                m.d.comb += other.eq(nested ^ dual)
                m.d.sync += begin(other, dual & other, length, last_word, act_base)
                m.d.sync += [self.addr.eq(next_start), row_addr.eq(next_start)]
                if self.governor:
                    m.d.sync += other_addr.eq(next_row)
                    with m.If(dual):
                        m.d.sync += [pitch.eq(other_pitch), other_pitch.eq(pitch)]
            with m.Elif(self.word.scales):
                m.d.sync += [
                    self.word.scales.eq(0),
                    self.word.nibbles.eq(1),
                    self.addr.eq(next_word),
                    word_is_last.eq((left == 0) & ~both),
                ]
            with m.Elif(self.word.nibbles & both & ~self.word.low):
                m.d.sync += [
                    self.word.low.eq(1),
                    hi_addr.eq(next_word),
                    self.addr.eq(lo_addr),
                    lo_addr.eq(lo_addr + 1),
                    word_is_last.eq(left == 0),
                ]
            with m.Elif(self.word.nibbles):
                m.d.sync += [
                    self.word.low.eq(0),
                    self.addr.eq(Mux(self.word.low, hi_addr, next_word)),
                    self.act.eq(self.act + 4),
                    left.eq(left - 1),
                    odd.eq(~odd),
                    chunk.eq(chunk + 1),
                ]
                with m.If(odd):
                    m.d.sync += quads.eq(quads - 8)
                with m.If(chunk_ends):
                    m.d.sync += [self.word.scales.eq(1), self.word.nibbles.eq(0), chunk.eq(0)]
                with m.Else():
                    m.d.sync += word_is_last.eq((left == 1) & ~both)
                with m.If(both):
                    m.d.sync += word_is_last.eq(0)
            with m.Else():
                m.d.sync += [
                    self.addr.eq(next_word),
                    self.act.eq(self.act + 1),
                    left.eq(left - 1),
                    word_is_last.eq(left == 1),
                ]

        with m.If(self.load):
            end = Signal(ROW_BITS)
            integers = Signal()
            is_dual = entry.dual if self.governor else Const(0)
            m.d.comb += [end.eq(entry.length - 1), integers.eq((entry.format != Format.FP16) & ~is_dual)]
            m.d.sync += begin(integers, Const(0), entry.length, end, entry.act)
            m.d.sync += [
                both.eq(is_dual | (entry.format == Format.INT8)),
                code.eq(entry.group),
                length.eq(entry.length),
                last_word.eq(end),
                act_base.eq(entry.act),
                self.addr.eq(entry.base),
                row_addr.eq(entry.base),
                pitch.eq(entry.words),
                lo_addr.eq(entry.lo_base),
            ]
            if self.governor:
                m.d.sync += [dual.eq(entry.dual), other_addr.eq(entry.hi_base), other_pitch.eq(entry.pitch)]
