"""Checkpoint to image."""

import dataclasses

from hayate.compiler import plan as planning
from hayate.compiler import program, routines
from hayate.compiler.calibrate import load_calibration
from hayate.compiler.checkpoint import Checkpoint
from hayate.compiler.copies import ALL, Options
from hayate.compiler.ngrams import load_ngrams
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.image import NGRAMS, TOKENIZER, Image, embed_text


def compile_model(path, exponents=None, *, planes=True, group=32, fp16=ALL, calibration=None):
    """`Image` of the Hugging Face directory `path`; equal inputs give equal images.

    Parameters
    ----------
    path: folder with config.json, *.safetensors and, for text prompts, tokenizer.json; `ngrams.NAME` in it is the
        n-gram drafter's base table.
    exponents: static exponents of activations, see `plan.build`; default 0 everywhere.
    planes, group, fp16: which copies of each matrix the image holds, see `copies.Options`.
    calibration: what `calibrate.calibrate` found; None: from the file in the folder, where there is one; False: do
        without.

    Raises HayateError naming the file and the field.
    """
    options = Options(planes, group, fp16)
    checkpoint = Checkpoint(path)
    if planes and calibration is None:
        try:
            calibration = load_calibration(path, group, checkpoint.source)
        except HayateError:  # weights that are damaged were not calibrated either; then it is them to name
            planning.build(checkpoint, exponents or {}, options)
            raise
    options = dataclasses.replace(options, calibration=None if calibration is False else calibration)
    ngrams = load_ngrams(path, checkpoint.shape.vocab, checkpoint.tokenizer)
    return assemble(checkpoint, planning.build(checkpoint, exponents or {}, options), ngrams)


def assemble(checkpoint, plan, ngrams=()):
    """`Image` of a plan; of the checkpoint it looks at `shape`, `tokenizer` and `source`. ngrams: as of
    `Image.ngrams`.
    """
    shape = checkpoint.shape
    embedding_exponent = plan.notes["emb"]["exponent"]
    micros, table = routines.build(shape.head_dim, tied=shape.tied, scaled=embedding_exponent != 0)
    tensors = dict(plan.tensors)
    if checkpoint.tokenizer is not None:
        tensors[TOKENIZER] = embed_text(checkpoint.tokenizer)
    if len(ngrams):
        tensors[NGRAMS] = ngrams
    return Image(
        model={**dataclasses.asdict(shape), "eos": list(shape.eos), "source": checkpoint.source},
        program=program.build(shape, plan.index, plan.dstep, table),
        micros=micros,
        routines=table,
        descriptors=tuple(plan.descriptors),
        regions=planning.regions(shape),
        constants=planning.constants(shape, embedding_exponent),
        tensors=tensors,
        notes={"matrices": plan.notes},
    )
