"""`hayate calibrate`: measure a checkpoint's sensitivities and write them beside its weights."""

import json

from rich.table import Table

from hayate import corpus, models
from hayate.compiler.calibrate import NAME, calibrate, document, split
from hayate.compiler.checkpoint import Checkpoint
from hayate.output import require_outputs, write_texts
from hayate.progress import Steps, console
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.precision import GROUPS


def run(model, text, tokens, group, output):
    """Write the calibration of the model folder `model`; see `cli`. Raises HayateError."""
    path = models.find(model)
    if group not in GROUPS:
        raise HayateError("--group", "", f"{group} is not offered", f"give one of {', '.join(map(str, GROUPS))}")
    if tokens < 1:
        raise HayateError("--tokens", "", f"{tokens} tokens measure nothing", "give a few thousand")
    checkpoint = Checkpoint(path)
    output = output or path / NAME
    require_outputs([("-o", output)], [path, text], own=[NAME])
    content = corpus.read(text) if text else corpus.training_side()
    if checkpoint.tokenizer is None:
        raise HayateError(path, "", "the model has no tokenizer", "add tokenizer.json to the folder")
    windows = split(models.Text(of=checkpoint).encode(content), tokens, checkpoint.shape.context)
    evaluation = corpus.heldout()
    corpus.require_disjoint(content, evaluation, text or "the standard library", "calibrate on another text")
    source = {
        "source": str(text) if text else corpus.training_source(),
        "sha256": corpus.digest(content),
        "heldout_sha256": corpus.digest(evaluation),
    }
    people = console("-")
    steps = Steps(people)
    for name in ("sha256", "heldout_sha256"):
        steps.note(f"{name} {source[name]}")
    with steps("measuring"):
        found = calibrate(checkpoint, windows, group, steps.note)
    write_texts({output: json.dumps(document(checkpoint, windows, group, found, source), indent=1) + "\n"}, "-o")
    people.print(table(found))
    print(output)


def table(found):
    """What calibration found, for people."""
    out = Table(
        "matrix",
        "KL by INT8",
        "KL by FP16",
        "INT4 error",
        "INT8 error",
        "bytes INT4",
        box=None,
        title="calibration",
        title_justify="left",
    )
    for name, f in found.items():
        out.add_row(
            name, *(f"{g:.1e}" for g in f["gains"]), *(f"{100 * r:.3f} %" for r in f["ratios"]), f"{f['bytes'][2]:,}"
        )
    return out
