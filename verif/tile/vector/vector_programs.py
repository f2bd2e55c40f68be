"""The routines that tiles run, over a small vector memory, for benches of the vector engine."""

import dataclasses

from hayate.rtl.contract.alu_ops import AluOp
from hayate.rtl.contract.encoding import Micro
from hayate.rtl.contract.isa import ASrc, BSrc, Mode

# Vector memory.
X, C, S, SC = 0, 64, 96, 256  # behind SC: room for the scores of several rounds
T = [192 + 8 * k for k in range(6)]
RINV, ZINV, INVD, EPS, SCALE, GAIN, LNP = 240, 241, 242, 243, 244, 245, 246
VMEM_DEPTH = 512
# Stage buffer, words: an embedding row of 64 elements, two rows of rotary tables of 2 x 16 FP32.
EMB, ROPE_C, ROPE_F = 0, 16, 32
STAGE_DEPTH = 64
HEAD_DIM = 16

STREAM, TEMP, SCALAR, SWAP = Mode.STREAM, Mode.TEMP, Mode.SCALAR, Mode.SWAP
MUL, ADD, EXP, RECIP, RSQRT, MOV = AluOp.MUL, AluOp.ADD, AluOp.EXP, AluOp.RECIP, AluOp.RSQRT, AluOp.MOV
SILU = AluOp.SILU


def _op(op, a, b=None, to=None, **flags):
    """Micro-operation: `a`, `b` are (address, mode) or a source; `to` is (address, mode)."""
    fields = {"op": op, **flags}
    if isinstance(a, tuple):
        fields |= {"a": a[0], "a_mode": a[1]}
        fields |= {"a_src": a[2]} if len(a) == 3 else {}
    if isinstance(b, tuple):
        fields |= {"b": b[0], "b_mode": b[1]}
    if b in ("max", "noise"):
        fields |= {"b_src": {"max": BSrc.MAXREG, "noise": BSrc.NOISE}[b]}
    if to is not None:
        fields |= {"d_vm": 1, "d": to[0], "d_mode": int(to[1] == TEMP)}
    return Micro(**fields)


def _temp(k):
    return (T[k], TEMP)


def _stage(at, mode):
    return (at, mode, ASrc.STAGE)


def _row(offset=0, mode=STREAM):
    return (offset, mode, ASrc.LANDING)


_SUM = (0, SCALAR, ASrc.SUM)
_ROTATE = [
    _op(MUL, _temp(0), (C, STREAM), _temp(1)),
    _op(MUL, (T[0], SWAP), (S, STREAM), _temp(2)),
    _op(ADD, _temp(1), _temp(2), _temp(0)),
]

ROUTINES = {
    "rope": [
        _op(MOV, _stage(ROPE_F, TEMP), to=_temp(0)),
        _op(MOV, _stage(ROPE_F + HEAD_DIM // 2, TEMP), to=_temp(1)),
        _op(MUL, _stage(ROPE_C, TEMP), _temp(0), _temp(2)),
        _op(MUL, _stage(ROPE_C + HEAD_DIM // 2, TEMP), _temp(1), _temp(3)),
        _op(ADD, _temp(2), _temp(3), (C, STREAM), neg_b=1),
        _op(MUL, _stage(ROPE_C + HEAD_DIM // 2, TEMP), _temp(0), _temp(2)),
        _op(MUL, _stage(ROPE_C, TEMP), _temp(1), _temp(3)),
        _op(ADD, _temp(2), _temp(3), (S, STREAM)),
    ],
    "load": [_op(MOV, _stage(EMB, STREAM), to=(X, STREAM), d_send=1, d_square=1)],
    "rms": [
        _op(MUL, _SUM, (INVD, SCALAR), _temp(0)),
        _op(ADD, _temp(0), (EPS, SCALAR), _temp(0)),
        _op(RSQRT, _temp(0), to=(RINV, STREAM)),
    ],
    "rotated": [_op(MUL, _row(), (RINV, SCALAR), _temp(0)), *_ROTATE, _op(MOV, _temp(0), d_send=1)],
    "scaled": [_op(MUL, _row(), (RINV, SCALAR), d_send=1)],
    "scores": [_op(MUL, _row(), (SCALE, SCALAR), (SC, STREAM), masked=1, d_max=1)],
    "softmax": [
        _op(ADD, (SC, STREAM), "max", (SC, STREAM), neg_b=1, masked=1),
        _op(EXP, (SC, STREAM), masked=1, d_send=1, d_sum=1),
    ],
    "recip": [_op(RECIP, _SUM, to=(ZINV, STREAM))],
    "out": [_op(MUL, _row(), (ZINV, SCALAR), _temp(0), d_send=1)],
    "residual": [_op(ADD, _row(), (X, STREAM), (X, STREAM), d_send=1, d_square=1)],
    "swiglu": [
        _op(MUL, _row(0, TEMP), (RINV, SCALAR), _temp(0)),
        _op(MUL, _row(4, TEMP), (RINV, SCALAR), _temp(1)),
        _op(SILU, _temp(0), to=_temp(0)),
        _op(MUL, _temp(0), _temp(1), d_send=1),
    ],
    "final": [_op(MUL, (X, STREAM), (GAIN, SCALAR), d_send=1)],
    "head": [_op(MUL, _row(), (RINV, SCALAR), d_arg=1, d_log=1)],
    "sample": [
        _op(MUL, _row(), (RINV, SCALAR), _temp(0), d_log=1),
        _op(MUL, _temp(0), (SCALE, SCALAR), _temp(0)),
        _op(ADD, _temp(0), "noise", d_arg=1),
    ],
    "temper": [
        _op(MUL, _row(), (RINV, SCALAR), _temp(0), d_log=1),
        _op(MUL, _temp(0), (SCALE, SCALAR), _temp(0)),
        _op(MOV, _temp(0), to=(SC, STREAM), d_max=1, filtered=1),
    ],
    "floor": [_op(ADD, (LNP, SCALAR), "max", d_floor=1)],
    "count": [_op(MOV, (SC, STREAM), filtered=1)],
    "keep": [_op(ADD, (SC, STREAM), "noise", d_arg=1, filtered=1)],
    "show": [_op(MOV, (X, STREAM), d_arg=1, d_log=1)],
    "largest": [_op(AluOp.MAX, (X, STREAM), (SC, STREAM), (X, STREAM)), _op(AluOp.NOP, (X, STREAM), to=_temp(5))],
    "copy": [_op(MOV, (SC, STREAM), to=(X, STREAM))],
}

#: name -> (first micro-operation, number of them)
PLACES = {}
MICROS = []
for _name, _routine in ROUTINES.items():
    PLACES[_name] = (len(MICROS), len(_routine))
    MICROS += _routine

FIELDS = [dataclasses.asdict(_m) for _m in MICROS]
