"""Texts to calibrate and to measure on: Python sources, the two sides of the split that the shipped models were trained with."""

import hashlib
import platform
from pathlib import Path

from hayate.rtl.contract.errors import HayateError

from . import stdlib_text
from .models import SHIPPED

HELDOUT = SHIPPED / "heldout" / "heldout.txt"
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

    They are the files with the smallest hashes of their paths. The same Python version gives the same text.
    """
    files, parts = stdlib_text.files(), []
    for name in sorted((name for name in files if not stdlib_text.held_out(name)), key=stdlib_text.path_hash):
        text = stdlib_text.text(files[name])
        middle = text.find("\n", len(text) // 2) + 1
        if len(text) >= 4 * PART and "\ufffd" not in text:
            parts.append(text[middle:middle + PART].rpartition("\n")[0] + "\n\n")
        if len(parts) == count:
            break
    return "".join(parts)
