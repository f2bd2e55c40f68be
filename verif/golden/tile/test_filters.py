"""The golden filters against their definition, written down again for one lane, on every small vocabulary."""

import math
from itertools import product

import numpy as np
import pytest

from hayate.golden.conductor.sample import log_share
from hayate.golden.numerics import fp32
from hayate.golden.tile.filters import survivors

MAX = float(np.finfo(np.float32).max)
VALUES = (-MAX, -1.5, -1e-45, -0.0, 0.0, 1e-45, 1.0, 1.5)


def kept(z, floor, k):
    """By Python's comparison and sort, token by token."""
    order = sorted(range(len(z)), key=lambda token: (-float(z[token]), token))
    return [
        (floor is None or float(z[token]) >= floor) and (not k or order.index(token) < k) for token in range(len(z))
    ]


@pytest.mark.parametrize("tokens", [1, 2, 3, 4])
def test_every_small_vocabulary(tokens):
    """Ties, zeros of both signs, all equal, k of 1, of all and of more; a floor below, at and above what is there.
    Lanes do not meet.
    """
    every = np.array(list(product(VALUES, repeat=tokens)), np.float32).T  # each vocabulary is a lane
    floors = [None, *VALUES]
    for k, floor in product((0, 1, 2, 3, 4, 64), floors):
        found = survivors(every, None if floor is None else np.full(every.shape[1], floor, np.float32), k)
        for lane in range(every.shape[1]):
            exact = None if floor is None else float(np.float32(floor))
            assert found[:, lane].tolist() == kept(every[:, lane], exact, k), (every[:, lane], floor, k)


def test_exactly_k_are_kept():
    """However many are equal."""
    random = np.random.default_rng(1)
    for _ in range(200):
        z = random.choice(random.standard_normal(5), (70, 3)).astype(np.float32)
        k = int(random.integers(1, 65))
        assert (survivors(z, None, k).sum(axis=0) == k).all()
    assert survivors(np.zeros((70, 1), np.float32), None, 64)[:, 0].tolist() == [True] * 64 + [False] * 6


@pytest.mark.parametrize("p", [1.0, 0.999, 0.5, 0.05, 1e-3, 1e-30, 5e-324])
def test_the_floor_is_a_share_of_the_largest_odds(p):
    """Of softmax(z) in double precision, but for the roundings of ln P and of the floor."""
    random = np.random.default_rng(2)
    for scale in (0.01, 1, 10, 400):
        z = (scale * random.standard_normal((400, 4))).astype(np.float32)
        floor = fp32.add(*np.broadcast_arrays(z.max(axis=0), log_share(p)))[0]
        found, below = survivors(z, floor), (z.astype(np.float64) - z.max(axis=0) - math.log(p))
        margin = 2.0**-23 * (np.abs(z).max() + 2 * abs(math.log(p)))
        assert found[below > margin].all() and not found[below < -margin].any()
        assert found[z.argmax(axis=0), range(4)].all(), "the likeliest token is always kept"
    if p == 1:
        assert (found == (z == z.max(axis=0))).all()
