"""The environment of simulators and of the programs that build them: the same whatever the caller's shell has set.

A variable that is not meant for them can steer them all the same: make takes every variable for one of its own, cocotb
has some forty, Verilator, g++ and Python have theirs. Such a one would break a run, or change its result, or be built
into what the cache then hands to others. So a child gets only what programs need to find their way around; `PATH`
chooses the compiler (g++), `CXX` does not.
"""

import os
from contextlib import contextmanager

from hayate.sim.foreign import python_path

#: What a child gets of the caller's variables: names, and beginnings of names.
KEPT = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "TMP",
    "TEMP",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TERM",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "SDKROOT",
    "DEVELOPER_DIR",
    "MACOSX_DEPLOYMENT_TARGET",
)
KEPT_PREFIXES = ("LC_", "DYLD_", "NIX_", "CCACHE_")


def clean():
    """The variables for a program that builds: those of ours that are meant for any program."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith(KEPT_PREFIXES)}
    return {"PATH": os.defpath, **kept}


@contextmanager
def without_cocotb():
    """Within: this process has none of cocotb's variables, which make it refuse to be imported where they are wrong."""
    taken = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith(("COCOTB_", "GPI_", "PYGPI_"))}
    try:
        yield
    finally:
        os.environ.update(taken)


def simulation():
    """The variables for a simulator with Python in it."""
    return clean() | {"PYTHONPATH": os.pathsep.join(python_path()), "PYTHONUTF8": "1"}
