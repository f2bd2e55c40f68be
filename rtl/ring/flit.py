"""The unit of transfer on the ring, and the words that it carries, as structures of signals."""

from functools import cache

from amaranth.hdl import Cat, Const, Value
from amaranth.lib import data, stream

from hayate.rtl.contract.flits import HEADER_BITS, NEAR_ADDRESS, WORD_BITS, flit_word
from hayate.rtl.contract.words import Word


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


@cache
def flit_layout(lanes: int):
    """Layout of the flit of a machine of so many lanes; ``kind`` holds a FlitKind."""
    return struct(flit_word(lanes))


@cache
def flit_stream(lanes: int):
    """Signature of a stream of such flits."""
    return stream.Signature(flit_layout(lanes))


#: A flit of one lane, which is what LOAD, READ and PASS need of any, and a stream of them.
Flit = flit_layout(1)
FLIT_STREAM = flit_stream(1)


def narrow(flit):
    """The flit as one of a single lane, lane 0."""
    bits = Value.cast(flit)
    return data.View(Flit, Cat(bits[:HEADER_BITS], flit.mask[0], flit.data.word_select(0, WORD_BITS)))


def widen(flit, lanes: int):
    """A flit of a single lane as that of a machine of so many."""
    bits = Value.cast(flit)
    mask, rest = Cat(flit.mask, Const(0, lanes - 1)), Const(0, (lanes - 1) * WORD_BITS)
    return data.View(flit_layout(lanes), Cat(bits[:HEADER_BITS], mask, flit.data, rest))


def end_of(flit):
    """Stop that takes a flit with `near` off the ring."""
    return view(NEAR_ADDRESS, flit.addr).end
