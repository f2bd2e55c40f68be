"""Matrix engine of a tile: banks, processing elements, activation buffer, and the instructions that keep them busy."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import BANK_BITS, Counter, Op, Space
from hayate.rtl.contract.latencies import BANK_LATENCY, PE_LATENCY
from hayate.rtl.contract.secded import codeword_bits
from hayate.rtl.contract.words import BANK_ADDRESS, CLEAR_ADDRESS, DATA_ADDRESS
from hayate.rtl.memory.bank import Bank
from hayate.rtl.ring.flit import flit_layout, flit_stream, view
from hayate.rtl.tile.interfaces import CurrentPass, EnergyTag, FinishedRows, MeasuredRow, pe_word_layout
from hayate.rtl.tile.matrix.activation import ACT_LATENCY, FLIP_BITS, WORD_FLIP_BITS, ActivationBuffer
from hayate.rtl.tile.matrix.drain import Drain
from hayate.rtl.tile.matrix.fetch import Fetcher
from hayate.rtl.tile.matrix.gemv import GemvIssue
from hayate.rtl.tile.matrix.kv_write import KvWriter
from hayate.rtl.tile.matrix.pe import Pe
from hayate.rtl.tile.queues import BaseEntry, matrix_entry_layout
from hayate.rtl.tile.semaphores import Semaphores
from hayate.rtl.verilog.once import once

# Weights and activations are asked for in the same cycle and meet at the PEs; the banks' request passes a register.
assert ACT_LATENCY == 1 + BANK_LATENCY

#: Cycles from an entry at the queue's head of an idle engine to the issue of its first word.
START_LATENCY = 2


class MatrixEngine(wiring.Component):
    """Executes matrix entries strictly in order: GEMV, FETCH, KVW and M_WAIT.

    GEMV issues one word per bank and cycle, in FP16 or of the integer planes (`GemvIssue` has the formats, `Pe` what
    they mean). The entry after the running one is already here, so that a GEMV's first word follows the last word of
    the GEMV before it in the next cycle; an M_WAIT in between is served while that one still streams and costs nothing
    if satisfied by then. On an idle engine a GEMV's first word issues START_LATENCY cycles after the entry is offered,
    or 2 cycles after the flit register shows the SYNC that its M_WAIT waited for. The first row of a group comes
    ROW_LATENCY cycles after the group's last word issued, the others in the cycles that follow. A GEMV of R rows and W
    words, W by `precision.stream_words`, takes sum over groups of max(W, rows of the group before it) cycles, and
    stalls on top of it for want of landing rows; with `dual` each group counts twice, in FP16 and in INT8. A GEMV of no
    rows or no words takes one cycle and gives no row; one of no rows of weights strobes `rows.none` instead, in its
    turn. KVW and FETCH: see `KvWriter` and `Fetcher`; what they wrote or left is seen by the next entry.

    Flits are taken as they come, one cycle after they are shown; a SYNC is counted after the data before it is
    readable.
    Reset empties the engine and leaves the memories alone. Nothing but `cause` toggles while idle.

    Two GEMVs of two rows and three words each, offered back to back to an idle engine::

        cycle        0   1   2   3   4   5   6   7   8   9   10  11  12  13  14  15  16  17  18  19  20  21  22
        entry.valid  ~~~~~~~~____________________________________________________________________________________
        entry.ready  ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
        held         ____~~~~~~~~~~~~~~~~________________________________________________________________________
        fire         ________~~~~~~~~~~~~~~~~~~~~~~~~____________________________________________________________
        rows.valid   ____________________________________________________________________~~~~~~~~____~~~~~~~~____
        busy         ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~____

    Parameters
    ----------
    banks, lanes, bank_depth, act_depth, max_slots, landing_depth: as in `Config`.
    nested: entries may have another format than FP16.
    governor: entries may have `measure` and `dual`; needs `nested`, and adds `measured`.
    inject: adds `flip_bank` and `flip_act`, bits to flip in what banks and activation buffer are being given, for
        tests.

    Members
    -------
    entry: In stream of `matrix_entry_layout(nested, governor)`. current: In(CurrentPass), constant while `busy`.
    rx_valid, rx: In. Flits for this tile: DATA for the activation buffer, SYNC, LOAD of banks and CLEAR, of banks and
        activation buffer (these two only while not `busy`); others are ignored.
    tx: Out stream of flits (FETCH).
    rows: Out(FinishedRows). The engine never has more than `landing_depth` rows out.
    busy: Out. An entry is offered, held or in progress, or results are under way.
    cause: Out(4). Of the cycle before: what the issue stage did, one of Counter.WEIGHT to ISSUE.
    taken: Out. Of the cycle before: an entry left the queue's end for good; it began, or its wait was over.
    useful, useful_kv: Out. Of the cycle before: bank words read that count as useful, and whether they are K or V.
    corrected, uncorrectable: Out. Strobes of the banks' code. parity: Out. Strobe of the activation buffer.

    measured: Out(MeasuredRow). A row of an entry with `measure`, NORM_LATENCY ahead of the row in `rows`; a `dual`
        entry's differences show here only. `planes` and `grids` are the entry's.
    """

    def __init__(
        self,
        *,
        banks,
        lanes,
        bank_depth,
        act_depth,
        max_slots,
        landing_depth,
        nested=True,
        governor=False,
        inject=False,
    ):
        if bank_depth > 1 << BANK_BITS:
            raise ValueError(f"a bank has at most {1 << BANK_BITS} words, not {bank_depth}")
        self._banks, self._lanes, self._bank_depth, self._act_depth = banks, lanes, bank_depth, act_depth
        self._max_slots, self._landing_depth, self._inject = max_slots, landing_depth, inject
        self._nested, self._governor, self._entry = nested, governor, matrix_entry_layout(nested, governor)
        members = {
            "entry": In(stream.Signature(self._entry)),
            "current": In(CurrentPass(lanes)),
            "rx_valid": In(1),
            "rx": In(flit_layout(lanes)),
            "tx": Out(flit_stream(lanes)),
            "rows": Out(FinishedRows(lanes)),
            "busy": Out(1),
            "cause": Out(4),
            "taken": Out(1),
            "useful": Out(range(banks + 1)),
            "useful_kv": Out(1),
            "corrected": Out(1),
            "uncorrectable": Out(1),
            "parity": Out(1),
        }
        if governor:
            members["measured"] = Out(MeasuredRow(lanes))
        if inject:
            members |= {"flip_bank": In(codeword_bits(64)), "flip_act": In(FLIP_BITS if nested else WORD_FLIP_BITS)}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        banks, lanes = self._banks, self._lanes
        m.submodules.semaphores = semaphores = Semaphores()
        m.submodules.gemv = gemv = GemvIssue(banks, self._landing_depth, nested=self._nested, governor=self._governor)
        m.submodules.kv = kv = KvWriter(banks, lanes, self._max_slots)
        m.submodules.fetch = fetch = Fetcher(banks, lanes)
        m.submodules.act = act = ActivationBuffer(lanes, self._act_depth, nested=self._nested, inject=self._inject)
        m.submodules.drain = drain = Drain(banks, lanes, self._governor)
        bank = [Bank(self._bank_depth, inject=self._inject) for _ in range(banks)]
        pe = [Pe(lanes, nested=self._nested, measure=self._governor) for _ in range(banks)]
        for b in range(banks):
            m.submodules[f"bank_{b}"] = once(platform, bank[b], self._bank_depth, self._inject)
            m.submodules[f"pe_{b}"] = once(platform, pe[b], lanes, self._nested, self._governor)
        connect(m, fetch.tx, flipped(self.tx))
        for unit in (kv, fetch):
            m.d.comb += [unit.positions.eq(self.current.state.positions)]
            m.d.comb += [a.eq(b) for a, b in zip(unit.lanes_state, self.current.lanes)]
        tile = self.current.tile
        m.d.comb += [kv.tile.eq(tile), fetch.last_tile.eq(tile.count - 1), gemv.freed.eq(self.rows.freed)]

        self._receive(m, semaphores, act, kv)
        self._dispatch(m, semaphores, gemv, kv, fetch)
        self._access(m, gemv, kv, fetch, act, bank)
        flying = self._compute(m, gemv, act, bank, pe, drain)

        m.d.comb += [
            self.busy.eq(
                self.entry.valid | self._held | self._spare | gemv.active | kv.active | fetch.busy | flying | drain.busy
            ),
            self.parity.eq(act.parity),
            self.rows.valid.eq(drain.row_valid),
        ]
        m.d.comb += [a.eq(b) for a, b in zip(self.rows.values, drain.row)]
        if self._governor:
            self._measure(m, drain)
        m.d.sync += [
            self.corrected.eq(Cat(b.corrected for b in bank).any()),
            self.uncorrectable.eq(Cat(b.uncorrectable for b in bank).any()),
        ]
        return m

    def _receive(self, m, semaphores, act, kv):
        """Flits, through one register."""
        kind = self.rx.kind
        rx = Signal(flit_layout(self._lanes), reset_less=True)
        is_data = Signal()
        is_sync = Signal()
        is_load = Signal()
        is_clear = Signal()
        m.d.sync += [
            is_clear.eq(self.rx_valid & (kind == FlitKind.LOAD) & (self.rx.chan == Space.CLEAR)),
            is_data.eq(self.rx_valid & (kind == FlitKind.DATA) & ~view(DATA_ADDRESS, self.rx.addr).stage),
            is_sync.eq(self.rx_valid & (kind == FlitKind.SYNC)),
            is_load.eq(self.rx_valid & (kind == FlitKind.LOAD) & (self.rx.chan == Space.BANK)),
        ]
        with m.If(self.rx_valid):
            m.d.sync += rx.eq(self.rx)
        bank = view(BANK_ADDRESS, rx.addr)
        m.d.comb += [
            semaphores.post.eq(is_sync),
            semaphores.post_chan.eq(rx.chan),
            act.write.eq(Mux(is_clear, Const(-1, self._lanes), Mux(is_data, rx.mask, 0))),
            act.write_addr.eq(rx.addr),
            act.write_data.eq(rx.data),
            kv.load.eq(is_load | is_clear & ~view(CLEAR_ADDRESS, rx.addr).rest),
            kv.every_bank.eq(is_clear),
            kv.load_bank.eq(bank.bank),
            kv.load_addr.eq(bank.word),
            kv.load_data.eq(rx.data),
        ]

    def _dispatch(self, m, semaphores, gemv, kv, fetch):
        """The entry after the running one, and who gets it when."""
        self._held, self._spare = held, _ = Signal(name="held"), Signal(name="spare")
        entry = Signal(self._entry)
        is_wait = entry.op == Op.M_WAIT
        nothing = (entry.rows == 0) | (entry.length == 0)
        free = Signal()
        take = Signal()
        m.d.comb += [
            semaphores.chan.eq(entry.chan),
            semaphores.count.eq(entry.count),
            semaphores.take.eq(held & is_wait & semaphores.enough),
            free.eq(gemv.ending | kv.ending | fetch.ending | ~(gemv.active | kv.active | fetch.active)),
            take.eq(held & ~is_wait & free),
            gemv.load.eq(take & (entry.op == Op.GEMV) & ~nothing),
            kv.start.eq(take & (entry.op == Op.KVW)),
            fetch.start.eq(take & (entry.op == Op.FETCH)),
        ]
        m.d.comb += gemv.entry.eq(entry)
        m.d.sync += self.taken.eq(take | semaphores.take)
        m.d.sync += self.rows.none.eq(take & (entry.op == Op.GEMV) & (entry.rows == 0) & ~entry.kv)
        m.d.comb += [unit.entry[name].eq(entry[name]) for unit in (kv, fetch) for name in BaseEntry.members]
        # One more entry waits in a register, so that `ready` does not depend on what goes on in this cycle.
        spare = self._spare
        spare_entry = Signal(self._entry, reset_less=True)
        moves = Signal()
        m.d.comb += [moves.eq(~held | take | semaphores.take), self.entry.ready.eq(~spare)]
        with m.If(moves):
            m.d.sync += [held.eq(spare | self.entry.valid), spare.eq(0)]
            with m.If(spare | self.entry.valid):
                m.d.sync += entry.eq(Mux(spare, spare_entry, self.entry.payload))
        with m.Elif(~spare):
            m.d.sync += spare.eq(self.entry.valid)
        with m.If(~spare & self.entry.valid):
            m.d.sync += spare_entry.eq(self.entry.payload)

        streaming = Mux(
            gemv.wait_landing,
            Counter.WAIT_VECTOR,
            Mux(gemv.wait_drain, Counter.WAIT_DRAIN, Mux(gemv.kv, Counter.KV_READ, Counter.WEIGHT)),
        )
        idle = Mux(held & is_wait, Counter.WAIT_RING, Counter.ISSUE)
        cause = Mux(gemv.active, streaming, Mux(kv.active, Counter.KV_WRITE, Mux(fetch.active, Counter.FETCH, idle)))
        m.d.sync += [self.cause.eq(cause), self.useful.eq(Mux(gemv.fire, gemv.useful, 0)), self.useful_kv.eq(gemv.kv)]

    def _access(self, m, gemv, kv, fetch, act, bank):
        """Stage 1: the one access of this cycle, at the banks. The activation words are asked for at once."""
        banks = self._banks
        address_bits = ceil_log2(self._bank_depth)
        s1_en = Signal(banks)
        s1_we = Signal()
        s1_addr = Signal(address_bits, reset_less=True)
        s1_data = Signal(data.ArrayLayout(64, banks), reset_less=True)
        en = Signal(banks)
        addr = Signal(BANK_BITS)
        m.d.comb += [
            en.eq(
                Mux(
                    kv.write,
                    kv.write_mask,
                    Mux(kv.read, kv.read_mask, Mux(fetch.read, fetch.read_mask, Mux(gemv.fire, gemv.mask, 0))),
                )
            ),
            addr.eq(Mux(kv.write, kv.write_addr, Mux(kv.active, kv.addr, Mux(fetch.active, fetch.addr, gemv.addr)))),
        ]
        m.d.sync += [s1_en.eq(en), s1_we.eq(kv.write)]
        with m.If(en != 0):
            m.d.sync += s1_addr.eq(addr)
        for b in range(banks):
            with m.If(kv.write & kv.write_mask[b]):
                m.d.sync += s1_data[b].eq(kv.write_data[b])
            m.d.comb += [
                bank[b].en.eq(s1_en[b]),
                bank[b].we.eq(s1_we),
                bank[b].addr.eq(s1_addr),
                bank[b].wdata.eq(s1_data[b]),
                kv.old[b].eq(bank[b].rdata),
                fetch.words[b].eq(bank[b].rdata),
            ]
            if self._inject:
                m.d.comb += bank[b].inject.eq(self.flip_bank)
        if self._inject:
            m.d.comb += act.flip.eq(self.flip_act)

        reads = gemv.fire
        if self._nested:  # a scale word has no activations beside it
            reads = gemv.fire & ~gemv.word.scales
            m.d.comb += [act.wide.eq(gemv.fire & gemv.wide), act.left.eq(gemv.left)]
        m.d.comb += [
            act.read.eq(reads | kv.act_read),
            act.read_addr.eq(Mux(kv.active, kv.act, gemv.act)),
            kv.acts.eq(act.data),
        ]

    def _compute(self, m, gemv, act, bank, pe, drain):
        """What travels beside the words: through the banks to the PEs, and from a group's last word to the drain."""
        group_layout = data.StructLayout(
            {"mask": self._banks, "s": 8, **({"tag": EnergyTag} if self._governor else {})}
        )
        beside = data.StructLayout({"word": pe_word_layout(self._nested, self._governor), "group": group_layout})
        now = Signal(beside)
        valid = gemv.fire
        m.d.comb += [now.word.eq(gemv.word), now.group.mask.eq(gemv.mask), now.group.s.eq(gemv.s_in)]
        if self._governor:
            m.d.comb += now.group.tag.eq(gemv.tag)
        under_way = []
        for i in range(1 + BANK_LATENCY):
            later = Signal(beside, name=f"s{i + 1}_word", reset_less=True)
            later_valid = Signal(name=f"s{i + 1}_valid")
            m.d.sync += later_valid.eq(valid)
            with m.If(valid):
                m.d.sync += later.eq(now)
            if i == BANK_LATENCY:
                en = Signal(self._banks, name="pe_en")  # a register for each PE
                m.d.sync += en.eq(Mux(valid, now.group.mask, 0))
            now, valid = later, later_valid
            under_way.append(valid)
        for b, unit in enumerate(pe):
            m.d.comb += [
                unit.en.eq(en[b]),
                unit.word.eq(now.word),
                unit.weight.eq(bank[b].rdata),
                unit.act.eq(act.data),
                drain.acc[b].eq(unit.result),
            ]
            if self._nested:
                m.d.comb += [unit.codes.eq(act.codes), unit.exponent.eq(act.exponent)]
            if self._governor:
                m.d.comb += drain.low_acc[b].eq(unit.low_result)
        group, valid = now.group, valid & now.word.last
        for i in range(PE_LATENCY - 1):
            later = Signal(group_layout, name=f"p{i + 1}_group", reset_less=True)
            later_valid = Signal(name=f"p{i + 1}_valid")
            m.d.sync += later_valid.eq(valid)
            with m.If(valid):
                m.d.sync += later.eq(group)
            group, valid = later, later_valid
            under_way.append(valid)
        m.d.comb += [drain.start.eq(valid), drain.mask.eq(group.mask), drain.s.eq(group.s)]
        if self._governor:
            m.d.comb += drain.tag.eq(group.tag)
        return Cat(*under_way).any()

    def _measure(self, m, drain):
        """Exact sums for the governor. Which lanes count follows from the pass, which outlasts its rows."""
        tag, state, measured = drain.energy_tag, self.current.state, self.measured
        positions = Signal(self._lanes)
        m.d.comb += [
            positions.eq(Cat(state.positions > k for k in range(self._lanes))),
            measured.valid.eq(drain.energy_valid),
            measured.difference.eq(tag.difference),
            measured.low_valid.eq(tag.nested),
            measured.planes.eq(tag.planes),
            measured.grids.eq(tag.grids),
            measured.mask.eq(Mux(tag.wanted, positions & state.counted, positions)),
            measured.sums.eq(drain.energy_sum),
            measured.lows.eq(drain.energy_low),
        ]
