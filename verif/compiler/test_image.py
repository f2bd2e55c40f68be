"""The image file: round trip, reproducible bytes, and every way in which a file can be no good."""

import dataclasses
import json
import random

import numpy as np
import pytest
from safetensors import safe_open

from hayate.compiler import compile_model
from hayate.rtl.contract import files
from hayate.rtl.contract import image as image_module
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.image import NGRAMS, VERSION, Image, contract_hash
from hayate.verif.models.tiny import write_tiny_model


def test_round_trip(image, tmp_path):
    image.save(tmp_path / "a.img")
    again = Image.load(tmp_path / "a.img")
    for f in dataclasses.fields(Image):
        if f.name != "tensors":
            assert getattr(again, f.name) == getattr(image, f.name), f.name
    assert again.tensors.keys() == image.tensors.keys()
    for name, tensor in image.tensors.items():
        assert again.tensors[name].dtype == tensor.dtype
        assert again.tensors[name].tobytes() == tensor.tobytes(), name


def test_same_bytes_each_time(model_folder, image, tmp_path):
    image.save(tmp_path / "a.img")
    compile_model(model_folder).save(tmp_path / "b.img")
    Image.load(tmp_path / "a.img").save(tmp_path / "c.img")
    first = (tmp_path / "a.img").read_bytes()
    assert first == (tmp_path / "b.img").read_bytes() == (tmp_path / "c.img").read_bytes()


def test_is_an_ordinary_safetensors_file(image, tmp_path):
    image.save(tmp_path / "a.img")
    with safe_open(tmp_path / "a.img", "np") as file:
        assert file.metadata()["format"] == "hayate-image"
        assert json.loads(file.metadata()["model"])["hidden"] == 32
        np.testing.assert_array_equal(file.get_tensor("layers.1.wdown"), image.tensors["layers.1.wdown"])


def test_tokenizer_is_embedded(image, model_folder):
    assert image.tokenizer_json == (model_folder / "tokenizer.json").read_text()


def test_tokenizer_is_optional(tmp_path):
    folder = write_tiny_model(tmp_path / "m")
    (folder / "tokenizer.json").unlink()
    assert compile_model(folder).tokenizer_json is None


def test_ngrams_are_optional_and_come_back(image, tmp_path):
    assert image.ngrams.shape == (0, 3) and image.ngrams.dtype == np.int32 and NGRAMS not in image.tensors
    rows = np.array([[3, 63, 0], [0, 0, 7], [-1, 5, 63]], np.int32)
    dataclasses.replace(image, tensors=image.tensors | {NGRAMS: rows}).save(tmp_path / "a.img")
    again = Image.load(tmp_path / "a.img").ngrams
    assert again.dtype == np.int32 and again.tolist() == rows.tolist()


@pytest.mark.parametrize(
    "rows, message",
    [
        (
            np.zeros((4, 2), np.int32),
            r"holds int32 values of shape \[4, 2\], not rows of 3 int32 values; compile the model again",
        ),
        (np.zeros(3, np.int32), r"holds int32 values of shape \[3\]"),
        (np.zeros((1, 3), np.float32), r"holds float32 values of shape \[1, 3\]"),
        (np.array([[1, 2, 64]], np.int32), "holds tokens outside the vocabulary of 64; compile the model again"),
        (np.array([[64, 2, 1]], np.int32), "holds tokens outside the vocabulary"),
        (np.array([[-2, 2, 1]], np.int32), "holds tokens outside the vocabulary"),
        (np.array([[0, -1, 1]], np.int32), "holds tokens outside the vocabulary"),
        (np.array([[0, 1, -1]], np.int32), "holds tokens outside the vocabulary"),
    ],
)
def test_damaged_ngrams_are_refused(image, tmp_path, rows, message):
    dataclasses.replace(image, tensors=image.tensors | {NGRAMS: rows}).save(tmp_path / "a.img")
    with pytest.raises(HayateError, match=f"a.img: ngrams: {message}"):
        Image.load(tmp_path / "a.img")


def test_contract_hash_follows_the_contract(monkeypatch):
    before = contract_hash()
    for change in (
        lambda: monkeypatch.setitem(image_module.encoding.MICRO.places, "op", (0, 5)),
        lambda: monkeypatch.setattr(image_module.draft, "BASE_LOG2", (9, 11)),
    ):
        change()
        contract_hash.cache_clear()
        changed = contract_hash()
        monkeypatch.undo()
        contract_hash.cache_clear()
        assert changed != before == contract_hash()


def _edit_metadata(path, **changes):
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header["__metadata__"] |= changes
    header["__metadata__"] = {k: v for k, v in header["__metadata__"].items() if v is not None}
    new = json.dumps(header).encode()
    path.write_bytes(len(new).to_bytes(8, "little") + new + raw[8 + length :])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format": "other"}, "format: 'other' is not a Hayate image; compile one with: hayate compile MODEL -o IMAGE"),
        ({"format": None}, "format: 'none' is not a Hayate image"),
        (
            {"version": "99"},
            f"version: image version 99, this program reads version {VERSION}; compile the model again",
        ),
        ({"contract": "0" * 64}, "contract: made for contract 000000000000, this machine has"),
        ({"program": "[[1"}, "program: damaged"),
        ({"program": '[["JUMP", {}]]'}, "program: damaged"),
        ({"micros": None}, "micros: damaged"),
        ({"descriptors": '[{"name": "x"}]'}, "descriptors: damaged"),
    ],
)
def test_refused_images(image, tmp_path, changes, message):
    path = tmp_path / "a.img"
    image.save(path)
    _edit_metadata(path, **changes)
    with pytest.raises(HayateError) as error:
        Image.load(path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_tensor_of_another_shape_is_refused(image, tmp_path):
    path = tmp_path / "a.img"
    tensors = {**image.tensors, "emb": image.tensors["emb"][:-4]}
    dataclasses.replace(image, tensors=tensors).save(path)
    with pytest.raises(HayateError, match="emb: does not hold 64 rows of 8 words; compile the model again"):
        Image.load(path)


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("layers.1.wo.w8", lambda t: t[:-1], "layers.1.wo.w8: does not hold 32 rows of 32 int8 values"),
        ("layers.1.wo.w8", lambda t: t.view(np.uint8), "layers.1.wo.w8: does not hold 32 rows of 32 int8 values"),
        ("layers.1.wo.scale", lambda t: t[:, :0], "layers.1.wo.scale: does not hold 32 rows of 1 float16 values"),
        ("layers.1.wo.scale", lambda t: None, "layers.1.wo.scale: does not hold 32 rows of 1 float16 values"),
    ],
)
def test_planes_of_another_shape_are_refused(image, tmp_path, name, change, message):
    path, new = tmp_path / "a.img", change(image.tensors[name])
    tensors = {n: t for n, t in image.tensors.items() if n != name} | ({} if new is None else {name: new})
    dataclasses.replace(image, tensors=tensors).save(path)
    with pytest.raises(HayateError, match=message):
        Image.load(path)


def test_planes_of_another_group_are_refused(image, tmp_path):
    path = tmp_path / "a.img"
    descriptors = tuple(dataclasses.replace(d, group=48) if d.planes else d for d in image.descriptors)
    dataclasses.replace(image, descriptors=descriptors).save(path)
    with pytest.raises(HayateError, match="emb: its planes have groups of 48; compile the model again"):
        Image.load(path)


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(HayateError, match="none.img: no such Hayate image; compile one with"):
        Image.load(tmp_path / "none.img")
    for content in (
        b"",
        b"abc",
        b"\xff" * 64,
        (2).to_bytes(8, "little") + b"{}",
        (9).to_bytes(8, "little") + b"{not json",
    ):
        (tmp_path / "x.img").write_bytes(content)
        with pytest.raises(HayateError, match="not a Hayate image"):
            Image.load(tmp_path / "x.img")
    with pytest.raises(HayateError, match="cannot be read|not a Hayate image"):
        Image.load(tmp_path)


def test_truncated_anywhere(image, tmp_path):
    image.save(tmp_path / "a.img")
    raw = (tmp_path / "a.img").read_bytes()
    header = 8 + int.from_bytes(raw[:8], "little")
    for size in (8, 20, header - 1, header, header + 100, len(raw) - 1):
        (tmp_path / "x.img").write_bytes(raw[:size])
        with pytest.raises(HayateError, match="x.img: truncated: .*; fetch or write it again"):
            Image.load(tmp_path / "x.img")


@pytest.mark.parametrize("kind", ["cut", "digits", "bytes", "gap"])
def test_damage_anywhere_is_refused(kind, image, tmp_path):
    """In the middle of a number, of a name or of the weights: never another image, never another exception."""
    path, rng = tmp_path / "x.img", random.Random(kind)
    image.save(path)
    raw = path.read_bytes()
    header = 8 + int.from_bytes(raw[:8], "little")
    for _ in range(60):
        data = bytearray(raw)
        if kind == "cut":
            del data[rng.randrange(len(data)) :]
        elif kind == "gap":
            start = rng.randrange(8, header)
            del data[start : start + rng.randrange(1, 40)]
        else:
            at = rng.randrange(8, header) if kind == "digits" else rng.randrange(header, len(data))
            data[at] = rng.choice([b for b in (b"0123456789" if kind == "digits" else range(256)) if b != data[at]])
        path.write_bytes(data)
        with pytest.raises(HayateError):
            Image.load(path)


def test_failed_save_leaves_the_old_file(image, tmp_path, monkeypatch):
    path = tmp_path / "a.img"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(HayateError, match="a.img: cannot be written .No space left on device.; give a writable path"):
        image.save(path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.img"]
    with pytest.raises(HayateError, match="cannot be written"):
        image.save(tmp_path / "missing" / "a.img")
