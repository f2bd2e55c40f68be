"""Where the n-gram drafter's tables keep a context: index and tag, by XOR of rotated tokens."""

from functools import reduce
from operator import xor

from amaranth.hdl import Const

from hayate.rtl.contract.draft import ROTATIONS, TAG_BITS
from hayate.rtl.contract.words import TOKEN_BITS

MAX_SIZE_LOG2 = TOKEN_BITS - TAG_BITS


def keys(window, size_log2):
    """Per order, shortest first: index and tag of the last tokens; `window` is the last ones, up to three, newest
    first.
    """
    word = Const(0, TOKEN_BITS)
    found = []
    for token, rotations in zip(window, ROTATIONS):
        word = word ^ reduce(xor, (token.rotate_left(by) for by in rotations))
        low = word[:MAX_SIZE_LOG2]
        found.append(
            (reduce(xor, (low[i : i + size_log2] for i in range(0, MAX_SIZE_LOG2, size_log2))), word[MAX_SIZE_LOG2:])
        )
    return found
