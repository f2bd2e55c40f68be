"""The registers, over an AXI4-Lite manager with random pauses, against the table they are made from."""

from hayate.rtl.contract import regmap
from hayate.rtl.contract.load import Feature
from hayate.rtl.contract.precision import measured_positions
from hayate.rtl.contract.regmap import (
    AXIL_ADDR_BITS,
    BY_NAME,
    END_REGISTERS,
    IDENT,
    LOCKED_WHILE_BUSY,
    REGISTERS,
    VERSION,
)
from hayate.rtl.host.gate import Facts
from hayate.rtl.host.registers import Registers, fields
from hayate.rtl.interfaces import Token
from hayate.verif.bench import Bench, params, rng
from hayate.verif.host.sizes import machine

MACHINE = dict(tiles=3, banks=16, lanes=4, bank_depth=36864, max_slots=260, prompt_depth=250, desc_depth=154)
CONTRACT = 0x9ABCDEF0
BENCH = Bench(lambda: Registers(machine(**MACHINE), CONTRACT))
PLAIN = Bench(
    lambda **sizes: Registers(machine(**MACHINE, **sizes), CONTRACT), params=[{"formats": "nested", "sampling": 0}]
)

#: Registers of which nothing is there without a governor, and the one that loses a field.
GOVERNOR = (
    "MAX_MATRICES",
    "MATRICES",
    "QUALITY",
    "GOVERNOR_SELECT",
    "GOVERNOR_LOW",
    "GOVERNOR_HIGH",
    "GOVERNOR_CYCLES",
)
SAMPLING = ("SEED_LOW", "SEED_HIGH")  # without sampling
AUTO, SAMPLE = 2, 4  # of OPTIONS

OKAY, SLVERR = 0, 2
GOOD = {"TILES": 2, "PROMPT_LENGTH": 7, "TOKEN_LIMIT": 5, "CONTEXT": 200}
MODEL = {"vocabulary": 64, "tiles": 2, "context": 250, "matrices": 40, "features": 0}  # that is loaded, as `facts`
WRITTEN = 240  # tokens of a prompt
LEGAL_LIMITS = {"PROMPT_LENGTH": 240, "TOKEN_LIMIT": 65535, "CONTEXT": 250, "MATRICES": 40}


async def begin(dut, stall=0.3):
    from hayate.verif.bench.drivers import start
    from hayate.verif.host.buses import Driver

    known = {"loaded": 1, "prompt_count": WRITTEN, "facts": Facts.const(MODEL).as_bits()}
    await start(dut, ready=1, single__settled=1, **{f"status__state__{name}": value for name, value in known.items()})
    return Driver(dut, "bus_", stall)


class Pulses:
    """Counts the cycles in which a port is high."""

    def __init__(self, dut, name):
        import cocotb
        from cocotb.triggers import RisingEdge

        self.count = 0

        async def watch():
            while True:
                await RisingEdge(dut.clk)
                self.count += int(getattr(dut, name).value)

        cocotb.start_soon(watch())


def mask(register):
    return sum(((1 << width) - 1) << low for _, low, width, _ in fields(register))


def stored(register):
    """Bits that hold what is written, on the register block under test."""
    if "formats" not in params():
        return mask(register)
    if register.name in (*GOVERNOR, *SAMPLING):
        return 0
    return mask(register) & ~AUTO & ~SAMPLE if register.name == "OPTIONS" else mask(register)


@BENCH.test()
async def constants_read_as_built(dut):
    host = await begin(dut)
    assert await host.read("IDENT") == IDENT == int.from_bytes(b"HYTE", "big")
    assert await host.read("VERSION") == VERSION
    assert await host.read("CONTRACT") == CONTRACT
    assert [await host.field("GEOMETRY", f) for f in ("TILES", "BANKS", "LANES")] == [3, 16, 4]
    assert [await host.read(n) for n in ("BANK_DEPTH", "MAX_SLOTS", "PROMPT_DEPTH", "MAX_MATRICES")] == [
        36864,
        260,
        250,
        77,
    ]
    config = machine(**MACHINE)
    assert [await host.read(n) for n in regmap.DEPTHS] == [getattr(config, n.lower()) for n in regmap.DEPTHS]
    assert len({getattr(config, n.lower()) for n in regmap.DEPTHS}) == len(regmap.DEPTHS) == 7
    assert await host.read("FEATURES") == 7
    assert [await host.read(f"MODEL_{n}") for n in ("VOCABULARY", "TILES", "CONTEXT")] == [64, 2, 250]


@PLAIN.test()
async def a_plain_machine_says_so(dut):
    host = await begin(dut)
    assert [await host.field("FEATURES", f) for f in ("NESTED", "GOVERNOR", "SAMPLING")] == [1, 0, 0]
    assert await host.read("MAX_MATRICES") == 0


@BENCH.test()
async def random_accesses_follow_the_table(dut):
    """Any bytes of any register, mapped or not: only the fields of rw registers hold what was written."""
    model = await random_accesses(dut)
    assert (
        int(dut.control__request__sample.value) << 2
        | int(dut.control__request__auto.value) << 1
        | int(dut.control__request__all_logits.value)
        == model["OPTIONS"]
    )
    assert int(dut.control__request__seed.value) == model["SEED_HIGH"] << 32 | model["SEED_LOW"]
    assert (
        int(dut.control__request__matrices.value) == model["MATRICES"]
        and int(dut.control__request__knob.value) == model["QUALITY"]
    )
    assert int(dut.control__look__kind.value) << 16 | int(dut.control__look__matrix.value) == model["GOVERNOR_SELECT"]


@PLAIN.test()
async def without_governor_and_sampling_their_registers_are_empty(dut):
    """They take writes, and read as 0; so do OPTIONS.AUTO and OPTIONS.SAMPLE. A generation starts whatever was written
    to them.
    """
    from hayate.verif.bench.drivers import ports

    model = await random_accesses(dut)
    assert {name: model.get(name, 0) for name in GOVERNOR} == dict.fromkeys(GOVERNOR, 0) and not model["OPTIONS"] & (
        AUTO | SAMPLE
    )
    assert int(dut.control__request__all_logits.value) == model["OPTIONS"]
    known = {p["name"] for p in ports()}
    assert not known & {f"control__request__{name}" for name in ("auto", "matrices", "knob", "sample", "seed")}
    assert "control__look__strobe" not in known and "control__request__tiles" in known
    host, started = await begin(dut), Pulses(dut, "control__start")
    for name, value in {**GOOD, "MATRICES": 65535, "SEED_LOW": 5, "OPTIONS": 7}.items():
        await host.write(name, value)
    await host.write("CONTROL", 1)
    assert started.count == 1 and [await host.read(name) for name in (*GOVERNOR, *SAMPLING, "OPTIONS")] == [0] * 9 + [1]


def end_tokens(dut):
    """Register of an end token -> what it holds, as the conductor sees it."""
    tokens, enable = int(dut.control__request__ending__tokens.value), int(dut.control__request__ending__enable.value)
    return {name: (tokens >> 20 * n) % (1 << 20) | (enable >> n & 1) << 31 for n, name in enumerate(END_REGISTERS)}


async def random_accesses(dut):
    """Contents of the rw registers after random accesses, each of which has been checked."""
    host = await begin(dut)
    generator = rng("accesses")
    model = {r.name: regmap.reset_value(r) for r in REGISTERS if r.access == "rw"}
    by_offset = {r.offset: r for r in REGISTERS}
    fixed = {r.name for r in REGISTERS if r.access == "ro"}
    before = {name: await host.read(name) for name in fixed}
    for _ in range(400):
        address = generator.choice(
            [r.offset for r in REGISTERS if r.access != "w1c"] + [0x04C, 0x07C, 0x098, 0x10C, 0x13C, 0xFFC, 0x828]
        )
        register = by_offset.get(address)
        if generator.random() < 0.7:
            first = generator.randrange(4)
            count = generator.randint(1, 4 - first)
            data = generator.randbytes(count)
            if register is not None and register.name in ("CONTROL", "LOAD_DATA_HIGH"):
                data = bytes(count)  # commands have tests of their own
            sends = register is not None and register.name == "LOAD_DATA_HIGH"
            if sends:
                dut.single__word__ready.value = 1
            answer = await host.bus.write(address + first, data)
            assert answer.resp == (OKAY if register else SLVERR), hex(address)
            if sends:  # taken: the address counts on
                low = model["LOAD_ADDRESS_LOW"]
                model["LOAD_ADDRESS_LOW"] = low & 0xF0000007 | low + 8 & 0x0FFFFFF8
            if register is not None and register.access == "rw":
                strobes = ((1 << 8 * count) - 1) << 8 * first
                new = int.from_bytes(data, "little") << 8 * first
                model[register.name] = (model[register.name] & ~strobes | new & strobes) & stored(register)
                if register.name == "WATCHDOG":
                    assert int(dut.control__request__watchdog.value) == model["WATCHDOG"]
                if register.name == "COUNTER_SELECT":
                    fixed -= {"COUNTER_STATUS", "COUNTER_VALUE"}
        else:
            answer = await host.bus.read(address, 4)
            assert answer.resp == (OKAY if register else SLVERR), hex(address)
            value = int.from_bytes(answer.data, "little")
            if register is None or register.access in ("wo", "pop"):
                assert value == 0, hex(address)
            elif register.name in model:
                assert value == model[register.name], register.name
            elif register.name in fixed:
                assert value == before[register.name], register.name
    for name, value in model.items():
        assert await host.read(name) == value, name
    assert (
        int(dut.control__request__tiles.value) == model["TILES"]
        and int(dut.control__request__prompt_length.value) == model["PROMPT_LENGTH"] & 0xFFFF
    )
    assert (
        int(dut.control__request__ending__token_limit.value) == model["TOKEN_LIMIT"]
        and int(dut.control__request__ending__context_limit.value) == model["CONTEXT"]
    )
    assert end_tokens(dut) == {name: model[name] for name in END_REGISTERS}
    return model


@BENCH.test()
async def start_is_one_pulse_and_locks_the_parameters(dut):
    host = await begin(dut)
    started, aborted = Pulses(dut, "control__start"), Pulses(dut, "control__abort")
    for name, value in GOOD.items():
        await host.write(name, value)
    await host.write("CONTROL", 0)
    await host.bus.write(BY_NAME["CONTROL"].offset + 1, b"\x03")  # not the byte of the commands
    assert (started.count, aborted.count) == (0, 0)
    await host.write("CONTROL", 1)
    assert (started.count, aborted.count) == (1, 0)
    dut.control__busy.value = 1
    await host.write("CONTROL", 1)
    await host.write("CONTROL", 2)
    assert (started.count, aborted.count) == (1, 1)
    assert await host.field("STATUS", "BUSY") == 1 and await host.field("STATUS", "REJECTED") == 0
    for name in LOCKED_WHILE_BUSY:
        await host.write(name, 1)
    await host.write("IRQ_ENABLE", 5)
    assert {name: await host.read(name) for name in GOOD} == GOOD
    assert [await host.read(n) for n in (*END_REGISTERS, "OPTIONS", "MATRICES", "QUALITY", "IRQ_ENABLE")] == [0] * 7 + [
        5
    ]
    dut.control__busy.value, dut.control__done.value, dut.control__full.value = 0, 1, 1
    assert [await host.field("STATUS", f) for f in ("BUSY", "DONE", "FAULT", "FULL")] == [0, 1, 0, 1]
    await host.write("TILES", 1)
    assert await host.read("TILES") == 1


@BENCH.test()
async def a_start_that_could_not_end_is_rejected(dut):
    """With the reason, each alone and all together; and the limits themselves are not refused."""
    host = await begin(dut, stall=0)
    started = Pulses(dut, "control__start")
    accepted = 0
    names = [field for field, *_ in regmap.REFUSALS]

    async def try_with(changes, inputs):
        for name, value in {**GOOD, "MATRICES": 0, "DRAFT": 0, "OPTIONS": 0, **changes}.items():
            await host.write(name, value)
        facts = {**MODEL, **{n: v for n, v in inputs.items() if n in MODEL}}
        dut.status__state__facts.value = Facts.const(facts).as_bits()
        dut.ready.value, dut.status__state__loaded.value = inputs.get("ready", 1), inputs.get("loaded", 1)
        await host.write("CONTROL", 1)
        rejected = {n for bit, n in enumerate(names) if await host.read("REJECTION") >> bit & 1}
        if not rejected:
            length = await host.read("PROMPT_LENGTH")
            assert int(dut.control__request__measured.value) == measured_positions((length & 0xFFFF) - (length >> 16))
        return rejected

    bad = [
        ("TILES", {"TILES": 0}, {}),
        ("TILES", {"TILES": 1}, {}),
        ("TILES", {"TILES": 3}, {}),
        ("PROMPT_LENGTH", {"PROMPT_LENGTH": 0}, {}),
        ("PROMPT_LENGTH", {"PROMPT_LENGTH": 241, "CONTEXT": 250}, {}),
        ("PROMPT_LENGTH", {"PROMPT_LENGTH": 8, "CONTEXT": 7}, {}),
        ("PROMPT_LENGTH", {"PROMPT_LENGTH": 7 | 7 << 16}, {}),
        ("PROMPT_LENGTH", {"PROMPT_LENGTH": 7 | 200 << 16}, {}),
        ("TOKEN_LIMIT", {"TOKEN_LIMIT": 0}, {}),
        ("CONTEXT", {"CONTEXT": 251}, {}),
        ("OPTIONS", {"OPTIONS": AUTO}, {}),
        ("MATRICES", {"MATRICES": 41, "OPTIONS": AUTO}, {"features": Feature.PLANES}),
        ("DRAFT", {"DRAFT": 2}, {"features": Feature.DRAFT | Feature.BASE}),
        ("DRAFT", {"DRAFT": 3}, {"features": Feature.PLANES}),
        ("DRAFT", {"DRAFT": 1 | 1 << 14}, {"features": Feature.PLANES}),
        ("NOT_READY", {}, {"ready": 0}),
        ("NOT_LOADED", {}, {"loaded": 0}),
    ]
    good = [
        ({}, {}),
        (LEGAL_LIMITS, {}),
        ({"MATRICES": 65535}, {}),
        ({"PROMPT_LENGTH": 7 | 6 << 16}, {}),
        (LEGAL_LIMITS | {"DRAFT": 1}, {}),
        (LEGAL_LIMITS | {"OPTIONS": AUTO}, {"features": Feature.PLANES}),
        ({"OPTIONS": AUTO | SAMPLE}, {"features": Feature.PLANES}),
        ({"DRAFT": 2}, {"features": Feature.PLANES}),
        ({"DRAFT": 3}, {"features": Feature.DRAFT}),
        ({"DRAFT": 1 << 14}, {"features": Feature.BASE}),
    ]
    for why, changes, inputs in bad:
        assert await try_with(changes, inputs) == {why}, changes
        assert started.count == accepted, changes
        assert [await host.field("STATUS", f) for f in ("REJECTED", "BUSY")] == [1, 0]
        assert await host.field("STATUS", "REJECTED") == 1  # it stays
        accepted += 1
        assert await try_with(*good[accepted % len(good)]) == set()
        assert started.count == accepted
        assert await host.field("STATUS", "REJECTED") == 0
    everything = dict.fromkeys((*GOOD, "MATRICES"), 65535) | {"TOKEN_LIMIT": 0, "OPTIONS": AUTO, "DRAFT": 2}
    dut.status__refused.value, dut.fault.value = 1, 1
    await host.read("STATUS")
    dut.status__refused.value, dut.fault.value = 0, 0
    assert (
        await try_with(everything, {"ready": 0, "loaded": 0, "features": 0}) == set(names) and started.count == accepted
    )


@BENCH.test()
async def every_read_of_token_takes_one(dut):
    from hayate.verif.bench.drivers import Source

    host = await begin(dut)
    source = Source(dut, "tokens", pause=0.9)
    generator = rng("tokens")
    expected = [(generator.getrandbits(20), generator.getrandbits(32)) for _ in range(60)]
    source.put(*(Token.const({"token": t, "cycle": c}).as_bits() for t, c in expected))
    got, empty = [], 0
    while len(got) < len(expected):
        value = await host.read("TOKEN")
        if value >> 31:
            got.append((value & 0xFFFFF, await host.read("TOKEN_CYCLE")))
        else:
            empty += 1
            assert value == 0
    assert got == expected and empty > 5
    assert await host.read("TOKEN") == 0 and await host.read("TOKEN_CYCLE") == expected[-1][1]


@BENCH.test()
async def many_reads_in_flight_pop_once_each(dut):
    from hayate.verif.bench.drivers import Source

    host = await begin(dut)
    source = Source(dut, "tokens", pause=0)
    source.put(*(Token.const({"token": t, "cycle": 0}).as_bits() for t in range(100)))
    reads = [host.bus.init_read(BY_NAME["TOKEN"].offset, 4) for _ in range(50)]
    for number, event in enumerate(reads):
        await event.wait()
        assert int.from_bytes(event.data.data, "little") == 1 << 31 | number


@BENCH.test()
async def cycle_counters_are_shown(dut):
    host = await begin(dut)
    for name in ("CYCLES", "PREFILL_CYCLES", "PASSES", "GOVERNOR_CYCLES"):
        value = rng(name).getrandbits(32)
        getattr(dut, f"control__statistics__{name.lower()}").value = value
        assert await host.read(name) == value


@BENCH.test()
async def latencies_are_as_stated(dut):
    from hayate.verif.bench.drivers import clock, settle, start

    await start(dut, bus__bready=1, bus__rready=1)

    async def wait(port):
        cycles = 0
        while not int(getattr(dut, port).value):
            await clock(dut)
            await settle()
            cycles += 1
            assert cycles < 10
        return cycles

    dut.bus__araddr.value, dut.bus__arvalid.value = 0, 1
    await clock(dut)
    dut.bus__arvalid.value = 0
    await settle()
    assert 1 + await wait("bus__rvalid") == 3
    for early in (0, 5):
        dut.bus__awaddr.value, dut.bus__awvalid.value = 0x028, 1
        dut.bus__wdata.value, dut.bus__wstrb.value, dut.bus__wvalid.value = 2, 15, early == 0
        await clock(dut)
        dut.bus__awvalid.value, dut.bus__wvalid.value = 0, 0
        await settle()
        if early:
            await clock(dut, early)
            assert not int(dut.bus__bvalid.value)
            dut.bus__wvalid.value = 1
            await clock(dut)
            dut.bus__wvalid.value = 0
            await settle()
        assert 1 + await wait("bus__bvalid") == 2
        await clock(dut)


def test_the_table_is_sound():
    assert len({r.offset for r in REGISTERS}) == len({r.name for r in REGISTERS}) == len(REGISTERS)
    for register in REGISTERS:
        assert register.offset % 4 == 0 and register.offset < 1 << AXIL_ADDR_BITS
        assert register.access in ("ro", "rw", "wo", "w1c", "pop")
        assert sum(width for *_, width, _ in fields(register)) == mask(register).bit_count()  # no overlap
        assert mask(register) < 1 << 32
    assert all(BY_NAME[name].access == "rw" for name in LOCKED_WHILE_BUSY)
    assert set(regmap.RESETS) <= {(r.name, field) for r in REGISTERS for field, *_ in fields(r)}
