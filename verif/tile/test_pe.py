"""PE against exact integer sums: random and adversarial rows, any gaps, on 1, 2 and 4 lanes."""

import gc
from random import Random

import pytest

from hayate.rtl.contract.constants import ACC_LSB, K_MAX
from hayate.rtl.tile.pe import PE_LATENCY, Pe
from hayate.verif.bench import Bench, params, rng
from hayate.verif.golden.numerics.exact import exact_dot
from hayate.verif.golden.numerics.fp16 import from_bits
from hayate.verif.numerics.operands import finite, pack, product, signed

BENCH = Bench(lambda lanes=1: Pe(lanes=lanes), params=[{"lanes": 1}, {"lanes": 2}, {"lanes": 4}])
BUSY = Bench(lambda: Pe(lanes=1), sims=["verilator"])

MAX, MINUS_MAX, TINY, ONE = 0x7BFF, 0xFBFF, 0x0001, 0x3C00


class Driver:
    """Presents rows of words; checks that `done` comes when it must and that `result` then holds the exact sums."""

    def __init__(self, dut, lanes: int):
        self.dut, self.lanes = dut, lanes
        self.cycle = 0
        self.due = {}  # cycle of `done` -> sums by lane
        self.sums = None
        self.held = None  # what `result` must keep showing
        self.results = []

    async def step(self, weight=None, acts=None, *, first=0, last=0):
        """One cycle, with a word (4 weight patterns, 4 patterns for each lane) or with junk and `en` low."""
        from hayate.verif.bench.drivers import clock

        dut = self.dut
        dut.en.value = int(weight is not None)
        if weight is None:
            noise = rng(self.cycle)
            dut.first.value, dut.last.value = noise.getrandbits(1), noise.getrandbits(1)
            dut.weight.value, dut.act.value = noise.getrandbits(64), noise.getrandbits(64 * self.lanes)
        else:
            dut.first.value, dut.last.value = first, last
            dut.weight.value, dut.act.value = pack(weight), pack([pack(a) for a in acts], 64)
            if first:
                self.sums = [0] * self.lanes
            for k, act in enumerate(acts):
                self.sums[k] += sum(product(w, a) for w, a in zip(weight, act, strict=True))
            if last:
                self.due[self.cycle + PE_LATENCY] = self.sums
        await clock(dut)
        # The edge ends this cycle: what is sampled here is what it showed.
        assert int(dut.done.value) == (self.cycle in self.due), f"done in cycle {self.cycle}, due {sorted(self.due)}"
        if self.cycle in self.due:
            self.held = self.due.pop(self.cycle)
            self.results.append(self.held)
        if self.held is not None:
            bits = int(dut.result.value)
            shown = [signed(bits >> (96 * k) & (1 << 96) - 1, 96) for k in range(self.lanes)]
            assert shown == self.held, f"result in cycle {self.cycle}"
        self.cycle += 1

    async def row(self, words, gap: float = 0.0):
        """One row, with an idle cycle in front of each word with probability `gap`."""
        noise = rng(("gap", self.cycle))
        for i, (weight, acts) in enumerate(words):
            while noise.random() < gap:
                await self.step()
            await self.step(weight, acts, first=i == 0, last=i == len(words) - 1)

    async def drain(self):
        for _ in range(PE_LATENCY + 3):
            await self.step()
        assert not self.due


async def begin(dut) -> Driver:
    from hayate.verif.bench.drivers import start

    await start(dut)
    return Driver(dut, params().get("lanes", 1))


def word(random, lanes):
    return [finite(random) for _ in range(4)], [[finite(random) for _ in range(4)] for _ in range(lanes)]


@BENCH.test()
async def back_to_back_rows(dut):
    """Rows of every short length follow each other without a bubble."""
    driver, random = await begin(dut), rng()
    for _ in range(150):
        await driver.row([word(random, driver.lanes) for _ in range(random.choice([1, 1, 2, 3, 4, 5, 9, 24]))])
    await driver.drain()
    assert len(driver.results) == 150


@BENCH.test()
async def random_gaps(dut):
    driver, random = await begin(dut), rng()
    for _ in range(100):
        await driver.row([word(random, driver.lanes) for _ in range(random.randrange(1, 12))], gap=random.choice([0, 0.2, 0.7]))
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
                await driver.row([(weight, acts)])
    await driver.drain()


@BENCH.test(only=lambda p: p["lanes"] == 2)
async def cancellation(dut):
    """The largest products cancel and leave one unit of 2**-48, with either sign."""
    driver = await begin(dut)
    for left in (TINY, 0x8001, 0):
        rows = [([MAX, MINUS_MAX, MAX, MINUS_MAX], [[MAX] * 4] * driver.lanes)] * 3
        rows += [([MINUS_MAX] * 4, [[MAX] * 4] * driver.lanes), ([MAX] * 4, [[MAX] * 4] * driver.lanes)]
        rows += [([left, 0, 0x8000, 0], [[TINY, MAX, 0x8000, MINUS_MAX]] * driver.lanes)]
        await driver.row(rows)
        await driver.row(rows[::-1])
    await driver.drain()
    assert [r[0] for r in driver.results] == [1, 1, -1, -1, 0, 0]


@BENCH.test(only=lambda p: p["lanes"] == 2)
async def a_row_begun_again_is_dropped(dut):
    driver, random = await begin(dut), rng()
    for gap in (0, 0, 1, 3):
        for _ in range(3):
            await driver.step(*word(random, driver.lanes), first=1)
            for _ in range(gap):
                await driver.step()
            await driver.step(*word(random, driver.lanes))
        await driver.row([word(random, driver.lanes) for _ in range(3)])
    await driver.drain()
    assert len(driver.results) == 4


@BENCH.test(only=lambda p: p["lanes"] == 4)
async def absent_vectors_give_zero(dut):
    driver, random = await begin(dut), rng()
    for _ in range(20):
        words = [word(random, driver.lanes) for _ in range(3)]
        await driver.row([(w, [a if k == 0 else [0] * 4 for k, a in enumerate(acts)]) for w, acts in words])
    await driver.drain()
    assert all(not any(r[1:]) for r in driver.results)


@BENCH.test(only=lambda p: p["lanes"] == 2)
async def rounds_to_the_golden_dot_product(dut):
    driver, random = await begin(dut), rng()
    weights, acts = [], []
    for _ in range(12):
        words = [word(random, driver.lanes) for _ in range(16)]
        weights.append([p for w, _ in words for p in w])
        acts.append([[p for _, a in words for p in a[k]] for k in range(driver.lanes)])
        await driver.row(words)
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
        await driver.row([(weight, [[MAX] * 4])] * (K_MAX // 4))
    await driver.row([([TINY] * 4, [[0x8001] * 4])] * (K_MAX // 4))
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


def test_reference_products_equal_numpy():
    random = Random(1)
    patterns = [finite(random) for _ in range(400)]
    for a, b in zip(patterns[::2], patterns[1::2], strict=True):
        exact = float(from_bits(a)) * float(from_bits(b))
        assert product(a, b) == int(exact * 2.0**48)
