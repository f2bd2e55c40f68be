"""The package's wiring under its flat port names: registers, load window, counters of each tile, interrupts, the ring of tiles."""

import pytest

from hayate.rtl.contract.alu_ops import AluOp
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.image import contract_hash
from hayate.rtl.contract.isa import DESCRIPTOR, ASrc, Counter, Csr, Instr, Micro, Mode, Op, Rows, Space, encode, encode_micro, pack
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
from hayate.rtl.emit import emit
from hayate.rtl.package import matrices, tile_arguments
from hayate.verif.bench import Bench, rng

CONFIG = load_config("unit", ["tiles=3", "lanes=1", "bank_depth=512", "prompt_depth=16"])
BENCH = Bench(lambda: emit(CONFIG, "dut").verilog, optimize="-O0", timeout=900)
CAUSES = [c for c in Counter if c <= Counter.IDLE]
TOKEN, DONE, FAULT = 1, 2, 4  # bits of IRQ_STATUS
START, ABORT = 1, 2


async def begin(dut, stall=0.2):
    from hayate.verif.bench.drivers import start
    from hayate.verif.host.buses import Driver, manager

    await start(dut)
    return Driver(dut, "s_axil", stall), manager(dut, "s_axi", stall=stall)


async def load(window, tile, space, addr, *words):
    data = b"".join(word.to_bytes(8, "little") for word in words)
    assert (await window.write(load_address(tile, space, addr), data)).resp == 0


async def load_program(window, instructions, tile=LOAD_ALL_TILES):
    words = [encode(i) >> 64 * half & (1 << 64) - 1 for i in instructions for half in range(2)]
    await load(window, tile, Space.PROGRAM, 0, *words)


async def bring_up(window, tiles=CONFIG.tiles):
    """The shortest program that ends a pass, and each tile's number."""
    await load_program(window, [Instr(Op.SENDCAND), Instr(Op.END)])
    await load_registers(window, tiles)


async def load_registers(window, tiles=CONFIG.tiles):
    for tile in range(tiles):
        await load(window, tile, Space.CSR, Csr.TILE_INDEX, tile, tiles)
        await load(window, tile, Space.CSR, Csr.GROUP_SIZE, 1)


async def generate(host, prompt, tokens, *, tiles=CONFIG.tiles, control=START):
    registers = {"TILES": tiles, "PROMPT_LENGTH": prompt, "TOKEN_LIMIT": tokens, "CONTEXT": 60, "OPTIONS": 0,
                 **dict.fromkeys(END_REGISTERS, 0)}
    for name, value in registers.items():
        await host.write(name, value)
    await host.write("CONTROL", control)


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
    assert [await host.field("GEOMETRY", name) for name in ("TILES", "BANKS", "LANES")] == [CONFIG.tiles, CONFIG.banks, CONFIG.lanes]
    sizes = [await host.read(name) for name in ("BANK_DEPTH", "MAX_SLOTS", "PROMPT_DEPTH")]
    assert sizes == [CONFIG.bank_depth, CONFIG.max_slots, CONFIG.prompt_depth]
    assert await host.read("STATUS") == 0 and int(dut.irq.value) == 0 and int(dut.fault.value) == 0


async def after_reset(host):
    """What every register that reset decides reads as, by name."""
    return {r.name: await host.read(r.name) for r in REGISTERS if r.name not in BUILT + KEPT}


@BENCH.test()
async def registers_after_reset_are_those_of_the_table(dut):
    """At first, and after a reset behind a generation; then nothing but the tiles' registers has to be loaded again."""
    from hayate.verif.bench.drivers import clock

    expected = {r.name: reset_value(r) for r in REGISTERS if r.name not in BUILT + KEPT}
    host, window = await begin(dut)
    assert await after_reset(host) == expected
    await bring_up(window)
    await load(window, 0, LoadSpace.PROMPT, 0, 7, 8, 9)
    seen = []
    for _ in range(2):
        for name, value in {"DRAFT": 1 << 14, "QUALITY": 5, "COSTS_3": 77, "SEED_HIGH": 9, "MATRICES": 3}.items():
            await host.write(name, value)
        await generate(host, 3, 2)
        await ended(host)
        await host.write("COUNTER_SELECT", Counter.IDLE)
        seen.append((await host.read("PASSES"), [await counters(host, tile) for tile in range(CONFIG.tiles)]))
        dut.rst.value = 1
        await clock(dut, 2)
        dut.rst.value = 0
        assert await after_reset(host) == expected
        await load_registers(window)
    assert seen[0] == seen[1] and seen[0][0] == 4


@BENCH.test()
async def a_generation_of_empty_passes(dut):
    """Prompt, ring, candidates' SYNCs, token FIFO, interrupts and cycle counts, with a program that computes nothing."""
    host, window = await begin(dut)
    await bring_up(window)
    await load(window, 0, LoadSpace.PROMPT, 0, *(rng("prompt").randrange(1 << 20) for _ in range(5)))
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
    """All tiles attribute the same cycles; tile 1 streams words, with a program of its own; a tile that is not there has zeros."""
    host, window = await begin(dut)
    assert await counters(host, 0) == await counters(host, CONFIG.tiles) == [0] * len(Counter)
    await bring_up(window)
    rows, words = 6, 5
    await load(window, 1, Space.DESC, 0, pack(DESCRIPTOR, {"words": words, "rows": rows}), 0)
    await load(window, 1, Space.MICRO, 0, encode_micro(Micro(AluOp.MOV, a_src=ASrc.LANDING, a_mode=Mode.STREAM)))
    drain = Instr(Op.RUN, {"desc": 0, "routine": 0, "length": 1, "rows": Rows.DESC, "vl": 8, "landing": 1})
    await load_program(window, [Instr(Op.GEMV, {"desc": 0}), drain, Instr(Op.SENDCAND), Instr(Op.END)], tile=1)
    await generate(host, 1, 3)
    await ended(host)
    found = [await counters(host, tile) for tile in range(CONFIG.tiles + 1)]
    assert found[CONFIG.tiles] == [0] * len(Counter)
    totals = {sum(values[c] for c in CAUSES) for values in found[:CONFIG.tiles]}
    assert len(totals) == 1 and 0 < await host.read("CYCLES") - totals.pop() < 8
    groups = -(-rows // CONFIG.banks)
    assert [values[Counter.WEIGHT] for values in found[:CONFIG.tiles]] == [0, 3 * groups * words, 0]
    assert [values[Counter.USEFUL_WEIGHT] for values in found[:CONFIG.tiles]] == [0, 3 * rows * words, 0]


@BENCH.test()
async def fewer_tiles_than_there_are(dut):
    """A generation waits for as many tiles as the register says; the others only pass flits on."""
    host, window = await begin(dut)
    await bring_up(window, tiles=2)
    await load(window, 2, Space.CSR, Csr.TILE_INDEX, 200, 2)  # beyond the tiles that passes are for
    await generate(host, 2, 2, tiles=2)
    await ended(host)
    assert await host.read("TOKEN_LEVEL") == 2 and await host.read("PASSES") == 3


@BENCH.test()
async def abort_ends_after_the_pass(dut):
    host, window = await begin(dut)
    await bring_up(window)
    await generate(host, 1, 50, control=START)
    await host.write("CONTROL", ABORT)
    await ended(host)
    assert 1 <= await host.read("PASSES") < 50 and not await host.field("STATUS", "FULL")


@BENCH.test()
async def its_ports(dut):
    """Names and widths that documents and drivers rely on; the trace has one port of each kind for a tile."""
    from hayate.verif.bench.drivers import ports, start

    await start(dut)
    found = {p["name"]: p["width"] for p in ports()}
    buses = {name for name in found if name.startswith(("s_axil_", "s_axi_"))}
    trace = {"trace_valid": 1, "trace_row": 20, "trace_mask": CONFIG.lanes, "trace_values": 32 * CONFIG.lanes}
    each = {f"{name}__{tile}": width for name, width in trace.items() for tile in range(CONFIG.tiles)}
    assert {n: w for n, w in found.items() if n not in buses} == {
        "clk": 1, "rst": 1, "irq": 1, "fault": 1, "trace_verdict": 1, "trace_kept": CONFIG.lanes, "trace_positions": 16 * CONFIG.lanes,
        **each}
    for bus, width in (("s_axil_", 32), ("s_axi_", 64)):
        assert {f"{bus}{c}{s}" for c in ("aw", "w", "b", "ar", "r") for s in ("valid", "ready")} <= buses
        assert found[f"{bus}wdata"] == found[f"{bus}rdata"] == width


def test_tiles_get_the_configuration_s_sizes():
    arguments = tile_arguments(CONFIG)
    assert arguments == {name: getattr(CONFIG, name) for name in arguments} and {"banks", "lanes", "bank_depth"} <= set(arguments)


@pytest.mark.parametrize(("formats", "built"), [("fp16", (False, False, 0)), ("nested", (True, False, 0)), ("auto", (True, True, 64))])
def test_only_the_formats_that_are_asked_for_are_built(formats, built):
    config = load_config("unit", [f"formats={formats}"])
    arguments = tile_arguments(config)
    assert (arguments["nested"], arguments["governor"], matrices(config)) == built
