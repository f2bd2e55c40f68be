"""Keeps a simulator at hand for the tests of one build, each of which runs in a fork of it (`serve` is what happens
inside).
"""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from hayate.sim import tools

_ENTRY = ",".join(
    (
        "cocotb.logging:_configure",
        "hayate.verif.bench.serve:serve",
        "cocotb._init:init_package_from_simulation",
        "cocotb.regression:_run_regression",
    )
)


class Held:
    """One simulator at a time: the last one that was asked for, until `close`. `execute` stands in for
    `tools.execute`.
    """

    def __init__(self, folder: Path):
        """folder: for the simulator's own working directory; made when needed."""
        self._folder = folder
        self._process = None
        self._command = None

    def execute(self, command, *, cwd: Path, env: dict[str, str], log: Path, timeout: float, module: str) -> int:
        """As `tools.execute`, in a fork of the simulator that `command` starts, which may have been started already.

        Where that simulator ends, which a test in a fork of it cannot make it do, `command` runs by itself, and says
        why.
        module: what the simulator is to have imported: the path of a test file, or a module's dotted name.
        """
        if sys.platform != "linux":  # Python's libraries may not be forked elsewhere
            return tools.execute(command, cwd=cwd, env=env, log=log, timeout=timeout)
        with tools.signals_as_exit():
            try:
                if self._command != command:
                    self.close()
                    self._start(command, env)
                request = {"cwd": str(cwd), "env": env, "log": str(log), "module": module}
                self._socket.settimeout(timeout)
                self._socket.sendall(json.dumps(request).encode() + b"\n")
                if answer := self._answers.readline():
                    return int(answer)
            except TimeoutError:
                self.close()
                raise subprocess.TimeoutExpired(command, timeout) from None
            except OSError:
                pass
            except BaseException:
                self.close()
                raise
            self.close()
        return tools.execute(command, cwd=cwd, env=env, log=log, timeout=timeout)

    def _start(self, command, env):
        self._folder.mkdir(parents=True, exist_ok=True)
        self._cwd = Path(tempfile.mkdtemp(prefix="held.", dir=self._folder))
        self._socket, theirs = socket.socketpair()
        self._answers = self._socket.makefile("rb")
        with theirs, (self._cwd / "log").open("wb") as log:
            self._process = tools.start(
                command, cwd=self._cwd, env=env | {"PYGPI_USERS": _ENTRY}, stdin=theirs, output=log
            )
        self._command = command

    def close(self):
        """End the simulator and whatever runs in a fork of it."""
        if self._process is None:
            return
        process, self._process, self._command = self._process, None, None
        self._answers.close()
        self._socket.close()
        tools.end_group(process)
        shutil.rmtree(self._cwd, ignore_errors=True)
