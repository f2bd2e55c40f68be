"""The base table against the golden one: contexts that collide, are not there, or have only one token."""

from hayate.golden.conductor import ngram
from hayate.rtl.conductor.base import BaseTable
from hayate.verif.bench import Bench, rng
from hayate.verif.bench.drivers import clock, record, settle, start
from hayate.verif.bench.reset import resets

BENCH = Bench(BaseTable)
FAULTS = Bench(lambda: BaseTable(inject=True))


async def load(dut, words):
    for dut.load__address.value, dut.load__data.value in words:
        dut.load__enable.value = 1
        await clock(dut)
    dut.load__enable.value = 0


async def look(dut, text):
    """What the table says behind `text`, at least one token: a token, or None."""
    dut.newer.value, dut.older.value, dut.pair.value = (
        text[-1],
        text[-2] if len(text) > 1 else rng(text[-1]).getrandbits(20),
        len(text) > 1,
    )
    await clock(dut)
    dut.look.value, dut.newer.value = 1, 0
    await clock(dut)
    dut.look.value = 0
    await settle()
    return int(dut.token.value) if int(dut.hit.value) else None


def rows(r, vocabulary, count):
    """Rows of a base table over some tokens, those of one token among them."""
    return [(r.choice([-1, *vocabulary]), r.choice(vocabulary), r.choice(vocabulary)) for _ in range(count)]


@BENCH.test()
@resets(within=5500, times=2)  # of which loading takes most
async def entries_are_found_as_golden_finds_them(dut):
    await start(dut)
    r = rng("contexts")
    found = []
    for size, bits in ((5, 9), (40, 20), (300, 20)):
        vocabulary = [r.getrandbits(bits) for _ in range(size)]
        golden = ngram.BaseTable(rows(r, vocabulary, 20 * size))
        await load(dut, golden.words())
        for _ in range(300):
            text = [r.choice([*vocabulary, r.getrandbits(20)]) for _ in range(r.choice([1, 2, 2, 3]))]
            found.append(await look(dut, text))
            assert found[-1] == golden.look(text), text
            await clock(dut, r.choice([0, 0, 1, 3]))
            await settle()
            assert (int(dut.token.value) if int(dut.hit.value) else None) == found[-1]  # it holds
    assert 50 < found.count(None) < len(found) - 400 and not int(dut.fault.value)


@BENCH.test()
async def nothing_is_known_at_first(dut):
    await start(dut)
    for text in ([0], [0, 0], [5, 7]):
        assert await look(dut, text) is None


@FAULTS.test()
async def damage_is_told(dut):
    await start(dut)
    seen = record(dut, "fault")
    for flip, context in ((0, [3]), (1, [3]), (1, [4, 3])):
        dut.flip.value = flip
        await load(dut, [word for word in ngram.BaseTable([(-1 if len(context) == 1 else 4, 3, 9)]).words() if word[1]])
        dut.flip.value = 0
        seen.clear()
        await look(dut, context)
        await clock(dut, 3)
        assert any(seen) == flip
        await load(dut, [(address, 0) for address, data in ngram.BaseTable([(-1, 3, 9), (4, 3, 9)]).words() if data])
