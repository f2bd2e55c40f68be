"""Rows for everyone: reads the embedding or table rows that a pass asks for and this tile holds, and sends them round
the ring.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.flits import LANE_BITS, FlitKind
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
from hayate.rtl.contract.words import DATA_ADDRESS
from hayate.rtl.memory.bank import BANK_LATENCY
from hayate.rtl.ring.flit import FLIT_STREAM, pack
from hayate.rtl.tile.queues import BaseEntry, LaneState

FIFO_DEPTH = 8  # covers the way from a request to the room that its flit leaves behind: one word per cycle is sustained

_DELAY = 1 + BANK_LATENCY  # from a request, registered by the parent, to the word


class Fetcher(wiring.Component):
    """Sends, for each position, the row whose global index the position names, if that row is here: DATA flits, then
    one SYNC.

    Row r lies in bank (r - row0) % banks, `words` words from base + ((r - row0) // banks) * words. Word w becomes
    {DATA, lo 0, hi count - 1, lane = position, addr = 2**STAGE_BIT + stage + w}; the SYNC carries the channel. A row
    that is not here costs 3 cycles, one that is 6 + words while `tx` takes a flit every cycle. Requests stop while
    FIFO_DEPTH flits wait or are under way, so no word is ever lost. `ending` comes with the last request: the banks are
    free from the next cycle on, flits may still follow.

    A row of two words that is here, then the SYNC, for a pass of one position::

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
                "tx": Out(FLIT_STREAM),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits = ceil_log2(self.banks)
        head = {"sync": 1, "chan": CHANNEL_BITS, "lane": LANE_BITS, "addr": STAGE_BITS}
        tag_layout = data.StructLayout({**head, "bank": max(bits, 1)})
        sent_layout = data.StructLayout({**head, "data": 64})

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
        credits = Signal(range(FIFO_DEPTH + 1), init=FIFO_DEPTH)
        may_ask = Signal(init=1)  # credits are left; who reads the banks next waits for that
        last_lane = (lane + 1) == self.positions

        m.d.comb += [
            product.eq(place[bits:] * entry.words),
            tag.chan.eq(entry.chan),
            tag.lane.eq(lane),
            tag.bank.eq(place[:bits] if bits else 0),
            self.read.eq(requested & ~tag.sync),
            self.read_mask.eq(Const(1) << (place[:bits] if bits else 0)),
        ]

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
                for k in range(self.lanes):
                    with m.If(lane == k):
                        state = self.lanes_state[k]
                        with m.Switch(entry.index):
                            with m.Case(FetchIndex.POS_HI):
                                m.d.sync += index.eq(state.position >> ROPE_FINE_BITS)
                            with m.Case(FetchIndex.POS_LO):
                                m.d.sync += index.eq(state.position[:ROPE_FINE_BITS])
                            with m.Default():
                                m.d.sync += index.eq(state.token)
                m.next = "SUBTRACT"
            with m.State("SUBTRACT"):
                m.d.sync += distance.eq(index - entry.row0)
                m.next = "TEST"
            with m.State("TEST"):
                with m.If(here):
                    m.next = "SCALE"
                with m.Else():
                    next_position()
            with m.State("SCALE"):
                m.d.sync += self.addr.eq(product)
                m.next = "PLACE"
            with m.State("PLACE"):
                m.d.sync += [
                    self.addr.eq(self.addr + entry.base),
                    tag.addr.eq(entry.stage),
                    left.eq(entry.words),
                    tag.sync.eq(entry.words == 0),
                ]
                m.next = "SEND"
            with m.State("SEND"):
                with m.If(requested):
                    m.d.sync += [
                        self.addr.eq(self.addr + 1),
                        tag.addr.eq(tag.addr + 1),
                        left.eq(left - 1),
                        tag.sync.eq(left == 1),
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
            m.d.sync += [entry.eq(self.entry), lane.eq(0), self.active.eq(1)]

        # Requests under way, then the FIFO in front of the ring.
        under_way = [Signal(tag_layout, name=f"s{i + 1}_tag", reset_less=True) for i in range(_DELAY)]
        valid = Signal(_DELAY)
        m.d.sync += valid.eq(Cat(requested, valid[:-1]))
        for i, (older, younger) in enumerate(zip(under_way, [tag, *under_way[:-1]])):
            with m.If(requested if i == 0 else valid[i - 1]):
                m.d.sync += older.eq(younger)

        m.submodules.fifo = queue = fifo.SyncFIFO(width=sent_layout.size, depth=FIFO_DEPTH)
        arrived = Signal(sent_layout)
        sent = Signal(sent_layout)
        now = under_way[-1]
        m.d.comb += [
            arrived.sync.eq(now.sync),
            arrived.chan.eq(now.chan),
            arrived.lane.eq(now.lane),
            arrived.addr.eq(now.addr),
            arrived.data.eq(self.words[now.bank]),
            queue.w_en.eq(valid[-1]),
            queue.w_data.eq(arrived),
            sent.as_value().eq(queue.r_data),
            self.tx.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.tx.ready),
            self.tx.payload.lo.eq(0),
            self.tx.payload.hi.eq(self.last_tile),
            self.busy.eq(self.active | (valid != 0) | queue.r_rdy),
        ]
        address = pack(DATA_ADDRESS, word=sent.addr, stage=Const(1, 1))
        m.d.comb += [
            self.tx.payload.kind.eq(Mux(sent.sync, FlitKind.SYNC, FlitKind.DATA)),
            self.tx.payload.chan.eq(Mux(sent.sync, sent.chan, 0)),
            self.tx.payload.lane.eq(Mux(sent.sync, 0, sent.lane)),
            self.tx.payload.addr.eq(Mux(sent.sync, 0, address)),
            self.tx.payload.data.eq(Mux(sent.sync, 0, sent.data)),
        ]
        taken = Signal()
        m.d.comb += taken.eq(queue.r_rdy & queue.r_en)
        with m.If(requested != taken):
            m.d.sync += [credits.eq(Mux(requested, credits - 1, credits + 1)), may_ask.eq(~requested | (credits != 1))]
        return m
