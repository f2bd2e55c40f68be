"""Instruction set of a tile: macro-instructions, micro-operations and descriptors.

One table per format, read by the assembler, the golden simulator and the RTL alike. A *macro-instruction*
(128 bits) covers a whole matrix or vector; a *micro-operation* (64 bits) is one vector operation of a routine that a
``RUN`` repeats; a *descriptor* (128 bits) says where a matrix lies in this tile's banks.
``docs/isa.md`` is the manual; field order here is the bit order, least significant first.
"""

from dataclasses import dataclass, field, fields
from enum import IntEnum

INSTRUCTION_BITS = 128
MICRO_BITS = 64
DESCRIPTOR_BITS = 128
CHANNELS = 16
#: Widths in bits: of a word's address in a bank, of one in an activation buffer, of a row's words, of the words from
#: block to block.
BANK_BITS = 20
ACT_BITS = 14
ROW_BITS = 13
STRIDE_BITS = 18
LOOP_REGISTERS = 4
#: Rounds of attention that may be under way at once: maxima are kept apart, and channels waited on, by round modulo
#: this number.
ROUNDS_AHEAD = 4
#: Instructions that wait behind the one in progress at an engine, those in its queue and, at the matrix engine, two
#: more.
QUEUE_DEPTH = 4
MATRIX_AHEAD = QUEUE_DEPTH + 2


class Op(IntEnum):
    """Macro-operation. The engine that executes it stands in front of the colon."""

    END = 0  # sequencer: wait until both engines are idle, then wait for the next pass
    LOOP = 1  # sequencer: start of a loop
    ENDLOOP = 2  # sequencer: end of the loop on register `reg`
    SKIP = 3  # sequencer: jump `offset` instructions ahead when what `when` names is so
    M_WAIT = 4  # matrix: wait for a channel
    GEMV = 5  # matrix: stream a matrix block past the activations
    FETCH = 6  # matrix: send rows (embedding, rotary tables) over the ring
    KVW = 7  # matrix: write staged K or V into the banks
    V_WAIT = 8  # vector: wait for a channel
    RUN = 9  # vector: repeat a routine over elements
    SENDSUM = 10  # vector: send this tile's exact partial sums, clear them
    SENDMAX = 11  # vector: send this tile's running maxima, clear them
    #: vector: send the best (logit, token) of each wanted position, in a draft pass the second best, too; clear them
    SENDCAND = 12
    SENDCOUNT = 13  # vector: send this tile's counts for the threshold of top-k, of each wanted position, clear them
    SELECT = 14  # vector: take the next digit of each wanted position's threshold, from the counts collected


class When(IntEnum):
    """When a SKIP jumps."""

    NO_LOGITS = 0  # no position of the pass wants logits
    SAMPLES = 1  # the pass samples
    GREEDY = 2  # it does not
    FILTERS = 3  # it samples, and a filter is on (`Csr` TOP_K or MIN_P)
    UNFILTERED = 4  # it does not sample, or no filter is on
    NO_TOP_K = 5  # TOP_K is 0


class LoopReg(IntEnum):
    LAYER = 0
    HEAD = 1  # local KV head
    J = 2  # query head of the group, or attention round
    CHUNK = 3  # of attention rounds, 2**rounds_log2 of them each (the last one may have fewer)


class LoopCount(IntEnum):
    IMM = 0
    HEADS = 1  # KV heads that this tile serves
    #: attention rounds of this CHUNK; J begins with the first of them. A pass has ceil(positions * 2**gp_log2 / lanes)
    ROUNDS = 2
    CHUNKS = 3  # chunks of attention rounds


class WaitKind(IntEnum):
    ONE = 0
    ALL = 1  # x number of tiles
    GROUP = 2  # x tiles in this tile's KV group
    LANES = 3  # x positions in the pass
    ATTEND = 4  # x attention senders (sum over tiles of local KV heads) x rounds


class Block(IntEnum):
    """Which block of a descriptor a GEMV reads."""

    ZERO = 0
    HEAD = 1  # block HEAD
    HEAD_GROUP = 2  # block HEAD * group + J


class Rows(IntEnum):
    """How many elements a RUN covers / rows a GEMV streams."""

    DESC = 0  # the descriptor's local rows (of one block)
    SLOTS = 1  # KV slots this tile holds up to the high-water mark, whole quads
    IMM = 2  # `count` elements (RUN only)


class Cast(IntEnum):
    ALL = 0
    GROUP = 1
    SELF = 2


class SendMode(IntEnum):
    """Where a RUN's quads (4 consecutive FP16 elements) land: lane and word address in the activation buffers."""

    LINEAR = 0  # lane = position; base + HEAD*send_h + quad0 + q
    QUERY = 1  # query head J: v = position*2**gp_log2 + J; lane = v % M; base + HEAD*send_h + (v // M)*hdq + quad0 + q
    #: softmax numerators: lane = vector lane; base + (J mod 2**rounds_log2)*send_h + q*group_size + group_index
    SLOTS = 2
    #: attention output: v = J*M + lane; position v >> gp_log2, g = v % 2**gp_log2;
    #: base + ((head0 + HEAD)*group + g)*hdq + quad0 + q, lane = position
    OUTPUT = 3


class FetchIndex(IntEnum):
    TOKEN = 0
    POS_HI = 1  # position >> ROPE_FINE_BITS
    POS_LO = 2  # position & (2**ROPE_FINE_BITS - 1)


ROPE_FINE_BITS = 4


class ASrc(IntEnum):
    VMEM = 0
    LANDING = 1  # finished rows of a GEMV
    STAGE = 2  # stage buffer (words that a FETCH brought)
    SUM = 3  # exact sum collected from the ring, rounded to FP32 (x 2**(2*s_in) when RUN.sumscale)


class BSrc(IntEnum):
    VMEM = 0
    MAXREG = 1  # maximum collected from the ring
    #: Gumbel noise of the element's global row, as a token, behind each lane's position; only in a RUN that says
    #: `noise`
    NOISE = 2


class Mode(IntEnum):
    """Address of element i of the current iteration (e = elements of earlier iterations of this RUN)."""

    #: VMEM: addr + (J mod 2**rounds_log2)*slide + e + i.  LANDING: row addr + i.  STAGE: FP16 element
    #: 4*addr + 4*quad0 + e + i
    STREAM = 0
    TEMP = 1  # VMEM: addr + i.      LANDING: row addr + 8*(i//4) + i%4.  STAGE: FP32 element 2*addr + e + i
    SCALAR = 2  # VMEM: addr
    SWAP = 3  # VMEM: addr + (i ^ 1)


def _layout(*pairs):
    out, at = {}, 0
    for name, width in pairs:
        out[name] = (at, width)
        at += width
    return out, at


#: field name -> (bit offset, width) of every macro-instruction format; the opcode is common.
FORMATS = {}
for _ops, _pairs in [
    ((Op.END, Op.SENDCAND, Op.SELECT), ()),
    ((Op.LOOP,), (("reg", 2), ("kind", 2), ("count", 8), ("skip", 8))),  # skip: past ENDLOOP when the count is 0
    ((Op.ENDLOOP,), (("reg", 2),)),
    ((Op.SKIP,), (("offset", 8), ("when", 3))),
    ((Op.M_WAIT, Op.V_WAIT), (("chan", 4), ("kind", 3), ("count", 8), ("by_round", 1))),
    (
        (Op.GEMV,),
        (
            ("desc", 10),
            ("dstep", 5),
            ("block", 2),
            ("group", 5),
            ("act", ACT_BITS),
            ("act_h", 10),
            ("act_j", 10),
            ("slot_words", 1),
            ("rows", 2),
            ("vec", 1),
            ("kv", 1),
            ("wanted", 1),
            ("aside", 1),
        ),
    ),
    ((Op.FETCH,), (("desc", 10), ("index", 2), ("stage", 12), ("chan", 4))),
    ((Op.KVW,), (("desc", 10), ("dstep", 5), ("value", 1), ("act", ACT_BITS), ("act_h", 10))),
    (
        (Op.RUN,),
        (
            ("desc", 10),
            ("dstep", 5),
            ("routine", 10),
            ("length", 6),
            ("rows", 2),
            ("count", 10),
            ("vl", 7),
            ("landing", 2),
            ("vec", 1),
            ("sumscale", 1),
            ("send", 1),
            ("send_mode", 2),
            ("send_base", ACT_BITS),
            ("send_h", 10),
            ("group", 5),
            ("chan", 4),
            ("cast", 2),
            ("noise", 1),
            ("by_round", 1),
            ("slide", 12),
        ),
    ),
    ((Op.SENDSUM, Op.SENDMAX, Op.SENDCOUNT), (("chan", 4), ("cast", 2), ("vec", 1), ("by_round", 1))),
]:
    _fields, _width = _layout(("op", 4), *_pairs)
    assert _width <= INSTRUCTION_BITS
    for _op in _ops:
        FORMATS[_op] = _fields

#: micro-operation. `op` is an `AluOp`; d_* are destinations, several may be set.
MICRO, _width = _layout(
    ("op", 4),
    ("neg_a", 1),
    ("neg_b", 1),
    ("a_src", 2),
    ("a_mode", 2),
    ("a", 12),
    ("b_src", 2),
    ("b_mode", 2),
    ("b", 12),
    ("d_vm", 1),
    ("d_mode", 1),
    ("d", 12),  # d_mode: 0 STREAM, 1 TEMP
    ("d_send", 1),
    ("d_square", 1),
    ("d_sum", 1),
    ("d_max", 1),
    ("d_arg", 1),
    ("d_log", 1),
    ("masked", 1),  # element is a KV slot: where the mask hides it, d_max ignores it and d_vm/d_send/d_sum see 0
    ("d_floor", 1),  # the result is min-p's floor
    ("filtered", 1),  # a is z: the filters count it, and d_arg takes the result only where they keep z
)
assert _width <= MICRO_BITS

#: descriptor of a matrix in this tile (written by the loader; the image holds only the global shape).
DESCRIPTOR, _width = _layout(
    ("base", BANK_BITS),  # first word, same address in every bank
    ("words", ROW_BITS),  # 64-bit words per row
    ("rows", 16),  # local rows of one block; row r: bank r % B, address base + (r // B)*words
    ("block_stride", STRIDE_BITS),  # words from block to block in a bank; 0 where there is one
    ("quad0", 14),  # global quad index of the tile's first output quad within the block
    ("row0", 20),  # global index of the tile's first row (FETCH and logits)
    ("s_in", 8),  # signed: the normalizer multiplies the rounded sum by 2**s_in
    ("s_out", 8),  # signed: RUN converts to FP16 as fp16(x * 2**-s_out)
    ("alt", 10),  # descriptor of the integer planes, a `PLANES`; 0: there are none
)
assert _width <= DESCRIPTOR_BITS

#: descriptor of a matrix's integer planes, in the same memory (`precision` has the layout). Rows, K and exponent are
#: the matrix's.
PLANES, _width = _layout(
    ("base", BANK_BITS),  # first word of block 0's hi plane
    ("pitch", 12),  # words from row group to row group in the hi plane
    ("block_stride", STRIDE_BITS),  # words from block to block; 0 where there is one
    ("lo_offset", BANK_BITS),  # words from a block's hi plane to its lo plane
    ("group", 2),  # `precision.group_code`
    ("fp16", 1),  # the matrix also has its FP16 copy
    ("grid_out", 7),  # governor: outputs count in units of 2**grid of the accumulator's last bit, ...
    ("grid_err", 7),  # ... errors of INT4 against INT8, ...
    ("grid_half", 7),  # ... errors of INT8 against FP16
)
assert _width <= DESCRIPTOR_BITS


class Csr(IntEnum):
    """Per-tile registers that the loader writes (LOAD space CSR)."""

    TILE_INDEX = 0
    TILE_COUNT = 1
    GROUP_LO = 2
    GROUP_HI = 3
    GROUP_SIZE = 4  # tiles that share this tile's KV head (1 when a tile has whole heads)
    GROUP_INDEX = 5
    LOCAL_HEADS = 6
    HEAD0 = 7  # global index of the first local KV head
    ATT_SENDERS = 8  # sum over tiles of LOCAL_HEADS
    GROUP = 9  # query heads per KV head (G)
    GP_LOG2 = 10  # ceil(log2 G)
    HDQ = 11  # quads (words) per head dimension: head_dim / 4
    ROUNDS_LOG2 = 12  # log2 of the attention rounds that this tile's buffers hold at once, at most log2 of ROUNDS_AHEAD
    TOP_K = 13  # sampling chooses from this many of the largest z, 1 to 64; 0: from all
    MIN_P = 14  # 1: and from those that are not below the floor
    ENTRY = 15  # first instruction of a pass
    GROUP_END = 16  # ring stop that a flit of this tile comes to last of its group's others; in a group of one, its own


#: Bits that each of them holds.
CSR_BITS = {c: 8 for c in Csr} | {
    Csr.GROUP: 5,
    Csr.GP_LOG2: 3,
    Csr.HDQ: 6,
    Csr.ROUNDS_LOG2: 2,
    Csr.TOP_K: 7,
    Csr.MIN_P: 1,
    Csr.ENTRY: 10,
}

#: bit of an address in LOAD space CSR: the register is the second model's. TILE_INDEX, TILE_COUNT, TOP_K and MIN_P are
#: the same for both.
SECOND_BIT = 5


#: bit of an address in LOAD space CSR: the bits below it are the index of a planes descriptor, the data is the
#: `precision.Format` in which its matrix is read.
PRECISION_BIT = 10


class Space(IntEnum):
    """Target of a LOAD flit, in its `chan` field; lo..hi are then *physical* stop ids, see `topology`."""

    BANK = 0  # addr = bank << BANK_SHIFT | word
    CSR = 1  # addr = Csr
    PROGRAM = 2  # addr = 2*index + half (low half first)
    MICRO = 3  # addr = index
    VMEM = 4  # addr = vector memory address; data[31:0] = FP32, written to every lane
    DESC = 5  # addr = 2*index + half
    COUNTER = 6  # READ only: addr = Counter
    #: from the initializer only, never the host: makes the word at addr valid in each memory that the spaces above do
    #: not reach, and in all banks, unless addr has bit CLEAR_REST_BIT; what it becomes is the memory's own
    CLEAR = 15


BANK_SHIFT = BANK_BITS

#: bit of an address in LOAD space CLEAR: banks are left alone, for addresses beyond theirs.
CLEAR_REST_BIT = 24

#: bit of a DATA flit's `addr`: the word goes to the stage buffer instead of the activation buffer.
STAGE_BIT = 24


class PassWord(IntEnum):
    """Kind of a PASS flit, in its `chan` field. What its data holds is a `words.PASS_WORDS`."""

    LANE = 0  # position `lane` of the pass: token, place in the text, slot, and what it sees
    START = 1  # all positions are there: the pass begins
    BEGIN = 2  # a generation begins: counters are cleared and count
    FINISH = 3  # it has ended: counters stop
    COMMIT = 4  # K and V of a slot belong to the text from now on, at a position


#: row of a lane that has seen no logit; as a candidate it loses every tie, and no token has this number.
NO_ROW = (1 << 20) - 1

#: position of a KV slot that does not belong to the text (yet).
NEVER = 0xFFFF


class Counter(IntEnum):
    """Cycle counters of a tile: the first ones attribute every cycle since the generation began to one cause."""

    WEIGHT = 0  # matrix engine streamed weight words
    KV_READ = 1  # ... K or V words
    KV_WRITE = 2
    FETCH = 3
    WAIT_RING = 4  # M_WAIT not yet satisfied
    WAIT_VECTOR = 5  # landing buffer full
    WAIT_DRAIN = 6  # row shorter than the banks it must drain
    ISSUE = 7  # a pass runs but the matrix engine has no instruction (sequencer or in-order vector work)
    IDLE = 8  # no pass runs
    USEFUL_WEIGHT = 9  # bank words read that a pass needs: unpadded weights ...
    USEFUL_KV = 10  # ... live K and V words, each once per pass
    SATURATED = 11  # overflows saturated (sticky count)
    ECC_CORRECTED = 12
    ECC_FATAL = 13
    PARITY = 14


class Energy(IntEnum):
    """Exact sums that a tile keeps for the governor, per matrix: squares of outputs on the matrix's grids, over its
    rows and positions.
    """

    OUT = 0  # outputs
    ERR = 1  # INT8 less INT4
    HALF = 2  # FP16 less INT8


#: bit of the address of a READ: the bits below it are index of a planes descriptor << 2 | Energy, the answer is the
#: sum.
ENERGY_BIT = 12


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


def pack(layout, values):
    """Integer with `values` (name -> int, may be negative) placed by `layout`.

    Raises ValueError naming the field when a value does not fit its width.
    """
    word = 0
    for name, value in values.items():
        at, width = layout[name]
        value = int(value)
        if not -(1 << (width - 1)) <= value < (1 << width):
            raise ValueError(f"field {name}: {value} does not fit {width} bits")
        word |= (value & ((1 << width) - 1)) << at
    return word


def encode(instr, resolve=lambda ref: ref):
    """128-bit encoding of `instr`; `resolve` turns ``("region", offset)`` into an address."""
    values = {name: resolve(v) for name, v in instr.args.items()}
    return pack(FORMATS[instr.op], {"op": int(instr.op), **values})


def encode_micro(micro, resolve=lambda ref: ref):
    """64-bit encoding of a micro-operation."""
    return pack(MICRO, {f.name: resolve(getattr(micro, f.name)) for f in fields(micro)})
