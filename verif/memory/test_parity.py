"""Parity memory: stores what it is given, and notices a flipped bit on the read that returns it."""

from hayate.rtl.memory.parity import ParityMemory, slices
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, start
from hayate.verif.bench.reset import resets

BENCH = Bench(lambda width, depth=32: ParityMemory(width, depth, inject=True), params=[{"width": 128}, {"width": 40}])


async def write(dut, addr, data, flip=0):
    dut.wr_en.value, dut.wr_addr.value, dut.wr_data.value, dut.flip.value = 1, addr, data, flip
    await clock(dut)
    dut.wr_en.value = 0


async def read(dut, addr):
    """(word, error): the word in the cycle after the read, the error in the one after that."""
    dut.rd_en.value, dut.rd_addr.value = 1, addr
    await clock(dut)
    dut.rd_en.value = 0
    await clock(dut)
    word = int(dut.rd_data.value)
    await clock(dut)
    return word, int(dut.error.value)


@BENCH.test()
@resets(within=30)
async def words_come_back_without_error(dut):
    await start(dut)
    r, width = rng("words"), params()["width"]
    words = {addr: r.getrandbits(width) for addr in range(32)}
    for addr, word in words.items():
        await write(dut, addr, word)
    for addr in r.sample(sorted(words), 32):
        assert await read(dut, addr) == (words[addr], 0)
    await clock(dut)
    assert int(dut.error.value) == 0, "no read, no error"


@BENCH.test()
async def every_single_flip_is_noticed(dut):
    await start(dut)
    r, width = rng("flips"), params()["width"]
    assert await read(dut, 5) == (0, 0), "the initial zeros have valid parity"
    for bit in range(width + slices(width)):
        await write(dut, 3, r.getrandbits(width), 1 << bit)
        assert (await read(dut, 3))[1] == 1, f"flip of bit {bit} was missed"
