"""What the sequencer hands to the two engines: instructions with every address and count resolved, and the pass they
run in.
"""

from amaranth.lib import data

from hayate.rtl.contract.isa import ACT_BITS, BANK_BITS, ROW_BITS
from hayate.rtl.contract.words import LANE

PLANES_BITS = 10  # index of a planes descriptor
GRID_BITS = 7

#: The governor's grids of a matrix: sums are shifted right by so much before they are squared.
Grids = data.StructLayout(
    {
        "out": GRID_BITS,  # of the outputs
        "err": GRID_BITS,  # of what the lo plane adds: INT8 less INT4
        "int8_err": GRID_BITS,  # of FP16 less INT8
    }
)

#: fields of every matrix entry. `length`: words streamed per row group; `words`: words from row group to row group.
_MATRIX = {
    "op": 4,  # Op.M_WAIT, GEMV, FETCH or KVW
    "chan": 4,  # M_WAIT, FETCH
    "count": 16,  # M_WAIT: SYNC flits to consume
    "base": BANK_BITS,  # first word of the block
    "words": ROW_BITS,
    "length": ROW_BITS,
    "rows": 16,  # rows streamed (GEMV), rows of the matrix here (FETCH), local dims (KVW of V)
    # rows that count as useful (GEMV; 0 when the block was already read in this pass, or is no part of the model)
    "live": 16,
    "act": ACT_BITS,  # activation buffer address
    "s_in": 8,  # two's complement
    "kv": 1,  # counts as KV, not as weight
    "value": 1,  # KVW: 0 K, 1 V
    "row0": 20,  # FETCH: global index of the first row here
    "index": 2,  # FETCH: FetchIndex
    "stage": 12,  # FETCH: stage buffer address
}
#: GEMV of a weight matrix with integer planes (`precision`); these and the next are all 0 for any other entry.
_NESTED = {
    # the `Format` in which it is read; `words` is then the pitch of the hi plane, `length` still counts FP16 words
    "format": 2,
    "group": 2,  # `precision.group_code`
    "lo_base": BANK_BITS,  # first word of the block's lo plane
}
#: governor.
_GOVERNOR = {
    "measure": 1,  # read the best copy, and add energies up; with `dual` the planes are read after each FP16 row group
    # FP16 and planes: `base` and `words` are those of the FP16 copy, `hi_base` and `pitch` those of the planes
    "dual": 1,
    "hi_base": BANK_BITS,
    "pitch": ROW_BITS,
    "wanted": 1,  # energies of wanted positions only
    "planes": PLANES_BITS,  # index of the planes descriptor
    "grids": Grids,
}


def matrix_entry_layout(nested, governor):
    """Entry of the matrix engine's queue on a tile that reads integer planes (`nested`), and whose passes may measure
    (`governor`).
    """
    return data.StructLayout({**_MATRIX, **(_NESTED if nested else {}), **(_GOVERNOR if governor else {})})


MatrixEntry = matrix_entry_layout(True, True)
#: What every tile's entries begin with.
BaseEntry = matrix_entry_layout(False, False)

#: entry of the vector engine's queue.
VectorEntry = data.StructLayout(
    {
        "op": 4,  # Op.V_WAIT, RUN, SENDSUM, SENDMAX, SENDCAND, SENDCOUNT or SELECT
        "chan": 4,
        "count": 16,  # V_WAIT
        "routine": 10,  # first micro-operation
        "length": 6,  # micro-operations in the routine
        "n": 16,  # elements
        "vl": 7,
        "landing": 2,
        "vec": 1,  # lanes are attention vectors
        "round": 8,  # J: attention round (vec) or query head (SendMode.QUERY)
        "sumscale": 1,
        "s_in": 8,  # two's complement
        "s_out": 8,  # two's complement
        "send": 1,
        "send_mode": 2,
        # LINEAR, QUERY: base + HEAD*send_h + quad0; SLOTS: base + group_index; OUTPUT: base + (head0+HEAD)*G*hdq +
        # quad0
        "send_addr": ACT_BITS,
        "lo": 8,  # range of logical tiles
        "hi": 8,
        "end": 8,  # ring stop where the flits end, see `flits`
        "row0": 20,  # global row of element 0 (logits)
        "quad0": 14,  # global quad of element 0 (stage reads)
        "noise": 1,  # the routine reads NOISE, once
        "slide": 12,  # words of vector memory that STREAM addresses are moved by
    }
)

#: state of the pass, constant while it runs.
PassState = data.StructLayout(
    {
        "positions": 4,  # P, 1 to M
        "want": 8,  # positions whose logits are wanted
        "hwm": 16,  # KV slots in use, this pass included
        "measure": 1,  # the governor measures
        "counted": 8,  # positions whose energies count in a GEMV that says `wanted`
        "draft": 1,  # matrices with planes are read as INT4
        "sample": 1,  # tokens are sampled
        "second": 1,  # of the second model
    }
)

#: one position of the pass; `ancestors`: the positions of the pass that it sees, itself included.
LANE_FIELDS = ("token", "position", "slot", "ancestors")
LaneState = data.StructLayout({name: LANE.places[name][1] for name in LANE_FIELDS})

#: attention geometry, place of this tile and filters (from the CSRs), constant while a model is loaded; `entry`: its
#: first instruction.
TileState = data.StructLayout(
    {
        "index": 8,
        "count": 8,
        "group_lo": 8,
        "group_hi": 8,
        "group_size": 8,
        "group_index": 8,
        "heads": 8,
        "head0": 8,
        "att_senders": 8,
        "group": 5,
        "gp_log2": 3,
        "hdq": 6,
        "rounds_log2": 2,
        "entry": 10,
        "group_end": 8,
        "top_k": 7,
        "min_p": 1,  # filters; 0 on a tile that does not sample
    }
)

#: tiles that share a KV head, and this tile's place among them.
GroupState = data.StructLayout({"size": 8, "index": 8})
