"""Calibration: the float forward against an independent one, its numbers against their definition, and files that do
not belong.
"""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hayate.compiler import calibrate as c
from hayate.compiler.build import compile_model
from hayate.compiler.checkpoint import Checkpoint
from hayate.compiler.forward import Forward, divergence, log_softmax, mxint8
from hayate.corpus import training_side
from hayate.golden.conductor.generate import teacher_force
from hayate.golden.tile.sequencer import Tile
from hayate.models import SHIPPED
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.precision import GROUPS, SENS_FRACTION, Format, stream_words
from hayate.verif.models.loud import write_loud_model
from hayate.verif.models.reference import Reference
from hayate.verif.models.tiny import write_tiny_model


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def checkpoint(request, tmp_path_factory):
    return Checkpoint(
        write_tiny_model(tmp_path_factory.mktemp("models") / "tiny", hidden=48, ff=72, tied=request.param, seed=3)
    )


@pytest.fixture(scope="module")
def windows():
    return np.random.default_rng(5).integers(0, 64, (6, 48))


@pytest.fixture(scope="module")
def found(checkpoint, windows):
    return c.calibrate(checkpoint, windows, 32)


def blanket(checkpoint, fmt, group=32):
    return {name: c.variants(values, group)[fmt] for name, values in Forward(checkpoint).matrices.items()}


def test_forward_is_the_model(checkpoint, windows):
    ours = Forward(checkpoint).logits(windows, blanket(checkpoint, Format.FP16))
    reference = Reference(checkpoint.path)
    for ids, logits in zip(windows, ours):
        wanted = log_softmax(reference.logits(ids))
        assert (
            np.abs(log_softmax(logits) - wanted).max() < 0.1 and divergence(wanted, log_softmax(logits)).mean() < 1e-4
        )


def test_forward_clips_as_the_machine_does(tmp_path, windows):
    """A residual stream beyond FP16: as many clipped values, and the machine's logits; and the calibration says so."""
    path = write_loud_model(tmp_path / "loud", {"embed_tokens": 2.0**17}, tied=False)
    checkpoint, image = Checkpoint(path), compile_model(path)
    model, tile = Forward(checkpoint), Tile(image, lanes=48, slots=96)
    (logits,) = model.logits(windows[:1], blanket(checkpoint, Format.FP16))
    wanted, _ = teacher_force(image, windows[0], lanes=48, tile=tile, precision="fp16")
    assert model.clipped == tile.state.saturated.total > 1000
    assert divergence(log_softmax(wanted), log_softmax(logits)).mean() < 1e-4
    notes = []
    found = c.calibrate(checkpoint, windows[:1], 32, notes.append)
    assert any(f"{model.clipped:,} activations left FP16's range" in note for note in notes)
    assert np.isfinite([f["gains"] + f["ratios"] for f in found.values()]).all()


def test_fewer_bits_diverge_more(checkpoint, windows):
    model = Forward(checkpoint)
    fp16, int8, int4 = (log_softmax(model.logits(windows, blanket(checkpoint, fmt))) for fmt in Format)
    small, large = divergence(fp16, int8).mean(), divergence(fp16, int4).mean()
    assert 1e-6 < small < large / 10 and large < 1


def test_mxint8_by_its_definition():
    """Values q * 2**(e - 6), one e a block, at most half a step off or clamped; a short last block and tiny values
    included.
    """
    rng = np.random.default_rng(8)
    for size in (32, 40, 100):
        x = (
            (rng.standard_normal((50, size)) * 2.0 ** rng.integers(-16, 12, (50, 1)))
            .astype(np.float16)
            .astype(np.float32)
        )
        x[7] = 0
        y = mxint8(x)
        for start in range(0, size, 32):
            a, b = x[:, start : start + 32], y[:, start : start + 32]
            top = np.abs(a).max(axis=1, keepdims=True)
            step = 2.0 ** (np.maximum(-10, np.floor(np.log2(np.where(top, top, 1e-9)))) - 6)
            assert (b / step == np.rint(b / step)).all() and np.abs(b / step).max() <= 127
            clamped = np.abs(a) > 127 * step
            assert (np.abs(a - b) <= np.where(clamped, 1, 0.5) * step).all()
    ties = np.zeros(32, np.float32)
    ties[:4] = 64, 0.5, 1.5, -2.5
    assert mxint8(ties)[:4].tolist() == [64, 0, 2, -2]


def test_every_matrix_has_its_numbers(checkpoint, found):
    layers = [f"layers.{i}.{w}" for i in range(2) for w in ("wq", "wk", "wv", "wo", "wgu", "wdown")]
    assert set(found) == {"emb" if checkpoint.shape.tied else "head", *layers}
    for name, values in Forward(checkpoint).matrices.items():
        f, k = found[name], values.shape[1]
        assert f["bytes"] == [8 * len(values) * stream_words(k, 32, fmt) for fmt in Format]
        assert all(0 < r < 0.05 for r in f["ratios"]) and f["ratios"][0] > 20 * f["ratios"][1]
        assert all(type(v) is int and 0 < v < 1 << 32 for v in f["sensitivities"])
        assert all(type(v) is int and 0 <= v <= 95 for v in f["grids"])


def test_gain_is_that_of_leaving_one_out(checkpoint, windows, found):
    model = Forward(checkpoint)
    formats = [blanket(checkpoint, fmt) for fmt in Format]
    reference = log_softmax(model.logits(windows, formats[0]))
    for name in ("layers.0.wgu", "layers.1.wv"):
        for step, (base, better) in enumerate([(2, 1), (1, 0)]):
            kl = [
                divergence(reference, log_softmax(model.logits(windows, w))).mean()
                for w in (formats[base], {**formats[base], name: formats[better][name]})
            ]
            assert found[name]["gains"][step] == pytest.approx(kl[0] - kl[1], rel=1e-3, abs=1e-9)


def test_decision_on_the_grids_is_worth_per_byte(found):
    """The governor compares sensitivity * ERR / OUT on the grids: that must be the KL saved per byte, in units of the
    average byte.
    """
    average = sum(max(0, f["gains"][0]) for f in found.values()) / sum(
        f["bytes"][1] - f["bytes"][2] for f in found.values()
    )
    weights = np.array([f["bytes"][1] - f["bytes"][2] for f in found.values()])
    worth = []
    for f in found.values():
        fp16, int8, int4 = f["bytes"]
        steps = [max(0, gain) / cost / average for gain, cost in zip(f["gains"], (int8 - int4, fp16 - int8))]
        steps[0] = max(steps)
        for i in range(2):
            on_grids = f["ratios"][i] * 4.0 ** (f["grids"][0] - f["grids"][1 + i])
            sens = f["sensitivities"][i]
            assert (
                sens == pytest.approx(steps[i] / on_grids * 2**SENS_FRACTION, abs=0.51)
                or sens == 1 > steps[i] / on_grids * 256
            )
        worth.append(steps[0])
    assert (np.array(worth) * weights).sum() / weights.sum() == pytest.approx(1, rel=0.05)


def test_grids_leave_headroom(checkpoint, windows, found):
    """The largest sum fits four times into 16 bits; outputs use at least 13 of them, and errors keep enough steps."""
    model, formats = Forward(checkpoint), [blanket(checkpoint, fmt) for fmt in Format]
    seen = {}

    def observe(name, x, out):
        codes = mxint8(x)
        low = codes @ (formats[1][name].values - formats[2][name].values).T
        seen[name] = [out, low, out - codes @ formats[1][name].values.T]

    model.logits(windows, formats[0], observe)
    for name, values in model.matrices.items():
        exponent = int(np.floor(np.log2(np.abs(values).max()))) - 14
        for i, (part, grid) in enumerate(zip(seen[name], found[name]["grids"])):
            t = part * 2.0 ** (48 - exponent - grid)
            assert 4 * np.abs(t).max() <= 1 << 15
            assert np.abs(t).max() >= 1 << 12 if i == 0 else np.sqrt(np.square(t).mean()) >= c.STEPS / 2


def write(path, **changes):
    matrices = {"emb": {"sensitivities": [5, 7], "grids": [50, 48, 44], "gains": [0.5, -1e-9]}}
    value = {"model": Checkpoint(path).source, "group": 32, "matrices": matrices, **changes}
    (path / c.NAME).write_text(json.dumps(value))
    return value


def test_loads_what_was_written(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    assert c.load_calibration(folder) is None
    assert c.load_calibration(folder, 32) is None
    matrices = write(folder)["matrices"]
    assert c.load_calibration(folder) == c.load_calibration(folder, 32) == matrices


REFUSED = {
    "weights": ({"model": "0" * 64}, ["made for the checkpoint 000000000000", "hayate calibrate"]),
    "group": ({"group": 128}, ["made for groups of 128, not 32", "hayate calibrate"]),
    "no matrices": ({"matrices": None}, ["damaged"]),
    "no grids": ({"matrices": {"emb": {"sensitivities": [5, 7]}}}, ["damaged"]),
    "no gains": ({"matrices": {"emb": {"sensitivities": [5, 7], "grids": [9, 1, 1]}}}, ["damaged"]),
    "gain of no number": (
        {"matrices": {"emb": {"sensitivities": [5, 7], "grids": [9, 1, 1], "gains": [1, "a"]}}},
        ["damaged"],
    ),
    "grid too large": (
        {"matrices": {"emb": {"sensitivities": [5, 7], "grids": [96, 1, 1], "gains": [1, 1]}}},
        ["damaged"],
    ),
    "sensitivity too large": (
        {"matrices": {"emb": {"sensitivities": [1 << 32, 7], "grids": [9, 1, 1], "gains": [1, 1]}}},
        ["damaged"],
    ),
    "fraction": ({"matrices": {"emb": {"sensitivities": [1.5, 7], "grids": [9, 1, 1], "gains": [1, 1]}}}, ["damaged"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_files_that_do_not_belong(case, tmp_path):
    changes, parts = REFUSED[case]
    folder = write_tiny_model(tmp_path / "tiny")
    write(folder, **changes)
    with pytest.raises(HayateError) as refused:
        c.load_calibration(folder, 32)
    assert [p for p in [c.NAME, *parts] if p not in str(refused.value)] == []


@pytest.mark.parametrize("damaged", [False, True])
def test_damaged_weights_are_named_before_the_calibration_they_do_not_belong_to(damaged, tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    write(folder)
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("down_proj.weight"))
    weights[name].flat[3] = np.nan if damaged else 0.25
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(HayateError) as refused:
        compile_model(folder)
    assert (name in str(refused.value) and "nan" in str(refused.value)) == damaged
    assert ("made for the checkpoint" in str(refused.value)) != damaged


def test_refuses_what_is_no_json(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    (folder / c.NAME).write_text("{")
    with pytest.raises(HayateError, match="not a readable JSON"):
        c.load_calibration(folder)


def test_too_little_text():
    assert c.split(range(100), 90, 40).tolist() == [list(range(40)), list(range(40, 80))]
    with pytest.raises(HayateError, match="39 tokens make no window of 40"):
        c.split(range(39), 4096, 40)


@pytest.mark.parametrize("model", ["py-nano", "py-mini"])
def test_shipped_calibrations_belong_to_their_models(model):
    content = json.loads((SHIPPED / model / c.NAME).read_text())
    source = json.loads((SHIPPED / "heldout" / "SOURCE.json").read_text())
    assert set(c.load_calibration(SHIPPED / model, GROUPS[0])) == set(Forward(Checkpoint(SHIPPED / model)).matrices)
    assert (
        content["text"]["heldout_sha256"] == source["sha256"] != content["text"]["sha256"] and content["tokens"] == 4096
    )


def test_training_side_holds_no_evaluation_text():
    heldout = (SHIPPED / "heldout" / "heldout.txt").read_text()
    known = {heldout[i : i + 200] for i in range(len(heldout))}
    text = training_side(8)
    assert len(text) > 4000 and not any(text[i : i + 200] in known for i in range(len(text) - 200))
