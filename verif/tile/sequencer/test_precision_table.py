"""The precision table: keeps what LOAD flits of its addresses bring, and nothing else; notices damage."""

from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import PRECISION_BIT, Csr, Space
from hayate.rtl.contract.precision import Format
from hayate.rtl.ring.flit import Flit
from hayate.rtl.tile.sequencer.precision_table import PrecisionTable
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, start
from hayate.verif.bench.reset import resets

BENCH = Bench(lambda depth: PrecisionTable(depth, inject=True), params=[{"depth": 32}, {"depth": 1024}])


async def flit(dut, valid=1, **fields):
    dut.rx_valid.value, dut.rx.value = valid, Flit.const(fields).as_bits()
    await clock(dut)
    dut.rx_valid.value = 0


async def write(dut, index, value, high=0, valid=1, kind=FlitKind.LOAD, chan=Space.CSR):
    await flit(dut, valid, kind=kind, chan=chan, addr=1 << PRECISION_BIT | index, data=high << 2 | int(value))


async def read(dut, index):
    """(format, error): the format in the cycle after the read, the error in the one after that."""
    dut.read.value, dut.index.value = 1, index
    await clock(dut)
    dut.read.value, dut.index.value = 0, 0
    await clock(dut)
    entry = int(dut.format.value)
    await clock(dut)
    return entry, int(dut.error.value)


@BENCH.test()
async def entries_come_back(dut):
    await start(dut)
    r, depth = rng("entries"), params()["depth"]
    assert await read(dut, depth - 1) == (Format.FP16, 0), "the initial FP16 has valid parity"
    table = {}
    for _ in range(300):
        index = r.choice([0, 1, depth - 1, r.randrange(depth)])
        table[index] = r.choice(list(Format))
        await write(dut, index, table[index], high=r.getrandbits(62))
        index = r.choice([*table, r.randrange(depth)])
        want = table.get(index, Format.FP16), 0
        assert await read(dut, index) == want
        await clock(dut, r.randrange(1, 4))
        assert (int(dut.format.value), int(dut.error.value)) == want, "it holds"
    assert len(set(table.values())) == len(Format)


@BENCH.test()
@resets(within=40)
async def other_flits_pass_by(dut):
    await start(dut)
    await write(dut, 5, Format.INT4)
    await write(dut, 5, Format.INT8, valid=0)
    for kind in FlitKind:
        for chan in Space:
            if (kind, chan) != (FlitKind.LOAD, Space.CSR):
                await write(dut, 5, Format.INT8, kind=kind, chan=chan)
    for csr in Csr:
        await flit(dut, kind=FlitKind.LOAD, chan=Space.CSR, addr=int(csr), data=int(Format.INT8))
    assert await read(dut, 5) == (Format.INT4, 0)
    for csr in Csr:
        assert csr == 5 or await read(dut, int(csr)) == (Format.FP16, 0)


@BENCH.test()
async def damage_is_noticed(dut):
    await start(dut)
    for fmt in Format:
        for bit in range(3):
            dut.flip.value = 1 << bit
            await write(dut, 7, fmt)
            dut.flip.value = 0
            assert (await read(dut, 7))[1] == 1
            await clock(dut)
            assert int(dut.error.value) == 0, "an error lasts a cycle"
        await write(dut, 7, fmt)
        assert await read(dut, 7) == (fmt, 0)
