"""What `import hayate` offers a program, and what it brings along."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hayate

HEAVY = ("amaranth", "torch", "numpy", "cocotb", "typer", "rich")


def test_it_brings_nothing_along():
    code = f"import sys, hayate; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_names_are_those_that_a_type_checker_sees():
    """Each is loaded when it is used, and imported, under the same name, where only a type checker looks."""
    tree = ast.parse(Path(hayate.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname or alias.name: f"{node.module}.{alias.name}" for node in block.body for alias in node.names}
    assert sorted([*seen, "__version__"]) == sorted(hayate.__all__)
    assert seen == {name: ".".join(where) for name, where in hayate._LAZY.items()}
    for name in hayate.__all__:
        assert getattr(hayate, name) is not None and name in dir(hayate)


def test_another_name_is_refused():
    with pytest.raises(AttributeError, match="module 'hayate' has no attribute 'compil'"):
        hayate.compil  # noqa: B018
