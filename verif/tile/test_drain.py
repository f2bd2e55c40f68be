"""Drain against the golden rounding: groups of every height, as close as is allowed, with the exact cycle of every row."""

import numpy as np

from hayate.rtl.contract.constants import ACC_LSB
from hayate.verif.bench import Bench, params, rng


def component(banks, lanes):
    from hayate.rtl.tile.drain import Drain

    return Drain(banks, lanes)


BENCH = Bench(component, params=[{"banks": 1, "lanes": 1}, {"banks": 4, "lanes": 2}, {"banks": 8, "lanes": 1}])


@BENCH.test()
async def rows_come_in_order_and_on_time(dut):
    from hayate.rtl.tile.drain import DRAIN_LATENCY
    from hayate.verif.bench.drivers import clock, start

    random, banks, lanes = rng(), params()["banks"], params()["lanes"]
    await start(dut)
    due, cycle, results, next_start = {}, 0, 0, 3
    pending = None
    for _ in range(800):
        begins = cycle >= next_start
        dut.start.value = int(begins)
        if pending is not None:  # the PEs show their results from the cycle behind `start` on
            dut.acc.value = pending
            pending = None
        if begins:
            rows, s = random.randrange(1, banks + 1), random.randrange(-30, 31)
            dut.mask.value, dut.s.value = (1 << rows) - 1, s
            sums = [[random.randrange(-(1 << 53), 1 << 53) << random.randrange(40) for _ in range(lanes)] for _ in range(banks)]
            pending = sum((v & (1 << 96) - 1) << 96 * (b * lanes + k) for b, row in enumerate(sums) for k, v in enumerate(row))
            for i in range(rows):
                exact = [np.float32(float(v)) for v in sums[i]]  # at most 53 bits: float is exact, float32 rounds once
                due[cycle + DRAIN_LATENCY + i] = [np.ldexp(e, ACC_LSB + s).view(np.uint32) for e in exact]
            next_start = cycle + rows + random.choice([0, 0, 1, 5])
        else:
            dut.mask.value, dut.s.value = random.getrandbits(banks), random.randrange(-128, 128)
        await clock(dut)
        assert int(dut.row_valid.value) == (cycle in due)
        if cycle in due:
            assert [int(getattr(dut, f"row__{k}").value) for k in range(lanes)] == due.pop(cycle)
            results += 1
        elif not due:
            assert not int(dut.busy.value)
        cycle += 1
    assert results > 300
