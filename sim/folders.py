"""Folders that simulations need: of builds, and one for the time of a run. What is wrong with them is said in one line
that names them.
"""

import fcntl
import os
import re
import signal
import tempfile
from contextlib import contextmanager
from pathlib import Path

from hayate.rtl.contract.errors import HayateError

ROOM = 1 << 20  # bytes; where a file cannot have so many, that is why something failed
LIMIT = -signal.SIGXFSZ  # how a program ends whose file has become larger than it may (ulimit -f)


def _why(error):
    return error.strerror or str(error)


def _refuse(folder, error):
    return HayateError(
        folder,
        "",
        f"cannot be written ({_why(error)})",
        "builds go to build/sim below the current folder: change to one with room that you may write to",
    )


def require_name(folder):
    """Raise HayateError where `make` would not understand the name of a folder: it knows no quotes."""
    odd = sorted(set(re.findall(r"[^\w./+@%,=:~-]", str(folder))))
    if odd:
        raise HayateError(
            folder,
            "",
            f"make cannot build below a folder with {', '.join(map(repr, odd))} in its name",
            "change to another folder, or use --sim icarus",
        )


def require(folder):
    """Raise HayateError unless files can be made in `folder`, which need not be there yet; leaves nothing behind."""
    folder, made = Path(folder), []
    try:
        while not folder.exists():
            made.append(folder)
            folder = folder.parent
        for path in reversed(made):
            path.mkdir()
        with tempfile.TemporaryFile(dir=made[0] if made else folder):
            pass
    except OSError as e:
        raise _refuse((made or [folder])[0], e) from None
    finally:
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def _full(folder):
    """The OSError of a folder that has no room left, else None. None: the folder of temporary files."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(ROOM))
            file.flush()
    except OSError as e:
        return e
    return None


@contextmanager
def with_room(folder):
    """Around work whose tools write where they like: turns what they fail of into a HayateError where there is no room
    left for a file, in the folder or among temporary ones.
    """
    try:
        yield
    except HayateError:
        raise
    except Exception:  # each tool says it its own way that there is no room; what else went wrong is raised again
        if error := _full(folder) or _full(None):
            raise _refuse(folder, error) from None
        raise


@contextmanager
def written(folder):
    """Around what writes into a folder of builds: turns an OSError into a HayateError, and so what comes of a lack of
    room.
    """
    try:
        with with_room(folder):
            yield
    except OSError as e:
        raise _refuse(folder, e) from None


@contextmanager
def scratch():
    """A folder of its own for one run, gone afterwards. Raises HayateError where there is no place for one or no room
    left in it.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="hayate-")
    except OSError as e:
        raise HayateError(
            "temporary folder", "", f"cannot be made ({_why(e)})", "set TMPDIR to a folder that you may write to"
        ) from None

    def refuse(error):
        return HayateError(
            os.path.dirname(folder.name),
            "",
            f"a file of the simulation cannot be written ({_why(error)})",
            "set TMPDIR to a folder with more room",
        )

    with folder as name:
        try:
            yield Path(name)
        except BrokenPipeError:  # the reader of our output has gone
            raise
        except OSError as e:  # numpy's has no number
            raise refuse(e if e.errno else _full(name) or e) from None
        except Exception as e:
            if not isinstance(e, HayateError) and (error := _full(name)):
                raise refuse(error) from None
            raise


@contextmanager
def lock(path: Path):
    """Within: no other process is, with the same `path`."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    # The file stays: removing it would let a third process lock another file of the same name.
