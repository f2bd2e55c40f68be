"""What the sequencer hands to the two engines: instructions with every address and count resolved, and the pass they
run in.
"""

from amaranth.lib import data

from hayate.rtl.contract.flits import STOP_BITS
from hayate.rtl.contract.isa import (
    ACT_BITS,
    BANK_BITS,
    CHANNEL_BITS,
    COUNT_BITS,
    CSR_BITS,
    EXPONENT_BITS,
    GLOBAL_ROW_BITS,
    GRID_BITS,
    INDEX_BITS,
    LENGTH_BITS,
    LOCAL_ROW_BITS,
    LOOP_BITS,
    OP_BITS,
    PITCH_BITS,
    ROW_BITS,
    STAGE_BITS,
    VL_BITS,
    VMEM_BITS,
    Csr,
)
from hayate.rtl.contract.words import LANE, PASS_POSITIONS, PASS_SIZE_BITS, SLOT_BITS

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
    "op": OP_BITS,  # Op.M_WAIT, GEMV, FETCH or KVW
    "chan": CHANNEL_BITS,  # M_WAIT, FETCH
    "count": COUNT_BITS,  # M_WAIT: SYNC flits to consume
    "base": BANK_BITS,  # first word of the block
    "words": ROW_BITS,
    "length": ROW_BITS,
    "rows": LOCAL_ROW_BITS,  # rows streamed (GEMV), rows of the matrix here (FETCH), local dims (KVW of V)
    # rows that count as useful (GEMV; 0 when the block was already read in this pass, or is no part of the model)
    "live": LOCAL_ROW_BITS,
    "act": ACT_BITS,  # activation buffer address
    "s_in": EXPONENT_BITS,  # two's complement
    "kv": 1,  # counts as KV, not as weight
    "value": 1,  # KVW: 0 K, 1 V
    "row0": GLOBAL_ROW_BITS,  # FETCH: global index of the first row here
    "index": 2,  # FETCH: FetchIndex
    "stage": STAGE_BITS,  # FETCH: stage buffer address
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
    "pitch": PITCH_BITS,
    "wanted": 1,  # energies of wanted positions only
    "planes": INDEX_BITS,  # index of the planes descriptor
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
        "op": OP_BITS,  # Op.V_WAIT, RUN, SENDSUM, SENDMAX, SENDCAND, SENDCOUNT or SELECT
        "chan": CHANNEL_BITS,
        "count": COUNT_BITS,  # V_WAIT
        "routine": INDEX_BITS,  # first micro-operation
        "length": LENGTH_BITS,  # micro-operations in the routine
        "n": LOCAL_ROW_BITS,  # elements
        "vl": VL_BITS,
        "landing": 2,
        "vec": 1,  # lanes are attention vectors
        "round": LOOP_BITS,  # J: attention round (vec) or query head (SendMode.QUERY)
        "sumscale": 1,
        "s_in": EXPONENT_BITS,  # two's complement
        "s_out": EXPONENT_BITS,  # two's complement
        "send": 1,
        "send_mode": 2,
        # LINEAR, QUERY: base + HEAD*send_h + quad0; SLOTS: base + group_index; OUTPUT: base + (head0+HEAD)*G*hdq +
        # quad0
        "send_addr": ACT_BITS,
        "lo": STOP_BITS,  # range of logical tiles
        "hi": STOP_BITS,
        "end": STOP_BITS,  # ring stop where the flits end, see `flits`
        "row0": GLOBAL_ROW_BITS,  # global row of element 0 (logits)
        "quad0": STAGE_BITS,  # global quad of element 0, modulo the words of a stage buffer
        "noise": 1,  # the routine reads NOISE, once
        "slide": VMEM_BITS,  # words of vector memory that STREAM addresses are moved by
    }
)

#: state of the pass, constant while it runs.
PassState = data.StructLayout(
    {
        "positions": PASS_SIZE_BITS,  # P, 1 to M
        "want": PASS_POSITIONS,  # positions whose logits are wanted
        "hwm": SLOT_BITS,  # KV slots in use, this pass included
        "measure": 1,  # the governor measures
        "counted": PASS_POSITIONS,  # positions whose energies count in a GEMV that says `wanted`
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
        "index": CSR_BITS[Csr.TILE_INDEX],
        "count": CSR_BITS[Csr.TILE_COUNT],
        "group_lo": CSR_BITS[Csr.GROUP_LO],
        "group_hi": CSR_BITS[Csr.GROUP_HI],
        "group_size": CSR_BITS[Csr.GROUP_SIZE],
        "group_index": CSR_BITS[Csr.GROUP_INDEX],
        "heads": CSR_BITS[Csr.LOCAL_HEADS],
        "head0": CSR_BITS[Csr.HEAD0],
        "att_senders": CSR_BITS[Csr.ATT_SENDERS],
        "group": CSR_BITS[Csr.GROUP],
        "hdq": CSR_BITS[Csr.HDQ],
        "rounds_log2": CSR_BITS[Csr.ROUNDS_LOG2],
        "entry": CSR_BITS[Csr.ENTRY],
        "group_end": CSR_BITS[Csr.GROUP_END],
        "top_k": CSR_BITS[Csr.TOP_K],  # filters; 0 on a tile that does not sample
        "min_p": CSR_BITS[Csr.MIN_P],
    }
)

#: tiles that share a KV head, and this tile's place among them.
GroupState = data.StructLayout({"size": CSR_BITS[Csr.GROUP_SIZE], "index": CSR_BITS[Csr.GROUP_INDEX]})
