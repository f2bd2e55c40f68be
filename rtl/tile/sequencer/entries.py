"""How an instruction and what the sequencer has looked up and computed for it become an entry of an engine's queue."""

from amaranth.hdl import Mux, Signal
from amaranth.lib import data
from amaranth.utils import ceil_log2

from hayate.rtl.contract.encoding import DESCRIPTOR, FORMATS, OPERATIONS, PLANES
from hayate.rtl.contract.isa import (
    ACT_BITS,
    BANK_BITS,
    COUNT_BITS,
    EXPONENT_BITS,
    INDEX_BITS,
    LOCAL_ROW_BITS,
    LOOP_BITS,
    OP_BITS,
    ROUNDS_AHEAD,
    ROW_BITS,
    VMEM_BITS,
    Cast,
    Op,
    Rows,
)
from hayate.rtl.contract.precision import Format
from hayate.rtl.contract.words import SLOT_BITS
from hayate.rtl.ring.flit import struct
from hayate.rtl.tile.entry_memory import used

#: the descriptors as structures of signals.
Descriptor = struct(DESCRIPTOR)
Planes = struct(PLANES)

#: bits of an instruction that are stored.
INSTRUCTIONS = used(operation.word for operation in OPERATIONS.values())


def descriptor_bits(desc_depth, nested):
    """Bits of a descriptor that are stored, see `used`: of what names a descriptor, or a word of a buffer, no more than
    there are of them.
    """
    words = (DESCRIPTOR, PLANES) if nested else (DESCRIPTOR,)
    return used(words, alt=ceil_log2(desc_depth) if nested else 0, quad0=ACT_BITS)


#: what the sequencer has resolved for an instruction when it pushes the entry.
_RESOLVED = {
    "address": ACT_BITS,  # of activations
    "send_addr": ACT_BITS,  # of a RUN
    "count": COUNT_BITS,  # of a wait
    "base": BANK_BITS,  # first word of the block that the primary descriptor names
    "words": ROW_BITS,
    "rows": LOCAL_ROW_BITS,
    "s_in": EXPONENT_BITS,  # of the primary descriptor
    "round": LOOP_BITS,  # loop register J
    "of_chunk": ceil_log2(ROUNDS_AHEAD),  # and which round of its chunk that is
    "slide": VMEM_BITS,  # of a RUN
    "slot_rows": SLOT_BITS,  # KV slots of this tile, whole quads, and those in use
    "live_slots": SLOT_BITS,
    "quads": SLOT_BITS,  # KV slots in use, in quads
}
_RESOLVED_NESTED = {
    "integer": 1,  # a GEMV of weights that have planes; the rest is used only then
    "measure": 1,
    "format": 2,
    "planes": INDEX_BITS,  # index of the planes descriptor
    "hi_base": BANK_BITS,
    "lo_base": BANK_BITS,
}


def resolved_layout(nested):
    """`Resolved`: what the sequencer hands to `matrix_entry` and `vector_entry`; `nested`: GEMVs may be of weights with
    planes.
    """
    return data.StructLayout({**_RESOLVED, **(_RESOLVED_NESTED if nested else {})})


def field(word, name, *ops):
    """Field `name` of the instruction in `word`; its place is the same in all of `ops` (checked)."""
    places = {FORMATS[op][name] for op in ops}
    assert len(places) == 1, f"{name} lies in different places in {ops}"
    at, width = places.pop()
    return word[at : at + width]


def _channel(word, r, *ops):
    """Channel that an instruction names; with `by_round`, the one of this round."""
    return field(word, "chan", *ops) + Mux(field(word, "by_round", *ops), r.of_chunk, 0)


def matrix_entry(m, entry, word, desc, planes, r):
    """Drive `entry` (of any `matrix_entry_layout`) for the instruction in `word`.

    desc: the primary descriptor, if the instruction is no GEMV with planes. planes: the planes descriptor, if it is
    one. r: `Resolved`.
    """
    there = entry.shape().members
    op = word[:OP_BITS]
    gemv = lambda name: field(word, name, Op.GEMV)  # noqa: E731
    is_gemv = op == Op.GEMV
    slot_count = gemv("rows") == Rows.SLOTS
    fresh = ~gemv("kv") | (r.round == 0)  # a later attention round reads the same K and V again
    m.d.comb += [
        entry.op.eq(op),
        entry.count.eq(r.count),
        entry.base.eq(r.base),
        entry.words.eq(r.words),
        entry.chan.eq(Mux(op == Op.FETCH, field(word, "chan", Op.FETCH), _channel(word, r, Op.M_WAIT))),
        entry.length.eq(Mux(is_gemv & gemv("slot_words"), r.quads, r.words)),
        entry.rows.eq(Mux(is_gemv & slot_count, r.slot_rows, r.rows)),
        entry.live.eq(Mux(fresh, Mux(slot_count, r.live_slots, r.rows), 0)),
        entry.act.eq(r.address),
        entry.s_in.eq(r.s_in),
        entry.kv.eq(gemv("kv")),
        entry.value.eq(field(word, "value", Op.KVW)),
        entry.row0.eq(desc.row0),
        entry.index.eq(field(word, "index", Op.FETCH)),
        entry.stage.eq(field(word, "stage", Op.FETCH)),
    ]
    if "format" not in there:
        return
    with m.If(r.integer):
        m.d.comb += [entry.format.eq(r.format), entry.lo_base.eq(r.lo_base), entry.group.eq(planes.group)]
        if "measure" in there:
            m.d.comb += [
                entry.measure.eq(r.measure),
                entry.dual.eq(r.measure & planes.fp16),
                entry.hi_base.eq(r.hi_base),
                entry.pitch.eq(planes.pitch),
                entry.planes.eq(r.planes),
                entry.wanted.eq(gemv("wanted")),
                entry.grids.out.eq(planes.grid_out),
                entry.grids.err.eq(planes.grid_err),
                entry.grids.int8_err.eq(planes.grid_int8_err),
            ]
        with m.If(r.format != Format.FP16):
            m.d.comb += [entry.base.eq(r.hi_base), entry.words.eq(planes.pitch)]


def vector_entry(m, entry, word, desc, tile, r):
    """Drive `entry` (VectorEntry) for the instruction in `word`. desc: its descriptor. tile: TileState. r:
    `Resolved`.
    """
    op = word[:OP_BITS]
    run = lambda name: field(word, name, Op.RUN)  # noqa: E731
    is_run = op == Op.RUN
    send_sum = (Op.SENDSUM, Op.SENDMAX)
    cast = Signal(2)
    m.d.comb += cast.eq(Mux(is_run, run("cast"), field(word, "cast", *send_sum)))
    with m.Switch(cast):
        with m.Case(Cast.ALL):
            m.d.comb += [entry.lo.eq(0), entry.hi.eq(tile.count - 1)]
        with m.Case(Cast.GROUP):
            m.d.comb += [entry.lo.eq(tile.group_lo), entry.hi.eq(tile.group_hi), entry.end.eq(tile.group_end)]
        with m.Default():
            m.d.comb += [
                entry.lo.eq(tile.index),
                entry.hi.eq(tile.index),
                entry.end.eq(Mux(tile.group_size == 1, tile.group_end, 0)),
            ]
    with m.Switch(run("rows")):
        with m.Case(Rows.SLOTS):
            m.d.comb += entry.n.eq(r.slot_rows)
        with m.Case(Rows.IMM):
            m.d.comb += entry.n.eq(run("count"))
        with m.Default():
            m.d.comb += entry.n.eq(desc.rows >> (run("landing") == 2))
    m.d.comb += [
        entry.op.eq(op),
        entry.count.eq(r.count),
        entry.routine.eq(run("routine")),
        entry.length.eq(run("length")),
        entry.chan.eq(
            Mux(
                is_run,
                _channel(word, r, Op.RUN),
                Mux(op == Op.V_WAIT, _channel(word, r, Op.V_WAIT), _channel(word, r, *send_sum)),
            )
        ),
        entry.vl.eq(run("vl")),
        entry.landing.eq(run("landing")),
        entry.round.eq(r.round),
        entry.vec.eq(Mux(is_run, run("vec"), field(word, "vec", *send_sum))),
        entry.sumscale.eq(run("sumscale")),
        entry.s_in.eq(desc.s_in),
        entry.s_out.eq(desc.s_out),
        entry.send.eq(is_run & run("send")),
        entry.send_mode.eq(run("send_mode")),
        entry.send_addr.eq(r.send_addr),
        entry.row0.eq(desc.row0),
        entry.quad0.eq(desc.quad0),
        entry.noise.eq(is_run & run("noise")),
        entry.slide.eq(r.slide),
    ]
