"""Writes of the banks: staged K and V vectors of a pass, and words that the host loads."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.isa import ACT_BITS, BANK_BITS, ROW_BITS
from hayate.rtl.contract.latencies import BANK_LATENCY, KV_PARALLEL_BANKS
from hayate.rtl.tile.matrix.slot_homes import SlotHomes
from hayate.rtl.tile.queues import BaseEntry, LaneState, TileState

#: Cycles from a request (`act_read`, `read`) to its `write`: the request's register, the bank's latency, the register
#: `word`.
WRITE_DELAY = 1 + BANK_LATENCY + 1


class KvWriter(wiring.Component):
    """Moves the K or V of each position of a pass from the activation buffer to its place in the banks.

    K (`value` = 0): a position whose slot this tile holds is a row of `words` words in one bank, written one word per
    cycle; other positions cost one cycle. V (`value` = 1): column `slot` of a matrix with `rows` rows; each turn reads,
    merges and writes min(4, banks) banks in parallel, in two bank cycles that alternate with those of the turns around
    it; nothing else comes in between, since the banks are this component's until `ending`. `ending` comes when the last
    write has been handed over; an access requested in the cycle after it sees all writes.

    Cycles of an entry with P positions (`active` high). K: 3 + words for each slot that is here, 1 for each other, then
    5 (less 1 for each position since the last one that is here, but at least 1). V: P x (4 + 2 x turns) + 4, with turns
    = rows / min(4, banks). A position whose home `SlotHomes` has yet to compute is waited for.

    Requests are combinational from registers; the parent registers them in front of the memories. The activation word
    then comes at `acts` and the old words at `old`, 1 + BANK_LATENCY cycles after the request.

    K of two words, for a pass of one position::

        cycle     0     1     2     3     4     5     6     7     8     9     10    11
        start     ~~~~~~__________________________________________________________________
        active    ______~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~______
        state     IDLE..PICK..SCALE.PLACE.MOVE........TAIL..........................IDLE..
        act_read  ________________________~~~~~~~~~~~~____________________________________
        read      ________________________________________________________________________
        write     ______________________________________________________~~~~~~~~~~~~______
        ending    ____________________________________________________________~~~~~~______

    V of eight rows in four banks: two turns, each a cycle that reads and one that a turn before it writes in::

        cycle     0     1     2     3     4     5     6     7     8     9     10    11    12    13
        start     ~~~~~~______________________________________________________________________________
        active    ______~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~______
        state     IDLE..PICK..SCALE.PLACE.ALIGN.MOVE....................TAIL....................IDLE..
        act_read  ______________________________~~~~~~______~~~~~~____________________________________
        read      ______________________________~~~~~~______~~~~~~____________________________________
        write     ____________________________________________________________~~~~~~______~~~~~~______
        ending    ________________________________________________________________________~~~~~~______

    Parameters
    ----------
    banks, lanes. max_slots: KV slots of the package.

    Members
    -------
    start, entry: In. Begin (when not `active`, or with `ending`). positions: In(4), P. lanes_state, tile: In, the pass
        and the tile.
    active, ending: Out.
    act_read, act: Out. Request for the activation words at address `act`.
    read, read_mask, addr: Out. Request for the old words of these banks, at `addr` (V only).
    acts: In, `lanes` x 64. old: In, `banks` x 64.
    load, load_bank, load_addr, load_data: In. Word from the host for one bank; `write` follows in the next cycle. Never
        while `active`. every_bank: In, with `load`: for all of them.
    write, write_mask, write_addr: Out. Banks to write, and where, WRITE_DELAY cycles after the request.
    write_data: Out, `banks` x 64. The merged words, combinational from `old`.
    """

    def __init__(self, banks: int, lanes: int, max_slots: int):
        self.banks, self.lanes, self.max_slots = banks, lanes, max_slots
        super().__init__(
            {
                "start": In(1),
                "entry": In(BaseEntry),
                "positions": In(4),
                "lanes_state": In(LaneState).array(lanes),
                "tile": In(TileState),
                "active": Out(1),
                "ending": Out(1),
                "act_read": Out(1),
                "act": Out(ACT_BITS),
                "read": Out(1),
                "read_mask": Out(banks),
                "addr": Out(BANK_BITS),
                "acts": In(data.ArrayLayout(64, lanes)),
                "old": In(data.ArrayLayout(64, banks)),
                "load": In(1),
                "load_bank": In(5),
                "every_bank": In(1),
                "load_addr": In(BANK_BITS),
                "load_data": In(64),
                "write": Out(1),
                "write_mask": Out(banks),
                "write_addr": Out(BANK_BITS),
                "write_data": Out(data.ArrayLayout(64, banks)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.homes = homes = SlotHomes(self.lanes, self.max_slots)
        m.d.comb += [homes.tile.eq(self.tile), *(a.eq(b) for a, b in zip(homes.lanes_state, self.lanes_state))]

        request, requested = self._walk(m, homes)
        self._merge(m, request, requested)
        return m

    def _request_layout(self):
        return data.StructLayout(
            {
                "addr": BANK_BITS,
                "mask": self.banks,
                "value": 1,
                "field": 2,
                # which elements of the word, where there are fewer banks than elements
                "turn": ceil_log2(max(4 // self.banks, 2)),
                "lane": ceil_log2(max(self.lanes, 2)),
            }
        )

    def _walk(self, m, homes):
        """Positions, and the words of each; returns (request of this cycle, its strobe)."""
        bits = ceil_log2(self.banks)
        entry = Signal(BaseEntry)
        slot = Signal(homes.slot_bits)
        lane = Signal(range(max(self.lanes, 2)))
        last_lane = (lane + 1) == self.positions

        row = Signal(16)  # row group of the slot
        product = Signal(BANK_BITS)
        offset = Signal(BANK_BITS)
        left = Signal(max(14, ROW_BITS))
        merging = Signal()  # second cycle of a turn: the bank cycle of an earlier turn's write
        finished = Signal()  # no request is under way
        request = Signal(self._request_layout())
        requested = Signal()
        turns_per_quad = max(4 // self.banks, 1)
        quads_per_row = max(self.banks // 4, 1)
        turn = request.turn
        quad_place = Signal(range(max(quads_per_row, 2)))
        value_mask = Signal(self.banks)
        m.d.comb += value_mask.eq(((1 << min(KV_PARALLEL_BANKS, self.banks)) - 1) << (quad_place << 2))
        row_mask = Signal(self.banks)

        m.d.comb += [
            product.eq(row * entry.words),
            self.act_read.eq(requested),
            self.read.eq(requested & entry.value),
            self.read_mask.eq(value_mask),
            self.addr.eq(request.addr),
            request.mask.eq(Mux(entry.value, value_mask, row_mask)),
            request.value.eq(entry.value),
            request.field.eq(slot[:2]),
            request.lane.eq(lane),
        ]

        def next_position():
            with m.If(last_lane):
                m.next = "TAIL"
            with m.Else():
                m.d.sync += lane.eq(lane + 1)
                m.next = "PICK"

        with m.If(self.start):
            m.d.sync += [entry.eq(self.entry), lane.eq(0), self.active.eq(1)]
        with m.FSM(name="kv_write") as fsm:
            with m.State("IDLE"):
                with m.If(self.start):
                    m.next = "PICK"
            with m.State("PICK"):
                local = Signal(homes.slot_bits)
                m.d.comb += local.eq(homes.row[lane])
                for k in range(self.lanes):
                    with m.If(lane == k):
                        m.d.sync += slot.eq(self.lanes_state[k].slot)
                m.d.sync += [row.eq(local >> bits), row_mask.eq(1 << local[:bits] if bits else 1)]
                with m.If(entry.value):
                    m.next = "SCALE"
                with m.Elif(homes.fresh.bit_select(lane, 1)):
                    with m.If(homes.mine.bit_select(lane, 1)):
                        m.next = "SCALE"
                    with m.Else():
                        next_position()
            with m.State("SCALE"):
                m.d.sync += offset.eq(Mux(entry.value, slot >> 2, product))
                m.next = "PLACE"
            with m.State("PLACE"):
                m.d.sync += [
                    request.addr.eq(entry.base + offset),
                    self.act.eq(entry.act),
                    turn.eq(0),
                    quad_place.eq(0),
                    merging.eq(0),
                    left.eq(Mux(entry.value, entry.rows >> 2, entry.words)),
                ]
                with m.If(Mux(entry.value, entry.rows >> 2, entry.words) == 0):
                    next_position()
                with m.Elif(entry.value):
                    m.next = "ALIGN"
                with m.Else():
                    m.next = "MOVE"
            with m.State(
                "ALIGN"
            ):  # makes a position an even number of cycles, so that its reads meet no write of the one before
                m.next = "MOVE"
            with m.State("MOVE"):
                m.d.sync += merging.eq(entry.value & ~merging)
                step = Signal()  # on to the next word of the activation buffer
                with m.If(~entry.value):
                    m.d.comb += step.eq(1)
                    m.d.sync += request.addr.eq(request.addr + 1)
                with m.Elif(merging):
                    m.d.comb += step.eq(turn == turns_per_quad - 1)
                    m.d.sync += [turn.eq(Mux(step, 0, turn + 1)), quad_place.eq(quad_place + 1)]
                    with m.If(quad_place == quads_per_row - 1):
                        m.d.sync += [quad_place.eq(0), request.addr.eq(request.addr + entry.words)]
                with m.If(step):
                    m.d.sync += [self.act.eq(self.act + 1), left.eq(left - 1)]
                    with m.If(left == 1):
                        next_position()
            with m.State("TAIL"):
                with m.If(finished):
                    m.next = "IDLE"
                    with m.If(self.start):
                        m.next = "PICK"
                    with m.Else():
                        m.d.sync += self.active.eq(0)

        # Not from within the states: expressions have a value from the start in every simulator.
        m.d.comb += [requested.eq(fsm.ongoing("MOVE") & ~merging), self.ending.eq(fsm.ongoing("TAIL") & finished)]

        # Requests under way, youngest first; the last one is being written.
        under_way = [
            Signal(self._request_layout(), name=f"s{i + 1}_request", reset_less=True) for i in range(WRITE_DELAY)
        ]
        valid = Signal(WRITE_DELAY)
        m.d.sync += valid.eq(Cat(requested, valid[:-1]))
        m.d.comb += finished.eq(valid[:-1] == 0)
        m.d.sync += under_way[0].eq(request)
        for i in range(1, WRITE_DELAY):
            with m.If(valid[i - 1]):
                m.d.sync += under_way[i].eq(under_way[i - 1])
        with m.If(self.load):
            m.d.sync += valid[-1].eq(1)
            m.d.sync += [
                under_way[-1].addr.eq(self.load_addr),
                under_way[-1].value.eq(0),
                under_way[-1].mask.eq(1 << self.load_bank | self.every_bank.replicate(self.banks)),
            ]
        m.d.comb += self.write.eq(valid[-1])
        return under_way, valid

    def _merge(self, m, under_way, valid):
        """The word of the position's lane, one cycle before it is written, and what becomes of the old words."""
        now = under_way[-1]
        word = Signal(64, reset_less=True)
        with m.If(self.load):
            m.d.sync += word.eq(self.load_data)
        with m.Elif(valid[-2]):
            m.d.sync += word.eq(self.acts[under_way[-2].lane])
        m.d.comb += [self.write_mask.eq(now.mask), self.write_addr.eq(now.addr)]
        keep = Signal(4)  # 16-bit fields that keep the old value
        m.d.comb += keep.eq(Mux(now.value, ~(1 << now.field), 0))
        for b in range(self.banks):
            if self.banks >= 4:
                element = word.word_select(b % 4, 16)
            else:
                element = word.word_select((now.turn * self.banks + b)[:2], 16)
            for f in range(4):
                place = slice(16 * f, 16 * f + 16)
                new = Mux(now.value, element, word[place])
                m.d.comb += self.write_data[b][place].eq(Mux(keep[f], self.old[b][place], new))
