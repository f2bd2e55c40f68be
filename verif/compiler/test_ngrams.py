"""The base table: counts against counting by hand, what fits, and files that do not belong."""

import json
from collections import Counter, defaultdict

import numpy as np
import pytest

from hayate.compiler import compile_model
from hayate.compiler import ngrams as n
from hayate.golden.conductor.ngram import base_key
from hayate.models import SHIPPED
from hayate.rtl.contract.draft import BASE_LOG2
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.image import NGRAMS, Image
from hayate.verif.models.tiny import tokenizer_json, write_tiny_model


def by_hand(documents, tokens):
    """[(row, times)] by the definition."""
    followers = defaultdict(Counter)
    for ids in documents:
        for at in range(tokens, len(ids)):
            followers[tuple(ids[at - tokens : at])][ids[at]] += 1
    found = []
    for context, after in followers.items():
        token, times = min(after.items(), key=lambda item: (-item[1], item[0]))
        if sum(after.values()) >= 2:
            found.append(((-1, *context, token)[-3:], times))
    return sorted(found, key=lambda item: (-item[1], item[0]))


@pytest.mark.parametrize("tokens", [1, 2])
@pytest.mark.parametrize("vocab", [3, 12, 1 << 20])
def test_counts_by_definition(tokens, vocab):
    rng = np.random.default_rng(vocab + tokens)
    pool = rng.integers(0, vocab, 12)
    documents = [rng.choice(pool, size).tolist() for size in (300, 0, 1, 2, 3, 500)]
    rows, times = n.count(documents, tokens)
    assert rows.dtype == np.int32 and [((*row,), t) for row, t in zip(rows.tolist(), times.tolist())] == by_hand(
        documents, tokens
    )


def test_small_cases():
    assert n.count([[1, 2, 1, 2, 1, 3]], 1)[0].tolist() == [[-1, 1, 2], [-1, 2, 1]]
    assert n.count([[5, 4], [5, 3], [7, 1]], 1)[0].tolist() == [[-1, 5, 3]], (
        "equally common: the lowest; contexts seen once have none"
    )
    assert n.count([[1, 2], [3, 1, 2], [3]], 2)[0].tolist() == [], "no context reaches into the next document"
    for documents in ([], [[]], [[1, 2]]):
        rows, times = n.count(documents, 2)
        assert rows.shape == (0, 3) and rows.dtype == np.int32 and len(times) == 0


def test_the_first_row_of_a_slot_fits():
    rows = np.array([[0, 4, 1], [0, 8, 2], [0, 5, 3], [-1, 9, 4], [0, 6, 5]], np.int32)
    assert n.fit(rows, 4, lambda context: context[-1] % 4).tolist() == [0, 2, 4]
    assert n.fit(rows, 2, lambda context: context[-1] % 2).tolist() == [0, 2], "a full table ends it"
    seen = []
    n.fit(rows, 99, lambda context: seen.append(context) or len(seen))
    assert seen == [[0, 4], [0, 8], [0, 5], [9], [0, 6]]


@pytest.mark.parametrize("model", ["py-mini", "py-nano"])
def test_shipped_tables_belong_to_their_models_and_fit(model):
    folder = SHIPPED / model
    rows = n.load_ngrams(folder, 512, (folder / "tokenizer.json").read_text()).tolist()
    contexts = [[token for token in row[:2] if token >= 0] for row in rows]
    for tokens, size_log2 in enumerate(BASE_LOG2, 1):
        slots = [base_key(context)[0] for context in contexts if len(context) == tokens]
        assert len(slots) == len(set(slots)) > 0.6 * (1 << size_log2), "each has its own"
    assert [len(context) for context in contexts] == sorted(map(len, contexts), reverse=True), (
        "contexts of two come first"
    )
    content = (folder / n.NAME).read_text()
    assert (
        json.loads(content)["source"].endswith("standard library, training side, 200 whole files")
        and len(content) < 80_000
    )


ROWS = [[3, 63, 0], [0, 0, 7], [-1, 5, 63]]


def write(folder, **changes):
    content = json.loads(n.text(ROWS, "a text", 99, (folder / "tokenizer.json").read_text()))
    (folder / n.NAME).write_text(json.dumps({k: v for k, v in (content | changes).items() if v is not None}))


def test_reaches_the_image(model_folder, image, tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    assert n.load_ngrams(folder, 64).shape == (0, 3) and NGRAMS not in image.tensors
    write(folder)
    found = compile_model(folder)
    assert found.ngrams.dtype == np.int32 and found.ngrams.tolist() == ROWS
    assert found.model == image.model and found.tensors.keys() == image.tensors.keys() | {NGRAMS}
    found.save(tmp_path / "a.img")
    assert Image.load(tmp_path / "a.img").ngrams.tolist() == ROWS
    (folder / "tokenizer.json").unlink()
    assert compile_model(folder).ngrams.tolist() == ROWS, "what is not there cannot differ"
    write_tiny_model(folder)
    write(folder, rows=[])
    assert NGRAMS not in compile_model(folder).tensors


REFUSED = {
    "another tokenizer": (
        {"tokenizer": "0" * 64},
        ["tokenizer", "made for the tokenizer 000000000000, the folder holds"],
    ),
    "no tokenizer": ({"tokenizer": None}, ["damaged"]),
    "no rows": ({"rows": None}, ["rows", "damaged"]),
    "a short row": ({"rows": [[1, 2]]}, ["rows", "damaged"]),
    "a fraction": ({"rows": [[1, 2, 3.0]]}, ["rows", "damaged"]),
    "a truth": ({"rows": [[1, True, 3]]}, ["rows", "damaged"]),
    "no list": ({"rows": {"a": 1}}, ["rows", "damaged"]),
    "token too high": ({"rows": [[1, 2, 3], [1, 2, 64]]}, ["rows[1]", "[1, 2, 64] is not in the vocabulary of 64"]),
    "context too high": ({"rows": [[64, 2, 3]]}, ["rows[0]", "is not in the vocabulary of 64"]),
    "context too low": ({"rows": [[-2, 2, 3]]}, ["rows[0]", "is not in the vocabulary of 64"]),
    "no newer token": ({"rows": [[1, -1, 3]]}, ["rows[0]", "is not in the vocabulary of 64"]),
    "beyond 64 bits": ({"rows": [[1, 1 << 70, 3]]}, ["rows[0]", "is not in the vocabulary of 64"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_files_that_do_not_belong(case, tmp_path):
    changes, parts = REFUSED[case]
    folder = write_tiny_model(tmp_path / "tiny")
    write(folder, **changes)
    with pytest.raises(HayateError) as refused:
        compile_model(folder)
    assert [p for p in [n.NAME, "make it again: hayate ngrams", *parts] if p not in str(refused.value)] == []


@pytest.mark.parametrize("content", ["{", "[1, 2]", "7", "\udcff"])
def test_refuses_what_is_no_table(content, tmp_path):
    (tmp_path / n.NAME).write_text(content, errors="surrogateescape")
    with pytest.raises(HayateError, match=f"{n.NAME}: .*(not a readable JSON|damaged).*hayate ngrams"):
        n.load_ngrams(tmp_path, 64, tokenizer_json(64))
