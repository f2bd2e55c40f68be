"""End tokens of a model, from its files to the chip's registers: as many on either backend, and too many refused by
both.
"""

import json

import pytest

from hayate.backends import rtl as rtl_backend
from hayate.backends.request import end_registers
from hayate.backends.rtl import generate_rtl
from hayate.golden.conductor.generate import generate
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.regmap import END_REGISTERS, END_TOKENS
from hayate.verif.models.tiny import write_tiny_model
from hayate.verif.system.checks import image

GENERATE = ["generate", "abc", "--tokens", "12", "--temperature", "10"]
JSON = ["--json", "-"]


@pytest.fixture(autouse=True)
def unbuilt(monkeypatch):
    """What is refused is refused before anything is built."""
    monkeypatch.setattr(rtl_backend, "build", lambda *_, **__: pytest.fail("it builds a chip"))


@pytest.fixture
def model(tmp_path):
    """Function: folder of the small model with these end tokens."""
    return lambda *end: write_tiny_model(tmp_path / "several", config={"eos_token_id": list(end)})


@pytest.fixture
def free(cli, tiny):
    """Tokens of the small model where none ends its text."""
    tokens = json.loads(cli(*GENERATE, *JSON, "--model", tiny, "--backend", "golden", "--ignore-eos").out)["tokens"]
    assert len(tokens) == 12 and len(set(tokens[:6])) == 6
    return tokens


@pytest.mark.parametrize("at", range(END_TOKENS))
def test_each_of_them_ends_a_text(at, cli, free, model, monkeypatch):
    """Named twice, they count once."""
    ends = [token for token in range(64) if token not in free][:END_TOKENS]
    ends[at] = free[2 + at]
    path = model(*ends, ends[0])
    text = json.loads(cli(*GENERATE, *JSON, "--model", path, "--backend", "golden").out)["tokens"]
    assert text == free[: 3 + at]
    asked = []

    def chip(*_, end, **__):
        asked.append(set(end))
        raise HayateError("chip", "", "enough")

    monkeypatch.setattr(rtl_backend, "generate_rtl", chip)
    assert cli(*GENERATE, "--model", path, "--backend", "rtl").code == 2 and asked == [set(ends)]


@pytest.mark.parametrize("backend", ["rtl", "golden"])
def test_more_than_the_chip_looks_for(backend, cli, model, refused):
    path = model(*range(1, END_TOKENS + 2))
    refused(
        *GENERATE,
        "--model",
        path,
        "--backend",
        backend,
        parts=[
            str(path),
            "eos_token_id",
            "5 end tokens, the chip looks for at most 4",
            "keep 4",
            "config.json",
            "--ignore-eos",
        ],
    )


def test_ignored_they_may_be_many(cli, free, model):
    outcome = cli(*GENERATE, *JSON, "--model", model(*range(1, END_TOKENS + 2)), "--backend", "golden", "--ignore-eos")
    assert json.loads(outcome.out)["tokens"] == free


@pytest.mark.parametrize(
    "backend", [generate_rtl, lambda made, _, *of, **how: generate(made, *of, **how)], ids=["rtl", "golden"]
)
def test_both_backends_refuse_by_themselves(backend):
    with pytest.raises(HayateError, match="5 end tokens"):
        backend(image(), load_config("unit"), [1], 1, end=(1, 2, 3, 4, 5))


def test_registers_of_end_tokens():
    """All are written; what names nothing is 0, and token 0 is not."""
    assert end_registers(()) == dict.fromkeys(END_REGISTERS, 0)
    assert list(end_registers((0,)).values()) == [1 << 31, 0, 0, 0]
    assert list(end_registers((9, 3, 9, 0xFFFFF, 7)).values()) == [1 << 31 | n for n in (9, 3, 0xFFFFF, 7)]
