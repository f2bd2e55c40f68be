"""Keeps modules of the caller's from being taken for Python's, for a package's or for ours.

Imports nothing that is not loaded anyway: the command line asks for the folders before it imports anything else.
"""

import os
import sys


def python_path():
    """Folders of modules, in order: the same `hayate` as here, and nothing of the caller's in front of Python's own.

    What is on PYTHONPATH, or in the current folder, comes last, and without what is another `hayate` or would be taken
    for it.
    """
    ours = os.path.realpath(sys.modules["hayate"].__path__[0])
    named = {os.path.realpath(part) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part}
    try:
        named.add(os.getcwd())
    except OSError:  # it is gone
        pass
    first, own, last = [], [], []
    for entry in filter(None, sys.path):
        place = os.path.realpath(entry)
        if place not in named:
            own.append(entry)
        elif any(os.path.exists(os.path.join(place, name)) for name in ("hayate", "hayate.py")):
            first += [place] * (os.path.realpath(os.path.join(place, "hayate")) == ours)
        else:
            last.append(place)
    return [*first, *own, *last]
