"""The memory of entries against a dictionary: what is kept of them, when it shows, and what passes by."""

import pytest

from hayate.rtl.contract.encoding import DESCRIPTOR, MICRO, PLANES
from hayate.rtl.contract.flits import FlitKind, pack_flit
from hayate.rtl.contract.isa import Space
from hayate.rtl.contract.word import Word
from hayate.rtl.tile.entry_memory import EntryMemory, used
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, settle, start
from hayate.verif.tile.loads import entry_flits

KEPT = {
    Space.PROGRAM: ((0, 64), (64, 3)),
    Space.DESC: used((DESCRIPTOR, PLANES), alt=5, quad0=14),
    Space.MICRO: used((MICRO,), a=9, b=9, d=9),
}
DEPTH = 20
BENCH = Bench(
    lambda space: EntryMemory(Space(space), KEPT[space], DEPTH), params=[{"space": int(space)} for space in KEPT]
)


async def give(dut, **fields):
    dut.rx.value, dut.rx_valid.value = pack_flit(**fields), 1
    await clock(dut)
    dut.rx_valid.value = 0


async def read(dut, index):
    dut.rd_en.value, dut.rd_addr.value = 1, index
    await clock(dut)
    dut.rd_en.value = 0
    await settle()
    entry = int(dut.rd_data.value)
    await clock(dut)
    await settle()
    assert int(dut.error.value) == 0
    return entry


@BENCH.test()
async def entries(dut):
    """Words come in any order; of an entry the bits that are kept come back, and the others as zeros."""
    await start(dut)
    generator, space = rng("entries"), Space(params()["space"])
    mask = sum((1 << bits) - 1 << at for at, bits in KEPT[space])
    held = dict.fromkeys(range(DEPTH), 0)
    for _ in range(150):
        index, value = generator.randrange(DEPTH), generator.getrandbits(256)
        flits = entry_flits(space, index, value)
        generator.shuffle(flits)
        for flit in flits:
            await give(dut, **flit)
        held[index] = value & (1 << 64 * len(flits)) - 1
        # none of its business
        other = generator.choice([one for one in Space if one != space])
        await give(dut, **{**flits[0], "chan": other, "data": generator.getrandbits(64)})
        await give(dut, **{**flits[0], "kind": FlitKind.READ, "data": generator.getrandbits(64)})
        at = generator.choice([index, generator.randrange(DEPTH)])
        assert await read(dut, at) == held[at] & mask
        await clock(dut, generator.randrange(3))
        assert int(dut.rd_data.value) == held[at] & mask, "it holds until the next read"


def test_bits_that_are_kept():
    word = Word("w", ("a", 60), ("b", 10), ("_", 5), ("c", 4), ("d", 3))
    assert used((word,)) == ((0, 64), (64, 6), (75, 7))
    assert used((word,), b=2, c=1) == ((0, 62), (75, 1), (79, 3))
    assert used((word, Word("v", ("e", 1), ("f", 75))), b=2, c=0) == ((0, 64), (64, 12), (79, 3))


def test_entries_have_no_more_bits_than_their_words():
    with pytest.raises(ValueError, match="an entry of MICRO has 128 bits, not 129"):
        EntryMemory(Space.MICRO, ((0, 129),), 4)
