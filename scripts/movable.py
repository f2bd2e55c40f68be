"""Makes the checkout's .venv movable, so that a copied or moved checkout runs its own code. `make` runs it.

Of what venv and pip write, three kinds of files name the folder by its path: the first lines of the programs, which
thus run the Python of the old folder; `activate`, which puts the old folder's programs on PATH; and the table of the
editable installation, which finds the old folder's sources. Each is made to start from where it lies itself. The files
for csh and fish stay as they are until `make` renews them.

Needs nothing but Python. Running it again changes nothing.
"""

import ast
import os
import re
import sys
from pathlib import Path

# What pip writes: for a short path, and for one that is long or has a space in it.
SHEBANG = re.compile(
    rb"""#!/[^\n]*/\.venv/bin/python[\d.]*\n"""
    rb"""|#!/bin/sh\n'''exec' "?/[^\n"]*/\.venv/bin/python[\d.]*"? "\$0" "\$@"\n' '''\n"""
)
# To the shell, a line that starts the Python beside the program; to Python, a string. A link is followed when it is the
# program itself (from ~/bin, say), and not when it is a folder on the way.
BESIDE = b"""#!/bin/sh
'''exec' "$(dirname -- "$(test -L "$0" && realpath -- "$0" || printf %s "$0")")"/python "$0" "$@"
' '''
"""
MARK = "# Added by scripts/movable.py"
ACTIVATE = (
    MARK
    + """: the environment is the folder that this file lies in, wherever it has been copied or moved to.
if [ -n "${BASH_SOURCE:-}" ]; then _hayate=$BASH_SOURCE
elif [ -n "${ZSH_VERSION:-}" ]; then eval '_hayate=${(%):-%x}'
else
    # Other shells do not say what they read; on Linux, this shell has the file open.
    _hayate=$(exec sh -c 'echo $PPID')
    _hayate=$(ls -l "/proc/$_hayate/fd" 2>/dev/null | sed -n 's|.* -> \\(/.*/bin/activate\\)$|\\1|p' | tail -n 1)
fi
if [ -n "$_hayate" ]; then
    VIRTUAL_ENV=$(cd -- "$(dirname -- "$_hayate")/.." && pwd)
    PATH="$VIRTUAL_ENV/bin:$_OLD_VIRTUAL_PATH"
    export VIRTUAL_ENV PATH
    hash -r 2>/dev/null
elif [ -f .venv/bin/activate ] && ! [ .venv -ef "$VIRTUAL_ENV" ]; then
    echo "hayate: activated $VIRTUAL_ENV, and not the .venv here: run 'make' in the folder that was copied or moved" >&2
fi
unset _hayate
"""
)
TABLE = re.compile(r"^(MAPPING|NAMESPACES)(: [^=\n]*)? = (.*)$", re.MULTILINE)


def replace(path, content):
    """Write a file anew, with the mode that it has. In a copy of hard links, the old folder's file stays as it is."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_bytes(content)
    scratch.chmod(path.stat().st_mode)
    scratch.replace(path)


def programs(folder):
    """Have the Python programs in a bin folder run the Python beside them."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        if found := SHEBANG.match(content):
            replace(path, BESIDE + content[found.end() :])


def activate(path):
    """Have the shell's `activate` find its folder."""
    text = path.read_text()
    if MARK not in text:
        replace(path, f"{text}\n{ACTIVATE}".encode())


def editable(packages, root):
    """Have the editable installation in `packages`, a folder below `root`, find the sources from its own place.

    Raises SystemExit where there is none, or one that looks otherwise.
    """
    found = sorted(packages.glob("__editable___hayate_*_finder.py"))
    if len(found) != 1:
        raise SystemExit(f"{packages}: {len(found)} editable installations of hayate, not one: remove .venv")
    text = found[0].read_text()
    if MARK in text:
        return

    def beside(match):
        inner = {
            name: [os.path.relpath(p, root) for p in ([paths] if isinstance(paths, str) else paths)]
            for name, paths in ast.literal_eval(match[3]).items()
        }
        if match[1] == "MAPPING":
            return f"MAPPING = {{name: str(_ROOT / path) for name, (path,) in {inner}.items()}}"
        return f"NAMESPACES = {{name: [str(_ROOT / path) for path in paths] for name, paths in {inner}.items()}}"

    text, count = TABLE.subn(beside, text)
    if count != 2:
        raise SystemExit(f"{found[0]}: setuptools writes its tables in another way now: mend scripts/movable.py")
    place = f"{MARK}.\n_ROOT = Path(__file__).parents[{len(packages.relative_to(root).parts)}]\n"
    replace(found[0], text.replace("MAPPING = ", place + "MAPPING = ", 1).encode())


def main():
    environment = Path(sys.prefix)
    programs(environment / "bin")
    activate(environment / "bin" / "activate")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    editable(environment / "lib" / version / "site-packages", environment.parent)


if __name__ == "__main__":
    main()
