"""Runs commands of the program in forks of one process that has imported everything, as any user, with any streams.

    python -m hayate.verif.cli.zygote      reads one request a line as JSON from standard input, and answers each with
    one

Starting Python takes several times as long as most commands that are refused. An ordinary user may not even be able to
read the Python that root's tests run in; a fork has it in memory.
"""

import contextlib
import importlib
import io
import json
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass

CPU = 60  # seconds of processor time after which a command counts as hung
MEMORY = 8 << 30

#: Of Python and packages: what commands import when they need it.
LATE = (
    "ctypes.util",
    "difflib",
    "encodings.ascii",
    "encodings.latin_1",
    "encodings.idna",
    "encodings.unicode_escape",
    "lzma",
    "mmap",
    "multiprocessing.context",
    "concurrent.futures.process",
    "rich.table",
    "rich.progress",
    "rich.markup",
    "rich.pretty",
    "rich._unicode_data",
    "stringprep",
    "tokenizers",
    "tomllib",
    "traceback",
    "typer.rich_utils",
    "unicodedata",
    "xml.etree.ElementTree",
)


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code (negative: by that signal), standard output, standard error."""

    code: int
    out: str
    err: str


class Zygote:
    """The process, from the tests' side. `run` takes the fields of a request and returns an `Ended`; see `_child`."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, arguments, **fields):
        request = {"arguments": [os.fsencode(a).hex() for a in map(str, arguments)], **fields}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def _import():
    for package in ("hayate", "hayate.backends", "hayate.bench", "hayate.cli"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            if not module.ispkg and not module.name.endswith(".__main__"):
                with contextlib.suppress(ImportError):
                    importlib.import_module(module.name)
    names = (
        "hayate.rtl.emit",
        "hayate.sim.simulators",
        "hayate.backends.layer",
        "hayate.sim.machine.sim_top",
        "hayate.compiler.report",
        "hayate.sim.cache",
        *LATE,
    )
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # What else packages import when they are first used: they are, by a command of each kind.
    for arguments in (
        ["config", "show", "unit"],
        ["config", "show", "untit"],
        ["generate", "--help"],
        ["generate", "--tokens", "x"],
        ["generate", "ab", "--model", "py-pico", "--backend", "golden", "--tokens", "1"],
    ):
        sys.argv = ["hayate", *arguments]
        quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
        with contextlib.suppress(SystemExit), quiet[0], quiet[1]:
            importlib.import_module("hayate.cli.main").main()


def _child(
    out,
    err,
    arguments,
    folder,
    uid=None,
    environment=None,
    stdin="null",
    stdout="file",
    stderr="file",
    encoding="utf-8",
    file_size=None,
):
    """Become the command.

    arguments: bytes, in hexadecimal. folder: the current one. uid: whose process it is. environment: changes to ours,
    None removes one. stdin, stdout, stderr: "file", "null", "closed", "gone" (a pipe that nobody reads), or a path.
    encoding: of standard output and error. file_size: bytes that a file may have at most.
    """
    os.chdir(folder)
    for number, kind, file in ((0, stdin, None), (1, stdout, out), (2, stderr, err)):
        if kind == "closed":
            os.close(number)
            continue
        if kind == "gone":
            reader, descriptor = os.pipe()
            os.close(reader)
        elif kind == "file":
            descriptor = os.dup(file.fileno())
        else:
            descriptor = os.open(os.devnull if kind == "null" else kind, os.O_RDWR)
        os.dup2(descriptor, number)
        os.close(descriptor)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            stream = None
        else:
            stream = io.TextIOWrapper(
                open(number, "wb" if number else "rb", closefd=False),
                encoding,
                "backslashreplace" if number == 2 else "strict",
                line_buffering=number == 2,
            )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    for name, value in (environment or {}).items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    tempfile.tempdir = None
    resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    if uid is not None and uid != os.geteuid():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    sys.argv = ["hayate", *(os.fsdecode(bytes.fromhex(a)) for a in arguments)]
    try:
        importlib.import_module("hayate.cli.main").main()
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else int(bool(e.code))
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 70
    for stream in (sys.stdout, sys.stderr):  # as the interpreter does
        try:
            stream.flush()
        except BaseException as e:
            os.write(2, f"Exception ignored at the end: {e!r}\n".encode())
            code = 120
    os._exit(code)


def main():
    """Answer requests until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _import()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if not child:
                try:
                    _child(out, err, **json.loads(line))
                finally:
                    os._exit(71)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            texts = {}
            for name, file in (("out", out), ("err", err)):
                file.seek(0)
                texts[name] = file.read().decode("utf-8", "backslashreplace")
        answers.write(json.dumps({"code": code, **texts}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
