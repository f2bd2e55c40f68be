"""Window, gate and initializer's way in, over an AXI4 manager with random pauses, against the gate's rules."""

import gc

import pytest

from hayate.rtl.contract.config import Config
from hayate.rtl.contract.flits import FLIT_BITS, pack_flit
from hayate.rtl.contract.isa import Csr, Space
from hayate.rtl.contract.load import Fact, Feature, Reason, fact
from hayate.rtl.contract.regmap import LOAD_ALL_TILES, LoadSpace, load_address
from hayate.rtl.host.gate import LoadWord
from hayate.rtl.host.loader import Loader
from hayate.rtl.ring.flit import Flit
from hayate.verif.bench import Bench, params, rng
from hayate.verif.golden.host.gate import Gate
from hayate.verif.host.sizes import machine, parts, sealed

BENCH = Bench(lambda **sizes: Loader(machine(**sizes)), params=[{"formats": "fp16", "sampling": 0}, {}])

OKAY, SLVERR = 0, 2
FIXED, INCR, WRAP = 0, 1, 2


def whole(parameters):
    return not parameters


class Machine:
    """The loader under test with what stands around it: a manager, a ring that gives every flit back, the gate's rules beside it."""

    @classmethod
    async def begin(cls, dut, stall=0.3, trip=7):
        import cocotb
        from cocotb.triggers import RisingEdge

        from hayate.verif.bench.drivers import Sink, start
        from hayate.verif.host.buses import manager

        await start(dut)
        self = cls()
        self.dut, self.config, self.local, self.refusals, self.trip = dut, machine(**params()), [], [], trip
        self.gate, self.manager, self.sink = Gate(self.config), manager(dut, "bus_", stall=stall), Sink(dut, "tx", stall=stall)
        writes = [(LoadSpace.PROMPT, "prompt", "token"), (LoadSpace.NGRAM, "base", "data")]
        writes += [(LoadSpace.GOVERNOR, "matrix", "data")] if self.config.governor else []

        async def watch():
            coming = [0] * trip
            while True:
                await RisingEdge(dut.clk)
                for space, name, value in writes:
                    if int(getattr(dut, f"{name}_write").value):
                        self.local.append((space, int(getattr(dut, f"{name}_addr").value), int(getattr(dut, f"{name}_{value}").value)))
                if int(dut.word_refused.value):
                    self.refusals.append(int(dut.reason.value))
                coming.append(int(dut.tx__valid.value) & int(dut.tx__ready.value))
                dut.returned.value = coming.pop(0)

        cocotb.start_soon(watch())
        return self

    async def write(self, address, words, *, bad_beats=(), busy=False, **how):
        """A burst of `words`, compared with the rules; the response."""
        flits, local, reasons, bad = [], [], [], False
        tile, space, addr = parts(address)
        step = how.get("burst", INCR) == INCR
        form = address & 7 or how.get("size", 3) != 3 or how.get("burst", INCR) == WRAP
        for beat, data in enumerate(words):
            reason, flit, write = self.gate.word(tile, space, addr, data, malformed=bool(form or bad or beat in bad_beats), busy=busy)
            flits += [flit] if flit is not None else []
            local += [write] if write else []
            reasons += [int(reason)] if reason else []
            bad = bool(bad or reason)
            addr = (addr + step) % (1 << 25)
        answer = await self.manager.write(address, b"".join(w.to_bytes(8, "little") for w in words), **how)
        if form:
            reasons = reasons[:1] * len(self.refusals)  # the manager makes more beats of it
        state = (answer.resp, self.sink.data, self.local, self.refusals)
        assert state == (SLVERR if bad else OKAY, flits, local, reasons), (hex(address), words, how)
        self.sink.data.clear()
        self.local.clear()
        self.refusals.clear()
        assert bool(int(self.dut.loaded.value)) == self.gate.loaded and bool(int(self.dut.opened.value)) == self.gate.opened
        assert int(self.dut.prompt_count.value) == self.gate.prompt_count
        return answer.resp

    async def load(self, words=(), **facts):
        for address, data in sealed(words, **facts):
            assert await self.write(address, [data]) == OKAY
        assert self.gate.loaded

    def address(self, generator):
        """An address that is there, or just is not; and a value that fits more often than not."""
        c = self.config
        tile = generator.choice([0, 1, c.tiles - 1, c.tiles, LOAD_ALL_TILES, LOAD_ALL_TILES - 1])
        space = generator.choice([*range(6), *LoadSpace, LoadSpace.PROMPT, LoadSpace.MODEL, 10, 15])
        depth = {Space.BANK: c.bank_depth, Space.PROGRAM: 2 * c.program_depth, Space.DESC: 2 * c.desc_depth, Space.MICRO: c.micro_depth,
                 Space.VMEM: c.vmem_depth, LoadSpace.GOVERNOR: 2 * c.matrices, LoadSpace.PROMPT: c.prompt_depth,
                 LoadSpace.NGRAM: 4608}.get(space, 1)
        addr = generator.choice([0, 1, 2, max(depth - 1, 0), depth, depth + 1, 1 << generator.randrange(25),
                                 generator.randrange(depth + 1)])
        if space == Space.BANK:
            addr += generator.choice([0, 1, c.banks - 1, c.banks, 31]) << 20 if addr < 1 << 20 else 0
        elif space == Space.CSR:
            addr = generator.choice([*Csr, *Csr, 17, 31, 32, 33, 34, 45, 48, 63, 64, 1 << 10, 1083, 1084, 1 << 11])
        elif space == LoadSpace.MODEL:
            addr = generator.choice([*Fact, 7, 14, 16])
        width = generator.choice([1, 2, 5, 7, 8, 16, 20, 32, 33, 64])
        return load_address(tile, space, addr), generator.getrandbits(width)


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
            dut.busy.value = 1
            for _ in range(6):
                address, data = m.address(generator)
                await m.write(address, [data], busy=True)
            dut.busy.value = 0
        if generator.random() < 0.7:
            features = generator.choice([0, Feature.FILTERS, Feature.BASE]) | (Feature.PLANES if m.config.nested else 0)
            await m.load([(load_address(1, Space.PROGRAM, n), generator.getrandbits(64)) for n in range(4)], features=features,
                         matrices=5 if m.config.governor else 0, sampling=generator.randrange(1 << 28))
        for _ in range(generator.randrange(8)):
            await m.write(load_address(0, LoadSpace.PROMPT, generator.randrange(8)), [generator.randrange(80) for _ in range(3)])
    assert m.gate.config is m.config


@BENCH.test(only=whole)
async def bursts_become_flits(dut):
    m = await Machine.begin(dut)
    generator = rng("bursts")
    await m.write(*_one(fact(Fact.OPEN)))
    for which, value in ((Fact.VOCABULARY, 1 << 20), (Fact.TILES, 3), (Fact.CONTEXT, 20), (Fact.MATRICES, 5)):
        await m.write(*_one(fact(which, value)))
    for _ in range(40):
        space = generator.choice([Space.BANK, Space.PROGRAM, Space.MICRO, Space.DESC, Space.VMEM, LoadSpace.GOVERNOR, LoadSpace.NGRAM])
        beats = generator.choice([1, 2, 3, generator.randint(1, 30)])
        at = 2 * generator.randrange(4)
        tile = generator.choice([0, 1, 2, LOAD_ALL_TILES])
        burst = generator.choice([INCR, INCR, FIXED])
        words = [generator.getrandbits(32 if space in (Space.VMEM, LoadSpace.NGRAM) else 64) for _ in range(beats)]
        await m.write(load_address(tile, space, at), words, burst=burst)
    data = [generator.getrandbits(64) for _ in range(90)]  # longer than a burst of the manager's page
    assert await m.write(load_address(2, Space.BANK, 3), data) == OKAY


def _one(word):
    return word[0], [word[1]]


@BENCH.test(only=whole)
async def refused_bursts_leave_no_trace(dut):
    m = await Machine.begin(dut)
    generator = rng("bad")
    await m.write(*_one(fact(Fact.OPEN)))
    good = load_address(1, Space.MICRO, 40)
    cases = [(good + byte, {}) for byte in range(1, 8)] + [(good, {"size": size}) for size in range(3)] + [(good, {"burst": WRAP})]
    cases += [(load_address(tile, Space.BANK, 0), {}) for tile in (3, 128, 254)] + [(good | 1 << 31, {})]
    generator.shuffle(cases)
    for address, how in cases:
        assert await m.write(address, [generator.getrandbits(64) for _ in range(4)], **how) == SLVERR
        assert await m.write(good, [5, 6]) == OKAY


@BENCH.test(only=whole)
async def a_beat_without_all_strobes_ends_the_loading(dut):
    m = await Machine.begin(dut)
    generator = rng("strobes")
    await m.write(*_one(fact(Fact.OPEN)))
    for _ in range(25):
        beats = generator.randint(1, 12)
        bad = generator.sample(range(beats), generator.randint(0, min(beats, 2)))
        lower_strobes(m.manager, bad, generator)
        words = [generator.getrandbits(64) for _ in range(beats)]
        answer = await m.write(load_address(2, Space.MICRO, generator.randrange(50)), words, bad_beats=bad)
        assert answer == (SLVERR if bad else OKAY)


def lower_strobes(manager, beats, generator):
    """Lets a strobe be low in those of the next beats that are numbered in `beats`."""
    channel, number, send = manager.write_if.w_channel, 0, type(manager.write_if.w_channel).send

    async def sending(beat):
        nonlocal number
        if number in beats:
            beat.wstrb &= ~(1 << generator.randrange(8))
        number += 1
        await send(channel, beat)

    channel.send = sending


@BENCH.test(only=whole)
async def many_bursts_in_flight_answer_with_their_ids(dut):
    m = await Machine.begin(dut)
    generator = rng("bursts")
    await m.write(*_one(fact(Fact.OPEN)))
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
    assert int(dut.opened.value) and not m.refusals


@BENCH.test(only=whole)
async def a_free_ring_takes_a_beat_a_cycle(dut):
    """And the response waits for the last flit to come round."""
    from hayate.verif.bench.drivers import clock, settle, start

    await start(dut, tx__ready=1, bus__bready=1, single__valid=1, single__payload=LoadWord.const(
        {"space": LoadSpace.MODEL, "addr": Fact.OPEN}).as_bits())
    await clock(dut)
    dut.single__valid.value = 0
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
        dut.returned.value = beat > 40  # one in for each one out from then on: 42 are on the ring
    dut.bus__wvalid.value, dut.returned.value = 0, 0
    await clock(dut, 50)
    assert not int(dut.bus__bvalid.value) and not int(dut.quiet.value)
    dut.returned.value = 1
    await clock(dut, 42)
    assert not int(dut.bus__bvalid.value)
    dut.returned.value = 0
    await clock(dut)
    assert int(dut.bus__bvalid.value) and not int(dut.bus__awready.value)
    await clock(dut)
    await settle()
    assert int(dut.bus__awready.value)


@BENCH.test(only=whole)
async def what_interrupts_a_load_ends_it(dut):
    """Reset, the machine's own reset, a memory error and INIT; only the last two make the machine forget a sealed model."""
    from hayate.verif.bench.drivers import clock

    m = await Machine.begin(dut, stall=0)

    async def pulse(port):
        getattr(dut, port).value = 1
        await clock(dut, 2)
        getattr(dut, port).value = 0
        await clock(dut)

    for port in ("rst", "abandon", "fault", "clearing"):
        forgets = port in ("fault", "clearing")
        for sealed_before in (False, True):
            if sealed_before:
                await m.load()
                await m.write(load_address(0, LoadSpace.PROMPT, 0), [1, 2, 3])
            else:
                for word in sealed()[:-1]:
                    await m.write(*_one(word))
                await m.write(load_address(1, Space.PROGRAM, 6), [1])
            await pulse(port)
            m.gate.reset()
            if forgets:
                m.gate.fault()
            if port == "clearing":
                m.gate.facts, m.gate.prompt_count = {}, 0
            assert (int(dut.opened.value), int(dut.loaded.value)) == (0, sealed_before and not forgets)
            await m.write(load_address(1, Space.PROGRAM, 7), [2])  # the other half is refused, whatever the state
            await m.write(load_address(0, LoadSpace.PROMPT, 3), [4])
            await m.write(*_one(sealed()[-1]))
    dut.clearing.value = 1
    await clock(dut)
    answers = [(await m.manager.write(a, d.to_bytes(8, "little"))).resp for a, d in sealed()[:2]]
    assert answers == [SLVERR] * 2 and set(m.refusals) == {Reason.NOT_READY} and not m.sink.data
    dut.clear__valid.value, dut.clear__payload.value = 1, LoadWord.const({"space": 15, "tile": LOAD_ALL_TILES, "addr": 77}).as_bits()
    await clock(dut, 20)
    assert m.sink.data[0] == pack_flit(kind=5, lo=1, hi=254, chan=15, addr=77)


def test_the_struct_is_the_contract():
    assert Flit.size == FLIT_BITS
    assert Flit.const({"kind": 5, "lo": 1, "hi": 254, "addr": 7, "data": 9}).as_bits() == pack_flit(kind=5, lo=1, hi=254, addr=7, data=9)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_a_machine_of_one_lane_has_positions():
    assert Loader(Config(lanes=1, max_slots=4)) is not None
    gc.collect()
