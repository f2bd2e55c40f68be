"""What travels on the ring: kinds of flit and widths of their fields, lowest bits first."""

from enum import IntEnum


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


#: Field widths in bits, from bit 0 upwards.
FLIT_FIELDS = {
    "kind": 3,  # a FlitKind
    "src": 8,  # physical number of the stop that injected it; the stop fills it in
    "end": 8,  # physical number of the stop that takes it off the ring; 0: the one that injected it
    "lo": 8,  # first and
    "hi": 8,  # last logical tile index that takes it, both inclusive
    "chan": 4,  # what it belongs to, within its kind
    "lane": 3,  # position of the pass it belongs to
    "addr": 25,
    "data": 64,
}

FLIT_BITS = sum(FLIT_FIELDS.values())

#: Logical index of the conductor, in ``lo`` and ``hi``.
CONDUCTOR = 255


def pack_flit(**fields: int) -> int:
    """The flit as one integer; fields left out are 0. KeyError for an unknown field, ValueError for a value that does
    not fit.
    """
    unknown = set(fields) - set(FLIT_FIELDS)
    if unknown:
        raise KeyError(f"no flit field {sorted(unknown)}; fields are {list(FLIT_FIELDS)}")
    word, at = 0, 0
    for name, width in FLIT_FIELDS.items():
        value = int(fields.get(name, 0))
        if not 0 <= value < 1 << width:
            raise ValueError(f"flit field {name}: {value} does not fit {width} bits")
        word |= value << at
        at += width
    return word


def unpack_flit(word: int) -> dict[str, int]:
    """Fields of a flit given as one integer. ValueError when it has more than FLIT_BITS bits."""
    if not 0 <= word < 1 << FLIT_BITS:
        raise ValueError(f"a flit has {FLIT_BITS} bits, not {word.bit_length()}")
    fields, at = {}, 0
    for name, width in FLIT_FIELDS.items():
        fields[name] = word >> at & ((1 << width) - 1)
        at += width
    return fields
