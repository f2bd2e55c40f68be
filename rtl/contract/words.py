"""What flits carry, field by field, for RTL, golden model, benches and the manual alike."""

from hayate.rtl.contract.filters import COUNTS_BIT, INDEX_SHIFT, ROUND_BIT
from hayate.rtl.contract.flits import LANE_BITS
from hayate.rtl.contract.isa import (
    BANK_SHIFT,
    CLEAR_REST_BIT,
    ENERGY_BIT,
    ENTRY_WORDS,
    GLOBAL_ROW_BITS,
    INDEX_BITS,
    PRECISION_BIT,
    ROUNDS_AHEAD,
    SECOND_BIT,
    STAGE_BIT,
    PassWord,
)
from hayate.rtl.contract.precision import SENS_BITS
from hayate.rtl.contract.word import Word

#: Widths in bits: of a token, of an absolute position in a text, of a KV slot's number, of a generation's seed.
TOKEN_BITS, POSITION_BITS, SLOT_BITS, SEED_BITS = GLOBAL_ROW_BITS, 16, 16, 64
#: The most positions that a pass can have; masks of positions have a bit for each. Width in bits of how many it has.
PASS_POSITIONS = 8
PASS_SIZE_BITS = PASS_POSITIONS.bit_length()

#: PASS, word LANE: a position of the pass.
LANE = Word(
    "LANE",
    ("token", TOKEN_BITS, "token"),
    ("position", POSITION_BITS, "its absolute position in the text"),
    ("slot", SLOT_BITS, "KV slot that it takes"),
    ("ancestors", PASS_POSITIONS, "positions of this pass that it sees, itself included"),
    ("second", 1, "it is one of the second model's"),
)

#: PASS, word START: all positions are there, and the pass begins.
START = Word(
    "START",
    ("last", 3, "positions of the pass less 1"),
    ("measure", 1, "the governor measures"),
    ("draft", 1, "matrices with planes are read as INT4"),
    ("sample", 1, "tokens are sampled"),
    ("second", 1, "the pass is the second model's"),
    ("_", 1, ""),
    ("want", PASS_POSITIONS, "positions whose logits are wanted"),
    ("hwm", SLOT_BITS, "high-water mark: KV slots in use, with this pass"),
    ("counted", PASS_POSITIONS, "positions whose energies count in a GEMV that says `wanted`"),
)

#: PASS, word BEGIN: a generation begins.
BEGIN = Word("BEGIN", ("seed", SEED_BITS, "of the noise"))

#: PASS, word COMMIT: K and V of a slot belong to the text from now on.
COMMIT = Word(
    "COMMIT",
    ("_", TOKEN_BITS, ""),
    ("position", POSITION_BITS, "where they belong to"),
    ("slot", SLOT_BITS, "the slot"),
)

# What a COMMIT changes is found where a LANE has it, so that one multiplexer serves both.
assert all(COMMIT.places[name] == LANE.places[name] for name in COMMIT.places)

#: CAND: a tile's best token of a position.
CANDIDATE = Word(
    "CAND", ("value", 32, "FP32 bits of what was compared"), ("token", TOKEN_BITS, "global row of the output matrix")
)

#: `isa.PassWord` in a PASS flit's `chan` -> what is in its data. FINISH has none.
PASS_WORDS = {PassWord.LANE: LANE, PassWord.START: START, PassWord.BEGIN: BEGIN, PassWord.COMMIT: COMMIT}

#: `addr` of a PASS flit.
PASS_ADDRESS = Word("PASS addr", ("lane", LANE_BITS, "position of the pass, of LANE"))

#: `addr` of a DATA flit.
DATA_ADDRESS = Word(
    "DATA addr",
    ("word", STAGE_BIT, "word of the buffer; for a stage buffer a multiple of M, the first of M words"),
    ("stage", 1, "it goes to the stage buffer, not to the activation buffer"),
)

#: `addr` of a SUM flit.
SUM_ADDRESS = Word(
    "SUM addr",
    ("high", COUNTS_BIT, "the upper half of what has two words"),
    ("counts", ROUND_BIT - COUNTS_BIT, "0"),
    ("_", INDEX_SHIFT - ROUND_BIT, ""),
    ("round", (ROUNDS_AHEAD - 1).bit_length(), "J modulo ROUNDS_AHEAD"),
    ("vec", 1, "sums of attention vectors"),
)

#: `addr` of a SUM flit with counts.
COUNT_ADDRESS = Word(
    "SUM addr",
    ("high", COUNTS_BIT, "the upper half of what has two words"),
    ("counts", ROUND_BIT - COUNTS_BIT, "1: the word has counts for top-k"),
    ("parity", 1, "of the search's round"),
    ("_", INDEX_SHIFT - ROUND_BIT - 1, ""),
    ("index", 8, "the sender's logical tile index"),
)

#: `addr` of a MAX flit.
MAX_ADDRESS = Word("MAX addr", ("_", INDEX_SHIFT, ""), ("round", SUM_ADDRESS.places["round"][1], "as of sums"))

#: `addr` of a CAND flit.
CANDIDATE_ADDRESS = Word("CAND addr", ("second", 1, "the second best of position 0, in a pass that drafts"))

#: `addr` of a LOAD flit of space BANK; of the spaces of entries; of CSR, for a register and for the format of a
#: matrix; of CLEAR.
BANK_ADDRESS = Word("BANK addr", ("word", BANK_SHIFT, "word of the bank"), ("bank", 5, "bank of the tile"))
ENTRY_ADDRESSES = {
    space: Word(
        f"{space.name} addr",
        ("word", (words - 1).bit_length(), "64-bit word of the entry, one behind the other, the lowest first"),
        ("index", INDEX_BITS, "entry of the memory"),
    )
    for space, words in ENTRY_WORDS.items()
}
CSR_ADDRESS = Word(
    "CSR addr",
    ("register", SECOND_BIT, "a `Csr`"),
    ("second", 1, "it is the second model's"),
    ("_", PRECISION_BIT - SECOND_BIT - 1, ""),
    ("precision", 1, "0"),
)
PRECISION_ADDRESS = Word(
    "CSR addr", ("planes", PRECISION_BIT, "index of the planes descriptor"), ("precision", 1, "1: a matrix's format")
)
CLEAR_ADDRESS = Word(
    "CLEAR addr", ("word", CLEAR_REST_BIT, "in every memory"), ("rest", 1, "in every memory but the banks")
)

#: Words of an entry of the governor's table, which the load window writes: one matrix.
MATRIX_WORDS = (
    Word("GOVERNOR low", ("planes", INDEX_BITS, "planes descriptor"), ("fp16", 1, "it has an FP16 copy, too")),
    Word(
        "GOVERNOR high",
        ("sens_err", SENS_BITS, "sensitivity to `Energy.ERR`"),
        ("sens_int8_err", SENS_BITS, "sensitivity to `Energy.INT8_ERR`"),
    ),
)

#: `addr` of a READ flit.
COUNTER_ADDRESS = Word("READ addr", ("counter", ENERGY_BIT, "a `Counter`"), ("energy", 1, "0"))
ENERGY_ADDRESS = Word(
    "READ addr",
    ("kind", 2, "an `Energy`"),
    ("planes", ENERGY_BIT - 2, "index of the planes descriptor"),
    ("energy", 1, "1: an energy"),
)
