"""Where the KV slots of a pass live: the division that stripes quads of slots over the tiles of a group, kept for each
position.
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.tile.divider import Divider
from hayate.rtl.tile.queues import LaneState, TileState


class SlotHomes(wiring.Component):
    """Computes `layout.slot_home` of each position's slot in the background, whenever the slot or the group changes.

    One divider serves all positions in turn. After a change all positions are `fresh` within (lanes + 1) x (quad bits +
    3) + 2 cycles, where a slot's number has quad bits + 2 bits; nothing toggles from then on.

    The slot of one of two positions changes, where a slot has three bits::

        cycle         0      1      2      3      4      5      6      7
        state         LOOK...DIVIDE........LOOK...............................
        divider.done  ______________~~~~~~~___________________________________
        fresh         1....................3..................................

    Parameters
    ----------
    lanes: positions. max_slots: KV slots of the package; slots from there on are outside the contract.

    Members
    -------
    lanes_state, tile: In. Any change is noticed.
    fresh: Out(lanes). The answer belongs to the slot and group that are shown now.
    mine: Out(lanes). This tile holds the slot's K. row: Out, the slot's local row here, where `mine`.
    """

    def __init__(self, lanes: int, max_slots: int):
        self.lanes, self.slot_bits = lanes, max(3, ceil_log2(max_slots))
        super().__init__(
            {
                "lanes_state": In(LaneState).array(lanes),
                "tile": In(TileState),
                "fresh": Out(lanes),
                "mine": Out(lanes),
                "row": Out(data.ArrayLayout(self.slot_bits, lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        quad_bits = self.slot_bits - 2
        m.submodules.divider = divider = Divider(quad_bits, 8)

        group = Cat(self.tile.group_size, self.tile.group_index)
        known_group = Signal(16)
        known_slot = Signal(data.ArrayLayout(self.slot_bits, self.lanes))
        known = Signal(self.lanes)
        slots = Signal(data.ArrayLayout(self.slot_bits, self.lanes))
        for k in range(self.lanes):
            m.d.comb += [
                slots[k].eq(self.lanes_state[k].slot),
                self.fresh[k].eq(known[k] & (known_slot[k] == slots[k]) & (known_group == group)),
            ]

        turn = Signal(range(self.lanes))
        slot = Signal(self.slot_bits)
        m.d.comb += [
            divider.numerator.eq(slots[turn][2:]),
            divider.denominator.eq(self.tile.group_size),
        ]
        stale = Signal()
        m.d.comb += stale.eq((known_group == group) & ~self.fresh.bit_select(turn, 1))
        with m.FSM(name="homes") as fsm:
            with m.State("LOOK"):
                with m.If(known_group != group):
                    m.d.sync += [known_group.eq(group), known.eq(0)]
                with m.Elif(stale):
                    m.d.sync += slot.eq(slots[turn])
                    m.next = "DIVIDE"
                with m.Elif(~self.fresh.all()):
                    m.d.sync += turn.eq((turn + 1) % self.lanes)
            with m.State("DIVIDE"):
                with m.If(divider.done):
                    m.d.sync += [
                        known_slot[turn].eq(slot),
                        known.bit_select(turn, 1).eq(1),
                        self.mine.bit_select(turn, 1).eq(divider.remainder == known_group[8:]),
                        self.row[turn].eq(Cat(slot[:2], divider.quotient)),
                    ]
                    m.next = "LOOK"
        m.d.comb += divider.start.eq(fsm.ongoing("LOOK") & stale)
        return m
