"""The filters of one tile among others against the golden definition: what passes, what is counted and sent, and how
long a round takes.
"""

import numpy as np

from hayate.golden.tile.filters import survivors
from hayate.rtl.contract.filters import COUNTS_BIT, DIGIT_BITS, DIGITS, INDEX_SHIFT, ROUND_BIT, TOP_K_MAX
from hayate.rtl.contract.latencies import SELECT_CYCLES
from hayate.rtl.tile.vector.filter import COUNTS, KEEP_LATENCY, Filter
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, settle, start
from hayate.verif.bench.reset import resets
from hayate.verif.tile.vector.filter_golden import keys, words
from hayate.verif.tile.vector.vector_driver import in_flits

BENCH = Bench(Filter, params=[{"lanes": 1}, {"lanes": 4}, {"lanes": 2}, {"lanes": 8}], optimize="-O0")
MAX = np.finfo(np.float32).max
SPECIAL = np.array([0, -0.0, 1, -1, 1e-45, -1e-45, MAX, -MAX, np.nextafter(np.float32(1), np.float32(2))], np.float32)


def numbers(r, shape):
    """float32: a few values many times, or many values, near one another or not."""
    random = np.random.default_rng(r.getrandbits(32))
    match r.randrange(4):
        case 0:
            return random.choice(SPECIAL, shape)
        case 1:
            return np.full(shape, random.choice(SPECIAL))
        case 2:
            return (random.standard_normal(shape) * 2.0 ** r.randrange(-40, 40)).astype(np.float32)
    return random.integers(0x40000000, 0x40000000 + r.choice([3, 40, 10000]), shape).astype(np.uint32).view(np.float32)


def counts(own, threshold, found):
    """Of keys [n, lanes] with the first `found` digits of thresholds [lanes]: how many have a next digit of 0, of 1,
    ... or more.
    """
    shift = 32 - DIGIT_BITS * (found + 1)
    match, digit = own >> shift + DIGIT_BITS == threshold >> shift + DIGIT_BITS, own >> shift & COUNTS - 1
    return np.array([np.minimum((match & (digit >= d)).sum(0), TOP_K_MAX) for d in range(COUNTS)])


async def give(dut, name, rows, r=None):
    """Float32 rows [n, lanes] on `name` one after the other, with pauses."""
    for row in rows:
        while r and r.random() < 0.2:
            await clock(dut)
        for k, value in enumerate(row):
            getattr(dut, f"{name}__{k}").value = int(value.view(np.uint32))
        getattr(dut, f"{name}_valid").value = 1
        await clock(dut)
        getattr(dut, f"{name}_valid").value = 0


async def send(dut, flits):
    for addr, flit in flits:
        dut.count_valid.value, dut.addr.value, dut.counts.value = flit["mask"], addr, flit["data"]
        await clock(dut)
    dut.count_valid.value = 0


async def select(dut):
    """Cycles that it takes."""
    dut.select.value = 1
    await clock(dut)
    dut.select.value, cycles = 0, 0
    while True:
        cycles += 1
        await settle()
        if int(dut.selected.value):
            await clock(dut)
            return cycles
        await clock(dut)


async def judged(dut, z):
    """Bool [n, lanes]: what is kept, each KEEP_LATENCY cycles after its z."""
    found = []
    for n in range(len(z) + KEEP_LATENCY):
        await settle()
        found.append(int(dut.keep.value))
        dut.z_valid.value = int(n < len(z))
        for k, value in enumerate(z[n] if n < len(z) else []):
            getattr(dut, f"z__{k}").value = int(value.view(np.uint32))
        await clock(dut)
    return np.array([[word >> k & 1 for k in range(z.shape[1])] for word in found[KEEP_LATENCY:]], bool).reshape(
        z.shape
    )


@BENCH.test()
@resets(within=400)
async def random_searches(dut):
    r, lanes = rng("searches"), params()["lanes"]
    await start(dut)
    ways = set()
    for trial in range(90):
        tiles = r.choice([1, 2, 3, 9])
        index = r.randrange(tiles)
        sizes = [r.choice([0, 1, 4, 30, 90]) for _ in range(tiles)]
        z = numbers(r, (sum(sizes), lanes))
        k, min_p = r.choice([0, 0, 1, 2, 5, 40, 63, 64]), r.randrange(2)
        floor = r.choice([*SPECIAL[:3], *z.ravel()[:20]]) * np.ones(lanes, np.float32)
        parts = np.split(z, np.cumsum(sizes)[:-1])
        mine, want = parts[index], r.getrandbits(lanes) if trial else 0
        dut.top_k.value, dut.min_p.value, dut.index.value, dut.want.value = k, min_p, index, want
        drawn = [lane for lane in range(lanes) if want >> lane & 1]
        dut.start.value = 1
        await clock(dut)
        dut.start.value = 0
        if min_p:
            await give(dut, "floor", floor[None])
        ordered = -np.sort(-keys(z), axis=0)
        threshold = ordered[k - 1] if 0 < k <= len(z) else np.zeros(lanes, np.int64)

        def flits(found, tile, parts=parts, threshold=threshold, drawn=drawn):
            """Words of a round of a tile, those of any lanes at once."""
            total = counts(keys(parts[tile]), threshold, found)
            addr = 1 << COUNTS_BIT | (found & 1) << ROUND_BIT | tile << INDEX_SHIFT
            halves = [{lane: words(total[:, lane])[half] for lane in drawn} for half in range(2)]
            return [(addr | half, flit) for half in range(2) for flit in in_flits(r, halves[half], lanes)]

        early = []
        for found in range(DIGITS if k else 0):
            await give(dut, "z", mine, r)
            await clock(dut, 2)
            total = counts(keys(mine), threshold, found)
            for lane in drawn:
                sent = int(getattr(dut, f"words__{lane}").value)
                assert sent == sum(word << 64 * half for half, word in enumerate(words(total[:, lane]))), (
                    trial,
                    found,
                    lane,
                )
            assert int(dut.parity.value) == found & 1
            dut.clear.value = 1
            await clock(dut)
            dut.clear.value = 0
            coming = [flit for tile in range(tiles) for flit in flits(found, tile) if (tile, found) not in early]
            r.shuffle(coming)
            await send(dut, coming)
            if found + 1 < DIGITS and tiles > 1 and r.random() < 0.5:  # a tile that is ahead
                ahead = r.choice([tile for tile in range(tiles) if tile != index])
                early.append((ahead, found + 1))
                await send(dut, flits(found + 1, ahead))
            assert await select(dut) == SELECT_CYCLES * len(drawn) + 1
        kept = await judged(dut, mine)
        start_at = sum(sizes[:index])
        wanted = survivors(z, floor if min_p else None, k)[start_at : start_at + len(mine)]
        assert (kept[:, drawn] == wanted[:, drawn]).all(), (trial, k, min_p)
        if drawn and wanted.size:
            ways |= {(bool(k), min_p, bool(part)) for part in wanted[:, drawn].ravel()}
    assert ways == {(a, b, c) for a in (False, True) for b in (0, 1) for c in (False, True)} - {(False, 0, False)}
