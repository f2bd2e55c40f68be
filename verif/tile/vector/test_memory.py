"""The vector memory: two reads and a write per cycle, and damaged words."""

import pytest

from hayate.rtl.tile.vector.memory import VectorMemory
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, start, strobe
from hayate.verif.bench.reset import resets

DEPTH = 32
BENCH = Bench(lambda lanes=2: VectorMemory(lanes, DEPTH, inject=True), params=[{"lanes": 1}, {"lanes": 2}])


@BENCH.test()
@resets(within=60)
async def random_traffic(dut):
    """Every read gives what was written before its cycle; data hold while nothing is read."""
    r, lanes = rng(), params()["lanes"]
    await start(dut)
    words = [[0] * DEPTH for _ in range(lanes)]
    for at in range(DEPTH):
        await strobe(dut, "write", write_addr=at, **{f"write_data__{k}": 0 for k in range(lanes)})
    shown = {port: None for port in "ab"}
    for _ in range(600):
        reads = {port: (r.random() < 0.6, r.randrange(DEPTH)) for port in "ab"}
        for port, (en, address) in reads.items():
            getattr(dut, f"{port}_en").value = en
            getattr(dut, f"{port}_addr").value = address
        write, address = r.random() < 0.6, r.randrange(DEPTH)
        fresh = [r.getrandbits(32) for _ in range(lanes)]
        dut.write.value, dut.write_addr.value = write, address
        for k in range(lanes):
            getattr(dut, f"write_data__{k}").value = fresh[k]
        await clock(dut)
        for port, wanted in shown.items():
            if wanted is not None:
                assert [int(getattr(dut, f"{port}_data__{k}").value) for k in range(lanes)] == wanted
        assert not int(dut.parity.value)
        for port, (en, at) in reads.items():
            if en:
                shown[port] = [words[k][at] for k in range(lanes)]
        if write:
            for k in range(lanes):
                words[k][address] = fresh[k]


@BENCH.test()
async def damage(dut):
    """A flipped bit, the parity bit too, is seen two cycles after the read and at no other time."""
    await start(dut)
    for bit in (0, 13, 31, 32):
        dut.flip.value, dut.write.value, dut.write_addr.value = 1 << bit, 1, 5
        await clock(dut)
        dut.flip.value, dut.write.value = 0, 0
        for port in "ab":
            getattr(dut, f"{port}_en").value, getattr(dut, f"{port}_addr").value = 1, 5
            await clock(dut)
            getattr(dut, f"{port}_en").value = 0
            seen = []
            for _ in range(4):
                await clock(dut)
                seen.append(int(dut.parity.value))
            assert seen == [0, 1, 0, 0]


@pytest.mark.parametrize("lanes, depth", [(0, 8), (1, 1)])
def test_impossible_sizes_are_refused(lanes, depth):
    with pytest.raises(ValueError, match="at least 1 lane and 2 words"):
        VectorMemory(lanes, depth)
