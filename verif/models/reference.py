"""A Llama in plain numpy float64, read straight from the Hugging Face files: what the golden model is measured against.

It shares no code with the compiler or the golden model: safetensors reads the weights, everything else is written out
here.
Shapes follow Touvron et al., "LLaMA", 2023, and the layout of transformers' LlamaForCausalLM.
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


class Reference:
    """`logits(ids)` of the model in `path`, all positions at once, float64 [len(ids), vocab]."""

    def __init__(self, path):
        path = Path(path)
        self.config = json.loads((path / "config.json").read_text())
        self._w = {k: v.astype(np.float64) for k, v in load_file(path / "model.safetensors").items()}

    def _norm(self, x, name):
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.config["rms_norm_eps"]) * self._w[name]

    def logits(self, ids):
        c, w = self.config, self._w
        heads, kv, hd = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        n = len(ids)
        angle = np.arange(n)[:, None] * c["rope_theta"] ** (-np.arange(0, hd, 2) / hd)
        cos, sin = (np.concatenate([f(angle)] * 2, axis=-1)[:, None] for f in (np.cos, np.sin))

        def rope(x):
            return x * cos + np.concatenate([-x[..., hd // 2 :], x[..., : hd // 2]], axis=-1) * sin

        x = w["model.embed_tokens.weight"][np.asarray(ids)]
        mask = np.triu(np.full((n, n), -np.inf), 1)
        for layer in range(c["num_hidden_layers"]):
            at = f"model.layers.{layer}."
            h = self._norm(x, at + "input_layernorm.weight")
            q, k, v = (h @ w[f"{at}self_attn.{m}_proj.weight"].T for m in "qkv")
            q, k, v = rope(q.reshape(n, heads, hd)), rope(k.reshape(n, kv, hd)), v.reshape(n, kv, hd)
            k, v = (np.repeat(t, heads // kv, axis=1) for t in (k, v))
            s = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(hd) + mask
            p = np.exp(s - s.max(axis=-1, keepdims=True))
            p /= p.sum(axis=-1, keepdims=True)
            x = x + np.einsum("hij,jhd->ihd", p, v).reshape(n, heads * hd) @ w[at + "self_attn.o_proj.weight"].T
            h = self._norm(x, at + "post_attention_layernorm.weight")
            g = h @ w[at + "mlp.gate_proj.weight"].T
            x = x + (g / (1 + np.exp(-g)) * (h @ w[at + "mlp.up_proj.weight"].T)) @ w[at + "mlp.down_proj.weight"].T
        head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
        return self._norm(x, "model.norm.weight") @ head.T


def kl(reference, logits):
    """Mean over positions of KL(reference || logits), nats; both [positions, vocab]."""

    def log_softmax(z):
        z = np.asarray(z, np.float64) - np.max(z, axis=-1, keepdims=True)
        return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))

    a, b = log_softmax(reference), log_softmax(logits)
    return float((np.exp(a) * (a - b)).sum(axis=-1).mean())
