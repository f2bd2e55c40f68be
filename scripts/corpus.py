"""Texts to calibrate and to measure on: Python sources, the two sides of the split that the shipped models were trained with."""

import hashlib
import platform
import sysconfig
from pathlib import Path

from hayate.rtl.contract.errors import HayateError

from .models import SHIPPED

HELDOUT = SHIPPED / "heldout" / "heldout.txt"
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "turtledemo", "encodings", "pydoc_data"}
PART = 1200  # characters of one file, so that few tokens come from many files


def digest(text):
    """sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def heldout():
    """The text that no shipped model has seen. Raises HayateError where the checkout is missing."""
    return read(HELDOUT)


def read(path):
    """Text of a file. Raises HayateError."""
    try:
        return Path(path).read_bytes().decode()
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else str(e)
        raise HayateError(path, "", f"not a readable text ({reason})", "give a UTF-8 text file") from None


def training_source():
    """What `training_side` is, in words."""
    return f"Python {platform.python_version()} standard library, training side, {PART} characters of each file"


def training_side(count=64):
    """Excerpts, each from the middle of another file of this Python's standard library, all on the training side of the split.

    `scripts/train_demo.py` holds a file out when the first four bytes of its path's SHA-256 are a multiple of 20; these are the files that
    have the smallest ones of the others, without tests and generated tables. The same Python version gives the same text.
    """
    root, found = Path(sysconfig.get_path("stdlib")), {}
    for path in root.rglob("*.py"):
        name = path.relative_to(root)
        number = int.from_bytes(hashlib.sha256(name.as_posix().encode()).digest()[:4], "big")
        if number % 20 and LEFT_OUT.isdisjoint(name.parts) and not name.parts[0].startswith("config-"):
            found[number] = path
    parts = []
    for _, path in sorted(found.items()):
        text = path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
        middle = text.find("\n", len(text) // 2) + 1
        if len(text) >= 4 * PART and "\ufffd" not in text:
            parts.append(text[middle:middle + PART].rpartition("\n")[0] + "\n\n")
        if len(parts) == count:
            break
    return "".join(parts)
