"""What each program is called in the package managers, so that a message can end with the line that installs it."""

import shutil
import sys

# program: (Debian and Ubuntu, Fedora, macOS with Homebrew)
PACKAGES = {
    "python": ("python3", "python3", "python@3.12"),
    "venv": ("python3-venv", "python3", "python@3.12"),
    "libpython": (f"libpython{sys.version_info[0]}.{sys.version_info[1]}", "python3-libs", "python@3.12"),
    "g++": ("g++", "gcc-c++", "gcc"),
    "make": ("make", "make", "make"),
    "perl": ("perl", "perl", "perl"),
    "iverilog": ("iverilog", "iverilog", "icarus-verilog"),
    "yosys": ("yosys", "yosys", "yosys"),
    "headers": ("zlib1g-dev liblz4-dev", "zlib-devel lz4-devel", "zlib lz4"),
}
MANAGERS = (("apt-get", "sudo apt-get install -y"), ("dnf", "sudo dnf install -y"), ("brew", "brew install"))


def install_line(program: str) -> str:
    """The command that installs `program` here; on a system that is none of the three, all of them."""
    lines = [f"{command} {name}" for (_, command), name in zip(MANAGERS, PACKAGES[program])]
    for (manager, _), line in zip(MANAGERS, lines):
        if shutil.which(manager):
            return f"install it with: {line}"
    return "install it with one of: " + " | ".join(lines)
