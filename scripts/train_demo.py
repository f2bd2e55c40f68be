"""Train the small language models that ship with Hayate, from nothing but the Python standard library.

The data are the ``.py`` files of the interpreter that runs this script; 5 % of them, chosen by a hash of their path,
are held out. A byte-level BPE tokenizer of 512 tokens and a Llama of a given shape are trained on the rest. The
learning rate follows a cosine over *wall-clock time*, so ``--minutes`` is all there is to choose. Files are replaced
atomically: the folder always holds a complete checkpoint, which ``transformers.LlamaForCausalLM`` loads as it is.

    python scripts/train_demo.py --model py-nano --minutes 18 --out models/py-nano
    python scripts/train_demo.py --write-heldout models/heldout          (the held-out text only, no training)

Needs torch, numpy, tokenizers and safetensors. The same Python version gives the same tokenizer and held-out text; the
weights depend on how many steps fit into the time, and so on the machine.
"""

import argparse
import dataclasses
import hashlib
import json
import math
import os
import platform
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional as F

from hayate import stdlib_text

END = "<|end|>"
VOCAB = 512
CONTEXT = 256
HELDOUT_TOKENS = (24_000, 30_000)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of one Llama; ``rate`` is the peak learning rate."""

    dim: int
    layers: int
    heads: int
    kv_heads: int
    ff: int
    rate: float
    head_dim: int = 16
    theta: float = 10000.0
    eps: float = 1e-5


SHAPES = {
    "py-mini": Shape(dim=128, layers=5, heads=8, kv_heads=2, ff=384, rate=3e-3),
    "py-nano": Shape(dim=96, layers=2, heads=6, kv_heads=2, ff=288, rate=5e-3),
    "py-pico": Shape(dim=32, layers=2, heads=4, kv_heads=2, ff=160, rate=8e-3),
}


def standard_library():
    """Return ``{relative path: text}`` of the standard library, in path order, without files that hold nothing or no
    UTF-8.
    """
    texts = {name: stdlib_text.text(path) for name, path in stdlib_text.files().items()}
    return {name: text for name, text in texts.items() if text.strip() and "\ufffd" not in text}


def train_tokenizer(texts):
    """Byte-level BPE: 256 bytes, the end token and 255 merges. Lossless on any UTF-8 text.

    The GPT-2 pre-tokenizer leaves the last space of an indentation to the word behind it, so a newline with its
    indentation is one token, and `` self`` has one form at a line's start and inside it.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=[END],
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode_documents(tokenizer, texts):
    """All documents in one uint16 array, an end token before each and one at the very end."""
    parts = [tokenizer.encode(END + text).ids for text in texts] + [tokenizer.encode(END).ids]
    return np.concatenate([np.array(part, np.uint16) for part in parts])


def heldout_excerpt(files, tokenizer):
    """Return (text, names, tokens) of whole held-out files, smallest path hash first, that fit HELDOUT_TOKENS."""
    (low, high), text, names, count = HELDOUT_TOKENS, "", [], 0
    for name in sorted(filter(stdlib_text.held_out, files), key=stdlib_text.path_hash):
        block = f"# file: {name}\n{files[name].rstrip()}\n\n"
        size = len(tokenizer.encode(block).ids)
        if count + size <= high:
            text, names, count = text + block, names + [name], count + size
        if count >= low:
            break
    return text, names, len(tokenizer.encode(text).ids)


def rotate(x, cos, sin):
    low, high = x.chunk(2, -1)
    return x * cos + torch.cat((-high, low), -1) * sin


class Layer(nn.Module):
    """One decoder layer, grouped-query attention and gated feed-forward; parameters named as Hugging Face does."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        wide, narrow = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        linear = partial(nn.Linear, bias=False)
        self.self_attn = nn.ModuleDict(
            {
                "q_proj": linear(shape.dim, wide),
                "k_proj": linear(shape.dim, narrow),
                "v_proj": linear(shape.dim, narrow),
                "o_proj": linear(wide, shape.dim),
            }
        )
        self.mlp = nn.ModuleDict(
            {
                "gate_proj": linear(shape.dim, shape.ff),
                "up_proj": linear(shape.dim, shape.ff),
                "down_proj": linear(shape.ff, shape.dim),
            }
        )
        self.input_layernorm = nn.RMSNorm(shape.dim, shape.eps)
        self.post_attention_layernorm = nn.RMSNorm(shape.dim, shape.eps)

    def attend(self, x, cos, sin):
        q, k, v = (
            self.self_attn[name](x).unflatten(-1, (-1, self.shape.head_dim)).transpose(1, 2)
            for name in ("q_proj", "k_proj", "v_proj")
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = (y.repeat_interleave(self.shape.heads // self.shape.kv_heads, 1) for y in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.self_attn["o_proj"](y.transpose(1, 2).flatten(2))

    def forward(self, x, cos, sin):
        x = x + self.attend(self.input_layernorm(x), cos, sin)
        y = self.post_attention_layernorm(x)
        return x + self.mlp["down_proj"](F.silu(self.mlp["gate_proj"](y)) * self.mlp["up_proj"](y))


class Llama(nn.Module):
    """Token ids ``(batch, time)`` to logits ``(batch, time, vocabulary)``; the embedding is tied to the output."""

    def __init__(self, shape):
        super().__init__()
        self.model = nn.ModuleDict(
            {
                "embed_tokens": nn.Embedding(VOCAB, shape.dim),
                "layers": nn.ModuleList(Layer(shape) for _ in range(shape.layers)),
                "norm": nn.RMSNorm(shape.dim, shape.eps),
            }
        )
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                out = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(weight, std=0.05 / math.sqrt(2 * shape.layers) if out else 0.05)
        angle = torch.outer(
            torch.arange(CONTEXT).float(), shape.theta ** (-torch.arange(0, shape.head_dim, 2).float() / shape.head_dim)
        )
        self.register_buffer("cos", torch.cat((angle, angle), -1).cos(), persistent=False)
        self.register_buffer("sin", torch.cat((angle, angle), -1).sin(), persistent=False)

    def forward(self, ids):
        x = self.model["embed_tokens"](ids)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for layer in self.model["layers"]:
            x = layer(x, cos, sin)
        return F.linear(self.model["norm"](x), self.model["embed_tokens"].weight)


@torch.no_grad()
def measure(model, ids):
    """Mean loss per token, in nats, over consecutive windows of the full context; weights as they are."""
    count = (len(ids) - 1) // CONTEXT * CONTEXT
    inputs = torch.from_numpy(ids[:count].astype(np.int64)).view(-1, CONTEXT)
    targets = torch.from_numpy(ids[1 : count + 1].astype(np.int64)).view(-1, CONTEXT)
    losses = [
        F.cross_entropy(model(x).flatten(0, 1), y.flatten()) * y.numel()
        for x, y in zip(inputs.split(16), targets.split(16))
    ]
    return float(sum(losses) / count)


def replace(path, data):
    """Write bytes, or anything else as JSON, so that a reader sees the old file or the new one, never a part."""
    data = data if isinstance(data, bytes) else (json.dumps(data, indent=2) + "\n").encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)


def save_model(out, model, shape, tokenizer, heldout, record):
    """Write the Hugging Face folder, weights last; the held-out loss is that of the weights as rounded to FP16."""
    half = {name: weight.half().contiguous() for name, weight in model.state_dict().items()}
    assert all(torch.isfinite(weight).all() for weight in half.values()), "a weight does not fit FP16"
    rounded = Llama(shape)
    rounded.load_state_dict({name: weight.float() for name, weight in half.items()})
    record["heldout_loss_per_token"] = loss = measure(rounded, heldout)
    record["heldout_loss_per_byte"] = loss / record["heldout_bytes_per_token"]
    replace(out / "tokenizer.json", tokenizer.to_str(pretty=True).encode())
    replace(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": END,
            "eos_token": END,
            "model_max_length": CONTEXT,
            "clean_up_tokenization_spaces": False,
        },
    )
    replace(
        out / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "torch_dtype": "float16",
            "hidden_act": "silu",
            "vocab_size": VOCAB,
            "hidden_size": shape.dim,
            "intermediate_size": shape.ff,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "head_dim": shape.head_dim,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": shape.eps,
            "rope_theta": shape.theta,
            "rope_scaling": None,
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": True,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "use_cache": True,
        },
    )  # the end token is the vocabulary's first
    replace(out / "training.json", record)
    replace(out / "model.safetensors", save(half, {"format": "pt"}))
    return loss


def save_heldout(folder, text, names, count):
    replace(folder / "heldout.txt", text.encode())
    replace(
        folder / "SOURCE.json",
        {
            "python_version": platform.python_version(),
            "files": names,
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "bytes": len(text.encode()),
            "tokens": count,
            "rule": "standard library files whose SHA-256(path)[:4] is a multiple of 20, smallest first, whole files",
            "license": "Python standard library, Copyright Python Software Foundation and others, PSF License Version "
            "2, see LICENSE-PSF.txt. Unchanged but for a header line with each name and the blank ends of files.",
        },
    )


def train(options, shape, tokenizer, data, heldout):
    """Run AdamW for ``options.minutes`` of wall-clock time and leave the final checkpoint in ``options.out``."""
    rng = np.random.default_rng(options.seed)
    torch.manual_seed(options.seed)
    model = Llama(shape)
    before = {}
    if options.resume:  # a warm restart: the optimizer begins anew, so the rate comes back at half its peak
        model.load_state_dict(
            {name: weight.float() for name, weight in load_file(options.resume / "model.safetensors").items()}
        )
        earlier = json.loads((options.resume / "training.json").read_text())
        before = {
            "resumed": {key: earlier[key] for key in ("seed", "minutes", "tokens_seen", "heldout_loss_per_token")}
        }
        # windows that the earlier run has not drawn
        rng = np.random.default_rng([options.seed, earlier["tokens_seen"]])
    # the gains of the norms do not decay
    groups = [
        {"params": [weight for weight in model.parameters() if weight.dim() == dim], "weight_decay": decay}
        for dim, decay in ((2, 0.05), (1, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), eps=1e-8, fused=True)
    ids, text = heldout
    record = {
        "model": options.model,
        "parameters": sum(map(torch.Tensor.numel, model.parameters())),
        "seed": options.seed,
        "minutes": options.minutes,
        "batch": [options.batch, CONTEXT],
        "bf16": options.bf16,
        "peak_rate": shape.rate / (2 if before else 1),
        **before,
        "python_version": platform.python_version(),
        "torch_version": torch.__version__,
        "train_tokens": len(data),
        "heldout_tokens": len(ids),
        "heldout_bytes_per_token": len(text.encode()) / len(ids),
        **options.corpus,
    }
    budget, start, saved, shown, step, smooth = options.minutes * 60, time.monotonic(), 0.0, 0.0, 0, None
    while True:
        elapsed, seen = time.monotonic() - start, step * options.batch * CONTEXT
        done = elapsed >= budget
        if done or elapsed - saved >= options.save_every * 60:
            saved, status = elapsed, {"finished": done, "steps": step, "tokens_seen": seen, "seconds": round(elapsed)}
            loss = save_model(options.out, model, shape, tokenizer, ids, {**record, **status})
            print(f"{options.model} saved; held-out loss {loss:.4f} per token", flush=True)
        if done:
            return
        cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * elapsed / budget))
        for group in optimizer.param_groups:
            group["lr"] = record["peak_rate"] * min(1.0, (step + 1) / 100) * cosine
        begins = rng.integers(0, len(data) - CONTEXT - 1, options.batch)
        batch = torch.from_numpy(np.stack([data[b : b + CONTEXT + 1] for b in begins]).astype(np.int64))
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            logits = model(batch[:, :-1])
        loss = F.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        smooth = loss.item() if smooth is None else 0.98 * smooth + 0.02 * loss.item()
        step += 1
        if elapsed - shown >= 15:
            shown = elapsed
            print(f"{options.model} {elapsed:6.0f} s, step {step}, {seen:,} tokens, loss {smooth:.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="Train Hayate's demonstration models on the Python standard library.")
    parser.add_argument("--model", choices=sorted(SHAPES), default="py-nano", help="which shape to train (py-nano)")
    parser.add_argument("--minutes", type=float, default=20, help="wall-clock budget; the cosine ends with it (20)")
    parser.add_argument("--out", type=Path, help="folder for the checkpoint (models/NAME)")
    parser.add_argument("--seed", type=int, default=1, help="of the initial weights and the windows (1)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    parser.add_argument("--batch", type=int, default=16, help=f"windows of {CONTEXT} tokens a step (16)")
    parser.add_argument("--save-every", type=float, default=2, help="minutes between checkpoints (2)")
    parser.add_argument("--bf16", action="store_true", help="autocast to BF16; pays on CPUs with fast BF16 units")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="start from the weights there")
    parser.add_argument("--write-heldout", type=Path, metavar="DIR", help="write the held-out text there and stop")
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if options.threads > 1 else "false"
    torch.set_num_threads(options.threads)
    options.out = options.out or Path("models") / options.model
    files = standard_library()
    kept = [text for name, text in files.items() if not stdlib_text.held_out(name)]
    lines = (f"{name}\0{hashlib.sha256(text.encode()).hexdigest()}\n" for name, text in files.items())
    options.corpus = {"corpus_files": len(files), "corpus_sha256": hashlib.sha256("".join(lines).encode()).hexdigest()}
    tokenizer = train_tokenizer(kept)
    text, names, count = heldout_excerpt(files, tokenizer)
    print(f"{len(files)} files, {len(files) - len(kept)} held out; held-out text {count} tokens; {options.corpus}")
    if options.write_heldout:
        return save_heldout(options.write_heldout, text, names, count)
    data = encode_documents(tokenizer, kept)
    print(f"{len(data):,} training tokens", flush=True)
    train(options, SHAPES[options.model], tokenizer, data, (np.array(tokenizer.encode(text).ids, np.uint16), text))


if __name__ == "__main__":
    main()
