"""Reading Hugging Face folders: types, shards, and one clear line for every input that is no good."""

import json

import numpy as np
import pytest

from hayate.compiler import compile_model
from hayate.compiler.checkpoint import Checkpoint
from hayate.rtl.contract.errors import HayateError
from hayate.verif.models.tiny import tiny_weights, write_tiny_model, write_weights


def refusal(folder):
    """The line with which compiling `folder` is refused, paths cut to file names."""
    with pytest.raises(HayateError) as error:
        compile_model(folder)
    assert error.value.exit_code == 2
    assert error.value.source.startswith(str(folder))
    return str(error.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("model_type", "gpt2", "model_type: 'gpt2' is not supported; supported families: llama"),
        ("hidden_act", "gelu", "hidden_act: 'gelu' is not supported; use a model with SwiGLU"),
        ("attention_bias", True, "attention_bias: True is not supported; use a model without attention biases"),
        ("mlp_bias", True, "mlp_bias: True is not supported; use a model without MLP biases"),
        (
            "rope_scaling",
            {"rope_type": "llama3"},
            "rope_scaling: 'llama3' is not supported; use a model with plain rotary embedding",
        ),
        ("rope_parameters", {"rope_type": "yarn"}, "rope_parameters: 'yarn' is not supported"),
        ("rope_scaling", "default", "rope_scaling: 'default' is not supported"),
        (
            "rope_parameters",
            {"partial_rotary_factor": 0.5},
            "rope_parameters: {'partial_rotary_factor': 0.5} is not supported",
        ),
        (
            "rope_parameters",
            {"full_attention": {"rope_theta": 5.0}},
            "rope_parameters: {'full_attention': {'rope_theta': 5.0}} is not",
        ),
        (
            "rope_parameters",
            {"rope_theta": 5e5},
            "rope_theta: 10000.0 here, but rope_parameters.rope_theta is 500000.0; keep",
        ),
        (
            "partial_rotary_factor",
            0.5,
            "partial_rotary_factor: 0.5 is not supported; use a model with plain rotary embedding",
        ),
        (
            "text_config",
            {"hidden_size": 64},
            "text_config: {'hidden_size': 64} is not supported; use the config.json of the text",
        ),
        ("sliding_window", 4096, "sliding_window: 4096 is not supported; use a model with full attention"),
        (
            "quantization_config",
            {"bits": 4},
            "quantization_config: {'bits': 4} is not supported; give the unquantized checkpoint",
        ),
        ("num_key_value_heads", 3, "num_key_value_heads: 3 does not divide 4 heads"),
        ("hidden_size", "32", "hidden_size: '32' is not an integer from 1 to 1048576"),
        ("hidden_size", None, "hidden_size: is missing"),
        ("intermediate_size", 62, "intermediate_size: 62 is not a multiple of 4; pad the model"),
        ("head_dim", 6, "head_dim: 6 is not a multiple of 4"),
        ("head_dim", 1024, "head_dim: 1024 is not an integer from 1 to 1020"),
        ("rms_norm_eps", "small", "rms_norm_eps: 'small' is not a number between 0.0 and 1.0"),
        ("rope_theta", 0, "rope_theta: 0 is not a number between 1.0"),
        ("eos_token_id", [3, 64], "eos_token_id: [3, 64] is not in the vocabulary of 64"),
        ("eos_token_id", True, "eos_token_id: True is not in the vocabulary of 64"),
        ("eos_token_id", [[3]], "eos_token_id: [[3]] is not in the vocabulary of 64"),
        ("bos_token_id", True, "bos_token_id: True is not in the vocabulary of 64"),
        ("hidden_act", list("long" * 99), "hidden_act: ['l', 'o', 'n', 'g', 'l', 'o', ...] is not supported"),
        ("tie_word_embeddings", "yes", "tie_word_embeddings: 'yes' is not true or false"),
    ],
)
def test_refused_configurations(tmp_path, key, value, message):
    folder = write_tiny_model(tmp_path / "m", config={key: value})
    assert refusal(folder).startswith(f"config.json: {message}")


def test_too_many_query_heads_per_kv_head(tmp_path):
    folder = write_tiny_model(tmp_path / "m", heads=32, kv_heads=1, head_dim=4)
    assert refusal(folder) == (
        "config.json: num_key_value_heads: 32 query heads per KV head, at most 31 are supported; "
        "use a model with more KV heads"
    )


def test_default_values(tmp_path):
    folder = write_tiny_model(
        tmp_path / "m",
        config={
            "head_dim": None,
            "rope_scaling": {"rope_type": "default"},
            "bos_token_id": None,
            "eos_token_id": [1, 2],
            "rope_theta": None,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e5},
            "mlp_bias": False,
        },
    )
    shape = Checkpoint(folder).shape
    assert (shape.head_dim, shape.bos, shape.eos, shape.rope_theta) == (8, None, (1, 2), 5e5)


def test_two_bases_of_the_rotary_embedding(tmp_path):
    """Which one counts depends on the version of the transformers library."""
    both = {
        "rope_theta": None,
        "rope_scaling": {"type": "default", "rope_theta": 5e5},
        "rope_parameters": {"rope_theta": 5e5},
    }
    folder = write_tiny_model(tmp_path / "m", config=both)
    assert Checkpoint(folder).shape.rope_theta == 5e5
    folder = write_tiny_model(tmp_path / "m", config=both | {"rope_parameters": {"rope_theta": 6e5}})
    assert refusal(folder) == (
        "config.json: rope_scaling.rope_theta: 500000.0 here, but rope_parameters.rope_theta is 600000.0; "
        "keep the model's own of them"
    )


@pytest.mark.parametrize(
    "config, generation, ids",
    [
        (2, None, (2,)),
        (2, {"eos_token_id": [2, 16]}, (2, 16)),
        (2, {"eos_token_id": 16}, (16,)),
        (2, {"temperature": 0.6}, (2,)),
        (2, {"eos_token_id": None}, (2,)),
        (2, {"eos_token_id": []}, ()),
        (None, {"eos_token_id": [5, 3, 5]}, (5, 3)),
        ([7, 7, 1, 9, 8, 6], None, (7, 1, 9, 8, 6)),
        (None, None, ()),
    ],
)
def test_end_tokens(tmp_path, config, generation, ids):
    """Those of generation_config.json, where it names any: a chat model's end of a turn stands only there."""
    folder = write_tiny_model(tmp_path / "m", config={"eos_token_id": config})
    source = Checkpoint(folder).source
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    assert Checkpoint(folder).shape.eos == ids and compile_model(folder).model["eos"] == list(ids)
    assert (Checkpoint(folder).source == source) == (generation is None), "it belongs to what an image is made of"


def test_refused_end_tokens_of_generation(tmp_path):
    folder = write_tiny_model(tmp_path / "m")
    for text, message in [
        (
            '{"eos_token_id": [2, 64]}',
            "eos_token_id: [2, 64] is not in the vocabulary of 64; use the model's own gener",
        ),
        ('{"eos_token_id": "2"}', "eos_token_id: '2' is not in the vocabulary of 64"),
        ("[]", "does not hold a JSON"),
        ('{"eos_token_id": false}', "eos_token_id: False is not in"),
        ("{", "not a readable JSON file"),
    ]:
        (folder / "generation_config.json").write_text(text)
        assert refusal(folder).startswith(f"generation_config.json: {message}")


def test_missing_files(tmp_path):
    assert refusal(tmp_path / "none").endswith(
        "none: no such model folder; give a folder with config.json and *.safetensors"
    )
    folder = write_tiny_model(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "model.bin")
    assert refusal(folder).endswith(": no *.safetensors file in it; give a folder with safetensors weights")
    (folder / "config.json").unlink()
    assert refusal(folder) == "config.json: no config.json there; give a folder with config.json and *.safetensors"


def test_damaged_json(tmp_path):
    folder = write_tiny_model(tmp_path / "m")
    (folder / "tokenizer.json").write_text("{")
    assert refusal(folder).startswith("tokenizer.json: not a readable JSON file (")
    (folder / "config.json").write_text("[]")
    assert refusal(folder) == "config.json: does not hold a JSON object; fetch it again"


def test_truncated_weights(tmp_path):
    folder = write_tiny_model(tmp_path / "m")
    file = folder / "model.safetensors"
    raw = file.read_bytes()
    file.write_bytes(raw[:-2])
    assert refusal(folder) == (
        f"model.safetensors: truncated: {len(raw)} bytes are promised, the file has {len(raw) - 2}; "
        "fetch or write it again"
    )
    file.write_bytes(raw[:100])
    assert "model.safetensors: truncated: its header takes" in refusal(folder)
    file.write_bytes(b"<!DOCTYPE html>")
    assert refusal(folder) == "model.safetensors: not a weights file; fetch the whole model folder"


K_PROJ = "model.layers.1.self_attn.k_proj"


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda w: w.pop(f"{K_PROJ}.weight"),
            f"{K_PROJ}.weight: no such tensor in the weights; check that the folder holds",
        ),
        (
            lambda w: w.update({f"{K_PROJ}.weight": np.zeros((16, 31))}),
            f"model.safetensors: {K_PROJ}.weight: shape [16, 31], config.json says [16, 32]; use weights and "
            "config.json of the same",
        ),
        (
            lambda w: w[f"{K_PROJ}.weight"].__setitem__((3, 5), np.nan),
            f"model.safetensors: {K_PROJ}.weight: holds nan at [3, 5]; repair the checkpoint: weights must be finite",
        ),
        (
            lambda w: w["model.norm.weight"].__setitem__(31, -np.inf),
            "model.safetensors: model.norm.weight: holds -inf at [31]; repair",
        ),
        (
            lambda w: w.update({f"{K_PROJ}.bias": np.zeros(16)}),
            f"model.safetensors: {K_PROJ}.bias: biases are not supported; use a model without attention and MLP biases",
        ),
    ],
)
def test_refused_tensors(tmp_path, change, message):
    folder = write_tiny_model(tmp_path / "m")
    weights = tiny_weights()
    change(weights)
    write_weights(folder / "model.safetensors", weights)
    assert message in refusal(folder)


def test_integer_weights_are_refused(tmp_path):
    folder = write_tiny_model(tmp_path / "m", dtype="BF16")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes().replace(b'"BF16"', b'"I16" '))
    assert "model.norm.weight: type I16 is not supported; convert it to F16, BF16 or F32" in refusal(folder)


def test_shards(tmp_path):
    whole = write_tiny_model(tmp_path / "m")
    folder = write_tiny_model(tmp_path / "sharded" / "m")
    (folder / "model.safetensors").unlink()
    weights = tiny_weights()
    names = sorted(weights)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for part, held in parts.items():
        write_weights(folder / part, {n: weights[n] for n in held})
    unindexed = compile_model(folder)
    table = {n: part for part, held in parts.items() for n in held}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": table}))
    for image in (unindexed, compile_model(folder)):
        for name, tensor in compile_model(whole).tensors.items():
            np.testing.assert_array_equal(image.tensors[name], tensor)
    index.write_text(json.dumps({"weight_map": {**table, names[0]: "model-2.safetensors"}}))
    assert (
        refusal(folder)
        == f"model.safetensors.index.json: {names[0]}: is not in model-2.safetensors; fetch the whole model folder"
    )
    index.write_text(json.dumps({"weight_map": {**table, names[0]: "model-3.safetensors"}}))
    assert refusal(folder) == "model-3.safetensors: no such weights file; fetch the whole model folder"


@pytest.mark.parametrize("dtype", ["F16", "F32", "BF16"])
def test_values_of_every_type(tmp_path, dtype):
    checkpoint = Checkpoint(write_tiny_model(tmp_path / "m", dtype=dtype))
    value = checkpoint.matrix("model.layers.0.mlp.up_proj", 64, 32)
    exact = tiny_weights()["model.layers.0.mlp.up_proj.weight"]
    assert value.dtype == np.float64
    bits = {"F16": 11, "F32": 24, "BF16": 8}[dtype]
    np.testing.assert_allclose(value, exact, rtol=2.0**-bits, atol=2.0**-25)
    assert not np.array_equal(value, exact)


def test_a_gain_that_overflows_is_refused(tmp_path):
    folder = write_tiny_model(tmp_path / "m", dtype="F32")
    weights = tiny_weights()
    weights["model.layers.0.input_layernorm.weight"] *= 1e38
    write_weights(
        folder / "model.safetensors", {n: np.abs(w) * (1e3 if "q_proj" in n else 1) for n, w in weights.items()}, "F32"
    )
    assert "layers.0.wq: a magnitude of" in refusal(folder)
