"""Bits flipped in the banks' codewords: a single one is corrected and counted, two in a word are reported."""

import pytest

from hayate.compiler.place import Placement
from hayate.rtl.contract.config import load_config
from hayate.verif.system.checks import PROMPT, difference, golden, image

UNIT = load_config("unit")
TOKENS = 2


@pytest.fixture
def flip(monkeypatch):
    """Function that has bits flipped in the first matrix word of a tile's bank, in every bank file written from then on."""
    def begin(tile, bank, bits):
        write = Placement.write_bank_files

        def corrupted(self, folder):
            paths = write(self, folder)
            path = folder / f"tile{tile}_bank{bank}.hex"
            lines = path.read_text().splitlines()
            first, share = next(v for name, v in self.tiles[tile].shares.items() if name.endswith("wq"))
            assert lines[0] == "@0" and share.rows
            word = int(lines[1 + first], 16)
            for bit in bits:
                word ^= 1 << bit
            lines[1 + first] = f"{word:018x}"
            path.write_text("\n".join(lines) + "\n")
            return paths

        monkeypatch.setattr(Placement, "write_bank_files", corrupted)

    return begin


@pytest.mark.parametrize("bit", [0, 14, 63, 64, 71], ids="bit {}".format)
def test_a_single_error_is_corrected(run, flip, bit):
    """Bits of data and of check alike; the word is read once in each pass."""
    flip(1, 0, [bit])
    result = run(image(), UNIT, PROMPT[:3], TOKENS)
    assert difference(result, golden(prompt=PROMPT[:3], tokens=TOKENS)) == ""
    assert [tile["ecc_corrected"] for tile in result.counters] == [0, result.passes]
    assert not result.fault and all(tile["ecc_fatal"] == 0 for tile in result.counters)


@pytest.mark.parametrize("bits", [(0, 1), (3, 70)], ids=str)
def test_a_double_error_is_reported(run, flip, bits):
    flip(0, 1, bits)
    result = run(image(), UNIT, PROMPT[:3], TOKENS)
    assert result.fault
    assert [tile["ecc_fatal"] for tile in result.counters] == [result.passes, 0]
    assert all(tile["ecc_corrected"] == 0 for tile in result.counters)


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
