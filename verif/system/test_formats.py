"""Machines that are built for fewer formats: the same tokens and logits, none of the hardware, and errors that name the
option.
"""

import re
from dataclasses import replace

import pytest

from hayate.compiler.usage import require_formats
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.precision import Format
from hayate.verif.system.checks import PROMPT, SETTINGS, difference, golden, image

#: The smallest one has no noise either, which `test_sampling` uses.
CONFIGS = {
    "fp16": load_config("unit", ["formats=fp16", "sampling=0"]),
    "nested": load_config("unit", ["formats=nested"]),
    "auto": load_config("unit"),
}
SHORT = PROMPT[:3]
#: Ways to run a model, from `SETTINGS`, on each of them; between them, every format is read and mixed with others.
WAYS = {"fp16": ("fp16", "fp16 alone"), "nested": ("int4", "pins", "planes, pins", "fp16")}


@pytest.mark.parametrize(
    ("formats", "setting"),
    [
        pytest.param(f, s, marks=[pytest.mark.nightly] if f == "nested" else [])
        for f, settings in WAYS.items()
        for s in settings
    ],
)
def test_equals_golden(run, formats, setting):
    copies, options = SETTINGS[setting]
    result = run(image(copies=copies), CONFIGS[formats], SHORT, 2, **options)
    assert difference(result, golden(prompt=SHORT, tokens=2, copies=copies, **options)) == ""
    assert not result.fault and result.governor == 0 and result.decisions == []


def test_an_image_of_fp16_alone_needs_no_choice(run):
    """The default precision is auto, which has nothing to choose there."""
    result = run(image(copies="fp16"), CONFIGS["fp16"], SHORT, 1)
    assert difference(result, golden(prompt=SHORT, tokens=1, copies="fp16")) == ""


#: What makes the integer formats and the governor, by a name of it in the Verilog.
INTEGER = ("precision_table", "convert", "tops", "codes", "nibbles", "s1_quad", "scales", "hi_base")
GOVERNOR = ("governor", "energy", "low_result", "second_low", "first_low", "dual")


@pytest.mark.parametrize(("formats", "there"), [("fp16", ()), ("nested", INTEGER), ("auto", INTEGER + GOVERNOR)])
def test_what_is_not_asked_for_is_not_there(chip, formats, there):
    """Neither as a module nor as a signal of one. Registers of the host have their names all the same."""
    text = chip(CONFIGS[formats])
    text = re.sub(r"\b(?:word|hit)_\w+|\bgovernor_(?:low|high|select|cycles)\b", "", text)
    found = {name for name in INTEGER + GOVERNOR if re.search(rf"\b{name}", text)}
    assert found == set(there)


@pytest.mark.parametrize(
    ("formats", "options", "complaint"),
    [
        (
            "nested",
            {},
            "'nested' has no governor, which --precision auto needs; --set formats=auto, or a fixed --precision",
        ),
        ("fp16", {}, "'fp16' has no governor, which --precision auto needs; --set formats=auto, or --precision fp16"),
        (
            "fp16",
            {"precision": "int8"},
            "'fp16' reads no integer planes, which --precision int8 needs; --set formats=nested, or --precision fp16",
        ),
        (
            "fp16",
            {"precision": "fp16", "pins": (("layers.0.wq", Format.INT4),)},
            "'fp16' reads no integer planes, which layers.0.wq in INT4 needs; --set formats=nested, or "
            "--precision fp16",
        ),
        (
            "fp16",
            {"precision": "fp16", "speculate": "nested"},
            "'fp16' reads no integer planes, which --speculate nested needs; --set formats=nested, or "
            "--speculate ngram",
        ),
    ],
)
def test_what_is_not_built_is_refused(run, formats, options, complaint):
    with pytest.raises(HayateError, match=re.escape(f"configuration unit: formats: {complaint}")):
        run(image(), CONFIGS[formats], SHORT, 1, **options)


def test_a_matrix_without_fp16_copy_is_refused():
    odd = replace(
        image(), descriptors=tuple(replace(d, tensor="") if d.name == "layers.1.wo" else d for d in image().descriptors)
    )
    with pytest.raises(
        HayateError,
        match="formats: 'fp16' reads no integer planes, and the image has layers.1.wo in no other format; "
        "--set formats=nested",
    ):
        require_formats(odd, CONFIGS["fp16"], "fp16")
    require_formats(odd, CONFIGS["nested"], "int8")
