"""Drain: takes the finished sums of a row group out of the PEs, one PE a cycle, and rounds them to FP32."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..contract.constants import ACC_WIDTH
from ..numerics.normalizer import NORM_LATENCY, Normalizer

#: Cycles from `start` to the first row.
DRAIN_LATENCY = 2 + NORM_LATENCY


class Drain(wiring.Component):
    """M normalizers shared by the PEs of a tile.

    `start` comes in the cycle before the PEs' results are there. Row i of the group (PE i) then comes out of `row` DRAIN_LATENCY + i
    cycles after `start`, for as many rows as `mask` has ones. A group of n rows must not be followed by another `start` within n cycles;
    n cycles later is allowed and leaves no gap. There is no back-pressure: the parent starts a group only when its rows have a place.

    Parameters
    ----------
    banks: PEs. lanes: activation vectors M.

    Members
    -------
    start, mask, s: In. A group finishes; its rows (ones from bit 0 up); the exponent that its results are multiplied by 2 to the power of.
    acc: In, `banks` x `lanes` x 96 bits signed.
    row_valid, row: Out. One row: FP32 of each lane.
    busy: Out. Rows still to come.
    """

    def __init__(self, banks: int, lanes: int):
        self.banks, self.lanes = banks, lanes
        super().__init__({
            "start": In(1), "mask": In(banks), "s": In(signed(8)),
            "acc": In(data.ArrayLayout(data.ArrayLayout(signed(ACC_WIDTH), lanes), banks)),
            "row_valid": Out(1), "row": Out(32).array(lanes), "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        s1_todo = Signal(self.banks)  # rows of the group not yet taken
        s1_pe = Signal(range(max(self.banks, 2)))
        s1_s = Signal(signed(8), reset_less=True)
        with m.If(self.start):
            m.d.sync += [s1_todo.eq(self.mask), s1_pe.eq(0), s1_s.eq(self.s)]
        with m.Elif(s1_todo != 0):
            m.d.sync += [s1_todo.eq(s1_todo >> 1), s1_pe.eq(s1_pe + 1)]

        s2_valid = Signal()
        s2_s = Signal(signed(8), reset_less=True)
        m.d.sync += s2_valid.eq(s1_todo[0])
        with m.If(s1_todo[0]):
            m.d.sync += s2_s.eq(s1_s)
        flying = Signal(NORM_LATENCY)
        m.d.sync += flying.eq((flying << 1) | s2_valid)
        m.d.comb += self.busy.eq((s1_todo != 0) | s2_valid | (flying != 0))

        for k in range(self.lanes):
            s2_acc = Signal(signed(ACC_WIDTH), name=f"s2_acc_{k}", reset_less=True)
            with m.If(s1_todo[0]):
                m.d.sync += s2_acc.eq(self.acc[s1_pe][k])
            m.submodules[f"normalizer_{k}"] = normalizer = Normalizer()
            m.d.comb += [normalizer.valid.eq(s2_valid), normalizer.acc.eq(s2_acc), normalizer.s.eq(s2_s), self.row[k].eq(normalizer.fp32)]
            if k == 0:
                m.d.comb += self.row_valid.eq(normalizer.out_valid)
        return m
