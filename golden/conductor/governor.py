"""Golden precision governor: which format each matrix is read in, from energies measured on the prompt or by a fixed
choice.

The rules are in `decide` and `knob_of`; both are integers, so that hardware and model agree to the bit.
"""

from hayate.rtl.contract.errors import HayateError, nearest
from hayate.rtl.contract.isa import Energy
from hayate.rtl.contract.precision import KNOB_BITS, KNOB_FRACTION, Format

PRECISIONS = ("auto", *(f.name.lower() for f in Format))
QUALITY = 0.65  # where the user names none


def knob_of(quality):
    """Integer knob of a quality, 0 < quality <= 1: the largest weighted error over output, (1 - quality) / quality, in
    fixed point.

    At 1 every measurable error promotes. Raises HayateError for a quality outside.
    """
    if not 0 < quality <= 1:
        raise HayateError(
            "--quality",
            "",
            f"{quality} is not above 0 and at most 1",
            "1 asks for the best copy, values near 0 for INT4",
        )
    return min((1 << KNOB_BITS) - 1, round((1 - quality) / quality * (1 << KNOB_FRACTION)))


def decide(energies, sensitivities, has_fp16, knob):
    """`Format` of a matrix.

    Parameters
    ----------
    energies: integers, indexed by `Energy`. sensitivities: integers, of INT4 against INT8 and of INT8 against FP16.
    has_fp16: the FP16 copy exists. knob: of `knob_of`.
    """
    limit = knob * energies[Energy.OUT]
    if has_fp16 and sensitivities[1] * energies[Energy.INT8_ERR] << 16 > limit:
        return Format.FP16
    return Format.INT8 if sensitivities[0] * energies[Energy.ERR] << 16 > limit else Format.INT4


def table(image, precision):
    """Descriptor name -> `Format` of every weight matrix at a fixed `precision` ("fp16", "int8" or "int4").

    Raises HayateError where a matrix lacks the copy.
    """
    fmt = Format[precision.upper()]
    matrices = image.weight_matrices()
    for d in matrices.values():
        _check(d, fmt, "--precision")
    return dict.fromkeys(matrices, fmt)


class Governor:
    """Precision of one generation: fixed from the start, or measured at the beginning of the prompt and then frozen.

    Parameters
    ----------
    image: `Image`. precision: one of `PRECISIONS`; "auto" on an image without planes reads everything in FP16.
    quality: for "auto", see `knob_of`. pins: descriptor name -> `Format`, the host's word against the decision; for
        "auto" they hold from the first pass behind those that measure on.

    Members: ``measure``: whether passes over the beginning of the prompt measure.

    Raises
    ------
    HayateError
        Where the image cannot be read so, or an argument is outside its domain.
    """

    def __init__(self, image, precision="auto", quality=QUALITY, pins=None):
        if precision not in PRECISIONS:
            raise HayateError(
                "--precision", "", f"{precision!r} is no precision", f"use one of {', '.join(PRECISIONS)}"
            )
        self._matrices = image.weight_matrices()
        self._knob, self._pins = knob_of(quality), dict(pins or {})
        for name, fmt in self._pins.items():
            if name not in self._matrices:
                raise HayateError(
                    "--pin",
                    name,
                    "the image has no weight matrix of this name",
                    f"did you mean {nearest(name, self._matrices)!r}?",
                )
            _check(self._matrices[name], fmt, "--pin")
        self.measure = precision == "auto" and any(d.planes for d in self._matrices.values())
        self._fixed = None if precision == "auto" else table(image, precision)

    def begin(self, state):
        """Write the precision table of a `TileState`, which measuring passes do not look at."""
        if self._fixed is not None:
            state.load_precision({**self._fixed, **self._pins})

    def freeze(self, state):
        """Behind what measures: decide, write the table, and return {name: {"format", "out", "err", "int8_err"}} of
        every weight matrix.

        Energies are 0 where nothing was measured.
        """
        decided = {}
        for name, d in self._matrices.items():
            energies = state.energies.get(name, [0] * len(Energy))
            if self._fixed is not None:
                decided[name] = self._fixed[name]
            elif d.planes:
                decided[name] = decide(energies, d.sensitivities, bool(d.tensor), self._knob)
            else:
                decided[name] = Format.FP16
        decided |= self._pins
        state.load_precision(decided)
        return {
            name: {
                "format": fmt.name.lower(),
                **{e.name.lower(): state.energies.get(name, [0] * len(Energy))[e] for e in Energy},
            }
            for name, fmt in decided.items()
        }


def _check(descriptor, fmt, source):
    """HayateError unless the matrix has a copy that `fmt` reads."""
    if descriptor.tensor if fmt == Format.FP16 else descriptor.planes:
        return
    kind, option = ("an FP16 copy", "--fp16 all") if fmt == Format.FP16 else ("INT8/INT4 planes", "--planes")
    raise HayateError(
        source,
        descriptor.name,
        f"{fmt.name.lower()} needs {kind}, and the image has none",
        f"compile the model again with {option}, or choose another precision",
    )
