"""The tree holds to its own rules: a bench for every component, and imports that only point down."""

import ast
from pathlib import Path

import pytest

from hayate.sim.structure import FOLDERS, Import, components, imports, module_name, python_files

ROOT = Path(__file__).resolve().parent.parent

#: Folder -> those that its modules may import, besides their own. What a user can call never imports tests or scripts.
PRODUCT = ("contract", "rtl", "compiler", "golden", "sim", "fpga")
USES = {
    "contract": (),
    "rtl": ("contract",),
    "compiler": ("contract",),
    "golden": ("contract",),
    "sim": ("contract", "rtl"),
    "fpga": ("contract", "rtl", "sim"),
    "api": PRODUCT,
    "verif": (*PRODUCT, "api"),
    "scripts": (*PRODUCT, "api", "verif"),
}
#: Floors of rtl/: each may import from lower floors, and from its own folder.
FLOORS = {
    "memory": 0,
    "link": 0,
    "verilog": 0,
    "numerics": 1,
    "ring": 1,
    "interfaces": 2,
    "host": 3,
    "tile": 3,
    "conductor": 3,
    "package": 4,
    "emit": 5,
}
#: Rooms of the tile that know nothing of one another: what they share lies in rtl/tile/ itself.
ENGINES = ("sequencer", "matrix", "vector")


def missing_benches(root: Path) -> list[str]:
    """Modules under rtl/ that define a component and have no bench of the same name in the same place under verif/."""
    found = []
    for path in python_files(root, "rtl"):
        inner = path.relative_to(root / "rtl")
        bench = root / "verif" / inner.with_name(f"test_{inner.name}")
        if components(path.read_text()) and not bench.is_file():
            found.append(
                f"rtl/{inner} defines {', '.join(components(path.read_text()))}: {bench.relative_to(root)} is missing"
            )
    return found


def place_of(module: str) -> list[str]:
    """The folders in which `module` lies, from the top: ["rtl", "tile", "matrix", "pe"] for hayate.rtl.tile.matrix.pe.
    "contract" is one of the top, since all else stands on it.
    """
    parts = module.split(".")[1:]
    if not parts or parts[0] not in {folder for folder in FOLDERS if folder != "api"}:
        return ["api", *parts]
    return parts[1:] if parts[:2] == ["rtl", "contract"] else parts


def upward(here: str, found: Import) -> str | None:
    """Why module `here` must not import `found`, or None when it may."""
    if found.module != "hayate" and not found.module.startswith("hayate."):
        return None
    why = f"{found.file}:{found.line} imports {found.module}"
    ours, theirs = place_of(here), place_of(found.module)
    if ours[0] != theirs[0]:
        return None if theirs[0] in USES[ours[0]] else why
    if ours[0] != "rtl" or len(theirs) == 1:
        return None
    if ours[1] != theirs[1]:
        unknown = {ours[1], theirs[1]} - FLOORS.keys()
        if unknown:
            return f"{why}, and rtl/{unknown.pop()} has no floor yet: give it one in {Path(__file__).name}"
        return why if FLOORS[theirs[1]] >= FLOORS[ours[1]] else None
    rooms = [place[2] if len(place) > 2 else "" for place in (ours, theirs)]
    return why if set(rooms) <= set(ENGINES) and rooms[0] != rooms[1] else None


def without_amaranth(root: Path) -> list[str]:
    """Imports of Amaranth, or of RTL beyond the contract, where there must be none."""
    plain = [path for folder in ("compiler", "golden", "rtl/contract") for path in python_files(root, folder)]
    found = []
    for path in plain:
        for one in imports(root, path):
            place = place_of(one.module) if one.module.startswith("hayate.") else [""]
            if one.module.partition(".")[0] == "amaranth" or (place[0] == "rtl" and len(place) > 1):
                found.append(f"{one.file}:{one.line} imports {one.module}")
    return found


def test_every_component_has_a_bench():
    assert missing_benches(ROOT) == []


def test_imports_point_down():
    found = []
    for where in FOLDERS:
        for path in python_files(ROOT, where):
            if where == "verif" and path.name.startswith(("test_", "conftest")):
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
    folders = {p.parent for where in FOLDERS if where != "verif" for p in python_files(ROOT, where)}
    assert [str(f.relative_to(ROOT)) for f in sorted(folders) if not (f / "__init__.py").is_file()] == []


def test_a_component_without_a_bench_is_found(tmp_path):
    (tmp_path / "rtl" / "tile" / "matrix").mkdir(parents=True)
    (tmp_path / "verif" / "tile" / "matrix").mkdir(parents=True)
    (tmp_path / "rtl" / "tile" / "matrix" / "pe.py").write_text(
        "class Pe(wiring.Component): pass\nclass Wide(Pe): pass\n"
    )
    (tmp_path / "rtl" / "tile" / "matrix" / "plain.py").write_text("class Plain: pass\n")
    assert missing_benches(tmp_path) == [
        "rtl/tile/matrix/pe.py defines Pe, Wide: verif/tile/matrix/test_pe.py is missing"
    ]
    (tmp_path / "verif" / "tile" / "matrix" / "test_pe.py").write_text("")
    assert missing_benches(tmp_path) == []


@pytest.mark.parametrize(
    ("here", "there", "allowed"),
    [
        ("hayate.rtl.tile.matrix.pe", "hayate.rtl.numerics.fp16", True),
        ("hayate.rtl.numerics.fp16", "hayate.rtl.tile.matrix.pe", False),
        ("hayate.rtl.tile.matrix.pe", "hayate.rtl.conductor.loop", False),
        ("hayate.rtl.memory.bank", "hayate.rtl.contract.secded", True),
        ("hayate.rtl.contract.config", "hayate.rtl.memory.bank", False),
        ("hayate.rtl.tile.matrix.pe", "hayate.rtl.tile.tile", True),
        ("hayate.rtl.tile.matrix.engine", "hayate.rtl.tile.vector.landing", False),
        ("hayate.rtl.tile.matrix.engine", "hayate.rtl.tile.matrix.pe", True),
        ("hayate.rtl.tile.tile", "hayate.rtl.tile.vector.engine", True),
        ("hayate.rtl.package", "hayate.rtl.conductor.loop", True),
        ("hayate.rtl.tile.matrix.pe", "hayate.golden.tile.matrix", False),
        ("hayate.compiler.place", "hayate.rtl.contract.image", True),
        ("hayate.compiler.place", "hayate.golden.tile.matrix", False),
        ("hayate.compiler.place", "hayate.rtl.memory.bank", False),
        ("hayate.golden.tile.matrix", "hayate.compiler.place", False),
        ("hayate.sim.tools", "hayate.cli.doctor", False),
        ("hayate.sim.runner", "hayate.verif.bench.bench", False),
        ("hayate.cli.main", "hayate.sim.runner", True),
        ("hayate.models", "hayate.verif.bench.bench", False),
        ("hayate.cli.main", "hayate.scripts.docs", False),
        ("hayate.verif.bench.plugin", "hayate.sim.runner", True),
        ("hayate.rtl.tile.matrix.pe", "numpy", True),
    ],
)
def test_floors(here, there, allowed):
    assert (upward(here, Import("f.py", 1, there)) is None) == allowed


def test_relative_imports_are_resolved(tmp_path):
    folder = tmp_path / "golden" / "tile"
    folder.mkdir(parents=True)
    (tmp_path / "golden" / "numerics.py").write_text("")
    (folder / "pe.py").write_text("from .. import numerics\nfrom .lane import x\nimport amaranth.lib\n")
    found = [one.module for one in imports(tmp_path, folder / "pe.py")]
    assert found == ["hayate.golden.numerics", "hayate.golden.tile.lane", "amaranth.lib"]
    assert without_amaranth(tmp_path) == ["golden/tile/pe.py:3 imports amaranth.lib"]


#: What a flit is called where it is looked at or made, and its fields whose bits have names in `contract.words`.
FLITS = {"rx", "flit", "arrived", "payload"}
PAYLOADS = {"data", "addr"}


def raw_bits(text: str) -> list[int]:
    """Lines of `text` that take bits of a flit's payload by number, or put bits together into one."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Subscript) and _is_payload(node.value):
            found.append(node.lineno)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "eq":
            if _is_payload(node.func.value) and any(map(_puts_together, node.args)):
                found.append(node.lineno)
    return sorted(found)


def _puts_together(node) -> bool:
    """Whether an expression has a Cat or a shift that no `pack` gives a field's name to."""
    called = getattr(getattr(node, "func", None), "id", "")
    if called == "pack":
        return False
    shift = isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift)
    return called == "Cat" or shift or any(map(_puts_together, ast.iter_child_nodes(node)))


def _is_payload(node) -> bool:
    inner = node.value if isinstance(node, ast.Attribute) and node.attr in PAYLOADS else None
    return getattr(inner, "attr", getattr(inner, "id", "")) in FLITS


def test_no_payload_is_taken_apart_or_put_together_by_numbers():
    where = [*(f"rtl/{folder}" for folder in ("ring", "tile", "conductor", "host")), "sim"]
    found = {str(path.relative_to(ROOT)): raw_bits(path.read_text()) for w in where for path in python_files(ROOT, w)}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_raw_bits_are_found():
    assert raw_bits("x.eq(self.rx.data[3:7])\ny = flit.addr[0]") == [1, 2]
    assert raw_bits("m.d.comb += [flit.data.eq(Cat(a, b)),\n tx.payload.addr.eq(1 << 3 | c)]") == [1, 2]
    assert raw_bits("x.eq(rx.data.word_select(lane, WORD_BITS))") == [], "a lane's word is no field"
    assert raw_bits("x.eq(view(LANE, rx.data).slot)\nflit.data.eq(pack(LANE, slot=Const(1, 8) << y))\nz.data[0]") == []


#: Where ports are joined by signatures and structs, or each by itself, so that a reader sees both ends.
JOINED_IN_SIGHT = ("rtl", "sim")


def joined_by_name(text: str) -> list[int]:
    """Lines of `text` where an assignment, or a loop of them, or a `connect` looks one of its ends up by a name that is
    computed.
    """
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and _joins(node):
            found |= {lookup.lineno for lookup in _lookups(node)}
        if isinstance(node, (ast.ListComp, ast.GeneratorExp)) and any(map(_joins, ast.walk(node.elt))):
            found |= {lookup.lineno for lookup in _lookups(node)}
        if isinstance(node, ast.For) and any(_joins(inner) for line in node.body for inner in ast.walk(line)):
            found |= {lookup.lineno for lookup in _lookups(node.iter)}
    return sorted(found)


def _joins(node) -> bool:
    """Whether a node is a call of `.eq` or `connect`."""
    called = getattr(node, "func", None)
    return getattr(called, "attr", getattr(called, "id", "")) in ("eq", "connect")


def _lookups(node):
    """Calls of `getattr` within a node whose name is no constant."""
    calls = [inner for inner in ast.walk(node) if isinstance(inner, ast.Call)]
    return [c for c in calls if getattr(c.func, "id", "") == "getattr" and not isinstance(c.args[1], ast.Constant)]


def test_no_port_is_joined_by_name():
    where = {str(p.relative_to(ROOT)): p.read_text() for folder in JOINED_IN_SIGHT for p in python_files(ROOT, folder)}
    assert {path: joined_by_name(text) for path, text in where.items() if joined_by_name(text)} == {}


def test_ports_joined_by_name_are_found():
    assert joined_by_name("m.d.comb += [getattr(a, n).eq(getattr(b, n)) for n in names]") == [1]
    assert joined_by_name("x = 1\nm.d.sync += a.x[0].eq(Mux(c, getattr(b, f'{n}_x'), 0))") == [2]
    assert joined_by_name("m.d.comb += [\n a.eq(b) for n in names\n for a, b in zip(getattr(x, n), y)]") == [3]
    assert joined_by_name("for a in getattr(x, n):\n m.d.comb += a.eq(0)\nconnect(m, a.tx, getattr(b, n))") == [1, 3]
    assert (
        joined_by_name("x.eq(getattr(y, 'z'))\nw = {n: getattr(config, n) for n in names}\nconnect(m, a.x, b.x)") == []
    )
