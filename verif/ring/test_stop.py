"""The ring stop alone, and rings of one, two and five of them, against the order-free checker."""

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.golden.ring.checker import RingChecker, RingError
from hayate.rtl.contract.flits import (
    ADDRESS_BITS,
    NEAR_ADDRESS_BITS,
    WORD_BITS,
    flit_word,
    pack_flit,
    spread,
    unpack_flit,
)
from hayate.rtl.contract.latencies import HOP_LATENCY
from hayate.rtl.ring.flit import flit_stream
from hayate.rtl.ring.stop import RingStop, inject_from
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.reset import resets

ME = 9  # number of the stop that is tested alone
OTHERS = (0, 8, 200)


def number(position: int) -> int:
    """Physical number of a stop of the test ring: neither in order nor dense."""
    return (77 * position + 5) % 256


class Ring(wiring.Component):
    """Some stops in a circle."""

    def __init__(self, stops: int, depth: int, lanes: int):
        self.stops, self.depth, self.lanes = stops, depth, lanes
        ports = {f"inject_{i}": In(flit_stream(lanes)) for i in range(stops)}
        super().__init__(ports | {f"deliver_{i}": Out(flit_stream(lanes)) for i in range(stops)})

    def elaborate(self, platform):
        m = Module()
        stops = [RingStop(self.lanes, self.depth) for _ in range(self.stops)]
        for i, stop in enumerate(stops):
            m.submodules[f"stop_{i}"] = stop
            m.d.comb += stop.stop_id.eq(number(i))
            wiring.connect(m, stop.ring_out, stops[(i + 1) % self.stops].ring_in)
            inject_from(m, stop, getattr(self, f"inject_{i}"))
            wiring.connect(m, stop.deliver, wiring.flipped(getattr(self, f"deliver_{i}")))
        return m


class Stop(wiring.Component):
    """A stop with a single source of flits."""

    def __init__(self, lanes: int):
        self.stop = RingStop(lanes)
        ports = self.stop.signature.members
        super().__init__({name: ports[name] for name in ("stop_id", "ring_in", "ring_out", "inject", "deliver")})

    def elaborate(self, platform):
        m = Module()
        m.submodules.stop = stop = self.stop
        m.d.comb += stop.stop_id.eq(self.stop_id)
        wiring.connect(m, wiring.flipped(self.ring_in), stop.ring_in)
        wiring.connect(m, stop.ring_out, wiring.flipped(self.ring_out))
        wiring.connect(m, stop.deliver, wiring.flipped(self.deliver))
        inject_from(m, stop, self.inject)
        return m


STOP = Bench(Stop, params=[{"lanes": 1}, {"lanes": 4}])
RING = Bench(
    Ring,
    params=[
        {"stops": 1, "depth": 4, "lanes": 4},
        {"stops": 2, "depth": 8, "lanes": 1},
        {"stops": 5, "depth": 4, "lanes": 1},
        {"stops": 5, "depth": 4, "lanes": 4},
    ],
)


def pack(**fields):
    """A flit as wide as the bench's machine."""
    return pack_flit(params()["lanes"], **fields)


def unpack(flit):
    return unpack_flit(flit, params()["lanes"])


def of_me(flit):
    """The flit, injected by the stop that is tested alone."""
    return pack(**{**unpack(flit), "src": ME})


def random_flits(generator, count, sources, ends=(0,)):
    """Flits with words of any lanes, anything in those that the mask leaves out, and an address beside every end."""
    for _ in range(count):
        fields = {field.name: generator.getrandbits(field.bits) for field in flit_word(params()["lanes"]).fields}
        end = generator.choice(ends)
        address = generator.getrandbits(NEAR_ADDRESS_BITS if end else ADDRESS_BITS)
        yield pack(**fields | {"src": generator.choice(sources), "near": 0, "addr": address, "end": end})


def by_source(flits):
    found = {}
    for flit in flits:
        found.setdefault(unpack(flit)["src"], []).append(flit)
    return found


async def drive(dut, **values):
    """Set ports for the coming cycle and let outputs settle."""
    from hayate.verif.bench.drivers import settle

    for name, value in values.items():
        getattr(dut, name).value = value
    await settle()


@STOP.test(limit=60_000)
@resets(within=200)
async def forwards_copies_and_removes_under_random_pauses(dut):
    from hayate.verif.bench.drivers import Sink, Source, clock, start

    await start(dut, stop_id=ME)
    generator = rng("traffic")
    sources = [Source(dut, name) for name in ("ring_in", "inject")]
    sinks = [Sink(dut, name) for name in ("ring_out", "deliver")]
    for pause, stall in ((0, 0), (0.5, 0.1), (0.1, 0.7), (0.4, 0.4)):
        passing = list(random_flits(generator, 300, (*OTHERS, ME), (0, 0, ME, 8)))
        mine = list(random_flits(generator, 150, (0, ME, 255), (0, 0, ME, 8)))
        for source, sink in zip(sources, sinks):
            source.pause, sink.stall = pause, stall
        sources[0].put(*passing)
        sources[1].put(*mine)
        expected = [f for f in passing if ME not in (unpack(f)["src"], unpack(f)["end"])]
        mine = [of_me(f) for f in mine]
        near = [f for f in mine if unpack(f)["end"]]
        expected += [f for f in mine if unpack(f)["end"] != ME]
        out = await sinks[0].take(len(expected))
        delivered = await sinks[1].take(len(passing) + len(near))
        assert sorted(delivered) == sorted(passing + near)
        assert [f for f in delivered if f not in near] == [f for f in passing if f not in near]
        assert [f for f in delivered if f in near] == near
        assert by_source(out) == by_source(expected)
        await clock(dut, 20)
        assert not sinks[0].data and not sinks[1].data


@STOP.test()
async def every_way_takes_one_cycle(dut):
    from hayate.verif.bench.drivers import clock, start

    await start(dut, stop_id=ME, ring_out__ready=1, deliver__ready=1)
    content = spread({lane: 17 << 32 | lane for lane in range(0, params()["lanes"], 2)})
    far, near = {"addr": (1 << ADDRESS_BITS) - 2, **content}, {"addr": (1 << NEAR_ADDRESS_BITS) - 2, **content}
    for port, flit, outputs in (
        ("ring_in", pack(src=3, **far), {"ring_out", "deliver"}),
        ("ring_in", pack(src=ME, **far), {"deliver"}),
        ("inject", pack(src=3, **far), {"ring_out"}),
        ("ring_in", pack(src=3, end=ME, **near), {"deliver"}),
        ("ring_in", pack(src=3, end=7, **near), {"ring_out", "deliver"}),
        ("ring_in", pack(src=ME, end=7, **near), {"deliver"}),
        ("inject", pack(src=3, end=7, **near), {"ring_out", "deliver"}),
        ("inject", pack(src=3, end=ME, **near), {"deliver"}),
    ):
        await drive(dut, **{f"{port}__valid": 1, f"{port}__payload": flit})
        assert int(getattr(dut, f"{port}__ready").value)
        for cycle in range(1, HOP_LATENCY + 3):
            await clock(dut)
            await drive(dut, **{f"{port}__valid": 0})
            for name in ("ring_out", "deliver"):
                expected = name in outputs and cycle == HOP_LATENCY
                assert int(getattr(dut, f"{name}__valid").value) == expected, (port, name, cycle)
                if expected:
                    payload = int(getattr(dut, f"{name}__payload").value)
                    assert payload == (of_me(flit) if port == "inject" else flit)


@STOP.test()
async def an_address_that_reads_as_an_end_is_none(dut):
    """Without `near`, `addr` may have in it where an end would stand what it wants: the flit goes round."""
    from hayate.verif.bench.drivers import clock, start

    await start(dut, stop_id=ME, ring_out__ready=1, deliver__ready=1)
    address = unpack(pack(end=ME, addr=77) & ~pack(near=1))["addr"]
    assert address > 77
    for port, outputs in (("ring_in", {"ring_out", "deliver"}), ("inject", {"ring_out"})):
        await drive(dut, **{f"{port}__valid": 1, f"{port}__payload": pack(src=3, addr=address, mask=1, data=5)})
        await clock(dut)
        await drive(dut, **{f"{port}__valid": 0})
        for name in ("ring_out", "deliver"):
            assert int(getattr(dut, f"{name}__valid").value) == (name in outputs), (port, name)
        flit = unpack(int(dut.ring_out__payload.value))
        assert (flit["addr"], flit["near"], flit["end"]) == (address, 0, 0)
        await clock(dut)


@STOP.test()
async def injection_leaves_a_bubble_and_transit_uses_it(dut):
    from hayate.verif.bench.drivers import clock, start

    depth = 4
    await start(dut, stop_id=ME, deliver__ready=1)
    taken = 0
    for _ in range(3 * depth):
        await drive(dut, inject__valid=1, inject__payload=pack(data=taken))
        taken += int(dut.inject__ready.value)
        await clock(dut)
    assert taken == depth - 1
    await drive(dut, ring_in__valid=1, ring_in__payload=pack(src=1))
    assert int(dut.ring_in__ready.value)
    await clock(dut)
    await drive(dut)
    assert not int(dut.ring_in__ready.value)
    await drive(dut, ring_in__valid=0, inject__valid=0, ring_out__ready=1)
    for data in range(depth):
        flit = unpack(int(dut.ring_out__payload.value))
        assert (flit["src"], flit["data"]) == ((ME, data) if data < depth - 1 else (1, 0))
        await clock(dut)
        await drive(dut)
    assert not int(dut.ring_out__valid.value)


@STOP.test()
async def transit_goes_first_and_a_returning_flit_makes_room(dut):
    from hayate.verif.bench.drivers import clock, start

    await start(dut, stop_id=ME, deliver__ready=1, ring_out__ready=1)
    out = []
    for cycle in range(200):
        mine = cycle % 7 == 3
        await drive(
            dut,
            ring_in__valid=1,
            ring_in__payload=pack(src=ME if mine else 1, data=cycle),
            inject__valid=1,
            inject__payload=pack(data=cycle),
        )
        assert int(dut.ring_in__ready.value)
        assert int(dut.inject__ready.value) == mine
        if cycle:
            assert int(dut.ring_out__valid.value)
            out.append(unpack(int(dut.ring_out__payload.value)))
        await clock(dut)
    assert [(f["src"], f["data"]) for f in out] == [(ME if c % 7 == 3 else 1, c) for c in range(199)]


@RING.test(limit=60_000)
@resets(within=200)
async def delivers_everything_everywhere_in_order(dut):
    from hayate.verif.bench.drivers import Sink, Source, clock, start

    await start(dut)
    stops = range(params()["stops"])
    checker = RingChecker((number(i) for i in stops), params()["lanes"])
    generator = rng("traffic")
    ends = (0, *(number(i) for i in stops))
    for i in stops:
        source = Source(dut, f"inject_{i}", pause=generator.choice((0, 0.3, 0.8)))
        for flit in random_flits(generator, 200, range(256), ends):
            checker.injected(number(i), flit)
            source.put(flit)
    sinks = [Sink(dut, f"deliver_{i}", stall=generator.choice((0, 0.3, 0.6))) for i in stops]
    for i, sink in enumerate(sinks):
        for flit in await sink.take(checker.pending_at(number(i))):
            checker.delivered(number(i), flit)
    checker.finish()
    await clock(dut, 50)
    assert not any(sink.data for sink in sinks)


@RING.test()
async def a_ring_filled_to_the_brim_drains(dut):
    from hayate.verif.bench.drivers import clock, start

    await start(dut)
    stops = range(params()["stops"])
    checker = RingChecker((number(i) for i in stops), params()["lanes"])
    generator = rng("stalls")
    sent, lanes = [0] * len(stops), params()["lanes"]

    async def cycle(ready, sending):
        moved = 0
        for i in stops:
            flit = pack(
                mask=sent[i] % (1 << lanes),
                data=sent[i] << WORD_BITS * (sent[i] % lanes),
                addr=sent[i],
                end=(0, number((i + sent[i]) % len(stops)))[sent[i] % 3 == 2],
            )
            getattr(dut, f"inject_{i}__payload").value = flit
            getattr(dut, f"inject_{i}__valid").value = int(sending)
            getattr(dut, f"deliver_{i}__ready").value = int(ready[i])
        await drive(dut)
        for i in stops:
            if sending and int(getattr(dut, f"inject_{i}__ready").value):
                checker.injected(number(i), int(getattr(dut, f"inject_{i}__payload").value))
                sent[i] += 1
                moved += 1
            if ready[i] and int(getattr(dut, f"deliver_{i}__valid").value):
                checker.delivered(number(i), int(getattr(dut, f"deliver_{i}__payload").value))
                moved += 1
        await clock(dut)
        return moved

    for _ in range(12):
        for _ in range(20 * len(stops)):
            await cycle([False] * len(stops), True)
        assert await cycle([False] * len(stops), True) == 0  # full: nothing moves any more
        assert checker.pending >= len(stops)
        slow = generator.choice(stops)
        for _ in range(150):
            await cycle([i != slow or generator.random() < 0.2 for i in stops], True)
    for _ in range(60 * len(stops)):
        await cycle([True] * len(stops), False)
    checker.finish()
    assert sum(sent) > 200


@RING.test(sims=["verilator"])
async def a_saturated_ring_delivers_a_flit_a_cycle_everywhere(dut):
    from hayate.verif.bench.drivers import clock, start

    stops = range(params()["stops"])
    ready = {f"{kind}_{i}__{signal}": 1 for i in stops for kind, signal in (("inject", "valid"), ("deliver", "ready"))}
    await start(dut, **ready)
    await clock(dut, 10 * len(stops))
    for _ in range(1000):
        await drive(dut)
        assert all(int(getattr(dut, f"deliver_{i}__valid").value) for i in stops)
        await clock(dut)


@pytest.mark.parametrize("depth", [0, 2, 3, 6])
def test_depths_that_cannot_work_are_refused(depth):
    with pytest.raises(ValueError, match=f"a power of two of places, at least 4, not {depth}"):
        RingStop(1, depth)


@pytest.mark.parametrize("lanes", [1, 4])
def test_the_checker_notices_what_it_is_for(lanes):
    last = lanes - 1
    first, second = (pack_flit(lanes, src=1, **spread({last: data})) for data in (1, 2))

    def fresh():
        checker = RingChecker([1, 2], lanes)
        checker.injected(1, first)
        checker.injected(1, second)
        return checker

    def with_bit(field, bit):
        return first ^ 1 << flit_word(lanes).places[field][0] + bit

    for delivered, text in (
        ([(2, second)], "the next of stop 1"),  # reordered
        ([(2, first), (2, first)], "the next of stop 1"),  # doubled
        ([(2, first), (2, second), (2, second)], "nothing of stop 1 was on its way"),  # invented
        *(([(2, with_bit("data", WORD_BITS * lane + 63))], "the next of stop 1") for lane in range(lanes)),  # changed
        ([(2, with_bit("addr", ADDRESS_BITS - 1))], "the next of stop 1"),
        ([(2, with_bit("mask", last))], "the next of stop 1"),
        ([(2, pack_flit(lanes, src=7))], "not on the ring"),
    ):
        checker = fresh()
        with pytest.raises(RingError, match=text):
            for stop, flit in delivered:
                checker.delivered(stop, flit)
    checker = fresh()
    for stop, flit in ((2, first), (1, first), (2, second)):
        checker.delivered(stop, flit)
    assert checker.pending == 1
    with pytest.raises(RingError, match=r"not delivered, by \(source, stop\): {\(1, 1\): 1}"):
        checker.finish()


def test_the_checker_knows_where_a_flit_ends():
    """One with an end arrives at its source and as far as that end, whatever the address beside it."""
    checker = RingChecker([1, 2, 3], 2)
    fields = {"src": 1, "end": 2, "addr": 40_000, **spread({1: 5})}
    checker.injected(1, pack_flit(2, **fields))
    assert [checker.pending_at(stop) for stop in (1, 2, 3)] == [1, 1, 0]
    with pytest.raises(RingError, match="nothing of stop 1 was on its way"):
        checker.delivered(3, pack_flit(2, **fields))
    for wrong in ({"end": 3}, {"addr": 40_001}, {"mask": 3}):
        with pytest.raises(RingError, match="the next of stop 1"):
            fresh = RingChecker([1, 2, 3], 2)
            fresh.injected(1, pack_flit(2, **fields))
            fresh.delivered(2, pack_flit(2, **fields | wrong))
    for stop in (1, 2):
        checker.delivered(stop, pack_flit(2, **fields))
    checker.finish()
