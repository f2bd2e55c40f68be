"""A lane's arithmetic: what each operation of the vector unit gives, bit-exact."""

import numpy as np

from hayate.golden.numerics import elementary, fp32
from hayate.golden.numerics.silu import silu
from hayate.rtl.contract.alu_ops import AluOp


def _exact(y):
    return y, np.zeros(np.shape(y), bool)


#: operation -> its function of float32 a and b, to (result, whether it saturated).
OPERATIONS = {
    AluOp.NOP: lambda a, b: _exact(np.zeros(np.shape(a), np.float32)),
    AluOp.MUL: fp32.mul,
    AluOp.ADD: fp32.add,
    AluOp.MAX: fp32.maximum,
    AluOp.EXP: lambda a, b: elementary.exp(a),
    AluOp.RECIP: lambda a, b: elementary.recip(a),
    AluOp.RSQRT: lambda a, b: elementary.rsqrt(a),
    AluOp.MOV: lambda a, b: _exact(a),
    AluOp.SILU: lambda a, b: silu(a),
}


def compute(op, a, b):
    """(result, saturated) of `AluOp` `op` on finite float32 arrays; b is not looked at where `op` takes one operand."""
    return OPERATIONS[op](a, b)
