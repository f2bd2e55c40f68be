"""Files written whole or not at all, and never put in the place of a link, a device or a pipe."""

import errno
import os
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path


def destination(path):
    """The plain file, behind all links, that writing to `path` makes or replaces; None where a device or a pipe would
    take the bytes.

    Raises OSError for what cannot be written: a folder, a file or a pipe that is protected, a disk, a link that leads
    in a circle.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return Path(os.path.realpath(path))
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise OSError(errno.EINVAL, "a disk" if stat.S_ISBLK(mode) else "a socket", str(path))
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return Path(os.path.realpath(path)) if stat.S_ISREG(mode) else None


@contextmanager
def whole(path):
    """A binary file to write to; when the block ends well, what was written is at once the content of `path`, else
    `path` is as it was.

    A link stays one, and the file that it names gets the content. A device or a pipe takes the bytes as they come.
    Raises OSError.
    """
    target = destination(path)
    if target is None:
        with open(path, "wb") as file:
            yield file
        return
    handle, part = tempfile.mkstemp(prefix=".hayate-", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(part, _mode(target))
        os.replace(part, target)
    except BaseException:
        with suppress(FileNotFoundError):  # an interrupt came behind the last step
            os.unlink(part)
        raise


def _mode(path):
    """Permissions of a file that is there, or of a new one."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
