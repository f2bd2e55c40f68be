"""Which words are taken, and what of a load survives what interrupts it, against the rules of golden."""

from hayate.rtl.contract.flits import pack_flit
from hayate.rtl.contract.isa import Csr, Space
from hayate.rtl.contract.load import Fact, Feature, Reason, fact
from hayate.rtl.contract.regmap import LOAD_ALL_TILES, LoadSpace, load_address
from hayate.rtl.host.gate import LoadWord
from hayate.verif.bench import rng
from hayate.verif.host.loading import BENCH, OKAY, SLVERR, Machine, one, whole
from hayate.verif.host.sizes import sealed


@BENCH.test()
async def words_are_taken_by_the_rules(dut):
    """Random words, there and not there, in every state of a load; every one that is refused changes nothing."""
    m = await Machine.begin(dut, stall=0.1, trip=3)
    generator = rng("words")
    for _ in range(12):
        for _ in range(generator.randrange(40)):
            address, data = m.address(generator)
            await m.write(address, [data], busy=False)
        if generator.random() < 0.3:
            dut.conditions__busy.value = 1
            for _ in range(6):
                address, data = m.address(generator)
                await m.write(address, [data], busy=True)
            dut.conditions__busy.value = 0
        if generator.random() < 0.7:
            features = generator.choice([0, Feature.FILTERS, Feature.BASE]) | (Feature.PLANES if m.config.nested else 0)
            await m.load(
                [(load_address(1, Space.PROGRAM, n), generator.getrandbits(64)) for n in range(8)],
                features=features,
                matrices=5 if m.config.governor else 0,
                sampling=generator.randrange(1 << 30),
            )
        for _ in range(generator.randrange(8)):
            await m.write(
                load_address(0, LoadSpace.PROMPT, generator.randrange(8)), [generator.randrange(80) for _ in range(3)]
            )
    assert m.gate.config is m.config


@BENCH.test(only=whole)
async def values_beyond_their_ends_are_refused(dut):
    """A k that no count reaches would take all; a model for fewer tiles would leave the others their old programs."""
    m = await Machine.begin(dut, stall=0)
    await m.load([(load_address(LOAD_ALL_TILES, Space.CSR, Csr.TOP_K), 64)], features=Feature.FILTERS)
    for k in (65, 127, 128, 64, 1, 0):
        assert await m.write(load_address(LOAD_ALL_TILES, Space.CSR, Csr.TOP_K), [k]) == (SLVERR if k > 64 else OKAY)
    await m.write(*one(fact(Fact.OPEN)))
    for tiles in (0, 1, m.config.tiles - 1, m.config.tiles + 1, m.config.tiles):
        assert await m.write(*one(fact(Fact.TILES, tiles))) == (OKAY if tiles == m.config.tiles else SLVERR)


@BENCH.test(only=whole)
async def a_token_that_reset_kept_out_does_not_count(dut):
    from hayate.verif.bench.drivers import clock

    m = await Machine.begin(dut, stall=0)
    await m.load()
    await m.write(load_address(0, LoadSpace.PROMPT, 0), [5, 6])
    word = {"space": LoadSpace.PROMPT, "addr": 2, "data": 7}
    for reset, count in ((1, 2), (0, 3)):
        dut.single__word__valid.value, dut.single__word__payload.value, dut.rst.value = (
            1,
            LoadWord.const(word).as_bits(),
            reset,
        )
        await clock(dut)
        dut.single__word__valid.value = 0
        await clock(dut)
        dut.rst.value = 0
        await clock(dut, 2)
        assert (
            int(dut.status__state__prompt_count.value)
            == count
            == 2 + len([entry for entry in m.local if entry[1:] == (2, 7)])
        )


@BENCH.test(only=whole)
async def what_interrupts_a_load_ends_it(dut):
    """Reset, the machine's own reset, a memory error and INIT; only the last two make the machine forget a sealed
    model.
    """
    from hayate.verif.bench.drivers import clock

    m = await Machine.begin(dut, stall=0)

    async def pulse(port):
        getattr(dut, port).value = 1
        await clock(dut, 2)
        getattr(dut, port).value = 0
        await clock(dut)

    for port in ("rst", "conditions__abandon", "conditions__fault", "conditions__clearing"):
        forgets = port in ("conditions__fault", "conditions__clearing")
        for sealed_before in (False, True):
            if sealed_before:
                await m.load()
                await m.write(load_address(0, LoadSpace.PROMPT, 0), [1, 2, 3])
            else:
                for word in sealed()[:-1]:
                    await m.write(*one(word))
                await m.write(load_address(1, Space.PROGRAM, 4), [1])
            await pulse(port)
            m.gate.reset()
            if forgets:
                m.gate.fault()
            if port == "conditions__clearing":
                m.gate.facts, m.gate.prompt_count = {}, 0
            opened, loaded = int(dut.status__state__opened.value), int(dut.status__state__loaded.value)
            assert (opened, loaded) == (0, sealed_before and not forgets)
            await m.write(load_address(1, Space.PROGRAM, 5), [2])  # the next word is refused, whatever the state
            await m.write(load_address(0, LoadSpace.PROMPT, 3), [4])
            await m.write(*one(sealed()[-1]))
    dut.conditions__clearing.value = 1
    await clock(dut)
    answers = [(await m.manager.write(a, d.to_bytes(8, "little"))).resp for a, d in sealed()[:2]]
    assert answers == [SLVERR] * 2 and set(m.refusals) == {Reason.NOT_READY} and not m.sink.data
    dut.clear__valid.value, dut.clear__payload.value = (
        1,
        LoadWord.const({"space": 15, "tile": LOAD_ALL_TILES, "addr": 77}).as_bits(),
    )
    await clock(dut, 20)
    assert m.sink.data[0] == pack_flit(kind=5, lo=1, hi=254, chan=15, addr=77)
