"""Files that commands write: whole or not at all, refused before the slow work where they cannot be written, and never
in the place of a link, a device, a pipe, an input or one another.
"""

import errno
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from fnmatch import fnmatch
from pathlib import Path

from hayate.cli import streams
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.files import destination, whole

#: Files of a model's folder that commands read.
MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "calibration.json",
    "ngrams.json",
)


def _refuse(path, error, option):
    if isinstance(error, IsADirectoryError):
        return HayateError(path, "", "is a folder", f"give {option} the name of a file")
    return HayateError(
        path, "", f"cannot be written ({error.strerror})", f"give {option} a place that can be written to"
    )


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


def _remove(folders):
    for folder in folders:
        if not any(folder.iterdir()):
            folder.rmdir()


def require_writable(path, option, plain=False):
    """Raise HayateError naming `option` unless `path` can be written; leaves nothing behind. "" always can, "-" is
    standard output.

    plain: what writes it makes a file, so a device or a pipe will not do.
    """
    if str(path) == "-":
        if option != "--json":
            raise HayateError(option, "-", "only --json writes to standard output", "give the name of a file")
        streams.require_stdout(option)
    if str(path) in ("", "-"):
        return
    made: list[Path] = []
    try:
        target = destination(path)
        if target is None and plain:
            raise HayateError(path, "", "is a device or a pipe", f"give {option} the name of a file")
        if target is not None:
            if target.exists() and any(os.path.samestat(os.fstat(stream), target.stat()) for stream in (1, 2)):
                raise HayateError(
                    path,
                    "",
                    "is where standard output or error goes",
                    f"give {option} another file, or - where it takes it",
                )
            made = _make_parents(target)
            with tempfile.TemporaryFile(dir=target.parent):
                pass
    except OSError as e:
        raise _refuse(path, e, option) from None
    finally:
        _remove(made)


def require_outputs(outputs, inputs=(), own=()):
    """Raise HayateError unless the files of `outputs`, [(option, path)], can be written, are different ones, and none
    is an input.

    inputs: files that the command reads, and folders of models; what is "" or None, as among the outputs, is not there.
    own: names in such a folder that the command itself makes.
    """
    seen: dict[Path, str] = {}
    for option, path in outputs:
        if path is None or str(path) == "":
            continue
        require_writable(path, option, plain=option == "--waves")
        target = Path("-") if str(path) == "-" else destination(path)
        if target is None:  # a device or a pipe: it is the user's business who else writes there
            continue
        if target in seen:
            raise HayateError(
                option, "", f"{str(path)!r} is also what {seen[target]} names", "give each a file of its own"
            )
        seen[target] = option
        for source in filter(None, inputs):
            if _reads(Path(source), target, own):
                raise HayateError(option, "", f"{str(path)!r} is an input of this command", "give another file")


def toml(config):
    """The file that a --config names, None where it is a preset."""
    return Path(config) if config.endswith(".toml") else None


def _reads(source, target, own):
    """Whether `target`, a path without links, is file `source`, or one of the model in folder `source`."""
    files = [source]
    if source.is_dir():
        read = [p for p in source.iterdir() if any(fnmatch(p.name, name) for name in MODEL_FILES)]
        files = [p for p in read if p.name not in own]
    return any(os.path.realpath(file) == str(target) for file in files)


def write_texts(files, option):
    """Write every text of `files` (path -> text), or none. Raises HayateError naming `option`."""
    made: list[Path] = []
    path = ""
    try:
        with ExitStack() as stack:
            for path, text in files.items():
                target = destination(path)
                made += _make_parents(target) if target else []
                file = stack.enter_context(whole(path))
                file.write(text.encode("utf-8", "backslashreplace"))
                file.flush()
    except OSError as e:
        _remove(made)
        raise _refuse(path, e, option) from None


def write_image(image, path, option):
    """Write an `Image`, and the folders above it. Raises HayateError."""
    made: list[Path] = []
    try:
        target = destination(path)
        made = _make_parents(target) if target else []
        image.save(path)
    except OSError as e:
        raise _refuse(path, e, option) from None
    except HayateError:
        _remove(made)
        raise


def write_bytes(content, path, option, check):
    """Write bytes, and the folders above. A file gets its name only once `check` has taken what is read back of it.

    Raises HayateError naming `option`, and what `check` raises; then `path` is as it was.
    """
    made: list[Path] = []
    try:
        target = destination(path)
        made = _make_parents(target) if target else []
        with whole(path) as file:
            file.write(content)
            file.flush()
            if target:
                check(os.pread(file.fileno(), len(content) + 1, 0))
    except OSError as e:
        _remove(made)
        raise _refuse(path, e, option) from None
    except HayateError:
        _remove(made)
        raise


def write_json(value, target):
    """Write `value` to a file, or to standard output for "-"."""
    text = json.dumps(value, indent=1) + "\n"
    if target == "-":
        sys.stdout.write(text)
    else:
        write_texts({Path(target): text}, "--json")
