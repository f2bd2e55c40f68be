"""Tables of the guide to precision, of what `hayate bench`, `hayate calibrate` and `scripts/precision_picture.py`
wrote; for `docs.py`.
"""

import json
from itertools import pairwise
from pathlib import Path

from hayate.golden.conductor import governor
from hayate.rtl.contract.precision import Format, stream_words
from hayate.scripts.markdown import table

ROOT = Path(__file__).resolve().parent.parent
QUALITY = ROOT / "docs" / "quality.json"
CYCLES = ROOT / "docs" / "precision.json"
DECISIONS = ROOT / "docs" / "precision-picture.json"

NAMES = [f.name.lower() for f in Format]
DEFAULT = str(governor.QUALITY)
BENCH_K, BENCH_GROUP = 4096, 128  # what `hayate bench precision` measures where it is told nothing else


def load(path):
    return json.loads(path.read_text())


def quality_command(found):
    return f"hayate bench quality --model py-mini --knobs {','.join(found['auto'])} --json docs/quality.json"


def cycles_command():
    return "hayate bench precision --json docs/precision.json"


def share(found, bytes_per_token):
    """How far `bytes_per_token` has come from INT4 to INT8: 0 to 1, above that for FP16."""
    low, high = (found[name]["bytes_per_token"] for name in ("int4", "int8"))
    return (bytes_per_token - low) / (high - low)


def straight_line(found, bytes_per_token):
    """KL on the straight line INT4 - INT8 - FP16 at that many bytes: what a share of all weights, taken blindly, would
    give.
    """
    points = sorted((found[name]["bytes_per_token"], found[name]["kl"]) for name in NAMES)
    for (b0, k0), (b1, k1) in pairwise(points):
        if b0 <= bytes_per_token <= b1:
            return k0 + (k1 - k0) * (bytes_per_token - b0) / (b1 - b0)
    raise ValueError(f"{bytes_per_token} bytes a token are outside INT4 to FP16")


def quality():
    found = load(QUALITY)
    rows = []
    for name, s in [
        *((name.upper(), found[name]) for name in NAMES),
        *((f"auto, quality {q}", s) for q, s in found["auto"].items()),
    ]:
        size, line = s["bytes_per_token"], straight_line(found, s["bytes_per_token"])
        auto = name.startswith("auto")
        rows.append(
            (
                name,
                f"{s['perplexity']:.3f}",
                f"{s['kl']:.5f}",
                f"{100 * s['top1']:.2f} %",
                f"{size:,.0f}",
                f"{100 * share(found, size):.1f} %" if name != "FP16" else "–",
                f"{s['kl'] / line:.2f}" if auto else "–",
            )
        )
    head = (
        "precision",
        "perplexity",
        "KL from FP16, nats a token",
        "same best token as FP16",
        "bytes of weights a token",
        "of the way from INT4 to INT8, in bytes",
        "KL over the straight line",
    )
    return f"{table(head, rows)}\n\nMeasured; reproduce with `{quality_command(found)}`."


def cycles():
    found = load(CYCLES)
    rows = []
    for fmt in Format:
        name = fmt.name.lower()
        words = stream_words(BENCH_K, BENCH_GROUP, fmt)
        rows.append(
            (
                fmt.name,
                f"{found[name]:,}",
                f"{found[name] / found['fp16']:.3f}",
                str(words),
                f"{words / stream_words(BENCH_K, BENCH_GROUP, Format.FP16):.3f}",
            )
        )
    head = ("format", "cycles", "of FP16's", f"words of a row of {BENCH_K:,}, groups of {BENCH_GROUP}", "of FP16's")
    return f"{table(head, rows)}\n\nSimulated; reproduce with `{cycles_command()}`."


def decisions():
    """How far decisions and what they rest on differ from prompt to prompt, against the first prompt."""
    found = load(DECISIONS)
    first, *others = found["prompts"]
    rows = []
    for p in others:
        ratios = sorted(a / b for a, b in zip(p["errors"], first["errors"]))
        middle = ratios[len(ratios) // 2] if len(ratios) % 2 else sum(ratios[len(ratios) // 2 - 1 :][:2]) / 2
        differ = (sum(a != b for a, b in zip(p["formats"][q], first["formats"][q])) for q in found["qualities"])
        rows.append(
            (
                p["name"],
                str(p["tokens"]),
                f"{middle:.2f}",
                f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
                *(str(n) for n in differ),
            )
        )
    head = (
        "prompt",
        "tokens",
        f"INT4 error against “{first['name']}”: median",
        "range",
        *(f"other decisions at {q}" for q in found["qualities"]),
    )
    return (
        f"{table(head, rows)}\n\nOf {len(found['matrices'])} matrices; “{first['name']}” has {first['tokens']} "
        "tokens. Measured on "
        "the golden model, which decides as the chip does; reproduce with `python scripts/precision_picture.py`."
    )


def calibrations():
    """What the shipped models' calibrations were made from."""
    rows = []
    for path in sorted((ROOT / "models").glob("*/calibration.json")):
        c = load(path)
        text = c["text"]
        model, used, heldout = (f"`{digest[:12]}`" for digest in (c["model"], text["sha256"], text["heldout_sha256"]))
        size = f"{c['tokens']:,} in windows of {c['window']}"
        rows.append((path.parent.name, model, text["source"], used, heldout, size, str(c["group"])))
    head = ("model", "checkpoint", "text", "SHA-256 of the text", "of the held-out text", "tokens", "group")
    return f"{table(head, rows)}\n\nThe first 12 digits; the file has all of them."


def rows():
    """(what, value, label, command) of the figures that README and docs/claims.md quote too."""
    found, counted = load(QUALITY), load(CYCLES)
    auto = found["auto"][DEFAULT]
    part = auto["kl"] / straight_line(found, auto["bytes_per_token"])

    def three(table, key, form):
        return " / ".join(form.format(table[name][key]) for name in NAMES)

    command = quality_command(found)
    return [
        (
            "py-mini, held-out source, FP16 / INT8 / INT4: perplexity a token",
            three(found, "perplexity", "{:.3f}"),
            "measured",
            command,
        ),
        (
            "bytes of weights a token, FP16 / INT8 / INT4",
            three(found, "bytes_per_token", "{:,.0f}"),
            "measured",
            command,
        ),
        (
            f"auto, quality {DEFAULT}: perplexity; bytes of weights a token",
            f"{auto['perplexity']:.3f}; {auto['bytes_per_token']:,.0f}",
            "measured",
            command,
        ),
        (
            "its KL divergence from FP16, over that of a straight line INT4 – INT8 – FP16 at equal bytes",
            f"{part:.2f}",
            "measured",
            command,
        ),
        (
            "cycles of one long matrix–vector product on a tile, FP16 / INT8 / INT4",
            " / ".join(f"{counted[name]:,}" for name in NAMES),
            "simulated",
            cycles_command(),
        ),
    ]


SECTIONS = {"quality": quality, "precision-cycles": cycles, "decisions": decisions, "calibrations": calibrations}
