"""Lint tools on Verilog: what each says of it."""

import re
import subprocess
import sys

from hayate.sim import tools

# slang's own program, as its Python package drives it; elaborates everything below the top.
_SLANG = """
import sys
from pyslang.driver import Driver
driver = Driver()
driver.addStandardArgs()
read = driver.parseCommandLine("slang --color-diagnostics=false " + " ".join(sys.argv[1:])) and driver.processOptions()
if not (read and driver.parseAllSources()):
    sys.exit("slang could not read its arguments")
driver.reportParseDiags()
driver.reportCompilation(driver.createCompilation(), True)
sys.exit(not driver.reportDiagnostics(True))
"""


def run(folder, command):
    """Standard output and error of a command."""
    command = [str(word) for word in command]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return (done.stdout + done.stderr).strip()


def verilator(folder, *arguments):
    """All that `verilator --lint-only` says: nothing, where there is nothing to say."""
    return run(folder, [tools.find("verilator").path, "--lint-only", "--quiet", *arguments])


def icarus(folder, *arguments):
    """Likewise `iverilog -Wall`; nothing where it is not installed."""
    return run(folder, ["iverilog", "-Wall", "-t", "null", *arguments]) if tools.find_icarus() else ""


def slang(folder, *arguments):
    """Likewise slang."""
    return run(folder, [sys.executable, "-c", _SLANG, *arguments])


def kinds(said):
    """Kinds of warnings in what `verilator` said."""
    return set(re.findall(r"^%\w+-(\w+):", said, re.MULTILINE))
