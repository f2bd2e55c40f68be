"""Registers of a tile that flits write: its place among the tiles, and the pass that it runs."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import Csr, PassWord, Space
from hayate.rtl.contract.words import BEGIN, CSR_ADDRESS, LANE, PASS_ADDRESS, SEED_BITS, START
from hayate.rtl.ring.flit import Flit, view
from hayate.rtl.tile.interfaces import CurrentPass
from hayate.rtl.tile.queues import LANE_FIELDS, GroupState, TileState

#: CSR -> field of `TileState`.
CSR_FIELDS = {
    Csr.TILE_INDEX: "index",
    Csr.TILE_COUNT: "count",
    Csr.GROUP_LO: "group_lo",
    Csr.GROUP_HI: "group_hi",
    Csr.GROUP_SIZE: "group_size",
    Csr.GROUP_INDEX: "group_index",
    Csr.LOCAL_HEADS: "heads",
    Csr.HEAD0: "head0",
    Csr.ATT_SENDERS: "att_senders",
    Csr.GROUP: "group",
    Csr.HDQ: "hdq",
    Csr.ROUNDS_LOG2: "rounds_log2",
    Csr.TOP_K: "top_k",
    Csr.MIN_P: "min_p",
    Csr.ENTRY: "entry",
    Csr.GROUP_END: "group_end",
}
#: Those that are there only where passes may sample.
OF_SAMPLING = (Csr.TOP_K, Csr.MIN_P)
#: Those that both models have in common.
COMMON = (Csr.TILE_INDEX, Csr.TILE_COUNT, *OF_SAMPLING)


class TileRegisters(wiring.Component):
    """Decoder of LOAD flits of space CSR and of PASS flits.

    A register shows what a flit brought from the cycle after it on. Addresses of space CSR with `precision` set are
    the precision table's and change nothing here; other flits neither. Never refuses a flit. Reset clears what passes
    bring, `current.state`, `current.lanes` and `seed`, and leaves the CSRs of both models alone, as it does the
    memories: a loaded model stays loaded. They start as zeros.

    Parameters
    ----------
    lanes: M; with one nothing can be drafted, so `draft` and `second` stay 0, and synthesis leaves out what serves
        them.
    sampling: passes may sample; without it `sample`, `seed` and the filters stay 0.

    Members
    -------
    rx_valid, rx: In. Flits delivered to this tile.
    start: Out. The flit of this cycle is a START word.
    current: Out(CurrentPass). state: positions, want, hwm, measure, counted, draft, sample and second of the last START
        word. lanes: the last LANE word of each position; those of positions that are not there change nothing. tile:
        the CSRs of the model that `state` says.
    groups: Out, of the first and the second model. seed: Out(64), of the last BEGIN word.
    """

    def __init__(self, lanes, *, sampling=True):
        self._lanes, self._sampling = lanes, sampling
        super().__init__(
            {
                "rx_valid": In(1),
                "rx": In(Flit),
                "start": Out(1),
                "current": Out(CurrentPass(lanes)),
                "groups": Out(GroupState).array(2),
                "seed": Out(SEED_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        rx, start = self.rx, view(START, self.rx.data)
        state, lanes, tile = self.current.state, self.current.lanes, self.current.tile
        address = view(CSR_ADDRESS, rx.addr)
        is_csr = Signal()
        is_pass = Signal()
        m.d.comb += [
            is_csr.eq(self.rx_valid & (rx.kind == FlitKind.LOAD) & (rx.chan == Space.CSR) & ~address.precision),
            is_pass.eq(self.rx_valid & (rx.kind == FlitKind.PASS)),
            self.start.eq(is_pass & (rx.chan == PassWord.START)),
        ]
        models = [Signal(TileState, name=name, reset_less=True) for name in ("first", "second")]
        for n, model in enumerate(models):
            m.d.comb += [self.groups[n].size.eq(model.group_size), self.groups[n].index.eq(model.group_index)]
            with m.If(is_csr & (address.second == n)):
                with m.Switch(address.register):
                    for csr, name in CSR_FIELDS.items():
                        if (not n or csr not in COMMON) and (self._sampling or csr not in OF_SAMPLING):
                            with m.Case(csr):
                                m.d.sync += model[name].eq(rx.data)
        for csr, name in CSR_FIELDS.items():
            own = models[0][name]
            m.d.comb += tile[name].eq(own if csr in COMMON else Mux(state.second, models[1][name], own))
        with m.If(is_pass & (rx.chan == PassWord.LANE)):
            position = view(LANE, rx.data)
            for lane, shown in enumerate(lanes):
                with m.If(view(PASS_ADDRESS, rx.addr).lane == lane):
                    m.d.sync += [shown[name].eq(position[name]) for name in LANE_FIELDS]
        with m.If(self.start):
            m.d.sync += [
                state.positions.eq(start.last + 1),
                *(state[name].eq(start[name]) for name in ("measure", "want", "hwm", "counted")),
            ]
            if self._lanes > 1:
                m.d.sync += [state.draft.eq(start.draft), state.second.eq(start.second)]
            if self._sampling:
                m.d.sync += state.sample.eq(start.sample)
        if self._sampling:
            with m.If(is_pass & (rx.chan == PassWord.BEGIN)):
                m.d.sync += self.seed.eq(view(BEGIN, rx.data).seed)
        return m
