"""Encodings of the instruction set: every field of every word, once, with what it means.

A *macro-instruction* covers a whole matrix or vector, a *micro-operation* is one vector operation of a routine that a
RUN repeats, a *descriptor* says where a matrix lies in this tile's banks. Assembler, golden simulator, RTL and manual
follow from these tables; field order is bit order, least significant first.
"""

from dataclasses import dataclass, field, fields

from hayate.rtl.contract.alu_ops import ALU_OP_BITS
from hayate.rtl.contract.isa import (
    ACT_BITS,
    BANK_BITS,
    CHANNEL_BITS,
    DESCRIPTOR_BITS,
    EXPONENT_BITS,
    GLOBAL_QUAD_BITS,
    GLOBAL_ROW_BITS,
    GRID_BITS,
    INDEX_BITS,
    INSTRUCTION_BITS,
    LENGTH_BITS,
    LOCAL_ROW_BITS,
    LOOP_BITS,
    MICRO_BITS,
    OP_BITS,
    PITCH_BITS,
    ROW_BITS,
    STAGE_BITS,
    STRIDE_BITS,
    VL_BITS,
    VMEM_BITS,
    ASrc,
    BSrc,
    Mode,
    Op,
)
from hayate.rtl.contract.word import Field, Word

#: what all macro-instructions begin with.
_OP = Field("op", OP_BITS, "operation code")
# Fields that several have.
_CHAN = Field("chan", CHANNEL_BITS, "channel")
_DESC = Field("desc", INDEX_BITS, "descriptor; the one used is desc + LAYER·dstep")
_DSTEP = Field("dstep", 5, "descriptors from layer to layer")
_CAST = Field("cast", 2, "which tiles take it, a `Cast`")
_VEC = Field("vec", 1, "lanes are attention vectors of round J, not positions")
_BY_ROUND = Field("by_round", 1, "1: the channel is chan + J mod 2^ROUNDS_LOG2")
_REG = Field("reg", 2, "loop register, a `LoopReg`")
_ACT = Field("act", ACT_BITS, "word of the activation buffer: act + HEAD·act_h + J·act_j")
_ACT_H = Field("act_h", ACT_BITS, "words from KV head to KV head")
_WAIT_KIND = Field("kind", 3, "a `WaitKind`")
_WAIT_COUNT = Field("count", 8, "factor of the kind's number")

_NOISE = "1: the routine has one micro-operation that reads NOISE; its rows are drawn from the RUN's start on"
_SLIDE = (
    "words from round to round of a chunk: STREAM addresses in vector memory are (J mod 2^ROUNDS_LOG2)·slide further on"
)


@dataclass(frozen=True)
class Operation:
    """A macro-operation: who executes it ("sequencer", "matrix" or "vector"), what it does, and its fields."""

    engine: str
    text: str
    word: Word


#: operation -> engine, what it does, fields behind the operation code.
_TABLE: dict[Op, tuple] = {
    Op.END: (
        "sequencer",
        "wait until both engines are idle, then wait for the next pass",
    ),
    Op.LOOP: (
        "sequencer",
        "start of a loop",
        _REG,
        ("kind", 2, "a `LoopCount`"),
        ("count", LOOP_BITS, "count where the kind is IMM"),
        ("skip", INDEX_BITS, "instructions to jump, from this one, when the count is 0"),
    ),
    Op.ENDLOOP: (
        "sequencer",
        "end of the loop on register `reg`",
        _REG,
    ),
    Op.SKIP: (
        "sequencer",
        "jump `offset` instructions ahead when what `when` names is so",
        ("offset", INDEX_BITS, "instructions to jump, from this one"),
        ("when", 3, "a `When`"),
    ),
    Op.M_WAIT: (
        "matrix",
        "wait for a channel",
        _CHAN,
        _WAIT_KIND,
        _WAIT_COUNT,
        _BY_ROUND,
    ),
    Op.GEMV: (
        "matrix",
        "stream a matrix block past the activations",
        _DESC,
        _DSTEP,
        ("block", 2, "which block of the descriptor, a `Block`"),
        ("group", 5, "blocks of a KV head, for Block.HEAD_GROUP"),
        _ACT,
        _ACT_H,
        ("act_j", ACT_BITS, "words from J to J; with `slot_words`, J mod 2^ROUNDS_LOG2 counts"),
        ("slot_words", 1, "1: a row has ceil(slots in use / 4) words instead of the descriptor's"),
        ("rows", 2, "DESC or SLOTS, see `Rows`"),
        _VEC,
        ("kv", 1, "1: counted as K or V words, not as weights"),
        ("wanted", 1, "1: the governor measures only the positions whose logits are wanted"),
    ),
    Op.FETCH: (
        "matrix",
        "send rows (embedding, rotary tables) over the ring",
        _DESC,
        ("index", 2, "what names the row, a `FetchIndex`"),
        ("stage", STAGE_BITS, "word of the stage buffer"),
        _CHAN,
    ),
    Op.KVW: (
        "matrix",
        "write staged K or V into the banks",
        _DESC,
        _DSTEP,
        ("value", 1, "0: K, one row per slot; 1: V, transposed"),
        _ACT,
        _ACT_H,
    ),
    Op.V_WAIT: (
        "vector",
        "wait for a channel",
        _CHAN,
        _WAIT_KIND,
        _WAIT_COUNT,
        _BY_ROUND,
    ),
    Op.RUN: (
        "vector",
        "repeat a routine over elements",
        _DESC,
        _DSTEP,
        ("routine", INDEX_BITS, "first micro-operation"),
        ("length", LENGTH_BITS, "micro-operations of the routine"),
        ("rows", 2, "elements, see `Rows`"),
        ("count", VMEM_BITS, "elements where rows is IMM"),
        ("vl", VL_BITS, "elements of an iteration"),
        ("landing", 2, "rows of the landing buffer that an element takes: 0, 1 or 2"),
        _VEC,
        ("sumscale", 1, "1: SUM is multiplied by 2^(2·s_in)"),
        ("send", 1, "1: results go to the ring, and a SYNC follows the last"),
        ("send_mode", 2, "where they land, a `SendMode`"),
        ("send_base", ACT_BITS, "their first word in the activation buffers"),
        ("send_h", ACT_BITS, "words from KV head to KV head"),
        ("group", 5, "query heads of a KV head (G)"),
        _CHAN,
        _CAST,
        ("noise", 1, _NOISE),
        _BY_ROUND,
        ("slide", VMEM_BITS, _SLIDE),
    ),
    Op.SENDSUM: (
        "vector",
        "send this tile's exact partial sums, clear them; with `vec`, as those of round J, and without a SYNC",
        _CHAN,
        _CAST,
        _VEC,
        _BY_ROUND,
    ),
    Op.SENDMAX: (
        "vector",
        "send this tile's running maxima, as those of round J, clear them",
        _CHAN,
        _CAST,
        _VEC,
        _BY_ROUND,
    ),
    Op.SENDCAND: (
        "vector",
        "send the best (logit, token) of each wanted position, in a draft pass the second best, too; clear them",
    ),
    Op.SENDCOUNT: (
        "vector",
        "send this tile's counts for the threshold of top-k, of each wanted position, clear them",
        _CHAN,
        _CAST,
        _VEC,
        _BY_ROUND,
    ),
    Op.SELECT: (
        "vector",
        "take the next digit of each wanted position's threshold, from the counts collected",
    ),
}

OPERATIONS = {op: Operation(engine, text, Word(op.name, _OP, *own)) for op, (engine, text, *own) in _TABLE.items()}
assert list(OPERATIONS) == list(Op)

#: operation -> field -> (bit offset, bits).
FORMATS = {op: operation.word.places for op, operation in OPERATIONS.items()}

#: micro-operation. d_* are destinations, several may be set.
MICRO = Word(
    "micro",
    ("op", ALU_OP_BITS, "an `AluOp`"),
    ("neg_a", 1, "flip the sign of a"),
    ("neg_b", 1, "flip the sign of b"),
    ("a_src", 2, "an `ASrc`"),
    ("a_mode", 2, "a `Mode`"),
    ("a", VMEM_BITS, "address of a"),
    ("b_src", 2, "a `BSrc`"),
    ("b_mode", 2, "a `Mode`; b is read by MUL, ADD and MAX only"),
    ("b", VMEM_BITS, "address of b"),
    ("d_vm", 1, "write vector memory"),
    ("d_mode", 1, "0: STREAM, 1: TEMP"),
    ("d", VMEM_BITS, "address written"),
    ("d_send", 1, "four consecutive FP16 results of a lane make a word for the ring"),
    ("d_square", 1, "add the square of the FP16 result to the lane's exact sum"),
    ("d_sum", 1, "add the FP16 result to the lane's exact sum"),
    ("d_max", 1, "the lane's running maximum"),
    ("d_arg", 1, "best value and row of the lane"),
    ("d_log", 1, "a logit, for the trace port"),
    ("masked", 1, "the element is a KV slot: where the mask hides it, d_max ignores it and d_vm, d_send, d_sum see 0"),
    ("d_floor", 1, "min-p's floor"),
    ("filtered", 1, "a is z: the filters count it, and d_arg takes the result only where they keep z"),
)

#: descriptor of a matrix in this tile (written by the loader; the image holds only the global shape).
DESCRIPTOR = Word(
    "descriptor",
    ("base", BANK_BITS, "first word, the same address in every bank"),
    ("words", ROW_BITS, "64-bit words of a row"),
    ("rows", LOCAL_ROW_BITS, "local rows of a block; row r lies in bank r mod B, at base + floor(r / B)·words"),
    ("block_stride", STRIDE_BITS, "words of a bank from block to block; 0 where there is one"),
    ("quad0", GLOBAL_QUAD_BITS, "global quad of the tile's first output quad within a block"),
    ("row0", GLOBAL_ROW_BITS, "global index of the tile's first row (FETCH, logits)"),
    ("s_in", EXPONENT_BITS, "signed; the normalizer multiplies the rounded sum by 2^s_in", True),
    ("s_out", EXPONENT_BITS, "signed; what is sent or summed is fp16(x · 2^-s_out)", True),
    ("alt", INDEX_BITS, "descriptor of the matrix's integer planes; 0: it has none"),
)

#: descriptor of a matrix's integer planes, in the same memory (`precision` has the layout). Rows, K and exponent are
#: the matrix's.
PLANES = Word(
    "planes",
    ("base", BANK_BITS, "first word of block 0's hi plane, the same address in every bank"),
    ("pitch", PITCH_BITS, "words from row group to row group in the hi plane"),
    ("block_stride", STRIDE_BITS, "words of a bank from block to block; 0 where there is one"),
    ("lo_offset", BANK_BITS, "words from a block's hi plane to its lo plane"),
    ("group", 2, "log2 of a group's elements, less 5"),
    ("fp16", 1, "1: the matrix also has its FP16 copy"),
    ("grid_out", GRID_BITS, "governor: outputs count in units of 2^(grid − 48), rounded down"),
    ("grid_err", GRID_BITS, "the same for INT8 less INT4"),
    ("grid_int8_err", GRID_BITS, "the same for FP16 less INT8"),
)

#: Words of each memory that have room for fields to come -> bits of the memory's entries. A third stays free, so that a
#: field can be added without moving what is there.
_ROOMY = {DESCRIPTOR: DESCRIPTOR_BITS, PLANES: DESCRIPTOR_BITS, MICRO: MICRO_BITS} | {
    operation.word: INSTRUCTION_BITS for operation in OPERATIONS.values()
}
assert all(3 * word.bits <= 2 * bits for word, bits in _ROOMY.items()), "less than a third of an entry is free"
assert max(STAGE_BITS, VMEM_BITS) == VMEM_BITS, "a micro-operation's `a` names words of the stage buffer, too"


@dataclass(frozen=True)
class Micro:
    """One micro-operation; addresses are ``("region", offset)`` until the loader resolves them to integers."""

    op: int
    a: object = 0
    b: object = 0
    d: object = 0
    a_src: int = ASrc.VMEM
    a_mode: int = Mode.TEMP
    b_src: int = BSrc.VMEM
    b_mode: int = Mode.TEMP
    d_vm: int = 0
    d_mode: int = 1
    neg_a: int = 0
    neg_b: int = 0
    d_send: int = 0
    d_square: int = 0
    d_sum: int = 0
    d_max: int = 0
    d_arg: int = 0
    d_log: int = 0
    masked: int = 0
    d_floor: int = 0
    filtered: int = 0


@dataclass(frozen=True)
class Instr:
    """One macro-instruction: opcode and named fields (`FORMATS[op]`); a field may be ``("region", offset)``."""

    op: Op
    args: dict = field(default_factory=dict)

    def __post_init__(self):
        unknown = set(self.args) - set(FORMATS[self.op])
        if unknown:
            raise ValueError(f"{self.op.name}: no field {sorted(unknown)[0]!r}; it has {', '.join(FORMATS[self.op])}")

    def __getattr__(self, name):
        if name.startswith("_") or name not in FORMATS[object.__getattribute__(self, "op")]:
            raise AttributeError(name)
        return self.args.get(name, 0)


def encode(instr, resolve=lambda ref: ref):
    """The instruction as an integer; `resolve` turns ``("region", offset)`` into an address."""
    values = {name: resolve(v) for name, v in instr.args.items()}
    return OPERATIONS[instr.op].word.pack(op=int(instr.op), **values)


def encode_micro(micro, resolve=lambda ref: ref):
    """The micro-operation as an integer; `resolve` as of `encode`."""
    return MICRO.pack(**{f.name: resolve(getattr(micro, f.name)) for f in fields(micro)})
