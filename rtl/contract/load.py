"""A load from its first word to its last: what a host tells of the model, the seal, and why a word is refused."""

import zlib
from enum import IntEnum, IntFlag

from hayate.rtl.contract.config import MAX_TILES
from hayate.rtl.contract.filters import TOP_K_MAX
from hayate.rtl.contract.isa import CSR_BITS, ENTRY_WORDS, GLOBAL_ROW_BITS, SECOND_BIT, VMEM_BITS, Csr
from hayate.rtl.contract.regmap import LoadSpace, load_address
from hayate.rtl.contract.words import MATRIX_WORDS


class Fact(IntEnum):
    """Addresses of `LoadSpace.MODEL`: what the machine must know of a model to refuse what would go wrong with it."""

    OPEN = 0  # first word of a load, data 0: the machine holds no model until it is sealed, and all facts are 0
    VOCABULARY = 1  # token ids are below it
    TILES = 2  # tiles that the model was placed on: all that there are
    CONTEXT = 3  # positions that a sequence may have at most
    MATRICES = 4  # entries of the governor's table
    FEATURES = 5  # what the model can do, see below
    SAMPLING = 6  # vector memory's words INVT [13:0] and LNP [29:16], which stay writable
    SEAL = 15  # last word of a load: CRC of all words since OPEN


class Feature(IntFlag):
    """Bits of `Fact.FEATURES`."""

    PLANES = 1  # matrices have integer planes: AUTO, and drafting by the model read as INT4
    DRAFT = 2  # there is a draft model
    BASE = 4  # the base table is loaded
    FILTERS = 8  # vector memory has room for TOP_K and MIN_P


LNP_SHIFT = 16  # of LNP's address in SAMPLING

#: Fact -> bits of it that are kept. SEAL keeps none; OPEN neither.
FACT_BITS = {
    Fact.VOCABULARY: GLOBAL_ROW_BITS + 1,
    Fact.TILES: MAX_TILES.bit_length(),
    Fact.CONTEXT: 16,
    Fact.MATRICES: 16,
    Fact.FEATURES: len(Feature),
    Fact.SAMPLING: LNP_SHIFT + VMEM_BITS,
}

#: Space -> 64-bit words of an entry, of all spaces whose entries have several, a power of two of them: the address is
#: that many times the entry's number, plus the word's, and the words of an entry come in order.
WORDS_OF_ENTRY: dict[int, int] = {int(space): words for space, words in ENTRY_WORDS.items()}
WORDS_OF_ENTRY[LoadSpace.GOVERNOR] = len(MATRIX_WORDS)


class Reason(IntEnum):
    """Why the load window refused a word: LOAD_STATUS.REASON."""

    NONE = 0
    FORM = 1  # the burst: WRAP, beats that are not 8 bytes, an address that is not a multiple of 8, a strobe low
    ADDRESS = 2  # no such tile, space, register or word in this machine
    DATA = 3  # a value that does not fit: a token id that the model has not, a register's or a format's value
    ORDER = 4  # a word of an entry that does not follow the one before it
    BUSY = 5  # a generation is in progress, or FAULT_CAUSE.TIMEOUT waits for CONTROL.RESET
    NOT_READY = 6  # STATUS.READY is 0, or CONTROL.RESET came before the word was in its memory
    NO_LOAD = 7  # a word of a model without OPEN before it; of a prompt without a model
    SEALED = 8  # a word of a model behind its seal: a new load begins with OPEN
    SEAL = 9  # the seal is not the CRC of the words taken since OPEN


#: registers of the tiles that a host may write between generations, behind the seal.
OPEN_REGISTERS = (Csr.TOP_K, Csr.MIN_P)
#: The largest value of registers that have more bits than they need for it.
CSR_MOST = {Csr.TOP_K: TOP_K_MAX}
#: registers that both models have in common, at the first one's address only.
COMMON_REGISTERS = (Csr.TILE_INDEX, Csr.TILE_COUNT, *OPEN_REGISTERS)


def csr_widths(sampling=True):
    """Address in space CSR -> bits, of every register of a tile: of the first model, then of the second."""
    built = {csr: bits for csr, bits in CSR_BITS.items() if sampling or csr not in OPEN_REGISTERS}
    return {int(csr): bits for csr, bits in built.items()} | {
        csr | 1 << SECOND_BIT: bits for csr, bits in built.items() if csr not in COMMON_REGISTERS
    }


def fact(which, value=0):
    """(address, data) of a word of space MODEL."""
    return load_address(0, LoadSpace.MODEL, which), int(value)


def seal(words):
    """CRC-32 (ISO-HDLC, as of zlib) of load words, uint64 [n, 2]: addresses and data, as little-endian bytes one behind
    the other.
    """
    return zlib.crc32(words.astype("<u8").tobytes())
