"""Reads a Hugging Face directory: its configuration, validated, and its tensors, shape by shape."""

import hashlib
import reprlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hayate.compiler.weights import Weights
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.isa import CSR_BITS, Csr
from hayate.rtl.contract.jsonfile import parse_json, read_json

FAMILIES = ("llama",)
HEAD_DIM_MAX = 4 * ((1 << CSR_BITS[Csr.HDQ]) - 1)  # what the register HDQ holds, in quads
GROUP_MAX = (1 << CSR_BITS[Csr.GROUP]) - 1  # what the register GROUP and the field `group` of an instruction hold
OWN = "use the model's own config.json"

_said = reprlib.Repr()  # of values in messages: of a readable length whatever the file holds
_said.maxstring = _said.maxother = 80


@dataclass(frozen=True)
class Shape:
    """Sizes and constants of a Llama-like model; `eos` is a tuple of ids, each once, `bos` an id or None."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    context: int
    eos: tuple
    bos: object
    rope_theta: float
    eps: float
    tied: bool


class Checkpoint:
    """A model directory opened for compiling.

    Members: ``path``; ``shape`` (`Shape`); ``tokenizer`` (JSON text, None when there is none); ``source`` (sha256 over
    the files read). ``matrix(name, rows, columns)`` and ``vector(name, size)`` give float64 values.

    Its end tokens are those of generation_config.json, where that file names any, else of config.json.

    Raises HayateError naming the file and the field: missing or truncated files, keys out of range or not supported,
    tensors missing, of another shape or type, or holding NaN or infinity, and what `Weights` refuses; warns as
    `Weights` does.
    """

    def __init__(self, path):
        self.path = Path(path)
        if not self.path.is_dir():
            raise HayateError(path, "", "no such model folder", "give a folder with config.json and *.safetensors")
        self.config_path = self.path / "config.json"
        self.config = _json(self.config_path, "config.json")
        generation = self.path / "generation_config.json"
        ends = ((generation, _json(generation, "")),) if generation.exists() else ()
        self.shape = _shape(self.config, self.config_path, *ends)
        self._weights = Weights(self.path, self.shape.layers, self.shape.tied)
        tokenizer = self.path / "tokenizer.json"
        self.tokenizer = None
        if tokenizer.exists():
            _json(tokenizer, "tokenizer")
            self.tokenizer = tokenizer.read_text(encoding="utf-8")
        digest = hashlib.sha256()
        beside = [f for f in (tokenizer, generation) if f.exists()]
        for file in sorted({*self._weights.paths, self.config_path, *beside}):
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        self.source = digest.hexdigest()

    def _tensor(self, name, shape):
        file, name = self._weights.find(name)
        if file.dtype(name) not in ("F16", "BF16", "F32"):
            raise HayateError(
                file.path, name, f"type {file.dtype(name)} is not supported", "convert it to F16, BF16 or F32"
            )
        if file.shape(name) != shape:
            raise HayateError(
                file.path,
                name,
                f"shape {list(file.shape(name))}, config.json says {list(shape)}",
                "use weights and config.json of the same model",
            )
        value = file.tensor(name)
        if not np.isfinite(value).all():
            at = np.argwhere(~np.isfinite(value))[0].tolist()
            raise HayateError(
                file.path, name, f"holds {value[tuple(at)]} at {at}", "repair the checkpoint: weights must be finite"
            )
        return value.astype(np.float64)

    def matrix(self, name, rows, columns):
        return self._tensor(f"{name}.weight", (rows, columns))

    def vector(self, name, size):
        return self._tensor(f"{name}.weight", (size,))


def same_tokens(a, b):
    """Whether two tokenizers' JSON texts give every text the same ids, as far as both are there: they mean the same
    JSON, whatever they say of cutting texts and filling them up, which is not heeded.
    """
    if a is None or b is None or a == b:
        return True
    try:
        one, two = parse_json(a), parse_json(b)
        return all(isinstance(t, dict) for t in (one, two)) and {**one, **_UNUSED} == {**two, **_UNUSED}
    except (ValueError, RecursionError):
        return False


_UNUSED = {"truncation": None, "padding": None}  # keys of a tokenizer that are not heeded


def _json(path, what):
    try:
        value = read_json(path, "fetch it again")
    except FileNotFoundError:
        raise HayateError(path, "", f"no {what} there", "give a folder with config.json and *.safetensors") from None
    if not isinstance(value, dict):
        raise HayateError(path, "", "does not hold a JSON object", "fetch it again")
    return value


def _end_tokens(vocab, *sources):
    """Ids of the end tokens, each once, by the first of `sources`, (path, content), that names any.

    Raises HayateError for what is no id of a token.
    """
    for path, content in sources:
        ids = content.get("eos_token_id")
        if ids is None:
            continue
        listed = ids if isinstance(ids, list) else [ids]
        if not all(type(i) is int and 0 <= i < vocab for i in listed):
            raise HayateError(
                path,
                "eos_token_id",
                f"{_said.repr(ids)} is not in the vocabulary of {vocab}",
                f"use the model's own {path.name}",
            )
        return tuple(dict.fromkeys(listed))
    return ()


def _theta(config, path):
    """Base of the rotary embedding.

    Raises HayateError where two keys name different ones: libraries, and versions of one, differ in which they read.
    """
    found = {"rope_theta": config["rope_theta"]} if config.get("rope_theta") is not None else {}
    for key in ("rope_scaling", "rope_parameters"):
        rope = config.get(key)
        if rope is None:
            continue
        kind = rope.get("rope_type", rope.get("type", "default")) if isinstance(rope, dict) else rope
        parts = rope if isinstance(rope, dict) else {}
        if parts.get("partial_rotary_factor", 1) != 1 or any(isinstance(v, dict) for v in parts.values()):
            kind = rope
        if not isinstance(rope, dict) or kind != "default":
            raise HayateError(
                path,
                key,
                f"{_said.repr(kind)} is not supported",
                "use a model with plain rotary embedding (null or default)",
            )
        if rope.get("rope_theta") is not None:
            found[f"{key}.rope_theta"] = rope["rope_theta"]
    for key, value in found.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 1.0 < value < 1e12:
            raise HayateError(path, key, f"{_said.repr(value)} is not a number between 1.0 and {1e12}", OWN)
    if len(set(found.values())) > 1:
        (one, first), (two, second) = next((a, b) for a in found.items() for b in found.items() if a[1] != b[1])
        raise HayateError(path, one, f"{first} here, but {two} is {second}", "keep the model's own of them")
    return float(next(iter(found.values()), 10000.0))


def _shape(config, path, *ends):
    def get(key, default=None, *, low=1, high=1 << 20):
        value = config.get(key)
        value = default if value is None else value
        if value is None:
            raise HayateError(path, key, "is missing", OWN)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise HayateError(path, key, f"{_said.repr(value)} is not an integer from {low} to {high}", OWN)
        return value

    def number(key, default, low, high):
        value = config.get(key, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not low < value < high:
            raise HayateError(path, key, f"{_said.repr(value)} is not a number between {low} and {high}", OWN)
        return float(value)

    def refuse(key, allowed, remedy):
        if config.get(key, allowed[0]) not in allowed:
            raise HayateError(path, key, f"{_said.repr(config[key])} is not supported", remedy)

    family = config.get("model_type")
    if family not in FAMILIES:
        raise HayateError(
            path, "model_type", f"{_said.repr(family)} is not supported", f"supported families: {', '.join(FAMILIES)}"
        )
    refuse("hidden_act", ("silu", "swish"), "use a model with SwiGLU")
    refuse("attention_bias", (False, None), "use a model without attention biases")
    refuse("mlp_bias", (False, None), "use a model without MLP biases")
    refuse("quantization_config", (None,), "give the unquantized checkpoint")
    refuse("pretraining_tp", (1, None), "merge the checkpoint's tensor-parallel parts")
    refuse("partial_rotary_factor", (1, None), "use a model with plain rotary embedding")
    refuse("text_config", (None,), "use the config.json of the text model alone")
    if config.get("sliding_window") is not None and config.get("use_sliding_window", True):
        raise HayateError(
            path,
            "sliding_window",
            f"{_said.repr(config['sliding_window'])} is not supported",
            "use a model with full attention (sliding_window null)",
        )
    theta = _theta(config, path)
    hidden, heads = get("hidden_size"), get("num_attention_heads", high=1 << 10)
    kv_heads = get("num_key_value_heads", heads, high=1 << 10)
    if heads % kv_heads:
        raise HayateError(path, "num_key_value_heads", f"{kv_heads} does not divide {heads} heads", OWN)
    if heads // kv_heads > GROUP_MAX:
        raise HayateError(
            path,
            "num_key_value_heads",
            f"{heads // kv_heads} query heads per KV head, at most {GROUP_MAX} are supported",
            "use a model with more KV heads",
        )
    if config.get("head_dim") is None and hidden % heads:
        raise HayateError(
            path, "num_attention_heads", f"{heads} does not divide hidden_size {hidden}", "state head_dim"
        )
    head_dim = get("head_dim", hidden // heads, high=HEAD_DIM_MAX)
    intermediate = get("intermediate_size")
    for key, value in (("hidden_size", hidden), ("head_dim", head_dim), ("intermediate_size", intermediate)):
        if value % 4:
            raise HayateError(
                path,
                key,
                f"{value} is not a multiple of 4",
                "pad the model: rows come in 64-bit words of 4 FP16 values",
            )
    vocab, bos = get("vocab_size"), config.get("bos_token_id")
    if bos is not None and not (type(bos) is int and 0 <= bos < vocab):
        raise HayateError(path, "bos_token_id", f"{_said.repr(bos)} is not in the vocabulary of {vocab}", OWN)
    tied = config.get("tie_word_embeddings", False)
    if not isinstance(tied, bool):
        raise HayateError(path, "tie_word_embeddings", f"{_said.repr(tied)} is not true or false", OWN)
    return Shape(
        name=path.resolve().parent.name,
        hidden=hidden,
        layers=get("num_hidden_layers", high=255),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate=intermediate,
        vocab=vocab,
        context=get("max_position_embeddings", high=1 << 16),
        bos=bos,
        eos=_end_tokens(vocab, *ends, (path, config)),
        rope_theta=theta,
        eps=number("rms_norm_eps", 1e-6, 0.0, 1.0),
        tied=tied,
    )
