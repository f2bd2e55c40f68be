"""Candidate reduction against numpy: order, ties and zeros of either sign, and how far the second best is from the
best.
"""

import numpy as np

from hayate.golden.tile.sequencer import steps
from hayate.rtl.conductor.candidates import CANDIDATE_CYCLES, Candidates
from hayate.rtl.contract.isa import NO_ROW
from hayate.rtl.contract.words import CANDIDATE
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, settle, start
from hayate.verif.bench.reset import resets
from hayate.verif.conductor.stand_ins import among_others, merged

BENCH = Bench(lambda lanes: Candidates(lanes), params=[{"lanes": 4}, {"lanes": 1}, {"lanes": 8}])
VALUES = [0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 3.4028235e38, -3.4028235e38, 1.0000001, 2.5]


def bits(value):
    return int(np.float32(value).view(np.uint32))


def number(r):
    """Any magnitude that makes a step or some, and those around it."""
    return float(np.float32(r.choice([-1, 1]) * 2.0 ** r.uniform(-6, 13)))


def expected(candidates):
    """Token of the largest value, the lowest of those that tie."""
    best = max(np.float32(v) for v, _ in candidates)
    return min(t for v, t in candidates if np.float32(v) == best)


def offer(dut, r, words):
    """Candidates of these lanes, and anything in the others."""
    flit = among_others(r, words, params()["lanes"])
    dut.valid.value, dut.words.value = flit["mask"], flit["data"]


@BENCH.test()
@resets(within=60, times=8)
async def largest_wins_and_ties_go_low(dut):
    """Of every position by itself, however many have a candidate in the same cycle."""
    lanes = params()["lanes"]
    await start(dut)
    r, seconds, together = rng("candidates"), 0, 0
    for n in range(80):
        if n:  # reset is one
            lost = r.sample(range(lanes), r.randint(0, lanes))  # a clear wins over what comes with it
            offer(dut, r, {lane: CANDIDATE.pack(value=bits(1e30), token=lane) for lane in lost})
            dut.clear.value = 1
        await clock(dut)
        dut.clear.value, dut.valid.value = 0, 0
        given = {
            lane: [
                (r.choice([r.choice(VALUES), number(r)]), r.choice([r.getrandbits(20), NO_ROW]))
                for _ in range(r.randrange(6))
            ]
            for lane in range(lanes)
        }
        words = {lane: [CANDIDATE.pack(value=bits(v), token=t) for v, t in cs] for lane, cs in given.items()}
        for some in merged(r, words):
            offer(dut, r, some)
            together += len(some) > 1
            await clock(dut)
            dut.valid.value = 0
            await clock(dut, r.randrange(2))
        await clock(dut, CANDIDATE_CYCLES)
        two = sorted(set(given[0]), key=lambda c: (-np.float32(c[0]), c[1]))[:2]
        if len(two) == 2 and len(set(given[0])) == len(given[0]):
            await settle()
            assert int(dut.second.value) == (two[1][1] if two[1][1] != NO_ROW else 0)
            assert int(dut.margin.value) == steps(np.float32(two[0][0])) - steps(np.float32(two[1][0]))
            seconds += 1
        for lane, candidates in given.items():
            dut.select.value = lane
            await settle()
            await clock(dut)
            await settle()
            assert int(dut.present.value) == bool(candidates)
            if candidates:
                assert int(dut.token.value) == expected(candidates)
    assert seconds > 20 and (lanes == 1 or together > 100)


def test_steps():
    """Rounded towards 0 to sixteenths, at most 2**15 - 1 of them; they never fall where the number rises."""
    assert [
        steps(np.float32(v)) for v in (0.0, -0.0, 0.0624, 0.0625, -0.0625, -1.999, 7.97, 2047.9375, 2048, -3e38)
    ] == [0, 0, 0, 1, -1, -31, 127, 32767, 32767, -32767]
