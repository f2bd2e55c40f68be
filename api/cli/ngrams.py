"""`hayate ngrams`: count what follows what in a text, and write the n-gram drafter's base table beside a checkpoint's
weights.
"""

import numpy as np

from hayate import corpus, models
from hayate.compiler.checkpoint import Checkpoint
from hayate.compiler.ngrams import NAME, count, fit
from hayate.compiler.ngrams import text as content
from hayate.golden.conductor.ngram import base_key
from hayate.output import require_outputs, write_texts
from hayate.progress import Steps, console
from hayate.rtl.contract.draft import BASE_LOG2
from hayate.rtl.contract.errors import HayateError


def run(model, text, files, output):
    """Write the base table of the model folder `model`; see `cli`. Raises HayateError."""
    path = models.find(model)
    if files < 1:
        raise HayateError("--files", "", f"{files} files have no text", "give some hundred")
    checkpoint = Checkpoint(path)
    output = output or path / NAME
    require_outputs([("-o", output)], [path, text], own=[NAME])
    if checkpoint.tokenizer is None:
        raise HayateError(path, "", "the model has no tokenizer", "add tokenizer.json to the folder")
    if text:
        documents, source = [corpus.read(text)], text.name
        corpus.require_disjoint(documents[0], corpus.heldout(), text, "count another text")
    else:
        documents = corpus.training_files(files)
        source = corpus.training_source(f"{len(documents)} whole files")
    people = console("-")
    steps = Steps(people)
    tokenizer = models.Text(of=checkpoint)
    with steps(f"reading {source}"):
        ids = [tokenizer.encode(document) for document in documents]
    total = sum(map(len, ids))
    steps.note(f"{total:,} tokens")
    with steps("counting"):
        rows = np.concatenate([best(ids, tokens, steps.note) for tokens in (2, 1)])
    if not len(rows):
        raise HayateError(text or "--files", "", f"{total} tokens repeat nothing", "give a longer text")
    write_texts({output: content(rows, source, total, checkpoint.tokenizer)}, "-o")
    print(output)


def best(ids, tokens, note=lambda text: None):
    """Rows of contexts of `tokens` tokens that have a place of their own in the drafter's table, the most valuable
    first.

    ids: token ids of each document. note: told what was found.
    """
    rows, times = count(ids, tokens)
    kept = fit(rows, 1 << BASE_LOG2[tokens - 1], lambda context: base_key(context)[0])
    share = times[kept].sum() / max(1, sum(max(0, len(document) - tokens) for document in ids))
    note(
        f"contexts of {tokens} token{'s' * (tokens > 1)}: {len(kept):,} of {len(rows):,} kept, right at "
        f"{100 * share:.1f} % of the text"
    )
    return rows[kept]
