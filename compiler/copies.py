"""Which copies of a matrix an image keeps, and the governor's numbers for a model that was not calibrated."""

from dataclasses import dataclass

import numpy as np

from hayate.rtl.contract.constants import ACC_LSB, ACC_WIDTH
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.precision import GROUPS, SENS_FRACTION

ALL, NONE = "all", "none"  # FP16 copies; an integer is a budget of bytes
GRID_MAX = ACC_WIDTH - 1
GRID_BITS = 15  # magnitude bits of a sum on its grid: a signed 16-bit integer
# an error's grid is at most this much finer than the outputs', else the integer sensitivity would lose its resolution
GRID_SPAN = 4
SENS_MAX = (1 << 32) - 1


def grid(exponent):
    """Finest grid that sums below 2**`exponent`, in units of the accumulator's last bit, fit."""
    return int(np.clip(exponent - GRID_BITS, 0, GRID_MAX))


def integer(sensitivity, grids, kind):
    """The image's sensitivity for energies of `kind` (an `isa.Energy`) on `grids`, against those of the outputs; before
    it is rounded.
    """
    return sensitivity * 2.0 ** (SENS_FRACTION + 2 * (grids[kind] - grids[0]))


def rounded(sensitivity):
    """`integer` as the image holds it. 0 would stay INT4 at quality 1."""
    return int(np.clip(round(sensitivity), 1, SENS_MAX))


@dataclass(frozen=True)
class Options:
    """How matrices are stored.

    Parameters
    ----------
    planes: with an integer copy. group: elements of a row that share its scale.
    fp16: matrices that also keep their FP16 copy: "all", "none", or a budget of bytes for the most fragile ones. A
        matrix without planes and the embedding (the machine looks up rows of its best copy) keep theirs and are not
        charged.
    calibration: name -> what `calibrate.calibrate` found; None: see `Numbers`.

    Raises HayateError for a value outside these.
    """

    planes: bool = True
    group: int = 32
    fp16: object = ALL
    calibration: dict | None = None

    def __post_init__(self):
        if self.group not in GROUPS:
            raise HayateError("compile", "group", f"{self.group!r} is not supported", "use 32, 64 or 128")
        budget = isinstance(self.fp16, int) and not isinstance(self.fp16, bool) and self.fp16 >= 0
        if self.fp16 not in (ALL, NONE) and not budget:
            raise HayateError(
                "compile", "fp16", f"{self.fp16!r} is neither {ALL}, {NONE} nor a number of bytes", f"use {ALL}"
            )
        if not self.planes and self.fp16 != ALL:
            raise HayateError(
                "compile", "fp16", f"{self.fp16!r} leaves matrices without any copy", "use it with planes only"
            )

    def of(self, name):
        """What calibration found for matrix `name`, None without calibration. HayateError when it does not know the
        matrix.
        """
        if self.calibration is None:
            return None
        if name not in self.calibration:
            raise HayateError("calibration", name, "does not know this matrix", "calibrate the model again")
        return self.calibration[name]


@dataclass(frozen=True)
class Numbers:
    """What the weights alone say of a matrix: `tops`, largest row sums of magnitudes of the INT8 weights, of their
    lower nibbles' part, and of FP16 less INT8; `errors`: squares of INT4 less INT8 and of INT8 less FP16, relative to
    those of the weights.

    The default grids hold any sum of inputs of magnitude 1; real inputs are larger but differ in sign, so that sums of
    hundreds of them seldom saturate. The default sensitivity is the same for all matrices.
    """

    tops: tuple
    errors: tuple

    @classmethod
    def of(cls, half, nested):
        """Numbers of the FP16 values `half` and their `Nested` quantization."""
        exact, int8, int4 = half.astype(np.float64), nested.int8(), nested.int4()
        parts = (int8, int8 - int4, exact - int8)
        energy = np.square(exact).sum()
        return cls(
            tuple(float(np.abs(p).sum(axis=1).max()) for p in parts),
            tuple(float(np.square(p).sum() / energy) if energy else 0.0 for p in parts[1:]),
        )

    def grids(self):
        """(OUT, ERR, INT8_ERR)."""
        out, *rest = (grid(np.frexp(top)[1] - ACC_LSB) for top in self.tops)
        return [out, *(max(out - GRID_SPAN, g) for g in rest)]

    def sensitivities(self, unit):
        """Integer sensitivities of a matrix whose relative errors count `unit` times."""
        grids = self.grids()
        return [rounded(integer(unit, grids, kind)) for kind in (1, 2)]


def unit(numbers):
    """Default sensitivity: the mean INT4 error of all matrices, times it, is 1."""
    mean = np.mean([n.errors[0] for n in numbers]) if numbers else 0.0
    return 1 / mean if mean else 1.0


def kept(options, sizes, numbers):
    """Names that keep their FP16 copy, as a set.

    sizes: name -> bytes of the copy, in the image's order; numbers: name -> `Numbers`. A budget goes to the matrices
    that gain most per byte: by the KL divergence that calibration saw FP16 save over INT8 (no copy where it saved
    none), without calibration by INT8's relative error. A copy that does not fit is left out, a smaller one after it
    may still fit.
    """
    if options.fp16 in (ALL, NONE):
        return set(sizes) if options.fp16 == ALL else set()
    found = {n: options.of(n) for n in sizes}
    worth = {n: numbers[n].errors[1] if found[n] is None else found[n]["gains"][1] / size for n, size in sizes.items()}
    left, names = options.fp16, set()
    for name in sorted(sizes, key=lambda n: -worth[n]):
        if worth[name] > 0 and sizes[name] <= left:
            names.add(name)
            left -= sizes[name]
    return names
