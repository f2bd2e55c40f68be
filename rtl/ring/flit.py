"""The unit of transfer on the ring, and the words that it carries, as structures of signals."""

from functools import cache

from amaranth.hdl import Cat, Const, Value
from amaranth.lib import data, stream

from hayate.rtl.contract.flits import FLIT
from hayate.rtl.contract.words import Word

__all__ = ["FLIT_STREAM", "Flit", "pack", "struct", "view"]


@cache
def struct(word: Word):
    """The layout of a word, under the names of its fields; free places are `_0`, `_1` and so on, by their place."""
    return data.StructLayout(
        {f"_{n}" if field.name.startswith("_") else field.name: field.bits for n, field in enumerate(word.fields)}
    )


def view(word: Word, value):
    """The lowest bits of `value` as that word. ValueError when there are too few of them."""
    bits = Value.cast(value)
    if len(bits) < word.bits:
        raise ValueError(f"{word.name} has {word.bits} bits, of which {len(bits)} are there")
    return data.View(struct(word), bits[: word.bits])


def pack(word: Word, /, **values):
    """That word made of the values of its fields, zeros in free places.

    Raises KeyError for a field that it does not have or that is left out, ValueError for a value that is wider than its
    field; one that is narrower gets zeros on top.
    """
    if wrong := values.keys() ^ word.places.keys():
        raise KeyError(f"{word.name}: fields are {', '.join(word.places)}; {min(wrong)!r} is too many or missing")
    parts = []
    for field in word.fields:
        value = Const(0, field.bits) if field.name.startswith("_") else Value.cast(values[field.name])
        if len(value) > field.bits:
            raise ValueError(f"{word.name}: field {field.name} has {field.bits} bits, its value {len(value)}")
        parts += [value, Const(0, field.bits - len(value))] if len(value) < field.bits else [value]
    return Cat(parts)


#: A flit; ``kind`` holds a FlitKind.
Flit = struct(FLIT)

#: A stream of flits.
FLIT_STREAM = stream.Signature(Flit)
