"""The shipped prompts, and `hayate bench speculation` and `hayate bench verify` on a small model."""

import json

import pytest

from hayate import models, prompts
from hayate.rtl.contract.errors import HayateError


def test_the_prompts_are_what_the_script_writes():
    assert prompts.PROMPTS.read_bytes() == prompts.text().encode()


def test_the_prompts_follow_the_rule():
    content = json.loads(prompts.PROMPTS.read_text())
    found = content["prompts"]
    source = prompts.heldout()
    assert len(found) == len(set(found)) == prompts.COUNT and content["sha256"] == prompts.digest(source)
    tokens = models.Text(models.load("py-nano")).encode
    at = -1
    for prompt in found:
        assert prompt.endswith(":") and 1 <= len(tokens(prompt)) <= prompts.LIMIT
        at = source.index(f"{prompt}\n", at + 1)  # in the order of the text
        assert at == 0 or source[at - 1] == "\n"


def test_few_prompts_are_spread_over_all():
    everything = prompts.load()
    assert prompts.load(1) == everything[:1] and prompts.load(16) == everything[::2] and prompts.load(5)[4] == everything[25]
    for count in (0, prompts.COUNT + 1):
        with pytest.raises(HayateError, match=f"--prompts: {count} is not between 1 and 32"):
            prompts.load(count)


def test_a_text_without_colons_gives_no_prompts():
    with pytest.raises(ValueError, match="0 lines end in a colon, 311 are needed"):
        prompts.draw("one\ntwo\n", len)
    lines = [f"{n}:" for n in range(400)]
    lines[10] = "x" * 40 + ":"  # too long, so the one behind it is the tenth
    found = prompts.draw("\n".join(lines), len)
    assert found[0] == "0:" and found[1] == "11:" and all(len(p) <= 32 for p in found)
