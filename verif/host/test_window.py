"""Bursts of an AXI4 manager with random pauses: forms that are refused, ids, reads."""

from hayate.rtl.contract.isa import Space
from hayate.rtl.contract.load import Fact, fact
from hayate.rtl.contract.regmap import load_address
from hayate.rtl.host.gate import LoadWord
from hayate.verif.bench import rng
from hayate.verif.host.loading import BENCH, INCR, OKAY, SLVERR, WRAP, Machine, lower_strobes, one, whole


@BENCH.test(only=whole)
async def refused_bursts_leave_no_trace(dut):
    m = await Machine.begin(dut)
    generator = rng("bad")
    await m.write(*one(fact(Fact.OPEN)))
    good = load_address(1, Space.BANK, 40)
    cases = (
        [(good + byte, {}) for byte in range(1, 8)]
        + [(good, {"size": size}) for size in range(3)]
        + [(good, {"burst": WRAP})]
    )
    cases += [(load_address(tile, Space.BANK, 0), {}) for tile in (3, 128, 254)] + [(good | 1 << 31, {})]
    generator.shuffle(cases)
    for address, how in cases:
        assert await m.write(address, [generator.getrandbits(64) for _ in range(4)], **how) == SLVERR
        assert await m.write(good, [5, 6]) == OKAY


@BENCH.test(only=whole)
async def a_beat_without_all_strobes_ends_the_loading(dut):
    m = await Machine.begin(dut)
    generator = rng("strobes")
    await m.write(*one(fact(Fact.OPEN)))
    for _ in range(25):
        beats = generator.randint(1, 12)
        bad = generator.sample(range(beats), generator.randint(0, min(beats, 2)))
        lower_strobes(m.manager, bad, generator)
        words = [generator.getrandbits(64) for _ in range(beats)]
        answer = await m.write(load_address(2, Space.BANK, generator.randrange(50)), words, bad_beats=bad)
        assert answer == (SLVERR if bad else OKAY)


@BENCH.test(only=whole)
async def many_bursts_in_flight_answer_with_their_ids(dut):
    m = await Machine.begin(dut)
    generator = rng("bursts")
    await m.write(*one(fact(Fact.OPEN)))
    events, flits = [], []
    for number in range(40):
        words = [generator.getrandbits(32) for _ in range(generator.randint(1, 6))]
        address = load_address(number % 3, Space.VMEM, number) + 4 * (number % 7 == 3)
        expected = OKAY
        for n, word in enumerate(words):
            reason, flit, _ = m.gate.word(number % 3, Space.VMEM, number + n, word, malformed=number % 7 == 3)
            flits += [flit] if flit is not None else []
            expected = SLVERR if reason else expected
        data = b"".join(w.to_bytes(8, "little") for w in words)
        events.append((m.manager.init_write(address, data, awid=generator.randrange(16)), expected))
    for event, response in events:
        await event.wait()
        assert event.data.resp == response
    assert m.sink.data == flits


@BENCH.test(only=whole)
async def reads_are_refused_on_every_beat(dut):
    m = await Machine.begin(dut)
    generator = rng("reads")
    for beats in (1, 2, 256, 300):
        answer = await m.manager.read(load_address(0, Space.BANK, generator.randrange(1000)), 8 * beats)
        assert answer.resp == SLVERR and answer.data == bytes(8 * beats)  # the manager checks RLAST
    reads = [m.manager.init_read(0, 24, arid=generator.randrange(16)) for _ in range(10)]
    write = m.manager.init_write(fact(Fact.OPEN)[0], bytes(8))
    for event in (*reads, write):
        await event.wait()
    assert {event.data.resp for event in reads} == {SLVERR} and write.data.resp == OKAY
    assert int(dut.status__state__opened.value) and not m.refusals


@BENCH.test(only=whole)
async def a_response_stays_until_it_is_taken(dut):
    """Whatever goes out meanwhile by way of the registers."""
    from hayate.verif.bench.drivers import clock, settle, start

    await start(
        dut,
        tx__ready=1,
        bus__awsize=3,
        bus__awburst=INCR,
        bus__awaddr=fact(Fact.OPEN)[0],
        bus__wstrb=0xFF,
        bus__wlast=1,
    )
    dut.bus__awvalid.value = dut.bus__wvalid.value = 1
    await clock(dut, 2)
    dut.bus__awvalid.value = dut.bus__wvalid.value = 0
    await clock(dut, 2)
    assert int(dut.bus__bvalid.value)
    dut.single__word__payload.value, dut.single__word__valid.value = (
        LoadWord.const({"space": Space.MICRO, "tile": 1}).as_bits(),
        1,
    )
    for _ in range(6):
        await settle()
        assert int(dut.bus__bvalid.value) and not int(dut.bus__bresp.value)
        await clock(dut)
        dut.single__word__valid.value = 0
    assert not int(dut.quiet.value)
    dut.bus__bready.value = 1
    await clock(dut)
    await settle()
    assert not int(dut.bus__bvalid.value)
