"""Berkeley TestFloat vectors, where they are present; own vectors of the same shape where they are not.

The folder is HAYATE_TESTFLOAT or ../shared/data/testfloat beside the checkout. Without it a test still runs, on the
FP16 products of numpy, and says so in its output.
"""

import lzma
import os
from pathlib import Path

import numpy as np


def folder() -> Path | None:
    """Where the vectors lie, or None."""
    named = os.environ.get("HAYATE_TESTFLOAT")
    root = Path(__file__).resolve().parents[2]
    path = Path(named) if named else root.parent / "shared" / "data" / "testfloat"
    return path if path.is_dir() else None


def vectors(name: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Binary FP16 multiplication cases (a, b, result) as uint16 arrays, all three finite."""
    path = folder()
    if path is None:
        print(f"TestFloat vectors not found: {name} is checked against numpy's float16 product only")
        a, b = np.random.default_rng(seed).integers(0, 1 << 16, (2, 40000), dtype=np.uint16)
        with np.errstate(all="ignore"):
            exact = a.view(np.float16).astype(np.float64) * b.view(np.float16).astype(np.float64)
            result = exact.astype(np.float16).view(np.uint16)
    else:
        with lzma.open(path / f"{name}.txt.xz", "rt") as lines:
            table = np.array([[int(word, 16) for word in line.split()[:3]] for line in lines], dtype=np.uint16)
        a, b, result = table.T
    finite = np.all([(v >> 10) & 31 != 31 for v in (a, b, result)], axis=0)
    return a[finite], b[finite], result[finite]
