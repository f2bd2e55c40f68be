"""What travels on the ring: kinds of flit and widths of their fields, lowest bits first."""

from enum import IntEnum

from hayate.rtl.contract.isa import CHANNEL_BITS
from hayate.rtl.contract.word import Word


class FlitKind(IntEnum):
    """Kind of a flit; it decides what the receiver does with ``addr`` and ``data``."""

    DATA = 0  #: write of an activation buffer
    SUM = 1  #: exact integer partial sum
    MAX = 2  #: partial maximum
    CAND = 3  #: token candidate (value, token)
    PASS = 4  #: control of a pass, from the conductor
    LOAD = 5  #: write of a tile's memory or register, from the host; lo..hi are physical stop ids, chan a `Space`
    SYNC = 6  #: the sender has finished its contribution to channel `chan`
    #: host reads: request (lo..hi physical stop ids, chan a `Space`, addr); the reply has lo = hi = CONDUCTOR and the
    #: value in data
    READ = 7


#: Width in bits: of a stop's physical number, and of a tile's logical index.
STOP_BITS = 8
#: Width in bits: of a kind, of a position of the pass.
KIND_BITS, LANE_BITS = 4, 3

#: A flit.
FLIT = Word(
    "flit",
    ("kind", KIND_BITS, "a `FlitKind`"),
    ("src", STOP_BITS, "physical number of the stop that injected it; the stop fills it in"),
    ("end", STOP_BITS, "physical number of the stop that takes it off the ring; 0: the one that injected it"),
    ("lo", STOP_BITS, "first and"),
    ("hi", STOP_BITS, "last logical tile index that takes it, both inclusive"),
    ("chan", CHANNEL_BITS, "what it belongs to, within its kind"),
    ("lane", LANE_BITS, "position of the pass it belongs to"),
    ("addr", 25, "where it goes; its meaning follows from the kind"),
    ("data", 64, "its content"),
)

#: Field -> bits, from bit 0 upwards.
FLIT_FIELDS = {field.name: field.bits for field in FLIT.fields}

FLIT_BITS = FLIT.bits

#: Logical index of the conductor, in ``lo`` and ``hi``.
CONDUCTOR = (1 << STOP_BITS) - 1


def pack_flit(**fields: int) -> int:
    """The flit as one integer; fields left out are 0. Raises as `Word.pack`."""
    return FLIT.pack(**fields)


def unpack_flit(word: int) -> dict[str, int]:
    """Fields of a flit given as one integer. ValueError when it has more than FLIT_BITS bits."""
    if not 0 <= word < 1 << FLIT_BITS:
        raise ValueError(f"a flit has {FLIT_BITS} bits, not {word.bit_length()}")
    return FLIT.unpack(word)
