"""Collected sums and maxima: any order of arrival, exact, rounded once."""

import numpy as np

from hayate.rtl.contract.isa import ROUNDS_AHEAD
from hayate.rtl.contract.latencies import NORM_LATENCY
from hayate.rtl.tile.vector.collect import LOWEST, Collect
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, start
from hayate.verif.bench.reset import resets
from hayate.verif.tile.vector.vector_driver import in_flits
from hayate.verif.tile.vector.vector_golden import bits, round_sum

BENCH = Bench(Collect, params=[{"lanes": 1}, {"lanes": 2}, {"lanes": 4}, {"lanes": 8}], optimize="-O0")


@BENCH.test()
@resets(within=60)
async def sums_in_any_order(dut):
    """Halves of signed partial sums of several sources, shuffled, those of any lanes at once; some lanes get none; then
    the reading, with its exact latency.
    """
    r, lanes = rng(), params()["lanes"]
    await start(dut)
    for _ in range(40):
        totals, halves = [0] * lanes, []
        sources = [r.choice([0, 1, 3, 8]) for _ in range(lanes)]
        for source in range(max(sources)):
            parts = {
                lane: r.randint(-(1 << r.randint(1, 91)), 1 << r.randint(1, 91))
                for lane in range(lanes)
                if source < sources[lane]
            }
            for lane, part in parts.items():
                totals[lane] += part
            low = {lane: part & (1 << 64) - 1 for lane, part in parts.items()}
            # only the low half of an upper word counts
            high = {lane: part >> 64 & (1 << 32) - 1 | r.getrandbits(32) << 32 for lane, part in parts.items()}
            halves += [(h, flit) for h, words in enumerate((low, high)) for flit in in_flits(r, words, lanes)]
        r.shuffle(halves)
        for high, flit in halves:
            dut.sum_valid.value, dut.high.value, dut.words.value = flit["mask"], high, flit["data"]
            await clock(dut)
            dut.sum_valid.value = 0
            await clock(dut, r.randrange(2))
        exponent = r.randint(-40, 40)
        dut.request.value, dut.exponent.value = 1, exponent & 0xFF
        await clock(dut)
        for _ in range(lanes + NORM_LATENCY + 1):
            await clock(dut)
            assert not int(dut.ready.value)
        await clock(dut)
        for _ in range(3):  # it waits
            assert int(dut.ready.value)
            await clock(dut)
        dut.taken.value = 1
        await clock(dut)
        dut.taken.value, dut.request.value = 0, 0
        await clock(dut)
        wanted = [int(bits(round_sum(total, exponent))) for total in totals]
        assert [int(getattr(dut, f"sums__{k}").value) for k in range(lanes)] == wanted
        await clock(dut)
        assert not int(dut.ready.value)


@BENCH.test()
@resets(within=60)
async def sums_of_attention_rounds(dut):
    """Partial sums of several rounds from any senders, interleaved: each round's total is rounded when the last upper
    half is in, with its exact latency where no other round is in front, and waits to be taken, in any order; a sum
    outside of attention beside them.
    """
    r, lanes = rng(), params()["lanes"]
    await start(dut)
    for turn in range(40):
        senders, exponent = r.choice([1, 2, 5, 255 if turn == 7 else 3]), r.randint(-40, 40)
        rounds = r.sample(range(ROUNDS_AHEAD), r.randrange(1, ROUNDS_AHEAD + 1))
        mask = r.choice([(1 << lanes) - 1, r.randrange(1, 1 << lanes)])
        parts = {n: [[r.getrandbits(78) for _ in range(lanes)] for _ in range(senders)] for n in rounds}
        other = [r.randint(-(1 << 91), 1 << 91) for _ in range(lanes)]
        queues = [[(n, 1, h, [p >> 64 * h for p in words]) for h in range(2)] for n in rounds for words in parts[n]]
        queues.append([(0, 0, h, [p >> 64 * h for p in other]) for h in range(2)])
        dut.senders.value = senders
        last = {}  # cycles since the last upper half of a round came
        while any(queues):
            n, vec, high, words = r.choice([q for q in queues if q]).pop(0)
            dut.sum_valid.value = mask if vec else (1 << lanes) - 1
            dut.round.value, dut.vec.value, dut.high.value = n, vec, high
            dut.words.value = sum((w & (1 << 64) - 1) << 64 * k for k, w in enumerate(words))
            dut.sum_vec.value, dut.sum_round.value, dut.request.value = 1, n, vec
            queues = [q for q in queues if q]
            done = vec and not any(q[0][:2] == (n, 1) for q in queues)
            await clock(dut)
            assert not vec or not int(dut.ready.value), "not all are there"
            dut.sum_valid.value, dut.request.value = 0, 0
            last = {m: cycles + 1 for m, cycles in last.items()} | ({n: 0} if done else {})
            for _ in range(r.choice([0, 0, 1, 30])):
                await clock(dut)
                last = {m: cycles + 1 for m, cycles in last.items()}
        final = min(last, key=last.get)
        alone = all(cycles > lanes + NORM_LATENCY + 3 for m, cycles in last.items() if m != final)
        for n in [final, *r.sample([n for n in rounds if n != final], len(rounds) - 1)]:
            dut.request.value, dut.sum_vec.value, dut.sum_round.value = 1, 1, n
            waited = last[final] + 1
            await clock(dut)
            while not int(dut.ready.value):
                waited += 1
                await clock(dut)
            if n == final and alone and last[final] < lanes + NORM_LATENCY:
                assert waited == lanes + NORM_LATENCY + 3
            dut.taken.value = 1
            await clock(dut)
            dut.taken.value, dut.request.value = 0, 0
            await clock(dut)
            totals = [sum(words[k] for words in parts[n]) * (mask >> k & 1) for k in range(lanes)]
            wanted = [int(bits(round_sum(total, 0))) for total in totals]
            assert [int(getattr(dut, f"sums__{k}").value) for k in range(lanes)] == wanted, n
        dut.request.value, dut.sum_vec.value, dut.sum_round.value, dut.exponent.value = 1, 0, 0, exponent & 0xFF
        while not int(dut.ready.value):
            await clock(dut)
        dut.taken.value = 1
        await clock(dut)
        dut.taken.value, dut.request.value = 0, 0
        await clock(dut)
        wanted = [int(bits(round_sum(total, exponent))) for total in other]
        assert [int(getattr(dut, f"sums__{k}").value) for k in range(lanes)] == wanted


@BENCH.test()
@resets(within=60)
async def maxima(dut):
    r, lanes = rng(), params()["lanes"]
    await start(dut)
    largest = [[None] * lanes for _ in range(ROUNDS_AHEAD)]
    special = [0.0, -0.0, 1.5, -1.5, 1e-45, -1e-45, float(np.finfo(np.float32).min)]
    for _ in range(1000):
        values = [np.float32(r.choice(special) if r.random() < 0.6 else r.gauss(0, 1)) for _ in range(lanes)]
        valid = r.choice([1 << r.randrange(lanes), (1 << lanes) - 1, r.getrandbits(lanes)]) if r.random() < 0.7 else 0
        clear = r.random() < 0.04
        into, shown = r.randrange(ROUNDS_AHEAD), r.randrange(ROUNDS_AHEAD)
        clear &= into != shown  # a maximum may come while another round is cleared
        dut.max_valid.value, dut.max_clear.value, dut.round.value, dut.show_round.value = valid, clear, into, shown
        # only the lower half of a word counts
        dut.words.value = sum((int(bits(v)) | r.getrandbits(32) << 32) << 64 * k for k, v in enumerate(values))
        await clock(dut)
        for k in range(lanes):
            held = largest[shown][k]
            assert int(getattr(dut, f"maxima__{k}").value) == (LOWEST if held is None else int(bits(held)))
        if clear:
            largest[shown] = [None] * lanes
        for k, value in enumerate(values):
            held = largest[into][k]
            if valid >> k & 1 and (held is None or (value, not np.signbit(value)) > (held, not np.signbit(held))):
                largest[into][k] = value


def test_the_reference_rounds_to_even():
    assert round_sum(1 << 48, 0) == 1 and round_sum(-3 << 47, 1) == -3
    assert round_sum((1 << 24) + 1 << 48, 0) == 1 << 24 and round_sum((1 << 24) + 3 << 48, 0) == (1 << 24) + 4
    assert round_sum((1 << 96) - (1 << 48), 0) == -1
