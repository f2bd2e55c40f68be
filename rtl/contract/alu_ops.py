"""Operations of one vector-unit lane, and how long they take."""

from enum import IntEnum


class AluOp(IntEnum):
    """What a lane computes of its operands a and b, after `neg_a` and `neg_b` have flipped their signs."""

    NOP = 0
    """+0. Takes a place in the pipeline."""
    MUL = 1
    """a · b"""
    ADD = 2
    """a + b"""
    MAX = 3
    """The larger of a and b; a where they are equal (-0 equals +0)."""
    EXP = 4
    """e^a"""
    RECIP = 5
    """1 / a"""
    RSQRT = 6
    """1 / √a"""
    MOV = 7
    """a"""
    SILU = 8
    """a / (1 + e^-a)"""


OPERANDS = {
    AluOp.NOP: 0,
    AluOp.MUL: 2,
    AluOp.ADD: 2,
    AluOp.MAX: 2,
    AluOp.EXP: 1,
    AluOp.RECIP: 1,
    AluOp.RSQRT: 1,
    AluOp.MOV: 1,
    AluOp.SILU: 1,
}
"""How many operands each of them reads: none, a, or a and b."""

TWO_OPERANDS = tuple(op for op, count in OPERANDS.items() if count == 2)

ALU_OP_BITS = 6
"""Width of an operation code."""

ALU_LATENCY = 6
"""Clock cycles from an operation at the lane's inputs to its result at the outputs, the same for every operation."""
