"""Reducer against exact integer sums: values, squares and partial sums in any order, clears, gaps."""

import numpy as np

from hayate.golden.numerics.exact import exact_sum, exact_sumsq
from hayate.golden.numerics.fp16 import from_bits
from hayate.rtl.contract.constants import ACC_WIDTH, K_MAX
from hayate.rtl.contract.latencies import REDUCER_LATENCY
from hayate.rtl.numerics.reducer import Reducer
from hayate.verif.bench import Bench, rng
from hayate.verif.bench.reset import resets
from hayate.verif.numerics.operands import finite, product, signed, unsigned

BENCH = Bench(Reducer)
LONG = Bench(Reducer, sims=["verilator"])

ONE, MAX, MINUS_MAX, TINY = 0x3C00, 0x7BFF, 0xFBFF, 0x0001


class Driver:
    """One call is one cycle; `acc` is compared in each with the terms that must have arrived."""

    def __init__(self, dut):
        self.dut = dut
        self.terms = [0] * (REDUCER_LATENCY - 1)  # on their way, newest last
        self.sum = 0
        self.noise = rng("noise")

    async def step(self, h=None, *, square=0, add=None, clear=0):
        from hayate.verif.bench.drivers import clock

        dut, noise = self.dut, self.noise
        dut.clear.value = clear
        dut.valid.value, dut.add_valid.value = int(h is not None), int(add is not None)
        dut.h.value = noise.getrandbits(16) if h is None else h
        dut.square.value = noise.getrandbits(1) if h is None else square
        dut.add.value = noise.getrandbits(ACC_WIDTH) if add is None else unsigned(add, ACC_WIDTH)
        await clock(dut)
        shown = signed(int(dut.acc.value), ACC_WIDTH)
        assert shown == self.sum, f"acc is {shown}, expected {self.sum}"
        term = add if add is not None else 0 if h is None else product(h, h if square else ONE)
        if clear:
            self.sum, self.terms = 0, [0] * (REDUCER_LATENCY - 1) + [term]
        else:
            self.terms.append(term)
        # What was presented REDUCER_LATENCY cycles before the next one shows there.
        self.sum += self.terms.pop(0)

    async def drain(self):
        for _ in range(REDUCER_LATENCY + 1):
            await self.step()


async def begin(dut) -> Driver:
    from hayate.verif.bench.drivers import start

    await start(dut)
    return Driver(dut)


@BENCH.test()
@resets(within=60)
async def values_squares_and_partial_sums(dut):
    driver, random = await begin(dut), rng()
    for _ in range(1500):
        clear = random.random() < 0.03
        kind = random.random()
        if kind < 0.3:
            await driver.step(clear=clear)
        elif kind < 0.8:
            await driver.step(finite(random), square=random.getrandbits(1), clear=clear)
        else:
            add = random.getrandbits(random.randrange(1, ACC_WIDTH - 12)) * random.choice((1, -1))
            await driver.step(add=add, clear=clear)
    await driver.drain()


@BENCH.test()
async def cancellation(dut):
    driver = await begin(dut)
    for h in (MAX, TINY, MINUS_MAX, 0x8000, 0):
        await driver.step(h)
    for _ in range(2):
        await driver.step(MAX, square=1)
    await driver.step(add=-2 * product(MAX, MAX))
    await driver.drain()
    assert driver.sum == 1 << 24


@BENCH.test()
async def clear_drops_what_is_on_its_way(dut):
    driver = await begin(dut)
    for distance in range(REDUCER_LATENCY + 2):
        await driver.step(MAX)
        for _ in range(distance):
            await driver.step(add=1)
        await driver.step(TINY, clear=1)
        await driver.drain()
        assert driver.sum == 1 << 24


@BENCH.test()
async def the_golden_sums(dut):
    driver, random = await begin(dut), rng()
    for square, golden in ((0, exact_sum), (1, exact_sumsq)):
        values = [finite(random) for _ in range(200)]
        for i, h in enumerate(values):
            await driver.step(h, square=square, clear=i == 0)
        await driver.drain()
        exact = np.float64(driver.sum) * 2.0**-48
        assert abs(exact - golden(from_bits([values]))[0]) <= abs(exact) * 2.0**-24


@LONG.test()
async def the_longest_sum_of_the_largest_squares(dut):
    driver = await begin(dut)
    for _ in range(K_MAX):
        await driver.step(MINUS_MAX, square=1)
    await driver.drain()
    assert driver.sum == K_MAX * product(MAX, MAX)
