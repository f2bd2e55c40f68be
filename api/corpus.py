"""Texts to calibrate and to measure on: Python sources, the two sides of the split that the shipped models were trained
with.
"""

import hashlib
import platform
from pathlib import Path

from hayate import stdlib_text
from hayate.models import SHIPPED
from hayate.rtl.contract.errors import HayateError

HELDOUT = SHIPPED / "heldout" / "heldout.txt"
PART = 1200  # characters of one file, so that few tokens come from many files
OVERLAP = 200  # characters: that many in a row of the held-out text are no coincidence


def digest(text):
    """sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def heldout():
    """The text that no shipped model has seen. Raises HayateError where it is missing."""
    return read(HELDOUT)


def read(path):
    """Text of a file. Raises HayateError."""
    try:
        return Path(path).read_bytes().decode()
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else str(e)
        raise HayateError(path, "", f"not a readable text ({reason})", "give a UTF-8 text file") from None


def require_disjoint(text, evaluation, name, remedy):
    """Raise HayateError when a stretch of `OVERLAP` characters of `text` also occurs in the text that quality is
    measured on.
    """
    known = {evaluation[i : i + OVERLAP] for i in range(len(evaluation) - OVERLAP + 1)}
    for at in range(len(text) - OVERLAP + 1):
        if text[at : at + OVERLAP] in known:
            raise HayateError(
                name,
                f"character {at}",
                f"{OVERLAP} characters in a row are also in {HELDOUT.name}, on which quality is measured",
                remedy,
            )


def training_source(what=f"{PART} characters of each file"):
    """What `training_side` is, in words; or another part of that side, `what`."""
    return f"Python {platform.python_version()} standard library, training side, {what}"


def training_files(count):
    """Texts of `count` whole files of this Python's standard library, or as many as there are, all on the training side
    of the split.

    They are the files with the smallest hashes of their paths, without those that are empty or not UTF-8. The same
    Python version gives the same texts.
    """
    files = stdlib_text.files()
    texts: list[str] = []
    for name in sorted((name for name in files if not stdlib_text.held_out(name)), key=stdlib_text.path_hash):
        if len(texts) == count:
            break
        text = stdlib_text.text(files[name])
        if text.strip() and "\ufffd" not in text:
            texts.append(text)
    return texts


def training_side(count=64):
    """Excerpts, each from the middle of another file of this Python's standard library, all on the training side of the
    split.

    They are the files with the smallest hashes of their paths. The same Python version gives the same text.
    """
    files, parts = stdlib_text.files(), []
    for name in sorted((name for name in files if not stdlib_text.held_out(name)), key=stdlib_text.path_hash):
        text = stdlib_text.text(files[name])
        middle = text.find("\n", len(text) // 2) + 1
        if len(text) >= 4 * PART and "\ufffd" not in text:
            parts.append(text[middle : middle + PART].rpartition("\n")[0] + "\n\n")
        if len(parts) == count:
            break
    return "".join(parts)
