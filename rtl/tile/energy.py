"""Energies for the precision governor: squares of a tile's exact outputs and errors, added up per matrix."""

from amaranth.hdl import Cat, Module, Mux, ResetSignal, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.constants import ACC_WIDTH
from hayate.rtl.contract.isa import GRID_BITS, INDEX_BITS
from hayate.rtl.contract.isa import Energy as Kind
from hayate.rtl.memory.parity import ParityMemory, slices
from hayate.rtl.tile.interfaces import MeasuredRow

TOTAL_BITS = 64
TERM_BITS = 16  # signed, of an output on its grid
#: Cycles from a row to the answer of a read that waited for it, and from a read to its answer.
ENERGY_LATENCY, READ_LATENCY = 8, 4

EPOCH_BITS = 5  # with the total and three parity bits a word has 72 bits
WORD_BITS = TOTAL_BITS + EPOCH_BITS
_COARSE = 16  # the first stage shifts by a multiple of this, the second by less


class Energy(wiring.Component):
    """Adds up sum over counted lanes of t**2, with t = acc >> grid saturated to 16 bits, in a total per matrix and
    kind.

    A row counts towards OUT (or, when a `difference`, INT8_ERR) with `sums`, and when `low_valid` towards ERR with
    `lows`. One row a cycle, any order of matrices; there is no back-pressure. A total is exact below 2**64, which 2**34
    terms cannot exceed. `clear` empties all totals at once; a row counts for what was cleared before it arrived. The
    words of older generations are replaced by zeros in cycles without a row, `clear` or reset: between any `clear` and
    the 31st after it there must be 2 * depth of these, and 3 more for each `clear` and reset in between. A `clear`
    without a row since the one before does not count. So it is where rows come no sooner than 70 cycles after `clear`:
    a pass has to fetch its input first. Reset drops rows under way, not totals, and brings none back that was cleared.

    `init` makes the words at one address valid, whatever is there; they count as zero from the next `clear` on. Where
    memories do not start as zeros every address must have been written so; not while rows or reads are under way.

    A read takes place when no row is under way, so that it sees all that came before it; `read_valid` comes
    ENERGY_LATENCY cycles after the last row or READ_LATENCY cycles after `read`, whichever is later. One read at a
    time; a `clear` meanwhile makes it void.

    A read that waits for the row before it::

        cycle       0   1   2   3   4   5   6   7   8   9
        row.valid   ~~~~____________________________________
        read        ____~~~~________________________________
        pending     ________~~~~~~~~~~~~~~~~________________
        reading     ____________________~~~~________________
        read_valid  ________________________________~~~~____

    Parameters
    ----------
    lanes: outputs of a row. depth: matrices, by the index of their planes descriptor; an index below it is the parent's
        to ensure.
    inject: adds the input `flip`, XORed into the totals as they are written, for tests.

    Members
    -------
    clear: In. Forget all totals. init, init_addr: In, an address below 2 * depth.
    row: In(MeasuredRow).
    read: In, strobe. read_index, read_kind (2, an `isa.Energy`; 3 reads as 0): In, held until `read_valid`.
    read_valid: Out, strobe. read_total: Out(64), with it.
    parity: Out. A damaged total was read two cycles before, for one cycle.
    """

    def __init__(self, lanes, depth, inject=False):
        self._lanes, self._depth, self._inject = lanes, depth, inject
        super().__init__(
            {
                "clear": In(1),
                "init": In(1),
                "init_addr": In(range(2 * depth)),
                "row": In(MeasuredRow(lanes)),
                "read": In(1),
                "read_index": In(INDEX_BITS),
                "read_kind": In(2),
                "read_valid": Out(1),
                "read_total": Out(TOTAL_BITS),
                "parity": Out(1),
                **({"flip": In(WORD_BITS + slices(WORD_BITS))} if inject else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits, row = ceil_log2(self._depth), self.row
        m.submodules.sums = sums = _Squares(self._lanes)
        m.submodules.lows = lows = _Squares(self._lanes)
        m.submodules.main = main = _Totals(2 * self._depth, self._inject)  # OUT of all matrices, then INT8_ERR
        m.submodules.err = err = _Totals(self._depth, self._inject)
        m.d.comb += [
            sums.en.eq(row.valid),
            sums.grid.eq(Mux(row.difference, row.grids.int8_err, row.grids.out)),
            sums.mask.eq(row.mask),
            sums.acc.eq(row.sums),
            lows.en.eq(row.valid & row.low_valid),
            lows.grid.eq(row.grids.err),
            lows.mask.eq(row.mask),
            lows.acc.eq(row.lows),
        ]

        # What travels beside the squares. A row that came before `clear` must not count after it.
        tag = data.StructLayout({"difference": 1, "low": 1, "planes": bits})
        now = Signal(tag)
        valid = row.valid
        m.d.comb += [now.difference.eq(row.difference), now.low.eq(row.low_valid), now.planes.eq(row.planes)]
        under_way = []
        for i in range(_Squares.LATENCY):
            later = Signal(tag, name=f"s{i + 1}_tag", reset_less=True)
            later_valid = Signal(name=f"s{i + 1}_valid")
            m.d.sync += later_valid.eq(valid & ~self.clear)
            with m.If(valid):
                m.d.sync += later.eq(now)
            now, valid = later, later_valid
            under_way.append(valid)

        # Only a `clear` with something to forget counts: without that, generations that end at once would use up the
        # epochs.
        clear = Signal()
        dirty = Signal(init=1, reset_less=True)
        m.d.comb += clear.eq(self.clear & dirty)
        with m.If(row.valid | self.init):
            m.d.sync += dirty.eq(1)
        with m.Elif(self.clear):
            m.d.sync += dirty.eq(0)

        # A cycle without a row serves a read, or refreshes the next total: either adds zero.
        pending, reading, refresh = (Signal(name=name) for name in ("pending", "reading", "refresh"))
        left = Signal(range(2 * self._depth + 1), reset_less=True)  # totals that may be of an old generation
        at = Signal(range(2 * self._depth), reset_less=True)
        # What is under way is lost; a refresh that is has its turn again, or one that is lost each time would let its
        # word grow too old.
        lost = Signal()
        refreshing = Signal(_Totals.LATENCY, reset_less=True)
        m.d.comb += [
            lost.eq(clear | ResetSignal()),
            reading.eq(pending & ~self.clear & ~Cat(row.valid, *under_way).any()),
            refresh.eq(~valid & ~reading & ~lost & (left != 0)),
        ]
        with m.If(self.read):
            m.d.sync += pending.eq(1)
        with m.Elif(reading):
            m.d.sync += pending.eq(0)
        back = Signal(range(_Totals.LATENCY + 1))
        m.d.comb += back.eq(sum(refreshing[i] for i in range(_Totals.LATENCY)))
        m.d.sync += refreshing.eq(Mux(lost, 0, Cat(refresh, refreshing)))
        with m.If(lost):
            m.d.sync += at.eq(Mux(at < back, at + 2 * self._depth, at) - back)
        with m.Elif(refresh):
            m.d.sync += at.eq(Mux(at >= 2 * self._depth - 1, 0, at + 1))
        with m.If(clear):
            m.d.sync += left.eq(2 * self._depth)
        with m.Elif(ResetSignal()):
            m.d.sync += left.eq(left + back)
        with m.Elif(refresh):
            m.d.sync += left.eq(left - 1)
        difference = Signal()
        index = Signal(bits)
        m.d.comb += [difference.eq(now.difference), index.eq(now.planes)]
        with m.If(reading):
            m.d.comb += [difference.eq(self.read_kind == Kind.INT8_ERR), index.eq(self.read_index)]
        main_address = Signal(range(2 * self._depth))
        upper = Signal()
        m.d.comb += [main_address.eq(Mux(difference, self._depth, 0) + index), upper.eq(at >= self._depth)]
        m.d.comb += [
            main.en.eq(valid | reading | refresh),
            main.addr.eq(Mux(refresh, at, main_address)),
            main.term.eq(Mux(valid, sums.total, 0)),
            err.en.eq((valid & now.low) | reading | refresh),
            err.addr.eq(Mux(refresh, Mux(upper, at - self._depth, at), index)),
            err.term.eq(Mux(valid & now.low, lows.total, 0)),
            self.parity.eq(main.parity | err.parity),
        ]
        for totals in (main, err):
            m.d.comb += [totals.init.eq(self.init), totals.init_addr.eq(self.init_addr), totals.clear.eq(clear)]

        if self._inject:
            m.d.comb += [main.flip.eq(self.flip), err.flip.eq(self.flip)]

        answer = reading
        for i in range(_Totals.LATENCY):
            later = Signal(name=f"answer_{i + 1}")
            m.d.sync += later.eq(answer)
            answer = later
        m.d.comb += self.read_valid.eq(answer)
        with m.Switch(self.read_kind):
            with m.Case(Kind.OUT, Kind.INT8_ERR):
                m.d.comb += self.read_total.eq(main.total)
            with m.Case(Kind.ERR):
                m.d.comb += self.read_total.eq(err.total)
        return m


class _Squares(wiring.Component):
    """Sum over the lanes in `mask` of (acc >> grid, saturated to 16 bits) squared, LATENCY cycles after `en`."""

    LATENCY = 4

    def __init__(self, lanes):
        self._lanes = lanes
        self._sum_bits = 2 * TERM_BITS - 1 + ceil_log2(lanes)
        super().__init__(
            {
                "en": In(1),
                "grid": In(GRID_BITS),
                "mask": In(lanes),
                "acc": In(data.ArrayLayout(signed(ACC_WIDTH), lanes)),
                "total": Out(self._sum_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        s1_valid = Signal()
        s2_valid = Signal()
        s3_valid = Signal()
        s1_fine = Signal(range(_COARSE), reset_less=True)
        m.d.sync += [s1_valid.eq(self.en), s2_valid.eq(s1_valid), s3_valid.eq(s2_valid)]
        with m.If(self.en):
            m.d.sync += s1_fine.eq(self.grid)
        squares = []
        for k in range(self._lanes):
            acc = Signal(signed(ACC_WIDTH), name=f"acc_{k}")
            m.d.comb += acc.eq(self.acc[k])

            # Stage 1: shift by whole chunks. `s1_over`: what lies above the window is more than the sign.
            negative = acc[-1]
            window = Signal(2 * _COARSE - 1, name=f"window_{k}")
            over = Signal(name=f"over_{k}")
            s1_window = Signal(signed(2 * _COARSE), name=f"s1_window_{k}", reset_less=True)
            s1_over = Signal(name=f"s1_over_{k}", reset_less=True)
            s1_mask = Signal(name=f"s1_mask_{k}", reset_less=True)
            with m.Switch(self.grid[4:]):
                for chunk in range(1 << (GRID_BITS - 4)):
                    with m.Case(chunk):
                        first = chunk * _COARSE
                        inside = acc[first : first + 2 * _COARSE - 1]
                        above = acc[first + 2 * _COARSE - 1 :]
                        m.d.comb += window.eq(Cat(inside, negative.replicate(2 * _COARSE - 1 - len(inside))))
                        if len(above):
                            m.d.comb += over.eq(above != negative.replicate(len(above)))
            with m.If(self.en):
                m.d.sync += [s1_window.eq(Cat(window, negative)), s1_over.eq(over), s1_mask.eq(self.mask[k])]

            # Stage 2: shift by the rest, saturate.
            shifted = Signal(signed(2 * _COARSE), name=f"shifted_{k}")
            fits = Signal(name=f"fits_{k}")
            s2_term = Signal(signed(TERM_BITS), name=f"s2_term_{k}", reset_less=True)
            sign = s1_window[-1]
            m.d.comb += [
                shifted.eq(s1_window >> s1_fine),
                fits.eq(~s1_over & (shifted[TERM_BITS - 1 :] == sign.replicate(len(shifted) - TERM_BITS + 1))),
            ]
            with m.If(s1_valid):
                saturated = Cat((~sign).replicate(TERM_BITS - 1), sign)
                m.d.sync += s2_term.eq(Mux(s1_mask, Mux(fits, shifted[:TERM_BITS], saturated), 0))

            # Stage 3: square.
            s3_square = Signal(2 * TERM_BITS - 1, name=f"s3_square_{k}", reset_less=True)
            with m.If(s2_valid):
                m.d.sync += s3_square.eq(s2_term * s2_term)
            squares.append(s3_square)

        # Stage 4: sum of the lanes.
        while len(squares) > 1:
            squares = [a + b for a, b in zip(squares[::2], squares[1::2])] + squares[len(squares) & ~1 :]
        s4_total = Signal(self._sum_bits, reset_less=True)
        with m.If(s3_valid):
            m.d.sync += s4_total.eq(squares[0])
        m.d.comb += self.total.eq(s4_total)
        return m


class _Totals(wiring.Component):
    """Memory of totals: `term` is added to the total at `addr` when `en`, any address every cycle; the new one is shown
    LATENCY cycles later. A word whose epoch is not this generation's counts as zero. Additions under way at `clear`
    belong to the time before it.
    """

    LATENCY = 3

    def __init__(self, depth, inject):
        self._depth, self._inject = depth, inject
        super().__init__(
            {
                "clear": In(1),
                "init": In(1),
                "init_addr": In(range(depth)),
                "en": In(1),
                "addr": In(range(depth)),
                "term": In(TOTAL_BITS),
                "total": Out(TOTAL_BITS),
                "parity": Out(1),
                **({"flip": In(WORD_BITS + slices(WORD_BITS))} if inject else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.store = store = ParityMemory(WORD_BITS, self._depth, inject=self._inject)
        # Part of the memory's contents: a reset that took it back would bring old words back to life.
        epoch = Signal(EPOCH_BITS, reset_less=True)
        with m.If(self.clear):
            m.d.sync += epoch.eq(epoch + 1)
        if self._inject:
            m.d.comb += store.flip.eq(self.flip)

        # Stage 1: read. Stage 2: the total, unless it is of another epoch or still under way. Stage 3: add. Then it is
        # written.
        s1_valid, s2_valid, s3_valid, s4_valid = (Signal(name=f"s{i}_valid") for i in range(1, 5))
        s1_addr, s2_addr, s3_addr, s4_addr = (
            Signal(range(self._depth), name=f"s{i}_addr", reset_less=True) for i in range(1, 5)
        )
        s1_term, s2_term = (Signal(TOTAL_BITS, name=f"s{i}_term", reset_less=True) for i in range(1, 3))
        s2_old, s3_total, s4_total = (
            Signal(TOTAL_BITS, name=n, reset_less=True) for n in ("s2_old", "s3_total", "s4_total")
        )
        # the addition 1, 2 or 3 cycles ahead is of the same total
        after_1 = Signal()
        after_2 = Signal()
        after_3 = Signal()
        s2_after = Signal(reset_less=True)
        m.d.sync += [
            s1_valid.eq(self.en & ~self.clear),
            s2_valid.eq(s1_valid & ~self.clear),
            s3_valid.eq(s2_valid & ~self.clear),
            s4_valid.eq(s3_valid & ~self.clear),
        ]
        with m.If(self.en):
            m.d.sync += [s1_addr.eq(self.addr), s1_term.eq(self.term)]
        m.d.comb += [
            after_1.eq(s2_valid & (s1_addr == s2_addr)),
            after_2.eq(s3_valid & (s1_addr == s3_addr)),
            after_3.eq(s4_valid & (s1_addr == s4_addr)),
        ]
        with m.If(s1_valid):
            m.d.sync += [s2_addr.eq(s1_addr), s2_term.eq(s1_term), s2_after.eq(after_1)]
            with m.If(after_2):
                m.d.sync += s2_old.eq(s3_total)
            with m.Elif(after_3):
                m.d.sync += s2_old.eq(s4_total)
            with m.Else():
                m.d.sync += s2_old.eq(Mux(store.rd_data[TOTAL_BITS:] == epoch, store.rd_data[:TOTAL_BITS], 0))
        base = Signal(TOTAL_BITS)
        m.d.comb += base.eq(Mux(s2_after, s3_total, s2_old))
        with m.If(s2_valid):
            m.d.sync += [s3_addr.eq(s2_addr), s3_total.eq(base + s2_term)]
        with m.If(s3_valid):
            m.d.sync += [s4_addr.eq(s3_addr), s4_total.eq(s3_total)]
        m.d.comb += [
            # A word that is being written is not read: the total comes from stage 4.
            store.rd_en.eq(self.en & ~(s3_valid & (self.addr == s3_addr))),
            store.rd_addr.eq(self.addr),
            self.parity.eq(store.error),
            store.wr_en.eq(s3_valid & ~self.clear | self.init),
            store.wr_addr.eq(Mux(self.init, self.init_addr, s3_addr)),
            store.wr_data.eq(Cat(s3_total, epoch)),
            self.total.eq(s3_total),
        ]
        return m
