"""The bank against a list of words; injected errors; loading of the macro from files, by its place in the hierarchy."""

import re
from functools import cache

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.golden.memory.secded import bank_file, decode, encode, from_bits, to_bits
from hayate.rtl.contract.latencies import BANK_LATENCY
from hayate.rtl.contract.secded import codeword_bits
from hayate.rtl.memory.bank import Bank, macro_text
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.reset import resets

TILES, BANKS, DEPTH = (0, 12), 3, 37


class Tile(wiring.Component):
    """Some banks read at one address, beneath one more level of hierarchy."""

    def __init__(self):
        super().__init__({"en": In(1), "addr": In(6)} | {f"rdata_{b}": Out(64) for b in range(BANKS)})

    def elaborate(self, platform):
        m, inner = Module(), Module()
        m.submodules.array = inner
        for b in range(BANKS):
            bank = inner.submodules[f"bank_{b}"] = Bank(DEPTH)
            inner.d.comb += [bank.en.eq(self.en), bank.addr.eq(self.addr)]
            m.d.comb += getattr(self, f"rdata_{b}").eq(bank.rdata)
        return m


@cache
def chip() -> str:
    """Verilog of a chip: one tile module, instantiated several times, as the package does it."""
    from hayate.sim.convert import verilog

    outputs = [f"tile_{t}_{b}" for t in TILES for b in range(BANKS)]
    text = verilog(Tile(), "some_tile") + "module chip (input clk, input rst, input en, input [5:0] addr"
    text += "".join(f", output [63:0] {name}" for name in outputs) + ");\n"
    for t in TILES:
        banks = ", ".join(f".rdata_{b}(tile_{t}_{b})" for b in range(BANKS))
        text += f"  some_tile tile_{t} (.clk(clk), .rst(rst), .en(en), .addr(addr), {banks});\n"
    return text + "endmodule\n"


BANK = Bench(
    lambda depth, width: Bank(depth, width, inject=True),
    params=[{"depth": 64, "width": 64}, {"depth": 37, "width": 16}],
    sources=[macro_text()],
)
CHIP = Bench(chip, name="chip", sources=[macro_text()])


class Model:
    """Words of a bank as codewords, and the answers that it owes, by cycle."""

    def __init__(self, depth, width):
        self.width = width
        self.memory = [0] * depth
        self.owed = {}

    def write(self, addr, word, flips=0):
        self.memory[addr] = from_bits(encode(to_bits([word], self.width)))[0] ^ flips

    def read(self, cycle, addr):
        data, corrected, uncorrectable = decode(to_bits([self.memory[addr]], codeword_bits(self.width)), self.width)
        self.owed[cycle + BANK_LATENCY] = (from_bits(data)[0], int(corrected[0]), int(uncorrectable[0]))


@BANK.test()
@resets(within=100)
async def answers_like_a_list_of_codewords(dut):
    from hayate.verif.bench.drivers import clock, start, strobe

    await start(dut)
    depth, width = params()["depth"], params()["width"]
    n = codeword_bits(width)
    generator, model = rng(), Model(depth, width)
    for addr in range(depth):
        await strobe(dut, "en", we=1, addr=addr, wdata=0, inject=0)
    seen = {(0, 0): 0, (1, 0): 0, (0, 1): 0}
    last = None
    for cycle in range(4000):
        en, we = generator.random() < 0.85, generator.random() < 0.5
        # Few addresses in turn, so that reads follow writes of the same word closely.
        addr = (cycle // 100 + generator.randrange(4)) % depth
        word, flips = generator.getrandbits(width), 0
        for _ in range(generator.choice((0, 0, 1, 1, 2, 3))):
            flips |= 1 << generator.randrange(n)
        for port, value in (("en", en), ("we", we), ("addr", addr), ("wdata", word), ("inject", flips)):
            getattr(dut, port).value = int(value)
        if en and we:
            model.write(addr, word, flips)
        elif en:
            model.read(cycle, addr)
        await clock(dut)
        # Just after the edge the outputs still show the cycle that ended with it.
        due = model.owed.pop(cycle, None)
        assert int(dut.rvalid.value) == (due is not None), cycle
        flags = (int(dut.corrected.value), int(dut.uncorrectable.value))
        if due is not None:
            last = due[0]
            seen[flags] += 1
            assert flags == due[1:], cycle
        else:
            assert flags == (0, 0)
        if last is not None:
            assert int(dut.rdata.value) == last, cycle
    assert min(seen.values()) > 100


@BANK.test(only=lambda parameters: parameters["width"] == 64)
async def reads_one_word_a_cycle_after_three_cycles(dut):
    from hayate.verif.bench.drivers import clock, start

    await start(dut)
    data = [rng().getrandbits(64) ^ 0x0123_4567_89AB_CDEF * a % (1 << 64) for a in range(16)]
    for addr, word in enumerate(data):
        dut.en.value, dut.we.value, dut.addr.value, dut.wdata.value = 1, 1, addr, word
        await clock(dut)
    dut.we.value = 0
    answers = []
    for cycle in range(16 + BANK_LATENCY + 2):
        dut.en.value = int(cycle < 16)
        dut.addr.value = cycle % 16
        await clock(dut)
        if int(dut.rvalid.value):
            answers.append((cycle, int(dut.rdata.value)))
    assert BANK_LATENCY == 3
    assert answers == [(a + 3, word) for a, word in enumerate(data)]


@BANK.test(only=lambda parameters: parameters["width"] == 64)
async def reset_forgets_reads_and_keeps_words(dut):
    from hayate.verif.bench.drivers import clock, start

    await start(dut, en=1, we=1, addr=5, wdata=99)
    dut.we.value = 0
    await clock(dut, 2)
    dut.rst.value, dut.en.value = 1, 0
    await clock(dut)
    dut.rst.value = 0
    for _ in range(5):
        await clock(dut)
        assert not int(dut.rvalid.value)
    dut.en.value = 1
    await clock(dut)
    dut.en.value = 0
    await clock(dut, BANK_LATENCY)
    assert int(dut.rvalid.value) and int(dut.rdata.value) == 99


def contents(tile: int, bank: int) -> np.ndarray:
    """What the file of a bank holds: shorter than the bank."""
    return np.random.default_rng([tile, bank]).integers(0, 1 << 64, DEPTH - 5, np.uint64)


@CHIP.test()
async def holds_its_file_or_zeros(dut):
    """Run by pytest as it is, it expects zeros; `test_each_bank_loads_its_own_file` runs it with files."""
    import cocotb

    from hayate.verif.bench.drivers import clock, start

    await start(dut, en=1)
    loaded = "hayate_banks" in cocotb.plusargs
    cocotb.log.info("with files" if loaded else "without files")
    for addr in range(DEPTH):
        dut.addr.value = addr
        await clock(dut, BANK_LATENCY + 1)
        for tile in TILES:
            for bank in range(BANKS):
                words = contents(tile, bank)
                expected = int(words[addr]) if loaded and addr < len(words) else 0
                assert int(getattr(dut, f"tile_{tile}_{bank}").value) == expected, (tile, bank, addr)


def simulate(sim, tmp_path, request, directory) -> str:
    """Run the bench above with files from ``directory``; returns the log."""
    from hayate.sim import runner, tools
    from hayate.verif.bench.bench import Job

    if sim == "icarus" and not tools.find_icarus():
        sim = "verilator"
    root = request.config.rootpath / "build" / "sim"
    log = tmp_path / "log"
    runner.run(
        runner.build(chip(), name="chip", sources=[macro_text()], sim=sim, root=root),
        "hayate.verif.bench.inside",
        directory=tmp_path,
        log=log,
        env=Job(__file__, "holds_its_file_or_zeros", 0, 1).environment(),
        timeout=300,
        plusargs=[f"+hayate_banks={directory}"],
    )
    return log.read_text()


@pytest.mark.parametrize("sim", ["verilator", "icarus"])
def test_each_bank_loads_its_own_file(sim, tmp_path, request):
    for tile in TILES:
        for bank in range(BANKS):
            (tmp_path / f"tile{tile}_bank{bank}.hex").write_text(bank_file(contents(tile, bank)))
    log = simulate(sim, tmp_path, request, tmp_path)
    assert "with files" in log and "Not enough words" not in log


@pytest.mark.parametrize("sim", ["verilator", "icarus"])
def test_a_missing_file_ends_the_simulation(sim, tmp_path, request):
    from hayate.sim.tools import SimulationError

    with pytest.raises(SimulationError) as caught:
        simulate(sim, tmp_path, request, tmp_path / "absent")
    assert f"hayate_bank_macro: cannot open {tmp_path}/absent/tile" in caught.value.log


def test_the_macro_is_plain_verilog_without_paths():
    text = macro_text()
    assert text.isascii() and "module hayate_bank_macro" in text


def test_synthesis_sees_a_plain_memory():
    """No loop over its words, which synthesis tools would go through, and no system tasks."""
    text = re.sub(
        r"^`ifndef SYNTHESIS\n.*?^`endif\n", "", re.sub(r"//.*", "", macro_text()), flags=re.MULTILINE | re.DOTALL
    )
    assert "mem[addr] <= wdata" in text and not re.findall(r"initial|for \(|\$\w+|`\w+", text)


@pytest.mark.parametrize(
    ("arguments", "text"), [((1,), "depth: a bank has at least 2 words"), ((8, 0), "data_bits: must be between")]
)
def test_banks_that_cannot_be_are_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        Bank(*arguments)
