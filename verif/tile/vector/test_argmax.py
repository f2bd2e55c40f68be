"""Running extremes against Python's comparison."""

import numpy as np

from hayate.rtl.contract.isa import NO_ROW
from hayate.rtl.tile.vector.argmax import ArgMax
from hayate.rtl.tile.vector.collect import LOWEST
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, start
from hayate.verif.bench.reset import resets

BENCH = Bench(ArgMax, params=[{"lanes": 1}, {"lanes": 4}, {"lanes": 8}], optimize="-O0")
SPECIAL = [0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, float(np.finfo(np.float32).max), float(np.finfo(np.float32).min)]


def bits(value):
    return int(np.float32(value).view(np.uint32))


def ranked(seen):
    """The two best of [(value, row)], the lowest row first among equals; (lowest value, NO_ROW) where there are
    fewer.
    """
    return [*sorted(seen, key=lambda c: (-c[0], c[1])), *[(np.finfo(np.float32).min, NO_ROW)] * 2][:2]


@BENCH.test()
@resets(within=60)
async def running_extremes(dut):
    r, lanes = rng(), params()["lanes"]
    await start(dut)
    maxima, best, row, seen = [None] * lanes, [None] * lanes, 0, []
    for _ in range(1500):
        values = [r.choice(SPECIAL) if r.random() < 0.5 else r.gauss(0, 2) for _ in range(lanes)]
        for k, value in enumerate(values):
            getattr(dut, f"values__{k}").value = bits(value)
        use, arg = r.getrandbits(lanes) if r.random() < 0.7 else 0, r.getrandbits(lanes) if r.random() < 0.7 else 0
        clears = [r.random() < 0.05, r.random() < 0.05]
        row = r.choice([0, (1 << 20) - 4000]) if clears[1] else row + 1
        dut.max_valid.value, dut.arg_valid.value, dut.row.value = 0 if clears[0] else use, 0 if clears[1] else arg, row
        dut.max_clear.value, dut.arg_clear.value = clears
        await clock(dut)
        for k in range(lanes):
            assert int(getattr(dut, f"maxima__{k}").value) == (LOWEST if maxima[k] is None else bits(maxima[k]))
            value, at = best[k] or (np.finfo(np.float32).min, NO_ROW)
            assert (int(getattr(dut, f"best__{k}").value), int(getattr(dut, f"rows__{k}").value)) == (bits(value), at)
            if k == 0:
                _, (value, at) = ranked(seen)
                assert (int(dut.second.value), int(dut.second_row.value)) == (bits(value), at)
                seen = [] if clears[1] else [*seen, (np.float32(values[0]), row)] if arg & 1 else seen
            new = np.float32(values[k])
            if clears[0]:
                maxima[k] = None
            elif use >> k & 1 and (
                maxima[k] is None or (new, not np.signbit(new)) > (maxima[k], not np.signbit(maxima[k]))
            ):
                maxima[k] = new
            if clears[1]:
                best[k] = None
            elif arg >> k & 1 and (best[k] is None or new > best[k][0]):
                best[k] = (new, row)


def test_nothing_loses_every_tie():
    assert np.uint32(LOWEST).view(np.float32) == np.finfo(np.float32).min and NO_ROW == (1 << 20) - 1
