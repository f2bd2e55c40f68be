"""Reads a Hugging Face directory: its configuration, validated, and its tensors, shape by shape."""

import hashlib
import reprlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.jsonfile import parse_json, read_json
from hayate.rtl.contract.tensorfile import TensorFile

FAMILIES = ("llama",)
HEAD_DIM_MAX = 252  # what the register HDQ holds
GROUP_MAX = 31  # what the field `group` of an instruction holds

_said = reprlib.Repr()  # of values in messages: of a readable length whatever the file holds
_said.maxstring = _said.maxother = 80


@dataclass(frozen=True)
class Shape:
    """Sizes and constants of a Llama-like model; `eos` is a tuple of ids, `bos` an id or None."""

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

    Members: ``path``; ``shape`` (`Shape`); ``tokenizer`` (JSON text, None when there is none); ``source`` (sha256 over the
    files read). ``matrix(name, rows, columns)`` and ``vector(name, size)`` give float64 values.

    Raises HayateError naming the file and the field: missing or truncated files, keys out of range or not supported, tensors
    missing, of another shape or type, or holding NaN or infinity.
    """

    def __init__(self, path):
        self.path = Path(path)
        if not self.path.is_dir():
            raise HayateError(path, "", "no such model folder", "give a folder with config.json and *.safetensors")
        self.config_path = self.path / "config.json"
        self.config = _json(self.config_path, "config.json")
        self.shape = _shape(self.config, self.config_path)
        self._files = self._open()
        tokenizer = self.path / "tokenizer.json"
        self.tokenizer = None
        if tokenizer.exists():
            _json(tokenizer, "tokenizer")
            self.tokenizer = tokenizer.read_text(encoding="utf-8")
        digest = hashlib.sha256()
        for file in sorted({f.path for f in self._files.values()} | {self.config_path} | ({tokenizer} if self.tokenizer else set())):
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        self.source = digest.hexdigest()

    def _open(self):
        """Tensor name -> `TensorFile` that holds it."""
        index = self.path / "model.safetensors.index.json"
        remedy = "fetch the whole model folder"
        if index.exists():
            table = _json(index, "index").get("weight_map")
            if not isinstance(table, dict) or not table:
                raise HayateError(index, "weight_map", "is missing or empty", remedy)
            files = {n: TensorFile(self.path / n, what="weights file", remedy=remedy) for n in sorted(set(map(str, table.values())))}
            for tensor, name in table.items():
                if tensor not in files[str(name)]:
                    raise HayateError(index, tensor, f"is not in {name}", remedy)
            return {tensor: files[str(name)] for tensor, name in table.items()}
        found = sorted(self.path.glob("*.safetensors"))
        if not found:
            raise HayateError(self.path, "", "no *.safetensors file in it", "give a folder with safetensors weights")
        files = [TensorFile(f, what="weights file", remedy=remedy) for f in found]
        return {name: f for f in files for name in f.names}

    def _tensor(self, name, shape):
        if name not in self._files:
            raise HayateError(self.path, name, "no such tensor in the weights", "check that the folder holds the whole model")
        file = self._files[name]
        if file.dtype(name) not in ("F16", "BF16", "F32"):
            raise HayateError(file.path, name, f"type {file.dtype(name)} is not supported", "convert it to F16, BF16 or F32")
        if file.shape(name) != shape:
            raise HayateError(file.path, name, f"shape {list(file.shape(name))}, config.json says {list(shape)}",
                              "use weights and config.json of the same model")
        value = file.tensor(name)
        if not np.isfinite(value).all():
            at = np.argwhere(~np.isfinite(value))[0].tolist()
            raise HayateError(file.path, name, f"holds {value[tuple(at)]} at {at}", "repair the checkpoint: weights must be finite")
        return value.astype(np.float64)

    def matrix(self, name, rows, columns):
        return self._tensor(f"{name}.weight", (rows, columns))

    def vector(self, name, size):
        return self._tensor(f"{name}.weight", (size,))

    def refuse_biases(self):
        """A bias that the machine would silently leave out is refused."""
        for name, file in self._files.items():
            if name.endswith("_proj.bias"):
                raise HayateError(file.path, name, "biases are not supported", "use a model without attention and MLP biases")


def same_tokens(a, b):
    """Whether two tokenizers' JSON texts give every text the same ids, as far as both are there: they mean the same JSON."""
    return a is None or b is None or parse_json(a) == parse_json(b)


def _json(path, what):
    try:
        value = read_json(path, "fetch it again")
    except FileNotFoundError:
        raise HayateError(path, "", f"no {what} there", "give a folder with config.json and *.safetensors") from None
    if not isinstance(value, dict):
        raise HayateError(path, "", "does not hold a JSON object", "fetch it again")
    return value


def _shape(config, path):
    def get(key, default=None, *, low=1, high=1 << 20):
        value = config.get(key)
        value = default if value is None else value
        if value is None:
            raise HayateError(path, key, "is missing", "use the model's own config.json")
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise HayateError(path, key, f"{_said.repr(value)} is not an integer from {low} to {high}", "use the model's own config.json")
        return value

    def number(key, default, low, high):
        value = config.get(key, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not low < value < high:
            raise HayateError(path, key, f"{_said.repr(value)} is not a number between {low} and {high}", "use the model's own config.json")
        return float(value)

    def refuse(key, allowed, remedy):
        if config.get(key, allowed[0]) not in allowed:
            raise HayateError(path, key, f"{_said.repr(config[key])} is not supported", remedy)

    family = config.get("model_type")
    if family not in FAMILIES:
        raise HayateError(path, "model_type", f"{_said.repr(family)} is not supported", f"supported families: {', '.join(FAMILIES)}")
    refuse("hidden_act", ("silu", "swish"), "use a model with SwiGLU")
    refuse("attention_bias", (False, None), "use a model without attention biases")
    refuse("mlp_bias", (False, None), "use a model without MLP biases")
    refuse("quantization_config", (None,), "give the unquantized checkpoint")
    refuse("pretraining_tp", (1, None), "merge the checkpoint's tensor-parallel parts")
    if config.get("sliding_window") is not None and config.get("use_sliding_window", True):
        raise HayateError(path, "sliding_window", f"{_said.repr(config['sliding_window'])} is not supported",
                          "use a model with full attention (sliding_window null)")
    theta = number("rope_theta", 10000.0, 1.0, 1e12)
    for key in ("rope_scaling", "rope_parameters"):
        rope = config.get(key)
        if rope is None:
            continue
        kind = rope.get("rope_type", rope.get("type", "default")) if isinstance(rope, dict) else rope
        if kind != "default":
            raise HayateError(path, key, f"{kind!r} is not supported", "use a model with plain rotary embedding (null or default)")
        if "rope_theta" in rope:
            config = {**config, "rope_theta": rope["rope_theta"]}
            theta = number("rope_theta", theta, 1.0, 1e12)
    hidden, heads = get("hidden_size"), get("num_attention_heads", high=1 << 10)
    kv_heads = get("num_key_value_heads", heads, high=1 << 10)
    if heads % kv_heads:
        raise HayateError(path, "num_key_value_heads", f"{kv_heads} does not divide {heads} heads", "use the model's own config.json")
    if heads // kv_heads > GROUP_MAX:
        raise HayateError(path, "num_key_value_heads", f"{heads // kv_heads} query heads per KV head, at most {GROUP_MAX} are supported",
                          "use a model with more KV heads")
    if config.get("head_dim") is None and hidden % heads:
        raise HayateError(path, "num_attention_heads", f"{heads} does not divide hidden_size {hidden}", "state head_dim")
    head_dim = get("head_dim", hidden // heads, high=HEAD_DIM_MAX)
    intermediate = get("intermediate_size")
    for key, value in (("hidden_size", hidden), ("head_dim", head_dim), ("intermediate_size", intermediate)):
        if value % 4:
            raise HayateError(path, key, f"{value} is not a multiple of 4", "pad the model: rows come in 64-bit words of 4 FP16 values")
    eos = config.get("eos_token_id")
    eos = [] if eos is None else eos if isinstance(eos, list) else [eos]
    vocab = get("vocab_size")
    for key, ids in (("eos_token_id", eos), ("bos_token_id", [config["bos_token_id"]] if config.get("bos_token_id") is not None else [])):
        if not all(isinstance(i, int) and 0 <= i < vocab for i in ids):
            raise HayateError(path, key, f"{_said.repr(config[key])} is not in the vocabulary of {vocab}",
                              "use the model's own config.json")
    tied = config.get("tie_word_embeddings", False)
    if not isinstance(tied, bool):
        raise HayateError(path, "tie_word_embeddings", f"{_said.repr(tied)} is not true or false", "use the model's own config.json")
    return Shape(name=path.resolve().parent.name, hidden=hidden, layers=get("num_hidden_layers", high=255), heads=heads,
                 kv_heads=kv_heads, head_dim=head_dim, intermediate=intermediate, vocab=vocab,
                 context=get("max_position_embeddings", high=1 << 16), eos=tuple(eos), bos=config.get("bos_token_id"),
                 rope_theta=theta, eps=number("rms_norm_eps", 1e-6, 0.0, 1.0), tied=tied)
