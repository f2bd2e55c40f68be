"""A small random Llama in Hugging Face layout, for tests."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save, save_file

DTYPES = {"F16": "float16", "F32": "float32", "BF16": "bfloat16"}


def tiny_weights(*, hidden=32, layers=2, heads=4, kv_heads=2, head_dim=8, ff=64, vocab=64, seed=0, tied=True):
    """Name -> float64 array of a random model with activations of ordinary size."""
    rng = np.random.default_rng(seed)

    def matrix(rows, columns):
        return rng.standard_normal((rows, columns)) / np.sqrt(columns)

    def gain():
        return rng.uniform(0.5, 1.5, hidden)

    weights = {"model.embed_tokens.weight": rng.standard_normal((vocab, hidden)), "model.norm.weight": gain()}
    for i in range(layers):
        layer = f"model.layers.{i}"
        weights |= {
            f"{layer}.input_layernorm.weight": gain(),
            f"{layer}.post_attention_layernorm.weight": gain(),
            f"{layer}.self_attn.q_proj.weight": matrix(heads * head_dim, hidden),
            f"{layer}.self_attn.k_proj.weight": matrix(kv_heads * head_dim, hidden),
            f"{layer}.self_attn.v_proj.weight": matrix(kv_heads * head_dim, hidden),
            f"{layer}.self_attn.o_proj.weight": matrix(hidden, heads * head_dim),
            f"{layer}.mlp.gate_proj.weight": matrix(ff, hidden),
            f"{layer}.mlp.up_proj.weight": matrix(ff, hidden),
            f"{layer}.mlp.down_proj.weight": matrix(hidden, ff),
        }
    if not tied:
        weights["lm_head.weight"] = matrix(vocab, hidden)
    return weights


def write_weights(path, weights, dtype="F16"):
    """Write a .safetensors file of name -> float64 array; BF16 is rounded to nearest even."""
    path = Path(path)
    if dtype != "BF16":
        save_file(
            {
                name: np.ascontiguousarray(w, {"F16": np.float16, "F32": np.float32}[dtype])
                for name, w in weights.items()
            },
            path,
        )
        return
    halves = {}
    for name, w in weights.items():
        bits = np.ascontiguousarray(w, np.float32).view(np.uint32)
        halves[name] = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    raw = save(halves)  # numpy has no bfloat16: write the halves as integers, then say in the header what they are
    length = int.from_bytes(raw[:8], "little")
    header = raw[8 : 8 + length].replace(b'"U16"', b'"BF16"')
    path.write_bytes(len(header).to_bytes(8, "little") + header + raw[8 + length :])


def byte_alphabet():
    """Characters that stand for bytes in byte-level tokenizers, useful ones for short texts first."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names = {b: chr(b) for b in printable}
    names |= {b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in names)}
    first = b"\n etaoinsrhldcumfpgwybvk.,()=:_0123456789xjqz'\"+-*/[]"
    return [names[b] for b in [*first, *(b for b in range(256) if b not in first)]]


def tokenizer_json(vocab):
    """Byte-level tokenizer without merges: `<|end|>` is 0, then as many bytes as fit the vocabulary."""
    tokens = {"<|end|>": 0, **{c: i + 1 for i, c in enumerate(byte_alphabet()[: vocab - 1])}}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    end = {
        "id": 0,
        "content": "<|end|>",
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [end],
            "normalizer": None,
            "pre_tokenizer": level,
            "post_processor": None,
            "decoder": level,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "vocab": tokens,
                "merges": [],
            },
        }
    )


def write_tiny_model(
    path,
    *,
    hidden=32,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=8,
    ff=64,
    vocab=64,
    context=48,
    seed=0,
    tied=True,
    dtype="F16",
    config=None,
):
    """Write a model folder: config.json, model.safetensors, tokenizer.json; its path.

    `config`: keys of config.json to add or replace; None as a value removes a key. Equal arguments give equal files.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    values = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": ff,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": context,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "attention_bias": False,
        "tie_word_embeddings": tied,
        "torch_dtype": DTYPES[dtype],
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    values = {k: v for k, v in {**values, **(config or {})}.items() if v is not None or k not in (config or {})}
    (path / "config.json").write_text(json.dumps(values, indent=2))
    weights = tiny_weights(
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        ff=ff,
        vocab=vocab,
        seed=seed,
        tied=tied,
    )
    write_weights(path / "model.safetensors", weights, dtype)
    (path / "tokenizer.json").write_text(tokenizer_json(vocab), encoding="utf-8")
    return path
