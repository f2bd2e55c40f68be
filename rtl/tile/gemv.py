"""Address generator of a matrix block: which word of the banks and of the activations goes to the PEs in each cycle."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .queues import MatrixEntry


class GemvIssue(wiring.Component):
    """Walks a block: groups of `banks` rows, `length` words each, one word per cycle.

    `load` starts an entry of at least one row and one word; it may come in the cycle of `ending`, and the new entry's first word then
    follows without a bubble. A word goes out in every active cycle, but for the last word of a group: that one waits until the drain has
    room (groups follow each other no faster than their rows leave, one a cycle) and until the landing buffer has room for all rows of the
    group, which are reserved as the word goes. Outputs describe the word of this cycle and are used only with `fire`.

    Parameters
    ----------
    banks: rows of a group, a power of two. landing_depth: rows that the landing buffer holds, at least `banks`.

    Members
    -------
    load, entry: In. Start this GEMV.
    freed: In(8). Rows that left the landing buffer in this cycle; usable from the next one on.
    active: Out. A GEMV is in progress. ending: Out. Its last word goes out in this cycle.
    fire: Out. A word goes out. first, last: Out. It begins or ends its rows.
    wait_landing, wait_drain: Out. Why an active cycle has no word; never both.
    mask: Out(banks). Banks with a valid row (the last group may be short); row count ones from bit 0 up.
    addr: Out(20), bank address. act: Out(12), activation address. s_in: Out(8). kv: Out(1).
    useful: Out. Banks whose row is below the entry's `live`.
    """

    def __init__(self, banks: int, landing_depth: int):
        if banks < 1 or banks & (banks - 1):
            raise ValueError(f"banks must be a power of two, not {banks}")
        if landing_depth < banks:
            raise ValueError(f"a landing buffer of {landing_depth} rows cannot take a group of {banks}")
        self.banks, self.landing_depth = banks, landing_depth
        super().__init__({
            "load": In(1), "entry": In(MatrixEntry), "freed": In(8),
            "active": Out(1), "ending": Out(1), "fire": Out(1), "first": Out(1), "last": Out(1),
            "wait_landing": Out(1), "wait_drain": Out(1), "mask": Out(banks),
            "addr": Out(20), "act": Out(12), "s_in": Out(8), "kv": Out(1), "useful": Out(range(banks + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        banks, entry = self.banks, self.entry
        bits = ceil_log2(banks)

        # What stays for the whole entry.
        words, length, act_base = Signal(12), Signal(12), Signal(12)
        tail_rows = Signal(range(banks + 1))  # rows of the last group
        tail_mask = Signal(banks)
        # What moves.
        group_addr = Signal(20)
        left = Signal(12)  # words of the group after this one
        more = Signal(16 - bits)  # groups after this one
        live_groups = Signal(16 - bits)  # whole groups of live rows from this one on, then a part of a group
        live_rows = Signal(range(max(banks, 2)))
        word_is_last, group_is_last = Signal(), Signal()

        rows = Signal(range(banks + 1))
        m.d.comb += [
            rows.eq(Mux(group_is_last, tail_rows, banks)),
            self.mask.eq(Mux(group_is_last, tail_mask, (1 << banks) - 1)),
            self.useful.eq(Mux(live_groups != 0, banks, live_rows)),
        ]

        # Room for the group that the last word finishes. A group of n rows occupies the drain for n cycles.
        room = Signal(range(self.landing_depth + 1), init=self.landing_depth)
        occupied = Signal(banks)
        fits = Signal()
        finish = Signal()
        m.d.comb += [
            fits.eq(room >= rows),
            self.wait_landing.eq(self.active & word_is_last & ~fits),
            self.wait_drain.eq(self.active & word_is_last & fits & occupied[0]),
            self.fire.eq(self.active & (~word_is_last | (fits & ~occupied[0]))),
            self.last.eq(word_is_last),
            finish.eq(self.fire & word_is_last),
            self.ending.eq(finish & group_is_last),
        ]
        with m.If(finish):
            m.d.sync += occupied.eq(self.mask >> 1)
        with m.Else():
            m.d.sync += occupied.eq(occupied >> 1)
        with m.If(finish | (self.freed != 0)):
            m.d.sync += room.eq(room + self.freed - Mux(finish, rows, 0))

        with m.If(self.fire):
            with m.If(word_is_last):
                next_group = Signal(20)
                m.d.comb += next_group.eq(group_addr + words)
                m.d.sync += [
                    self.addr.eq(next_group), group_addr.eq(next_group), self.act.eq(act_base),
                    left.eq(length - 1), word_is_last.eq(length == 1), self.first.eq(1),
                    more.eq(more - 1), group_is_last.eq(more == 1),
                ]
                with m.If(live_groups != 0):
                    m.d.sync += live_groups.eq(live_groups - 1)
                with m.Else():
                    m.d.sync += live_rows.eq(0)
            with m.Else():
                m.d.sync += [
                    self.addr.eq(self.addr + 1), self.act.eq(self.act + 1),
                    left.eq(left - 1), word_is_last.eq(left == 1), self.first.eq(0),
                ]
        with m.If(self.ending):
            m.d.sync += self.active.eq(0)

        with m.If(self.load):
            before_last = Signal(16)  # the last row's number
            m.d.comb += before_last.eq(entry.rows - 1)
            place = before_last[:bits] if bits else Const(0, 1)
            m.d.sync += [
                self.active.eq(1), self.first.eq(1), self.kv.eq(entry.kv), self.s_in.eq(entry.s_in),
                words.eq(entry.words), length.eq(entry.length), act_base.eq(entry.act),
                self.addr.eq(entry.base), group_addr.eq(entry.base), self.act.eq(entry.act),
                left.eq(entry.length - 1), word_is_last.eq(entry.length == 1),
                more.eq(before_last[bits:]), group_is_last.eq(before_last[bits:] == 0),
                tail_rows.eq(place + 1), tail_mask.eq((2 << place) - 1),
                live_groups.eq(entry.live[bits:]), live_rows.eq(entry.live[:bits] if bits else 0),
            ]
        return m
