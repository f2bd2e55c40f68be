"""PE in FP16 against exact integer sums: random and adversarial rows, any gaps, on 1, 2 and 4 lanes."""

import gc
from random import Random

import pytest

from hayate.golden.numerics.exact import exact_dot
from hayate.golden.numerics.fp16 import from_bits
from hayate.rtl.contract.constants import ACC_LSB, K_MAX
from hayate.rtl.tile.matrix.pe import Pe
from hayate.verif.bench import Bench, rng
from hayate.verif.bench.reset import resets
from hayate.verif.numerics.operands import finite, product
from hayate.verif.tile.matrix.pe_driver import BUILDS, FP16_BUILDS, begin, fp16

BENCH = Bench(Pe, params=[*FP16_BUILDS, *BUILDS])
BUSY = Bench(lambda: Pe(lanes=1), sims=["verilator"])

MAX, MINUS_MAX, TINY, ONE = 0x7BFF, 0xFBFF, 0x0001, 0x3C00


def word(random, lanes):
    return fp16([finite(random) for _ in range(4)], [[finite(random) for _ in range(4)] for _ in range(lanes)])


@BENCH.test()
async def back_to_back_rows(dut):
    """Rows of every short length follow each other without a bubble."""
    driver, random = await begin(dut), rng()
    for _ in range(150):
        await driver.row([word(random, driver.lanes) for _ in range(random.choice([1, 1, 2, 3, 4, 5, 9, 24]))])
    await driver.drain()
    assert len(driver.results) == 150


@BENCH.test()
@resets(within=60)
async def random_gaps(dut):
    driver, random = await begin(dut), rng()
    for _ in range(100):
        await driver.row(
            [word(random, driver.lanes) for _ in range(random.randrange(1, 12))], gap=random.choice([0, 0.2, 0.7])
        )
    await driver.drain()


@BENCH.test(only=lambda p: p["lanes"] == 2)
async def every_sign_and_shift(dut):
    """Single-word rows of one product and three zeros walk all exponent sums and signs through each element."""
    driver = await begin(dut)
    for element in range(4):
        for exponent in range(31):
            for pattern in (exponent << 10 | 0x3FF, 0x8000 | exponent << 10 | 1):
                weight = [0] * 4
                weight[element] = pattern
                acts = [[(0x7BFF, 0x8400, 0x0001, 0xFBFF)[(k + exponent) % 4]] * 4 for k in range(driver.lanes)]
                await driver.row([fp16(weight, acts)])
    await driver.drain()


@BENCH.test(only=lambda p: p["lanes"] == 2)
async def cancellation(dut):
    """The largest products cancel and leave one unit of 2**-48, with either sign."""
    driver = await begin(dut)
    for left in (TINY, 0x8001, 0):
        rows = [fp16([MAX, MINUS_MAX, MAX, MINUS_MAX], [[MAX] * 4] * driver.lanes)] * 3
        rows += [fp16([MINUS_MAX] * 4, [[MAX] * 4] * driver.lanes), fp16([MAX] * 4, [[MAX] * 4] * driver.lanes)]
        rows += [fp16([left, 0, 0x8000, 0], [[TINY, MAX, 0x8000, MINUS_MAX]] * driver.lanes)]
        await driver.row(rows)
        await driver.row(rows[::-1])
    await driver.drain()
    assert [r[0] for r in driver.results] == [1, 1, -1, -1, 0, 0]


@BENCH.test(only=lambda p: p["lanes"] == 2)
async def a_row_begun_again_is_dropped(dut):
    driver, random = await begin(dut), rng()
    for gap in (0, 0, 1, 3):
        for _ in range(3):
            await driver.step(word(random, driver.lanes), first=1)
            for _ in range(gap):
                await driver.step()
            await driver.step(word(random, driver.lanes))
        await driver.row([word(random, driver.lanes) for _ in range(3)])
    await driver.drain()
    assert len(driver.results) == 4


@BENCH.test(only=lambda p: p["lanes"] == 2)
async def absent_vectors_give_zero(dut):
    driver, random = await begin(dut), rng()
    for _ in range(20):
        weights = [[finite(random) for _ in range(4)] for _ in range(3)]
        await driver.row(
            [fp16(w, [[finite(random) for _ in range(4)]] + [[0] * 4] * (driver.lanes - 1)) for w in weights]
        )
    await driver.drain()
    assert all(not any(r[1:]) for r in driver.results)


@BENCH.test(only=lambda p: p["lanes"] == 2)
async def rounds_to_the_golden_dot_product(dut):
    driver, random = await begin(dut), rng()
    weights, acts = [], []
    for _ in range(12):
        words = [[[finite(random) for _ in range(4)] for _ in range(1 + driver.lanes)] for _ in range(16)]
        weights.append([p for w, *_ in words for p in w])
        acts.append([[p for _, *a in words for p in a[k]] for k in range(driver.lanes)])
        await driver.row([fp16(w, a) for w, *a in words])
    await driver.drain()
    for w, a, sums in zip(weights, acts, driver.results, strict=True):
        golden = exact_dot(from_bits([w]), from_bits(a))[:, 0]
        for sum_, expected in zip(sums, golden, strict=True):
            assert abs(sum_ - int(float(expected) * 2.0**-ACC_LSB)) <= abs(sum_) >> 24


@BUSY.test()
async def the_longest_row_of_the_largest_products(dut):
    """K_MAX products of the extreme values, one sign and the other, reach neither end of the accumulator."""
    driver = await begin(dut)
    for weight in ([MAX] * 4, [MINUS_MAX] * 4):
        await driver.row([fp16(weight, [[MAX] * 4])] * (K_MAX // 4))
    await driver.row([fp16([TINY] * 4, [[0x8001] * 4])] * (K_MAX // 4))
    await driver.drain()
    largest = K_MAX * product(MAX, MAX)
    assert driver.results == [[largest], [-largest], [-K_MAX]]


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize("lanes", [0, -1, 1.5, "4"])
def test_lanes_are_checked(lanes):
    with pytest.raises(ValueError, match="lanes must be a positive integer") as caught:
        Pe(lanes=lanes)
    del caught
    gc.collect()  # the half-made component goes now, while its warning is ignored


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_low_planes_are_needed_to_measure_them():
    with pytest.raises(ValueError, match="measure needs nested planes") as caught:
        Pe(nested=False, measure=True)
    del caught
    gc.collect()


def test_reference_products_equal_numpy():
    random = Random(1)
    patterns = [finite(random) for _ in range(400)]
    for a, b in zip(patterns[::2], patterns[1::2], strict=True):
        exact = float(from_bits(a)) * float(from_bits(b))
        assert product(a, b) == int(exact * 2.0**48)
