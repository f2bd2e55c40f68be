"""Keeps elaborated Verilog, keyed by the sources it came from: elaborating a tile takes longer than running its
tests.
"""

import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

from hayate.rtl.contract.files import whole
from hayate.sim import folders, structure


@cache
def sources(root: Path, start: Path) -> tuple[Path, ...]:
    """`start` and every file of the checkout at `root` that it depends on, directly or not.

    Those are the modules it imports (inside functions too), the packages they lie in, and the data files beside them.
    Found by
    reading, not by running: what is imported by a computed name is not seen.
    """
    places = {structure.module_name(root, p): p for f in structure.FOLDERS for p in structure.python_files(root, f)}
    found, left = set(), [start]
    while left:
        path = left.pop()
        if path in found:
            continue
        found.add(path)
        for one in structure.imports(root, path):
            parts = one.module.split(".")
            prefixes = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
            left += [places[name] for name in prefixes if name in places]
    data = {
        p
        for folder in {p.parent for p in found}
        for p in folder.iterdir()
        if p.is_file() and p.suffix in structure.DATA
    }
    return tuple(sorted(found | data))


def text(make: Callable[[], str], *, key: str, files: Iterable[Path], root: Path) -> str:
    """What `make()` returns, from `root` when it was made before with this `key` and these contents of `files`.

    `key` holds everything else that the text depends on: the component's name and parameters. HayateError, ahead of the
    work, where `root` cannot be written.
    """
    digest = hashlib.sha256(f"{key}\0{version('amaranth')}".encode())
    for file in files:
        digest.update(b"\0" + str(file.name).encode() + b"\0" + file.read_bytes())
    kept = root / f"{digest.hexdigest()[:24]}.v"
    if kept.is_file():
        return kept.read_text(encoding="utf-8")
    folders.require(root)
    with folders.written(root):
        root.mkdir(parents=True, exist_ok=True)
    with folders.with_room(root):
        made = make()
    with folders.written(root):
        with whole(kept) as file:
            file.write(made.encode())
    return made
