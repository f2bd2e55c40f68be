"""Rows of noise against the golden generator: values, order, rate, latency, and a reader that pauses."""

from hayate.golden.numerics import gumbel
from hayate.rtl.contract.latencies import GUMBEL_LATENCY, NOISE_ROWS
from hayate.rtl.tile.vector.noise import NoiseRows
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, settle, start
from hayate.verif.bench.reset import resets

BENCH = Bench(lambda lanes: NoiseRows(lanes, inject=True), params=[{"lanes": 1}, {"lanes": 4}, {"lanes": 8}])


def begin(dut, r, row0, n, want):
    """Set up a RUN whose start the next edge sees; the rows that it gives."""
    lanes = params()["lanes"]
    positions, seed = [r.getrandbits(r.choice([4, 15])) for _ in range(lanes)], r.getrandbits(r.choice([1, 64]))
    dut.seed.value, dut.want.value, dut.row0.value, dut.n.value = seed, want, row0, n
    for k, position in enumerate(positions):
        getattr(dut, f"positions__{k}").value = position
    drawn = [k for k in range(lanes) if want >> k & 1] or [0]
    return [
        [int(gumbel.noise(seed, positions[k] + 1, row0 + i).view("uint32")) if k in drawn else 0 for k in range(lanes)]
        for i in range(n)
    ]


def values(dut):
    return [int(getattr(dut, f"values__{k}").value) for k in range(params()["lanes"])]


@BENCH.test()
@resets(within=150)
async def random_runs(dut):
    r, lanes = rng("runs"), params()["lanes"]
    await start(dut)
    for _ in range(25):
        rows = begin(dut, r, r.randrange((1 << 20) - 64), r.choice([0, 1, 3, 20, 50]), r.getrandbits(lanes))
        await clock(dut, 2)
        dut.start.value = 1
        await clock(dut)
        dut.start.value = 0
        pause, shown = r.choice([0, 0.5, 0.97]), None
        for wanted in [*rows, None]:
            while True:
                await settle()
                assert shown is None or values(dut) == shown, "what was taken stays"
                if wanted is None or int(dut.ready.value) and r.random() >= pause:
                    break
                await clock(dut)
            if wanted is not None:
                dut.next.value = 1
                await clock(dut)
                dut.next.value, shown = 0, wanted
        await clock(dut, 3)
        await settle()
        assert int(dut.ready.value) == 0 and int(dut.parity.value) == 0


@BENCH.test()
async def cycles(dut):
    """The first row, the rate, and that no more than NOISE_ROWS rows are drawn ahead."""
    r, lanes = rng("cycles"), params()["lanes"]
    await start(dut)
    for want in {1, (1 << lanes) - 1, 1 << lanes - 1, 0}:
        width = max(1, want.bit_count())
        rows = begin(dut, r, 5, 3 * NOISE_ROWS, want)
        await clock(dut, 2)
        dut.start.value = 1
        await clock(dut)
        dut.start.value = 0
        ready = []
        for cycle in range(1, 2 * NOISE_ROWS * width + 40):
            await settle()
            taken = bool(int(dut.ready.value)) and len(ready) < NOISE_ROWS
            dut.next.value = int(taken)
            if taken:
                ready.append(cycle)
            await clock(dut)
        first = width + GUMBEL_LATENCY + 3
        assert ready == [first + width * k for k in range(NOISE_ROWS)]
        dut.next.value = 1  # NOISE_ROWS rows wait now, one a cycle
        for wanted in rows[NOISE_ROWS : 2 * NOISE_ROWS]:
            await settle()
            assert int(dut.ready.value)
            await clock(dut)
            await settle()
            assert values(dut) == wanted
        assert int(dut.ready.value) == int(width == 1 and NOISE_ROWS > first)
        dut.next.value = 0
        await clock(dut, 2 * NOISE_ROWS * width + 40)
        dut.next.value = 1
        await clock(dut, NOISE_ROWS)
        dut.next.value = 0
        await settle()
        assert int(dut.ready.value) == 0 and values(dut) == rows[-1]


@BENCH.test()
async def a_damaged_row_is_noticed(dut):
    r, lanes = rng("damage"), params()["lanes"]
    await start(dut)
    for bit in {0, 31, 32 * lanes - 1, 32 * lanes, 33 * lanes - 1}:
        dut.flip.value = 1 << bit
        begin(dut, r, 0, 1, 1)
        dut.start.value = 1
        await clock(dut)
        dut.start.value = 0
        while not int(dut.ready.value):
            await clock(dut)
        dut.next.value, dut.flip.value = 1, 0
        await clock(dut)
        dut.next.value = 0
        seen = []
        for _ in range(3):
            await settle()
            seen.append(int(dut.parity.value))
            await clock(dut)
        assert seen == [0, 1, 0]
