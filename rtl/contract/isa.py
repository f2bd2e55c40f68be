"""Instruction set of a tile: macro-instructions, micro-operations and descriptors.

One table per format, read by the assembler, the golden simulator and the RTL alike. A *macro-instruction*
(256 bits) covers a whole matrix or vector; a *micro-operation* (128 bits) is one vector operation of a routine that a
``RUN`` repeats; a *descriptor* (256 bits) says where a matrix lies in this tile's banks. Each has bits that no field
takes, for fields to come; the RTL stores none of those.
``docs/isa.md`` is the manual; field order here is the bit order, least significant first.
"""

from enum import IntEnum

#: Whole words of the load window, a power of two of them.
INSTRUCTION_BITS = 256
MICRO_BITS = 128
DESCRIPTOR_BITS = 256
#: Widths in bits: of operation codes, of macro-instructions; of a channel.
OP_BITS = 6
CHANNEL_BITS = 4
CHANNELS = 1 << CHANNEL_BITS
#: Widths in bits: of a word's address in a bank, in an activation buffer, in a stage buffer and in vector memory.
BANK_BITS = 20
ACT_BITS = 14
STAGE_BITS = 14
VMEM_BITS = 14
#: Widths in bits: of an entry's number in program, micro-operation and descriptor memory alike.
INDEX_BITS = 12
#: Widths in bits: of a row's words, of the words from row group to row group of a hi plane, of those from block to
#: block, and of the rows of a block that a tile has (no wider than an operand of a hardware multiplier).
ROW_BITS = 13
PITCH_BITS = 12
STRIDE_BITS = 18
LOCAL_ROW_BITS = 18
#: Widths in bits: of a row's index in the whole matrix, which may be a token, and of a quad's.
GLOBAL_ROW_BITS = 20
GLOBAL_QUAD_BITS = GLOBAL_ROW_BITS - 2
#: Widths in bits: of an exponent s_in or s_out, of a loop register, of how many SYNC flits a wait may be for.
EXPONENT_BITS = 8
LOOP_BITS = 8
COUNT_BITS = 16
#: Widths in bits: of a routine's length, of an iteration's elements, of a grid of the governor.
LENGTH_BITS = 6
VL_BITS = 7
GRID_BITS = 7
LOOP_REGISTERS = 4
#: Rounds of attention that may be under way at once: maxima and sums are kept apart, and channels waited on, by round
#: modulo this number.
ROUNDS_AHEAD = 4
#: Instructions that wait behind the one in progress at an engine, those in its queue and, at the matrix engine, two
#: more.
QUEUE_DEPTH = 4
MATRIX_AHEAD = QUEUE_DEPTH + 2


class Op(IntEnum):
    """Macro-operations; `encoding.OPERATIONS` says what each does, who executes it and which fields it has."""

    END = 0
    LOOP = 1
    ENDLOOP = 2
    SKIP = 3
    M_WAIT = 4
    GEMV = 5
    FETCH = 6
    KVW = 7
    V_WAIT = 8
    RUN = 9
    SENDSUM = 10
    SENDMAX = 11
    SENDCAND = 12
    SENDCOUNT = 13
    SELECT = 14


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
    #: attention rounds of this CHUNK; J begins with the first of them. A pass has ceil(group * 2**p / lanes), with
    #: p = ceil(log2 positions)
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
    """Where a RUN's quads (4 consecutive FP16 elements) land: lane and word address in the activation buffers.

    Attention vectors are numbered position by position within a query head, p = ceil(log2 positions) bits for the
    position: so the vectors that one flit carries are those of all positions.
    """

    LINEAR = 0  # lane = position; base + HEAD*send_h + quad0 + q
    QUERY = 1  # query head J: v = J*2**p + position; lane = v % M; base + HEAD*send_h + (v // M)*hdq + quad0 + q
    #: softmax numerators: lane = vector lane; base + (J mod 2**rounds_log2)*send_h + q*group_size + group_index
    SLOTS = 2
    #: attention output: v = J*M + lane; position v % 2**p, g = v >> p;
    #: base + ((head0 + HEAD)*group + g)*hdq + quad0 + q, lane = position
    OUTPUT = 3


class FetchIndex(IntEnum):
    TOKEN = 0
    POS_HI = 1  # position >> ROPE_FINE_BITS
    #: position & (2**ROPE_FINE_BITS - 1), its bits in reverse order: rows of consecutive positions lie far apart, in
    #: different tiles
    POS_LO = 2


ROPE_FINE_BITS = 4


class ASrc(IntEnum):
    VMEM = 0
    LANDING = 1  # finished rows of a GEMV
    STAGE = 2  # stage buffer (words that a FETCH brought)
    SUM = 3  # exact sum collected from the ring, of round J, rounded to FP32 (x 2**(2*s_in) when RUN.sumscale)


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
    HDQ = 10  # quads (words) per head dimension: head_dim / 4
    ROUNDS_LOG2 = 11  # log2 of the attention rounds that this tile's buffers hold at once, at most log2 of ROUNDS_AHEAD
    TOP_K = 12  # sampling chooses from this many of the largest z, 1 to 64; 0: from all
    MIN_P = 13  # 1: and from those that are not below the floor
    ENTRY = 14  # first instruction of a pass
    GROUP_END = 15  # ring stop that a flit of this tile comes to last of its group's others; in a group of one, its own


#: Bits that each of them holds.
CSR_BITS = {c: 8 for c in Csr} | {
    Csr.GROUP: 5,
    Csr.HDQ: 8,
    Csr.ROUNDS_LOG2: 2,
    Csr.TOP_K: 7,
    Csr.MIN_P: 1,
    Csr.ENTRY: INDEX_BITS,
}

#: bit of an address in LOAD space CSR: the register is the second model's. TILE_INDEX, TILE_COUNT, TOP_K and MIN_P are
#: the same for both.
SECOND_BIT = 5


#: bit of an address in LOAD space CSR: the bits below it are the index of a planes descriptor, the data is the
#: `precision.Format` in which its matrix is read.
PRECISION_BIT = INDEX_BITS


class Space(IntEnum):
    """Target of a LOAD flit, in its `chan` field; lo..hi are then *physical* stop ids, see `topology`."""

    BANK = 0  # addr = bank << BANK_SHIFT | word
    CSR = 1  # addr = Csr
    PROGRAM = 2  # addr = 4*index + word of the entry (lowest first)
    MICRO = 3  # addr = 2*index + word
    VMEM = 4  # addr = vector memory address; data[31:0] = FP32, written to every lane
    DESC = 5  # addr = 4*index + word
    COUNTER = 6  # READ only: addr = Counter
    #: from the initializer only, never the host: makes the word at addr valid in each memory that the spaces above do
    #: not reach, and in all banks, unless addr has bit CLEAR_REST_BIT; what it becomes is the memory's own
    CLEAR = 15


BANK_SHIFT = BANK_BITS

#: Spaces of entries of several 64-bit words -> words of an entry, a power of two.
ENTRY_WORDS = {
    Space.PROGRAM: INSTRUCTION_BITS // 64,
    Space.MICRO: MICRO_BITS // 64,
    Space.DESC: DESCRIPTOR_BITS // 64,
}

#: bit of an address in LOAD space CLEAR: banks are left alone, for addresses beyond theirs.
CLEAR_REST_BIT = 24

#: bit of a DATA flit's `addr`: the word goes to the stage buffer instead of the activation buffer.
STAGE_BIT = 15


class PassWord(IntEnum):
    """Kind of a PASS flit, in its `chan` field. What its data holds is a `words.PASS_WORDS`."""

    LANE = 0  # position `lane` of the pass: token, place in the text, slot, and what it sees
    START = 1  # all positions are there: the pass begins
    BEGIN = 2  # a generation begins: counters are cleared and count
    FINISH = 3  # it has ended: counters stop
    COMMIT = 4  # K and V of a slot belong to the text from now on, at a position


#: row of a lane that has seen no logit; as a candidate it loses every tie, and no token has this number.
NO_ROW = (1 << GLOBAL_ROW_BITS) - 1

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
    """Exact sums that a tile keeps for the governor, per matrix: squares of outputs, and of the errors that a format
    makes in them, on the matrix's grids, over its rows and positions.
    """

    OUT = 0  # outputs
    ERR = 1  # INT8 less INT4: what INT4 leaves out
    INT8_ERR = 2  # FP16 less INT8: what INT8 leaves out


#: bit of the address of a READ: the bits below it are index of a planes descriptor << 2 | Energy, the answer is the
#: sum.
ENERGY_BIT = INDEX_BITS + 2
