"""MXINT8: golden quantization against rational arithmetic, and the converter against golden."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from hayate.golden.numerics.fp16 import from_bits
from hayate.golden.numerics.mxint8 import dequantize, quantize
from hayate.rtl.numerics.mxint8 import MXINT8_LATENCY, TOP_MIN, ToMxInt8
from hayate.verif.bench import Bench, cases, params, rng
from hayate.verif.bench.drivers import start
from hayate.verif.bench.reset import resets
from hayate.verif.numerics import fp32_lane as lane
from hayate.verif.numerics.operands import CORNERS, finite, pack

BENCH = Bench(lambda count: ToMxInt8(count), params=[{"count": 16}, {"count": 1}])


def operation(elements, rest):
    """Inputs and outputs for some patterns whose block also holds the patterns `rest`."""
    q, e = quantize(from_bits([[*elements, *rest]]))
    codes = [int(c) & 0xFF for c in q[0, : len(elements)]]
    return {"x": pack(elements), "top": int(e[0, 0]) + 15}, {"codes": pack(codes, 8)}


def largest_field(elements, rest):
    return max(p >> 10 & 31 for p in (*elements, *rest))


def near(generator, top):
    """A pattern whose exponent field is `top` or a little less, often at a tie or at the clamp."""
    fraction = generator.choice((0, 1, 0x200, 0x3FF, 0x3F8, generator.getrandbits(10)))
    return generator.getrandbits(1) << 15 | max(top - generator.randrange(12), 0) << 10 | fraction


@BENCH.test()
@resets(within=30)
async def random_blocks(dut):
    """Any exponents, and ones close to each other; the block's largest is now here, now elsewhere."""
    await start(dut)
    generator, count = rng("elements"), params()["count"]
    operations, fields = [], Counter()
    for _ in range(cases(3000)):
        elements, rest = [finite(generator) for _ in range(count)], []
        if generator.random() < 0.7:
            top = generator.choice((generator.randrange(31), generator.randrange(TOP_MIN - 1, TOP_MIN + 3)))
            elements = [near(generator, top) for _ in range(count)]
        if generator.random() < 0.5:
            rest = [generator.choice((finite(generator), near(generator, TOP_MIN - 1)))]
        fields[largest_field(elements, rest)] += 1
        operations.append(operation(elements, rest))
    await lane.pipeline(dut, MXINT8_LATENCY, operations, rng("gaps"))
    assert all(fields[field] > 20 for field in range(31)), (
        "blocks of every exponent, around the smallest one that is shared too"
    )


@BENCH.test(only=lambda p: p["count"] == 16)
async def every_distance_and_every_tie(dut):
    """Every exponent of an element below every exponent of the block, with the fractions around ties and around the
    clamp.
    """
    await start(dut)
    operations = []
    fractions = [f for i in range(11) for f in (1 << i, (1 << i) - 1, 0x3FF ^ (1 << i) - 1)]
    patterns = [e << 10 | f & 0x3FF | (i & 1) << 15 for e in range(31) for i, f in enumerate(fractions)]
    for top in range(31):
        fit = [p for p in patterns if p >> 10 & 31 <= top]
        fit += [0] * (-len(fit) % 16)
        operations += [operation(fit[i : i + 16], [top << 10]) for i in range(0, len(fit), 16)]
    await lane.pipeline(dut, MXINT8_LATENCY, operations, rng("gaps"), gap=0.05)


def test_no_elements_are_refused():
    with pytest.raises(ValueError, match="at least 1 element"):
        ToMxInt8(0)


def rational(row):
    """(q, e) of a list of Python floats, by comparison and rational arithmetic alone."""
    q, exponents = [], []
    for at in range(0, len(row), 32):
        block = [Fraction(v) for v in row[at : at + 32]]
        e, largest = -10, max(abs(v) for v in block)
        while largest >= Fraction(2) ** (e + 1):
            e += 1
        # Fraction rounds half to even.
        q += [max(-127, min(127, round(v * Fraction(2) ** (6 - e)))) for v in block]
        exponents.append(e)
    return q, exponents


def check(x):
    q, e = quantize(x)
    assert (
        q.dtype == np.int8 and e.dtype == np.int64 and q.shape == x.shape and e.shape == (len(x), -(-x.shape[1] // 32))
    )
    for row, codes, exponents in zip(x, q, e):
        assert (codes.tolist(), exponents.tolist()) == rational([float(v) for v in row])
    return q, e


def spread(generator, shape):
    """FP16 values whose exponents lie close to each other within a block, so that few of them vanish."""
    p, k = shape
    top = np.repeat(generator.integers(1, 31, (p, -(-k // 32))), 32, axis=1)[:, :k]
    exponent = np.maximum(top - generator.integers(0, 10, shape), 0)
    fraction = generator.choice([0, 1, 0x200, 0x3FF, 0x3F8, -1], shape)
    fraction = np.where(fraction < 0, generator.integers(0, 1024, shape), fraction)
    return from_bits(generator.integers(0, 2, shape) << 15 | exponent << 10 | fraction)


@pytest.mark.parametrize("k", [1, 4, 31, 32, 33, 96, 1000])
def test_golden_equals_rational_arithmetic(k):
    generator = np.random.default_rng(k)
    check(spread(generator, (6, k)))
    bits = generator.integers(0, 1 << 16, (6, k))
    check(from_bits(np.where(bits >> 10 & 31 == 31, bits & 0xBBFF, bits)))


def test_golden_ties_go_to_even_and_the_top_is_clamped():
    x = np.zeros((1, 32), np.float16)
    ties = np.arange(-5, 6) + 0.5
    x[0, 0], x[0, 1:12] = 1.0, ties / 64  # e = 0: units of 1/64
    q, e = check(x)
    assert e[0, 0] == 0 and q[0, :12].tolist() == [64, -4, -4, -2, -2, 0, 0, 2, 2, 4, 4, 6]
    for below in (
        from_bits([[0x3FFF]]),
        from_bits([[0xBFFF]]),
        from_bits([[0x7BFF]]),
    ):  # just below 2**(e+1): rounds to 128
        assert abs(int(check(below)[0][0, 0])) == 127


def test_golden_small_values_share_the_smallest_exponent():
    q, e = check(np.zeros((2, 40), np.float16))
    assert (e == -10).all() and not q.any()
    subnormal = from_bits(np.arange(32)[None] * 33)
    q, e = check(subnormal)
    assert (e == -10).all() and q.max() == round(31 * 33 / 256)
    _, e = check(from_bits([[0x13FF], [0x1400], [0x17FF], [0x1800]]))  # around 2**-10 and 2**-9
    assert e[:, 0].tolist() == [-10, -10, -10, -9]


def test_golden_blocks_are_apart_and_the_values_are_what_the_codes_say():
    x = np.zeros((1, 70), np.float16)
    x[0, 31], x[0, 32], x[0, 69] = 4.0, 0.25, -1.5
    q, e = check(x)
    assert e.tolist() == [[2, -2, 0]] and q[0, [31, 32, 69]].tolist() == [64, 64, -96]
    assert (dequantize(q, e) == x).all()


@pytest.mark.parametrize("x", [np.zeros((2, 4)), np.zeros(4, np.float16), np.full((1, 4), np.inf, np.float16)])
def test_golden_refuses_what_is_not_a_finite_fp16_matrix(x):
    with pytest.raises(ValueError, match="expected float16|infinite or NaN"):
        quantize(x)


def test_golden_on_corners():
    check(from_bits(np.array(CORNERS)[:, None]))
    check(from_bits(np.array(CORNERS)[None]))
