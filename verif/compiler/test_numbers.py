"""Compiled images compute what the checkpoint says: golden runs of tiny models against float64."""

import numpy as np
import pytest

from hayate.compiler import compile_model
from hayate.golden.conductor.generate import teacher_force
from hayate.rtl.contract.errors import HayateError
from hayate.verif.models.loud import loud_image
from hayate.verif.models.reference import Reference
from hayate.verif.models.tiny import tiny_weights, write_tiny_model, write_weights

IDS = np.random.default_rng(7).integers(0, 61, 40).tolist()

# FP16 keeps 11 bits; errors of a hundred roundings on the way to a logit of size one stay far below this.
TOLERANCE = 0.02


def agree(image, folder, tolerance=TOLERANCE):
    golden, exact = teacher_force(image, IDS, lanes=4, precision="fp16")[0], Reference(folder).logits(IDS)
    scale = exact.std()
    assert np.abs(golden - exact).max() <= tolerance * scale
    # The tolerance means something: a neighbour position's logits are far outside.
    assert np.abs(golden[1:] - exact[:-1]).max() > 10 * tolerance * scale


@pytest.mark.parametrize(
    "shape",
    [
        dict(),
        dict(tied=False),
        dict(dtype="F32", heads=3, kv_heads=1, hidden=36, vocab=61),
        dict(
            tied=False,
            dtype="F32",
            heads=2,
            kv_heads=2,
            head_dim=20,
            ff=20,
            config={"rope_theta": 500.0, "rms_norm_eps": 0.1},
        ),
    ],
    ids=["tied", "untied", "padded-group", "odd-head"],
)
def test_logits(tmp_path, shape):
    folder = write_tiny_model(tmp_path / "m", **shape)
    agree(compile_model(folder), folder)


@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_integer_copies(tmp_path, tied, group):
    """INT8 is close to the checkpoint and INT4 farther off, whichever copies stand beside; FP16 does not change by
    planes beside it.
    """
    folder = write_tiny_model(tmp_path / "m", tied=tied, hidden=36, ff=148)
    both, lean = compile_model(folder, group=group), compile_model(folder, group=group, fp16="none")
    int8 = teacher_force(both, IDS, lanes=4, precision="int8")[0]
    np.testing.assert_array_equal(int8, teacher_force(lean, IDS, lanes=4, precision="int8")[0])
    exact, int4 = Reference(folder).logits(IDS), teacher_force(lean, IDS, lanes=4, precision="int4")[0]
    error4, error8 = (np.square(x - exact).mean() / exact.var() for x in (int4, int8))
    assert error8 < 1e-3 and 20 * error8 < error4 < 0.1
    np.testing.assert_array_equal(
        teacher_force(both, IDS, lanes=4, precision="fp16")[0],
        teacher_force(compile_model(folder, planes=False), IDS, lanes=4, precision="fp16")[0],
    )


def test_tiny_and_huge_weights_get_exponents(tmp_path):
    """Matrices that FP16 could not hold: the same function, as the norms undo the scale of the residual stream."""
    folder = write_tiny_model(tmp_path / "m", dtype="F32")
    weights = tiny_weights()
    weights["model.embed_tokens.weight"] *= 2.0**-21
    for i in range(2):
        for name, scale in (("mlp.up", 20), ("mlp.down", -41), ("self_attn.v", -30), ("self_attn.o", 9)):
            weights[f"model.layers.{i}.{name}_proj.weight"] *= 2.0**scale
    write_weights(folder / "model.safetensors", weights, "F32")
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"rms_norm_eps": 1e-05', '"rms_norm_eps": 1e-18'))
    exponents = {
        "xf": -21,
        "xg": -21,
        **{(layer, "v"): -30 for layer in range(2)},
        **{(layer, "ao"): -30 for layer in range(2)},
        **{(layer, "ff"): 20 for layer in range(2)},
        **{(layer, x): -21 for layer in range(2) for x in ("xa", "xb")},
    }
    image = compile_model(folder, exponents)
    chosen = {name: note["exponent"] for name, note in image.notes["matrices"].items()}
    assert chosen["emb"] < -20 and chosen["layers.0.wgu"] > 0
    assert chosen["layers.1.wdown"] < -40 and chosen["layers.0.wv"] < -30
    agree(image, folder)


def test_activation_exponents_only_move_the_point(tmp_path):
    """Powers of two on every activation leave the result alone but for FP16 subnormals."""
    folder = write_tiny_model(tmp_path / "m")
    names = ("xa", "q", "k", "v", "ao", "xb", "ff")
    shifted = compile_model(
        folder, {"xf": -3, "xg": -2, **{(layer, n): -1 - i % 3 for layer in range(2) for i, n in enumerate(names)}}
    )
    assert shifted.descriptor("layers.1.wdown")[1].s_out == -3
    plain, _ = teacher_force(compile_model(folder), IDS, lanes=4, precision="fp16")
    moved, _ = teacher_force(shifted, IDS, lanes=4, precision="fp16")
    assert np.abs(plain - moved).max() <= 1e-4 * plain.std()


@pytest.mark.parametrize(
    ("scales", "exponents", "name"),
    [
        ({"0.self_attn.o_proj": 1e30}, {}, "layers.0.wo"),
        ({"lm_head": 1e30}, {}, "head"),
        ({"1.self_attn.k_proj": 1e-21}, {(1, "xa"): -9}, "layers.1.wk"),
        ({}, {(0, "xb"): 41}, "layers.0.wo"),
        ({}, {(0, "xb"): -33}, "layers.0.wo"),
        ({}, {(1, "q"): 31, (1, "k"): 50}, "layers.1.wk"),
    ],
    ids=str,
)
def test_exponents_that_no_unit_takes_are_refused(scales, exponents, name):
    """The normalizer and the conversion would make other numbers of them than golden does."""
    with pytest.raises(HayateError, match=f"{name}: values of 2.* leave the range .* scale the weights"):
        loud_image(scales, exponents, tied=False)


def test_the_largest_exponents_are_taken():
    loud_image({"0.self_attn.o_proj": 1e28}, {(0, "xb"): 31, (1, "ff"): -32, (1, "q"): 31, (1, "k"): 31}, tied=False)
    loud_image({"embed_tokens": 1e37, "1.self_attn.k_proj": 1e-35}, tied=False)  # fetched, not multiplied; flushed
