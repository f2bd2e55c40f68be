"""The shipped prompts, drawn from the held-out text by a fixed rule.

    python scripts/prompts.py      writes models/prompts/prompts.json

The same held-out text and tokenizer give the same bytes.
"""

import json

from hayate.corpus import HELDOUT, digest, heldout
from hayate.models import SHIPPED, tokenizer
from hayate.output import write_texts
from hayate.prompts import COUNT, PROMPTS

STEP = 10  # lines ending in a colon from one prompt to the next
LIMIT = 32  # tokens
RULE = (
    f"Of the lines of heldout.txt that end in a colon, every {STEP}th from the first on, {COUNT} in all; a prompt "
    "is such a line "
    f"without its line break, behind as many of the whole lines before it as give at most {LIMIT} tokens of the "
    "shipped tokenizer. "
    "A line too long for that makes room for the next one that ends in a colon."
)


def draw(text, count_tokens):
    """The prompts of a text. count_tokens: tokens of a str. Raises ValueError when the text has too few lines that end
    in a colon.
    """
    lines = text.split("\n")
    ends = [i for i, line in enumerate(lines) if line.endswith(":") and count_tokens(line) <= LIMIT]
    if len(ends) <= STEP * (COUNT - 1):
        raise ValueError(f"{len(ends)} lines end in a colon, {STEP * (COUNT - 1) + 1} are needed")
    found = []
    for end in ends[: STEP * COUNT : STEP]:
        start = end
        while start and count_tokens("\n".join(lines[start - 1 : end + 1])) <= LIMIT:
            start -= 1
        found.append("\n".join(lines[start : end + 1]))
    return found


def text():
    """Content of `PROMPTS`."""
    source = heldout()
    shipped = tokenizer((SHIPPED / "py-mini" / "tokenizer.json").read_text(encoding="utf-8"))
    content = {
        "rule": RULE,
        "source": f"{HELDOUT.parent.name}/{HELDOUT.name}",
        "sha256": digest(source),
        "license": f"as {HELDOUT.parent.name}/LICENSE-PSF.txt says",
        "prompts": draw(source, lambda part: len(shipped.encode(part).ids)),
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_texts({PROMPTS: text()}, "models/prompts")
