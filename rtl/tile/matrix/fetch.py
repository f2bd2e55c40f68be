"""Rows for everyone: reads the embedding or table rows that a pass asks for and this tile holds, and sends them round
the ring.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import (
    BANK_BITS,
    CHANNEL_BITS,
    GLOBAL_ROW_BITS,
    LOCAL_ROW_BITS,
    ROPE_FINE_BITS,
    ROW_BITS,
    STAGE_BITS,
    FetchIndex,
)
from hayate.rtl.contract.latencies import BANK_LATENCY
from hayate.rtl.contract.words import DATA_ADDRESS
from hayate.rtl.ring.flit import flit_stream, pack
from hayate.rtl.tile.queues import BaseEntry, LaneState

FIFO_DEPTH = 8  # covers the way from a request to the room that its flit leaves behind: one word per cycle is sustained

_DELAY = 1 + BANK_LATENCY  # from a request, registered by the parent, to the word


class Fetcher(wiring.Component):
    """Sends each row whose global index a position names, if that row is here: DATA flits, then one SYNC.

    Row r lies in bank (r - row0) % banks, `words` words from base + ((r - row0) // banks) * words. Word w belongs at
    place stage + w of the stage buffers, where `stage` is a multiple of M, and a flit carries M of them: {DATA, lo 0,
    hi count - 1, mask = all positions that name the row, addr = 2**(STAGE_BIT) + place of the first}. Behind the last
    word of a row the rest of a flit is undefined. A row is sent for the first position that names it. There is a SYNC,
    which carries the channel, for every position whose row is here, behind its words.

    A row that is not here costs 3 cycles, one that has been sent 4, one that is here 6 + words. Requests stop while
    FIFO_DEPTH words wait or are under way, so no word is ever lost. `ending` comes with the last request: the banks are
    free from the next cycle on, flits may still follow.

    A row of two words that is here, then the SYNC, for a pass of one position and M = 1::

        cycle     0     1     2     3     4     5     6     7     8     9     10    11    12    13    14
        start     ~~~~~~____________________________________________________________________________________
        active    ______~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~____________________________________
        state     IDLE..PICK..SUBTR.TEST..SCALE.PLACE.SEND..............IDLE................................
        read      ____________________________________~~~~~~~~~~~~__________________________________________
        ending    ________________________________________________~~~~~~____________________________________
        tx.valid  __________________________________________________________________~~~~~~~~~~~~~~~~~~______
        busy      ______~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~______

    Parameters
    ----------
    banks, lanes.

    Members
    -------
    start, entry: In. Begin (when not `active`, or with `ending`). positions: In(4). lanes_state: In. last_tile: In(8),
        tiles less 1.
    active, ending: Out. busy: Out, active or flits still to go.
    read, read_mask, addr: Out. Request for a word, combinational from registers; the parent registers it in front of
        the banks.
    words: In, `banks` x 64. What the banks show 1 + BANK_LATENCY cycles later.
    tx: Out stream of flits.
    """

    def __init__(self, banks: int, lanes: int):
        self.banks, self.lanes = banks, lanes
        super().__init__(
            {
                "start": In(1),
                "entry": In(BaseEntry),
                "positions": In(4),
                "lanes_state": In(LaneState).array(lanes),
                "last_tile": In(8),
                "active": Out(1),
                "ending": Out(1),
                "busy": Out(1),
                "read": Out(1),
                "read_mask": Out(banks),
                "addr": Out(BANK_BITS),
                "words": In(data.ArrayLayout(64, banks)),
                "tx": Out(flit_stream(lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits = ceil_log2(self.banks)
        lanes, depth = self.lanes, max(FIFO_DEPTH // self.lanes, 4)
        place_bits = ceil_log2(lanes)  # of a word in its flit
        head = {"sync": 1, "chan": CHANNEL_BITS, "mask": lanes, "word": STAGE_BITS}
        tag_layout = data.StructLayout({**head, "bank": max(bits, 1), "full": 1})
        sent_layout = data.StructLayout({**head, "data": 64 * lanes})

        entry = Signal(BaseEntry)
        lane = Signal(range(max(self.lanes, 2)))
        index = Signal(GLOBAL_ROW_BITS)
        distance = Signal(GLOBAL_ROW_BITS + 2)  # of the row from the first one here
        place = distance[:LOCAL_ROW_BITS]
        product = Signal(BANK_BITS)
        left = Signal(ROW_BITS)
        tag = Signal(tag_layout)
        here = Signal()
        requested = Signal()
        last_word = Signal()
        same = Signal(lanes, init=1)  # positions that name the row in hand
        credits = Signal(range(depth + 1), init=depth)
        may_ask = Signal(init=1)  # credits are left; who reads the banks next waits for that
        last_lane = (lane + 1) == self.positions

        m.d.comb += [
            product.eq(place[bits:] * entry.words),
            tag.chan.eq(entry.chan),
            tag.mask.eq(same),
            tag.full.eq(tag.sync | last_word | (tag.word[:place_bits] == lanes - 1)),
            last_word.eq(left == 1),
            tag.bank.eq(place[:bits] if bits else 0),
            self.read.eq(requested & ~tag.sync),
            self.read_mask.eq(Const(1) << (place[:bits] if bits else 0)),
        ]

        # Row of each position, and those whose rows have been sent.
        rows = [Signal(GLOBAL_ROW_BITS, name=f"row_{k}") for k in range(lanes)]
        for k, state in enumerate(self.lanes_state):
            with m.Switch(entry.index):
                with m.Case(FetchIndex.POS_HI):
                    m.d.comb += rows[k].eq(state.position >> ROPE_FINE_BITS)
                with m.Case(FetchIndex.POS_LO):
                    m.d.comb += rows[k].eq(state.position[:ROPE_FINE_BITS][::-1])
                with m.Default():
                    m.d.comb += rows[k].eq(state.token)
        served = Signal(lanes)
        has_been = served.bit_select(lane, 1) if lanes > 1 else Const(0, 1)

        def next_position():
            with m.If(last_lane):
                with m.If(self.start):
                    m.next = "PICK"
                with m.Else():
                    m.next = "IDLE"
            with m.Else():
                m.d.sync += lane.eq(lane + 1)
                m.next = "PICK"

        with m.FSM(name="fetch") as fsm:
            with m.State("IDLE"):
                with m.If(self.start):
                    m.next = "PICK"
            with m.State("PICK"):
                for k, row in enumerate(rows):
                    with m.If(lane == k):
                        m.d.sync += index.eq(row)
                m.next = "SUBTRACT"
            with m.State("SUBTRACT"):
                m.d.sync += distance.eq(index - entry.row0)
                if lanes > 1:
                    m.d.sync += same.eq(Cat((row == index) & (self.positions > k) for k, row in enumerate(rows)))
                m.next = "TEST"
            with m.State("TEST"):
                with m.If(here & has_been):
                    m.d.sync += tag.sync.eq(1)
                    m.next = "SEND"
                with m.Elif(here):
                    m.d.sync += served.eq(served | same)
                    m.next = "SCALE"
                with m.Else():
                    next_position()
            with m.State("SCALE"):
                m.d.sync += self.addr.eq(product)
                m.next = "PLACE"
            with m.State("PLACE"):
                m.d.sync += [
                    self.addr.eq(self.addr + entry.base),
                    tag.word.eq(entry.stage),
                    left.eq(entry.words),
                    tag.sync.eq(entry.words == 0),
                ]
                m.next = "SEND"
            with m.State("SEND"):
                with m.If(requested):
                    m.d.sync += [
                        self.addr.eq(self.addr + 1),
                        tag.word.eq(tag.word + 1),
                        left.eq(left - 1),
                        tag.sync.eq(last_word),
                    ]
                    with m.If(tag.sync):
                        next_position()
        # Not from within the states: expressions have a value from the start in every simulator.
        m.d.comb += [
            here.eq(~distance[-1] & (distance[:-1] < entry.rows)),
            requested.eq(fsm.ongoing("SEND") & may_ask),
            self.ending.eq(last_lane & ((fsm.ongoing("TEST") & ~here) | (requested & tag.sync))),
        ]
        with m.If(self.ending):
            m.d.sync += self.active.eq(0)
        with m.If(self.start):
            m.d.sync += [entry.eq(self.entry), lane.eq(0), served.eq(0), self.active.eq(1)]

        # Requests under way, then the FIFO in front of the ring.
        under_way = [Signal(tag_layout, name=f"s{i + 1}_tag", reset_less=True) for i in range(_DELAY)]
        valid = Signal(_DELAY)
        m.d.sync += valid.eq(Cat(requested, valid[:-1]))
        for i, (older, younger) in enumerate(zip(under_way, [tag, *under_way[:-1]])):
            with m.If(requested if i == 0 else valid[i - 1]):
                m.d.sync += older.eq(younger)

        # Words of a flit gather until it is full.
        m.submodules.fifo = queue = fifo.SyncFIFO(width=sent_layout.size, depth=depth)
        arrived = Signal(sent_layout)
        sent = Signal(sent_layout)
        now = under_way[-1]
        word = self.words[now.bank]
        for w in range(lanes):
            here_now = now.word[:place_bits] == w
            gathered = Signal(64, name=f"gathered_{w}", reset_less=True)
            with m.If(valid[-1] & here_now):
                m.d.sync += gathered.eq(word)
            m.d.comb += arrived.data.word_select(w, 64).eq(Mux(here_now, word, gathered))
        m.d.comb += [
            arrived.sync.eq(now.sync),
            arrived.chan.eq(now.chan),
            arrived.mask.eq(now.mask),
            arrived.word.eq(Cat(Const(0, place_bits), now.word[place_bits:])),
            queue.w_en.eq(valid[-1] & now.full),
            queue.w_data.eq(arrived),
            sent.as_value().eq(queue.r_data),
            self.tx.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.tx.ready),
            self.tx.payload.lo.eq(0),
            self.tx.payload.hi.eq(self.last_tile),
            self.busy.eq(self.active | (valid != 0) | queue.r_rdy),
        ]
        address = pack(DATA_ADDRESS, word=sent.word, stage=Const(1, 1))
        m.d.comb += [
            self.tx.payload.kind.eq(Mux(sent.sync, FlitKind.SYNC, FlitKind.DATA)),
            self.tx.payload.chan.eq(Mux(sent.sync, sent.chan, 0)),
            self.tx.payload.mask.eq(Mux(sent.sync, 0, sent.mask)),
            self.tx.payload.addr.eq(Mux(sent.sync, 0, address)),
            self.tx.payload.data.eq(Mux(sent.sync, 0, sent.data)),
        ]
        taken = Signal()
        fills = Signal()
        m.d.comb += [taken.eq(queue.r_rdy & queue.r_en), fills.eq(requested & tag.full)]
        with m.If(fills != taken):
            m.d.sync += [credits.eq(Mux(fills, credits - 1, credits + 1)), may_ask.eq(~fills | (credits != 1))]
        return m
