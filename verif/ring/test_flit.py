"""The flit: as signals and as an integer, its words by lane, and what a stop of a single lane sees of it."""

import random

import pytest
from amaranth.hdl import Cat, Module, Signal
from amaranth.sim import Simulator

from hayate.rtl.contract.flits import (
    ADDRESS_BITS,
    FLIT,
    FLIT_FIELDS,
    HEADER,
    HEADER_BITS,
    NEAR_ADDRESS,
    NEAR_ADDRESS_BITS,
    STOP_BITS,
    WORD_BITS,
    flit_bits,
    flit_word,
    gather,
    pack_flit,
    spread,
    unpack_flit,
)
from hayate.rtl.ring.flit import FLIT_STREAM, Flit, end_of, flit_layout, flit_stream, narrow, widen

LANES = [1, 2, 4, 8]
OF_HEADER = [name for name, *_ in HEADER]


def draw(lanes, r, **given):
    """Fields of any flit without `near`."""
    return {field.name: r.getrandbits(field.bits) for field in flit_word(lanes).fields} | {"near": 0} | given


@pytest.mark.parametrize("lanes, bits", [(1, 123), (2, 188), (4, 318), (8, 578)])
def test_the_struct_is_the_contract(lanes, bits):
    layout, word = flit_layout(lanes), flit_word(lanes)
    assert layout.size == word.bits == flit_bits(lanes) == bits
    assert layout is flit_layout(lanes) and flit_stream(lanes).members["payload"].shape is layout
    for name, (_, width) in word.places.items():
        value = (1 << width) - 1
        packed = pack_flit(lanes, **{name: value})
        assert layout.const({name: value}).as_bits() == packed
        assert word.unpack(packed)[name] == value


def test_a_flit_of_one_lane_is_the_usual_one():
    assert Flit is flit_layout(1) and FLIT_STREAM.members["payload"].shape is Flit
    assert FLIT.places == flit_word(1).places and FLIT.bits == flit_word(1).bits
    assert FLIT_FIELDS == {name: bits for name, (_, bits) in FLIT.places.items()}
    assert pack_flit(kind=5, mask=1, data=9) == pack_flit(1, kind=5, mask=1, data=9)
    assert unpack_flit(pack_flit(addr=7)) == unpack_flit(pack_flit(addr=7), 1)


@pytest.mark.parametrize("lanes", LANES)
def test_a_flit_comes_back_out_of_its_integer(lanes):
    """With an end and without one, words of any lanes."""
    r = random.Random(lanes)
    for _ in range(100):
        fields = draw(lanes, r)
        assert unpack_flit(pack_flit(lanes, **fields), lanes) == {**fields, "end": 0}
        assert pack_flit(lanes, **fields) == pack_flit(lanes, **fields, end=0) == flit_word(lanes).pack(**fields)
        near = fields | {"addr": r.getrandbits(NEAR_ADDRESS_BITS), "end": r.randrange(1, 1 << STOP_BITS)}
        packed = pack_flit(lanes, **near)
        assert unpack_flit(packed, lanes) == near | {"near": 1}
        assert pack_flit(lanes, **unpack_flit(packed, lanes)) == packed
        # The same bits without `near` are an address.
        whole = NEAR_ADDRESS.pack(addr=near["addr"], end=near["end"])
        assert flit_word(lanes).unpack(packed) == fields | {"near": 1, "addr": whole}
        assert unpack_flit(pack_flit(lanes, **fields | {"addr": whole}), lanes) == fields | {"addr": whole, "end": 0}


def test_an_end_at_stop_0_is_one():
    """`pack_flit` makes none such, but a flit that is `near` comes back as it was."""
    packed = pack_flit(2, near=1, addr=NEAR_ADDRESS.pack(addr=9, end=0))
    fields = unpack_flit(packed, 2)
    assert (fields["near"], fields["addr"], fields["end"]) == (1, 9, 0) and pack_flit(2, **fields) == packed


@pytest.mark.parametrize("lanes", LANES)
def test_words_by_lane(lanes):
    r = random.Random(lanes)
    for mask in range(1 << lanes):
        words = {lane: r.getrandbits(WORD_BITS) for lane in range(lanes) if mask >> lane & 1}
        made = spread(words)
        assert made["mask"] == mask and gather(**made) == words
        fields = unpack_flit(pack_flit(lanes, **made), lanes)
        assert gather(fields["mask"], fields["data"]) == words
        for lane in range(lanes):
            assert made["data"] >> WORD_BITS * lane & (1 << WORD_BITS) - 1 == words.get(lane, 0)
    # What stands in lanes that the mask leaves out is nobody's.
    every = (1 << WORD_BITS * lanes) - 1
    assert gather(1, every) == {0: (1 << WORD_BITS) - 1} and gather(0, every) == {}


def test_fields_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="field mask: 2 does not fit 1 bits"):
        pack_flit(mask=2)
    with pytest.raises(ValueError, match="field mask: 16 does not fit 4 bits"):
        pack_flit(4, mask=16)
    with pytest.raises(ValueError, match="field data: .* does not fit 256 bits"):
        pack_flit(4, data=1 << 256)
    with pytest.raises(ValueError, match="field kind: -1 does not fit 4 bits"):
        pack_flit(2, kind=-1)
    for field in ("lane", "tile"):
        with pytest.raises(KeyError, match=f"flit: no field .{field}.; it has kind, src"):
            pack_flit(8, **{field: 1})
    assert pack_flit(addr=(1 << ADDRESS_BITS) - 1)
    with pytest.raises(ValueError, match=f"flit: field addr: {1 << ADDRESS_BITS} does not fit {ADDRESS_BITS} bits"):
        pack_flit(addr=1 << ADDRESS_BITS)


def test_an_end_takes_its_place_in_the_address():
    with pytest.raises(ValueError, match="near addr: field addr: 65536 does not fit 16 bits"):
        pack_flit(addr=1 << NEAR_ADDRESS_BITS, end=1)
    for end in (256, -1):
        with pytest.raises(ValueError, match=f"near addr: field end: {end} does not fit 8 bits"):
            pack_flit(end=end)


@pytest.mark.parametrize("lanes, bits", [(1, 123), (4, 318)])
def test_what_is_no_flit_is_refused(lanes, bits):
    assert unpack_flit((1 << bits) - 1, lanes)["mask"] == (1 << lanes) - 1
    for word in (1 << bits, -1):
        with pytest.raises(ValueError, match=f"a flit of {lanes} lanes has {bits} bits, not {word.bit_length()}"):
            unpack_flit(word, lanes)


@pytest.mark.parametrize("lanes", LANES)
def test_one_lane_of_many(lanes):
    """`widen` puts the only word into lane 0, `narrow` sees that of lane 0; `end_of` is in the header of both."""
    m = Module()
    one, many = Signal(Flit), Signal(flit_layout(lanes))
    widened, narrowed = Signal.like(many), Signal.like(one)
    m.d.comb += [widened.eq(widen(one, lanes)), narrowed.eq(narrow(many))]
    ends = Signal(2 * STOP_BITS)
    m.d.comb += ends.eq(Cat(end_of(one), end_of(many)))
    r = random.Random(lanes)

    def some(lanes):
        end = r.choice([0, r.randrange(1, 1 << STOP_BITS)])
        return draw(lanes, r, addr=r.getrandbits(NEAR_ADDRESS_BITS), end=end)

    async def look(context):
        for _ in range(50):
            a, b = some(1), some(lanes)
            context.set(one.as_value(), pack_flit(1, **a))
            context.set(many.as_value(), pack_flit(lanes, **b))
            assert context.get(widened.as_value()) == pack_flit(lanes, **a)
            seen = b | {"mask": b["mask"] & 1, "data": b["data"] & (1 << WORD_BITS) - 1}
            assert context.get(narrowed.as_value()) == pack_flit(1, **seen)
            assert context.get(ends) == a["end"] | b["end"] << STOP_BITS

    simulator = Simulator(m)
    simulator.add_testbench(look)
    simulator.run()
    assert HEADER_BITS == sum(FLIT_FIELDS[name] for name in OF_HEADER) == 58
