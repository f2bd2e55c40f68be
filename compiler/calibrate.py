"""What the precision governor needs to know of each matrix: how much its errors matter, and the grids on which to
measure them.

Sensitivity: the KL divergence from the FP16 model that promoting the matrix alone saves (all others stay as they were:
INT4 for the step to INT8, INT8 for that to FP16), per byte that the promotion costs, over its relative error energy on
the same text. So sensitivity x measured ratio estimates what a byte spent here saves on other text.
"""

from pathlib import Path

import numpy as np

from hayate.compiler.checkpoint import Checkpoint
from hayate.compiler.copies import GRID_MAX, SENS_MAX, grid, integer, rounded
from hayate.compiler.fold import S_IN, to_fp16
from hayate.compiler.forward import Forward, Weights, divergence, log_softmax, mxint8
from hayate.compiler.quantize import quantize
from hayate.rtl.contract.constants import ACC_LSB
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.jsonfile import read_json
from hayate.rtl.contract.precision import Format, stream_words

NAME = "calibration.json"  # beside the checkpoint's config.json
TOKENS = 4096
WINDOW = 256

HEADROOM = 4  # a grid has room for sums this many times the largest of the calibration text
SENS_WANTED = 64  # an error's grid is coarsened until the integer sensitivity has this resolution, ...
STEPS = 16  # ... while the error's root mean square keeps this many steps

AGAIN = "make it again: hayate calibrate MODEL --group GROUP"


def calibrate(checkpoint, windows, group, note=lambda text: None):
    """Name -> what calibration found, of every weight matrix of a `Checkpoint`.

    Parameters
    ----------
    windows: token ids [count, T], each row a text of its own. group: elements of a row that share a scale. note: told
        of progress.

    Of each matrix: `sensitivities` (INT4 against INT8, INT8 against FP16; integers for the image), `grids` (OUT, ERR,
    INT8_ERR), and what they come from: `gains` (KL saved, nats a token), `ratios` (error energy over output energy),
    `bytes` a token in FP16, INT8, INT4.
    """
    model = Forward(checkpoint)
    formats = {name: variants(values, group) for name, values in model.matrices.items()}

    def run(base, name=None, promoted=None):
        chosen = {n: formats[n][promoted if n == name else base] for n in formats}
        return log_softmax(model.logits(windows, chosen))

    note(f"{windows.size} tokens, {len(formats)} matrices in groups of {group}")
    sums, reference = measure(model, windows, formats)
    if model.clipped:
        note(
            f"{model.clipped:,} activations left FP16's range and were clipped: so they are on the machine, and "
            "the text may be wrong; "
            "scale the checkpoint's weights down"
        )
    found = {}
    blanket = {fmt: divergence(reference, run(fmt)).mean() for fmt in (Format.INT4, Format.INT8)}
    note(f"KL of INT8 {blanket[Format.INT8]:.2e}, of INT4 {blanket[Format.INT4]:.2e} nats a token")
    for name, values in model.matrices.items():
        gains = [
            blanket[base] - divergence(reference, run(base, name, better)).mean()
            for base, better in ((Format.INT4, Format.INT8), (Format.INT8, Format.FP16))
        ]
        size = [8 * stream_words(values.shape[1], group, fmt) * len(values) for fmt in Format]
        found[name] = {"gains": [float(g) for g in gains], "ratios": sums[name].ratios(), "bytes": size}
        note(f"{name}: KL {gains[0]:+.2e} by INT8, {gains[1]:+.2e} by FP16")
    worth = per_byte(found)
    for name, f in found.items():
        f["sensitivities"], f["grids"] = sums[name].fixed(
            worth[name], to_fp16(model.matrices[name], True, S_IN[0]).exponent
        )
    return found


def per_byte(found):
    """Name -> [worth of INT8, of FP16]: KL saved per byte, in units of what blanket INT8 saves over INT4 per byte on
    average.

    So a threshold of 1 promotes what is worth more than the average byte. Both steps have one unit: a byte is a byte.
    """
    gains = {name: [max(0.0, g) for g in f["gains"]] for name, f in found.items()}
    cost = {name: [f["bytes"][1] - f["bytes"][2], f["bytes"][0] - f["bytes"][1]] for name, f in found.items()}
    unit = sum(g[0] for g in gains.values()) / sum(c[0] for c in cost.values()) or 1.0
    worth = {name: [g / c / unit for g, c in zip(gains[name], cost[name])] for name in found}
    # The way to FP16 leads over INT8: a gain that drowned in noise must not keep a matrix in INT4 while others go to
    # FP16.
    return {name: [max(w), w[1]] for name, w in worth.items()}


def variants(values, group):
    """`Format` -> `Weights` of float64 `values` as an image holds them."""
    rounded = to_fp16(values, True, S_IN[0])
    nested = quantize(np.ldexp(values, -rounded.exponent), group)

    def single(x):
        return np.ldexp(x, rounded.exponent).astype(np.float32)

    return {
        Format.FP16: Weights(single(rounded.half.astype(np.float64))),
        Format.INT8: Weights(single(nested.int8()), integer=True),
        Format.INT4: Weights(single(nested.int4()), integer=True),
    }


class Sums:
    """Energies and largest magnitudes of one matrix's outputs, INT4 errors and INT8 errors, over all rows and
    tokens.
    """

    def __init__(self):
        self.energy, self.top, self.count = np.zeros(3), np.zeros(3), 0

    def add(self, *parts):
        for i, part in enumerate(parts):
            self.energy[i] += np.square(part, dtype=np.float64).sum()
            self.top[i] = max(self.top[i], np.abs(part).max())
        self.count += parts[0].size

    def ratios(self):
        """Error energies over the output energy: INT4 against INT8, INT8 against FP16. 0 where all outputs are."""
        return [float(e / self.energy[0]) if self.energy[0] else 0.0 for e in self.energy[1:]]

    def fixed(self, worth, exponent):
        """(sensitivities, grids), integers, such that sensitivity x ratio on the grids is `worth` on the text
        measured.
        """
        unit = 2.0 ** (-ACC_LSB - exponent)
        grids = [grid(np.frexp(top * unit * HEADROOM)[1]) for top in self.top]
        sensitivities = []
        for kind, ratio in enumerate(self.ratios(), 1):
            s = worth[kind - 1] / ratio if ratio else 0.0
            rms = np.sqrt(self.energy[kind] / self.count) * unit
            while s and integer(s, grids, kind) < SENS_WANTED and rms >= STEPS * 2.0 ** (grids[kind] + 1):
                grids[kind] += 1
            sensitivities.append(rounded(integer(s, grids, kind)))
        return sensitivities, grids


def measure(model, windows, formats):
    """(name -> `Sums`, log-probabilities) of the FP16 model: errors of each matrix on the inputs that FP16 gives it."""
    sums = {name: Sums() for name in formats}

    def observe(name, x, out):
        codes, integer = mxint8(x), formats[name]
        int8 = codes @ integer[Format.INT8].values.T
        low = codes @ (integer[Format.INT8].values - integer[Format.INT4].values).T
        sums[name].add(out, low, out - int8)

    logits = model.logits(windows, {name: f[Format.FP16] for name, f in formats.items()}, observe)
    return sums, log_softmax(logits)


def split(ids, tokens, context):
    """Windows [count, T] of the first `tokens` token ids: T = min(WINDOW, context), whole windows only. Raises
    HayateError for too few.
    """
    size = min(WINDOW, context)
    count = min(len(ids), tokens) // size
    if not count:
        raise HayateError(
            "calibration text", "", f"{min(len(ids), tokens)} tokens make no window of {size}", "give a longer text"
        )
    return np.asarray(ids[: count * size]).reshape(count, size)


def document(checkpoint, windows, group, found, text):
    """Content of a calibration file; `text`: of which text the windows are the beginning, in words and hashes."""
    return {
        "model": checkpoint.source,
        "group": group,
        "tokens": windows.size,
        "window": windows.shape[1],
        "text": text,
        "matrices": found,
    }


def load_calibration(folder, group=None, source=None):
    """Name -> what `calibrate` found, from the file in a checkpoint's folder; None when there is none.

    source: `Checkpoint.source` of the folder, where it has been read already.

    Raises HayateError for a file that is damaged, was made for other weights than the folder holds, or, with `group`,
    for another group.
    """
    path = Path(folder) / NAME
    try:
        found = read_json(path, AGAIN)
    except FileNotFoundError:
        return None
    try:
        model, made_for, matrices = found["model"], found["group"], found["matrices"]
        good = all(
            _integers(m["sensitivities"], 2, SENS_MAX)
            and _integers(m["grids"], 3, GRID_MAX)
            and _numbers(m["gains"], 2)
            for m in matrices.values()
        )
    except (KeyError, TypeError, AttributeError):
        good = False
    if not good:
        raise HayateError(path, "matrices", "damaged: keys are missing or values out of range", AGAIN)
    source = source or Checkpoint(folder).source
    if model != source:
        raise HayateError(
            path, "model", f"made for the checkpoint {str(model)[:12]}, the folder holds {source[:12]}", AGAIN
        )
    if group not in (None, made_for):
        raise HayateError(path, "group", f"made for groups of {made_for}, not {group}", AGAIN)
    return matrices


def _integers(values, count, top):
    return _numbers(values, count) and all(type(v) is int and 0 <= v <= top for v in values)


def _numbers(values, count):
    return (
        isinstance(values, list)
        and len(values) == count
        and all(type(v) in (int, float) and np.isfinite(v) for v in values)
    )
