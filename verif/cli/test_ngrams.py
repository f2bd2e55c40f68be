"""`hayate ngrams` on a small model, and the shipped tables made again."""

import json
import shutil

import pytest

from hayate import corpus, stdlib_text
from hayate.compiler import compile_model
from hayate.corpus import HELDOUT
from hayate.models import SHIPPED, Text


@pytest.fixture
def model(tiny, tmp_path):
    """A copy of the small model that may be changed."""
    return shutil.copytree(tiny, tmp_path / "model")


def test_count_then_compile(cli, model, work):
    (work / "a.txt").write_text("abcabcabd")
    outcome = cli("ngrams", model, "--text", "a.txt")
    assert outcome.code == 0 and outcome.out == f"{model / 'ngrams.json'}\n", outcome
    assert "9 tokens" in outcome.err and "contexts of 2 tokens: 3 of 3 kept, right at 85.7 % of the text" in outcome.err
    written = json.loads((model / "ngrams.json").read_text())
    assert list(written) == ["source", "tokens", "tokenizer", "rows"] and (written["source"], written["tokens"]) == (
        "a.txt",
        9,
    )
    image = compile_model(model)
    a, b, c = Text(image).encode("abc")
    pairs = sorted([[a, b, c], [b, c, a], [c, a, b]])
    assert written["rows"] == [*pairs, [-1, a, b], *sorted([[-1, b, c], [-1, c, a]])], "of a token 3 times, 2 and 2"
    assert image.ngrams.tolist() == written["rows"]
    first = (model / "ngrams.json").read_bytes()
    assert cli("ngrams", model, "--text", "a.txt").code == 0 and (model / "ngrams.json").read_bytes() == first


def test_standard_library_is_the_default(cli, model, work):
    outcome = cli("ngrams", model, "--files", "2", "-o", "out/n.json")
    assert outcome.code == 0 and outcome.out == "out/n.json\n" and not (model / "ngrams.json").exists()
    assert json.loads((work / "out" / "n.json").read_text())["source"] == corpus.training_source("2 whole files")


def test_only_files_of_the_training_side():
    heldout = {stdlib_text.text(path) for name, path in stdlib_text.files().items() if stdlib_text.held_out(name)} - {
        ""
    }
    texts = corpus.training_files(1 << 20)
    assert len(heldout) > 20 and not heldout & set(texts) and len(texts) > 300
    assert texts[:5] == corpus.training_files(5)


def test_refuses(refused, model, work):
    (work / "file").write_text("")
    (work / "bytes.txt").write_bytes(b"\xff\xff")
    (work / "seen.txt").write_text("x = 1\n" + HELDOUT.read_text()[:6000])
    for options, parts in [
        (["--text", "seen.txt"], ["seen.txt", "200 characters in a row are also in heldout.txt", "count another text"]),
        (["--text", "none.txt"], ["none.txt", "not a readable text"]),
        (["--text", "bytes.txt"], ["bytes.txt", "not a readable text"]),
        (["--files", "0"], ["--files", "0 files"]),
        (["-o", "file/n.json"], ["file/n.json", "-o"]),
    ]:
        refused("ngrams", model, *options, parts=parts)
    (model / "tokenizer.json").unlink()
    refused("ngrams", model, parts=["no tokenizer", "add tokenizer.json"])
    refused("ngrams", "nothing", parts=["no model at 'nothing'"])
    assert not (model / "ngrams.json").exists()


def test_refuses_what_only_shows_in_the_tokens(cli, model, work):
    (work / "once.txt").write_text("ab")
    (work / "empty.txt").write_text("")
    (work / "a.txt").write_text("abcabcabd")

    def last(name):
        outcome = cli("ngrams", model, "--text", name)
        assert outcome.code == 2 and outcome.out == "" and not (model / "ngrams.json").exists()
        return outcome.err.splitlines()[-1]

    assert last("once.txt") == "hayate: once.txt: 2 tokens repeat nothing; give a longer text"
    assert last("empty.txt") == "hayate: empty.txt: 0 tokens repeat nothing; give a longer text"
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(
        json.dumps(config | {"vocab_size": 2, "eos_token_id": None, "bos_token_id": None})
    )
    assert "tokenizer.json: token 'b': id 22 is outside the model's vocabulary of 2;" in last("a.txt")


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["py-mini", "py-nano"])
def test_shipped_tables_are_what_the_command_writes(name, cli, work):
    shipped = (SHIPPED / name / "ngrams.json").read_bytes()
    assert cli("ngrams", name, "-o", "n.json").code == 0
    made, kept = (work / "n.json").read_bytes(), json.loads(shipped)
    found = json.loads(made)
    assert found["source"] == corpus.training_source("200 whole files") and found["tokenizer"] == kept["tokenizer"]
    # Another Python has another library, so another text.
    assert made == shipped or found["source"] != kept["source"]
