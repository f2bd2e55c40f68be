"""`hayate bench quality`: what each precision costs in quality and saves in bytes, teacher-forced on the golden model.

Windows of 256 tokens of the held-out text: the first 64 are the prompt, on whose beginning the governor measures; the
rest is fed as if it had been generated, and only that is scored. The reference is the golden model in FP16.
"""

import signal
from functools import partial

import numpy as np
from rich.table import Table

from hayate import corpus, models
from hayate.bench.pool import spread
from hayate.compiler.calibrate import NAME, WINDOW, split
from hayate.compiler.forward import divergence, log_softmax
from hayate.golden.conductor.generate import slots_for, teacher_force
from hayate.golden.conductor.governor import Governor
from hayate.golden.tile.sequencer import Tile
from hayate.output import require_outputs, write_json
from hayate.progress import Steps, console
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.precision import GROUPS, Format, stream_words

PROMPT_SHARE = 4  # a fourth of a window is its prompt
LANES = 64  # positions a pass feeds; results do not depend on it
FIXED = ("fp16", "int8", "int4")


def run(model, tokens, knobs, jobs, json):
    """Measure, print the table and write the JSON: {fp16, int8, int4: scores, auto: {knob: scores}}, see `measure`.
    Raises HayateError.
    """
    qualities = _qualities(knobs)
    for option, value in (("--tokens", tokens), ("--jobs", jobs)):
        if value < 1:
            raise HayateError(option, "", f"{value} is not at least 1", "leave the option out for its default")
    require_outputs([("--json", json)], [models.find(model)])
    people = console(json)
    steps = Steps(people)
    with steps("compiling"):
        image = _image(model, steps)
    settings = [*((name, None) for name in FIXED), *(("auto", q) for q in qualities.values())]
    for precision, quality in settings:
        Governor(image, precision, 1.0 if quality is None else quality)  # refuses before the slow work
    text = corpus.heldout()
    windows = _windows(models.Text(image).encode(text), tokens, image.model["context"])
    people.print(
        f"{windows.size} tokens of {corpus.HELDOUT.name} (sha256 {corpus.digest(text)}), {len(windows)} windows",
        markup=False,
    )
    with steps("feeding"):
        scores = measure(image, windows, settings, jobs, steps.note)
    result = {**dict(zip(FIXED, scores)), "auto": dict(zip(qualities, scores[len(FIXED) :]))}
    people.print(table(result))
    if json:
        write_json(result, json)


def _windows(ids, scored, context):
    """As few windows as give `scored` scored next tokens. HayateError when the text has too few."""
    size = min(WINDOW, context)
    each = size - size // PROMPT_SHARE - 1
    if scored > len(ids) // size * each:
        raise HayateError(
            "--tokens",
            "",
            f"the held-out text has {len(ids) // size * each} tokens to score, not {scored}",
            "ask for fewer",
        )
    return split(ids, -(-scored // each) * size, context)


def measure(image, windows, settings, jobs=1, note=lambda text: None):
    """Scores of each of `settings`, (precision, quality) pairs of which the first is the reference, over `windows`
    [count, T] of token ids.

    Scores: `perplexity` of the next token (within the window), `kl` from the reference in nats a token, `top1`, the
    share of tokens where both agree on the most likely one, and `bytes_per_token`: weights and scales that one token
    reads, without padding. note: told of progress, and of values that were clipped.
    """
    work = partial(score, image, settings=settings)
    collect = partial(_noted, count=len(windows), note=note)
    rows = (
        collect(map(work, windows))
        if jobs == 1
        else spread(collect, _in_worker, windows, jobs, _begin, (image, settings))
    )
    total = np.sum(rows, axis=0)  # [settings, (nll, its tokens, kl, same, bytes, tokens, clipped)]
    if clipped := int(total[:, -1].max()):
        note(
            f"{clipped:,} values, in the worst setting, left the range of FP16 or FP32 and were clipped: all "
            "scores may be off; hayate "
            "generate says which they are"
        )
    return [
        {
            "perplexity": float(np.exp(nll / targets)),
            "kl": float(kl / count),
            "top1": float(same / count),
            "bytes_per_token": float(size / count),
        }
        for nll, targets, kl, same, size, count, _ in total
    ]


def score(image, window, settings, tile=None):
    """Sums over the scored tokens of one window, see `measure`; [settings, 7]."""
    prompt = max(1, len(window) // PROMPT_SHARE)
    tile = tile or Tile(image, lanes=LANES, slots=slots_for(image, LANES))
    reference, sums = None, []
    for precision, quality in settings:
        chosen_quality = {} if quality is None else {"quality": quality}
        logits, chosen = teacher_force(
            image, window, lanes=LANES, tile=tile, prompt=prompt, precision=precision, **chosen_quality
        )
        found = log_softmax(logits[prompt:])
        reference = found if reference is None else reference
        following = window[prompt + 1 :]
        count = len(found)
        sums.append(
            [
                -found[np.arange(len(following)), following].sum(),
                len(following),
                divergence(reference, found).sum(),
                (reference.argmax(axis=1) == found.argmax(axis=1)).sum(),
                count * bytes_per_token(image, chosen),
                count,
                tile.state.saturated.total,
            ]
        )
    return np.array(sums, np.float64)


def bytes_per_token(image, chosen):
    """Bytes of weights and scales that one position streams with formats `chosen` (as `teacher_force` returns them)."""
    return sum(
        8 * d.rows * stream_words(4 * d.words, d.group or GROUPS[0], Format[chosen[name]["format"].upper()])
        for name, d in image.weight_matrices().items()
    )


def _noted(results, count, note):
    rows = []
    for row in results:
        rows.append(row)
        if len(rows) % 10 == 0 or len(rows) == count:
            note(f"{len(rows)} of {count} windows")
    return rows


_worker: dict = {}


def _begin(image, settings):
    """Set up a worker process; Ctrl-C is its parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker.update(image=image, settings=settings, tile=Tile(image, lanes=LANES, slots=slots_for(image, LANES)))


def _in_worker(window):
    return score(_worker["image"], window, _worker["settings"], _worker["tile"])


def _qualities(text):
    """{as written: quality}; HayateError for what is no list of numbers."""
    try:
        return {part.strip(): float(part) for part in text.split(",")}
    except ValueError:
        raise HayateError("--knobs", "", f"{text!r} is not a list of numbers", "give it as in 0.55,0.65,0.75") from None


def _image(model, steps):
    path = models.find(model)
    if path.is_dir() and not (path / NAME).exists():
        steps.note(f"{path} has no calibration: every matrix counts alike (hayate calibrate {path} makes one)")
    return models.load(model)


def table(result):
    """The result, for people."""
    out = Table(
        "precision",
        *(f"{c}" for c in ("perplexity", "KL", "top-1", "bytes a token", "KL over straight line")),
        box=None,
    )
    line = sorted((result[name]["bytes_per_token"], result[name]["kl"]) for name in FIXED)
    for name, s in [*((n, result[n]) for n in FIXED), *((f"auto {q}", s) for q, s in result["auto"].items())]:
        straight = np.interp(s["bytes_per_token"], [x for x, _ in line], [y for _, y in line])
        share = f"{s['kl'] / straight:.2f}" if name not in FIXED and straight else ""
        out.add_row(
            name, f"{s['perplexity']:.3f}", f"{s['kl']:.5f}", f"{s['top1']:.4f}", f"{s['bytes_per_token']:,.0f}", share
        )
    return out
