"""PE in INT8 and INT4, alone and mixed with FP16, against exact integer sums."""

from hayate.rtl.contract.constants import K_MAX
from hayate.rtl.contract.precision import MX_MAX, SCALE_MAX, WORD_NIBBLES
from hayate.rtl.tile.matrix.pe import Pe
from hayate.verif.bench import Bench, rng
from hayate.verif.bench.reset import resets
from hayate.verif.numerics.operands import finite, value
from hayate.verif.tile.matrix.pe_driver import BUILDS, begin, fp16, nibbles, scales

BENCH = Bench(Pe, params=BUILDS)
BUSY = Bench(Pe, params=[{"lanes": 1, "measure": True}], sims=["verilator"])

LARGEST = 0x604C  # 550: the greatest FP16 value that may be a scale
SCALES = [0, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x8400, 0x3C00, 0xBC00, 0x6000, LARGEST, 0x8000 | LARGEST]
TOP_EXPONENT = 25


def a_scale(random):
    """Any scale that is allowed, every exponent alike; now and then an extreme one."""
    if random.random() < 0.3:
        return random.choice(SCALES)
    return random.getrandbits(1) << 15 | min(LARGEST, random.randrange(25) << 10 | random.getrandbits(10))


def some_nibbles(random, low):
    least = -8 if low else -7
    match random.randrange(4):
        case 0:
            return [random.choice((least, 7))] * WORD_NIBBLES
        case 1:
            return [random.choice((least, 7)) for _ in range(WORD_NIBBLES)]
    return [random.randint(least, 7) for _ in range(WORD_NIBBLES)]


def some_codes(random):
    match random.randrange(5):
        case 0:
            return [random.choice((-MX_MAX, MX_MAX))] * WORD_NIBBLES
        case 1:
            return [random.choice((-MX_MAX, MX_MAX)) for _ in range(WORD_NIBBLES)]
        case 2:
            return [random.randint(-1, 1) for _ in range(WORD_NIBBLES)]
    return [random.randint(-MX_MAX, MX_MAX) for _ in range(WORD_NIBBLES)]


def stream(random, lanes, pieces, *, int8, subtract=0):
    """The words of a row of planes, `pieces` times 16 elements long: scale words at random places, the first of all
    one.
    """
    words = []
    for i in range(pieces):
        if i == 0 or random.random() < 0.2:
            words.append(scales([a_scale(random) for _ in range(4)]))
            words[-1].controls["first_low"] = int(i == 0)
        codes, exponents = (
            [some_codes(random) for _ in range(lanes)],
            [random.randint(0, TOP_EXPONENT) for _ in range(lanes)],
        )
        for low in range(1 + int8):
            words.append(
                nibbles(
                    some_nibbles(random, low), codes, exponents, low=low, select=random.randrange(4), subtract=subtract
                )
            )
    return words


def fp16_words(random, lanes, count):
    return [
        fp16([finite(random) for _ in range(4)], [[finite(random) for _ in range(4)] for _ in range(lanes)])
        for _ in range(count)
    ]


def a_row(random, driver):
    """A row in any format, or in FP16 and then INT8, which counts negative where that can be."""
    kind, pieces = random.choice(("fp16", "int8", "int4", "both")), random.choice((1, 1, 2, 3, 5, 12))
    if kind == "fp16":
        return fp16_words(random, driver.lanes, pieces)
    planes = stream(
        random, driver.lanes, pieces, int8=kind != "int4", subtract=int(driver.measure and random.random() < 0.6)
    )
    return (fp16_words(random, driver.lanes, pieces) if kind == "both" else []) + planes


@BENCH.test()
async def formats_alternate_row_by_row(dut):
    driver, random = await begin(dut), rng()
    for _ in range(150):
        await driver.row(a_row(random, driver))
    await driver.drain()
    assert len(driver.results) == 150


@BENCH.test()
@resets(within=60)
async def formats_alternate_word_by_word(dut):
    """Words of all kinds in any order, a scale word at the end of a row too, with gaps of all lengths between them."""
    driver, random = await begin(dut), rng()
    for _ in range(60):
        words = stream(random, driver.lanes, 6, int8=random.random() < 0.5) + fp16_words(random, driver.lanes, 4)
        head, rest = words[0], words[1:]
        random.shuffle(rest)
        await driver.row([head, *rest], gap=random.choice([0, 0, 0.2, 0.7]))
    await driver.drain()
    assert len(driver.results) == 60


@BENCH.test(only=lambda p: p["lanes"] == 2)
async def every_shift_and_scale(dut):
    """Single terms walk all exponents of scale and activation, both planes and signs, through each quad."""
    driver, random = await begin(dut), rng()
    for exponent in range(TOP_EXPONENT + 1):
        for field in range(25):
            pattern = random.getrandbits(1) << 15 | min(
                LARGEST, field << 10 | random.choice((0, 0x3FF, random.getrandbits(10)))
            )
            quad, low, n = random.randrange(4), random.getrandbits(1), random.choice((-7, -1, 7))
            values = [n if i // 4 == quad else 0 for i in range(WORD_NIBBLES)]
            codes = [[random.choice((-MX_MAX, MX_MAX))] * WORD_NIBBLES for _ in range(driver.lanes)]
            word = nibbles(values, codes, [exponent, TOP_EXPONENT - exponent], low=low, select=2, first_low=1)
            await driver.row([scales([LARGEST, LARGEST, pattern, LARGEST]), word])
    await driver.drain()


@BENCH.test(only=lambda p: p["lanes"] == 2)
async def planes_less_themselves_leave_nothing(dut):
    """A row minus the same row is zero, and so is its low plane; one unit of 2**-48 more shows."""
    driver, random = await begin(dut), rng()
    extra = fp16([1, 0, 0, 0], [[1, 0, 0, 0]] * driver.lanes)
    for _ in range(60):
        seed = random.getrandbits(32)
        words, negated = (stream(rng(seed), driver.lanes, 4, int8=True, subtract=subtract) for subtract in (0, 1))
        negated[0].controls["first_low"] = 0
        await driver.row([*words, extra, *negated])
    await driver.drain()
    assert driver.results == [[1] * driver.lanes] * 60
    assert driver.low_results == [[0] * driver.lanes] * 60


@BENCH.test(only=lambda p: p["lanes"] == 2)
async def a_row_begun_again_is_dropped(dut):
    driver, random = await begin(dut), rng()
    for kind in ("scale", "nibbles", "fp16"):
        for gap in (0, 0, 1, 3):
            words = stream(random, driver.lanes, 3, int8=True)
            await driver.step(words[0], first=1)
            for word in words[1:4]:
                for _ in range(gap):
                    await driver.step()
                await driver.step(word)
            head = {"scale": [], "nibbles": [words[1]], "fp16": fp16_words(random, driver.lanes, 1)}[kind]
            await driver.row(head + stream(random, driver.lanes, 3, int8=True))
    await driver.drain()
    assert len(driver.results) == 12


@BUSY.test()
async def the_longest_rows_of_the_largest_terms(dut):
    """K_MAX elements at the limits in INT8, on top of K_MAX in FP16 of the other sign: no part of the accumulator
    overflows.
    """
    driver = await begin(dut)
    codes, exponents = [[MX_MAX] * WORD_NIBBLES], [TOP_EXPONENT]
    pieces = K_MAX // WORD_NIBBLES
    for pattern, weight in ((LARGEST, 0xFBFF), (0x8000 | LARGEST, 0x7BFF)):
        planes = [nibbles([7] * WORD_NIBBLES, codes, exponents, low=low) for low in (0, 1)] * pieces
        await driver.row([scales([pattern] * 4), *planes])
        first = scales([pattern] * 4)
        first.controls["first_low"] = 1
        await driver.row([fp16([weight] * 4, [[0x7BFF] * 4])] * (K_MAX // 4) + [first] + planes)
    await driver.drain()
    largest = K_MAX * 119 * value(LARGEST) * MX_MAX * 2 ** (TOP_EXPONENT + 8)
    assert driver.results[0] == [largest] and driver.results[2] == [-largest]
    assert driver.low_results[1] == [largest * 7 // 119]


def test_the_largest_scale_is_the_greatest_allowed():
    assert value(LARGEST) <= SCALE_MAX * 2**24 < value(LARGEST + 1)
