"""A Llama in numpy float32, many windows at once, with each matrix in the format of one's choice: what calibration
measures on.

It follows the machine where that decides an error: norm gains are folded into the matrices, a matrix reads FP16 values,
MXINT8 is formed of them, and 1/rms multiplies afterwards. It does not follow the machine's roundings to the bit.
"""

from dataclasses import dataclass

import numpy as np

from hayate.compiler.fold import FP16_MAX, to_fp16
from hayate.rtl.contract.precision import MX_BLOCK, MX_FRACTION, MX_MAX, MX_MIN_EXPONENT


@dataclass(frozen=True)
class Weights:
    """One matrix in one format: float32 `values` [rows, K] that multiply FP16 activations or, where `integer`, MXINT8
    ones.
    """

    values: np.ndarray
    integer: bool = False


def mxint8(x):
    """float32 `x` [..., K] as MXINT8 gives it back: blocks of 32 from the start of the last axis, a last one may be
    short.
    """
    size = x.shape[-1]
    blocks = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -size % MX_BLOCK)]).reshape(*x.shape[:-1], -1, MX_BLOCK)
    top = np.abs(blocks).max(axis=-1, keepdims=True)
    exponent = np.maximum(np.frexp(top)[1] - 1, MX_MIN_EXPONENT)
    exponent[top == 0] = MX_MIN_EXPONENT
    q = np.clip(np.rint(np.ldexp(blocks, MX_FRACTION - exponent)), -MX_MAX, MX_MAX)
    return np.ldexp(q, exponent - MX_FRACTION).reshape(*x.shape[:-1], -1)[..., :size].astype(np.float32)


class Forward:
    """A checkpoint (`checkpoint.Checkpoint`) opened for forward passes.

    Members: ``matrices``: descriptor name -> float64 [rows, K], gains folded in, rows in the checkpoint's order (a
    layer's wgu is gate rows, then up rows). ``shape``. ``clipped``: how many activations have left FP16's range so far.
    """

    def __init__(self, checkpoint):
        self.shape = s = checkpoint.shape
        d, q, kv = s.hidden, s.heads * s.head_dim, s.kv_heads * s.head_dim
        gain = checkpoint.vector("model.norm", d)
        embedding = checkpoint.matrix("model.embed_tokens", s.vocab, d)
        stored = to_fp16(embedding)
        self._embedding = np.ldexp(stored.half.astype(np.float64), stored.exponent).astype(np.float32)
        self.clipped = 0
        self._gain = gain.astype(np.float32)
        self.head = "emb" if s.tied else "head"
        self.matrices = {self.head: embedding if s.tied else checkpoint.matrix("lm_head", s.vocab, d) * gain}
        for i in range(s.layers):
            source, name = f"model.layers.{i}", f"layers.{i}"
            first, second = (checkpoint.vector(f"{source}.{n}_layernorm", d) for n in ("input", "post_attention"))
            for which, rows in (("q", q), ("k", kv), ("v", kv)):
                self.matrices[f"{name}.w{which}"] = (
                    checkpoint.matrix(f"{source}.self_attn.{which}_proj", rows, d) * first
                )
            self.matrices[f"{name}.wo"] = checkpoint.matrix(f"{source}.self_attn.o_proj", d, q)
            gate, up = (checkpoint.matrix(f"{source}.mlp.{n}_proj", s.intermediate, d) * second for n in ("gate", "up"))
            self.matrices[f"{name}.wgu"] = np.concatenate([gate, up])
            self.matrices[f"{name}.wdown"] = checkpoint.matrix(f"{source}.mlp.down_proj", d, s.intermediate)

    def logits(self, windows, weights, observe=None):
        """Logits float32 [windows, T, vocab] of token ids `windows` [windows, T], each window a text of its own.

        weights: name -> `Weights` of every matrix. observe: called as observe(name, x, sums) at each product with x the
        FP16 values that the matrix reads, float32 [windows, T, K], and its sums [windows, T, rows], before 1/rms.
        """
        s = self.shape
        cos, sin = self._rotary(windows.shape[1])
        hidden = np.triu(np.full((windows.shape[1],) * 2, -np.inf, np.float32), 1)
        codes = (None, None)  # the latest input and its MXINT8 form: matrices that share an input share that

        def product(name, x):
            nonlocal codes
            w = weights[name]
            if w.integer and codes[0] is not x:
                codes = x, mxint8(x)
            sums = (codes[1] if w.integer else x) @ w.values.T
            if observe:
                observe(name, x, sums)
            return sums

        def heads(x, count):
            return x.reshape(*x.shape[:2], count, s.head_dim).transpose(0, 2, 1, 3)

        x = self._embedding[windows]
        for i in range(s.layers):
            name = f"layers.{i}"
            a = self._half(x)
            rms = self._inverse_rms(a)
            q, k, v = (
                heads(product(f"{name}.w{n}", a) * rms, count)
                for n, count in (("q", s.heads), ("k", s.kv_heads), ("v", s.kv_heads))
            )
            q, k, v = self._half(_rotate(q, cos, sin)), self._half(_rotate(k, cos, sin)), self._half(v)
            q = q.reshape(len(windows), s.kv_heads, -1, windows.shape[1], s.head_dim)
            scores = q @ k[:, :, None].swapaxes(-1, -2) * np.float32(s.head_dim**-0.5) + hidden
            p = np.exp(scores - scores.max(axis=-1, keepdims=True))
            out = (p / p.sum(axis=-1, keepdims=True)) @ v[:, :, None]
            out = out.reshape(len(windows), s.heads, *out.shape[-2:]).transpose(0, 2, 1, 3).reshape(*windows.shape, -1)
            x = x + product(f"{name}.wo", self._half(out))
            b = self._half(x)
            gate, up = np.split(product(f"{name}.wgu", b) * self._inverse_rms(b), 2, axis=-1)
            x = x + product(f"{name}.wdown", self._half(gate / (1 + np.exp(-gate)) * up))
        last = self._half(x)
        return product(self.head, self._half(x * self._gain) if s.tied else last) * self._inverse_rms(last)

    def _half(self, x):
        """float32 `x` rounded to FP16, as it travels: clipped, and counted."""
        with np.errstate(over="ignore"):
            rounded = x.astype(np.float16)
        beyond = np.isinf(rounded)
        self.clipped += int(np.count_nonzero(beyond))
        return np.where(beyond, np.copysign(np.float32(FP16_MAX), x), rounded.astype(np.float32))

    def _inverse_rms(self, x):
        """Of FP16 values, as the machine sums their squares."""
        return 1 / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + np.float32(self.shape.eps))

    def _rotary(self, size):
        frequency = self.shape.rope_theta ** (-np.arange(0, self.shape.head_dim, 2) / self.shape.head_dim)
        angle = np.arange(size)[:, None] * frequency
        return (np.concatenate([f(angle)] * 2, axis=-1).astype(np.float32) for f in (np.cos, np.sin))


def _rotate(x, cos, sin):
    low, high = np.split(x, 2, axis=-1)
    return x * cos + np.concatenate([-high, low], axis=-1) * sin


def log_softmax(logits):
    """Natural logarithms of the probabilities, float64, along the last axis."""
    z = np.asarray(logits, np.float64)
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def divergence(reference, other):
    """KL(reference || other) in nats at each position; both are `log_softmax` [..., vocab]."""
    return (np.exp(reference) * (reference - other)).sum(axis=-1)
