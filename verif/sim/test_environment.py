"""What simulators and builders get of the caller's environment: what they need, and nothing that steers them."""

import os
import sys

import pytest

from hayate.sim import environment, simulators, tools
from hayate.sim.foreign import python_path
from hayate.sim.runner import Build, build

#: Variables that make, compilers, Verilator, cocotb and Python would obey.
STEERING = {
    "MAKEFLAGS": "-n",
    "MFLAGS": "-n",
    "GNUMAKEFLAGS": "-n",
    "MAKEFILES": "/dev/null",
    "MAKELEVEL": "3",
    "CXX": "false",
    "CC": "false",
    "AR": "false",
    "LINK": "false",
    "CXXFLAGS": "-DX",
    "CPPFLAGS": "-include nothing",
    "LDFLAGS": "-lnothing",
    "OBJCACHE": "false",
    "OPT": "-Onothing",
    "OPT_FAST": "-Onothing",
    "VM_PREFIX": "x",
    "CPATH": "/nowhere",
    "GCC_EXEC_PREFIX": "/nowhere",
    "VERILATOR_ROOT": "/nowhere",
    "VERILATOR_BIN": "false",
    "VERILATOR_TEST_FLAGS": "--nothing",
    "IVERILOG_DUMPER": "lxt",
    "COCOTB_TEST_FILTER": "nothing",
    "COCOTB_TESTCASE": "nothing",
    "COCOTB_RANDOM_SEED": "x",
    "RANDOM_SEED": "x",
    "COCOTB_RESOLVE_X": "x",
    "COCOTB_LOG_LEVEL": "NOTHING",
    "COCOTB_MAX_FAILURES": "x",
    "GPI_EXTRA": "/nowhere.so",
    "GPI_USERS": "/nowhere.so",
    "LIBPYTHON_LOC": "/nowhere.so",
    "PYGPI_USERS": "nothing:nothing",
    "PYGPI_PYTHON_BIN": "/nowhere",
    "TOPLEVEL": "x",
    "MODULE": "x",
    "WAVES": "banana",
    "GUI": "banana",
    "SIM_CMD_PREFIX": "false",
    "SIM_CMD_SUFFIX": "x",
    "COVERAGE": "1",
    "PYTHONOPTIMIZE": "2",
    "PYTHONHASHSEED": "0",
    "PYTHONWARNINGS": "error",
    "PYTHONSTARTUP": "/nowhere",
    "PYTHONIOENCODING": "ascii",
    "SIM": "x",
    "HAYATE_REQUEST": "/nowhere",
    "HAYATE_BENCH": "{}",
    "HAYATE_PORTS": "x",
    "PYTEST_ADDOPTS": "--nothing",
}

ADDER = """module top(input clk, input [3:0] a, input [3:0] b, output reg [4:0] y);
always @(posedge clk) y <= a + b;
endmodule
"""


@pytest.fixture
def steered(monkeypatch):
    for name, value in STEERING.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LC_ALL", "C")


def test_only_what_is_meant_for_any_program_is_handed_on(steered):
    found = environment.clean()
    assert not STEERING.keys() & found.keys()
    assert found["PATH"] == os.environ["PATH"] and found["LC_ALL"] == "C"


def test_no_path_is_the_system_s(monkeypatch):
    monkeypatch.delenv("PATH")
    assert environment.clean()["PATH"] == os.defpath


def test_the_simulator_s_variables_are_ours(steered, monkeypatch, tmp_path):
    """The command and the variables that a run gets are those of a shell that has set nothing."""
    made = Build("verilator", tmp_path, "top", ())

    def asked():
        return simulators.test_command(made, "hayate.verif.bench.inside", tmp_path, tmp_path / "results.xml", 1, False)

    steered_command, found = asked()
    for name in STEERING:
        monkeypatch.delenv(name)
    assert (steered_command, found) == asked()
    assert found["COCOTB_TEST_MODULES"] == "hayate.verif.bench.inside" and found["COCOTB_RANDOM_SEED"] == "1"


def test_a_build_is_not_given_them(steered, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(tools, "execute", lambda command, env, log, **_: given.append(env) or log.write_text("") or 1)
    with pytest.raises(tools.BuildError):
        build(ADDER, root=tmp_path)
    assert given == [environment.clean()] and not STEERING.keys() & given[0].keys()


@pytest.mark.nightly  # compiles Verilator's run-time library anew
def test_a_build_does_not_see_them(steered, tmp_path):
    made = build(ADDER, root=tmp_path)
    assert (made.directory / "build.json").is_file() and (made.directory / "top").is_file()
    log = (made.directory / "build.log").read_text()
    assert "-DX" not in log and "nothing" not in log


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A folder with modules that have the names of Python's own, and of ours, on PYTHONPATH."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(sys, "path", [sys.path[0], str(folder), *sys.path[1:]])
    return folder


def test_modules_of_the_caller_come_last(foreign):
    (foreign / "random.py").write_text("raise SystemExit('shadowed')\n")
    found = python_path()
    assert found[-1] == os.path.realpath(foreign)
    assert found[:-1] == [entry for entry in sys.path if entry and entry != str(foreign)]


@pytest.mark.parametrize("name", ["hayate", "hayate.py"])
def test_another_hayate_is_left_out(name, foreign):
    (foreign / name).mkdir() if name == "hayate" else (foreign / name).write_text("")
    assert os.path.realpath(foreign) not in python_path()


def test_ours_comes_first_where_the_caller_names_it(foreign, monkeypatch):
    (foreign / "hayate").mkdir()
    monkeypatch.setattr(sys.modules["hayate"], "__path__", [str(foreign / "hayate")])
    assert python_path()[0] == os.path.realpath(foreign)
