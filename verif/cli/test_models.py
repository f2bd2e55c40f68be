"""Models and images that cannot be used end in one line that names the file and the field, exit code 2, and nothing
written.
"""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hayate.compiler import compile_model
from hayate.rtl.contract.image import VERSION
from hayate.rtl.contract.tensorfile import TensorFile, write_tensors

NORM, EMBEDDING = "model.norm.weight", "model.embed_tokens.weight"
CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
NESTED = '{"a": ' + "[" * 100_000  # deeper than Python reads


def config(**changes):
    """A change of keys of config.json; None removes one."""

    def change(folder):
        values = {**json.loads((folder / CONFIG).read_text()), **changes}
        (folder / CONFIG).write_text(json.dumps({k: v for k, v in values.items() if v is not None}))

    return change


def text(name, content):
    return lambda folder: (folder / name).write_text(content)


def header(content):
    """Weights of nothing but a header."""
    return lambda folder: (folder / WEIGHTS).write_bytes(len(content).to_bytes(8, "little") + content.encode())


def remove(name):
    return lambda folder: (folder / name).unlink()


def cut(name, size):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def tensor(name, change):
    """A change of one tensor; None from `change` removes it."""

    def apply(folder):
        tensors = load_file(folder / WEIGHTS)
        tensors[name] = change(tensors.get(name))
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items() if v is not None}, folder / WEIGHTS)

    return apply


def corrupted(value):
    def change(array):
        array[3, 5] = value
        return array

    return change


CASES = {
    "no config": (remove(CONFIG), [CONFIG, "no config.json there"]),
    "config no JSON": (text(CONFIG, "{"), [CONFIG, "not a readable JSON file"]),
    "config a list": (text(CONFIG, "[]"), [CONFIG, "JSON object"]),
    "config nested": (text(CONFIG, NESTED), [CONFIG, "nested too deeply"]),
    "size nested": (
        text(CONFIG, '{"model_type": ' + "[" * 900 + "]" * 900 + "}"),
        [CONFIG, "model_type", "is not supported"],
    ),
    "generation nested": (text("generation_config.json", NESTED), ["generation_config.json", "nested too deeply"]),
    "index nested": (
        lambda folder: (remove(WEIGHTS)(folder), text(INDEX, NESTED)(folder)),
        [INDEX, "nested too deeply"],
    ),
    "header nested": (header(NESTED), [WEIGHTS, "not a weights file"]),
    "calibration nested": (
        text("calibration.json", NESTED),
        ["calibration.json", "nested too deeply", "hayate calibrate"],
    ),
    "base table nested": (text("ngrams.json", NESTED), ["ngrams.json", "nested too deeply", "hayate ngrams"]),
    "size a text": (config(hidden_size="big"), [CONFIG, "hidden_size", "'big' is not an integer"]),
    "size missing": (config(vocab_size=None), [CONFIG, "vocab_size", "is missing"]),
    "size negative": (config(num_hidden_layers=-1), [CONFIG, "num_hidden_layers", "-1"]),
    "family": (config(model_type="gpt2"), [CONFIG, "model_type", "'gpt2' is not supported", "llama"]),
    "end token": (config(eos_token_id=64), [CONFIG, "eos_token_id", "64 is not in the vocabulary of 64"]),
    "no weights": (remove(WEIGHTS), ["no *.safetensors"]),
    "weights cut": (cut(WEIGHTS, 20000), [WEIGHTS, "truncated", "the file has 20000"]),
    "header cut": (cut(WEIGHTS, 100), [WEIGHTS]),
    "weights empty": (cut(WEIGHTS, 0), [WEIGHTS, "not a weights file"]),
    "weights of text": (text(WEIGHTS, "<!DOCTYPE html> no such file"), [WEIGHTS, "not a weights file", "fetch"]),
    "shape": (tensor(EMBEDDING, lambda t: t[:, :16]), [WEIGHTS, EMBEDDING, "[64, 16]", "[64, 32]"]),
    "tensor missing": (tensor(NORM, lambda t: None), [NORM, "no such tensor"]),
    "tensor of integers": (tensor(NORM, lambda t: t.astype(np.int32)), [WEIGHTS, NORM, "I32 is not supported"]),
    "NaN": (tensor(EMBEDDING, corrupted(np.nan)), [WEIGHTS, EMBEDDING, "nan at [3, 5]", "finite"]),
    "infinity": (tensor(EMBEDDING, corrupted(np.inf)), [WEIGHTS, EMBEDDING, "inf at [3, 5]"]),
    "bias": (
        tensor("model.layers.0.self_attn.q_proj.bias", lambda t: np.zeros(32, np.float16)),
        [WEIGHTS, "q_proj.bias", "not supported"],
    ),
    "tokenizer no JSON": (text("tokenizer.json", "{"), ["tokenizer.json", "not a readable JSON file"]),
    "tokenizer nested": (text("tokenizer.json", NESTED), ["tokenizer.json", "nested too deeply"]),
    "tokenizer of nothing": (text("tokenizer.json", "{}"), ["tokenizer.json", "not usable", "--prompt-ids"]),
    "no tokenizer": (remove("tokenizer.json"), ["tokenizer.json", "no tokenizer", "--prompt-ids"]),
}


@pytest.fixture
def model(tiny, tmp_path):
    """A copy of the model, to be corrupted."""
    return shutil.copytree(tiny, tmp_path / "model")


@pytest.mark.parametrize("case", CASES)
def test_generate_from_a_directory(case, refused, model):
    corrupt, parts = CASES[case]
    corrupt(model)
    refused(
        "generate",
        "x",
        "--model",
        model,
        "--backend",
        "golden",
        "--json",
        "r.json",
        parts=[*parts, str(model)] if "not usable" not in parts and "no tokenizer" not in parts else parts,
    )


@pytest.mark.parametrize("case", [c for c in CASES if "tokenizer" not in c])
def test_compile(case, refused, model):
    corrupt, parts = CASES[case]
    corrupt(model)
    refused("compile", model, "-o", "out/m.hayate", parts=parts)


def test_a_warning_is_one_line(cli, model):
    (model / "other.safetensors").write_bytes(b"")
    for command in (
        ("compile", model, "-o", "m.hayate"),
        ("generate", "x", "--model", model, "--backend", "golden", "--tokens", "2"),
    ):
        outcome = cli(*command)
        assert outcome.code == 0 and outcome.err == (
            f"hayate: {model / WEIGHTS}: is read, as the transformers library does, and other."
            "safetensors beside it, which differs, is not; delete what is not the model\n"
        )


def test_ids_need_no_tokenizer(cli, model):
    (model / "tokenizer.json").unlink()
    outcome = cli(
        "generate", "--model", model, "--prompt-ids", "5,9", "--backend", "golden", "--tokens", "3", "--json", "-"
    )
    assert outcome.code == 0 and len(json.loads(outcome.out)["tokens"]) == 3


def test_a_model_that_does_not_fit(refused, tiny):
    for command in ("compile", tiny), ("generate", "x", "--model", tiny):
        refused(
            *command,
            "--config",
            "unit",
            "--set",
            "bank_depth=512",
            parts=["configuration unit", "bank_depth", "does not fit", "512 there", "too few", "--set bank_depth="],
        )


def test_the_remedy_is_one(cli, refused, tiny, work):
    """What the message says to do makes the model fit."""
    line = refused(
        "compile", tiny, "--config", "unit", "--set", "bank_depth=512", "--set", "act_depth=16", parts=["act_depth"]
    ).err
    options = line.rpartition("; ")[2].split()
    outcome = cli("compile", tiny, "--config", "unit", *options, "-o", "m.hayate")
    assert outcome.code == 0 and (work / "m.hayate").is_file()


def metadata(**changes):
    def change(path):
        file = TensorFile(path)
        write_tensors(path, {name: file.tensor(name).copy() for name in file.names}, {**file.metadata, **changes})

    return change


IMAGES = {
    "version": (
        metadata(version="99"),
        ["version", f"image version 99, this program reads version {VERSION}", "compile the model again"],
    ),
    "contract": (
        metadata(contract="0123456789abcdef"),
        ["contract", "made for contract 0123456789ab", "compile the model again"],
    ),
    "format": (metadata(format="pt"), ["format", "'pt' is not a Hayate image", "hayate compile"]),
    "program": (metadata(program="[[1]]"), ["program", "damaged", "compile the model again"]),
    "program nested": (
        metadata(program="[" * 100_000),
        ["program", "damaged (nested too deeply)", "compile the model again"],
    ),
    "instruction": (metadata(program='[["GEMV", []]]'), ["program", "damaged", "compile the model again"]),
    "header": (
        lambda path: path.write_bytes(len(NESTED).to_bytes(8, "little") + NESTED.encode()),
        ["not a Hayate image"],
    ),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-100]), ["truncated", "bytes are promised"]),
    "empty": (lambda path: path.write_bytes(b""), ["not a Hayate image", "hayate compile"]),
    "text": (lambda path: path.write_text("def main():\n    pass\n"), ["not a Hayate image", "hayate compile"]),
}


@pytest.mark.parametrize("case", IMAGES)
def test_generate_from_an_image(case, refused, tiny, tmp_path):
    corrupt, parts = IMAGES[case]
    path = tmp_path / "m.hayate"
    compile_model(tiny).save(path)
    corrupt(path)
    refused("generate", "x", "--model", path, "--backend", "golden", parts=[str(path), *parts])


def test_an_image_cannot_be_compiled(refused, tiny, tmp_path):
    compile_model(tiny).save(tmp_path / "m.hayate")
    refused("compile", tmp_path / "m.hayate", parts=["m.hayate", "not a model directory", "config.json"])
