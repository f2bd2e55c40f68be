"""Folders in which more than one file, or name, could be the model's: one rule, or a refusal, and nothing in
silence.
"""

import json
import warnings

import numpy as np
import pytest

from hayate.compiler.checkpoint import Checkpoint
from hayate.compiler.weights import EMBEDDING, HEAD, INDEX, WHOLE, names
from hayate.rtl.contract.errors import HayateError, HayateWarning
from hayate.rtl.contract.tensorfile import TensorFile
from hayate.verif.models.tiny import tiny_weights, write_tiny_model, write_weights

PARTS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
NORM = "model.norm.weight"


def tensors(folder):
    """Name -> values of every tensor that a checkpoint reads; a HayateWarning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", HayateWarning)
        return read(Checkpoint(folder))


def read(checkpoint):
    shapes = {name: w.shape for name, w in tiny_weights(tied=checkpoint.shape.tied).items()}
    return {name: checkpoint._tensor(name, shape) for name, shape in shapes.items()}


def same(found, weights):
    return found.keys() == weights.keys() and all(
        np.array_equal(v, weights[n].astype(np.float16)) for n, v in found.items()
    )


def told(folder):
    """(tensors, the one warning), paths cut to file names."""
    with pytest.warns(HayateWarning) as caught:
        checkpoint = Checkpoint(folder)
    assert len(caught) == 1
    return read(checkpoint), str(caught[0].message).replace(f"{folder}/", "")


def refusal(folder):
    with pytest.raises(HayateError) as error:
        tensors(folder)
    return str(error.value).replace(f"{folder}/", "")


def shards(folder, weights, index=True, **changes):
    """Write `weights` as two shards and their index, in which `changes` (name=file) say otherwise; name -> file."""
    held = {name: PARTS[at % 2] for at, name in enumerate(sorted(weights))}
    for part in PARTS:
        write_weights(folder / part, {n: weights[n] for n, file in held.items() if file == part})
    if index:
        (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": {**held, **changes}}))
    return held


@pytest.fixture
def folder(tmp_path):
    """A tied model of seed 0 as one file."""
    return write_tiny_model(tmp_path / "m")


@pytest.fixture
def sharded(folder):
    """The same in shards with an index."""
    (folder / WHOLE).unlink()
    shards(folder, tiny_weights())
    return folder


def test_the_whole_file_before_the_index(folder):
    shards(folder, tiny_weights(seed=9))
    found, line = told(folder)
    assert same(found, tiny_weights())
    assert line == (
        f"{WHOLE}: is read, as the transformers library does, and {INDEX} beside it, which differs, is not; "
        "delete what is not the model"
    )


def test_an_index_that_says_the_same_is_no_second_truth(folder):
    shards(folder, tiny_weights())
    assert same(tensors(folder), tiny_weights())
    source = Checkpoint(folder).source
    for file in (INDEX, *PARTS):
        (folder / file).unlink()
    assert Checkpoint(folder).source == source, "only what is read counts"


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda f: (f / PARTS[0]).unlink(),
        lambda f: (f / PARTS[1]).write_bytes(b"<!DOCTYPE html>"),
        lambda f: (f / INDEX).write_text("{"),
    ],
)
def test_a_damaged_index_beside_the_whole_file_is_named(folder, corrupt):
    shards(folder, tiny_weights())
    corrupt(folder)
    found, line = told(folder)
    assert same(found, tiny_weights()) and f"{INDEX} beside it" in line


def test_other_weights_beside_what_is_read_are_named(folder, sharded):
    stale = folder / "old.safetensors"
    write_weights(stale, {NORM: np.ones(32)})
    found, line = told(folder)
    assert (
        same(found, tiny_weights())
        and f"{INDEX}: is read" in line
        and "old.safetensors beside it, which differs" in line
    )
    write_weights(stale, {NORM: tiny_weights()[NORM], "optimizer.state": np.ones(3)})
    assert same(tensors(folder), tiny_weights())


def test_shards_without_an_index_must_agree(sharded):
    (sharded / INDEX).unlink()
    assert same(tensors(sharded), tiny_weights())
    write_weights(sharded / "more.safetensors", {NORM: tiny_weights()[NORM]})
    assert same(tensors(sharded), tiny_weights())
    write_weights(sharded / "more.safetensors", {NORM: np.ones(32)})
    line = refusal(sharded)
    assert (
        f"more.safetensors: {NORM}: has other values than {NORM} in "
        f"{PARTS[sorted(tiny_weights()).index(NORM) % 2]}; delete" in line
    )
    write_weights(sharded / "more.safetensors", {NORM: np.ones(31)})
    assert "has other values" in refusal(sharded)


def test_shards_of_an_index_must_agree(sharded):
    held = shards(sharded, tiny_weights())
    other = next(part for part in PARTS if part != held[NORM])
    part = {n: w for n, w in tiny_weights().items() if held[n] == other}
    write_weights(sharded / other, {**part, NORM: np.ones(32)})
    assert f"{NORM}: has other values than {NORM} in" in refusal(sharded)


def test_what_an_index_lists_in_vain(sharded):
    shards(sharded, tiny_weights(), **{"model.layers.0.self_attn.rotary_emb.inv_freq": PARTS[0]})
    assert same(tensors(sharded), tiny_weights()), "no one needs it"
    weights = tiny_weights()
    del weights[NORM]
    shards(sharded, weights, **{NORM: PARTS[0]})
    assert refusal(sharded) == f"{INDEX}: {NORM}: is not in {PARTS[0]}; fetch the whole model folder"


def test_what_an_index_does_not_list(sharded):
    """The files that it names are read whole."""
    table = json.loads((sharded / INDEX).read_text())
    del table["weight_map"][NORM]
    (sharded / INDEX).write_text(json.dumps(table))
    assert same(tensors(sharded), tiny_weights())


@pytest.mark.parametrize(
    "name",
    [
        "../x.safetensors",
        "/x.safetensors",
        "a/x.safetensors",
        "..",
        "",
        "x",
        "\0.safetensors",
        3,
        None,
        ["x.safetensors"],
    ],
)
def test_an_index_that_leads_out_of_the_folder(sharded, name):
    write_weights(sharded.parent / "x.safetensors", {NORM: np.ones(32)})
    shards(sharded, tiny_weights(), **{NORM: name})
    line = refusal(sharded)
    assert (
        line.startswith(f"{INDEX}: {NORM}: ")
        and "is not the name of a file in the folder; fetch" in line
        and "\n" not in line
    )


def test_an_index_of_nothing(sharded):
    for text in ("[]", "{}", '{"weight_map": {}}', '{"weight_map": 3}'):
        (sharded / INDEX).write_text(text)
        assert refusal(sharded) == f"{INDEX}: weight_map: is missing or empty; fetch the whole model folder"


def test_a_file_that_an_index_names_is_not_there(sharded):
    shards(sharded, tiny_weights(), **{"unused": "model-00003.safetensors"})
    assert refusal(sharded) == "model-00003.safetensors: no such weights file; fetch the whole model folder"


def test_a_tied_model_may_be_saved_under_either_name(folder):
    weights = tiny_weights()
    for present in ({EMBEDDING}, {HEAD}, {EMBEDDING, HEAD}):
        rest = {n: w for n, w in weights.items() if n != EMBEDDING}
        write_weights(folder / WHOLE, rest | dict.fromkeys(present, weights[EMBEDDING]))
        assert same(tensors(folder), weights)


def test_a_tied_model_with_a_head_of_its_own(folder):
    """Versions of the transformers library differ in which of the two they use."""
    write_weights(folder / WHOLE, tiny_weights() | {HEAD: tiny_weights(tied=False)[HEAD]})
    assert refusal(folder) == (
        f"{WHOLE}: {HEAD}: differs from {EMBEDDING}, and config.json has tie_word_embeddings true; set that to "
        f"false to use {HEAD} as output matrix, or delete {HEAD} to use {EMBEDDING}"
    )


@pytest.mark.parametrize("missing", [EMBEDDING, HEAD])
def test_an_untied_model_with_one_of_the_two(tmp_path, missing):
    folder = write_tiny_model(tmp_path / "m", tied=False)
    assert same(tensors(folder), tiny_weights(tied=False))
    weights = tiny_weights(tied=False)
    del weights[missing]
    write_weights(folder / WHOLE, weights)
    line = refusal(folder)
    assert (
        f"{missing}: no such tensor in the weights;" in line
        and "set tie_word_embeddings to true in config.json" in line
    )


def test_names_of_a_base_model(folder):
    bare = {name.removeprefix("model."): w for name, w in tiny_weights().items()}
    write_weights(folder / WHOLE, bare)
    assert same(tensors(folder), tiny_weights())
    write_weights(folder / WHOLE, tiny_weights() | {"norm.weight": tiny_weights()[NORM]})
    assert same(tensors(folder), tiny_weights())
    write_weights(folder / WHOLE, tiny_weights() | {"norm.weight": np.ones(32)})
    assert "norm.weight: has other values than" in refusal(folder) and "in the same file" in refusal(folder)
    write_weights(folder / WHOLE, bare | {"layers.0.self_attn.q_proj.bias": np.ones(32)})
    assert "layers.0.self_attn.q_proj.bias: biases are not supported" in refusal(folder)


def test_tensors_without_a_use_are_named(folder):
    deep = tiny_weights(layers=3)
    write_weights(folder / WHOLE, deep)
    _, line = told(folder)
    assert line.startswith(
        f"{WHOLE}: model.layers.2.input_layernorm.weight and 8 more tensors are not read: config.json describes"
    )
    write_weights(folder / WHOLE, tiny_weights() | {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(4)})
    assert same(tensors(folder), tiny_weights())


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter_is_not_left_out_in_silence(folder, name):
    (folder / name).write_bytes(b"")
    assert refusal(folder) == (
        f"{name}: an adapter of a model, which would be left out; "
        "merge it into the weights, or delete it to use the model without it"
    )


def test_names_are_those_of_the_model():
    assert names(2) == set(tiny_weights(tied=False))


@pytest.mark.parametrize(
    "entry",
    [
        {"shape": [float("inf")]},
        {"shape": [-1, -2]},
        {"data_offsets": [-4, 0]},
        {"data_offsets": [4, 0]},
        {"shape": [10**30]},
        {"shape": [1 << 33, 1 << 31]},
    ],
)
def test_a_header_of_impossible_sizes(folder, entry):
    header = json.dumps({NORM: {"dtype": "F16", "shape": [2], "data_offsets": [0, 4], **entry}}).encode()
    file = folder / "more.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"1234")
    with pytest.raises(HayateError, match="more.safetensors"):
        TensorFile(file).tensor(NORM)
    assert f"{WHOLE}: is read" in told(folder)[1]
