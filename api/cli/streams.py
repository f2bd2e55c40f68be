"""Standard input, output and error as a command finds them: closed, full, or of a terminal that knows only ASCII."""

import io
import os
import sys
import warnings

from hayate.rtl.contract.errors import HayateError, HayateWarning

_closed: set[str] = set()


class _Output(io.TextIOWrapper):
    """Text to a descriptor. What cannot be written raises HayateError; BrokenPipeError stays what it is: the reader has
    seen enough.
    """

    def _done(self, action, *arguments):
        try:
            return action(*arguments)
        except BrokenPipeError:
            raise
        except OSError as e:
            raise HayateError(
                "standard output", "", f"cannot be written ({e.strerror})", "send it to a place that has room"
            ) from None

    def write(self, text):
        return self._done(super().write, text)

    def flush(self):
        return self._done(super().flush)


class _Errors(io.TextIOWrapper):
    """Text to a descriptor; where it cannot be written, there is nobody to be told."""

    def write(self, text):
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self):
        try:
            super().flush()
        except OSError:
            pass


def prepare():
    """Make the three streams usable, whatever the caller has left of them.

    A closed one becomes one that nothing comes from and nothing arrives at: else the next file opened would take its
    number, and get what a program of ours prints. Characters that a terminal cannot show are written as escapes, so are
    the bytes of a name that is no text.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        if getattr(sys, name) is None:
            _closed.add(name)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))
    for name, kind in (("stdout", _Output), ("stderr", _Errors)):
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper:  # a test's own is left alone
            encoding, buffering = stream.encoding, stream.line_buffering or name == "stderr"
            setattr(sys, name, kind(stream.detach(), encoding, "backslashreplace", line_buffering=buffering))


def line(text):
    """The text as one line that a terminal shows and does not obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def show_warnings():
    """Have every `HayateWarning` printed as one line on standard error, alone on it even where a spinner turns."""
    others = warnings.showwarning

    def show(message, category, *rest, **named):
        if not issubclass(category, HayateWarning):
            others(message, category, *rest, **named)
            return
        print(("\r\x1b[2K" if sys.stderr.isatty() else "") + f"hayate: {line(str(message))}", file=sys.stderr)

    warnings.simplefilter("always", HayateWarning)
    warnings.showwarning = show


def utf8(argument):
    """An argument whose bytes are UTF-8, whatever the locale made of them; where they are not, as it is."""
    try:
        return os.fsencode(argument).decode() if not argument.isascii() else argument
    except UnicodeError:
        return argument


def require_stdout(option):
    """Raise HayateError naming `option` where standard output is closed."""
    if "stdout" in _closed:
        raise HayateError(option, "-", "standard output is closed", "give the name of a file")


def finish():
    """Write out what standard output still holds. HayateError, BrokenPipeError as when writing."""
    sys.stdout.flush()


def settle():
    """Write out what is left, and drop what cannot be, or the interpreter complains when it ends."""
    try:
        sys.stdout.flush()
    except (HayateError, OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
