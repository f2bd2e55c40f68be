"""Which KV slots a vector may see: the text up to its position, and its ancestors in the pass."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.flits import LANE_BITS, STOP_BITS
from hayate.rtl.contract.isa import LOCAL_ROW_BITS, LOOP_BITS, NEVER
from hayate.rtl.contract.words import POSITION_BITS, SLOT_BITS
from hayate.rtl.memory.parity import ParityMemory, slices
from hayate.rtl.tile.divider import Divider
from hayate.rtl.tile.interfaces import apart_log2
from hayate.rtl.tile.queues import GroupState, LaneState, PassState, TileState

_Request = data.StructLayout({"pos": POSITION_BITS, "slot": SLOT_BITS, "lane": LANE_BITS, "commit": 1, "second": 1})
QUAD_BITS = SLOT_BITS - 2


class SlotMask(wiring.Component):
    """Positions of the slots that this tile holds, in local order, and whether `lanes` vectors at once may see one of
    them.

    Slots come in quads striped over the tiles of a group (`slot_home`): the table notes those of this tile's, in local
    order. A `note` says that a KV slot is one of lane `lane`, and from then on not part of the text, or with `commit`
    that it belongs to the text, at position `pos`. Notes take effect in order, QUAD_BITS + 3 cycles each, for the
    division by the number of tiles; two per lane can wait, the one at work included, and `busy` is high until the last
    is done.

    A `note` with `second` says that lane `lane` of a pass of the second model is at position `slot`, where a slot is a
    position and is striped over groups[1]. It changes nothing in the table.

    A read's answer comes one cycle later and holds: `hidden[k]` is high unless the slot belongs to the text at
    `position[k]` or before, or is that of a lane in `ancestors[k]`. While `in_second`, of the rows of the second
    model's cache, unless its slot is not above one of a lane in `ancestors[k]`. Reading a slot while notes are at work
    gives either. `parity` is high two cycles after a read of a word that does not match its parity bit. Reset forgets
    what waits and the lanes' slots, not the table. `clear` takes a slot out of the text, by its local order; where
    memories do not start as zeros every one is cleared first. No note may be at work then.

    A note that puts a slot into the text, while that slot's row is read over and over::

        cycle     0   1   2   3   : 14  15  16  17  18  19  20
        note      ~~~~____________: ____________________________
        busy      ____~~~~~~~~~~~~: ~~~~~~~~~~~~________________
        start     ____~~~~________: ____________________________
        dividing  ________~~~~~~~~: ~~~~~~~~~~~~________________
        finish    ________________: ________~~~~________________
        read      ~~~~~~~~~~~~~~~~: ~~~~~~~~~~~~~~~~~~~~~~~~~~~~
        hidden    ~~~~~~~~~~~~~~~~: ~~~~~~~~~~~~~~~~____________

    Parameters
    ----------
    lanes: vectors compared, and positions of a pass. max_slots: KV slots of the package, the most that one tile can
        hold.
    inject: adds the input `flip`, XORed into what is stored (parity bit on top), for tests.

    Members
    -------
    note, commit, second, lane, slot, pos: In; pos is not looked at without `commit`, lane not with it. Never
        both.
    clear, clear_row: In.
    groups: In, 2 x GroupState, of the two models, constant while anything waits.
    in_second: In, constant while anything is read. read, row: In. position: In, `lanes` x 16 bits. ancestors: In,
        `lanes` x `lanes` bits.
    hidden: Out(lanes).
    busy: Out. parity: Out, a strobe.
    """

    def __init__(self, lanes: int, max_slots: int, *, inject: bool = False):
        if max_slots < 4 or max_slots % 4:
            raise ValueError(f"KV slots come in quads, not {max_slots}")
        self.lanes, self.max_slots, self._inject = lanes, max_slots, inject
        members = {
            "note": In(1),
            "commit": In(1),
            "lane": In(LANE_BITS),
            "slot": In(SLOT_BITS),
            "pos": In(POSITION_BITS),
            "second": In(1),
            "clear": In(1),
            "clear_row": In(ceil_log2(max_slots)),
            "groups": In(GroupState).array(2),
            "in_second": In(1),
            "read": In(1),
            "row": In(ceil_log2(max_slots)),
            "position": In(POSITION_BITS).array(lanes),
            "ancestors": In(lanes).array(lanes),
            "hidden": Out(lanes),
            "busy": Out(1),
            "parity": Out(1),
        }
        if inject:
            members["flip"] = In(POSITION_BITS + slices(POSITION_BITS))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        lanes = range(self.lanes)
        m.submodules.waiting = waiting = fifo.SyncFIFO(width=_Request.size, depth=2 * self.lanes)
        m.submodules.divider = divider = Divider(QUAD_BITS, STOP_BITS)
        m.submodules.table = table = ParityMemory(POSITION_BITS, self.max_slots, inject=self._inject)
        request = Signal(_Request)
        group = Signal(GroupState)
        m.d.comb += [
            group.eq(Mux(request.second, self.groups[1].as_value(), self.groups[0].as_value())),
            waiting.w_en.eq(self.note),
            waiting.w_data.eq(Cat(self.pos, self.slot, self.lane, self.commit, self.second)),
            request.eq(waiting.r_data),
            divider.numerator.eq(request.slot[2:]),
            divider.denominator.eq(group.size),
        ]

        dividing = Signal()
        m.d.comb += [divider.start.eq(waiting.r_rdy & ~dividing), self.busy.eq(waiting.r_rdy)]
        with m.If(divider.start):
            m.d.sync += dividing.eq(1)
        finish = Signal()
        here = Signal()
        place = Signal.like(self.row)
        m.d.comb += [
            finish.eq(dividing & divider.done),
            waiting.r_en.eq(finish),
            here.eq(divider.remainder == group.index),
            place.eq(Cat(request.slot[:2], divider.quotient)),
        ]
        with m.If(finish):
            m.d.sync += dividing.eq(0)
        m.d.comb += [
            table.wr_en.eq(finish & here & ~request.second | self.clear),
            table.wr_addr.eq(Mux(self.clear, self.clear_row, place)),
            table.wr_data.eq(Mux(request.commit & ~self.clear, request.pos, NEVER)),
            table.rd_en.eq(self.read & ~self.in_second),
            table.rd_addr.eq(self.row),
        ]
        if self._inject:
            m.d.comb += table.flip.eq(self.flip)

        # Slots of the pass, in registers: a lane's is compared while the table is read. Rows below `bound` hold slots
        # up to the lane's own: where that is on another tile, the row of its quad here has all of them or none, by the
        # two tiles' order in the group.
        of_lane = Signal(self.lanes)
        before = Signal(3)
        m.d.comb += before.eq(Mux(here, request.slot[:2] + 1, Mux(group.index < divider.remainder, 4, 0)))
        for k in lanes:
            mine = Signal(name=f"mine_{k}")
            row = Signal.like(place, name=f"row_{k}")
            bound = Signal(len(place) + 1, name=f"bound_{k}")
            with m.If(finish & ~request.commit & (request.lane == k)):
                m.d.sync += [mine.eq(here), row.eq(place), bound.eq(Cat(Const(0, 2), divider.quotient) + before)]
            with m.If(self.read):
                m.d.sync += of_lane[k].eq(Mux(self.in_second, self.row < bound, mine & (row == self.row)))
        in_text = Signal(self.lanes)
        m.d.comb += [
            *(
                in_text[k].eq((table.rd_data != NEVER) & (table.rd_data <= self.position[k]) & ~self.in_second)
                for k in lanes
            ),
            *(self.hidden[k].eq(~(in_text[k] | (of_lane & self.ancestors[k]).any())) for k in lanes),
        ]
        m.d.comb += self.parity.eq(table.error)
        return m


class LaneMap(wiring.Component):
    """What each lane of an instruction stands for.

    A lane is a position of the pass, or with `vec` the attention vector v = round * lanes + lane: query head v >> p of
    the group, position v % 2**p, see `apart_log2`. It is active when the pass has that position and the group that
    head. `look` takes the instruction; `active` holds from the next cycle on. `serve`, later than `look`, is when
    elements of earlier
    instructions are through: `serving` (the same as `active`), `position` and `ancestors` (those of the position that
    the lane belongs to) hold from the next cycle on, `limit` from the one after (the instruction must be constant until
    then).
    Of n slot rows, whole quads, those below `limit` hold slots below the high-water mark.

    Parameters
    ----------
    lanes: M, a power of two.

    Members
    -------
    look, serve: In. vec, round, n: In, of the instruction. pass_state, lanes_state, tile: In.
    active, serving: Out(lanes). position: Out, `lanes` x 16 bits. ancestors: Out, `lanes` x `lanes` bits. limit: Out.
    """

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(
            {
                "look": In(1),
                "serve": In(1),
                "vec": In(1),
                "round": In(LOOP_BITS),
                "n": In(LOCAL_ROW_BITS),
                "pass_state": In(PassState),
                "lanes_state": In(LaneState).array(lanes),
                "tile": In(TileState),
                "active": Out(lanes),
                "serving": Out(lanes),
                "limit": Out(LOCAL_ROW_BITS),
                "position": Out(POSITION_BITS).array(lanes),
                "ancestors": Out(lanes).array(lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        tile, hwm, shift = self.tile, self.pass_state.hwm, ceil_log2(self.lanes)
        apart = Signal(range(max(shift, 1) + 1))
        m.d.comb += apart.eq(apart_log2(self.pass_state.positions, self.lanes))
        begun = Signal()
        last_quad = Signal(SLOT_BITS)
        m.d.sync += begun.eq(self.serve)
        with m.If(self.serve):
            m.d.sync += self.serving.eq(self.active)
        with m.If(self.look):
            m.d.sync += last_quad.eq(((self.n >> 2) - 1)[:QUAD_BITS] * tile.group_size)
        with m.If(begun):
            partial = (hwm[:2] != 0) & (last_quad + tile.group_index == hwm[2:])
            m.d.sync += self.limit.eq(Mux(partial, self.n - 4 + hwm[:2], self.n))
        for lane in range(self.lanes):
            vector = Signal(LOOP_BITS + shift, name=f"vector_{lane}")
            index = Signal(LANE_BITS, name=f"index_{lane}")
            head = Signal(LOOP_BITS + shift, name=f"head_{lane}")
            chosen = Signal(LANE_BITS, name=f"chosen_{lane}")
            m.d.comb += [
                vector.eq(Cat(Const(lane, shift), self.round)),
                head.eq(vector >> apart),
                index.eq(Mux(self.vec, lane & ~(Const(-1, shift) << apart), lane) if shift else 0),
            ]
            with m.If(self.look):
                m.d.sync += [
                    self.active[lane].eq((index < self.pass_state.positions) & (~self.vec | (head < tile.group))),
                    chosen.eq(index),
                ]
            with m.If(self.serve):
                with m.Switch(chosen):
                    for p in range(self.lanes):
                        with m.Case(p):
                            m.d.sync += [
                                self.position[lane].eq(self.lanes_state[p].position),
                                self.ancestors[lane].eq(self.lanes_state[p].ancestors),
                            ]
        return m
