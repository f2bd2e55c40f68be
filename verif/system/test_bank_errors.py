"""Bits flipped in the banks' codewords: a single one is corrected and counted, two in a word are reported."""

import pytest

from hayate.compiler.place import Placement
from hayate.rtl.contract.config import load_config
from hayate.verif.system.checks import PROMPT, SETTINGS, difference, formats, golden, image

UNIT = load_config("unit")
MATRIX = "layers.0.wq"
TOKENS = 2


def first_word(placed, part):
    """Address in a `TilePlacement` of the first word that a bank has of `part` of `MATRIX`."""
    if part == "fp16":
        return placed.shares[MATRIX][0]
    _, base, planes = placed.planes[MATRIX]
    return base + {"scale": 0, "hi": 1, "lo": planes.lo_offset}[part]


@pytest.fixture
def flip(monkeypatch):
    """Function that has bits flipped in the first word of a part of a matrix in a tile's bank, in all bank files
    written from then on.
    """

    def begin(tile, bank, bits, part="fp16"):
        write = Placement.write_bank_files

        def corrupted(self, folder):
            paths = write(self, folder)
            path = folder / f"tile{tile}_bank{bank}.hex"
            lines = path.read_text().splitlines()
            assert lines[0] == "@0" and self.tiles[tile].shares[MATRIX][1].rows > bank
            at = first_word(self.tiles[tile], part)
            word = int(lines[1 + at], 16)
            for bit in bits:
                word ^= 1 << bit
            lines[1 + at] = f"{word:018x}"
            path.write_text("\n".join(lines) + "\n")
            return paths

        monkeypatch.setattr(Placement, "write_bank_files", corrupted)

    return begin


@pytest.mark.parametrize("bit", [0, 14, 63, 64, 71], ids="bit {}".format)
def test_a_single_error_is_corrected(run, flip, bit):
    """Bits of data and of check alike; the word is read once in each pass."""
    flip(1, 0, [bit])
    result = run(image(), UNIT, PROMPT[:3], TOKENS, precision="fp16")
    assert difference(result, golden(prompt=PROMPT[:3], tokens=TOKENS, precision="fp16")) == ""
    assert [tile["ecc_corrected"] for tile in result.counters] == [0, result.passes]
    assert not result.fault and all(tile["ecc_fatal"] == 0 for tile in result.counters)


@pytest.mark.parametrize("bits", [(0, 1), (3, 70)], ids=str)
def test_a_double_error_is_reported(run, flip, bits):
    flip(0, 1, bits)
    result = run(image(), UNIT, PROMPT[:3], TOKENS, precision="fp16")
    assert result.fault
    assert [tile["ecc_fatal"] for tile in result.counters] == [result.passes, 0]
    assert all(tile["ecc_corrected"] == 0 for tile in result.counters)


@pytest.mark.parametrize("setting", ["auto", "fp16", "int8", "int4"])
@pytest.mark.parametrize("parts", [("fp16", "lo"), ("scale", "hi")], ids="{0[0]} and {0[1]}".format)
def test_each_format_reads_its_own_words(run, flip, parts, setting):
    """Errors in one part on the first tile, in another on the second, are corrected as often as they are read."""
    for tile, part in enumerate(parts):
        flip(tile, 1 - tile, [5], part)
    copies, options = SETTINGS[setting]
    result = run(image(copies=copies), UNIT, PROMPT[:3], TOKENS, **options)
    assert difference(result, golden(prompt=PROMPT[:3], tokens=TOKENS, **options)) == "" and not result.fault
    decided = formats(result)[MATRIX]
    fixed = setting != "auto"
    readers = {"fp16": {"fp16"}, "lo": {"int8"}, "scale": {"int8", "int4"}, "hi": {"int8", "int4"}}
    # Passes of the prompt that measure read everything.
    expected = [
        (not fixed or decided in readers[part]) * (result.passes - 1) + (decided in readers[part]) for part in parts
    ]
    assert [tile["ecc_corrected"] for tile in result.counters] == expected


def test_int4_does_not_see_the_lo_plane(run, flip):
    """Not even its double errors, which INT8 reports."""
    flip(1, 1, [5, 6], "lo")
    result = run(image(), UNIT, PROMPT[:3], TOKENS, precision="int4")
    assert difference(result, golden(prompt=PROMPT[:3], tokens=TOKENS, precision="int4")) == "" and not result.fault
    result = run(image(), UNIT, PROMPT[:3], TOKENS, precision="int8")
    assert result.fault and [tile["ecc_fatal"] for tile in result.counters] == [0, result.passes]


def test_an_error_in_a_word_that_nobody_reads_goes_unseen(run, monkeypatch):
    """Not through luck: the bank's code is checked where a word is used."""
    write = Placement.write_bank_files

    def corrupted(self, folder):
        paths = write(self, folder)
        unused = max(tile.depth for tile in self.tiles)
        for path in paths:
            path.write_text(path.read_text() + f"@{unused:x}\n{'f' * 17}0\n")
        return paths

    monkeypatch.setattr(Placement, "write_bank_files", corrupted)
    result = run(image(), UNIT, PROMPT[:3], TOKENS)
    assert difference(result, golden(prompt=PROMPT[:3], tokens=TOKENS)) == "" and not result.fault
    assert all(tile["ecc_corrected"] == 0 for tile in result.counters)
