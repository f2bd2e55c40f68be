"""The feeder against lists: the text, and what was fed."""

from hayate.rtl.conductor.feeder import FED, Feeder
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import Sink, clock, settle, start
from hayate.verif.bench.reset import resets

DEPTH = 64
BENCH = Bench(lambda lanes: Feeder(lanes=lanes, depth=DEPTH), params=[{"lanes": 2}, {"lanes": 4}, {"lanes": 8}])
FAULTS = Bench(lambda: Feeder(lanes=4, depth=DEPTH, inject=True))


async def store(dut, kind, token, position):
    strobe = getattr(dut, kind)
    strobe.value, dut.token.value, dut.position.value = 1, token, position
    await clock(dut)
    strobe.value = 0


async def feed(dut, sink, end, lanes, fed):
    """One pass; its tokens, checked to be those of positions from `fed` on."""
    dut.goal.value, dut.start.value = end, 1
    await clock(dut)
    dut.start.value = 0
    words = [FED.from_bits(bits) for bits in await sink.take(min(lanes, end - fed))]
    await clock(dut)
    assert [(w.lane, w.position, w.last) for w in words] == [
        (n, fed + n, n == len(words) - 1) for n in range(len(words))
    ]
    assert (
        int(dut.count.value) == len(words) and int(dut.fed.value) == fed + len(words) and not int(dut.word__valid.value)
    )
    return [w.token for w in words]


def agree(a, b):
    return next((n for n, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


@BENCH.test()
@resets(within=200)
async def generations(dut):
    """Texts that drafts guess now and then; passes that draft nothing; the first one that drafts feeds the prompt."""
    await start(dut)
    r, lanes = rng("texts"), params()["lanes"]
    sink, rejected, kept, skipped = Sink(dut, "word"), 0, 0, 0
    for _ in range(8):
        dut.clear.value = 1
        await clock(dut)
        dut.clear.value = 0
        text, held = [], []
        for _ in range(r.randint(1, 20)):
            text.append(r.getrandbits(20))
            await store(dut, "append", text[-1], len(text) - 1)
        while len(text) + lanes < DEPTH:
            root, drafts = len(text) - 1, []
            dut.root.value = root
            for _ in range(r.choice([0, lanes - 1, r.randint(1, lanes - 1)])):
                whole = text + drafts
                while len(held) < len(whole):
                    held += await feed(dut, sink, len(whole), lanes, len(held))
                assert held == whole
                drafts.append(r.getrandbits(1))
                await store(dut, "draft", drafts[-1], root + len(drafts))
            skipped += not drafts
            taken = r.randint(0, len(drafts))  # drafts that are right, then a token that is not, unless all were
            emitted = drafts[:taken] + [r.getrandbits(1) if taken == len(drafts) else 1 - drafts[taken]]
            for token in emitted:
                text.append(token)
                await store(dut, "append", token, len(text) - 1)
            before, held = len(held), held[: agree(held, text)]
            rejected, kept = rejected + (len(held) < before), kept + (taken > 0)
            await settle()
            assert int(dut.fed.value) == len(held)
    assert (rejected > 10 or lanes == 2) and kept > 5  # with M = 2 what is drafted is never fed and skipped > 5


@BENCH.test()
async def a_word_every_other_cycle(dut):
    await start(dut)
    lanes = params()["lanes"]
    for at in range(lanes + 3):
        await store(dut, "append", at, at)
    dut.word__ready.value, dut.goal.value, dut.start.value = 1, lanes + 3, 1
    await clock(dut)
    dut.start.value, seen = 0, []
    for cycle in range(2 * lanes + 4):
        await settle()
        if int(dut.word__valid.value):
            seen.append(cycle)
        await clock(dut)
    assert seen == [2 * n + 1 for n in range(lanes)]


@BENCH.test()
async def reset_forgets_what_was_fed(dut):
    await start(dut)
    sink = Sink(dut, "word", stall=0)
    for at in range(3):
        await store(dut, "append", at, at)
    await feed(dut, sink, 2, params()["lanes"], 0)
    dut.rst.value = 1
    await clock(dut, 2)
    dut.rst.value = 0
    await clock(dut)
    assert int(dut.fed.value) == 0 and not int(dut.word__valid.value)


@FAULTS.test()
async def damage_is_noticed(dut):
    await start(dut)
    sink = Sink(dut, "word", stall=0)
    for bit in (0, 19, 20):
        dut.clear.value = 1
        await clock(dut)
        dut.clear.value, dut.flip.value = 0, 1 << bit
        await store(dut, "append", 5, 0)
        dut.flip.value, dut.goal.value, dut.start.value = 0, 1, 1
        await clock(dut)
        dut.start.value, seen = 0, []
        for _ in range(4):
            await settle()
            seen.append(int(dut.fault.value))
            await clock(dut)
        await sink.take(1)
        assert seen == [0, 0, 1, 0]
