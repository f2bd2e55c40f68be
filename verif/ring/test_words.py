"""Words that flits carry: places follow from the fields, and signals and integers agree on them."""

import random

import pytest
from amaranth.hdl import Const, Module, Signal
from amaranth.lib import data
from amaranth.sim import Simulator

from hayate.rtl.contract import words
from hayate.rtl.contract.flits import FLIT_FIELDS
from hayate.rtl.contract.words import COMMIT, LANE, START, Word
from hayate.rtl.ring.flit import pack, struct, view

WORDS = {name: value for name, value in vars(words).items() if isinstance(value, Word)}
SMALL = Word("SMALL", ("a", 3, "x"), ("_", 2, ""), ("b", 1, "y"))


def draw(word, r):
    return {name: r.getrandbits(bits) for name, (_, bits) in word.places.items()}


@pytest.mark.parametrize("name", WORDS)
def test_integers_and_signals_agree(name):
    r, word = random.Random(name), WORDS[name]
    assert word.bits <= FLIT_FIELDS["addr" if name.endswith("ADDRESS") else "data"]
    for _ in range(20):
        values = draw(word, r)
        packed = word.pack(**values)
        assert word.unpack(packed) == word.unpack(packed | r.getrandbits(64) << word.bits) == values
        assert struct(word).const(values).as_bits() == packed


def test_free_places_are_zeros_and_not_looked_at():
    assert SMALL.pack(a=5, b=1) == 0b100101 and SMALL.unpack(0b111101) == {"a": 5, "b": 1} and SMALL.bits == 6
    assert SMALL.pack() == 0 and SMALL.places == {"a": (0, 3), "b": (5, 1)}


def test_signals_are_packed_and_taken_apart():
    """A narrower value gets zeros on top; bits above the word are not looked at."""
    m = Module()
    bits, a, b, made, found = Signal(9), Signal(2), Signal(), Signal(9), Signal(4)
    m.d.comb += [made.eq(pack(SMALL, a=a, b=b)), found.eq(view(SMALL, bits).a << 1 | view(SMALL, bits).b)]

    async def look(context):
        for value in range(1 << 9):
            context.set(bits, value)
            context.set(a, value & 3)
            context.set(b, value >> 2 & 1)
            want = SMALL.unpack(value)
            assert context.get(found) == want["a"] << 1 | want["b"]
            assert context.get(made) == SMALL.pack(a=value & 3, b=value >> 2 & 1)

    simulator = Simulator(m)
    simulator.add_testbench(look)
    simulator.run()


def test_refusals():
    with pytest.raises(KeyError, match="SMALL: no field 'c'; it has a, b"):
        SMALL.pack(c=1)
    with pytest.raises(ValueError, match="SMALL: field a: 8 does not fit 3 bits"):
        SMALL.pack(a=8)
    with pytest.raises(ValueError, match="SMALL: field b: -1 does not fit 1 bits"):
        SMALL.pack(b=-1)
    with pytest.raises(KeyError, match="SMALL: fields are a, b; 'b' is too many or missing"):
        pack(SMALL, a=Const(0, 3))
    with pytest.raises(ValueError, match="SMALL: field b has 1 bits, its value 2"):
        pack(SMALL, a=Const(0, 3), b=Const(0, 2))
    with pytest.raises(ValueError, match="SMALL has 6 bits, of which 5 are there"):
        view(SMALL, Const(0, 5))


def test_a_word_is_taken_apart_in_place():
    """What a COMMIT brings is found where a LANE has it, and a struct is one layout for all its views."""
    word = COMMIT.pack(position=77, slot=5)
    assert LANE.unpack(word) == {"token": 0, "position": 77, "slot": 5, "ancestors": 0, "second": 0}
    assert struct(START) is struct(START) and isinstance(struct(START), data.StructLayout)
