"""What system tests share: models, their golden generations, and a comparison that says where two results part."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hayate.compiler import compile_model
from hayate.compiler.link import pair
from hayate.golden.conductor.generate import generate
from hayate.golden.tile.saturation import same_count
from hayate.rtl.contract.image import NGRAMS
from hayate.rtl.contract.precision import Format
from hayate.verif.models.tiny import write_tiny_model

PROMPT = (7, 3, 41, 1, 5, 19, 22)
LONG = (*PROMPT, 30, 2, 11, 40)  # longer than what the governor measures on

#: Which copies an image holds -> how it is compiled. "odd": see `image`.
COPIES = {
    "both": {"group": 32},
    "planes": {"group": 64, "fp16": "none"},
    "fp16": {"planes": False},
    "odd": {"group": 128},
}

#: Ways to run a model: copies in the image, then options of the generation.
SETTINGS = {
    "auto": ("both", {}),
    "auto, low quality": ("both", {"quality": 0.35}),
    "fp16": ("both", {"precision": "fp16"}),
    "int8": ("both", {"precision": "int8"}),
    "int4": ("both", {"precision": "int4"}),
    "pins": (
        "both",
        {
            "precision": "int8",
            "pins": (
                ("layers.0.wq", Format.FP16),
                ("layers.1.wk", Format.INT4),
                ("layers.0.wdown", Format.INT4),
                ("layers.1.wo", Format.FP16),
            ),
        },
    ),
    "planes, auto": ("planes", {"quality": 0.4}),
    "planes, pins": (
        "planes",
        {"precision": "int4", "pins": (("layers.0.wgu", Format.INT8), ("layers.1.wv", Format.INT8))},
    ),
    "fp16 alone": ("fp16", {}),
    "odd": ("odd", {"quality": 0.5}),
}
# read some matrices in another format than others
MIXED = ("auto", "auto, low quality", "pins", "planes, auto", "planes, pins", "odd")


def uneven(image, odd):
    """`image` with sensitivities that differ as much as calibrated ones. `odd`: some matrices lose a copy, others leave
    their grids.
    """
    random = np.random.default_rng(3)

    def change(d):
        if not d.planes:
            return d
        d = replace(
            d,
            sensitivities=tuple(
                max(1, int(s * most * random.uniform() ** 3)) for s, most in zip(d.sensitivities, (20, 200))
            ),
        )
        if odd and d.name in ("layers.0.wq", "layers.1.wdown", "layers.1.wo"):
            return replace(d, tensor="")
        if odd and d.name in ("layers.0.wv", "layers.1.wgu"):
            return replace(d, planes="", group=0, grids=(0, 0, 0))
        return (
            replace(d, grids=tuple(g - 6 for g in d.grids)) if odd and d.name in ("layers.0.wo", "layers.1.wq") else d
        )

    return replace(image, descriptors=tuple(map(change, image.descriptors)))


@cache
def image(tied=True, context=48, copies="both"):
    """A model with three query heads to a KV head, and sizes that no number of tiles, banks or lanes divides evenly.

    The tied one has a base table for the n-gram drafter. copies: one of `COPIES`; in "odd", some matrices have planes
    alone, some FP16 alone, and two so fine grids that energies saturate.
    """
    with TemporaryDirectory() as folder:
        path = write_tiny_model(
            Path(folder) / ("tied" if tied else "untied"),
            hidden=24,
            layers=2,
            heads=6,
            kv_heads=2,
            head_dim=8,
            ff=40,
            vocab=50,
            context=context,
            seed=27 if tied else 9,
            tied=tied,
        )
        made = uneven(compile_model(path, **COPIES[copies]), copies == "odd")
    if not tied:
        return made
    # Mostly nonsense, and so mostly rejected; some contexts are not there.
    random = np.random.default_rng(5)
    rows = [(older, newer, random.integers(50)) for older, newer in random.integers((-1, 0), (50, 50), (300, 2))]
    return replace(made, tensors={**made.tensors, NGRAMS: np.array(rows, np.int32)})


@cache
def drafted(tied=True, context=48, copies="both", draft="small"):
    """`image` with a draft model: one of other sizes ("small"), whose one KV head several tiles share, or another copy
    of itself ("same"), which is always right while all is read in its best copies.
    """
    target = image(tied, context, copies)
    if draft == "same":
        return pair(target, target)
    with TemporaryDirectory() as folder:
        path = write_tiny_model(
            Path(folder) / "small",
            hidden=20,
            layers=1,
            heads=3,
            kv_heads=1,
            head_dim=16,
            ff=28,
            vocab=50,
            context=context + 9,
            seed=4,
            tied=not tied,
        )
        return pair(target, compile_model(path, planes=False))


@cache
def golden(tied=True, context=48, prompt=PROMPT, tokens=6, end=(), all_logits=True, copies="both", **options):
    """The golden generation, at M = 4 and with slots that differ from most configurations'. `options`: of `generate`,
    pins as pairs.
    """
    options["pins"] = dict(options.get("pins", ()))
    return generate(
        image(tied, context, copies), list(prompt), tokens, lanes=4, end=end, all_logits=all_logits, **options
    )


def formats(result):
    """Matrix name -> format in which a generation reads it behind the prompt."""
    return {name: row["format"] for name, row in result.precision.items()}


def difference(result, reference):
    """Where two generations differ: "" when tokens, logits of all positions, formats, energies and the number of
    clipped results are identical, else one line.
    """
    if list(result.tokens) != list(reference.tokens):
        return f"tokens {list(result.tokens)}, not {list(reference.tokens)}"
    if result.logits.keys() != reference.logits.keys():
        return f"logits of positions {sorted(result.logits)}, not {sorted(reference.logits)}"
    for position, row in reference.logits.items():
        bad = np.flatnonzero(np.asarray(result.logits[position]).view(np.uint32) != row.view(np.uint32))
        if len(bad):
            at = int(bad[0])
            return (
                f"position {position}: {len(bad)} logits differ; token {at} has {result.logits[position][at]!r}, "
                f"not {row[at]!r}"
            )
    if result.drafting != reference.drafting:
        return f"{result.drafting}, not {reference.drafting}"
    if result.precision.keys() != reference.precision.keys():
        return f"precision of matrices {sorted(result.precision)}, not {sorted(reference.precision)}"
    for name, row in reference.precision.items():
        if result.precision[name] != row:
            return f"matrix {name}: {result.precision[name]}, not {row}"
    return "" if same_count(result, reference) else f"{result.saturated} results saturated, not {reference.saturated}"
