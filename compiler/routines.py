"""Routines of the vector unit that a Llama-like layer needs, as micro-operations with symbolic addresses.

An operation that reads what an earlier one writes, in this RUN or the one before, waits for it in hardware.
"""

from hayate.rtl.contract.alu_ops import AluOp
from hayate.rtl.contract.encoding import Micro
from hayate.rtl.contract.isa import ASrc, BSrc, Mode

#: Elements of one iteration of each routine; a temporary region holds this many.
VL = {
    "load": 16,
    "rope": 16,
    "rms": 1,
    "qk": 16,
    "v": 4,
    "scores": 4,
    "softmax": 12,
    "recip": 1,
    "out": 4,
    "resid": 4,
    "swiglu": 8,
    "final": 16,
    "head": 4,
    "sample": 16,
    "temper": 16,
    "floor": 1,
    "count": 64,
    "keep": 16,
}
TEMPS = 16  # largest iteration of a routine that uses T0 to T3

LANDING = {"a_src": ASrc.LANDING, "a_mode": Mode.STREAM}
#: A cycle for each element, and no effect. Reads wait for writes by themselves; only the recorded cycles need it.
NOP = Micro(AluOp.NOP)


def _op(op, a=("T0", 0), b=0, d=None, *, a_mode=Mode.TEMP, b_mode=Mode.TEMP, stream=False, **more):
    """A micro-operation that writes VMEM at `d` (None: does not), element by element of the iteration or, `stream`, of
    the RUN.
    """
    target = {} if d is None else {"d": d, "d_vm": 1, "d_mode": 0 if stream else 1}
    return Micro(op, a=a, b=b, a_mode=a_mode, b_mode=b_mode, **target, **more)


def _scaled(region="RINV", d=("T0", 0), **more):
    """d = landing * VMEM scalar."""
    more = {"d": d, "a": 0, **LANDING, **more}
    return _op(AluOp.MUL, b=(region, 0), b_mode=Mode.SCALAR, **more)


def load(scaled):
    """Embedding row of this tile to the residual stream, and to everyone; `scaled`: by the embedding's exponent
    (EMBX).
    """
    stage = {
        "a": ("EMB", 0),
        "a_src": ASrc.STAGE,
        "a_mode": Mode.STREAM,
        "d": ("X", 0),
        "stream": True,
        "d_send": 1,
        "d_square": 1,
    }
    first = _op(AluOp.MUL, b=("EMBX", 0), b_mode=Mode.SCALAR, **stage) if scaled else _op(AluOp.MOV, **stage)
    return [first]


def rope(head_dim):
    """Cosines and signed sines of each position: coarse angle + fine angle. The tables' rows are head_dim cosines, then
    sines.
    """
    half = head_dim // 2  # words of the stage buffer that the cosines take
    stage = {"a_src": ASrc.STAGE, "a_mode": Mode.TEMP}
    vm = {"b_mode": Mode.STREAM}
    return [
        _op(AluOp.MOV, a=("ROPEF", 0), d=("C", 0), stream=True, **stage),
        _op(AluOp.MOV, a=("ROPEF", half), d=("S", 0), stream=True, **stage),
        _op(AluOp.MUL, a=("ROPEC", 0), b=("C", 0), d=("T0", 0), **stage, **vm),
        _op(AluOp.MUL, a=("ROPEC", half), b=("S", 0), d=("T1", 0), **stage, **vm),
        _op(AluOp.MUL, a=("ROPEC", half), b=("C", 0), d=("T2", 0), **stage, **vm),
        _op(AluOp.MUL, a=("ROPEC", 0), b=("S", 0), d=("T3", 0), **stage, **vm),
        _op(AluOp.ADD, a=("T0", 0), b=("T1", 0), d=("C", 0), stream=True, neg_b=1),
        _op(AluOp.ADD, a=("T2", 0), b=("T3", 0), d=("S", 0), stream=True),
        NOP,
    ]


def rms():
    """RINV = 1 / sqrt(sum of squares / d + eps)."""
    return [
        _op(AluOp.MUL, a=0, a_src=ASrc.SUM, b=("INVD", 0), b_mode=Mode.SCALAR, d=("T0", 0)),
        _op(AluOp.ADD, b=("EPS", 0), b_mode=Mode.SCALAR, d=("T0", 0)),
        _op(AluOp.RSQRT, d=("RINV", 0)),
        NOP,
    ]


def qk():
    """Rows of one head, divided by the norm and rotated; CL and SL are this tile's dimensions of C and S."""
    return [
        _scaled(),
        _op(AluOp.MUL, a=("T0", 0), b=("CL", 0), b_mode=Mode.STREAM, d=("T1", 0)),
        _op(AluOp.MUL, a=("T0", 0), a_mode=Mode.SWAP, b=("SL", 0), b_mode=Mode.STREAM, d=("T2", 0)),
        _op(AluOp.ADD, a=("T1", 0), b=("T2", 0), d_send=1),
    ]


def v():
    """Rows divided by the norm."""
    return [_scaled(d=None, d_send=1)]


def scores():
    """Scores of the visible slots, scaled, and their maximum."""
    return [_scaled("SCALE", d=("SC", 0), stream=True, masked=1, d_max=1)]


def softmax():
    """p = fp16(2^15 exp(score - maximum)), sent, and their sum; hidden slots give 0."""
    stream = {"a_mode": Mode.STREAM}
    return [
        _op(AluOp.ADD, a=("SC", 0), b=0, b_src=BSrc.MAXREG, neg_b=1, d=("SC", 0), stream=True, masked=1, **stream),
        _op(AluOp.EXP, a=("SC", 0), masked=1, d_send=1, d_sum=1, **stream),
    ]


def recip():
    """ZINV = 1 / sum of the numerators."""
    return [_op(AluOp.RECIP, a=0, a_src=ASrc.SUM, d=("ZINV", 0)), NOP]


def out():
    """Attention output: the weighted sum of V divided by the sum of the weights."""
    return [_scaled("ZINV", d=None, d_send=1)]


def resid():
    """Add to the residual stream and send it."""
    more = {"d_send": 1, "d_square": 1, **LANDING}
    return [_op(AluOp.ADD, a=0, b=("X", 0), b_mode=Mode.STREAM, d=("X", 0), stream=True, **more)]


def swiglu():
    """silu(gate) * up of a unit's rows: 4 gate rows, then 4 up rows (LANDING in TEMP mode undoes the interleave)."""
    rows = {"a_mode": Mode.TEMP}
    return [
        _scaled(d=("T0", 0), **rows),
        _scaled(d=("T1", 0), **{**rows, "a": 4}),
        _op(AluOp.SILU, a=("T0", 0), d=("T0", 0)),
        _op(AluOp.MUL, a=("T0", 0), b=("T1", 0), d_send=1),
    ]


def final():
    """The residual stream times the last norm's gain, for a head that shares the embedding."""
    return [_op(AluOp.MUL, a=("X", 0), a_mode=Mode.STREAM, b=("GAIN", 0), b_mode=Mode.STREAM, d_send=1)]


def head():
    """Logits, and the best of them."""
    return [_scaled(d=None, d_arg=1, d_log=1)]


def sample():
    """Logits; z = logit * INVT, 1 / temperature; and the best z + noise."""
    return [
        _scaled(d_log=1),
        _op(AluOp.MUL, b=("INVT", 0), b_mode=Mode.SCALAR, d=("T0", 0)),
        _op(AluOp.ADD, b=0, b_src=BSrc.NOISE, d_arg=1),
    ]


def temper():
    """Logits; z, kept in Z for the filters; its maximum."""
    return [
        _scaled(d_log=1),
        _op(AluOp.MUL, b=("INVT", 0), b_mode=Mode.SCALAR, d=("T0", 0)),
        _op(AluOp.MOV, d=("Z", 0), stream=True, d_max=1, filtered=1),
    ]


def floor():
    """Min-p's floor: the largest z + LNP, ln P."""
    return [_op(AluOp.ADD, a=("LNP", 0), a_mode=Mode.SCALAR, b=0, b_src=BSrc.MAXREG, d_floor=1)]


def count():
    """Another look at each z, for the next digit of top-k's threshold."""
    return [_op(AluOp.MOV, a=("Z", 0), a_mode=Mode.STREAM, filtered=1)]


def keep():
    """The best z + noise of those that the filters keep."""
    return [_op(AluOp.ADD, a=("Z", 0), a_mode=Mode.STREAM, b=0, b_src=BSrc.NOISE, d_arg=1, filtered=1)]


def build(head_dim, *, tied, scaled):
    """(micros, routines): the routines of a model one after the other, and name -> (first, length)."""
    bodies = {
        "load": load(scaled),
        "rope": rope(head_dim),
        "rms": rms(),
        "qk": qk(),
        "v": v(),
        "scores": scores(),
        "softmax": softmax(),
        "recip": recip(),
        "out": out(),
        "resid": resid(),
        "swiglu": swiglu(),
        **({"final": final()} if tied else {}),
        "head": head(),
        "sample": sample(),
        "temper": temper(),
        "floor": floor(),
        "count": count(),
        "keep": keep(),
    }
    micros: list[Micro] = []
    routines: dict[str, tuple[int, int]] = {}
    for name, body in bodies.items():
        routines[name] = (len(micros), len(body))
        micros += body
    return tuple(micros), routines
