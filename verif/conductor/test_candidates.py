"""Candidate reduction against numpy: order, ties and zeros of either sign."""

import numpy as np

from hayate.rtl.conductor.candidates import Candidates
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, settle, start

BENCH = Bench(lambda lanes: Candidates(lanes), params=[{"lanes": 4}, {"lanes": 1}])
VALUES = [0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 3.4028235e38, -3.4028235e38, 1.0000001, 2.5]


def bits(value):
    return int(np.float32(value).view(np.uint32))


def expected(candidates):
    """Token of the largest value, the lowest of those that tie."""
    best = max(np.float32(v) for v, _ in candidates)
    return min(t for v, t in candidates if np.float32(v) == best)


@BENCH.test()
async def largest_wins_and_ties_go_low(dut):
    lanes = params()["lanes"]
    await start(dut)
    r = rng("candidates")
    for _ in range(40):
        dut.clear.value = 1
        await clock(dut)
        dut.clear.value = 0
        given = {lane: [(r.choice(VALUES), r.getrandbits(20)) for _ in range(r.randrange(6))] for lane in range(lanes)}
        flat = [(lane, *c) for lane, cs in given.items() for c in cs]
        r.shuffle(flat)
        for lane, value, token in flat:
            dut.valid.value, dut.lane.value, dut.value.value, dut.token_in.value = 1, lane, bits(value), token
            await clock(dut)
            dut.valid.value = 0
            await clock(dut, r.randrange(2))
        for lane, candidates in given.items():
            dut.select.value = lane
            await settle()
            await clock(dut)
            await settle()
            assert int(dut.present.value) == bool(candidates)
            if candidates:
                assert int(dut.token.value) == expected(candidates)
