"""The n-gram drafter's base table: what most often follows one token, and two, in a training text."""

import hashlib
import json
from pathlib import Path

import numpy as np

from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.jsonfile import read_json
from hayate.rtl.contract.words import TOKEN_BITS

assert 3 * TOKEN_BITS < 63, "three tokens fit an int64"

NAME = "ngrams.json"  # beside the checkpoint's config.json
SEEN = 2  # times that a context must occur to have a row

AGAIN = "make it again: hayate ngrams MODEL"


def count(documents, tokens):
    """The commonest next token of each context of `tokens` (1 or 2) tokens, and how often the text has it.

    Parameters
    ----------
    documents: token ids of each document, below 2**20; a context does not reach from one into the next.

    Returns (rows, times): int32 [n, 3] of older token (-1 in contexts of one), newer token and next one; int64 [n], how
    often that continuation occurs. Only contexts that occur at least `SEEN` times. Of next tokens that are equally
    common the lowest counts. Most common continuation first, equals in the order of their contexts.
    """
    parts = [np.zeros(0, np.int64)]
    for ids in documents:
        ids = np.asarray(ids, np.int64)
        if len(ids) > tokens:
            parts.append(_join([ids[k : len(ids) - tokens + k] for k in range(tokens + 1)]))
    words, times = np.unique(np.concatenate(parts), return_counts=True)
    contexts, first = np.unique(words >> TOKEN_BITS, return_index=True)
    seen = np.add.reduceat(times, first) if len(first) else times
    # A context's words stay in their stretch.
    best = np.lexsort((words, -times, words >> TOKEN_BITS))[first][seen >= SEEN]
    best = best[np.lexsort((words[best], -times[best]))]
    columns = [words[best] >> TOKEN_BITS * k & (1 << TOKEN_BITS) - 1 for k in (2, 1, 0)]
    rows = np.stack(columns, axis=1).astype(np.int32)
    if tokens == 1:
        rows[:, 0] = -1
    return rows, times[best]


def _join(columns):
    word = columns[0]
    for column in columns[1:]:
        word = word << TOKEN_BITS | column
    return word


def fit(rows, slots, place):
    """Places in `rows` of those that have a slot of their own in a direct-mapped table of `slots`: of two with one slot
    the first.

    place: slot of a context, which is a list of 1 or 2 tokens, oldest first.
    """
    taken, kept = set(), []
    for i, row in enumerate(rows[:, :2].tolist()):
        slot = place([token for token in row if token >= 0])
        if slot not in taken:
            taken.add(slot)
            kept.append(i)
        if len(taken) == slots:
            break
    return np.array(kept, np.int64)


def text(rows, source, tokens, tokenizer):
    """Content of an `NAME` file; equal arguments give equal text.

    rows: int32 [n, 3], see `count`. source: which text they come from, in words, and `tokens`, how long it is.
    tokenizer: its JSON text.
    """
    content = {"source": source, "tokens": tokens, "tokenizer": digest(tokenizer), "rows": np.asarray(rows).tolist()}
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False) + "\n"


def digest(tokenizer):
    """sha256 of a tokenizer's JSON text."""
    return hashlib.sha256(tokenizer.encode()).hexdigest()


def load_ngrams(folder, vocab, tokenizer=None):
    """Rows of the file in a checkpoint's folder, int32 [n, 3], see `count`; n = 0 when there is none.

    vocab: tokens of the model. tokenizer: its JSON text; None where it has none, so that the file's tokenizer cannot be
    another one.

    Raises HayateError naming the file and the field when it is damaged, was made for another tokenizer, or names a
    token that the model does not have.
    """
    path = Path(folder) / NAME
    try:
        found = read_json(path, AGAIN)
    except FileNotFoundError:
        return np.zeros((0, 3), np.int32)
    try:
        made_for, rows = found["tokenizer"], found["rows"]
        good = isinstance(made_for, str) and isinstance(rows, list) and all(map(_is_row, rows))
    except (KeyError, TypeError):
        good = False
    if not good:
        raise HayateError(path, "rows", "damaged: keys are missing, or a row is not three integers", AGAIN)
    if tokenizer is not None and made_for != digest(tokenizer):
        raise HayateError(
            path,
            "tokenizer",
            f"made for the tokenizer {made_for[:12]}, the folder holds {digest(tokenizer)[:12]}",
            AGAIN,
        )
    for at, (older, newer, token) in enumerate(rows):
        if not (-1 <= older < vocab and 0 <= newer < vocab and 0 <= token < vocab):
            raise HayateError(
                path, f"rows[{at}]", f"{[older, newer, token]} is not in the vocabulary of {vocab}", AGAIN
            )
    return np.array(rows, np.int32).reshape(-1, 3)


def _is_row(row):
    return isinstance(row, list) and len(row) == 3 and all(type(v) is int for v in row)
