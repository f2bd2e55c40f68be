"""Drain against the golden rounding: groups of every height, as close as is allowed, with the exact cycle of every
row.
"""

import numpy as np

from hayate.rtl.contract.constants import ACC_LSB, ACC_WIDTH
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.reset import resets
from hayate.verif.tile.matrix.planes import some_grids


def component(banks, lanes, governor):
    from hayate.rtl.tile.matrix.drain import Drain

    return Drain(banks, lanes, governor)


BENCH = Bench(
    component,
    params=[
        {"banks": 1, "lanes": 1, "governor": False},
        {"banks": 4, "lanes": 2, "governor": False},
        {"banks": 4, "lanes": 1, "governor": True},
        {"banks": 8, "lanes": 2, "governor": True},
        {"banks": 32, "lanes": 1, "governor": True},
    ],
)


def packed(rows):
    """Sums of all PEs and lanes, or of the lanes of one row, as the port's bits."""
    values = [v for row in rows for v in row]
    return sum((v & (1 << ACC_WIDTH) - 1) << ACC_WIDTH * i for i, v in enumerate(values))


@BENCH.test()
@resets(within=100)
async def rows_come_in_order_and_on_time(dut):
    """Rounded rows and exact sums; differences give no row."""
    from hayate.rtl.contract.latencies import DRAIN_LATENCY
    from hayate.rtl.tile.interfaces import EnergyTag
    from hayate.rtl.tile.matrix.drain import ENERGY_LATENCY
    from hayate.verif.bench.drivers import clock, start

    random, banks, lanes, governor = rng(), params()["banks"], params()["lanes"], params()["governor"]
    await start(dut)
    due, exact_due, cycle, results, energies, next_start = {}, {}, 0, 0, 0, 3
    pending = None
    ends = 0
    for _ in range(1200):
        begins = cycle >= next_start
        dut.start.value = int(begins)
        if pending is not None:  # the PEs show their results from the cycle after `start` on
            dut.acc.value, low = pending
            if governor:
                dut.low_acc.value = low
            pending = None
        if governor:
            tag = {name: random.getrandbits(1) for name in ("measure", "difference", "nested", "wanted")}
            tag |= {"planes": random.getrandbits(10), "grids": some_grids(random)}
            dut.tag.value = EnergyTag.const(tag).as_bits()
        if begins:
            rows, s = random.randrange(1, banks + 1), random.randrange(-30, 31)
            dut.mask.value, dut.s.value = (1 << rows) - 1, s
            sums, lows = (
                [
                    [random.randrange(-(1 << 53), 1 << 53) << random.randrange(40) for _ in range(lanes)]
                    for _ in range(banks)
                ]
                for _ in range(2)
            )
            pending = packed(sums), packed(lows)
            for i in range(rows):
                exact = [np.float32(float(v)) for v in sums[i]]  # at most 53 bits: float is exact, float32 rounds once
                if not (governor and tag["difference"]):
                    due[cycle + DRAIN_LATENCY + i] = [np.ldexp(e, ACC_LSB + s).view(np.uint32) for e in exact]
                if governor and tag["measure"]:
                    low = packed([lows[i]]) if tag["nested"] else None
                    exact_due[cycle + ENERGY_LATENCY + i] = EnergyTag.const(tag).as_bits(), packed([sums[i]]), low
            ends = max(ends, cycle + DRAIN_LATENCY + rows)
            next_start = cycle + rows + random.choice([0, 0, 1, 5, DRAIN_LATENCY + banks])
        else:
            dut.mask.value, dut.s.value = random.getrandbits(banks), random.randrange(-128, 128)
        await clock(dut)
        assert int(dut.row_valid.value) == (cycle in due)
        if cycle in due:
            assert [int(getattr(dut, f"row__{k}").value) for k in range(lanes)] == due.pop(cycle)
            results += 1
        if governor:
            assert int(dut.energy_valid.value) == (cycle in exact_due)
            if cycle in exact_due:
                expected = exact_due.pop(cycle)
                assert (int(dut.energy_tag.value), int(dut.energy_sum.value)) == expected[:2]
                assert expected[2] in (None, int(dut.energy_low.value))
                energies += 1
        if cycle >= ends:
            assert not int(dut.busy.value)
        cycle += 1
    assert results > 200 and (energies > 200 or not governor)
