"""Checks types as a user's type checker sees them: of the package `hayate`, in the layout that a wheel has.

    python scripts/typecheck.py [mypy's options]

The folders of the checkout are mapped into one package when it is installed, which type checkers do not follow;
build/typed has links in their places.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from hayate.sim.structure import FOLDERS

ROOT = Path(__file__).resolve().parent.parent
TYPED = ROOT / "build" / "typed"
DEVELOPERS = ("verif", "scripts")


def lay_out(folder: Path = TYPED):
    """Make `folder` hold the package `hayate`, as links."""
    shutil.rmtree(folder, ignore_errors=True)
    package = folder / "hayate"
    package.mkdir(parents=True)
    inner = [ROOT / name for name in FOLDERS if name not in ("api", *DEVELOPERS)]
    for source in (*inner, *(ROOT / "api").iterdir()):
        if source.name != "__pycache__":
            (package / source.name).symlink_to(source)


if __name__ == "__main__":
    lay_out()
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--package", "hayate"]
    sys.exit(subprocess.run([*command, *sys.argv[1:]], cwd=TYPED, check=False).returncode)
