"""The golden model against plain floating point, teacher-forced over held-out text: the number formats cost next to
nothing.
"""

from pathlib import Path

import numpy as np
import pytest

from hayate.compiler import compile_model
from hayate.golden.conductor.generate import teacher_force
from hayate.golden.tile.sequencer import Tile
from hayate.models import SHIPPED, Text
from hayate.verif.models.reference import Reference, kl

WINDOW, WINDOWS = 256, 8  # 2,048 tokens
MODELS = ("py-nano", "py-mini", "py-pico")


def windows(image):
    """Held-out token ids, in windows of the whole context."""
    ids = Text(image).encode((Path(SHIPPED) / "heldout" / "heldout.txt").read_text())
    return [ids[i * WINDOW : (i + 1) * WINDOW] for i in range(WINDOWS)]


def compare(model, reference):
    """(top-1 agreement, mean KL) of golden against `reference(ids)` -> logits."""
    image = compile_model(SHIPPED / model)
    tile = Tile(image, lanes=64, slots=320)
    same, divergence = [], []
    for ids in windows(image):
        golden, wanted = teacher_force(image, ids, slots=320, tile=tile, precision="fp16")[0], reference(ids)
        same.append(golden.argmax(axis=1) == wanted.argmax(axis=1))
        divergence.append(kl(wanted, golden))
    return float(np.concatenate(same).mean()), float(np.mean(divergence))


@pytest.mark.parametrize(
    "model", [pytest.param(m, marks=() if m == "py-mini" else pytest.mark.nightly) for m in MODELS]
)
def test_golden_agrees_with_float64(model):
    top1, divergence = compare(model, Reference(SHIPPED / model).logits)
    print(f"{model}: top-1 {top1:.4f}, KL {divergence:.2e}")
    assert top1 >= 0.99 and divergence <= 1e-4


@pytest.mark.torch
@pytest.mark.parametrize("model", MODELS)
def test_golden_agrees_with_pytorch(model):
    import torch
    from transformers import LlamaForCausalLM

    network = LlamaForCausalLM.from_pretrained(SHIPPED / model, torch_dtype=torch.float32).eval()
    with torch.no_grad():
        top1, divergence = compare(model, lambda ids: network(torch.tensor([ids])).logits[0].numpy())
    print(f"{model}: top-1 {top1:.4f}, KL {divergence:.2e}")
    assert top1 >= 0.99 and divergence <= 1e-4
