"""What system tests share: models, their golden generations, and a comparison that says where two results part."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hayate.compiler import compile_model
from hayate.verif.golden.conductor.generate import generate
from hayate.verif.models.tiny import write_tiny_model

PROMPT = (7, 3, 41, 1, 5, 19, 22)


@cache
def image(tied=True, context=48):
    """A model with three query heads to a KV head, and sizes that no number of tiles, banks or lanes divides evenly."""
    with TemporaryDirectory() as folder:
        return compile_model(write_tiny_model(
            Path(folder) / ("tied" if tied else "untied"), hidden=24, layers=2, heads=6, kv_heads=2, head_dim=8, ff=40, vocab=50,
            context=context, seed=27 if tied else 9, tied=tied))


@cache
def golden(tied=True, context=48, prompt=PROMPT, tokens=6, end=(), all_logits=True):
    """The golden generation, at M = 4 and with slots that differ from most configurations'."""
    return generate(image(tied, context), list(prompt), tokens, lanes=4, end=end, all_logits=all_logits)


def difference(result, reference):
    """Where two generations differ: "" when tokens, logits of all positions, formats and energies are identical, else one line."""
    if list(result.tokens) != list(reference.tokens):
        return f"tokens {list(result.tokens)}, not {list(reference.tokens)}"
    if result.logits.keys() != reference.logits.keys():
        return f"logits of positions {sorted(result.logits)}, not {sorted(reference.logits)}"
    for position, row in reference.logits.items():
        bad = np.flatnonzero(np.asarray(result.logits[position]).view(np.uint32) != row.view(np.uint32))
        if len(bad):
            at = int(bad[0])
            return f"position {position}: {len(bad)} logits differ; token {at} has {result.logits[position][at]!r}, not {row[at]!r}"
    for name, row in reference.precision.items():
        if result.precision.get(name) != row:
            return f"matrix {name}: {result.precision.get(name)}, not {row}"
    return ""
