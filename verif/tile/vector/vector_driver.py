"""Drives a VectorEngine: pass state, received flits, landing rows with credits, entries; collects what comes out."""

import cocotb
from cocotb.triggers import RisingEdge
from cocotb.utils import get_sim_time

from hayate.rtl.contract.encoding import encode_micro
from hayate.rtl.contract.flits import FlitKind, gather, pack_flit, spread, unpack_flit
from hayate.rtl.contract.isa import Op, Space
from hayate.rtl.tile.queues import GroupState, LaneState, PassState, TileState, VectorEntry
from hayate.verif.bench.drivers import PERIOD, Sink, clock
from hayate.verif.tile.loads import entry_flits

#: Among rows: a GEMV that has none.
NO_ROWS = None
#: Cycles after which nothing of an entry that was taken is still to be read in collected sums or stage words.
APART = 40


def now():
    """Number of the latest rising edge."""
    return int(get_sim_time("ns")) // PERIOD


def packed(layout, values):
    """Integer of a struct; fields that are not named are 0, negative values wrap."""
    at, word = 0, 0
    for name, shape in layout.members.items():
        word |= (int(values.get(name, 0)) & ((1 << shape) - 1)) << at
        at += shape
    return word


def in_flits(r, words, lanes):
    """Mask and data of flits that bring words {lane: word} in any order, any number of them in one flit. Of lanes that
    a mask lacks, data has something that means nothing.
    """
    left, found = r.sample(list(words), len(words)), []
    while left:
        count = r.choice([1, len(left), r.randint(1, len(left))])
        some, left = left[:count], left[count:]
        whole = {k: words[k] if k in some else r.getrandbits(64) for k in range(lanes)}
        found.append({**spread(whole), "mask": spread(dict.fromkeys(some, 0))["mask"]})
    return found


def understood(flit, lanes):
    """Fields of a flit given as one integer, without src, which is 0; in place of mask and data its `words` by lane,
    what else is in data left out.
    """
    fields = unpack_flit(flit, lanes)
    src, near, mask, data = (fields.pop(name) for name in ("src", "near", "mask", "data"))
    assert src == 0 and near == (fields["end"] != 0) and (mask or not data)
    return {**fields, "words": gather(mask, data)}


def no_rows(entry):
    """What the matrix engine hands over for an entry that takes rows of weights and has none: the notice; else
    nothing.
    """
    return [NO_ROWS] if entry["op"] == Op.RUN and entry["landing"] and not entry["n"] and not entry["vec"] else []


class Driver:
    """Everything around the engine. `pause` is the chance per cycle that a source is idle, `stall` that the ring
    refuses.

    `rows`: what the matrix engine is about to hand over, NO_ROWS among it.
    """

    def __init__(self, dut, rng, *, lanes, landing_depth, pause=0.25, stall=0.25):
        self.dut, self.rng, self.lanes, self.pause = dut, rng, lanes, pause
        self.room = landing_depth
        self.rows, self.trace = [], []
        self.saturated = self.most_saturated = self.parity = 0
        self.tx = Sink(dut, "e__tx", stall=stall)
        cocotb.start_soon(self._watch())
        cocotb.start_soon(self._push_rows())

    async def _watch(self):
        dut = self.dut
        values = [getattr(dut, f"e__trace__values__{k}") for k in range(self.lanes)]
        while True:
            await RisingEdge(dut.clk)
            self.room += int(dut.e__rows__freed.value)
            self.saturated += int(dut.e__saturated.value)
            self.most_saturated = max(self.most_saturated, int(dut.e__saturated.value))
            self.parity += int(dut.e__parity.value)
            if int(dut.e__trace__valid.value):
                self.trace.append(
                    (int(dut.e__trace__row.value), int(dut.e__trace__mask.value), [int(v.value) for v in values])
                )

    async def _push_rows(self):
        dut = self.dut
        while True:
            go = bool(self.rows and self.room) and self.rng.random() >= self.pause
            bare = go and self.rows[0] is NO_ROWS
            dut.e__rows__valid.value, dut.e__rows__none.value = go and not bare, bare
            if bare:
                self.rows.pop(0)
            elif go:
                self.room -= 1
                for k, value in enumerate(self.rows.pop(0)):
                    getattr(dut, f"e__rows__values__{k}").value = int(value.view("uint32"))
            await RisingEdge(dut.clk)

    async def receive(self, flits, pause=None):
        """Flits for this tile, one per cycle at most."""
        for flit in flits:
            while self.rng.random() < (self.pause if pause is None else pause):
                await clock(self.dut)
            self.dut.e__rx.value = pack_flit(self.lanes, **flit)
            self.dut.e__rx_valid.value = 1
            await clock(self.dut)
            self.dut.e__rx_valid.value = 0

    async def load(self, micros, constants):
        """Micro-operations from address 0, and {vector memory address: float32}."""
        flits = [flit for i, op in enumerate(micros) for flit in entry_flits(Space.MICRO, i, encode_micro(op))]
        flits += [
            {"kind": FlitKind.LOAD, "chan": Space.VMEM, "addr": a, "data": int(v.view("uint32"))}
            for a, v in constants.items()
        ]
        await self.receive(flits, pause=0)

    def set_pass(self, passes, lane_states, tile):
        self.dut.e__current__tile.value = packed(TileState, tile)
        for n in range(2):
            value = {"size": tile["group_size"], "index": tile["group_index"]}
            getattr(self.dut, f"e__groups__{n}").value = packed(GroupState, value)
        self.dut.e__current__state.value = packed(PassState, passes)
        for k in range(self.lanes):
            getattr(self.dut, f"e__current__lanes__{k}").value = packed(LaneState, lane_states[k])

    async def entries(self, entries, pause=None):
        """Offer entries one after another; returns the cycles in which the first was offered and in which each was
        taken.
        """
        dut, taken = self.dut, []
        for entry in entries:
            while self.rng.random() < (self.pause if pause is None else pause):
                dut.e__entry__valid.value = 0
                await clock(dut)
            dut.e__entry__payload.value = packed(VectorEntry, entry)
            dut.e__entry__valid.value = 1
            if not taken:
                first = now() + 1  # seen at the next rising edge
            await clock(dut)
            while not int(dut.e__entry__ready.value):
                await clock(dut)
            taken.append(now())
        dut.e__entry__valid.value = 0
        return first, taken

    async def idle(self):
        await clock(self.dut, 2)
        while int(self.dut.e__busy.value):
            await clock(self.dut)
        await clock(self.dut, 2)

    def sent(self):
        """Flits sent so far, see `understood`."""
        return [understood(flit, self.lanes) for flit in self.tx.data]
