"""Files that commands write: whole or not at all, and refused before the slow work where they cannot be written."""

import errno
import json
import os
import sys
import tempfile
from pathlib import Path

from hayate.rtl.contract.errors import HayateError


def _refuse(path, error, option):
    return HayateError(path, "", f"cannot be written ({error.strerror})", f"give {option} a place that can be written to")


def _make_parents(path):
    """Create the folders above `path`; those that were created, innermost first."""
    made, folder = [], path.parent
    while not folder.exists():
        made.append(folder)
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{folder} is not a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    return made


def require_writable(path, option):
    """Raise HayateError naming `option` unless `path` can be written; leaves nothing behind. "-" and "" always can."""
    if str(path) in ("", "-"):
        return
    path, made = Path(path), []
    try:
        if path.is_dir():
            raise HayateError(path, "", "is a folder", f"give {option} the name of a file")
        made = _make_parents(path)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as e:
        raise _refuse(path, e, option) from None
    finally:
        for folder in made:
            folder.rmdir()


def write_texts(files, option):
    """Write every text of `files` (path -> text), or none. Raises HayateError naming `option`."""
    parts = {}
    try:
        for path, text in files.items():
            require_writable(path, option)
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            parts[path] = part
            with os.fdopen(handle, "w") as file:
                file.write(text)
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(part, 0o666 & ~mask)
        for path in files:
            os.replace(parts[path], path)
            del parts[path]
    except OSError as e:
        raise _refuse(path, e, option) from None
    finally:
        for part in parts.values():
            os.unlink(part)


def write_json(value, target):
    """Write `value` to a file, or to standard output for "-"."""
    text = json.dumps(value, indent=1) + "\n"
    if target == "-":
        sys.stdout.write(text)
    else:
        write_texts({Path(target): text}, "--json")
