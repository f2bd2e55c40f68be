"""The stage buffer: words in, elements out, every FP16 value widened exactly."""

import numpy as np
import pytest

from hayate.rtl.contract.flits import spread
from hayate.rtl.tile.vector.stage import StageBuffer
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, start
from hayate.verif.bench.reset import resets

DEPTH = 16
BENCH = Bench(
    lambda lanes=2: StageBuffer(lanes, DEPTH, inject=True),
    params=[{"lanes": 1}, {"lanes": 2}, {"lanes": 4}, {"lanes": 8}],
)


async def write(dut, mask, row, words, flip=0):
    """Words into a row of the lanes in `mask`, the first in the lowest place."""
    dut.write.value, dut.write_row.value, dut.write_data.value, dut.flip.value = (
        mask,
        row,
        spread(dict(enumerate(words)))["data"],
        flip,
    )
    await clock(dut)
    dut.write.value = 0


@BENCH.test()
@resets(within=60)
async def random_elements(dut):
    """Reads, a choice of element after a while, writes of rows to any lanes, none and all too, all along."""
    r, lanes = rng(), params()["lanes"]
    await start(dut)
    words = np.zeros((lanes, DEPTH), np.uint64)
    for row in range(DEPTH // lanes):
        await write(dut, (1 << lanes) - 1, row, [0] * lanes)
    wanted = None
    for _ in range(400):
        mask, row, new = r.getrandbits(lanes), r.randrange(DEPTH // lanes), [r.getrandbits(64) for _ in range(lanes)]
        await write(dut, mask, row, new)
        for lane in range(lanes):
            if mask >> lane & 1:
                words[lane, row * lanes : (row + 1) * lanes] = new
        at = r.randrange(DEPTH)
        dut.read.value, dut.read_addr.value = 1, at
        await clock(dut)
        dut.read.value, dut.read_addr.value = 0, r.randrange(DEPTH)
        read = words[:, at].copy()
        await clock(dut, r.randrange(3))
        if wanted is not None:
            assert [int(getattr(dut, f"data__{k}").value) for k in range(lanes)] == wanted  # held until taken
        half, pick = r.randrange(2), r.randrange(4)
        dut.take.value, dut.half.value, dut.pick.value = 1, half, pick
        await clock(dut)
        dut.take.value = 0
        if half:
            values = read.view(np.uint16).reshape(lanes, 4)[:, pick].view(np.float16).astype(np.float32)
            wanted = None if not np.isfinite(values).all() else values.view(np.uint32).tolist()
        else:
            wanted = read.view(np.uint32).reshape(lanes, 2)[:, pick & 1].tolist()
        await clock(dut)
        if wanted is not None:
            assert [int(getattr(dut, f"data__{k}").value) for k in range(lanes)] == wanted
        assert not int(dut.parity.value)


@BENCH.test(only=lambda p: p["lanes"] == 1, sims=("verilator",))
async def all_halves(dut):
    """Every finite FP16 value, four to a word."""
    await start(dut)
    patterns = np.array([h for h in range(1 << 16) if h >> 10 & 31 != 31], np.uint16)
    widened = patterns.view(np.float16).astype(np.float32).view(np.uint32)
    for i, word in enumerate(patterns.view(np.uint64)):
        await write(dut, 1, i % DEPTH, [int(word)])
        dut.read.value, dut.read_addr.value = 1, i % DEPTH
        await clock(dut)
        dut.read.value, dut.take.value, dut.half.value = 0, 1, 1
        for pick in range(4):
            dut.pick.value = pick
            await clock(dut)
            if pick:
                assert int(dut.data__0.value) == widened[4 * i + pick - 1]
        dut.take.value = 0
        await clock(dut)
        assert int(dut.data__0.value) == widened[4 * i + 3]


@BENCH.test()
async def damage(dut):
    """Every word of a damaged row is noticed, in whichever lane it is, and none of another row."""
    await start(dut)
    lanes = params()["lanes"]
    row = 3 % (DEPTH // lanes)
    await write(dut, (1 << lanes) - 1, row ^ 1, [0xABCDEF0123456789] * lanes)
    for bit in (0, 40, 63, 64, 65):
        for lane in (0, lanes - 1):
            await write(dut, (1 << lanes) - 1, row, [0xABCDEF0123456789] * lanes)
            await write(dut, 1 << lane, row, [0xABCDEF0123456789] * lanes, flip=1 << bit)
            for at in (row * lanes, row * lanes + lanes - 1, (row ^ 1) * lanes):
                dut.read.value, dut.read_addr.value = 1, at
                await clock(dut)
                dut.read.value = 0
                seen = []
                for _ in range(4):
                    await clock(dut)
                    seen.append(int(dut.parity.value))
                assert seen == [0, int(at // lanes == row), 0, 0]


@pytest.mark.parametrize(("lanes", "depth"), [(0, 16), (3, 18), (1, 1), (2, 2), (8, 8), (4, 18)])
def test_impossible_sizes_are_refused(lanes, depth):
    with pytest.raises(ValueError, match=f"at least two rows of as many words, not {lanes} lanes and {depth} words"):
        StageBuffer(lanes, depth)
