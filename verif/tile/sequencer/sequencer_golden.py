"""Reference of the sequencer: the queue entries a program gives, by direct evaluation of each instruction's formula."""

from functools import cache

from hayate.golden.tile.walk import skips, walk
from hayate.rtl.contract import layout
from hayate.rtl.contract.isa import CHANNELS, Block, Cast, Op, Rows, SendMode, WaitKind
from hayate.rtl.contract.precision import Format

#: fields of an entry whose GEMV reads weights with integer planes.
PLANE_FIELDS = (
    "format",
    "group",
    "lo_base",
    "measure",
    "dual",
    "hi_base",
    "pitch",
    "wanted",
    "planes",
)
GRIDS = ("out", "err", "int8_err")
MATRIX_OPS = (Op.M_WAIT, Op.GEMV, Op.FETCH, Op.KVW)


def entries(program, descriptors, tile, pass_, lanes, table=None):
    """(matrix entries, vector entries) of one pass, dictionaries of the fields that mean something for their opcode;
    `grids` is one, too.

    program: `Instr` with integer fields. descriptors: dictionaries, primary and planes. tile: fields of TileState.
    pass_: positions, want, hwm, measure, draft, sample. table: index of a planes descriptor -> `Format`, FP16 where it
    says nothing.
    """
    matrix, vector = [], []
    rounds = layout.rounds(pass_["positions"], tile["group"], lanes)
    holds = skips(
        wants=pass_["want"], samples=pass_.get("sample", 0), top_k=tile.get("top_k", 0), min_p=tile.get("min_p", 0)
    )
    for i, index in walk(program, holds, heads=tile["heads"], rounds=rounds, ahead=1 << tile["rounds_log2"]):
        (matrix if i.op in MATRIX_OPS else vector).append(
            _entry(i, descriptors, tile, pass_, index, rounds, table or {})
        )
    return matrix, vector


def _entry(i, descriptors, tile, pass_, index, rounds, table):
    layer, head, j, _ = index
    of_chunk = j % (1 << tile["rounds_log2"])
    entry = {"op": int(i.op)}
    if i.op in (Op.M_WAIT, Op.V_WAIT, Op.RUN, Op.SENDSUM, Op.SENDMAX, Op.SENDCOUNT):
        entry["chan"] = (i.chan + of_chunk * i.by_round) % CHANNELS
    if i.op in (Op.M_WAIT, Op.V_WAIT):
        factor = {
            WaitKind.ONE: 1,
            WaitKind.ALL: tile["count"],
            WaitKind.GROUP: tile["group_size"],
            WaitKind.LANES: pass_["positions"],
            WaitKind.ATTEND: tile["att_senders"] * rounds,
        }[i.kind]
        return entry | {"count": i.count * factor}
    if i.op in (Op.SENDCAND, Op.SELECT):
        return entry
    if i.op in (Op.SENDSUM, Op.SENDMAX, Op.SENDCOUNT):
        return entry | {"vec": i.vec} | _cast(i, tile)
    d = descriptors[i.desc + layer * (i.dstep if i.op != Op.FETCH else 0)]
    hwm = pass_["hwm"]
    quads = -(-hwm // 4)
    slot_rows = layout.local_slots(hwm, tile["group_size"], tile["group_index"])
    if i.op == Op.FETCH:
        return entry | {
            "chan": i.chan,
            "base": d["base"],
            "words": d["words"],
            "rows": d["rows"],
            "row0": d["row0"],
            "index": i.index,
            "stage": i.stage,
        }
    if i.op == Op.KVW:
        return entry | {
            "base": d["base"] + head * d["block_stride"],
            "words": d["words"],
            "rows": d["rows"],
            "value": i.value,
            "act": i.act + head * i.act_h + (d["quad0"] if i.value else 0),
        }
    if i.op == Op.GEMV:
        block = {Block.ZERO: 0, Block.HEAD: head, Block.HEAD_GROUP: head * i.group + j}[i.block]
        live_slots = _live_slots(hwm, tile["group_size"], tile["group_index"])
        rows = slot_rows if i.rows == Rows.SLOTS else d["rows"]
        live = live_slots if i.rows == Rows.SLOTS else d["rows"]
        copy = {"base": d["base"] + block * d["block_stride"], "words": d["words"]}
        return (
            entry
            | copy
            | _planes(i, d, block, descriptors, pass_, table)
            | {
                "length": quads if i.slot_words else d["words"],
                "rows": rows,
                "live": 0 if i.kv and j else live,
                "act": i.act + head * i.act_h + (of_chunk if i.slot_words else j) * i.act_j,
                "s_in": d["s_in"] & 0xFF,
                "kv": i.kv,
            }
        )
    address = i.send_base + head * i.send_h + d["quad0"]
    if i.send_mode == SendMode.SLOTS:
        address = i.send_base + of_chunk * i.send_h + tile["group_index"]
    elif i.send_mode == SendMode.OUTPUT:
        address = i.send_base + (tile["head0"] + head) * tile["group"] * tile["hdq"] + d["quad0"]
    n = {Rows.DESC: d["rows"] // 2 if i.landing == 2 else d["rows"], Rows.SLOTS: slot_rows, Rows.IMM: i.count}[i.rows]
    return (
        entry
        | {
            "slide": of_chunk * i.slide,
            "routine": i.routine,
            "length": i.length,
            "n": n,
            "vl": i.vl,
            "landing": i.landing,
            "vec": i.vec,
            "round": j,
            "sumscale": i.sumscale,
            "s_in": d["s_in"] & 0xFF,
            "s_out": d["s_out"] & 0xFF,
            "send": i.send,
            "send_mode": i.send_mode,
            "send_addr": address,
            "row0": d["row0"],
            "quad0": d["quad0"],
            "noise": i.noise,
        }
        | _cast(i, tile)
    )


@cache
def _live_slots(hwm, size, index):
    return sum(1 for s in range(hwm) if layout.slot_home(s, size)[0] == index)


def _planes(i, d, block, descriptors, pass_, table):
    """Fields of a GEMV's entry that say in which format its matrix is read, `base` and `words` among them where it is
    not FP16.
    """
    if i.kv or not d["alt"]:
        return {**dict.fromkeys(PLANE_FIELDS, 0), "grids": dict.fromkeys(GRIDS, 0)}
    p = descriptors[d["alt"]]
    hi_base = p["base"] + block * p["block_stride"]
    if pass_["draft"]:
        fmt = Format.INT4
    else:
        fmt = Format.FP16 if pass_["measure"] else table.get(d["alt"], Format.FP16)
        if fmt == Format.FP16 and not p["fp16"]:
            fmt = Format.INT8
    fields = {
        "format": int(fmt),
        "group": p["group"],
        "hi_base": hi_base,
        "lo_base": hi_base + p["lo_offset"],
        "pitch": p["pitch"],
        "measure": pass_["measure"],
        "dual": pass_["measure"] & p["fp16"],
        "wanted": i.wanted,
        "planes": d["alt"],
        "grids": {"out": p["grid_out"], "err": p["grid_err"], "int8_err": p["grid_int8_err"]},
    }
    return fields if fmt == Format.FP16 else fields | {"base": hi_base, "words": p["pitch"]}


def _cast(i, tile):
    lo, hi = {
        Cast.ALL: (0, tile["count"] - 1),
        Cast.GROUP: (tile["group_lo"], tile["group_hi"]),
        Cast.SELF: (tile["index"],) * 2,
    }[i.cast]
    near = i.cast == Cast.GROUP or i.cast == Cast.SELF and tile["group_size"] == 1
    return {"lo": lo, "hi": hi, "end": tile["group_end"] if near else 0}
