"""Gumbel noise of a token at a position, drawn by a seed: bit-exact definitions in integer arithmetic.

The token that maximizes logit/T + noise is a sample of softmax(logits/T) (the Gumbel-max trick).
`hayate.rtl.contract.noise` has the constants, states the layout of key and counter, and how n becomes noise.
"""

import numpy as np

from hayate.rtl.contract import noise as contract

_WORD = np.uint64(0xFFFFFFFF)


def threefry2x32(counter, key, rounds=contract.ROUNDS):
    """Threefry-2x32 of a pair of 32-bit counter words and a pair of key words, arrays of any shape: a pair of uint64
    below 2^32.
    """
    a, b = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = (np.asarray(word, np.uint64) for word in key)
    schedule = (k0, k1, k0 ^ k1 ^ np.uint64(contract.PARITY))
    a, b = a + k0 & _WORD, b + k1 & _WORD
    for turn in range(1, rounds + 1):
        distance = np.uint64(contract.ROTATIONS[(turn - 1) % 8])
        a = a + b & _WORD
        b = (b << distance | b >> np.uint64(32) - distance) & _WORD ^ a
        if turn % 4 == 0:
            step = turn // 4
            a = a + schedule[step % 3] & _WORD
            b = b + schedule[(step + 1) % 3] + np.uint64(step) & _WORD
    return a, b


def bits(seed, position, token):
    """n, uint64 below 2^32, of a 64-bit seed, a 16-bit position and a 20-bit token; arrays of any shape."""
    seed = np.asarray(seed, np.uint64)
    return threefry2x32((token, position), (seed & _WORD, seed >> np.uint64(32)))[0]


def transform(n):
    """float32 -ln(-ln u) for u = (n + 1/2) / 2^32; never falls as n rises.

    Always finite: -3.14 … 22.88. The absolute error is below 2^-20, of g >= 16 (n > 2^32 - 484) below 1.15 · 2^-20.
    """
    n = np.asarray(n, np.int64)
    top = n >> 31
    w = 2 * np.where(top == 1, ~n & 0x7FFFFFFF, n) + 1
    length = np.frexp(w.astype(np.float64))[1].astype(np.int64)  # exact in a double
    z = np.minimum(32 - length, contract.SHIFT_MAX)
    group = z + (length < 32 - contract.SHIFT_MAX)
    w = w << z
    row = (top << 5 | group) << contract.SEGMENT_BITS | w >> 26 & (1 << contract.SEGMENT_BITS) - 1
    along = (top == 0) & (w >= 3 << 30) & (z == 0)
    u = w >> 8 & (1 << contract.U_BITS) - 1
    u = np.where(along, u, u ^ (1 << contract.U_BITS) - 1)
    c0, c1, c2 = contract.rows()[row].T if row.ndim else contract.rows()[row]
    product = (c1.T + (c2.T * u >> contract.T_SHIFT)) * u >> contract.P_SHIFT
    grid = c0.T + np.where((top == 0) & ~along, -product, product) >> contract.GRID_SHIFT
    # The grid is 2^-21. Its numbers have up to 26 bits, of which FP32 keeps the first 24.
    drop = np.where(grid >= 1 << 25, 2, np.where(grid >= 1 << 24, 1, 0))
    return ((grid >> drop << drop) * 2.0 ** (contract.GRID_SHIFT - contract.P_FRACTION)).astype(np.float32)


def noise(seed, position, token):
    """float32 noise of `token` at absolute `position`; arguments as for `bits`."""
    return transform(bits(seed, position, token))
