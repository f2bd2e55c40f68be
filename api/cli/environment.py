"""Refuses to run in an environment that belongs to another folder: a copied checkout would run the old one's code."""

import sys
from pathlib import Path

from hayate.rtl.contract.errors import HayateError

HERE = Path(__file__).resolve().parents[1]
REMEDY = "run 'make' in {}, or make a new environment there"


def require_own(script=None, prefix=None, here=HERE):
    """Raise HayateError where the program, the Python that runs it and the code that it finds do not belong together.

    script: path of the program, sys.argv[0]; prefix: folder of the environment; here: that of the code. A .venv that
    `make` has set up can be copied (`scripts/movable.py`); one that somebody has set up by hand cannot.
    """
    script, prefix = Path(script or sys.argv[0]), Path(prefix or sys.prefix)
    own = script.absolute().parent.parent
    if (own / "pyvenv.cfg").is_file() and not own.samefile(prefix):
        raise HayateError(
            own,
            "",
            f"has been copied or moved, and would run the code that is installed in {prefix}",
            REMEDY.format(own.parent),
        )
    code = prefix.parent / "api"
    beside = (prefix / "pyvenv.cfg").is_file() and (prefix.parent / "scripts" / "movable.py").is_file()
    if beside and not (here.is_relative_to(prefix.resolve()) or here.samefile(code)):
        raise HayateError(
            prefix,
            "",
            f"has been copied or moved, and would run the code in {here.parent}",
            REMEDY.format(prefix.parent),
        )
