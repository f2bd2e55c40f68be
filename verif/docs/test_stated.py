"""What the prose of the documents has from the code is what the code says, and the names in it exist."""

import re
from enum import Enum
from pathlib import Path

import pytest

from hayate.compiler.link import SHARED
from hayate.rtl.contract import alu_ops, config, draft, filters, flits, isa, load, loadfile, precision, regmap
from hayate.scripts import docs
from hayate.verif.docs.stated import CAPITALS, COMPLETE, DRIVERS, FREE, STATED, WORDS

ROOT = Path(__file__).resolve().parents[2]
NUMBER = re.compile(rf"(?<![\w.−])\d[\d,.]*\d|(?<![\w.])\d|\b(?:{'|'.join(WORDS[n] for n in WORDS if n > 1)})\b")


def flat(text):
    """One line, links without their targets, generated sections left out."""
    text = re.sub(r"\]\([^)]*\)", "]", docs.MARK.sub("", text))
    return " ".join(text.split())


def without_code(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", STATED)
def test_sentences_have_the_values_of_the_code(page):
    text = flat((ROOT / page).read_text())
    assert [s for s in STATED[page] if s not in text] == []


def uncovered(text, sentences, free):
    """Numbers of `text` with what stands around them that lie in no sentence and in no match of the patterns `free`."""
    covered = [(at.start(), at.end()) for s in sentences for at in re.finditer(re.escape(s), text)]
    covered += [at.span() for pattern in free for at in re.finditer(pattern, text)]
    return [
        text[max(0, n.start() - 40) : n.end() + 30]
        for n in NUMBER.finditer(text)
        if n[0] not in ("0", "1") and not any(a <= n.start() and n.end() <= b for a, b in covered)
    ]


@pytest.mark.parametrize("page", COMPLETE)
def test_every_number_is_stated_or_is_none_of_the_codes(page):
    text = flat(without_code((ROOT / page).read_text()))
    assert uncovered(text, STATED.get(page, ()), [*FREE[""], *FREE.get(page, ())]) == []


def test_a_number_in_no_sentence_is_found():
    text = "It takes 12 cycles, and four words."
    assert uncovered(text, ["and four words"], []) == [text] and uncovered(text, ["and four words"], [r"12 cy"]) == []


def test_every_error_is_in_the_driver_s_table():
    rows = flat((ROOT / "docs/driver.md").read_text()).partition("When something goes wrong")[2]
    errors = {"SATURATED", "ECC_CORRECTED", "ECC_FATAL", "PARITY", "SLVERR"}
    assert {c.name for c in isa.Counter if c > isa.Counter.USEFUL_KV} <= errors, "a counter of another error"
    good = {"DONE", "FULL"}  # how generations end
    errors |= {f"FAULT_CAUSE.{field}" for field, *_ in regmap.BY_NAME["FAULT_CAUSE"].fields}
    errors |= {f"STATUS.{field}" for field, *_ in regmap.BY_NAME["STATUS"].fields if field not in good} | {
        "IRQ_STATUS.FAULT"
    }
    assert [name for name in sorted(errors) if name not in rows] == []


def names():
    """What the code names in capitals: registers and their fields, members of enums, constants."""
    found = {r.name for r in regmap.REGISTERS} | set(SHARED) | {field for field, *_ in loadfile.HEADER}
    for r in regmap.REGISTERS:
        found |= {f"{r.name}.{field}" for field, *_ in r.fields} | {field for field, *_ in r.fields}
    for module in (alu_ops, config, draft, filters, flits, isa, load, loadfile, precision, regmap):
        for name, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, Enum):
                found |= {e.name for e in value} | {f"{name}.{e.name}" for e in value}
            elif name.isupper():
                found.add(name)
    return found


@pytest.mark.parametrize("page", DRIVERS)
def test_names_in_capitals_exist(page):
    """Registers, their fields, operations, constants: what stands in capitals and is no abbreviation of the trade."""
    text = flat(without_code((ROOT / page).read_text()))
    said = set(re.findall(r"\b[A-Z][A-Z0-9_]+[A-Z0-9](?:\.[A-Z][A-Z0-9_]+)?\b", text))
    assert sorted(said - names() - CAPITALS) == []
