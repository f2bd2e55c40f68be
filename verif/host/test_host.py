"""The host port under its flat port names, between a model of the ring and the conductor's token FIFO."""

from amaranth.hdl import Module
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hayate.rtl.contract.flits import CONDUCTOR, FlitKind, pack_flit, unpack_flit
from hayate.rtl.contract.isa import ENERGY_BIT, PRECISION_BIT, Space
from hayate.rtl.contract.load import Reason
from hayate.rtl.contract.regmap import LOAD_ALL_TILES, LoadSpace, load_address
from hayate.rtl.host.axi import Axi4, AxiLite, expose, exposed
from hayate.rtl.host.host import HostPort
from hayate.rtl.interfaces import TOKENS, Token
from hayate.sim.convert import ports, verilog
from hayate.verif.bench import Bench, rng
from hayate.verif.host.sizes import load, machine, sealed, write

INPUTS, OUTPUTS = ("fault", "init", "cleared", "returned"), ("irq", "core_reset", "clearing")
MACHINE = dict(tiles=4, lanes=4, max_slots=260, prompt_depth=16, desc_depth=16)


class Port(wiring.Component):
    """The host port as a package shows it, with the conductor's token FIFO; `feed` writes that."""

    def __init__(self, **sizes):
        config = machine(**MACHINE | sizes)
        self.host = HostPort(config, 1)
        own = self.host.signature.members
        super().__init__(
            {
                **exposed("s_axil", AxiLite()),
                **exposed("s_axi", Axi4()),
                **{name: own[name] for name in (*INPUTS, *OUTPUTS, "ring", "tables", "control")},
                "feed": In(TOKENS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.host = host = self.host
        m.submodules.tokens = tokens = fifo.SyncFIFOBuffered(width=Token.size, depth=MACHINE["prompt_depth"])
        expose(m, self, "s_axil", host.s_axil)
        expose(m, self, "s_axi", host.s_axi)
        connect(m, host.ring, flipped(self.ring))
        connect(m, host.tables, flipped(self.tables))
        for path, member, port in host.control.signature.flatten(host.control):
            if path != ("token_level",):  # that is the FIFO's
                outside = self.control
                for step in path:
                    outside = outside[step] if isinstance(step, int) else getattr(outside, step)
                m.d.comb += outside.eq(port) if member.flow == Out else port.eq(outside)
        m.d.comb += [getattr(host, name).eq(getattr(self, name)) for name in INPUTS]
        m.d.comb += [getattr(self, name).eq(getattr(host, name)) for name in OUTPUTS]
        m.d.comb += [
            tokens.w_data.eq(self.feed.payload),
            tokens.w_en.eq(self.feed.valid),
            self.feed.ready.eq(tokens.w_rdy),
            host.tokens.payload.eq(tokens.r_data),
            host.tokens.valid.eq(tokens.r_rdy),
            tokens.r_en.eq(host.tokens.ready),
            host.control.token_level.eq(tokens.level),
        ]
        return m


BENCH = Bench(Port)
OTHERS = (FlitKind.CAND, FlitKind.SYNC, FlitKind.LOAD)


async def begin(dut, stall=0.3):
    import cocotb
    from cocotb.triggers import RisingEdge

    from hayate.verif.bench.drivers import Sink, start
    from hayate.verif.host.buses import Driver, manager

    await start(dut, cleared=1)

    async def ring(trip=5):
        """Every LOAD comes round."""
        coming = [0] * trip
        while True:
            await RisingEdge(dut.clk)
            if int(dut.core_reset.value):
                coming = [0] * trip
            load = (
                int(dut.ring__tx__valid.value)
                and int(dut.ring__tx__ready.value)
                and int(dut.ring__tx__payload.value) % 8 == FlitKind.LOAD
            )
            coming.append(int(load))
            dut.returned.value = coming.pop(0)

    cocotb.start_soon(ring())
    return Driver(dut, "s_axil", stall), manager(dut, "s_axi", stall=stall), Sink(dut, "ring__tx", stall=stall)


async def deliver(dut, **fields):
    """One delivered flit, then a cycle without."""
    from hayate.verif.bench.drivers import clock

    dut.ring__rx__valid.value, dut.ring__rx__payload.value = 1, pack_flit(**fields)
    await clock(dut)
    dut.ring__rx__valid.value = 0
    await clock(dut)


async def by_registers(host, address, data):
    """The response to a word of a host of 32 bits."""
    for name, value in (("LOAD_ADDRESS_LOW", address), ("LOAD_ADDRESS_HIGH", address >> 32), ("LOAD_DATA_LOW", data)):
        await host.write(name, value & 0xFFFFFFFF)
    return int((await host.bus.write(0x12C, (data >> 32).to_bytes(4, "little"))).resp)


async def quickly(access, dut, cycles=60):
    """What `access` gives, within so many cycles."""
    from cocotb.triggers import with_timeout

    from hayate.verif.bench.drivers import PERIOD

    return await with_timeout(access, cycles * PERIOD, "ns")


@BENCH.test()
async def loads_and_reads_share_the_ring(dut):
    """Both sources run freely; the sink checks that no offer is ever changed, the rest is order and content."""
    import cocotb

    host, loader, sink = await begin(dut)
    generator = rng("traffic")
    assert await write(loader, sealed(tiles=4)[:-1]) == {0}
    loads, writes = [], []
    for number in range(25):
        data = generator.randbytes(8 * generator.randint(1, 20))
        loads += [(number, int.from_bytes(data[i : i + 8], "little")) for i in range(0, len(data), 8)]
        writes.append(loader.init_write(load_address(2, Space.BANK, number), data, burst=0))
    asked, seen = [], []

    async def ring():
        while True:
            (flit,) = await sink.take(1)
            fields = unpack_flit(flit)
            seen.append(fields)
            await deliver(dut, **fields)  # it comes back to its source, like every flit
            if fields["kind"] == FlitKind.READ:
                for _ in range(generator.randrange(4)):
                    noise = dict(lo=CONDUCTOR, hi=CONDUCTOR, data=generator.getrandbits(64))
                    energy = dict(
                        kind=FlitKind.READ, chan=Space.COUNTER, addr=1 << ENERGY_BIT | generator.getrandbits(12)
                    )
                    await deliver(dut, **generator.choice([energy, *(dict(kind=k) for k in OTHERS)]), **noise)
                reply = 1000 * fields["lo"] + fields["addr"]
                await deliver(
                    dut,
                    kind=FlitKind.READ,
                    lo=CONDUCTOR,
                    hi=CONDUCTOR,
                    chan=Space.COUNTER,
                    addr=fields["addr"],
                    data=reply,
                )

    cocotb.start_soon(ring())
    for _ in range(30):
        tile, counter = generator.randrange(4), generator.randrange(16)
        asked.append((tile, counter))
        await host.write("COUNTER_SELECT", tile << 8 | counter)
        while not await host.read("COUNTER_STATUS"):
            pass
        assert await host.read("COUNTER_VALUE") == 1000 * (tile + 1) + counter
    for event in writes:
        await event.wait()
        assert event.data.resp == 0
    reads = [f for f in seen if f["kind"] == FlitKind.READ]
    assert [(f["lo"] - 1, f["addr"]) for f in reads] == asked
    assert all(f["lo"] == f["hi"] and f["chan"] == Space.COUNTER for f in reads)
    rest = [f for f in seen if f["kind"] != FlitKind.READ]
    assert [(f["addr"], f["data"]) for f in rest] == loads
    assert {(f["kind"], f["lo"], f["hi"], f["chan"]) for f in rest} == {(FlitKind.LOAD, 3, 3, Space.BANK)}


@BENCH.test()
async def a_generation_as_a_driver_runs_it(dut):
    from hayate.verif.bench.drivers import Source, clock

    host, loader, _ = await begin(dut)
    feed = Source(dut, "feed", pause=0.8)
    generator = rng("tokens")
    written, contexts, entries = [], [], []

    async def watch():
        while True:
            await clock(dut)
            if int(dut.tables__prompt__enable.value):
                written.append((int(dut.tables__prompt__address.value), int(dut.tables__prompt__data.value)))
            if int(dut.tables__base__enable.value):
                contexts.append((int(dut.tables__base__address.value), int(dut.tables__base__data.value)))
            if int(dut.tables__matrices__enable.value):
                entries.append((int(dut.tables__matrices__address.value), int(dut.tables__matrices__data.value)))

    import cocotb

    cocotb.start_soon(watch())
    prompt = [generator.getrandbits(20) for _ in range(9)]
    of_prompt = [(load_address(0, LoadSpace.PROMPT, at), token) for at, token in enumerate(prompt)]
    assert await write(loader, of_prompt) == {2} and not written, "without a model there is no prompt"
    words = [(load_address(0, LoadSpace.GOVERNOR, 8 + n), generator.getrandbits(64)) for n in range(8)]
    words += [(load_address(0, LoadSpace.NGRAM, 4096 + n), generator.getrandbits(32)) for n in range(2)]
    await load(loader, words, vocabulary=1 << 20, tiles=4, context=256)
    assert entries == [(8 + n, data) for n, (_, data) in enumerate(words[:8])]
    assert contexts == [(4096 + n, data) for n, (_, data) in enumerate(words[8:])]
    assert await write(loader, of_prompt) == {0} and written == list(enumerate(prompt))
    assert await write(loader, [(load_address(0, LoadSpace.PROMPT, 16), 0)]) == {2} and len(written) == 9
    assert await host.field("STATUS", "REFUSED") == 1
    await host.write("LOAD_STATUS", 1)
    for name, value in {"TILES": 4, "PROMPT_LENGTH": 9, "TOKEN_LIMIT": 40, "CONTEXT": 256, "IRQ_ENABLE": 1}.items():
        await host.write(name, value)
    await host.write("CONTROL", 1)
    dut.control__busy.value = 1
    assert await host.read("REJECTION") == 0 and int(dut.control__request__vocabulary.value) == 1 << 20
    assert int(dut.control__request__tiles.value) == 4 and int(dut.control__request__prompt_length.value) == 9
    assert int(dut.control__request__ending__token_limit.value) == 40
    assert int(dut.control__request__ending__context_limit.value) == 256
    tokens = [(generator.getrandbits(20), 50 * n) for n in range(40)]
    feed.put(*(Token.const({"token": t, "cycle": c}).as_bits() for t, c in tokens))
    got = []
    while len(got) < len(tokens):
        while not int(dut.irq.value):  # a token that arrives while the others are read raises it again
            await clock(dut)
        await host.write("IRQ_STATUS", 1)
        while (value := await host.read("TOKEN")) >> 31:
            got.append((value & 0xFFFFF, await host.read("TOKEN_CYCLE")))
    assert got == tokens
    assert await host.read("TOKEN_LEVEL") == 0
    await host.write("IRQ_STATUS", 1)
    await clock(dut, 10)
    assert not int(dut.irq.value)  # popping is no arrival
    feed.put(*range(30))
    await clock(dut, 200)
    assert await host.read("TOKEN_LEVEL") == MACHINE["prompt_depth"]


@BENCH.test()
async def words_on_the_ring_at_a_reset_are_refused(dut):
    """CONTROL.RESET at every cycle of a word's way: its response is OKAY where it has come round, else SLVERR, and
    REFUSED tells.
    """
    import cocotb

    from hayate.verif.bench.drivers import clock

    host, loader, _ = await begin(dut, stall=0)
    await load(loader, tiles=4)
    came = 0

    async def count():
        nonlocal came
        while True:
            await clock(dut)
            came += int(dut.returned.value) and not int(dut.core_reset.value)

    cocotb.start_soon(count())
    answers = []
    for wait in range(16):
        before = came
        writing = cocotb.start_soon(
            write(loader, [(load_address(LOAD_ALL_TILES, Space.CSR, 1 << PRECISION_BIT | 3), 1)])
        )
        await clock(dut, wait + 1)
        await host.write("CONTROL", 4)
        answers += await writing
        await clock(dut, 8)
        assert answers[-1] == (0 if came == before + 1 else 2)
        reason = Reason.NOT_READY if answers[-1] else Reason.NONE
        assert (
            await host.field("LOAD_STATUS", "REFUSED") == bool(reason)
            and await host.field("LOAD_STATUS", "REASON") == reason
        )
        await host.write("LOAD_STATUS", 1)
        assert await host.field("STATUS", "LOADED") == 1
    assert 3 < answers.count(2) < 13


@BENCH.test()
async def a_ring_that_stands_holds_up_no_command(dut):
    """Behind a generation that was given up, and in the middle of INIT: a word is refused at once, and CONTROL can be
    written.
    """
    from hayate.verif.bench.drivers import clock

    host, loader, sink = await begin(dut, stall=0)
    await load(loader, tiles=4)
    sink.stall = 1
    dut.control__hung.value = 1
    await host.write("COUNTER_SELECT", 1)  # its question never comes round
    for reason in (Reason.BUSY, Reason.NOT_READY):
        word = load_address(1, Space.MICRO, 2), 0
        answers = [await quickly(write(loader, [word]), dut), {await quickly(by_registers(host, *word), dut)}]
        assert answers == [{2}, {2}] and await host.field("LOAD_STATUS", "REASON") == reason
        await quickly(host.write("LOAD_STATUS", 1), dut)
        sink.stall = 0  # what is on offer at a reset may be withdrawn, which the sink would not have
        await clock(dut, 2)
        dut.control__hung.value, dut.cleared.value = 0, 0
        await host.write("CONTROL", 8)
        await clock(dut, 20)
        assert int(dut.clearing.value) and int(dut.ring__tx__valid.value), (
            "the sweep has begun, and has words on the ring"
        )


@BENCH.test()
async def it_resets_and_clears_what_stands_behind_it(dut):
    """By pin and by command; a host of 32 bits loads meanwhile refused, afterwards taken; nothing is forgotten by a
    reset.
    """
    from hayate.verif.bench.drivers import clock

    host, loader, sink = await begin(dut, stall=0)
    await load(loader, vocabulary=99, tiles=4)
    sink.data.clear()
    resets = []

    async def watch():
        while True:
            await clock(dut)
            resets.append(int(dut.core_reset.value))

    import cocotb

    cocotb.start_soon(watch())
    await host.write("CONTROL", 4)
    await clock(dut, 6)
    assert sum(resets) == 2 and await host.read("MODEL_VOCABULARY") == 99
    assert [await host.field("STATUS", f) for f in ("READY", "LOADED")] == [1, 1]

    dut.cleared.value = 0
    await host.write("CONTROL", 8)
    await clock(dut, 20)
    assert int(dut.clearing.value) and [await host.field("STATUS", f) for f in ("READY", "LOADED")] == [0, 0]
    assert await by_registers(host, *sealed()[0]) == 2 and await host.field("LOAD_STATUS", "REASON") == Reason.NOT_READY
    dut.cleared.value = 1
    while not await host.field("STATUS", "READY"):
        pass
    assert not int(dut.clearing.value) and await host.read("MODEL_VOCABULARY") == 0
    for word in sealed([(load_address(3, Space.MICRO, 2), 77 << 40)], tiles=4):
        assert await by_registers(host, *word) == 0
    assert await host.field("STATUS", "LOADED") == 1 and await host.field("STATUS", "REFUSED") == 0
    assert unpack_flit(sink.data[-1])["data"] == 77 << 40

    for init in (0, 1):
        dut.rst.value, dut.init.value, dut.cleared.value = 1, init, 0
        await clock(dut, 2)
        dut.rst.value, dut.init.value = 0, 0
        await clock(dut, 12)
        assert int(dut.clearing.value) == init and await host.field("STATUS", "LOADED") == 1 - init


#: Ports of the host's control and tables that are there only with a governor, and with sampling.
OF_GOVERNOR = {
    *(f"control__request__{name}" for name in ("auto", "measured", "matrices", "knob")),
    *(f"control__look__{name}" for name in ("strobe", "matrix", "kind", "result")),
    *(f"tables__matrices__{name}" for name in ("enable", "address", "data")),
    "control__statistics__governor_cycles",
}
OF_SAMPLING = {"control__request__sample", "control__request__seed"}


def test_ports_of_a_governor_are_there_only_with_one():
    with_one, without = ({port.name for port in ports(verilog(Port(formats=f)), "top")} for f in ("auto", "nested"))
    assert with_one - without == OF_GOVERNOR and without < with_one


def test_ports_of_sampling_are_there_only_with_it():
    with_it, without = ({port.name for port in ports(verilog(Port(sampling=s)), "top")} for s in (1, 0))
    assert with_it - without == OF_SAMPLING and without < with_it


def test_ports_have_the_names_that_integrators_expect():
    found = {port.name: (port.direction, port.width) for port in ports(verilog(Port()), "top")}
    assert found["s_axil_awaddr"] == ("input", 12) and found["s_axil_rdata"] == ("output", 32)
    assert (
        found["s_axi_awaddr"] == ("input", 40)
        and found["s_axi_wdata"] == ("input", 64)
        and found["s_axi_bid"] == ("output", 4)
    )
    lite = {name for name in found if name.startswith("s_axil_")}
    full = {name for name in found if name.startswith("s_axi_")}
    assert (len(lite), len(full)) == (19, 35) and not any("__" in name for name in lite | full)
