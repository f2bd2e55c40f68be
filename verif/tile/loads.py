"""LOAD flits of entries, for benches of what takes them."""

from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import ENTRY_WORDS


def entry_flits(space, index, value):
    """Fields of the flits that write an entry, its words in order."""
    words = ENTRY_WORDS[space]
    return [
        {"kind": FlitKind.LOAD, "chan": space, "addr": words * index + n, "data": value >> 64 * n & (1 << 64) - 1}
        for n in range(words)
    ]
