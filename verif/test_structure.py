"""The tree holds to its own rules: a bench for every component, and imports that only point down."""

from pathlib import Path

import pytest

from hayate.verif.structure import Import, components, imports, module_name, python_files

ROOT = Path(__file__).resolve().parent.parent

# Floors: each may import from lower floors, and from its own folder.
RTL_FLOORS = {"contract": 0, "memory": 0, "once": 0, "link": 0, "merge": 0, "lint": 0, "widths": 0, "verilog": 1, "numerics": 1,
              "ring": 1, "host": 2, "tile": 2, "conductor": 2, "package": 3, "emit": 4}
FOLDER_FLOORS = {"hayate.rtl": 0, "hayate.compiler": 1, "hayate.verif": 2, "hayate.fpga": 2, "hayate": 3}


def missing_benches(root: Path) -> list[str]:
    """Modules under rtl/ that define a component and have no bench of the same name in the same place under verif/."""
    found = []
    for path in python_files(root, "rtl"):
        inner = path.relative_to(root / "rtl")
        bench = root / "verif" / inner.with_name(f"test_{inner.name}")
        if components(path.read_text()) and not bench.is_file():
            found.append(f"rtl/{inner} defines {', '.join(components(path.read_text()))}: {bench.relative_to(root)} is missing")
    return found


def block(module: str) -> str:
    """The folder of rtl/ (or the file right in it) that `module` belongs to."""
    return module.removeprefix("hayate.rtl").strip(".").partition(".")[0]


def folder(module: str) -> str:
    return next(f for f in sorted(FOLDER_FLOORS, key=len, reverse=True) if module == f or module.startswith(f + "."))


def upward(here: str, found: Import) -> str | None:
    """Why module `here` must not import `found`, or None when it may."""
    there = found.module
    place = f"{found.file}:{found.line} imports {there}"
    if there != "hayate" and not there.startswith("hayate."):
        return None
    if folder(here) != folder(there):
        return place if FOLDER_FLOORS[folder(there)] >= FOLDER_FLOORS[folder(here)] else None
    if folder(here) != "hayate.rtl" or block(there) in ("", block(here)):
        return None
    unknown = {block(here), block(there)} - RTL_FLOORS.keys()
    if unknown:
        return f"{place}, and rtl/{unknown.pop()} has no floor yet: give it one in {Path(__file__).name}"
    # The contract is below the other ground-floor blocks: it is what they all agree on.
    if block(there) == "contract":
        return None
    return place if RTL_FLOORS[block(there)] >= RTL_FLOORS[block(here)] or block(here) == "contract" else None


def without_amaranth(root: Path) -> list[str]:
    """Imports of Amaranth, or of RTL beyond the contract, where there must be none."""
    plain = [*python_files(root, "compiler"), *python_files(root, "verif/golden"), *python_files(root, "rtl/contract")]
    found = []
    for path in plain:
        for one in imports(root, path):
            rtl = one.module.startswith("hayate.rtl") and block(one.module) not in ("", "contract")
            if one.module.partition(".")[0] == "amaranth" or rtl:
                found.append(f"{one.file}:{one.line} imports {one.module}")
    return found


def test_every_component_has_a_bench():
    assert missing_benches(ROOT) == []


def test_imports_point_down():
    found = []
    for where in ("rtl", "compiler", "verif", "fpga", "scripts"):
        for path in python_files(ROOT, where):
            if where != "rtl" and path.name.startswith(("test_", "conftest")):
                continue  # test benches see everything
            here = module_name(ROOT, path)
            found += [why for one in imports(ROOT, path) if (why := upward(here, one))]
    assert found == []


def test_golden_compiler_and_contract_need_no_amaranth():
    assert without_amaranth(ROOT) == []


def test_no_annotations_import_beside_components():
    """Amaranth reads a component's annotations when the class is made; the future import turns them into text."""
    bad = [
        str(path.relative_to(ROOT))
        for path in python_files(ROOT, "rtl")
        if "from __future__ import annotations" in path.read_text() and components(path.read_text())
    ]
    assert bad == []


def test_packages_have_an_init_file():
    """A folder of modules without one would be missing from the wheel."""
    folders = {p.parent for where in ("rtl", "compiler", "verif/golden", "verif/bench", "fpga") for p in python_files(ROOT, where)}
    assert [str(f.relative_to(ROOT)) for f in sorted(folders) if not (f / "__init__.py").is_file()] == []


def test_a_component_without_a_bench_is_found(tmp_path):
    (tmp_path / "rtl" / "tile").mkdir(parents=True)
    (tmp_path / "verif" / "tile").mkdir(parents=True)
    (tmp_path / "rtl" / "tile" / "pe.py").write_text("class Pe(wiring.Component): pass\nclass Wide(Pe): pass\n")
    (tmp_path / "rtl" / "tile" / "plain.py").write_text("class Plain: pass\n")
    assert missing_benches(tmp_path) == ["rtl/tile/pe.py defines Pe, Wide: verif/tile/test_pe.py is missing"]
    (tmp_path / "verif" / "tile" / "test_pe.py").write_text("")
    assert missing_benches(tmp_path) == []


@pytest.mark.parametrize(
    ("here", "there", "allowed"),
    [
        ("hayate.rtl.tile.pe", "hayate.rtl.numerics.fp16", True),
        ("hayate.rtl.numerics.fp16", "hayate.rtl.tile.pe", False),
        ("hayate.rtl.tile.pe", "hayate.rtl.conductor.loop", False),
        ("hayate.rtl.memory.bank", "hayate.rtl.contract.secded", True),
        ("hayate.rtl.contract.config", "hayate.rtl.memory.bank", False),
        ("hayate.rtl.tile.pe", "hayate.rtl.tile.tile", True),
        ("hayate.rtl.package", "hayate.rtl.conductor.loop", True),
        ("hayate.rtl.tile.pe", "hayate.verif.golden.pe", False),
        ("hayate.compiler.image", "hayate.rtl.contract.image", True),
        ("hayate.verif.bench.tools", "hayate.doctor", False),
        ("hayate.cli", "hayate.verif.bench.runner", True),
        ("hayate.rtl.tile.pe", "numpy", True),
    ],
)
def test_floors(here, there, allowed):
    assert (upward(here, Import("f.py", 1, there)) is None) == allowed


def test_relative_imports_are_resolved(tmp_path):
    folder = tmp_path / "verif" / "golden" / "tile"
    folder.mkdir(parents=True)
    (tmp_path / "verif" / "golden" / "numerics.py").write_text("")
    (folder / "pe.py").write_text("from .. import numerics\nfrom .lane import x\nimport amaranth.lib\n")
    found = [one.module for one in imports(tmp_path, folder / "pe.py")]
    assert found == ["hayate.verif.golden.numerics", "hayate.verif.golden.tile.lane", "amaranth.lib"]
    assert without_amaranth(tmp_path) == ["verif/golden/tile/pe.py:3 imports amaranth.lib"]
