"""Drafting: who proposes tokens for a pass to verify, and the sizes of the n-gram tables, shared by hardware and
models.
"""

from enum import IntEnum

from hayate.rtl.contract.words import TOKEN_BITS


class Drafter(IntEnum):
    """Who proposes the nodes of a pass behind its root."""

    OFF = 0  # nobody: one token a pass
    NGRAM = 1  # tables of what followed the last 3, 2 and 1 tokens, in prompt and output
    NESTED = 2  # the model itself, its weights read as INT4
    DRAFT = 3  # a second, smaller model with weights and a KV cache of its own

    @property
    def takes_passes(self):
        """Whether a node that it drafts takes a pass."""
        return self in (Drafter.NESTED, Drafter.DRAFT)


#: log2 of the entries of each n-gram table.
TABLE_LOG2 = 9

#: where a table keeps a context: bits of a token, and of the hash's tag; for the newest token of a context, the one
#: before it, and so on, the rotations of it that are XORed together.
TAG_BITS = 8
ROTATIONS = ((0, 4, 17), (5, 12), (2, 6, 13))

BASE_LOG2 = (9, 12)  # log2 of the entries of the base tables for contexts of one token and of two

#: an entry of a base table, from bit 0 on: field -> width. Its address in LOAD space NGRAM is the index, in the table
#: of one token with bit BASE_ONE_BIT set. Of one token, the index is its low bits and the tag the others; of two, both
#: are those of the n-gram tables.
BASE_ENTRY = {"token": TOKEN_BITS, "tag": TOKEN_BITS - BASE_LOG2[0], "valid": 1}
BASE_ONE_BIT = BASE_LOG2[1]

#: nodes that a pass of M spends on alternatives, where there are any; the others go to the first choice's chain.
BRANCH = {1: 0, 2: 0, 4: 1, 8: 1}


def default_branch(drafter, lanes):
    """Nodes for alternatives where nobody says how many. A second best token earns less than its node costs, see
    docs/speculation.md.
    """
    return BRANCH.get(lanes, 0) if drafter == Drafter.NGRAM else 0


#: the most alternatives of a drafter that takes passes: second best tokens where they are nearest to the best. How near
#: is told in steps of a score: its magnitude times 2**STEP_SHIFT, rounded down, at most STEP_MOST, with its sign.
MOST_SECONDS = 2
STEP_SHIFT, STEP_BITS = 4, 15
STEP_MOST = (1 << STEP_BITS) - 1

#: utility control: a pass with one node costs COST_UNIT; bits of the cost of a pass with more nodes, and of a pass that
#: drafts a node.
COST_UNIT, COST_BITS, DRAFT_COST_BITS = 256, 16, 12

#: chances have 16 bits, of which the upper 8 count. That a first node is right begins at 1/2, of a drafter with passes
#: of its own at 0.9, and that a chain goes on at 3/4: trees begin short, and one that is always wrong costs little.
#: Each observation moves a chance 1/8 of the way to 0 or 1, and a chain of a single node that is accepted, which says
#: little of a second one, moves that chance 1/64 of the way up.
CHANCE_BITS = 16
FIRST_CHANCE, OWN_CHANCE, MORE_CHANCE = 128 << 8, 230 << 8, 192 << 8
CHANCE_SHIFT, DOUBT_SHIFT = 3, 6

#: a drafter with passes of its own that is switched off drafts one node after so many passes, and after twice as many
#: each time that this is wrong, up to the most.
RETRY_PASSES, RETRY_MOST = 32, 128
