"""The load window, over an AXI4 manager with random pauses, against a model of a burst."""

import gc

import pytest

from hayate.rtl.contract.draft import BASE_ENTRY, BASE_LOG2
from hayate.rtl.contract.flits import FLIT_BITS, FLIT_FIELDS, FlitKind, pack_flit
from hayate.rtl.contract.isa import Space
from hayate.rtl.contract.regmap import LOAD_ALL_TILES, LOAD_SPACE_SHIFT, LoadSpace, load_address
from hayate.rtl.host.loader import MAX_TILES, Flit, Loader
from hayate.verif.bench import Bench, params, rng

BENCH = Bench(Loader, params=[{"tiles": 5, "prompt_depth": 100, "matrices": 30}, {}])
PLAIN = Bench(Loader, params=[{"tiles": 5, "prompt_depth": 100, "matrices": 0}])

OKAY, SLVERR = 0, 2
ADDRESSES = 1 << FLIT_FIELDS["addr"]  # of a space
FIXED, INCR, WRAP = 0, 1, 2
BASE = sum(1 << bits for bits in BASE_LOG2)  # entries of the base table
WIDTHS = {LoadSpace.PROMPT: 20, LoadSpace.GOVERNOR: 64, LoadSpace.NGRAM: sum(BASE_ENTRY.values())}


def small(parameters) -> bool:
    return bool(parameters)


def expected(address, data, *, burst=INCR, size=3, bad_beats=(), tiles=MAX_TILES, prompt_depth=1 << 16, matrices=1 << 15):
    """Flits, local writes and response of one burst of 64-bit beats; `bad_beats` have a strobe low."""
    tile, space, addr = address >> 32, address >> LOAD_SPACE_SHIFT & 15, address >> 3 & ADDRESSES - 1
    limit = {LoadSpace.PROMPT: prompt_depth, LoadSpace.GOVERNOR: 2 * matrices, LoadSpace.NGRAM: BASE}.get(space)
    if address & 7 or space > max(LoadSpace) or size != 3 or burst not in (FIXED, INCR):
        return [], [], SLVERR
    if limit is None and tile >= tiles and tile != LOAD_ALL_TILES:
        return [], [], SLVERR
    lo, hi = (1, MAX_TILES) if tile == LOAD_ALL_TILES else (tile + 1, tile + 1)
    flits, writes = [], []
    for beat in range(len(data) // 8):
        word = int.from_bytes(data[8 * beat:8 * beat + 8], "little")
        if beat in bad_beats or limit is not None and addr >= limit:
            return flits, writes, SLVERR
        if limit is not None:
            writes.append((space, addr, word & (1 << WIDTHS[space]) - 1))
        else:
            flits.append(pack_flit(kind=FlitKind.LOAD, lo=lo, hi=hi, chan=space, addr=addr, data=word))
        addr = (addr + (burst == INCR)) % ADDRESSES
    return flits, writes, OKAY


class Local:
    """Records the writes of the prompt buffer, the base table and the governor's table."""

    def __init__(self, dut):
        import cocotb
        from cocotb.triggers import RisingEdge

        self.data = []

        async def watch():
            while True:
                await RisingEdge(dut.clk)
                if int(dut.prompt_write.value):
                    self.data.append((LoadSpace.PROMPT, int(dut.prompt_addr.value), int(dut.prompt_token.value)))
                if int(dut.base_write.value):
                    self.data.append((LoadSpace.NGRAM, int(dut.base_addr.value), int(dut.base_data.value)))
                if params().get("matrices", 1) and int(dut.matrix_write.value):
                    self.data.append((LoadSpace.GOVERNOR, int(dut.matrix_addr.value), int(dut.matrix_data.value)))

        cocotb.start_soon(watch())

    def take(self):
        taken, self.data = self.data, []
        return taken


async def begin(dut, stall=0.3):
    """Manager, sink of flits, local writes."""
    from hayate.verif.bench.drivers import Sink, start
    from hayate.verif.host.buses import manager

    await start(dut)
    return manager(dut, "bus_", stall=stall), Sink(dut, "tx", stall=stall), Local(dut)


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


@BENCH.test()
async def bursts_become_flits(dut):
    manager, sink, prompt = await begin(dut)
    generator = rng("bursts")
    made = params()
    for _ in range(60):
        tile = generator.choice([0, 1, 4, LOAD_ALL_TILES] + ([] if made else [200, MAX_TILES - 1]))
        space = generator.choice([*range(6), *LoadSpace])
        beats = generator.choice([1, 1, 2, 3, generator.randint(1, 40)])
        limit = {LoadSpace.PROMPT: 100, LoadSpace.GOVERNOR: 60, LoadSpace.NGRAM: BASE}.get(space, ADDRESSES)
        address = load_address(tile, space, generator.randrange(limit - beats))
        burst = generator.choice([INCR, INCR, FIXED])
        data = generator.randbytes(8 * beats)
        answer = await manager.write(address, data, burst=burst)
        flits, tokens, response = expected(address, data, burst=burst, **made)
        assert answer.resp == response == OKAY
        assert sink.data == flits and prompt.take() == tokens  # all of it is gone before the response
        sink.data.clear()


@PLAIN.test()
async def without_a_governor_its_table_is_refused(dut):
    manager, sink, local = await begin(dut)
    generator = rng("bursts")
    for tile, addr in ((0, 0), (LOAD_ALL_TILES, 1), (4, 7)):
        for space, response in ((LoadSpace.GOVERNOR, SLVERR), (LoadSpace.PROMPT, OKAY), (Space.DESC, OKAY)):
            address, data = load_address(tile, space, addr), generator.randbytes(24)
            flits, writes, _ = expected(address, data, **{**params(), "matrices": 1 << 15})
            assert (await manager.write(address, data)).resp == response
            assert (sink.data, local.take()) == ((flits, writes) if response == OKAY else ([], []))
            sink.data.clear()


@BENCH.test(only=small)
async def long_writes_are_split_and_kept_in_order(dut):
    manager, sink, _ = await begin(dut)
    data = rng("data").randbytes(8 * 700)
    address = load_address(2, Space.BANK, 0x3FF0)
    answer = await manager.write(address, data)
    assert answer.resp == OKAY
    assert sink.data == expected(address, data)[0]


@BENCH.test(only=small)
async def many_bursts_in_flight_answer_with_their_ids(dut):
    manager, sink, _ = await begin(dut)
    generator = rng("bursts")
    flits, events = [], []
    for number in range(40):
        address, data = load_address(number % 5, Space.VMEM, number), generator.randbytes(8 * generator.randint(1, 6))
        if number % 7 == 3:
            address += 4
        found, _, response = expected(address, data, tiles=5)
        flits += found
        events.append((manager.init_write(address, data, awid=generator.randrange(16)), response))
    for event, response in events:
        await event.wait()
        assert event.data.resp == response
    assert sink.data == flits


@BENCH.test(only=small)
async def refused_bursts_leave_no_trace(dut):
    manager, sink, prompt = await begin(dut)
    generator = rng("bad")
    made = params()
    good = load_address(1, Space.PROGRAM, 40)
    cases = [(good + byte, {}) for byte in range(1, 8)]
    cases += [(good, {"size": size}) for size in range(3)]
    cases += [(good, {"burst": WRAP})]
    cases += [(load_address(0, LoadSpace.GOVERNOR, 60), {}), (good | 1 << 31, {})]
    cases += [(load_address(tile, Space.BANK, 0), {}) for tile in (5, 128, 254)]
    cases += [(load_address(0, LoadSpace.PROMPT, 100), {}), (load_address(0, LoadSpace.PROMPT, 1 << 16), {})]
    generator.shuffle(cases)
    for address, how in cases:
        data = generator.randbytes(32)
        assert expected(address, data, **how, **made) == ([], [], SLVERR)
        assert (await manager.write(address, data, **how)).resp == SLVERR, (hex(address), how)
        assert not sink.data and not prompt.data
        after = generator.randbytes(16)  # and the next burst is a good one again
        assert (await manager.write(good, after)).resp == OKAY
        assert sink.data == expected(good, after)[0]
        sink.data.clear()


@BENCH.test(only=small)
async def a_beat_without_all_strobes_ends_the_loading(dut):
    manager, sink, prompt = await begin(dut)
    generator = rng("strobes")
    for _ in range(40):
        beats = generator.randint(1, 12)
        bad = generator.sample(range(beats), generator.randint(0, min(beats, 2)))
        address = load_address(3, generator.choice([Space.DESC, *LoadSpace]), generator.randrange(110))
        data = generator.randbytes(8 * beats)
        lower_strobes(manager, bad, generator)
        answer = await manager.write(address, data)
        flits, tokens, response = expected(address, data, bad_beats=bad, **params())
        assert answer.resp == response
        assert sink.data == flits and prompt.take() == tokens
        sink.data.clear()


@BENCH.test(only=small)
async def reads_are_refused_on_every_beat(dut):
    manager, sink, _ = await begin(dut)
    generator = rng("reads")
    for beats in (1, 2, 256, 300):
        answer = await manager.read(load_address(0, Space.BANK, generator.randrange(1000)), 8 * beats)
        assert answer.resp == SLVERR and answer.data == bytes(8 * beats)  # the manager checks RLAST
    reads = [manager.init_read(0, 24, arid=generator.randrange(16)) for _ in range(10)]
    write = manager.init_write(load_address(0, Space.CSR, 3), bytes(range(8)))
    for event in (*reads, write):
        await event.wait()
    assert {event.data.resp for event in reads} == {SLVERR} and write.data.resp == OKAY
    assert len(sink.data) == 1


@BENCH.test(only=small)
async def a_free_ring_takes_a_beat_a_cycle(dut):
    from hayate.verif.bench.drivers import clock, settle, start

    await start(dut, tx__ready=1, bus__bready=1)
    dut.bus__awaddr.value, dut.bus__awlen.value, dut.bus__awsize.value = load_address(0, Space.BANK, 0), 255, 3
    dut.bus__awburst.value, dut.bus__awvalid.value, dut.bus__wstrb.value = INCR, 1, 0xFF
    await clock(dut)
    dut.bus__awvalid.value = 0
    for beat in range(256):
        dut.bus__wvalid.value, dut.bus__wdata.value, dut.bus__wlast.value = 1, beat, beat == 255
        await settle()
        assert int(dut.bus__wready.value)
        await clock(dut)
        await settle()
        assert int(dut.tx__valid.value) and int(dut.tx__payload.value) == pack_flit(
            kind=FlitKind.LOAD, lo=1, hi=1, chan=Space.BANK, addr=beat, data=beat)
    dut.bus__wvalid.value = 0
    assert not int(dut.bus__bvalid.value)
    await clock(dut)
    await settle()
    assert int(dut.bus__bvalid.value) and not int(dut.bus__awready.value)
    await clock(dut)
    await settle()
    assert int(dut.bus__awready.value)


@BENCH.test(only=small)
async def the_response_waits_for_the_ring(dut):
    from hayate.verif.bench.drivers import clock

    manager, sink, _ = await begin(dut, stall=0)
    sink.stall = 1
    event = manager.init_write(load_address(0, Space.BANK, 0), bytes(8))
    await clock(dut, 50)
    assert not event.is_set() and not sink.data
    sink.stall = 0
    await event.wait()
    assert event.data.resp == OKAY and len(sink.data) == 1


def test_the_struct_is_the_contract():
    assert Flit.size == FLIT_BITS
    assert Flit.const({"kind": 5, "lo": 1, "hi": 254, "addr": 7, "data": 9}).as_bits() == pack_flit(kind=5, lo=1, hi=254, addr=7, data=9)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize("tiles", [0, 255])
def test_rings_that_cannot_be_are_refused(tiles):
    with pytest.raises(ValueError, match=f"a ring has 1 to 254, not {tiles}"):
        Loader(tiles)
    gc.collect()  # what was refused is never elaborated: let Amaranth say so here, where it is expected
