"""The host port under its flat port names, between a model of the ring and the conductor's token FIFO."""

from amaranth.hdl import Module
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hayate.rtl.contract.flits import CONDUCTOR, FlitKind, pack_flit, unpack_flit
from hayate.rtl.contract.isa import ENERGY_BIT, Space
from hayate.rtl.contract.regmap import LoadSpace, load_address
from hayate.rtl.host.axi import Axi4, AxiLite, expose, exposed
from hayate.rtl.host.host import LOCAL_WRITES, HostPort
from hayate.rtl.host.loader import FLIT_STREAM, Flit
from hayate.rtl.host.registers import FROM_CONDUCTOR, OF_GOVERNOR, OF_SAMPLING, TO_CONDUCTOR, Token, present
from hayate.verif.bench import Bench, rng
from hayate.verif.bench.convert import ports, verilog

SIZES = dict(tiles=4, banks=4, lanes=4, bank_depth=36864, max_slots=260, prompt_depth=16, matrices=8, contract_word=1)


class Port(wiring.Component):
    """The host port as a package shows it, with the conductor's token FIFO; `feed` writes that."""

    def __init__(self, **sizes):
        self.host = HostPort(**{**SIZES, **sizes})
        built = (SIZES | sizes)["matrices"] > 0, (SIZES | sizes).get("sampling", True)
        self._inputs = [name for name in present(FROM_CONDUCTOR, *built) if name != "token_level"] + ["fault"]
        self._outputs = [*present(TO_CONDUCTOR, *built), "irq", *present(LOCAL_WRITES, *built)]
        own = self.host.signature.members
        super().__init__({
            **exposed("s_axil", AxiLite()), **exposed("s_axi", Axi4()), **{name: own[name] for name in self._inputs + self._outputs},
            "tx": Out(FLIT_STREAM), "rx_valid": In(1), "rx": In(Flit), "feed": In(stream.Signature(Token)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.host = host = self.host
        m.submodules.tokens = tokens = fifo.SyncFIFOBuffered(width=Token.size, depth=SIZES["prompt_depth"])
        expose(m, self, "s_axil", host.s_axil)
        expose(m, self, "s_axi", host.s_axi)
        connect(m, host.tx, flipped(self.tx))
        m.d.comb += [getattr(host, name).eq(getattr(self, name)) for name in (*self._inputs, "rx_valid", "rx")]
        m.d.comb += [getattr(self, name).eq(getattr(host, name)) for name in self._outputs]
        m.d.comb += [
            tokens.w_data.eq(self.feed.payload), tokens.w_en.eq(self.feed.valid), self.feed.ready.eq(tokens.w_rdy),
            host.tokens.payload.eq(tokens.r_data), host.tokens.valid.eq(tokens.r_rdy), tokens.r_en.eq(host.tokens.ready),
            host.token_level.eq(tokens.level),
        ]
        return m


BENCH = Bench(Port)
OTHERS = (FlitKind.CAND, FlitKind.SYNC, FlitKind.LOAD)


async def begin(dut, stall=0.3):
    from hayate.verif.bench.drivers import Sink, start
    from hayate.verif.host.buses import Driver, manager

    await start(dut)
    return Driver(dut, "s_axil", stall), manager(dut, "s_axi", stall=stall), Sink(dut, "tx", stall=stall)


async def deliver(dut, **fields):
    """One delivered flit, then a cycle without."""
    from hayate.verif.bench.drivers import clock

    dut.rx_valid.value, dut.rx.value = 1, pack_flit(**fields)
    await clock(dut)
    dut.rx_valid.value = 0
    await clock(dut)


@BENCH.test()
async def loads_and_reads_share_the_ring(dut):
    """Both sources run freely; the sink checks that no offer is ever changed, the rest is order and content."""
    import cocotb

    host, loader, sink = await begin(dut)
    generator = rng("traffic")
    loads, writes = [], []
    for number in range(25):
        data = generator.randbytes(8 * generator.randint(1, 20))
        loads += [(number, int.from_bytes(data[i:i + 8], "little")) for i in range(0, len(data), 8)]
        writes.append(loader.init_write(load_address(2, Space.MICRO, number), data, burst=0))
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
                    energy = dict(kind=FlitKind.READ, chan=Space.COUNTER, addr=1 << ENERGY_BIT | generator.getrandbits(12))
                    await deliver(dut, **generator.choice([energy, *(dict(kind=k) for k in OTHERS)]), **noise)
                reply = 1000 * fields["lo"] + fields["addr"]
                await deliver(dut, kind=FlitKind.READ, lo=CONDUCTOR, hi=CONDUCTOR, chan=Space.COUNTER, addr=fields["addr"], data=reply)

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
    assert {(f["kind"], f["lo"], f["hi"], f["chan"]) for f in rest} == {(FlitKind.LOAD, 3, 3, Space.MICRO)}


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
            if int(dut.prompt_write.value):
                written.append((int(dut.prompt_addr.value), int(dut.prompt_token.value)))
            if int(dut.base_write.value):
                contexts.append((int(dut.base_addr.value), int(dut.base_data.value)))
            if int(dut.matrix_write.value):
                entries.append((int(dut.matrix_addr.value), int(dut.matrix_data.value)))

    import cocotb

    cocotb.start_soon(watch())
    prompt = [generator.getrandbits(20) for _ in range(9)]
    data = b"".join(token.to_bytes(8, "little") for token in prompt)
    assert (await loader.write(load_address(0, LoadSpace.PROMPT, 0), data)).resp == 0
    assert written == list(enumerate(prompt))
    assert (await loader.write(load_address(0, LoadSpace.PROMPT, 16), bytes(8))).resp == 2 and len(written) == 9
    data = generator.randbytes(64)
    assert (await loader.write(load_address(0, LoadSpace.GOVERNOR, 8), data)).resp == 0
    assert entries == [(8 + i, int.from_bytes(data[8 * i:8 * i + 8], "little")) for i in range(8)] and len(written) == 9
    data = generator.randbytes(16)
    assert (await loader.write(load_address(0, LoadSpace.NGRAM, 4096), data)).resp == 0
    assert contexts == [(4096 + i, int.from_bytes(data[8 * i:8 * i + 4], "little")) for i in range(2)]
    for name, value in {"TILES": 4, "PROMPT_LENGTH": 9, "TOKEN_LIMIT": 40, "CONTEXT": 256, "IRQ_ENABLE": 1}.items():
        await host.write(name, value)
    await host.write("CONTROL", 1)
    dut.busy.value = 1
    assert [int(getattr(dut, n).value) for n in ("tiles", "prompt_length", "token_limit", "context_limit")] == [4, 9, 40, 256]
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
    assert await host.read("TOKEN_LEVEL") == SIZES["prompt_depth"]


def test_ports_of_a_governor_are_there_only_with_one():
    with_one, without = ({port.name for port in ports(verilog(Port(matrices=n)), "top")} for n in (8, 0))
    assert with_one - without == set(OF_GOVERNOR) and without < with_one


def test_ports_of_sampling_are_there_only_with_it():
    with_it, without = ({port.name for port in ports(verilog(Port(sampling=s)), "top")} for s in (True, False))
    assert with_it - without == set(OF_SAMPLING) and without < with_it


def test_ports_have_the_names_that_integrators_expect():
    found = {port.name: (port.direction, port.width) for port in ports(verilog(Port()), "top")}
    assert found["s_axil_awaddr"] == ("input", 12) and found["s_axil_rdata"] == ("output", 32)
    assert found["s_axi_awaddr"] == ("input", 40) and found["s_axi_wdata"] == ("input", 64) and found["s_axi_bid"] == ("output", 4)
    lite = {name for name in found if name.startswith("s_axil_")}
    full = {name for name in found if name.startswith("s_axi_")}
    assert (len(lite), len(full)) == (19, 35) and not any("__" in name for name in lite | full)
