"""Elementary against golden, and golden's errors against double precision."""

import numpy as np
import pytest

from hayate.golden.numerics import elementary, fp32
from hayate.rtl.contract import tables
from hayate.rtl.numerics.elementary import ELEMENTARY_LATENCY, Elementary, ElementaryFunction
from hayate.verif.bench import Bench, cases, rng
from hayate.verif.bench.drivers import start
from hayate.verif.bench.reset import resets
from hayate.verif.numerics import fp32_lane as lane

BENCH = Bench(lambda: Elementary())
GOLDEN = (elementary.exp, elementary.recip, elementary.rsqrt)
CHUNK = 1 << 19


def operations(functions, x):
    """Operations on the patterns x, a function for each."""
    functions, x = np.asarray(functions), np.asarray(x, np.uint32)
    results = [golden(lane.floats(x)) for golden in GOLDEN]
    rows = np.arange(len(x))
    y = np.array([lane.patterns(r[0]) for r in results])[functions, rows]
    saturated = np.array([r[1] for r in results])[functions, rows]
    return [
        ({"mode": int(f), "x": int(v)}, {"y": int(r), "sat": int(s)}) for f, v, r, s in zip(functions, x, y, saturated)
    ]


@BENCH.test()
@resets(within=30)
async def random_values(dut):
    await start(dut)
    generator = rng("operands")
    x = [lane.finite(generator) for _ in range(cases(6000, icarus=4))]
    # Most random patterns are far outside exp's range, so give it numbers of its own.
    functions = [generator.randrange(3) for _ in x]
    near = np.float32([generator.uniform(-90, 90) * 2.0 ** -generator.randrange(30) for _ in x])
    x = [
        int(n) if f == ElementaryFunction.EXP and generator.random() < 0.8 else v
        for f, v, n in zip(functions, x, lane.patterns(near))
    ]
    await lane.pipeline(dut, ELEMENTARY_LATENCY, operations(functions, x), rng("gaps"))


@BENCH.test()
async def every_table_row(dut):
    """Both ends of each segment of each table, and corners of the format."""
    await start(dut)
    functions, x = [], []
    for segment in range(64):
        for within in (0, 1, 0x1FFFE, 0x1FFFF):
            for exponent in (127, 128, 1, 254):
                functions += [ElementaryFunction.RECIP, ElementaryFunction.RSQRT]
                x += [exponent << 23 | segment << 17 | within] * 2
            for power in (-3, 0, 5):
                value = (power + (segment + within / (1 << 17)) / 64) * np.log(2)
                functions.append(ElementaryFunction.EXP)
                x.append(int(lane.patterns(np.float32([value]))[0]))
    for corner in lane.CORNERS:
        functions += list(ElementaryFunction)
        x += [corner] * 3
    await lane.pipeline(dut, ELEMENTARY_LATENCY, operations(functions, x), rng("gaps"), gap=0)


@BENCH.test()
async def ends_of_the_ranges(dut):
    """Where exp overflows and vanishes, where 1/x overflows and becomes subnormal, and every power of two."""
    await start(dut)
    functions, x = [], []
    for edge in (88.72283, -87.33655, 128.0, -128.0, 127.99999, -127.99999):
        middle = int(lane.patterns(np.float32([edge]))[0])
        x += range(middle - 100, middle + 100)
        functions += [ElementaryFunction.EXP] * 200
    for sign in (0, 1 << 31):
        for middle in (0x00200000, 0x00400000, 0x7E800000, 0x7F000000):
            x += [sign | v for v in range(middle - 40, middle + 40)]
            functions += [ElementaryFunction.RECIP] * 80
        for power in [1 << n for n in range(23)] + [n << 23 for n in range(1, 255)]:
            x += [sign | power] * 3
            functions += list(ElementaryFunction)
    await lane.pipeline(dut, ELEMENTARY_LATENCY, operations(functions, x), rng("gaps"), gap=0)


def worst(function, reference, x):
    """Largest relative error of the normal results at x. Zeros and saturated results must be where they belong."""
    y, saturated = function(x)
    with np.errstate(over="ignore"):
        exact = reference(x.astype(np.float64))
    assert np.array_equal(saturated, exact > float(fp32.FP32_MAX) * (1 + 2.0**-25))
    normal = ~saturated & (np.abs(exact) >= 2.0**-126)
    return np.max(np.abs(y[normal].astype(np.float64) / exact[normal] - 1), initial=0)


@pytest.mark.parametrize("name, exponent", [("recip", 127), ("recip", 0), ("rsqrt", 127), ("rsqrt", 128), ("rsqrt", 0)])
def test_every_fraction_is_within_the_bound(name, exponent):
    """All 2^23 fractions of a binade (two for rsqrt), and all subnormals, whose results do not saturate."""
    function, reference = getattr(elementary, name), {"recip": np.reciprocal, "rsqrt": lambda x: 1 / np.sqrt(x)}[name]
    first = {"recip": 0x00200001, "rsqrt": 1}[name] if exponent == 0 else exponent << 23
    bound = 0.0
    for low in range(first, (exponent + 1) << 23, CHUNK):
        x = np.arange(low, min(low + CHUNK, (exponent + 1) << 23), dtype=np.uint32).view(np.float32)
        bound = max(bound, worst(function, reference, x))
    print(f"{name}: largest relative error 2^{np.log2(bound):.2f}")
    assert bound < 2.0**-22


@pytest.mark.parametrize("low, high", [(-87.33, 88.72), (-1, 1), (-(2.0**-10), 2.0**-10), (-20, 0)])
def test_exp_is_within_the_bound(low, high):
    generator = np.random.default_rng(3)
    bound = 0.0
    for _ in range(4):
        bound = max(bound, worst(elementary.exp, np.exp, generator.uniform(low, high, CHUNK).astype(np.float32)))
    print(f"exp: largest relative error 2^{np.log2(bound):.2f}")
    assert bound < 2.0**-22


def test_exact_results():
    powers = np.float32(2) ** np.arange(-127, 128, dtype=np.float32)
    y, saturated = elementary.recip(np.concatenate([powers, -powers]))
    assert np.array_equal(y, 1 / np.concatenate([powers, -powers])) and not saturated.any()
    even = np.float32(4) ** np.arange(-74, 64, dtype=np.float32)
    y, saturated = elementary.rsqrt(even)
    assert np.array_equal(y, (1 / np.sqrt(even.astype(np.float64))).astype(np.float32)) and not saturated.any()
    y, _ = elementary.exp(lane.floats([0, 0x80000000, 1, 0x80000001]))
    assert y.tolist() == [1, 1, 1, 1]


def test_outside_the_range():
    big = float(fp32.FP32_MAX)
    y, saturated = elementary.exp(np.float32([88.73, 500, big, -87.4, -500, -big]))
    assert y.tolist() == [big] * 3 + [0.0] * 3 and saturated.tolist() == [True] * 3 + [False] * 3
    y, saturated = elementary.recip(np.float32([0.0, -0.0, 2.0**-128, -(2.0**-149)]))
    assert y.tolist() == [big, -big, big, -big] and saturated.all()
    y, saturated = elementary.rsqrt(np.float32([0.0, -0.0, -1, -(2.0**-149), -big]))
    assert y.tolist() == [big] * 5 and saturated.all()


def test_subnormal_reciprocals_are_close():
    x = np.random.default_rng(4).uniform(2.0**126, float(fp32.FP32_MAX), CHUNK).astype(np.float32)
    y, saturated = elementary.recip(np.concatenate([x, -x]))
    error = np.abs(y.astype(np.float64) - 1 / np.concatenate([x, -x]).astype(np.float64))
    assert error.max() < 2.5 * 2.0**-149 and not saturated.any()


def test_the_tables_fit_their_fields():
    rows = np.array(tables.ROWS)
    assert rows.shape == (256, 3)
    assert (rows[:, 0] >> tables.C0_BITS - 1 == 1).all() and (rows[:, 1] >> tables.C1_BITS == 0).all()
    u = (1 << tables.U_BITS) - 1
    assert (rows[:, 1] + (rows[:, 2] * u >> tables.T_SHIFT) < 1 << tables.C1_BITS).all()
