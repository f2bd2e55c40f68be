"""Bits and cycles are those on record. The small machines of the record are compared in `test_invariance`."""

import subprocess
import sys

import pytest


@pytest.mark.nightly
@pytest.mark.parametrize("part", ["demo", "precision", "layer"])
def test_bits_and_cycles_are_those_on_record(part, pytestconfig):
    command = [sys.executable, "scripts/unchanged.py", part]
    done = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert "compared" in done.stdout
