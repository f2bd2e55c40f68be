"""Integer copies: their place in the banks, unpacked bit by bit; which copies an image keeps; formats at load."""

import dataclasses
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hayate.compiler import compile_model, place, report
from hayate.compiler.calibrate import load_calibration
from hayate.compiler.copies import Numbers
from hayate.compiler.quantize import quantize
from hayate.rtl.contract.config import Config
from hayate.rtl.contract.encoding import PLANES
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.image import Image
from hayate.rtl.contract.isa import PRECISION_BIT, Op, Space
from hayate.rtl.contract.precision import Format
from hayate.verif.compiler.test_place import configs, decode, global_row, local_blocks
from hayate.verif.models.tiny import write_tiny_model

# K of 20, 36 and 300: no multiples of 16 or of a group, up to three scale words.
SHAPES = [
    (dict(hidden=20, ff=300, vocab=40, layers=1, heads=3, kv_heads=1, head_dim=12), dict(group=32)),
    (dict(hidden=36, ff=300, vocab=37, layers=1, tied=False), dict(group=64, fp16="none")),
    (dict(hidden=160, ff=20, vocab=33, layers=1, heads=6, kv_heads=3, head_dim=4), dict(group=32, fp16=12000)),
    (dict(hidden=32, ff=268, vocab=32, layers=1), dict(group=128)),
]
CONFIG = Config(name="test", tiles=2, banks=4, bank_depth=8192, max_slots=52)


@lru_cache(maxsize=None)
def model(number):
    shape, options = SHAPES[number]
    with TemporaryDirectory() as folder:
        return compile_model(write_tiny_model(Path(folder) / "m", **shape), **options)


def signed(word, at, width=4):
    value = word >> at & ((1 << width) - 1)
    return value - (1 << width) if value >> (width - 1) else value


def unpack(hi_plane, lo_plane, k, group):
    """(weights, bits of the scales) of a row's words: every four groups a scale word, then their hi words; lo words
    apart.
    """
    weights, scales, at = [], [], 0
    for first in range(0, k, 4 * group):
        elements = min(k - first, 4 * group)
        fields = [hi_plane[at] >> 16 * i & 0xFFFF for i in range(4)]
        live = -(-elements // group)
        assert not any(fields[live:])
        scales += fields[:live]
        at += 1
        for element in range(first, first + elements):
            hi = signed(hi_plane[at + (element - first) // 16], 4 * (element % 16))
            weights.append(16 * hi + signed(lo_plane[element // 16], 4 * (element % 16)))
        at += -(-elements // 16)
    assert at == len(hi_plane) and len(lo_plane) == -(-k // 16)
    tail = 4 * (k % 16)
    assert not tail or (hi_plane[-1] >> tail == 0 and lo_plane[-1] >> tail == 0)
    return weights, scales


@settings(max_examples=25, deadline=None)
@given(st.integers(0, len(SHAPES) - 1), configs)
def test_every_row_is_unpacked_as_it_was_quantized(number, config):
    image = model(number)
    placement = place(image, config)
    for index, d in enumerate(image.descriptors):
        if not d.planes:
            continue
        k, seen = 4 * d.words, np.zeros(d.rows, int)
        w8, scale = image.tensors[f"{d.planes}.w8"], image.tensors[f"{d.planes}.scale"].view(np.uint16)
        for t in placement.tiles:
            f = decode(t.descriptors[index])
            p = decode(t.descriptors[f["alt"]], PLANES)
            assert (1 << p["group"]) * 32 == d.group and p["fp16"] == bool(d.tensor)
            assert (p["grid_out"], p["grid_err"], p["grid_int8_err"]) == d.grids
            for block in range(local_blocks(d, t.csr)):
                for r in range(f["rows"]):
                    bank, first = t.banks[r % config.banks], p["base"] + block * p["block_stride"]
                    hi, lo = (
                        first + r // config.banks * p["pitch"],
                        first + p["lo_offset"] + r // config.banks * -(-k // 16),
                    )
                    weights, scales = unpack(
                        bank[hi : hi + p["pitch"]].tolist(), bank[lo : lo + -(-k // 16)].tolist(), k, d.group
                    )
                    g = global_row(d, f, t.csr, block, r, d.rows // d.blocks)
                    assert weights == w8[g].tolist() and scales == scale[g].tolist()
                    seen[g] += 1
        assert (seen == 1).all(), d.name


def test_both_copies_have_one_exponent(image):
    """FP16 and INT8 copy are the same matrix, at the top of FP16's range."""
    for d in (d for d in image.descriptors if d.planes):
        half = image.tensors[d.tensor].astype(np.float64)
        assert 2.0**14 <= np.abs(half).max() <= 2.0**15
        scale = np.repeat(image.tensors[f"{d.planes}.scale"].astype(np.float64), d.group, axis=1)[:, : half.shape[1]]
        assert np.abs(image.tensors[f"{d.planes}.w8"] * scale - half).max() <= 0.51 * np.abs(scale).max()


def test_images_without_planes_have_nothing_of_them(model_folder):
    image = compile_model(model_folder, planes=False)
    assert not any(d.planes or d.group for d in image.descriptors) and not any(
        n.endswith((".w8", ".scale")) for n in image.tensors
    )
    placement = place(image, CONFIG)
    assert placement.precision == {} and all(len(t.descriptors) == len(image.descriptors) for t in placement.tiles)
    assert not [load for load in placement.loads() if load.space == Space.CSR and load.addr >> PRECISION_BIT]
    assert image.notes["matrices"]["layers.0.wq"]["exponent"] == 0


def test_copies_that_are_kept(model_folder, tmp_path):
    def fp16(folder=model_folder, **options):
        return {d.name for d in compile_model(folder, **options).descriptors if d.planes and d.tensor}

    every = fp16()
    assert every == {"emb", *(f"layers.{i}.{w}" for i in range(2) for w in ("wq", "wk", "wv", "wo", "wgu", "wdown"))}
    assert fp16(fp16="none") == fp16(fp16=0) == {"emb"}  # the machine looks up rows of it
    assert fp16(fp16=1 << 30) == every
    untied = write_tiny_model(tmp_path / "untied", tied=False)
    image = compile_model(untied, fp16="none")
    assert image.descriptor("emb")[1].tensor and not image.descriptor("emb")[1].planes and "head" not in image.tensors
    d = image.descriptor("head")[1]
    assert (d.tensor, d.planes, d.rows, d.words) == ("", "head", 64, 8)
    image.save(tmp_path / "a.img")
    assert Image.load(tmp_path / "a.img").descriptors == image.descriptors


def found(names, gains):
    return {
        n: {
            "gains": [1.0, gains.get(n, 0.0)],
            "ratios": [0.01, 1e-5],
            "grids": [50, 47, 44],
            "sensitivities": [300, 70000],
        }
        for n in names
    }


def test_a_budget_goes_to_the_fragile(model_folder):
    """By KL saved per byte, nothing where none is saved, and skipping what does not fit."""
    full = compile_model(model_folder)
    names = [d.name for d in full.descriptors if d.planes]
    size = {n: full.tensors[n].nbytes for n in names}
    assert size["layers.0.wgu"] == 2 * size["layers.0.wdown"] == 8 * size["layers.0.wk"]
    gains = {"layers.1.wgu": 8.1, "layers.0.wdown": 4.0, "layers.0.wk": 0.9, "layers.0.wv": -1.0}
    calibration = found(names, gains)
    for budget, expected in [
        (0, set()),
        (size["layers.1.wgu"], {"layers.1.wgu"}),
        (size["layers.1.wgu"] - 1, {"layers.0.wdown", "layers.0.wk"}),
        (1 << 30, {"layers.1.wgu", "layers.0.wdown", "layers.0.wk"}),
    ]:
        image = compile_model(model_folder, fp16=budget, calibration=calibration)
        assert {d.name for d in image.descriptors if d.planes and d.tensor} == {"emb"} | expected, budget
    d = image.descriptor("layers.0.wq")[1]
    assert (d.grids, d.sensitivities) == ((50, 47, 44), (300, 70000))
    row = next(p for p in report(image, CONFIG)["precision"] if p["name"] == "layers.1.wgu")
    assert row["gains"] == [1.0, 8.1] and row["ratios"] == [0.01, 1e-5]
    del calibration["layers.1.wo"]
    with pytest.raises(
        HayateError, match="calibration: layers.1.wo: does not know this matrix; calibrate the model again"
    ):
        compile_model(model_folder, calibration=calibration)


def test_calibration_beside_the_checkpoint_is_used():
    folder = Path(__file__).resolve().parents[2] / "models" / "py-nano"
    known = load_calibration(folder, 32)
    image = compile_model(folder)
    for d in (d for d in image.descriptors if d.planes):
        assert (list(d.grids), list(d.sensitivities)) == (known[d.name]["grids"], known[d.name]["sensitivities"])
        assert image.notes["matrices"][d.name]["gains"] == known[d.name]["gains"]
    with pytest.raises(HayateError, match="calibration.json: group: made for groups of 32, not 64"):
        compile_model(folder, group=64)
    assert "gains" not in compile_model(folder, group=64, calibration=False).notes["matrices"]["emb"]


def test_a_budget_without_calibration_goes_to_the_largest_errors(model_folder):
    full = compile_model(model_folder)
    errors = {n: note["errors"][1] for n, note in full.notes["matrices"].items() if n != "emb"}
    worst = max(errors, key=errors.get)
    image = compile_model(model_folder, fp16=full.tensors[worst].nbytes)
    assert image.descriptor(worst)[1].tensor


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(group=48), "compile: group: 48 is not supported; use 32, 64 or 128"),
        (dict(fp16="some"), "compile: fp16: 'some' is neither all, none nor a number of bytes; use all"),
        (dict(fp16=-1), "compile: fp16: -1 is neither"),
        (dict(fp16=True), "compile: fp16: True is neither"),
        (
            dict(fp16="none", planes=False),
            "compile: fp16: 'none' leaves matrices without any copy; use it with planes only",
        ),
    ],
)
def test_refused_options(model_folder, options, message):
    with pytest.raises(HayateError) as error:
        compile_model(model_folder, **options)
    assert str(error.value).startswith(message) and error.value.exit_code == 2


def test_default_grids_hold_inputs_of_magnitude_one():
    rng = np.random.default_rng(6)
    for spread in (1.0, 1e3):
        half = (rng.standard_normal((16, 96)) * spread).astype(np.float16)
        nested = quantize(half.astype(np.float64), 32)
        numbers = Numbers.of(half, nested)
        parts = (nested.int8(), nested.int8() - nested.int4(), half - nested.int8())
        for part, grid in zip(parts, numbers.grids(), strict=True):
            worst = int(np.abs(part).sum(axis=1).max() * 2.0**48)
            assert worst >> grid < 1 << 15
        assert worst >> numbers.grids()[0] - 5 < 1 << 15  # no part is measured on a needlessly fine grid
        assert int(np.abs(parts[0]).sum(axis=1).max() * 2.0**48) >> numbers.grids()[0] >= 1 << 14


def test_default_sensitivities_are_one_number_on_each_grid(image):
    """sensitivity / 2**(2 * (grid - grid_out)) is the same for every matrix, up to its rounding."""
    values = []
    for d in (d for d in image.descriptors if d.planes):
        for s, grid in zip(d.sensitivities, d.grids[1:], strict=True):
            assert s >= 32 and grid >= d.grids[0] - 4
            values.append(s * 4.0 ** (d.grids[0] - grid))
    assert max(values) / min(values) < 1.05
    errors = np.mean([image.notes["matrices"][d.name]["errors"][0] for d in image.descriptors if d.planes])
    assert values[0] / 256 * errors == pytest.approx(1, rel=0.05)


def test_formats_at_load():
    image = model(2)  # some matrices have an FP16 copy
    kept = {d.name: bool(d.tensor) for d in image.descriptors if d.planes}
    assert 1 < sum(kept.values()) < len(kept)
    assert place(image, CONFIG).precision == {n: Format.FP16 if half else Format.INT8 for n, half in kept.items()}
    chosen = {"layers.0.wo": Format.INT4, "emb": Format.INT8}
    placement = place(image, CONFIG, precision=chosen)
    assert placement.precision == place(image, CONFIG).precision | chosen
    for t in placement.tiles:
        index = t.planes["layers.0.wo"][0]
        assert [
            x.data
            for x in placement.loads()
            if (x.stop, x.space, x.addr) == (t.stop, Space.CSR, 1 << PRECISION_BIT | index)
        ] == [2]
    without = next(n for n, half in kept.items() if not half)
    with pytest.raises(
        HayateError, match=f"precision: {without}: the image does not have it in FP16; it has INT8, INT4"
    ):
        place(image, CONFIG, precision={without: Format.FP16})
    with pytest.raises(HayateError, match="precision: load: the image does not have it in INT8; it has no copy"):
        place(image, CONFIG, precision={"load": Format.INT8})
    with pytest.raises(
        HayateError, match="precision: layers.9.wq: the image does not have it in INT4; it has no matrix of this name"
    ):
        place(image, CONFIG, precision={"layers.9.wq": Format.INT4})


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_vectors_that_matrices_multiply_begin_on_blocks(number):
    image = model(number)
    placement = place(image, CONFIG)
    multiplied = [i for i in image.program if i.op == Op.GEMV and not i.kv]
    assert {i.act[0] for i in multiplied} == {"XA", "XB", "AO", "FF"} - (
        {"XB"} if not image.model["tied"] else set()
    ) | {"XB"}
    for i in multiplied:
        assert (placement.regions[i.act[0]] + i.act[1]) % 8 == 0 and not i.act_h and not i.act_j
        region, d = image.region(i.act[0]), image.descriptors[i.desc]
        assert region.size[""] >= 8 * -(-d.words // 8)
    outputs = [i for i in multiplied if i.wanted]
    assert [image.descriptors[i.desc].name for i in outputs] == ["emb" if image.model["tied"] else "head"]
    assert not any(i.wanted for i in image.program if i.op == Op.GEMV and i.kv)


def test_a_matrix_without_fp16_copy_takes_no_words_for_it():
    image = model(1)
    lean = {d.name for d in image.descriptors if d.planes and not d.tensor}
    full = dataclasses.replace(
        image,
        descriptors=tuple(
            dataclasses.replace(d, planes="", group=0) if d.name in lean else d for d in image.descriptors
        ),
    )
    data = report(image, CONFIG)
    for m in data["matrices"]:
        if m["name"] in lean:
            assert m["fp16"] == 0 and m["bytes"] == m["planes"] > 0
    assert sum(t.depth for t in place(image, CONFIG).tiles) > sum(t.depth for t in place(full, CONFIG).tiles)
