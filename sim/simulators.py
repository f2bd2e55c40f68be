"""cocotb's runners, changed where the fast build needs it, and the verdict over a finished simulation.

cocotb is pinned: the methods that start with an underscore are those of that version.
"""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import find_libpython

from hayate.rtl.contract.errors import HayateError
from hayate.sim import blocks, compiled, environment, needs, tools

with environment.without_cocotb():  # importing it is enough for it to read its own
    import cocotb_tools.config
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import Icarus, Verilator

from hayate.sim.tools import SimulationError

if TYPE_CHECKING:
    from cocotb_tools.runner import Runner as _Runner
else:
    _Runner = object

# Icarus only prints a failed assertion and carries on.
_ICARUS_ASSERTION = re.compile(r"^ERROR: \S+:\d+:", re.MULTILINE)

# Two thirds of the time that a simulation takes to start would go into pytest's plugins, none of which it uses, into
# preparing numpy and Amaranth for pytest's assertions, which only benches and their helpers make, and into threads for
# matrices far larger than a bench's.
_LIGHT = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "COCOTB_REWRITE_ASSERTION_FILES": "test_*.py verif/*.py",
    "OPENBLAS_NUM_THREADS": "1",
}


class CommandFailed(RuntimeError):
    """A program of the build ended with a status other than 0."""


class _Cocotb(_Runner):
    """Of cocotb's runners: nothing but what is asked for decides, whatever the environment holds."""

    def _set_env_common(self):
        libpython = find_libpython.find_libpython()
        if libpython is None:
            raise HayateError(
                "--sim", "", "no shared libpython, which simulators load", needs.install_line("libpython")
            )
        env = environment.simulation()
        self.env |= env | {
            "PATH": os.pathsep.join([env["PATH"], str(cocotb_tools.config.libs_dir)]),
            "PYGPI_PYTHON_BIN": sys.executable,
            "GPI_USERS": f"{libpython};{cocotb_tools.config.pygpi_entry_point()}",
        }

    def _get_sim_cmd_prefix(self):
        return []

    def _get_sim_cmd_suffix(self):
        return []


class _IcarusTest(_Cocotb, Icarus):
    """Runs what Icarus has built."""


class _VerilatorTest(_Cocotb, Verilator):
    """Runs what Verilator has built."""


class _Build(_Cocotb):
    """Builds with the commands in a process group of their own, their output in a log file, and nothing of the caller's
    environment.

    output: the log file.
    """

    output: Path

    def make(self, sources, top: str, directory: Path, timescale, waves: bool):
        """Build module `top` of `sources` in `directory`, which is there. Raises CommandFailed."""
        self.build_dir = self.cwd = directory
        self.hdl_toplevel, self.timescale, self.waves, self.always = top, timescale, waves, True
        self.includes, self.defines, self.parameters = [], {}, {}
        self._set_sources(sources)
        for assign in (self._set_verilog_sources, self._set_vhdl_sources, self._set_build_args):
            assign([])
        self.env = environment.clean()
        self._execute_cmds(self._build_command(), cwd=directory)

    def _execute_cmds(self, cmds, cwd, stdout=None):
        for command in cmds:
            self.before(command, Path(cwd))
            status = tools.execute(command, cwd=cwd, env=self.env, log=self.output)
            if status != 0:
                raise CommandFailed(f"{Path(command[0]).name} ended with status {status}")

    def before(self, command, cwd: Path):
        """Called ahead of each command."""

    def clean_up(self, directory: Path):
        """Remove what nobody needs once the design is built."""


class PlainIcarus(_Build, Icarus):
    """Icarus with its log in a file."""

    def __init__(self, tool, output: Path):
        super().__init__()
        self.log.disabled = True
        self.output = output

    def clean_up(self, directory: Path):
        """Nothing but the compiled design is left by Icarus."""


class FastVerilator(_Build, Verilator):
    """Verilator without `--public-flat-rw`: only the top-level ports stay visible, which is several times as fast.

    parts: compiled blocks that the design has instances of, each as the files to add.
    """

    @property
    def prefix(self):
        """What Verilator's classes are called."""
        return compiled.TOP

    def __init__(self, tool, *, optimize: str, threads: int, jobs: int, output: Path, waves="", ports=(), parts=()):
        super().__init__()
        self.log.disabled = True
        self.tool, self.ports, self.optimize, self.parts = tool, ports, optimize, parts
        self.threads, self.jobs, self.trace, self.output = threads, jobs, waves, output

    def control(self, top: str) -> str:
        """The control file that makes the ports public: inputs writable, outputs readable."""
        lines = ["`verilator_config"]
        for port in self.ports:
            rule = "public_flat_rw" if port.direction == "input" else "public_flat_rd"
            lines.append(f'{rule} -module "{top}" -var "{port.name}"')
        return "\n".join(lines) + "\n"

    def _simulator_in_path_build_only(self):
        self.executable = str(self.tool.path)

    def _build_command(self):
        generate, make = super()._build_command()
        generate.remove("--public-flat-rw")
        generate += self._options()
        generate += [str(file) for part in self.parts for file in part]
        if self.trace == "fst":
            generate[generate.index("--trace")] = "--trace-fst"
        make[make.index("-j") + 1] = str(self.jobs)
        return [generate, make + self._variables()]

    def _options(self):
        """Of Verilator, for all that is to be fast."""
        options = ["--no-timing", "--assert", "-Wno-fatal", "--x-assign", "fast", "--x-initial", "fast"]
        # A module that is used many times stays a function of its own: less code to compile, and more of it fits the
        # caches.
        options += ["-O3", "--inline-mult", "100", "--threads", str(self.threads)]
        # spaces at the beginning of lines are half of what the compiler would read
        options += ["--decorations", "none"]
        # As few C++ files as there are compilers: with one file for each of its own, the compiler mostly reads the same
        # headers.
        return [*options, "--output-groups", str(self.jobs)]

    def _variables(self):
        """Of make."""
        variables = [*self.tool.make, f"OPT_FAST={self.optimize}", "OPT_SLOW=-O0"]
        if self.jobs == 1 and self.optimize == "-O0":
            # all of it in one file, as nothing of it is to be optimized less than the rest
            variables.append("VM_PARALLEL_BUILDS=0")
        return variables

    def before(self, command, cwd: Path):
        if command[0] == "make":
            compiled.prepare(self, command, cwd)

    def clean_up(self, directory: Path):
        """Keep the program, the Verilog and the log."""
        for file in directory.iterdir():
            if file.name.startswith(("V", "verilat", "shared")) and file.is_file():
                file.unlink()


class Block(FastVerilator):
    """Verilator for a module that designs link: leaves `NAME.sv`, which stands for it there, and `block.a`."""

    @property
    def prefix(self):
        return f"V{self.hdl_toplevel}"

    def _build_command(self):
        self._simulator_in_path_build_only()
        name, folder = self.hdl_toplevel or "", self.build_dir
        (folder / f"{name}.sv").write_text(blocks.stand_in(name, self.ports))
        (folder / f"{name}_glue.cpp").write_text(blocks.glue(name, self.prefix, self.ports))
        generate = [
            self.executable,
            "-cc",
            "-Mdir",
            str(folder),
            "--top-module",
            name,
            "--prefix",
            self.prefix,
            "--timescale",
            "/".join(self.timescale or ()),
            *self._options(),
            *(str(source.value) for source in self._sources),
        ]
        make = [
            "make",
            "-j",
            str(self.jobs),
            "-C",
            str(folder),
            "-f",
            f"{self.prefix}.mk",
            "VM_TRACE=0",
            f"GLUE={name}_glue",
            *self._variables(),
        ]
        return [generate, make]

    def before(self, command, cwd: Path):
        super().before(command, cwd)
        if command[0] == "make":
            blocks.lean(cwd, self.prefix)
            command.append("block.a")

    def clean_up(self, directory: Path):
        """Keep the archive, the module, the Verilog and the log."""
        super().clean_up(directory)
        for file in directory.glob("*_glue.*"):
            file.unlink()


def test_command(build, module: str, directory: Path, results: Path, seed, waves, plusargs=()):
    """The command and the environment that run cocotb module `module` on `build`."""
    runner = _VerilatorTest() if build.sim == "verilator" else _IcarusTest()
    runner.build_dir = build.directory
    runner.test_dir = directory
    runner.sim_hdl_toplevel = build.top
    runner.test_module = module
    runner.hdl_toplevel_lang = "verilog"
    runner.pre_cmd, runner.test_args, runner.plusargs = None, [], list(plusargs)
    runner.waves, runner.gui = waves, False
    if waves and build.sim == "icarus":
        runner.plusargs += [f"+dumpfile_path={directory / build.wave_file}"]
    runner._set_env_test()
    variables = runner.env | _LIGHT | {"COCOTB_RESULTS_FILE": str(results)}
    if (
        build.sim == "verilator"
    ):  # which delays what is written until all have read; Icarus does not, and cocotb does it there
        variables["COCOTB_TRUST_INERTIAL_WRITES"] = "1"
    # A program built in another environment, or in this one before it moved, looks for the libraries where they were.
    search = "DYLD_LIBRARY_PATH" if sys.platform == "darwin" else "LD_LIBRARY_PATH"
    variables[search] = os.pathsep.join(filter(None, (str(cocotb_tools.config.libs_dir), variables.get(search))))
    if seed is not None:
        variables["COCOTB_RANDOM_SEED"] = str(seed)
    (command,) = runner._test_command()
    if {"-fst", "-vcd"} & set(plusargs):  # the design records by itself; cocotb would have Icarus suppress that
        command = [part for part in command if part != "-none"]
    return command, variables


def judge(build, status: int, results: Path, log: str):
    """Raise SimulationError unless every test passed and the simulator ended well."""
    try:
        count, failed = get_results(results)
    except Exception as error:
        raise SimulationError(
            f"the simulation ended with status {status} before its tests did ({error})", log
        ) from None
    if failed or not count:
        raise SimulationError(f"{failed} of {count} tests failed", log)
    if status != 0:
        raise SimulationError(f"the simulator ended with status {status}: an assertion of the design fired", log)
    if build.sim == "icarus" and _ICARUS_ASSERTION.search(log):
        raise SimulationError("an assertion of the design fired", log)
