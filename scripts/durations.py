"""Makes what `make test` and `make nightly` recorded of how long tests take the baseline that workers and slices are
balanced by.

    python scripts/durations.py [build/durations.json ...]

Merges the files given into `verif/durations.json`. Tests that were not run keep what is known of them; those whose file
has gone are dropped. Seconds of a run with an empty `build/` on a machine that does nothing else serve best; only their
proportions matter.
"""

import sys
from pathlib import Path

from hayate.verif.bench.share import BASELINE, Durations

ROOT = Path(__file__).resolve().parent.parent


def merge(root: Path, files: list[Path]):
    """Merge `files` into the baseline of the checkout at `root`; FileNotFoundError without one of them."""
    known = Durations.read(root / BASELINE).recorded
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(file)
        known |= Durations.read(file).recorded
    Durations(
        {nodeid: seconds for nodeid, seconds in known.items() if (root / nodeid.partition("::")[0]).is_file()}
    ).write(root / BASELINE)


if __name__ == "__main__":
    merge(ROOT, [Path(name) for name in sys.argv[1:]] or [ROOT / "build" / "durations.json"])
