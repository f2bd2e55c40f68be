"""What travels on the ring: kinds of flit and widths of their fields, lowest bits first.

A flit is as wide as the machine: it has a word of data for each of M lanes, and a mask that says which of them it is
for. What the conductor and the host send has one word, that of lane 0.
"""

from collections.abc import Mapping
from enum import IntEnum
from functools import cache

from hayate.rtl.contract.isa import CHANNEL_BITS
from hayate.rtl.contract.word import Word


class FlitKind(IntEnum):
    """Kind of a flit; it decides what the receiver does with ``addr`` and ``data``."""

    DATA = 0  #: write of an activation buffer or a stage buffer
    SUM = 1  #: halves of exact integer partial sums
    MAX = 2  #: partial maxima
    CAND = 3  #: token candidates (value, token)
    PASS = 4  #: control of a pass, from the conductor
    LOAD = 5  #: write of a tile's memory or register, from the host; lo..hi are physical stop ids, chan a `Space`
    SYNC = 6  #: the sender has finished its contribution to channel `chan`
    #: host reads: request (lo..hi physical stop ids, chan a `Space`, addr); the reply has lo = hi = CONDUCTOR and the
    #: value in data
    READ = 7


#: Width in bits: of a stop's physical number, and of a tile's logical index.
STOP_BITS = 8
#: Width in bits: of a kind, of a position of the pass, of a lane's word.
KIND_BITS, LANE_BITS, WORD_BITS = 4, 3, 64
#: Width in bits: of `addr`, and of the part of it that stays where a flit has an `end`.
ADDRESS_BITS, NEAR_ADDRESS_BITS = 25, 16

#: What a flit begins with; behind it come the mask and the data.
HEADER = (
    ("kind", KIND_BITS, "a `FlitKind`"),
    ("src", STOP_BITS, "physical number of the stop that injected it; the stop fills it in"),
    ("lo", STOP_BITS, "first and"),
    ("hi", STOP_BITS, "last logical tile index that takes it, both inclusive"),
    ("chan", CHANNEL_BITS, "what it belongs to, within its kind"),
    ("near", 1, "a stop before the one that injected it takes it off the ring, see `addr`; never with LOAD and READ"),
    ("addr", ADDRESS_BITS, "where it goes; its meaning follows from the kind"),
)


@cache
def flit_word(lanes: int = 1) -> Word:
    """The flit of a machine of so many lanes."""
    return Word(
        "flit",
        *HEADER,
        ("mask", lanes, "lanes that it has a word for; of DATA for a stage buffer, positions that take all its words"),
        ("data", WORD_BITS * lanes, "its content, a word for each lane, that of lane 0 lowest"),
    )


#: A flit of one lane: what LOAD, READ and PASS need in any machine.
FLIT = flit_word()

#: `addr` of a flit with `near`.
NEAR_ADDRESS = Word(
    "near addr",
    ("addr", NEAR_ADDRESS_BITS, "where it goes"),
    ("_", ADDRESS_BITS - NEAR_ADDRESS_BITS - STOP_BITS, ""),
    ("end", STOP_BITS, "physical number of the stop that takes it off the ring"),
)

#: Field -> bits, from bit 0 upwards.
FLIT_FIELDS = {field.name: field.bits for field in FLIT.fields}

#: Bits of what comes before mask and data.
HEADER_BITS = sum(bits for _, bits, _ in HEADER)

#: Logical index of the conductor, in ``lo`` and ``hi``.
CONDUCTOR = (1 << STOP_BITS) - 1


def flit_bits(lanes: int) -> int:
    """Bits of a flit."""
    return flit_word(lanes).bits


def spread(words: Mapping[int, int]) -> dict[str, int]:
    """`mask` and `data` of a flit with these words, by lane."""
    return {
        "mask": sum(1 << lane for lane in words),
        "data": sum(word << WORD_BITS * lane for lane, word in words.items()),
    }


def gather(mask: int, data: int) -> dict[int, int]:
    """Words of a flit by lane: the inverse of `spread`."""
    every = (1 << WORD_BITS) - 1
    return {lane: data >> WORD_BITS * lane & every for lane in range(mask.bit_length()) if mask >> lane & 1}


def pack_flit(lanes: int = 1, **fields: int) -> int:
    """The flit as one integer; fields left out are 0. With `end` it is `near`. Raises as `Word.pack`."""
    if end := fields.pop("end", 0):
        fields |= {"near": 1, "addr": NEAR_ADDRESS.pack(addr=fields.get("addr", 0), end=end)}
    return flit_word(lanes).pack(**fields)


def unpack_flit(word: int, lanes: int = 1) -> dict[str, int]:
    """Fields of a flit given as one integer, `end` among them, which is 0 without one; `addr` is without it.

    ValueError when it has more bits than a flit.
    """
    if not 0 <= word < 1 << flit_bits(lanes):
        raise ValueError(f"a flit of {lanes} lanes has {flit_bits(lanes)} bits, not {word.bit_length()}")
    fields = {**flit_word(lanes).unpack(word), "end": 0}
    if fields["near"]:
        fields |= NEAR_ADDRESS.unpack(fields["addr"])
    return fields
