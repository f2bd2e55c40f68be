"""Silu against golden, and golden's errors against double precision."""

import numpy as np
import pytest

from hayate.golden.numerics.silu import silu
from hayate.rtl.contract import silu as table
from hayate.rtl.numerics.silu import SILU_LATENCY, Silu
from hayate.verif.bench import Bench, cases, rng
from hayate.verif.bench.drivers import start
from hayate.verif.bench.reset import resets
from hayate.verif.numerics import fp32_lane as lane

BENCH = Bench(lambda: Silu())


def operations(x):
    """Operations on the patterns x."""
    return [({"x": int(v)}, {"y": int(y)}) for v, y in zip(x, lane.patterns(silu(lane.floats(x))[0]))]


@BENCH.test()
@resets(within=30)
async def random_values(dut):
    await start(dut)
    generator = rng("operands")
    x = [lane.finite(generator) for _ in range(cases(2000, icarus=4))]
    near = np.float32(
        [generator.uniform(-24, 24) * 2.0 ** -generator.randrange(22) for _ in range(cases(4000, icarus=4))]
    )
    x += lane.patterns(near).tolist()
    generator.shuffle(x)
    await lane.pipeline(dut, SILU_LATENCY, operations(x), rng("gaps"))


@BENCH.test()
async def every_table_row(dut):
    """Both ends of each row, which is where rows meet, and a place in it; corners of the format."""
    await start(dut)
    generator = rng("places")
    x = list(lane.CORNERS)
    for s in table.SECTIONS:
        size = 1 << 23 - s.bits
        for index in range(s.count):
            first = s.sign << 31 | table.BIAS + s.exponent << 23 | index * size
            x += [first, first + 1, first + size - 1, first + generator.randrange(size)]
    await lane.pipeline(dut, SILU_LATENCY, operations(x), rng("gaps"), gap=0)


@BENCH.test()
async def ends_of_the_ranges(dut):
    """Where silu becomes a / 2, a, -0 and a subnormal; every power of two."""
    await start(dut)
    x = []
    for edge in (2.0**-18, 2.0**-126, 2.0**-125, 2.0**-124, 16.0, 20.0, 32.0):
        middle = int(lane.patterns(np.float32([edge]))[0])
        x += [sign | v for sign in (0, 1 << 31) for v in range(middle - 20, middle + 20)]
    x += [sign | n << 23 for sign in (0, 1 << 31) for n in range(255)]
    await lane.pipeline(dut, SILU_LATENCY, operations(x), rng("gaps"), gap=0)


def exact(x):
    """silu of float32 values in double precision; where e^-x overflows it is -0, and should be a bit less."""
    x = x.astype(np.float64)
    with np.errstate(over="ignore"):
        return x / (1 + np.exp(-x))


def binades(exponents, signs=(0, 1), step=9):
    """Every `step`-th float32 of some binades, and those at both ends of each 1/64 of them."""
    for sign in signs:
        for exponent in exponents:
            fraction = np.arange(exponent % step, 1 << 23, step)
            border = np.arange(64) << 17
            fraction = np.concatenate([fraction, border, border + (1 << 17) - 1])
            yield lane.floats(sign << 31 | exponent + table.BIAS << 23 | fraction)


@pytest.mark.parametrize(
    "low, high, signs", [(-126, -20, (0, 1)), (-20, -2, (0, 1)), (-2, 3, (0, 1)), (3, 6, (0,)), (6, 128, (0,))]
)
def test_the_relative_error_is_within_the_bound(low, high, signs):
    """From -8 on: a ninth of the numbers of the binades that have rows, fewer of the others."""
    bound = 0.0
    for x in binades(range(low, high), signs, 9 if -20 <= low < 6 else 4099):
        reference = exact(x)
        normal = np.abs(reference) >= 2.0**-126
        y = silu(x)[0].astype(np.float64)
        bound = max(bound, np.max(np.abs(y / reference - 1)[normal], initial=0))
        assert not y[~normal].any()
    print(f"silu: largest relative error 2^{np.log2(bound) if bound else -np.inf:.2f}")
    assert bound < 2.0**-18


def test_the_tail_is_within_the_bound():
    """Below -8; the step to zero at -20 is what is largest."""
    bound = max(np.max(np.abs(silu(x)[0].astype(np.float64) - exact(x))) for x in binades(range(3, 8), (1,)))
    print(f"silu: largest absolute error below -8 2^{np.log2(bound):.2f}")
    assert bound < 2.0**-24
    (x,) = binades([3], (1,))
    relative = np.max(np.abs(silu(x)[0].astype(np.float64) / exact(x) - 1))
    print(f"silu: largest relative error from -16 to -8 2^{np.log2(relative):.2f}")
    assert relative < 2.0**-16


def test_exact_results():
    generator = np.random.default_rng(5)
    x = np.float32(generator.uniform(1, 2, 5000) * 2.0 ** generator.integers(-124, -18, 5000))
    for a in (x, -x):
        assert np.array_equal(silu(a)[0], a / 2)
    x = np.float32(generator.uniform(1, 2, 5000) * 2.0 ** generator.integers(4, 127, 5000))
    assert np.array_equal(silu(x)[0], x)
    assert not lane.patterns(silu(np.float32([0.0, 1e-45, 2.0**-126, 1.99 * 2.0**-126]))[0]).any()
    y, saturated = silu(np.float32([-0.0, -1e-45, -(2.0**-126), -20, -20.5, -31, -88, -1e9, -3e38]))
    assert (lane.patterns(y) == 1 << 31).all() and not saturated.any()


def test_it_falls_to_its_minimum_and_rises_from_there():
    """Of numbers 1/500 apart, to both sides of the minimum at -1.27846; and it stays within silu's range."""
    x = np.float32(1.002 ** np.arange(-5000, 5000))
    for a in (-x[(x > 1.3) & (x < 20)], np.concatenate([-x[x < 1.25][::-1], x])):
        y = silu(a)[0]
        assert (np.diff(y[np.argsort(a)]) * (1 if a[-1] > 0 else -1) > 0).all()
        assert np.array_equal(np.signbit(y), np.signbit(a))
    for a in binades(range(-20, 8), step=101):
        y = silu(a)[0]
        assert np.isfinite(y).all() and (np.abs(y) <= np.abs(a)).all() and y.min() >= -0.278465 * (1 + 2.0**-18)


def test_the_table_fits_its_fields():
    c0, c1, c2, d = np.array(table.ROWS).T
    assert len(c0) == 1 << table.ROW_BITS and d.max() < 1 << table.D_BITS and c0.max() < 1 << table.C0_BITS
    used = sorted(s.first + i for s in table.SECTIONS for i in range(s.count))
    assert len(set(used)) == len(used) == np.count_nonzero(c0)
    assert np.abs(c1).max() + np.abs(c2).max() < 1 << table.C1_BITS
    assert np.abs(c2).max() < 1 << table.C2_BITS - 1
