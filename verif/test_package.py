"""The package's wiring under its flat port names: registers, load window, counters of each tile, interrupts, the ring
of tiles.
"""

import pytest

from hayate.progress import Steps
from hayate.rtl.contract.activity import ACTIVITY
from hayate.rtl.contract.alu_ops import AluOp
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.encoding import DESCRIPTOR, Instr, Micro, encode, encode_micro
from hayate.rtl.contract.image import contract_hash
from hayate.rtl.contract.isa import ENTRY_WORDS, ASrc, Counter, Csr, Mode, Op, Rows, Space
from hayate.rtl.contract.load import Reason
from hayate.rtl.contract.regmap import (
    BUILT,
    END_REGISTERS,
    IDENT,
    KEPT,
    LOAD_ALL_TILES,
    REGISTERS,
    VERSION,
    LoadSpace,
    load_address,
    reset_value,
)
from hayate.rtl.package import tile_arguments
from hayate.sim.machine.sim_top import TILE
from hayate.sim.machine.texts import chip_text
from hayate.verif.bench import TEXTS, Bench, rng
from hayate.verif.host import sizes

#: Of the tile that machines of whole generations have too.
CONFIG = load_config("unit", ["tiles=3", "lanes=1", "bank_depth=8192", "prompt_depth=16"])
BENCH = Bench(lambda: chip_text(CONFIG, TEXTS, Steps()), name="hayate", optimize="-Og", timeout=900, blocks=(TILE,))
CAUSES = [c for c in Counter if c <= Counter.IDLE]
TOKEN, DONE, FAULT = 1, 2, 4  # bits of IRQ_STATUS
START, ABORT, RESET = 1, 2, 4


async def begin(dut, stall=0.2):
    from hayate.verif.bench.drivers import start
    from hayate.verif.host.buses import Driver, manager

    await start(dut)
    return Driver(dut, "s_axil", stall), manager(dut, "s_axi", stall=stall)


def program(instructions, tile=LOAD_ALL_TILES):
    return [word for at, i in enumerate(instructions) for word in entry(tile, Space.PROGRAM, at, encode(i))]


def entry(tile, space, index, value):
    """Words of the load window that write an entry."""
    words = ENTRY_WORDS[space]
    return [(load_address(tile, space, words * index + n), value >> 64 * n & (1 << 64) - 1) for n in range(words)]


def registers():
    """Each tile's number."""
    return [
        (load_address(tile, Space.CSR, csr), value)
        for tile in range(CONFIG.tiles)
        for csr, value in ((Csr.TILE_INDEX, tile), (Csr.TILE_COUNT, CONFIG.tiles), (Csr.GROUP_SIZE, 1))
    ]


async def bring_up(window, words=(), prompt=(7,)):
    """The shortest program that ends a pass, and what a test has beside it; then a prompt."""
    words = [*program([Instr(Op.SENDCAND), Instr(Op.END)]), *registers(), *words]
    await sizes.load(window, words, tiles=CONFIG.tiles, vocabulary=1 << 20, context=60)
    assert await sizes.write(
        window, [(load_address(0, LoadSpace.PROMPT, at), token) for at, token in enumerate(prompt)]
    ) == {0}


async def generate(host, prompt, tokens, *, control=START):
    values = {
        "TILES": CONFIG.tiles,
        "PROMPT_LENGTH": prompt,
        "TOKEN_LIMIT": tokens,
        "CONTEXT": 60,
        "OPTIONS": 0,
        **dict.fromkeys(END_REGISTERS, 0),
    }
    for name, value in values.items():
        await host.write(name, value)
    await host.write("CONTROL", control)
    assert await host.read("REJECTION") == 0


async def ended(host, polls=300):
    for _ in range(polls):
        if await host.field("STATUS", "DONE"):
            return
    raise AssertionError("the generation does not end")


async def counters(host, tile):
    values = []
    for counter in Counter:
        await host.write("COUNTER_SELECT", counter | tile << 8)
        while not await host.read("COUNTER_STATUS"):
            pass
        values.append(await host.read("COUNTER_VALUE"))
    return values


@BENCH.test()
async def it_says_what_it_is(dut):
    host, _ = await begin(dut)
    assert await host.read("IDENT") == IDENT and await host.read("VERSION") == VERSION
    assert await host.read("CONTRACT") == int(contract_hash()[:8], 16)
    assert [await host.field("GEOMETRY", name) for name in ("TILES", "BANKS", "LANES")] == [
        CONFIG.tiles,
        CONFIG.banks,
        CONFIG.lanes,
    ]
    sizes = [await host.read(name) for name in ("BANK_DEPTH", "MAX_SLOTS", "PROMPT_DEPTH")]
    assert sizes == [CONFIG.bank_depth, CONFIG.max_slots, CONFIG.prompt_depth]
    assert await host.read("STATUS") == 32 and int(dut.irq.value) == 0 and int(dut.fault.value) == 0


async def after_reset(host):
    """What every register that reset decides reads as, by name."""
    return {r.name: await host.read(r.name) for r in REGISTERS if r.name not in BUILT + KEPT}


@BENCH.test()
async def registers_after_reset_are_those_of_the_table(dut):
    """At first, and after a reset behind a generation; then the model is still there, the prompt too."""
    from hayate.verif.bench.drivers import clock

    expected = {r.name: reset_value(r) for r in REGISTERS if r.name not in BUILT + KEPT}
    host, window = await begin(dut)
    assert await after_reset(host) == expected
    await bring_up(window, prompt=(7, 8, 9))
    expected["STATUS"] |= 64  # loaded
    seen = []
    for _ in range(2):
        for name, value in {
            "DRAFT": 1 << 14,
            "WATCHDOG": 5000,
            "QUALITY": 5,
            "COSTS_3": 77,
            "SEED_HIGH": 9,
            "MATRICES": 3,
        }.items():
            await host.write(name, value)
        await generate(host, 3, 2)
        await ended(host)
        await host.write("COUNTER_SELECT", Counter.IDLE)
        seen.append((await host.read("PASSES"), [await counters(host, tile) for tile in range(CONFIG.tiles)]))
        dut.rst.value = 1
        await clock(dut, 2)
        dut.rst.value = 0
        assert await after_reset(host) == expected
    assert seen[0] == seen[1] and seen[0][0] == 4


@BENCH.test()
async def a_generation_of_empty_passes(dut):
    """Prompt, ring, candidates' SYNCs, token FIFO, interrupts and cycle counts, with a program that computes
    nothing.
    """
    host, window = await begin(dut)
    await bring_up(window, prompt=[rng("prompt").randrange(1 << 20) for _ in range(5)])
    await host.write("IRQ_ENABLE", DONE)
    await generate(host, 5, 4)
    await ended(host)
    assert int(dut.irq.value) == 1 and await host.read("IRQ_STATUS") == TOKEN | DONE
    await host.write("IRQ_STATUS", DONE)
    assert await host.read("IRQ_STATUS") == TOKEN and int(dut.irq.value) == 0
    assert await host.read("PASSES") == 5 + 3 and await host.read("TOKEN_LEVEL") == 4
    cycles, previous = await host.read("CYCLES"), 0
    for n in range(4):
        assert await host.read("TOKEN") >> 31
        at = await host.read("TOKEN_CYCLE")
        assert previous < at < cycles and (n or at == await host.read("PREFILL_CYCLES"))
        previous = at
    assert not await host.read("TOKEN") >> 31
    # Lane 0 of the last pass had the third token, fed at position 7.
    assert int(dut.trace_positions.value) & 0xFFFF == 7 and int(dut.trace_kept.value) == 1


@BENCH.test()
async def every_tile_counts_for_itself(dut):
    """All tiles attribute the same cycles; tile 1 streams words, with a program of its own; a tile that is not there
    has zeros.
    """
    host, window = await begin(dut)
    assert await counters(host, 0) == await counters(host, CONFIG.tiles) == [0] * len(Counter)
    rows, words = 6, 5
    drain = Instr(Op.RUN, {"desc": 0, "routine": 0, "length": 1, "rows": Rows.DESC, "vl": 8, "landing": 1})
    own = [
        *entry(1, Space.DESC, 0, DESCRIPTOR.pack(words=words, rows=rows)),
        *entry(1, Space.MICRO, 0, encode_micro(Micro(AluOp.MOV, a_src=ASrc.LANDING, a_mode=Mode.STREAM))),
    ]
    await bring_up(
        window, words=own + program([Instr(Op.GEMV, {"desc": 0}), drain, Instr(Op.SENDCAND), Instr(Op.END)], tile=1)
    )
    await generate(host, 1, 3)
    await ended(host)
    found = [await counters(host, tile) for tile in range(CONFIG.tiles + 1)]
    assert found[CONFIG.tiles] == [0] * len(Counter)
    totals = {sum(values[c] for c in CAUSES) for values in found[: CONFIG.tiles]}
    assert len(totals) == 1 and 0 < await host.read("CYCLES") - totals.pop() < 8
    groups = -(-rows // CONFIG.banks)
    assert [values[Counter.WEIGHT] for values in found[: CONFIG.tiles]] == [0, 3 * groups * words, 0]
    assert [values[Counter.USEFUL_WEIGHT] for values in found[: CONFIG.tiles]] == [0, 3 * rows * words, 0]


@BENCH.test()
async def fewer_tiles_than_there_are(dut):
    """A model placed on fewer is refused: the others would take part in its passes with whatever program they have."""
    host, window = await begin(dut)
    await bring_up(window)
    assert await sizes.write(window, sizes.sealed(program([Instr(Op.SENDCAND), Instr(Op.END)]), tiles=2)) == {0, 2}
    assert await host.field("LOAD_STATUS", "REASON") == Reason.DATA
    assert await host.field("STATUS", "LOADED") == 0 and await host.read("MODEL_TILES") == 0


@BENCH.test()
async def abort_ends_after_the_pass(dut):
    host, window = await begin(dut)
    await bring_up(window)
    await generate(host, 1, 50, control=START)
    await host.write("CONTROL", ABORT)
    await ended(host)
    assert 1 <= await host.read("PASSES") < 50 and not await host.field("STATUS", "FULL")


@BENCH.test()
async def a_pass_that_does_not_end_is_given_up(dut):
    """One tile's program never answers: abort cannot help, the watchdog does, and a reset by command is all that it
    takes then.
    """
    from hayate.verif.bench.drivers import clock

    host, window = await begin(dut, stall=0)
    await bring_up(window, words=program([Instr(Op.M_WAIT, {"chan": 3, "count": 1}), Instr(Op.END)], tile=2))
    await host.write("WATCHDOG", 2000)
    await host.write("IRQ_ENABLE", FAULT)
    await generate(host, 1, 3)
    await host.write("CONTROL", ABORT)
    await clock(dut, 1500)
    assert await host.field("STATUS", "BUSY") == 1 and int(dut.irq.value) == 0
    await ended(host)
    assert [await host.field("STATUS", f) for f in ("BUSY", "FAULT", "LOADED")] == [0, 1, 1] and await host.read(
        "FAULT_CAUSE"
    ) == 4
    assert int(dut.irq.value) == 1
    await host.write("CONTROL", START)
    assert await host.field("REJECTION", "FAULT") == 1
    word = [(load_address(2, Space.MICRO, 2), 0)]
    assert await sizes.write(window, word) == {2} and await host.field("LOAD_STATUS", "REASON") == Reason.BUSY
    await host.write("CONTROL", RESET)
    await host.write("IRQ_STATUS", 7)
    assert await host.read("FAULT_CAUSE") == 0 and await host.read("STATUS") & 0b1111 == 0
    await bring_up(window)
    await generate(host, 1, 3)
    await ended(host)
    assert await host.read("TOKEN_LEVEL") == 3 and await host.read("IRQ_STATUS") == TOKEN | DONE


@BENCH.test()
async def a_prompt_that_the_model_cannot_read_is_told(dut):
    """It was written for a model with more tokens: refused at the door, and at the next model's."""
    host, window = await begin(dut, stall=0)
    await bring_up(window, prompt=(5, (1 << 20) - 1))
    words = [*program([Instr(Op.SENDCAND), Instr(Op.END)]), *registers()]
    await sizes.load(window, words, tiles=CONFIG.tiles, vocabulary=100, context=60)
    await host.write("PROMPT_LENGTH", 2)
    await host.write("CONTROL", START)
    assert await host.field("REJECTION", "PROMPT_LENGTH") == 1, "no prompt since the model was loaded"
    beyond = [(load_address(0, LoadSpace.PROMPT, at), token) for at, token in enumerate((99, 100))]
    assert await sizes.write(window, beyond) == {2}
    assert [await host.field("LOAD_STATUS", f) for f in ("REFUSED", "REASON")] == [1, Reason.DATA]


@BENCH.test()
async def its_ports(dut):
    """Names and widths that documents and drivers rely on; trace and activity have ports for each tile."""
    from hayate.verif.bench.drivers import ports, start

    await start(dut)
    found = {p["name"]: p["width"] for p in ports()}
    buses = {name for name in found if name.startswith(("s_axil_", "s_axi_"))}
    trace = {
        "activity": ACTIVITY.bits,
        "trace_valid": 1,
        "trace_row": 20,
        "trace_mask": CONFIG.lanes,
        "trace_values": 32 * CONFIG.lanes,
    }
    each = {f"{name}__{tile}": width for name, width in trace.items() for tile in range(CONFIG.tiles)}
    assert {n: w for n, w in found.items() if n not in buses} == {
        "clk": 1,
        "rst": 1,
        "init": 1,
        "irq": 1,
        "fault": 1,
        "trace_verdict": 1,
        "trace_kept": CONFIG.lanes,
        "trace_positions": 16 * CONFIG.lanes,
        "phase": 4,
        **each,
    }
    for bus, width in (("s_axil_", 32), ("s_axi_", 64)):
        assert {f"{bus}{c}{s}" for c in ("aw", "w", "b", "ar", "r") for s in ("valid", "ready")} <= buses
        assert found[f"{bus}wdata"] == found[f"{bus}rdata"] == width


def test_tiles_get_the_configuration_s_sizes():
    arguments = tile_arguments(CONFIG)
    assert arguments == {name: getattr(CONFIG, name) for name in arguments} and {"banks", "lanes", "bank_depth"} <= set(
        arguments
    )


@pytest.mark.parametrize(
    ("formats", "built"), [("fp16", (False, False, 0)), ("nested", (True, False, 0)), ("auto", (True, True, 64))]
)
def test_only_the_formats_that_are_asked_for_are_built(formats, built):
    config = load_config("unit", [f"formats={formats}"])
    arguments = tile_arguments(config)
    assert (arguments["nested"], arguments["governor"], config.matrices) == built
