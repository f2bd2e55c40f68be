"""What a tokenizer's file may and may not do to a text, in every command that reads one."""

import json
import re
import shutil
from pathlib import Path

import pytest

from hayate.compiler import compile_model
from hayate.compiler.checkpoint import Checkpoint, same_tokens
from hayate.models import SHIPPED, Text
from hayate.verif.models.tiny import tokenizer_json, write_tiny_model

ROOT = Path(__file__).resolve().parents[2]
CUT = {"direction": "Right", "max_length": 6, "strategy": "LongestFirst", "stride": 0}
FILL = {
    "strategy": {"Fixed": 40},
    "direction": "Right",
    "pad_to_multiple_of": None,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "<|end|>",
}
SECTIONS = {
    "cut": {"truncation": CUT},
    "cut on the left, overlapping": {"truncation": CUT | {"direction": "Left", "stride": 2}},
    "fill": {"padding": FILL},
    "fill on the left": {"padding": FILL | {"direction": "Left"}},
    "fill to a multiple": {"padding": FILL | {"strategy": "BatchLongest", "pad_to_multiple_of": 16}},
    "both": {"truncation": CUT, "padding": FILL},
}


def rewrite(folder, **keys):
    """Replace keys of a folder's tokenizer.json."""
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))


@pytest.fixture
def model(tiny, tmp_path):
    """A copy of the small model that may be changed."""
    return shutil.copytree(tiny, tmp_path / "model")


@pytest.fixture
def beyond(tmp_path):
    """A model of 48 tokens with a tokenizer of 58: "o" is within, "+" is not."""
    folder = write_tiny_model(tmp_path / "beyond", vocab=48)
    (folder / "tokenizer.json").write_text(tokenizer_json(58))
    return folder


@pytest.mark.parametrize("sections", SECTIONS.values(), ids=SECTIONS)
def test_a_text_is_encoded_whole_and_alone(sections, model):
    plain = Text(of=Checkpoint(model))
    rewrite(model, **sections)
    for text in (Text(of=Checkpoint(model)), Text(compile_model(model))):
        for one in ("a", "once upon a time", "once " * 30, ""):
            assert text.encode(one) == plain.encode(one)


def test_no_command_cuts_a_text(cli, model, work):
    rewrite(model, truncation=CUT, padding=FILL)
    outcome = cli("generate", "once upon", "--model", model, "--backend", "golden", "--tokens", "1", "--json", "-")
    assert len(json.loads(outcome.out)["prompt_tokens"]) == len("once upon")
    (work / "a.txt").write_text("abcabcabd")
    assert "\n9 tokens\n" in cli("ngrams", model, "--text", "a.txt").err
    (work / "b.txt").write_text("once upon a time " * 6)
    outcome = cli("calibrate", model, "--text", "b.txt", "--tokens", "96")
    assert outcome.code == 0 and "96 tokens" in outcome.err


def test_one_place_makes_tokenizers():
    """So that no other one forgets what `models.tokenizer` does."""
    files = [
        p
        for folder in ("api", "rtl", "compiler", "golden", "sim", "fpga", "scripts")
        for p in (ROOT / folder).rglob("*.py")
    ]
    assert [str(p.relative_to(ROOT)) for p in files if re.search(r"Tokenizer\.from_", p.read_text())] == [
        "api/models.py"
    ]


def test_the_shipped_prompts_are_drawn_with_it(monkeypatch):
    from hayate.scripts import prompts

    drawn = []
    monkeypatch.setattr(prompts, "tokenizer", lambda text: drawn.append(text))
    monkeypatch.setattr(prompts, "draw", lambda source, count: [])
    prompts.text()
    assert drawn == [(SHIPPED / "py-mini" / "tokenizer.json").read_text()]


def test_special_tokens_are_read_in_a_text_and_added_to_it(model):
    """As the transformers library does."""
    assert Text(of=Checkpoint(model)).encode("a<|end|>a")[1] == 0
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    rewrite(
        model,
        post_processor={
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<|end|>", "type_id": 0}}, first],
            "pair": [first, second],
            "special_tokens": {"<|end|>": {"id": "<|end|>", "ids": [0], "tokens": ["<|end|>"]}},
        },
    )
    first, *rest = Text(of=Checkpoint(model)).encode("ab")
    assert first == 0 and len(rest) == 2


def test_a_prompt_of_no_tokens(refused, model):
    rewrite(model, normalizer={"type": "Strip", "strip_left": True, "strip_right": True})
    refused("generate", "  ", "--model", model, "--backend", "golden", parts=["prompt", "it has no tokens"])


def test_cutting_and_filling_make_no_other_tokenizer():
    plain = tokenizer_json(64)
    for sections in SECTIONS.values():
        assert same_tokens(plain, json.dumps(json.loads(plain) | sections))
    assert same_tokens(plain, None) and same_tokens(None, plain) and same_tokens(plain, plain)
    for other in (tokenizer_json(63), "[]", "{", "[" * 100_000):
        assert not same_tokens(plain, other) and not same_tokens(other, plain)


def test_tokens_beyond_the_vocabulary(cli, refused, beyond, work):
    assert cli("generate", "one", "--model", beyond, "--backend", "golden", "--tokens", "2").code == 0
    parts = [
        "tokenizer.json",
        "token '+'",
        "is outside the model's vocabulary of 48",
        "use the model's own tokenizer.json, or leave",
    ]
    refused("generate", "b+", "--model", beyond, "--backend", "golden", parts=parts)
    refused("bench", "quality", "--model", beyond, "--tokens", "8", parts=parts[2:])
    (work / "a.txt").write_text("one none " * 8)
    (work / "b.txt").write_text("one b+ " * 8)
    assert (
        cli("ngrams", beyond, "--text", "a.txt").code
        == cli("calibrate", beyond, "--text", "a.txt", "--tokens", "48").code
        == 0
    )
    refused("calibrate", beyond, "--text", "b.txt", parts=[*parts, str(beyond)])
    outcome = cli("ngrams", beyond, "--text", "b.txt")
    assert (
        outcome.code == 2 and [part for part in [*parts, str(beyond)] if part not in outcome.err.splitlines()[-1]] == []
    )
