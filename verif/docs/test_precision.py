"""The guide to precision: its picture, its tables and the files they are made of agree with each other, and with what
the code does.
"""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import pytest

from hayate import models
from hayate.bench.quality import bytes_per_token
from hayate.golden.conductor.governor import QUALITY, table
from hayate.rtl.contract.isa import PRECISION_BIT
from hayate.scripts import precision_figures, precision_picture

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def image():
    return models.load(precision_picture.MODEL)


@pytest.fixture(scope="module")
def drawn():
    return json.loads(precision_picture.DECISIONS.read_text())


@pytest.mark.parametrize("prompt", ["more code", "one token"])
def test_the_decisions_drawn_are_what_golden_decides(image, drawn, prompt):
    now = precision_picture.collect(image, {prompt: precision_picture.PROMPTS[prompt]})
    (row,) = now["prompts"]
    stored = {p["name"]: p for p in drawn["prompts"]}
    assert row == stored[prompt], "run: python scripts/precision_picture.py"
    assert {**now, "prompts": None} == {**drawn, "prompts": None}
    assert {p["name"]: p["text"] for p in drawn["prompts"]} == precision_picture.PROMPTS


def test_the_picture_shows_the_decisions(drawn):
    svg = ElementTree.fromstring(precision_picture.PICTURE.read_text())
    groups = {g.get("id"): g for g in svg.iter(f"{SVG}g")}
    colours = {colour: name for name, colour in precision_picture.COLOURS.items()}

    def shown(group):
        return Counter(
            colours[re.search(r"fill: (#\w+)", path.get("style"))[1]] for path in groups[group].iter(f"{SVG}path")
        )

    assert shown("cells") == Counter(f for p in drawn["prompts"] for formats in p["formats"].values() for f in formats)
    assert shown("legend") == Counter(precision_picture.COLOURS.keys())
    assert svg.find(f"{SVG}desc").text == precision_picture.describe(drawn) and svg.get("role") == "img"
    assert "prefers-color-scheme: dark" in next(svg.iter(f"{SVG}style")).text


def test_a_picture_of_another_shape_is_refused():
    with pytest.raises(RuntimeError, match="another way"):
        precision_picture.finish("<svg></svg>", "nothing")


def test_the_quality_measured_is_of_these_formats(image):
    found = json.loads(precision_figures.QUALITY.read_text())
    for name in precision_figures.NAMES:
        formats = {matrix: {"format": fmt.name.lower()} for matrix, fmt in table(image, name).items()}
        assert found[name]["bytes_per_token"] == bytes_per_token(image, formats), name
    assert (found["fp16"]["kl"], found["fp16"]["top1"]) == (0, 1)
    assert precision_figures.DEFAULT in found["auto"] and float(precision_figures.DEFAULT) == QUALITY
    for q, s in found["auto"].items():
        assert 0 < precision_figures.share(found, s["bytes_per_token"]) < 1, q


def test_the_straight_line_meets_the_formats():
    found = {
        name: {"bytes_per_token": size, "kl": kl}
        for name, size, kl in (("int4", 10, 8.0), ("int8", 20, 2.0), ("fp16", 40, 0.0))
    }
    assert [precision_figures.straight_line(found, size) for size in (10, 15, 20, 30, 40)] == [8, 5, 2, 1, 0]
    assert [precision_figures.share(found, size) for size in (10, 15, 40)] == [0, 0.5, 3]
    with pytest.raises(ValueError, match="outside"):
        precision_figures.straight_line(found, 41)


def test_every_row_of_the_results_has_a_label():
    from hayate.scripts.figures import LABELS

    assert all(
        label in LABELS and command.startswith("hayate bench ") for *_, label, command in precision_figures.rows()
    )


def test_numbers_in_the_guides_are_those_of_the_code():
    assert f"1u << {PRECISION_BIT} | planes" in (ROOT / "docs" / "soc-integration.md").read_text()
    assert f"address with bit {PRECISION_BIT} (2^PRECISION_BIT)" in (ROOT / "docs" / "memory-map.md").read_text()
    assert f"default {QUALITY}" in (ROOT / "docs" / "precision.md").read_text()
