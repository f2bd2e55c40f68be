"""Candidate reduction against numpy: order, ties and zeros of either sign, and how far the second best is from the
best.
"""

import numpy as np

from hayate.golden.tile.sequencer import steps
from hayate.rtl.conductor.candidates import CANDIDATE_CYCLES, Candidates
from hayate.rtl.contract.isa import NO_ROW
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, settle, start
from hayate.verif.bench.reset import resets

BENCH = Bench(lambda lanes: Candidates(lanes), params=[{"lanes": 4}, {"lanes": 1}])
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


@BENCH.test()
@resets(within=60, times=8)
async def largest_wins_and_ties_go_low(dut):
    lanes = params()["lanes"]
    await start(dut)
    r, seconds = rng("candidates"), 0
    for n in range(80):
        dut.clear.value = int(n > 0)  # reset is one
        await clock(dut)
        dut.clear.value = 0
        given = {
            lane: [
                (r.choice([r.choice(VALUES), number(r)]), r.choice([r.getrandbits(20), NO_ROW]))
                for _ in range(r.randrange(6))
            ]
            for lane in range(lanes)
        }
        flat = [(lane, *c) for lane, cs in given.items() for c in cs]
        r.shuffle(flat)
        for lane, value, token in flat:
            dut.valid.value, dut.lane.value, dut.value.value, dut.token_in.value = 1, lane, bits(value), token
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
    assert seconds > 20


def test_steps():
    """Rounded towards 0 to sixteenths, at most 2**15 - 1 of them; they never fall where the number rises."""
    assert [
        steps(np.float32(v)) for v in (0.0, -0.0, 0.0624, 0.0625, -0.0625, -1.999, 7.97, 2047.9375, 2048, -3e38)
    ] == [0, 0, 0, 1, -1, -31, 127, 32767, 32767, -32767]
