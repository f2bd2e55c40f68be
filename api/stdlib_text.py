"""Sources of this Python's standard library, and which of them the shipped models have not seen.

Needs nothing but Python, so that `train_demo.py` can use it beside itself on a machine where Hayate is not installed.
"""

import hashlib
import sysconfig
from pathlib import Path

LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "turtledemo", "encodings", "pydoc_data"}


def files():
    """``{relative path: path}`` of the standard library's ``.py`` files, in path order, without tests and generated
    tables.
    """
    root, found = Path(sysconfig.get_path("stdlib")), {}
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        if LEFT_OUT.isdisjoint(name.parts) and not name.parts[0].startswith("config-"):
            found[name.as_posix()] = path
    return found


def text(path):
    """Text of a file with Unix line ends, what is not UTF-8 as U+FFFD."""
    return path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")


def path_hash(name):
    """The first four bytes of the path's SHA-256."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def held_out(name):
    """Whether models are measured on this file, and not trained on it."""
    return path_hash(name) % 20 == 0
