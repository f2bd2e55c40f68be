"""Tells pytest about the benches (`verif/bench/README.md` says what the plugin adds), and in which order workers share the tests."""

import os
from pathlib import Path

pytest_plugins = ["hayate.verif.bench.plugin"]

LONG = Path(__file__).parent / "verif" / "system"


def pytest_collection_modifyitems(items):
    """Several workers begin with whole machines, the longest tests, so that none of these is left for the end while the others idle."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: not item.path.is_relative_to(LONG))
