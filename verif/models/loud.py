"""Small models whose numbers leave FP16, or FP32, at places of one's choice."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hayate.compiler import compile_model
from hayate.verif.models.tiny import tiny_weights, write_tiny_model, write_weights

SHAPE = {"hidden": 24, "layers": 2, "heads": 6, "kv_heads": 2, "head_dim": 8, "ff": 40, "vocab": 50}


def write_loud_model(path, scales, *, zero=(), config=None, **shape):
    """`write_tiny_model` in FP32 with the weights whose names end in a key of `scales` multiplied by its value; its
    path.

    zero: tokens with an embedding of zeros.
    """
    path = write_tiny_model(path, dtype="F32", config=config, **shape)
    weights = tiny_weights(**{k: v for k, v in shape.items() if k != "context"})
    for name, values in weights.items():
        for end, scale in scales.items():
            if name.removesuffix(".weight").endswith(end):
                values *= scale
    weights["model.embed_tokens.weight"][list(zero)] = 0
    write_weights(path / "model.safetensors", weights, "F32")
    return path


def loud_image(scales, exponents=None, *, planes=False, **options):
    """The compiled image of such a model of `SHAPE`; exponents, planes: of `compile_model`, options: of
    `write_loud_model`.
    """
    with TemporaryDirectory() as folder:
        path = write_loud_model(Path(folder) / "loud", scales, **{**SHAPE, "context": 48, **options})
        return compile_model(path, exponents, planes=planes)


def everywhere(tied):
    """An image that clips wherever it can: each vector that is sent, 1/rms of a token of zeros (3)."""
    scales = {
        "embed_tokens": 2.0**17,
        "0.self_attn.q_proj": 2e5,
        "0.self_attn.k_proj": 2e5,
        "0.self_attn.v_proj": 1e5,
        "0.mlp.gate_proj": 200,
        "0.mlp.up_proj": 1e5,
        "model.norm": 4,
    }
    return loud_image(
        scales, {(1, "ao"): -18}, zero=(3,), tied=tied, seed=9, config={"rms_norm_eps": 1e-50}, planes=True
    )
