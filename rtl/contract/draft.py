"""Drafting: who proposes tokens for a pass to verify, and the sizes of the n-gram tables, shared by hardware and models."""

from enum import IntEnum


class Drafter(IntEnum):
    """Who proposes the nodes of a pass behind its root."""

    OFF = 0     # nobody: one token a pass
    NGRAM = 1   # tables of what followed the last 3, 2 and 1 tokens, in prompt and output
    NESTED = 2  # the model itself, its weights read as INT4


#: log2 of the entries of each n-gram table.
TABLE_LOG2 = 9

#: nodes that a pass of M spends on the alternative, where there is one; the others go to the first choice's chain.
BRANCH = {1: 0, 2: 0, 4: 0, 8: 1}
