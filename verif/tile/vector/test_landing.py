"""The landing buffer: rows in order, read at random, released in lumps."""

import pytest

from hayate.rtl.tile.vector.landing import NO_ROWS_MOST, LandingBuffer
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, start
from hayate.verif.bench.reset import resets

BENCH = Bench(LandingBuffer, params=[{"lanes": 1, "depth": 32}, {"lanes": 2, "depth": 8}])


@BENCH.test()
@resets(within=60)
async def random_rows(dut):
    r, notices, (lanes, depth) = rng(), rng("notices"), params().values()
    await start(dut)
    waiting, shown, most, without, fullest = [], None, 0, 0, 0
    for _ in range(1500):
        push = len(waiting) < depth and r.random() < 0.7
        row = [r.getrandbits(32) for _ in range(lanes)]
        dut.row_valid.value = push
        for k in range(lanes):
            getattr(dut, f"row__{k}").value = row[k]
        read = bool(waiting) and r.random() < 0.6
        offset = r.randrange(len(waiting)) if read else 0
        dut.read.value, dut.offset.value = read, offset
        drop = r.randint(0, len(waiting)) if r.random() < 0.2 else 0
        dut.drop.value = drop
        bare, bare_drop = without < NO_ROWS_MOST and notices.random() < 0.4, without > 0 and notices.random() < 0.3
        dut.no_rows.value, dut.no_rows_drop.value = bare, bare_drop
        await clock(dut)
        assert int(dut.count.value) == len(waiting) and int(dut.no_rows_left.value) == (without > 0)
        without += bare - bare_drop
        fullest = max(fullest, without)
        if shown is not None:
            assert [int(getattr(dut, f"data__{k}").value) for k in range(lanes)] == shown
        shown = waiting[offset] if read else shown
        del waiting[:drop]
        waiting += [row] if push else []
        most = max(most, len(waiting))
    assert most == depth and fullest == NO_ROWS_MOST


@pytest.mark.parametrize("depth", [1, 12])
def test_impossible_depths_are_refused(depth):
    with pytest.raises(ValueError, match=f"power of two of rows, at least 2, not {depth}"):
        LandingBuffer(1, depth)
