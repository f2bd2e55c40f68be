"""Drain: takes the finished sums of a row group out of the PEs, one PE a cycle, and rounds them to FP32."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.constants import ACC_WIDTH
from hayate.rtl.contract.latencies import NORM_LATENCY
from hayate.rtl.numerics.normalizer import Normalizer
from hayate.rtl.tile.interfaces import EnergyTag
from hayate.rtl.verilog.once import once

#: Cycles from `start` to the first row's exact sums.
ENERGY_LATENCY = 2


class Drain(wiring.Component):
    """M normalizers shared by the PEs of a tile.

    `start` comes in the cycle before the PEs' results are there. Row i of the group (PE i) then comes out of `row`
    DRAIN_LATENCY + i cycles after `start`, for as many rows as `mask` has ones. A group of n rows must not be followed
    by another `start` within n cycles; n cycles later is allowed and leaves no gap. There is no back-pressure: the
    parent starts a group only when its rows have a place.

    With a governor the exact sums of each row of a group with `tag.measure` come out as well, ENERGY_LATENCY + i cycles
    after `start`; a group with `tag.difference` gives no `row_valid`.

    Three rows of a group that is measured::

        cycle         0   1   2   3   4   5   6   7   8   9   10  11  12  13
        start         ~~~~____________________________________________________
        s1_todo       0...7...3...1...0.......................................
        energy_valid  ________~~~~~~~~~~~~____________________________________
        row_valid     ____________________~~~~~~~~~~~~________________________
        busy          ____~~~~~~~~~~~~~~~~~~~~~~~~~~~~________________________

    Parameters
    ----------
    banks: PEs. lanes: activation vectors M. governor: adds the members named below.

    Members
    -------
    start, mask, s: In. A group finishes; its rows (ones from bit 0 up); the exponent that its results are multiplied by
        2 to the power of.
    acc: In, `banks` x `lanes` x 96 bits signed.
    row_valid, row: Out. One row: FP32 of each lane.
    busy: Out. Rows still to come.

    Governor only: tag: In(EnergyTag), with `start`. low_acc: In, as `acc`, with it: what the lo plane added.
    energy_valid, energy_tag, energy_sum, energy_low: Out. A row: its group's tag, `lanes` x 96 bits of `acc`, and of
    `low_acc` if the tag is `nested` (else what was there before).
    """

    def __init__(self, banks: int, lanes: int, governor: bool = False):
        self.banks, self.lanes, self.governor = banks, lanes, governor
        sums = data.ArrayLayout(signed(ACC_WIDTH), lanes)
        members = {
            "start": In(1),
            "mask": In(banks),
            "s": In(signed(8)),
            "acc": In(data.ArrayLayout(sums, banks)),
            "row_valid": Out(1),
            "row": Out(32).array(lanes),
            "busy": Out(1),
        }
        if governor:
            members |= {
                "tag": In(EnergyTag),
                "low_acc": In(data.ArrayLayout(sums, banks)),
                "energy_valid": Out(1),
                "energy_tag": Out(EnergyTag),
                "energy_sum": Out(sums),
                "energy_low": Out(sums),
            }
        super().__init__(members)

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
        s2_lands = Signal()
        s2_s = Signal(signed(8), reset_less=True)
        lands = Signal()
        m.d.comb += lands.eq(s1_todo[0])
        m.d.sync += [s2_valid.eq(s1_todo[0]), s2_lands.eq(lands)]
        with m.If(s1_todo[0]):
            m.d.sync += s2_s.eq(s1_s)
        flying = Signal(NORM_LATENCY)
        m.d.sync += flying.eq((flying << 1) | s2_valid)
        m.d.comb += self.busy.eq((s1_todo != 0) | s2_valid | (flying != 0))

        if self.governor:
            s1_tag = Signal(EnergyTag, reset_less=True)
            s2_tag = Signal(EnergyTag, reset_less=True)
            with m.If(self.start):
                m.d.sync += s1_tag.eq(self.tag)
            with m.If(s1_todo[0]):
                m.d.sync += s2_tag.eq(s1_tag)
            m.d.sync += self.energy_valid.eq(s1_todo[0] & s1_tag.measure)
            m.d.comb += [lands.eq(s1_todo[0] & ~s1_tag.difference), self.energy_tag.eq(s2_tag)]

        for k in range(self.lanes):
            s2_acc = Signal(signed(ACC_WIDTH), name=f"s2_acc_{k}", reset_less=True)
            with m.If(s1_todo[0]):
                m.d.sync += s2_acc.eq(self.acc[s1_pe][k])
            if self.governor:
                s2_low = Signal(signed(ACC_WIDTH), name=f"s2_low_{k}", reset_less=True)
                with m.If(s1_todo[0] & s1_tag.measure & s1_tag.nested):
                    m.d.sync += s2_low.eq(self.low_acc[s1_pe][k])
                m.d.comb += [self.energy_sum[k].eq(s2_acc), self.energy_low[k].eq(s2_low)]
            normalizer = Normalizer()
            m.submodules[f"normalizer_{k}"] = once(platform, normalizer)
            m.d.comb += [
                normalizer.valid.eq(s2_lands),
                normalizer.acc.eq(s2_acc),
                normalizer.s.eq(s2_s),
                self.row[k].eq(normalizer.fp32),
            ]
            if k == 0:
                m.d.comb += self.row_valid.eq(normalizer.out_valid)
        return m
