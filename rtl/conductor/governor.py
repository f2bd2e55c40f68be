"""The precision governor: collects the energies that the tiles measured and chooses the format of every matrix."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.flits import CONDUCTOR, FlitKind
from hayate.rtl.contract.isa import INDEX_BITS, Energy, Space
from hayate.rtl.contract.precision import SENS_BITS, Format
from hayate.rtl.contract.topology import FIRST_STOP, LAST_STOP
from hayate.rtl.contract.words import ENERGY_ADDRESS, MATRIX_WORDS, PRECISION_ADDRESS
from hayate.rtl.interfaces import MATRIX_WRITE, Look, RingPort
from hayate.rtl.memory.parity import ParityMemory
from hayate.rtl.ring.flit import pack, view

TOTAL_BITS = 64  # of a tile's answer
SUM_BITS = 72  # over all tiles
KNOB_SHIFT = 16  # the rule compares sensitivity * error * 2**16 with knob * output

#: entry of the table of matrices: the fields of the words that the load window writes, one behind the other.
Matrix = data.StructLayout({field.name: field.bits for word in MATRIX_WORDS for field in word.fields})
LOW_BITS = MATRIX_WORDS[0].bits

#: KIND of a result that is no energy: the decision, a `Format`.
DECISION = 3


class Governor(wiring.Component):
    """For each matrix in its table: asks all tiles for their three energies, adds the answers up, decides, tells all
    tiles.

    FP16 if the matrix has that copy and sens_int8_err * INT8_ERR * 2**16 > knob * OUT; else INT8 if sens_err * ERR *
    2**16 > knob * OUT; else INT4. Sums have 72 bits, products are exact, 0 > 0 is false. One matrix is multiplied while
    the next one's answers arrive: a matrix takes 36 cycles, or 5 more than from its first question to the last of 3 *
    `tiles` answers, whichever is longer. The tiles are told in order of the matrices, by LOAD flits of space CSR; at
    most three questions are unanswered at a time, and each tile answers them in order. Reset does not clear table and
    results; `init` clears the results, a word a cycle.

    A table of one matrix, and the only tile's answers::

        cycle          0    1    2    3    4    5    6    7    8    9    10   11   12   : 44   45   46   47   48
        start          ~~~~~____________________________________________________________: _________________________
        state          IDLE.FETC.LATC.ASK............COLL.....................FETC.LAST.: ...............IDLE......
        questions      _______________~~~~~~~~~~~~~~~___________________________________: _________________________
        ring.tx.valid  _______________~~~~~~~~~~~~~~~___________________________________: _____~~~~~_______________
        ring.rx.valid  ______________________________~~~~~~~~~~~~~~~____________________: _________________________
        missing        0..............3........................2....1....0..............: .........................
        busy           _____~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~: ~~~~~~~~~~~~~~~__________

    Parameters
    ----------
    tiles: tiles that answer a question: all that the ring has. matrices: entries of the table.

    Members
    -------
    start: In, strobe. busy: Out, from the cycle after `start` until the last flit has been taken and the last result
        stored.
    count (16): In, matrices in the table, at most `matrices`. knob (32): In. Both constant while `busy`.
    load: In(MATRIX_WRITE), writes the table, see `Matrix`. The low half goes first.
    ring: Out(RingPort). Of what arrives only answers (READ for the conductor, with ENERGY_BIT) are looked at.
    look: In(Look). `kind` is an `Energy`, or DECISION; `result` the low 64 bits of a sum, or a `Format`.
    init: In, a level, not while `busy`. initialized: Out, from 4 * matrices cycles behind the rise of `init` on until
        it falls.
    fault: Out. A damaged word was read from the table or the results, for one cycle.
    """

    def __init__(self, *, tiles, matrices):
        self._tiles, self._matrices = tiles, matrices
        super().__init__(
            {
                "start": In(1),
                "busy": Out(1),
                "count": In(16),
                "knob": In(32),
                "load": In(MATRIX_WRITE),
                "ring": Out(RingPort()),
                "look": In(Look()),
                "fault": Out(1),
                "init": In(1),
                "initialized": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.table = table = ParityMemory(Matrix.size, self._matrices)
        m.submodules.results = results = ParityMemory(TOTAL_BITS, 4 * self._matrices)
        m.submodules.verdict = verdict = _Verdict()

        # Host side.
        low = Signal(LOW_BITS)
        s1_look = Signal()
        with m.If(self.load.enable & ~self.load.address[0]):
            m.d.sync += low.eq(self.load.data)
        m.d.comb += [
            table.wr_en.eq(self.load.enable & self.load.address[0]),
            table.wr_addr.eq(self.load.address[1:]),
            table.wr_data.eq(Cat(low, self.load.data)),
            results.rd_en.eq(s1_look & ~results.wr_en),
            self.look.result.eq(results.rd_data),
            self.fault.eq(table.error | results.error),
        ]
        with m.If(self.look.strobe):
            m.d.sync += [s1_look.eq(1), results.rd_addr.eq(Cat(self.look.kind, self.look.matrix))]
        with m.Elif(~results.wr_en):
            m.d.sync += s1_look.eq(0)

        # Answers.
        sums = Array(Signal(SUM_BITS, name=f"sum_{kind.name.lower()}") for kind in Energy)
        missing = Signal(range(len(Energy) * self._tiles + 1))
        answer = Signal()
        arrived = self.ring.rx.payload
        answered = view(ENERGY_ADDRESS, arrived.addr)
        s1_answer = Signal()
        s1_kind = Signal(2)
        s1_total = Signal(TOTAL_BITS)
        ask = Signal()  # begins a matrix
        m.d.comb += answer.eq(
            self.ring.rx.valid & (arrived.kind == FlitKind.READ) & (arrived.lo == CONDUCTOR) & answered.energy
        )
        m.d.sync += s1_answer.eq(answer)
        with m.If(answer):
            m.d.sync += [s1_kind.eq(answered.kind), s1_total.eq(arrived.data)]
        with m.If(ask):
            m.d.sync += [*(s.eq(0) for s in sums), missing.eq(len(Energy) * self._tiles)]
        with m.Elif(s1_answer):
            m.d.sync += [sums[s1_kind].eq(sums[s1_kind] + s1_total), missing.eq(missing - 1)]

        # Walk over the table. A decision's LOAD goes out while the next matrix waits for its answers.
        at = Signal(16)
        entry = Signal(Matrix)
        kind = Signal(2)
        questions = Signal()
        m.d.comb += [
            table.rd_addr.eq(at),
            verdict.knob.eq(self.knob),
            verdict.sens_err.eq(entry.sens_err),
            verdict.sens_int8_err.eq(entry.sens_int8_err),
            verdict.fp16.eq(entry.fp16),
            *(verdict.sums[k].eq(sums[k]) for k in Energy),
            self.ring.tx.payload.lo.eq(FIRST_STOP),
            self.ring.tx.payload.hi.eq(LAST_STOP),
        ]
        decided = Signal(INDEX_BITS)  # planes index of the matrix in `verdict`
        told_at = Signal(16)  # and its place in the table
        with m.If(questions):
            m.d.comb += [
                self.ring.tx.payload.kind.eq(FlitKind.READ),
                self.ring.tx.payload.chan.eq(Space.COUNTER),
                self.ring.tx.payload.addr.eq(pack(ENERGY_ADDRESS, kind=kind, planes=entry.planes, energy=Const(1, 1))),
            ]
        with m.Else():
            m.d.comb += [
                self.ring.tx.payload.kind.eq(FlitKind.LOAD),
                self.ring.tx.payload.chan.eq(Space.CSR),
                self.ring.tx.payload.addr.eq(pack(PRECISION_ADDRESS, planes=decided, precision=Const(1, 1))),
                self.ring.tx.payload.data.eq(verdict.format),
            ]
        with m.FSM(name="walk"):
            with m.State("IDLE"):
                m.d.sync += at.eq(0)
                with m.If(self.start):
                    m.d.sync += self.busy.eq(1)
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += table.rd_en.eq(at != self.count)
                m.next = "LATCH"
                with m.If(at == self.count):
                    m.next = "LAST"
            with m.State("LATCH"):
                m.d.comb += ask.eq(1)
                m.d.sync += [entry.eq(table.rd_data), kind.eq(0)]
                m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += [questions.eq(1), self.ring.tx.valid.eq(1)]
                with m.If(self.ring.tx.ready):
                    m.d.sync += kind.eq(kind + 1)
                    with m.If(kind == len(Energy) - 1):
                        m.next = "COLLECT"
            with m.State("COLLECT"):
                m.d.comb += self.ring.tx.valid.eq(verdict.ready)
                with m.If((missing == 0) & ~verdict.busy):
                    m.d.comb += verdict.start.eq(1)
                    m.d.sync += [decided.eq(entry.planes), told_at.eq(at), at.eq(at + 1)]
                    m.next = "FETCH"
            with m.State("LAST"):
                m.d.comb += self.ring.tx.valid.eq(verdict.ready)
                with m.If(~verdict.busy):
                    m.d.sync += self.busy.eq(0)
                    m.next = "IDLE"
        m.d.comb += [
            verdict.taken.eq(self.ring.tx.valid & self.ring.tx.ready & ~questions),
            results.wr_en.eq(verdict.store),
            results.wr_addr.eq(Cat(verdict.store_kind, told_at)),
            results.wr_data.eq(verdict.store_data),
        ]
        swept = Signal(range(results.depth + 1))
        m.d.comb += self.initialized.eq(self.init & (swept == results.depth))
        with m.If(~self.init):
            m.d.sync += swept.eq(0)
        with m.Elif(~self.initialized):
            m.d.comb += [results.wr_en.eq(1), results.wr_addr.eq(swept), results.wr_data.eq(0)]
            m.d.sync += swept.eq(swept + 1)
        return m


class _Verdict(wiring.Component):
    """The rule, by one shift-and-add multiplier per energy, and what is to be stored.

    `start` takes sums and entry; `busy` from the next cycle until `taken`. `ready` rises 35 cycles after `start`, with
    `format`, and stays until `taken`. `store` shows the four results, one a cycle each.

    A decision that is told in its third cycle::

        cycle       0     1     2     3     4     5     : 32    33    34    35    36    37    38
        start       ~~~~~~______________________________: __________________________________________
        state       IDLE..MULTI.........................: ......COMPA.DECID.TELL..............IDLE..
        store       ______~~~~~~~~~~~~~~~~~~____________: ____________~~~~~~________________________
        store_kind  0...........1.....2.....3.....0.....: 3.....0.....3.....0.......................
        ready       ____________________________________: __________________~~~~~~~~~~~~~~~~~~______
        taken       ____________________________________: ______________________________~~~~~~______
        busy        ______~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~: ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~______
    """

    def __init__(self):
        super().__init__(
            {
                "start": In(1),
                "sums": In(SUM_BITS).array(len(Energy)),
                "fp16": In(1),
                "knob": In(SENS_BITS),
                "sens_err": In(SENS_BITS),
                "sens_int8_err": In(SENS_BITS),
                "busy": Out(1),
                "ready": Out(1),
                "taken": In(1),
                "format": Out(2),
                "store": Out(1),
                "store_kind": Out(2),
                "store_data": Out(TOTAL_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        factors = {Energy.OUT: self.knob, Energy.ERR: self.sens_err, Energy.INT8_ERR: self.sens_int8_err}
        step = Signal(range(SENS_BITS + 1))
        multiply = Signal()
        fp16 = Signal()
        terms, products = [], []
        for kind, factor in factors.items():
            name = kind.name.lower()
            term = Signal(SUM_BITS, name=f"term_{name}")
            upper = Signal(SUM_BITS, name=f"upper_{name}")
            lower = Signal(SENS_BITS, name=f"lower_{name}")
            # `lower` holds the factor's bits that are still to come, and above them the product's lowest.
            added = Signal(SUM_BITS + 1, name=f"added_{name}")
            m.d.comb += added.eq(upper + Mux(lower[0], term, 0))
            with m.If(self.start):
                m.d.sync += [term.eq(self.sums[kind]), upper.eq(0), lower.eq(factor)]
            with m.Elif(multiply):
                m.d.sync += [upper.eq(added >> 1), lower.eq(Cat(lower[1:], added[0]))]
            terms.append(term)
            products.append(Cat(lower, upper))
        # Bits of the output's product below 2**16 cannot turn a comparison of integers times 2**16.
        out = products[Energy.OUT][KNOB_SHIFT:]
        fragile = Signal()
        err_large = Signal()
        m.d.comb += self.store_data.eq(Array(terms)[step[:2]])
        with m.FSM(name="rule"):
            with m.State("IDLE"):
                m.d.sync += step.eq(0)
                with m.If(self.start):
                    m.d.sync += [self.busy.eq(1), fp16.eq(self.fp16)]
                    m.next = "MULTIPLY"
            with m.State("MULTIPLY"):
                m.d.comb += [multiply.eq(1), self.store.eq(step < len(Energy)), self.store_kind.eq(step)]
                m.d.sync += step.eq(step + 1)
                with m.If(step == SENS_BITS - 1):
                    m.next = "COMPARE"
            with m.State("COMPARE"):
                m.d.sync += [fragile.eq(products[Energy.INT8_ERR] > out), err_large.eq(products[Energy.ERR] > out)]
                m.next = "DECIDE"
            with m.State("DECIDE"):
                m.d.comb += [self.store.eq(1), self.store_kind.eq(DECISION), self.store_data.eq(self.format)]
                m.d.sync += self.ready.eq(1)
                m.next = "TELL"
            with m.State("TELL"):
                with m.If(self.taken):
                    m.d.sync += [self.ready.eq(0), self.busy.eq(0)]
                    m.next = "IDLE"
        with m.If(fragile & fp16):
            m.d.comb += self.format.eq(Format.FP16)
        with m.Elif(err_large):
            m.d.comb += self.format.eq(Format.INT8)
        with m.Else():
            m.d.comb += self.format.eq(Format.INT4)
        return m
