"""The emitted Verilog: the same bytes every time, one file, plain names below one prefix, and a cost that tiles do not
raise.
"""

import json
import os
import re
import subprocess
import sys
from functools import cache

import pytest

from hayate.progress import Steps
from hayate.rtl.contract import loadfile
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.image import contract_hash
from hayate.rtl.contract.isa import Counter
from hayate.rtl.contract.load import Fact, Reason
from hayate.rtl.contract.loadfile import Kind
from hayate.rtl.contract.regmap import IDENT, REGISTERS, VERSION
from hayate.rtl.emit import emit
from hayate.sim.convert import Port, ports
from hayate.sim.machine.texts import chip_text
from hayate.verif.system.test_invariance import config

SMALL = ("tiles=2", "banks=2", "lanes=1", "bank_depth=512")
CHILD = """
import json
import sys
from hayate.rtl.contract import loadfile
from hayate.rtl.contract.config import load_config
from hayate.rtl.emit import emit
e = emit(load_config("unit", sys.argv[2:]), sys.argv[1])
json.dump([e.verilog, e.description, e.header], sys.stdout)
"""


@cache
def emission():
    return emit(load_config("unit", SMALL))


@cache
def elsewhere():
    """(Verilog, description, header) with another prefix, from a process whose sets have another order."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, "soc7", *SMALL],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(child.stdout)


def defined(text):
    return re.findall(r"^module (\w+)", text, re.MULTILINE)


def test_two_processes_agree_but_for_the_prefix():
    """Whatever the order in which Python's sets happen to be; and all that a prefix changes is the prefix."""
    ours, (verilog, description, header) = emission(), elsewhere()
    assert verilog == re.sub(r"\bhayate(?=_|\b)(?!_(?:settle|banks)\b)", "soc7", ours.verilog).replace(
        "HAYATE_", "SOC7_"
    )
    assert header == ours.header.replace("HAYATE_", "SOC7_").replace("hayate", "soc7")
    before = json.loads(json.dumps(ours.description))
    assert before.keys() == description.keys()
    assert {k for k in before if before[k] != description[k]} == {"top", "bank_macro"}


def test_module_names():
    """Plain, each once, all below the prefix: two chips with different prefixes can stand in one design."""
    names = defined(emission().verilog)
    assert len(names) == len(set(names)) and names.count("hayate") == names.count("hayate_tile") == 1
    assert [n for n in names if n != "hayate" and not n.startswith("hayate_")] == []
    assert not set(names) & set(defined(elsewhere()[0]))


def test_every_module_is_used_and_defined():
    text = emission().verilog
    used = set(re.findall(r"^ {2,4}(hayate\w*) +(?:#\(|\\?\w)", text, re.MULTILINE)) - {"hayate_settle"}
    assert used == set(defined(text)) - {"hayate"}


def test_every_signal_has_the_name_it_has_in_the_source():
    """Two that are made in one assignment have none: Amaranth calls them `$signal`."""
    assert re.findall(r"^ *(?:wire|reg) .*\$signal.*", emission().verilog, re.MULTILINE) == []


def test_no_traces_of_where_it_was_made():
    text = emission().verilog
    assert "src =" not in text and ".py" not in text and str(os.getcwd()) not in text
    assert not re.search(r"(?:^|[\s\"'(])/(?:usr|home|work|tmp|opt|root|Users)/", text)
    assert not re.search(r"\d{4}-\d{2}-\d{2}", text)


@pytest.mark.parametrize("prefix", ["7soc", "a-b", "", "a b", "_x", "modül"])
def test_a_prefix_that_verilog_cannot_take_is_refused(prefix):
    with pytest.raises(HayateError, match="is not a Verilog identifier"):
        emit(load_config("unit"), prefix)


def test_sixteen_tiles_cost_what_two_do(monkeypatch):
    """The tile is elaborated once and stands in the text once; a tile more is an instance more."""
    few, elaborated = emission().verilog, []
    tile = __import__("hayate.rtl.package", fromlist=["tile"]).tile
    monkeypatch.setattr("hayate.rtl.package.tile", lambda config: elaborated.append(config) or tile(config))
    many = emit(load_config("unit", [*SMALL[1:], "tiles=16"])).verilog
    assert len(elaborated) == 1
    assert defined(few) == defined(many)
    assert [len(re.findall(r"^  hayate_tile +tile_\d+", text, re.MULTILINE)) for text in (few, many)] == [2, 16]
    assert len(many) < 1.1 * len(few)


def test_equal_blocks_are_one_module(pytestconfig):
    """Banks, elements and lanes: their number adds instances, not modules. The machines are those of the tests of whole
    generations.
    """
    texts = [chip_text(config(2, m, m), pytestconfig.rootpath / "build" / "sim" / "text", Steps()) for m in (2, 4)]
    for text, banks in zip(texts, (2, 4)):
        names = defined(text)
        assert [sum(n.endswith(kind) for n in names) for kind in ("_pe", "_lane", "_alu", "_bank")] == [1] * 4
        assert len(re.findall(r"^  hayate_tile_pe +pe_\d", text, re.MULTILINE)) == banks
    # Memories of one size are one module, and sizes are not these machines' alike.
    memory = re.compile(r"^  reg \[\d+:0\] \S+ *\[\d+:0\];", re.MULTILINE)
    blocks = [
        {re.sub(r"_\d+", "", body.split("(")[0]) for body in text.split("\nmodule ")[1:] if not memory.search(body)}
        for text in texts
    ]
    assert len(blocks[0]) > 50 and blocks[0] == blocks[1]


def test_the_description_names_what_is_there():
    description, text = emission().description, emission().verilog
    assert json.loads(json.dumps(description)) == description
    assert description["top"] == "hayate" and description["bank_macro"]["instances"] == 4
    assert description["configuration"]["bank_depth"] == description["bank_macro"]["parameters"]["DEPTH"] == 512
    top = re.search(r"^module hayate\(.*?^endmodule", text, re.MULTILINE | re.DOTALL)[0]
    for port in (description["clock"]["port"], description["reset"]["port"]):
        assert re.search(rf"^  input {port};$", top, re.MULTILINE)
    for port in description["bank_macro"]["ports"]:
        assert re.search(rf"^    (?:in|out)put .*\b{port},?$", text, re.MULTILINE)
    assert [r["name"] for r in description["registers"]] == [r.name for r in REGISTERS]
    there = set(ports(text, "hayate"))
    assert {Port(**port) for port in description["ports"]} == there and len(description["ports"]) == len(there)
    assert description["counters"] == {c.name: int(c) for c in Counter}


def test_the_header_compiles(tmp_path):
    (tmp_path / "regs.h").write_text(elsewhere()[2])
    checks = "".join(f'_Static_assert(SOC7_{r.name} == {r.offset}, "offset");\n' for r in REGISTERS)
    checks += '_Static_assert(SOC7_LOAD_ADDRESS(3, SOC7_SPACE_PROMPT, 5) == 0x370000028ull, "address");\n'
    values = {
        "IDENT_VALUE": IDENT,
        "VERSION_VALUE": VERSION,
        "CONTRACT_VALUE": int(contract_hash()[:8], 16),
        "FILE_MAGIC_VALUE": loadfile.MAGIC,
        "FILE_HEADER_SIZE_AT": 8,
        "FILE_FIELDS_SIZE": loadfile.FIELDS_SIZE,
        "FILE_NEED_SIZE": 16,
        "NEED_ALL": Kind.ALL,
        **{f"REASON_{r.name}": r for r in Reason},
        **{f"FACT_{f.name}": f for f in Fact},
    }
    checks += "".join(f'_Static_assert(SOC7_{name} == {int(value)}u, "value");\n' for name, value in values.items())
    checks += "".join(
        f'_Static_assert(SOC7_{r.name}_{name}_MASK == {((1 << width) - 1) << low}u, "mask");\n'
        for r in REGISTERS
        for name, low, width, _ in r.fields
    )
    (tmp_path / "check.c").write_text('#include "regs.h"\n#include "regs.h"\n' + checks)
    command = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "check.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_first_lines_say_what_it_is():
    first, second = emission().verilog.splitlines()[:2]
    assert first == "// hayate: a Hayate package, configuration unit: 2 tiles of 2 banks, M = 1."
    assert emission().description["contract"].startswith(re.match(r"// Contract (\w{16})\.", second)[1])
