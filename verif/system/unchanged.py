"""Bits and cycles as they were recorded: what a change of structure must leave alone.

`unchanged.json`, beside, holds for each run its cycles and a digest of its tokens and logits; for the benchmarks, their
cycles.
`python scripts/unchanged.py` makes all of them again and compares, `--record` writes the file.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_suffix(".json")


@cache
def recorded():
    """The file's contents: run -> what `entry` says of it, benchmark -> its cycles."""
    return json.loads(FILE.read_text())


def digest(result):
    """16 hex digits of SHA-256 over the tokens of a generation and the bits of all its logits, by position."""
    found = hashlib.sha256(np.array(result.tokens, np.int64).tobytes())
    for position in sorted(result.logits):
        found.update(position.to_bytes(4, "little") + np.asarray(result.logits[position], np.float32).tobytes())
    return found.hexdigest()[:16]


def entry(result):
    """{"cycles": cycles of a generation on the chip, "bits": `digest` of it}."""
    return {"cycles": int(result.cycles), "bits": digest(result)}


def machine_key(tiles, lanes, banks, tied, setting):
    """Name of a run of `test_invariance` in the file."""
    return f"{tiles} tiles, {lanes} lanes, {banks} banks, {'tied' if tied else 'untied'}: {setting}"
