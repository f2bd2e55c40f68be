"""Reads the tree's own sources: which modules define components, and what imports what. Parses, never imports."""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

#: Folder of the checkout -> the package that its modules are imported from. A wheel has no `verif` and no `scripts`.
FOLDERS = {
    "api": "hayate",
    **{name: f"hayate.{name}" for name in ("rtl", "compiler", "golden", "sim", "fpga", "verif", "scripts")},
}

DATA = {".v", ".vh", ".toml", ".json", ".hex", ".j2"}  # files that modules read at run time


@dataclass(frozen=True)
class Import:
    """`file` (relative to the root) imports `module` on `line`."""

    file: str
    line: int
    module: str


def python_files(root: Path, folder: str) -> list[Path]:
    return sorted(p for p in (root / folder).rglob("*.py") if "__pycache__" not in p.parts)


def module_name(root: Path, path: Path) -> str:
    """The dotted name under which `path` is imported."""
    parts = list(path.relative_to(root).with_suffix("").parts)
    parts[0] = FOLDERS[parts[0]]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def all_modules(root: Path) -> frozenset[str]:
    """The dotted names of all modules below `root`."""
    return frozenset(module_name(root, path) for folder in FOLDERS for path in python_files(root, folder))


def components(text: str) -> list[str]:
    """Names of the public classes in `text` that derive from `wiring.Component`, or from such a class in the same
    file.
    """
    found: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            bases = {base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases}
            if bases & {"Component", *found}:
                found.append(node.name)
    return [name for name in found if not name.startswith("_")]


@cache
def imports(root: Path, path: Path) -> tuple[Import, ...]:
    """Every import of `path`, relative ones resolved, `from package import module` as package.module where that is a
    module.
    """
    tree = ast.parse(path.read_text())
    package = module_name(root, path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    modules = all_modules(root)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *(node.module or "").split(".")]).strip(".")
            names = [f"{base}.{a.name}" if f"{base}.{a.name}" in modules else base for a in node.names]
        else:
            continue
        found += [Import(str(path.relative_to(root)), node.lineno, name) for name in dict.fromkeys(names)]
    return tuple(found)
