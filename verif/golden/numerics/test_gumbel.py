"""Golden noise: published answers of the generator, the error against decimal arithmetic, and what sampling needs of
it.
"""

from decimal import Context, Decimal

import numpy as np
import pytest

from hayate.golden.numerics import gumbel
from hayate.rtl.contract import noise as contract

LAST = (1 << 32) - 1
GROUPS = contract.SHIFT_MAX  # rows of group z hold m of 31 - z bits; those of the last two groups hold one m each
EULER = 0.5772156649015329
PI = (0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344)
ZEROS, ONES = ((0, 0),) * 2, ((LAST, LAST),) * 2

# The distribution of Random123, tests/kat_vectors: rounds, (counter, key), result.
KNOWN = [
    (13, ZEROS, (0x9D1C5EC6, 0x8BD50731)),
    (13, ONES, (0xFD36D048, 0x2D17272C)),
    (13, PI, (0xBA3E4725, 0xF27D669E)),
    (20, ZEROS, (0x6B200159, 0x99BA4EFE)),
    (20, ONES, (0x1CB996FC, 0xBB002BE7)),
    (20, PI, (0xC4923A9C, 0x483DF7A0)),
    (32, ZEROS, (0xCEE3D47E, 0xA23DFD5C)),
    (32, ONES, (0x6E2FE0D0, 0xB1B76F82)),
    (32, PI, (0xE2827716, 0xC3C05CDF)),
]


def from_the_paper(rounds, counter, key):
    """Threefry-2x32 in Python integers."""
    keys, x = [*key, 0x1BD11BDA ^ key[0] ^ key[1]], list(counter)
    for r in range(rounds + 1):
        if r % 4 == 0:
            x = [(x[i] + keys[(r // 4 + i) % 3] + i * (r // 4)) % 2**32 for i in (0, 1)]
        if r < rounds:
            distance = (13, 15, 26, 6, 17, 29, 16, 24)[r % 8]
            x[0] = (x[0] + x[1]) % 2**32
            x[1] = (x[1] * 2**distance % 2**32 + x[1] // 2 ** (32 - distance)) ^ x[0]
    return tuple(x)


@pytest.mark.parametrize("rounds, block, result", KNOWN)
def test_known_answers(rounds, block, result):
    counter, key = block
    assert (
        tuple(int(word) for word in gumbel.threefry2x32(counter, key, rounds))
        == result
        == from_the_paper(rounds, counter, key)
    )


def test_n_is_the_first_word_of_its_place():
    seed, position, token = 0x0123456789ABCDEF, 0xFEDC, 0xFFFFE
    assert int(gumbel.bits(seed, position, token)) == from_the_paper(13, (token, position), (0x89ABCDEF, 0x01234567))[0]
    grid = gumbel.bits(seed, np.arange(5)[:, None], np.arange(7))
    assert grid.shape == (5, 7) and grid[3, 4] == gumbel.bits(seed, 3, 4)


def test_every_input_bit_changes_half_of_n():
    generator = np.random.default_rng(1)
    count = 20_000
    place = {
        name: generator.integers(0, 1 << width, count, np.uint64, width == 64)
        for name, width in (("seed", 63), ("position", 16), ("token", 20))
    }
    n = gumbel.bits(**place)
    for name, width in (("seed", 64), ("position", 16), ("token", 20)):
        for bit in range(width):
            changed = n ^ gumbel.bits(**{**place, name: place[name] ^ np.uint64(1 << bit)})
            share = (changed[:, None] >> np.arange(32, dtype=np.uint64) & np.uint64(1)).mean(axis=0)
            assert np.abs(share - 0.5).max() < 6 * 0.5 / count**0.5, f"bit {bit} of {name}"


def exactly(n):
    """-ln(-ln u) of integers n in decimal arithmetic of 40 digits, as doubles."""
    c = Context(prec=40)
    return np.array([float(-c.ln(-c.ln(c.divide(Decimal(2 * int(v) + 1), Decimal(1 << 33))))) for v in n])


def in_doubles(n):
    """The same in doubles, with 1 - u taken exactly."""
    top = n >> 31 == 1
    x = (np.where(top, LAST - n, n) + 0.5) / 2.0**32
    return -np.log(-np.where(top, np.log1p(-x), np.log(x)))


def extremes():
    """The ends of the range, and every power of two and its neighbours from both ends."""
    low = np.unique([m for i in range(32) for m in ((1 << i) - 1, 1 << i, (1 << i) + 1)] + list(range(520)))
    return np.concatenate([low, LAST - low])


def assert_close(n, true):
    error = np.abs(gumbel.transform(n).astype(np.float64) - true) * 2.0**20
    assert (error < np.where(true < 16, 1, 1.31)).all(), f"{error.max()} at {n[error.argmax()]:#x}"
    return error[true < 16].max(initial=0), error[true >= 16].max(initial=0)


def test_the_error_is_within_the_bound():
    generator = np.random.default_rng(2)
    n = np.concatenate(
        [
            extremes(),
            generator.integers(0, 1 << 32, 5000),
            [LAST * s ^ int(v) for s in (0, 1) for i in range(31) for v in generator.integers(1 << i, 2 << i, 100)],
        ]
    )
    true = exactly(n)
    assert np.abs(in_doubles(n) - true).max() < 1e-14
    low, high = assert_close(n, true)
    n = generator.integers(0, 1 << 32, 1 << 21)
    low = max(low, assert_close(n, in_doubles(n))[0])
    print(f"largest error below 16: {low:.3f} · 2^-20, from 16 on: {high:.3f} · 2^-20")


def cells():
    """All runs of n with equal u and row, as arrays of their first and last n, in chunks in which n rises."""
    for z in reversed(range(GROUPS + 1)):
        size = 1 << max(7 - z, 0)
        for first in range(1 << 30 - z if z < GROUPS else 0, 2 << 30 - z, 1 << 27 - max(z - 7, 0)):
            first = np.arange(first, min(first + (1 << 27 - max(z - 7, 0)), 2 << 30 - z), size)
            yield first, first + size - 1


@pytest.mark.nightly
def test_every_n_is_within_the_bound_and_none_falls():
    low = high = 0.0
    for mirror in (False, True):
        before = -np.inf
        for first, last in cells():
            y = gumbel.transform(LAST - first if mirror else first)
            assert np.array_equal(y, gumbel.transform(LAST - last if mirror else last))
            sign = -1 if mirror else 1
            assert (
                np.isfinite(y).all() and (np.diff(sign * y) >= 0).all() and (before == -np.inf or sign * y[0] >= before)
            )
            before = sign * y[-1]
            for n in (first, last):
                n = LAST - n if mirror else n
                found = assert_close(n, in_doubles(n))
                low, high = max(low, found[0]), max(high, found[1])
    print(f"largest error below 16: {low:.3f} · 2^-20, from 16 on: {high:.3f} · 2^-20")


def test_it_never_falls_from_row_to_row():
    """Within a row p never falls, as neither c1 nor c2 is negative; so the rows' ends are all there is to look at."""
    assert (contract.rows()[:, 1:] >= 0).all()
    starts = [(segment << 25 >> z) for z in range(GROUPS + 1) for segment in range(32, 64)] + list(range(32))
    starts = np.unique(starts)
    n = np.unique(
        np.concatenate([starts, starts[1:] - 1, LAST - starts, LAST - starts[1:] + 1, [(1 << 31) - 1, 1 << 31]])
    )
    y = gumbel.transform(n)
    assert (np.diff(y) >= 0).all()
    generator = np.random.default_rng(3)
    n = np.sort(generator.integers(0, 1 << 32, 1 << 20))
    assert (np.diff(gumbel.transform(n)) >= 0).all() and (
        gumbel.transform(n) <= gumbel.transform(np.minimum(n + 1, LAST))
    ).all()


def test_the_ends():
    y = gumbel.transform([0, LAST])
    assert y.dtype == np.float32 and np.isfinite(y).all()
    assert np.abs(y - [-np.log(33 * np.log(2)), 33 * np.log(2)]).max() < 2.0**-20
    assert gumbel.transform(5).shape == () and gumbel.transform([[5, 6]]).shape == (1, 2)


def test_mean_and_variance():
    count = 1_000_000
    g = gumbel.noise(17, np.arange(count) // 1000, np.arange(count) % 1000).astype(np.float64)
    variance = np.pi**2 / 6
    assert abs(g.mean() - EULER) < 4 * (variance / count) ** 0.5
    # The fourth central moment of the distribution is 5.4 times the variance squared.
    assert abs(g.var() - variance) < 4 * variance * (4.4 / count) ** 0.5


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_argmax_is_a_sample_of_the_softmax(temperature):
    """Chi-square over 12 tokens, at all positions of a text of 65,536, for three seeds."""
    logits = np.random.default_rng(5).normal(0, 1.5, 12) / temperature
    share = np.exp(logits) / np.exp(logits).sum()
    positions = 1 << contract.POSITION_BITS
    for seed in (0, 1, 1 << 63):
        drawn = (logits + gumbel.noise(seed, np.arange(positions)[:, None], np.arange(12))).argmax(axis=1)
        expected = share * positions
        chi = ((np.bincount(drawn, minlength=12) - expected) ** 2 / expected).sum()
        # 36: p = 2·10^-4
        assert expected.min() > 5 and chi < 36, f"seed {seed}: chi-square {chi:.1f} of 11 degrees of freedom"


def test_positions_and_seeds_draw_independently():
    """Correlation of neighbours in position, token and seed."""
    g = gumbel.noise(np.arange(64)[:, None, None], np.arange(64)[:, None], np.arange(64)).astype(np.float64)
    g = (g - g.mean()) / g.std()
    for axis in range(3):
        near = np.take(g, range(63), axis) * np.take(g, range(1, 64), axis)
        assert abs(near.mean()) < 4 / near.size**0.5, f"axis {axis}"
