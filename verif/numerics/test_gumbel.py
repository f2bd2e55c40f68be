"""Threefry, GumbelTransform and Gumbel against golden."""

import numpy as np

from hayate.golden.numerics import gumbel
from hayate.rtl.contract import noise
from hayate.rtl.numerics.gumbel import (
    GUMBEL_LATENCY,
    THREEFRY_LATENCY,
    TRANSFORM_LATENCY,
    Gumbel,
    GumbelTransform,
    Threefry,
)
from hayate.verif.bench import Bench, cases, rng
from hayate.verif.bench.drivers import clock, start
from hayate.verif.bench.reset import resets
from hayate.verif.numerics import fp32_lane as lane

THREEFRY = Bench(lambda: Threefry())
TRANSFORM = Bench(lambda: GumbelTransform())
GUMBEL = Bench(lambda: Gumbel())
LAST = (1 << 32) - 1


def blocks(key, counters):
    """Operations on pairs of counter words."""
    pairs = np.array(counters, np.uint64).T
    words = gumbel.threefry2x32(pairs, (key & LAST, key >> 32))
    return [
        ({"counter0": int(c0), "counter1": int(c1)}, {"word0": int(w0), "word1": int(w1)})
        for c0, c1, w0, w1 in zip(*pairs, *words)
    ]


def transforms(numbers):
    y = lane.patterns(gumbel.transform(numbers))
    return [({"n": int(n)}, {"y": int(r)}) for n, r in zip(numbers, y)]


def operations(seed, places):
    """Operations on pairs of position and token."""
    position, token = np.array(places).T
    y = lane.patterns(gumbel.noise(seed, position, token))
    return [({"position": int(p), "token": int(t)}, {"y": int(r)}) for p, t, r in zip(position, token, y)]


@THREEFRY.test()
async def known_answers(dut):
    """The vectors of the Random123 distribution for 13 rounds."""
    await start(dut)
    for key, counter, words in (
        (0, (0, 0), (0x9D1C5EC6, 0x8BD50731)),
        ((1 << 64) - 1, (LAST, LAST), (0xFD36D048, 0x2D17272C)),
        (0x0370734413198A2E, (0x243F6A88, 0x85A308D3), (0xBA3E4725, 0xF27D669E)),
    ):
        dut.key.value = key
        dut.valid.value = 0
        await clock(dut)
        operation = {"counter0": counter[0], "counter1": counter[1]}, {"word0": words[0], "word1": words[1]}
        await lane.pipeline(dut, THREEFRY_LATENCY, [operation], rng("gaps"))


@THREEFRY.test()
@resets(within=60)
async def random_counters(dut):
    await start(dut)
    generator = rng("counters")
    for key in (0, (1 << 64) - 1, *(generator.getrandbits(64) for _ in range(6))):
        dut.key.value = key
        dut.valid.value = 0
        await clock(dut)
        counters = [(generator.getrandbits(32), generator.getrandbits(32)) for _ in range(cases(200, icarus=4))]
        counters += [(1 << i, 0) for i in range(32)] + [(0, 1 << i) for i in range(32)]
        await lane.pipeline(dut, THREEFRY_LATENCY, blocks(key, counters), rng("gaps"))


@TRANSFORM.test()
@resets(within=60)
async def random_numbers(dut):
    """Of every length, from both ends."""
    await start(dut)
    generator = rng("numbers")
    numbers = [generator.getrandbits(32) for _ in range(cases(2000, icarus=4))]
    numbers += [
        generator.getrandbits(generator.randrange(1, 33)) ^ generator.choice((0, LAST))
        for _ in range(cases(4000, icarus=4))
    ]
    await lane.pipeline(dut, TRANSFORM_LATENCY, transforms(numbers), rng("gaps"))


@TRANSFORM.test()
async def every_table_row(dut):
    """Both ends of every row, the numbers that have a row of their own, and where the result changes its sign and its
    exponent.
    """
    await start(dut)
    tail = list(range(600))
    for shift in range(26):
        for segment in range(32, 64):
            low = (segment << 25 >> shift) & LAST
            tail += [low, low + (1 << 25 >> shift) - 1]
    numbers = tail + [n ^ LAST for n in tail]
    for g in (0, *(sign * 2.0**power for sign in (-1, 1) for power in range(-19, 5))):
        middle = int(np.exp(-np.exp(-g)) * 2.0**32)
        numbers += [n & LAST for n in range(middle - 8, middle + 8)]
    await lane.pipeline(dut, TRANSFORM_LATENCY, transforms(numbers), rng("gaps"), gap=0)


@GUMBEL.test()
@resets(within=60)
async def tokens_and_positions(dut):
    """With gaps: rows of a few positions for each token, as the lanes of a pass ask for them, and corners."""
    await start(dut)
    generator = rng("places")
    ends = [(p, t) for p in (0, 1, (1 << noise.POSITION_BITS) - 1) for t in (0, 1, (1 << noise.TOKEN_BITS) - 1)]
    for seed in (0, (1 << 64) - 1, *(generator.getrandbits(64) for _ in range(4))):
        dut.seed.value = seed
        dut.valid.value = 0
        await clock(dut)
        first, begin = generator.getrandbits(noise.TOKEN_BITS - 1), generator.getrandbits(noise.POSITION_BITS - 1)
        places = ends + [(begin + k, first + i) for i in range(cases(60, icarus=4)) for k in range(4)]
        places += [
            (generator.getrandbits(noise.POSITION_BITS), generator.getrandbits(noise.TOKEN_BITS))
            for _ in range(cases(200, icarus=4))
        ]
        await lane.pipeline(dut, GUMBEL_LATENCY, operations(seed, places), rng("gaps"))


@GUMBEL.test()
async def one_a_cycle(dut):
    await start(dut)
    generator = rng("places")
    dut.seed.value = seed = generator.getrandbits(64)
    await clock(dut)
    places = [
        (generator.getrandbits(noise.POSITION_BITS), generator.getrandbits(noise.TOKEN_BITS))
        for _ in range(cases(2000, icarus=4))
    ]
    await lane.pipeline(dut, GUMBEL_LATENCY, operations(seed, places), rng("gaps"), gap=0)
