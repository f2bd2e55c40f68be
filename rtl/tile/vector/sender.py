"""Sender: packs the vector lanes' FP16 results into words and puts them, sums, maxima and candidates on the ring."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, fifo, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.constants import ACC_WIDTH
from hayate.rtl.contract.flits import FLIT_FIELDS, KIND_BITS, NEAR_ADDRESS, STOP_BITS, WORD_BITS, FlitKind
from hayate.rtl.contract.isa import ACT_BITS, CHANNEL_BITS, GLOBAL_ROW_BITS, LOOP_BITS, ROUNDS_AHEAD, SendMode
from hayate.rtl.contract.words import CANDIDATE, CANDIDATE_ADDRESS, MAX_ADDRESS, PASS_SIZE_BITS, SUM_ADDRESS
from hayate.rtl.ring.flit import flit_layout, flit_stream, pack
from hayate.rtl.tile.interfaces import apart_log2
from hayate.rtl.tile.queues import TileState

#: Quads that may wait for the ring, reserved ones included; the natural depth of a distributed RAM.
QUADS = 16
#: flits that wait for the ring.
FLITS = 4
JOBS = 4
#: Mode of a SUM job whose values are the filters' counts.
COUNTED = 1


def job_layout(lanes):
    """One instruction's worth of flits: the words of a RUN (`kind` DATA), or one value per lane (SUM, MAX, CAND), and a
    SYNC.
    """
    return data.StructLayout(
        {
            "kind": KIND_BITS,
            "mode": 2,
            "addr": ACT_BITS,
            "lo": STOP_BITS,
            "hi": STOP_BITS,
            "end": STOP_BITS,
            "chan": CHANNEL_BITS,
            "quads": ACT_BITS,
            "round": LOOP_BITS,
            "active": lanes,
            "vec": 1,
        }
    )


class Sender(wiring.Component):
    """Walks jobs in order: for each quad (or once) a flit with a word of every active lane, two for sums, and at last a
    SYNC, but for sums of attention, which the receivers count.

    Lanes of a flit are those that receive. They are the vector lanes, but for two modes: queries go from positions to
    attention vectors, a whole head's side by side, and attention outputs come back, for which a quad takes a flit for
    each head that its round has.

    Words of a DATA job are made from `halves`: 4 consecutive ones per lane, first in the low bits. Every quad must have
    been reserved (`reserve`, allowed while `credit` is high) before its first half comes; it needs no further
    back-pressure then. Addresses follow `SendMode`. A job may be given before its halves come; halves of a job come
    before those of the next. SUM, MAX and CAND read their values as they go; `done` strobes when the last has been
    read, and `done_kind` says of which kind. Throughput: a flit a cycle, and one cycle more for every job; a quad
    without an active lane takes one cycle. Latency: a quad's first flit is offered 3 cycles after its last half. Reset
    empties everything.

    A job of one quad for two lanes::

        cycle       0   1   2   3   4   5   6   7   8   9
        job.valid   ~~~~____________________________________
        reserve     ~~~~____________________________________
        half_valid  ____~~~~~~~~~~~~~~~~____________________
        started     ________~~~~~~~~~~~~~~~~~~~~____________
        emit        ____________________~~~~________________
        finish      ________________________~~~~____________
        tx.valid    ____________________________~~~~~~~~____
        busy        ____~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~____

    Parameters
    ----------
    lanes: M, 1 to 8, a power of two. counts: there are filters, whose counts are sent too.

    Members
    -------
    job: In, stream of `job_layout(lanes)`.
    tile, positions: In, of the pass. Constant while busy.
    reserve: In. credit: Out.
    half_valid: In. halves: In, `lanes` x 16 bits.
    counts: In, `lanes` x 128 bits. What a SUM job of mode COUNTED sends in place of sums, with `addr` that of the job,
        which is even, and one more.
    sums, maxima, best, rows: In, `lanes` x 96, 32, 32 and 20 bits. Sums and maxima have the job's round in `addr`; a
        candidate is a `words.CANDIDATE` of best and row.
    sums_valid, maxima_valid: In. A job that sends sums or maxima waits for it, and takes it to stay until `done`.
    pair: In. Behind the candidates comes another of lane 0, with `addr` 1: second (32) | second_row (20) << 32, In.
    done: Out. busy: Out, a job or a flit is waiting.
    tx: Out, stream of Flit; src is left 0.
    """

    def __init__(self, lanes: int, *, counts: bool = False):
        self.lanes, self._counts = lanes, counts
        super().__init__(
            {
                **({"counts": In(128).array(lanes)} if counts else {}),
                "job": In(stream.Signature(job_layout(lanes))),
                "tile": In(TileState),
                "positions": In(PASS_SIZE_BITS),
                "reserve": In(1),
                "credit": Out(1),
                "half_valid": In(1),
                "halves": In(16).array(lanes),
                "sums": In(ACC_WIDTH).array(lanes),
                "maxima": In(32).array(lanes),
                "sums_valid": In(1),
                "maxima_valid": In(1),
                "best": In(32).array(lanes),
                "rows": In(GLOBAL_ROW_BITS).array(lanes),
                "pair": In(1),
                "second": In(32),
                "second_row": In(GLOBAL_ROW_BITS),
                "done": Out(1),
                "done_kind": Out(KIND_BITS),
                "busy": Out(1),
                "tx": Out(flit_stream(lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lanes = self.lanes
        layout = job_layout(lanes)
        m.submodules.jobs = jobs = fifo.SyncFIFO(width=layout.size, depth=JOBS)
        # the oldest one, and from its first cycle on a copy: the queue's output comes late
        first = Signal(layout)
        job = Signal(layout)
        m.d.comb += [
            jobs.w_data.eq(self.job.payload),
            jobs.w_en.eq(self.job.valid),
            self.job.ready.eq(jobs.w_rdy),
            first.eq(jobs.r_data),
        ]

        # Quads: written half by half, so no packing register is needed.
        pop = Signal()
        head = Signal(ceil_log2(QUADS))
        tail = Signal(ceil_log2(QUADS))
        filled = Signal(2)
        waiting = Signal(range(QUADS + 1))
        reserved = Signal(range(QUADS + 1))
        complete = Signal()
        m.d.comb += [complete.eq(self.half_valid & (filled == 3)), self.credit.eq(reserved != QUADS)]
        with m.If(self.half_valid):
            m.d.sync += filled.eq(filled + 1)
        with m.If(complete):
            m.d.sync += tail.eq(tail + 1)
        with m.If(pop):
            m.d.sync += head.eq(head + 1)
        with m.If(complete ^ pop):
            m.d.sync += waiting.eq(Mux(pop, waiting - 1, waiting + 1))
        with m.If(self.reserve ^ pop):
            m.d.sync += reserved.eq(Mux(pop, reserved - 1, reserved + 1))
        words = []
        for k in range(lanes):
            m.submodules[f"quads_{k}"] = store = memory.Memory(shape=64, depth=QUADS, init=[])
            write, read = store.write_port(granularity=16), store.read_port(domain="comb")
            m.d.comb += [
                write.en.eq(Mux(self.half_valid, Const(1, 4) << filled, 0)),
                write.addr.eq(tail),
                read.addr.eq(head),
                write.data.eq(self.halves[k].replicate(4)),
            ]
            words.append(read.data)

        # Walk: choose what goes next.
        started = Signal()
        upper = Signal()
        left = Signal(lanes)
        quads_left = Signal(ACT_BITS)
        # of the job, and of the quads left: none of it is computed where it decides
        is_data = Signal()
        more_quads = Signal()
        offset = Signal(ACT_BITS)
        rest = Signal(lanes)
        more = Signal()
        emit = Signal()
        skip = Signal()
        finish = Signal()
        fits = Signal(lanes)  # lanes in `left` that share a flit with the lowest of them
        flit_last = Signal()
        s1_free = Signal()
        m.d.comb += [
            rest.eq(left & ~fits),
            flit_last.eq(~rest.any()),
            more.eq(Mux(is_data, more_quads, left.any())),
            skip.eq(started & is_data & more & (waiting != 0) & ~left.any()),
            emit.eq(started & more & left.any() & (~is_data | (waiting != 0)) & s1_free),
            finish.eq(started & ~more & s1_free),
            pop.eq(skip | (emit & is_data & flit_last)),
            jobs.r_en.eq(finish),
            self.done.eq(finish & ~is_data),
            self.done_kind.eq(job.kind),
        ]
        with m.If(jobs.r_rdy & ~started):
            m.d.sync += [
                job.eq(first),
                is_data.eq(first.kind == FlitKind.DATA),
                more_quads.eq(first.quads != 0),
                left.eq(first.active),
                quads_left.eq(first.quads),
                offset.eq(first.addr),
                upper.eq(0),
            ]
            sums = first.kind == FlitKind.SUM
            if self._counts:
                sums &= first.mode != COUNTED
            with m.If(~sums & (first.kind != FlitKind.MAX) | Mux(sums, self.sums_valid, self.maxima_valid)):
                m.d.sync += started.eq(1)
        with m.If(finish):
            m.d.sync += started.eq(0)
        with m.If(emit):
            with m.If(((job.kind == FlitKind.SUM) | (job.kind == FlitKind.CAND) & self.pair & left[0]) & ~upper):
                m.d.sync += upper.eq(1)
            with m.Else():
                m.d.sync += left.eq(rest)
        with m.If(pop):
            m.d.sync += [
                left.eq(job.active),
                quads_left.eq(quads_left - 1),
                more_quads.eq(quads_left != 1),
                offset.eq(offset + Mux(job.mode == SendMode.SLOTS, self.tile.group_size, 1)),
            ]

        s1 = self._place(m, job, left, fits, offset, upper, is_data)
        value = self._value(m, job, upper, words)

        # A register, what and where; then, with the address, a queue: whether the ring takes a flit is known late in a
        # cycle, and so moves nothing but the queue's pointer.
        s1_valid = Signal()
        s1_sync = Signal()
        head = {"end": STOP_BITS, **{name: FLIT_FIELDS[name] for name in ("kind", "lo", "hi", "chan")}}
        s1_head = Signal(data.StructLayout(head))
        s1_addr = Signal(ACT_BITS)
        s1_factor = Signal(8)
        s1_mask = Signal(lanes)
        s1_data = Signal(WORD_BITS * lanes)
        made = Signal(flit_layout(lanes))
        oldest = Signal(range(FLITS))
        newest = Signal(range(FLITS))
        level = Signal(range(FLITS + 1))
        m.submodules.flits = flits = memory.Memory(shape=flit_layout(lanes), depth=FLITS, init=[])
        write, read = flits.write_port(), flits.read_port(domain="comb")
        m.d.comb += s1_free.eq(~s1_valid | (level != FLITS))
        with m.If(s1_free):
            m.d.sync += s1_valid.eq(emit | finish & ~((job.kind == FlitKind.SUM) & job.vec))
        with m.If(emit | finish):
            m.d.sync += [
                s1_sync.eq(finish),
                *(s1_head[name].eq(job[name]) for name in head),
                s1_addr.eq(Mux(finish, 0, s1["addr"])),
                s1_factor.eq(Mux(finish, 0, s1["factor"])),
                s1_mask.eq(Mux(finish, 0, s1["mask"])),
                s1_data.eq(Mux(finish, 0, self._turned(m, value, s1["turn"]))),
            ]
        m.d.comb += [
            *(made[name].eq(s1_head[name]) for name in ("lo", "hi", "chan")),
            made.near.eq(s1_head.end.any()),
            made.mask.eq(s1_mask),
            made.data.eq(s1_data),
            made.kind.eq(Mux(s1_sync, FlitKind.SYNC, s1_head.kind)),
            made.addr.eq(pack(NEAR_ADDRESS, addr=(s1_addr + s1_factor * self.tile.hdq)[:ACT_BITS], end=s1_head.end)),
        ]
        put, get = s1_valid & (level != FLITS), self.tx.valid & self.tx.ready
        m.d.comb += [
            write.en.eq(put),
            write.addr.eq(newest),
            write.data.eq(made),
            read.addr.eq(oldest),
            self.tx.payload.eq(read.data),
            self.tx.valid.eq(level != 0),
            self.busy.eq(jobs.r_rdy | s1_valid | (level != 0)),
        ]
        m.d.sync += [newest.eq(newest + put), oldest.eq(oldest + get), level.eq(level + put - get)]
        return m

    def _place(self, m, job, left, fits, offset, upper, is_data):
        """Lanes, address and factor of the head dimension that a flit goes to, by the job's mode, and by how many lanes
        words are turned upwards for it. `fits` is set.

        Attention vectors v = head * P + position, where P is the next power of two of positions, are lane v % M of
        round v // M.
        """
        lanes, shift = self.lanes, ceil_log2(self.lanes)
        out = {
            "mask": Signal(lanes, name="to_mask"),
            "addr": Signal(ACT_BITS, name="to_addr"),
            "factor": Signal(8, name="to_factor"),
            "turn": Signal(shift, name="turn"),
        }
        apart = Signal(range(max(shift, 1) + 1))  # log2 P
        first = Signal(max(shift, 1))  # lowest lane in `left`
        vector = Signal(LOOP_BITS + shift)
        outputs = Signal()
        m.d.comb += [
            apart.eq(apart_log2(self.positions, lanes)),
            outputs.eq(is_data & (job.mode == SendMode.OUTPUT)),
            fits.eq(Cat(~outputs | (first >> apart == k >> apart) for k in range(lanes))),
            out["mask"].eq(left & fits),
            out["addr"].eq(offset),
        ]
        for k in reversed(range(lanes)):
            with m.If(left[k]):
                m.d.comb += first.eq(k)
        of_round = job.round[: ceil_log2(ROUNDS_AHEAD)]
        with m.Switch(job.kind):
            with m.Case(FlitKind.SUM):
                m.d.comb += out["addr"].eq(
                    pack(SUM_ADDRESS, high=upper, counts=Const(0, 1), round=of_round, vec=job.vec)
                )
                if self._counts:
                    with m.If(job.mode == COUNTED):
                        m.d.comb += out["addr"].eq(offset | upper)
            with m.Case(FlitKind.MAX):
                m.d.comb += out["addr"].eq(pack(MAX_ADDRESS, round=of_round))
            with m.Case(FlitKind.CAND):
                m.d.comb += out["addr"].eq(pack(CANDIDATE_ADDRESS, second=upper))
                with m.If(upper):
                    m.d.comb += out["mask"].eq(1)
        with m.If(is_data & (job.mode == SendMode.QUERY)):
            m.d.comb += [
                vector.eq(job.round << apart),
                out["turn"].eq(vector),
                out["factor"].eq(vector >> shift),
                out["mask"].eq(left << vector[:shift]),
            ]
        with m.Elif(outputs):
            base = (first >> apart << apart)[:shift]
            m.d.comb += [
                vector.eq(Cat(first[:shift], job.round)),
                out["turn"].eq(-base),
                out["factor"].eq(vector >> apart),
                out["mask"].eq((left & fits) >> base),
            ]
        return out

    def _turned(self, m, value, turn):
        """Words of the lanes, each `turn` lanes further up, the uppermost ones at the bottom."""
        for n in range(len(turn)):
            turned = Signal.like(value, name=f"turned_{n}")
            m.d.comb += turned.eq(Mux(turn[n], value.rotate_left(WORD_BITS << n), value))
            value = turned
        return value

    def _value(self, m, job, upper, words):
        """Words of the lanes."""
        value = Signal(WORD_BITS * self.lanes)
        for k in range(self.lanes):
            word = value.word_select(k, WORD_BITS)
            with m.Switch(job.kind):
                with m.Case(FlitKind.DATA):
                    m.d.comb += word.eq(words[k])
                with m.Case(FlitKind.SUM):
                    m.d.comb += word.eq(Mux(upper, self.sums[k][64:], self.sums[k][:64]))
                    if self._counts:
                        with m.If(job.mode == COUNTED):
                            m.d.comb += word.eq(Mux(upper, self.counts[k][64:], self.counts[k][:64]))
                with m.Case(FlitKind.MAX):
                    m.d.comb += word.eq(self.maxima[k])
                with m.Case(FlitKind.CAND):
                    m.d.comb += word.eq(pack(CANDIDATE, value=self.best[k], token=self.rows[k]))
                    if k == 0:
                        with m.If(upper):
                            m.d.comb += word.eq(pack(CANDIDATE, value=self.second, token=self.second_row))
        return value
