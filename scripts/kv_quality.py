"""What K and V in 8 bits would cost in quality: the golden model with a cache that rounds, against the one that it has.

    python scripts/kv_quality.py [--tokens N] [--jobs N] [--weights fp16,int8] [--json FILE]

The protocol is that of `hayate bench quality`: windows of 256 tokens of the held-out text, of which the first 64 are
fed and the others scored. The reference has FP16 K and V and the same weights, so that differences are the cache's
alone. No machine reads such a cache; [ADR 21](../docs/adr/0021-k-and-v-in-attention.md) says why.

K has a scale for each slot, head and 32 dimensions, V one for each slot and head, which the softmax numerators are
multiplied by before they are sent. A scale is the largest magnitude over W8_MAX, rounded to FP16, or the least power of
two by which nothing clips. Queries and numerators stay FP16 or become MXINT8, as integer planes have them. Sums are
float64 here, rounded to FP32: the order of their terms is worth nothing beside a rounded cache.
"""

import argparse
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hayate import corpus, models
from hayate.bench import quality
from hayate.bench.pool import spread
from hayate.compiler.forward import divergence, log_softmax
from hayate.golden.conductor.generate import slots_for, teacher_force
from hayate.golden.numerics import mxint8
from hayate.golden.tile.matrix import MatrixEngine
from hayate.golden.tile.sequencer import Tile
from hayate.output import write_json
from hayate.rtl.contract.precision import MX_FRACTION, MX_MIN_EXPONENT, W8_MAX
from hayate.scripts.markdown import table

MODEL = "py-mini"
GROUP = 32  # dimensions of K that share a scale


@dataclass(frozen=True)
class Cache:
    """What is rounded. keys, values: K and V to 8 bits. moving: and what they are multiplied with. powers: scales are
    powers of two.
    """

    keys: bool = False
    values: bool = False
    moving: bool = False
    powers: bool = False


CACHES = {
    "FP16": Cache(),
    "K": Cache(keys=True),
    "V": Cache(values=True),
    "K and V": Cache(keys=True, values=True),
    "K and V, queries and numerators": Cache(keys=True, values=True, moving=True),
    "K and V, powers of two": Cache(keys=True, values=True, powers=True),
    "K and V, queries and numerators, powers of two": Cache(keys=True, values=True, moving=True, powers=True),
}


def rounded(x, powers):
    """(integers, scale), float64 [..., n] and [..., 1], of float16 [..., n] whose last axis shares a scale."""
    x = x.astype(np.float64)
    largest = np.abs(x).max(axis=-1, keepdims=True)
    if powers:
        exponent = np.maximum(np.frexp(largest)[1] - 1, MX_MIN_EXPONENT) - MX_FRACTION
        exponent += np.rint(np.ldexp(largest, -exponent)) > W8_MAX
        scale = np.ldexp(1.0, exponent)
    else:
        scale = (largest / W8_MAX).astype(np.float16).astype(np.float64)
        scale[scale == 0] = 1.0
    return np.clip(np.rint(x / scale), -W8_MAX, W8_MAX), scale


class RoundingEngine(MatrixEngine):
    """A matrix engine whose K and V are those of `cache`."""

    def __init__(self, image, state, cache):
        super().__init__(image, state)
        self._cache = cache
        self._stored: dict = {}

    def _of(self, desc, shape):
        """(values [kv heads, slots, dimensions], scales of V [kv heads, slots]) of a cache, float64."""
        heads, slots, dimensions = shape
        if desc.name not in self._stored:
            self._stored[desc.name] = np.zeros((heads, slots, dimensions)), np.ones((heads, slots))
        return self._stored[desc.name]

    def _shape(self, desc):
        s = self._state
        return (s.kv_heads, s.max_slots, 4 * desc.words if desc.kind == "kcache" else desc.block_rows)

    def write_kv(self, i, desc):
        s = self._state
        region, at = s.offset(i.act, i.act_h)
        values, scales = self._of(desc, self._shape(desc))
        new = self._activations(region, at, values.shape[2] // 4, s.count)
        if desc.kind == "vcache" and self._cache.values:
            q, scale = rounded(new, self._cache.powers)
            values[s.head, s.slots], scales[s.head, s.slots] = q, scale[:, 0]
        elif desc.kind == "kcache" and self._cache.keys:
            for first in range(0, new.shape[1], GROUP):
                q, scale = rounded(new[:, first : first + GROUP], self._cache.powers)
                values[s.head, s.slots, first : first + GROUP] = q * scale
        else:
            values[s.head, s.slots] = new

    def gemv(self, i, desc):
        if desc.kind not in ("kcache", "vcache"):
            super().gemv(i, desc)
            return
        s = self._state
        region, at = s.offset(i.act, i.act_h, i.act_j, j=s.of_chunk if i.slot_words else None)
        values, scales = self._of(desc, self._shape(desc))
        used = -(-s.hwm // 4)
        words = desc.words if desc.kind == "kcache" else used
        x = self._activations(region, at, words, s.lanes_in_play(i.vec))
        if desc.kind == "kcache":
            rows = self._moving(x) @ values[s.head, : 4 * used].T
        elif self._cache.moving and self._cache.values:  # numerators are rounded with the slots' scales in them
            scaled = (x * scales[s.head, : 4 * used]).astype(np.float16)
            rows = self._moving(scaled) @ values[s.head, : 4 * used]
        else:
            rows = (x * scales[s.head, : 4 * used]) @ values[s.head, : 4 * used]
        s.landing.append(np.ldexp(rows.astype(np.float32), desc.s_in).T)

    def _moving(self, x):
        """float64 of activations [lanes, K], as they meet K or V."""
        return mxint8.dequantize(*mxint8.quantize(x)) if self._cache.moving else x.astype(np.float64)


def score(image, window, weights, tiles):
    """Of the scored tokens of one window: [weights, caches, (negative log likelihood, its tokens, KL, tokens)]."""
    prompt = max(1, len(window) // quality.PROMPT_SHARE)
    following = window[prompt + 1 :]
    sums = []
    for precision in weights:
        reference, row = None, []
        for tile in tiles:
            logits, _ = teacher_force(image, window, lanes=quality.LANES, tile=tile, prompt=prompt, precision=precision)
            found = log_softmax(logits[prompt:])
            reference = found if reference is None else reference
            likelihood = found[np.arange(len(following)), following].sum()
            row.append([-likelihood, len(following), divergence(reference, found).sum(), len(found)])
        sums.append(row)
    return np.array(sums)


_worker: dict = {}


def _begin(image, weights):
    """Set up a worker process; Ctrl-C is its parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tiles = []
    for cache in CACHES.values():
        tile = Tile(image, lanes=quality.LANES, slots=slots_for(image, quality.LANES))
        if cache != Cache():
            tile.matrix = RoundingEngine(image, tile.state, cache)
        tiles.append(tile)
    _worker.update(image=image, weights=weights, tiles=tiles)


def _in_worker(window):
    return score(_worker["image"], window, _worker["weights"], _worker["tiles"])


def measure(image, windows, weights, jobs=1):
    """{weights: {cache: {"perplexity", "kl", "nll_change", "error"}}} over `windows` [count, T] of token ids.

    kl: from the same weights with an FP16 cache, in nats a token. nll_change: of the mean negative log likelihood, to
    the same reference; error: its standard error, from the differences of windows.
    """
    rows = np.array(spread(list, _in_worker, list(windows), jobs, _begin, (image, weights)))
    result: dict = {}
    for w, precision in enumerate(weights):
        result[precision] = {}
        reference = rows[:, w, 0, 0]
        for c, name in enumerate(CACHES):
            nll, targets, kl, tokens = rows[:, w, c].T
            change = (nll - reference) / targets
            result[precision][name] = {
                "perplexity": float(np.exp(nll.sum() / targets.sum())),
                "kl": float(kl.sum() / tokens.sum()),
                "nll_change": float(change.mean()),
                "error": float(change.std() / np.sqrt(len(change))),
            }
    return result


def lines(result):
    """The result as a table, for people and for a page."""
    rows = []
    for precision, caches in result.items():
        for name, found in caches.items():
            change = f"{found['nll_change']:+.5f} ± {found['error']:.5f}"
            rows.append((precision.upper(), name, f"{found['perplexity']:.4f}", change, f"{found['kl']:.6f}"))
    return table(("weights", "rounded", "perplexity", "change of nats a token", "KL, nats a token"), rows)


def main():
    parser = argparse.ArgumentParser(description="Quality of K and V in 8 bits, on the golden model.")
    parser.add_argument("--tokens", type=int, default=20_000, help="tokens of the held-out text to score at least")
    parser.add_argument("--jobs", type=int, default=2, help="processes that share the windows")
    parser.add_argument("--weights", default="fp16,int8", help="what weights are read in, one after the other")
    parser.add_argument("--json", type=Path, help="write the result there, too")
    options = parser.parse_args()
    image = models.load(MODEL)
    ids = models.Text(image).encode(corpus.heldout())
    size = min(quality.WINDOW, image.model["context"])
    count = -(-options.tokens // (size - size // quality.PROMPT_SHARE - 1))
    windows = quality.split(ids, count * size, image.model["context"])
    result = measure(image, windows, options.weights.split(","), options.jobs)
    print(lines(result))
    if options.json:
        write_json(result, options.json)


if __name__ == "__main__":
    main()
