"""Bursts become flits, a beat a cycle as long as the ring takes them; the response waits for the ring."""

from hayate.rtl.contract.flits import flit_bits, pack_flit
from hayate.rtl.contract.isa import Space
from hayate.rtl.contract.load import Fact, fact
from hayate.rtl.contract.regmap import LOAD_ALL_TILES, LoadSpace, load_address
from hayate.rtl.host.gate import LoadWord
from hayate.rtl.ring.flit import Flit
from hayate.verif.bench import rng
from hayate.verif.host.loading import BENCH, FIXED, INCR, OKAY, Machine, one, whole


@BENCH.test(only=whole)
async def bursts_become_flits(dut):
    m = await Machine.begin(dut)
    generator = rng("bursts")
    await m.write(*one(fact(Fact.OPEN)))
    for which, value in ((Fact.VOCABULARY, 1 << 20), (Fact.TILES, 3), (Fact.CONTEXT, 20), (Fact.MATRICES, 5)):
        await m.write(*one(fact(which, value)))
    for _ in range(40):
        space = generator.choice(
            [Space.BANK, Space.PROGRAM, Space.MICRO, Space.DESC, Space.VMEM, LoadSpace.GOVERNOR, LoadSpace.NGRAM]
        )
        beats = generator.choice([1, 2, 3, generator.randint(1, 30)])
        at = 4 * generator.randrange(4)
        tile = generator.choice([0, 1, 2, LOAD_ALL_TILES])
        burst = generator.choice([INCR, INCR, FIXED])
        words = [generator.getrandbits(32 if space in (Space.VMEM, LoadSpace.NGRAM) else 64) for _ in range(beats)]
        await m.write(load_address(tile, space, at), words, burst=burst)
    data = [generator.getrandbits(64) for _ in range(90)]  # longer than a burst of the manager's page
    assert await m.write(load_address(2, Space.BANK, 3), data) == OKAY


@BENCH.test(only=whole)
async def a_free_ring_takes_a_beat_a_cycle(dut):
    """And the response waits for the last flit to come round."""
    from hayate.verif.bench.drivers import clock, settle, start

    await start(
        dut,
        tx__ready=1,
        bus__bready=1,
        single__word__valid=1,
        single__word__payload=LoadWord.const({"space": LoadSpace.MODEL, "addr": Fact.OPEN}).as_bits(),
    )
    await clock(dut)
    dut.single__word__valid.value = 0
    dut.bus__awaddr.value, dut.bus__awlen.value, dut.bus__awsize.value = load_address(0, Space.BANK, 0), 255, 3
    dut.bus__awburst.value, dut.bus__awvalid.value, dut.bus__wstrb.value = INCR, 1, 0xFF
    await clock(dut)
    dut.bus__awvalid.value = 0
    for beat in range(100):
        dut.bus__wvalid.value, dut.bus__wdata.value, dut.bus__wlast.value = 1, beat, beat == 99
        await settle()
        assert int(dut.bus__wready.value)
        await clock(dut)
        await settle()
        flit = pack_flit(kind=5, lo=1, hi=1, chan=Space.BANK, addr=beat, data=beat)
        assert int(dut.tx__valid.value) and int(dut.tx__payload.value) == flit
        dut.conditions__returned.value = beat > 40  # one in for each one out from then on: 42 are on the ring
    dut.bus__wvalid.value, dut.conditions__returned.value = 0, 0
    await clock(dut, 50)
    assert not int(dut.bus__bvalid.value) and not int(dut.quiet.value)
    dut.conditions__returned.value = 1
    await clock(dut, 42)
    assert not int(dut.bus__bvalid.value)
    dut.conditions__returned.value = 0
    await clock(dut)
    assert int(dut.bus__bvalid.value) and not int(dut.bus__awready.value)
    await clock(dut)
    await settle()
    assert int(dut.bus__awready.value)


def test_the_struct_is_the_contract():
    assert Flit.size == flit_bits(1)
    assert Flit.const({"kind": 5, "lo": 1, "hi": 254, "addr": 7, "data": 9}).as_bits() == pack_flit(
        kind=5, lo=1, hi=254, addr=7, data=9
    )
