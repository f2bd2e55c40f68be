"""Draws docs/precision.svg: which format the governor chooses for each matrix of py-mini, prompt by prompt.

    pip install -e '.[docs]'
    python scripts/precision_picture.py

The golden model reads each prompt and generates one token, at each quality. What it decided, and the INT4 errors that
it measured, go to docs/precision-picture.json; `scripts/docs.py` makes a table of them, and a test compares them with
what golden decides now.
"""

import json
import re
from html import escape

from hayate import models
from hayate.golden.conductor.generate import generate
from hayate.scripts.precision_figures import DECISIONS, ROOT

PICTURE = ROOT / "docs" / "precision.svg"
MODEL = "py-mini"
QUALITIES = (0.5, 0.65, 0.98)
PROMPTS = {
    "code": "def __init__(self, name):\n        self.name = name\n        self._items = {}\n\n    def add(self, item):",
    "more code": "import os\nimport sys\n\nclass Queue(object):\n    def put(self, item, block=True):",
    "prose": "The ferry leaves the island twice a day, and in winter only when the wind allows it. "
    "Nobody minds, because nobody is in a hurry.",
    "digits": "3141592653589793238462643383279502884197169399375105820974944592",
    "other scripts": "¡Ñandú! Ωμέγα, Привет, 日本語",
    "one token": "x",
}
#: Format -> colour: Okabe and Ito's, which colour-blind readers tell apart; their lightness differs as well.
COLOURS = {"fp16": "#0072b2", "int8": "#56b4e9", "int4": "#f0e442"}
LEGEND = {"fp16": "FP16", "int8": "INT8", "int4": "INT4"}
CELL = 19, 9  # points
STYLE = (
    "text { fill: #1f2328 !important } #cells path, #legend path { stroke: #8c959f; stroke-width: 0.5 } "
    "@media (prefers-color-scheme: dark) { text { fill: #e6edf3 !important } }"
)


def decide(image, text, quality):
    """(token count, {matrix: {"format", "out", "err", "int8_err"}}) of a prompt, as golden decides on it."""
    ids = models.Text(image).encode(text)
    return len(ids), generate(image, ids, 1, quality=quality).precision


def collect(image, prompts=None, qualities=QUALITIES):
    """Content of `DECISIONS` for `prompts` (name -> text): formats by prompt, quality and matrix, INT4 error energy
    over output energy.
    """
    names = [name for name in image.weight_matrices() if name != "emb"] + ["emb"]
    rows = []
    for label, text in (prompts or PROMPTS).items():
        formats = {}
        for quality in qualities:
            tokens, found = decide(image, text, quality)
            formats[str(quality)] = [found[name]["format"] for name in names]
        errors = [float(f"{found[name]['err'] / found[name]['out']:.4g}") for name in names]
        rows.append({"name": label, "text": text, "tokens": tokens, "errors": errors, "formats": formats})
    return {
        "model": MODEL,
        "source": image.model["source"],
        "qualities": [str(q) for q in qualities],
        "matrices": names,
        "prompts": rows,
    }


def describe(found):
    """Alternative text: what the picture shows, in numbers."""
    prompts, lines = found["prompts"], []
    for quality in found["qualities"]:
        parts = []
        for p in prompts:
            formats = p["formats"][quality]
            parts.append(
                f"{p['name']} " + ", ".join(f"{formats.count(f)} {LEGEND[f]}" for f in COLOURS if f in formats)
            )
        lines.append(f"Quality {quality}: {'; '.join(parts)}.")
    return (
        f"Format of each of the {len(found['matrices'])} weight matrices of {found['model']} (rows), for "
        f"{len(prompts)} prompts "
        f"(columns) at {len(found['qualities'])} qualities (panels). {' '.join(lines)}"
    )


def draw(found, path):
    """Write the picture; equal decisions give equal bytes."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update(
        {"svg.hashsalt": "hayate", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 8}
    )
    from matplotlib import pyplot

    matrices, prompts, qualities = found["matrices"], found["prompts"], found["qualities"]
    columns, gap, layer_gap = len(prompts), 1.0, 0.5
    layer = [int(name.split(".")[1]) if "." in name else None for name in matrices]
    order = sorted({n for n in layer if n is not None})
    height = [i + layer_gap * (order.index(n) if n is not None else len(order)) for i, n in enumerate(layer)]
    across, down = CELL[0] + 2, CELL[1] + 2
    wide, high = len(qualities) * (columns + gap) - gap, height[-1] + 1
    left, right, top, bottom = 84, 14, 80, 30
    size = left + wide * across + right, bottom + high * down + top
    figure = pyplot.figure(figsize=(size[0] / 72, size[1] / 72))
    axes = figure.add_axes((left / size[0], bottom / size[1], wide * across / size[0], high * down / size[1]))
    axes.set(xlim=(0, wide), ylim=(high, 0))
    axes.axis("off")
    marker = [(-CELL[0], -CELL[1]), (CELL[0], -CELL[1]), (CELL[0], CELL[1]), (-CELL[0], CELL[1])]

    def boxes(xs, ys, colours, gid):
        axes.scatter(xs, ys, s=CELL[0] ** 2, marker=marker, c=colours, linewidths=0, clip_on=False).set_gid(gid)

    cells = []
    for q, quality in enumerate(qualities):
        start = q * (columns + gap)
        axes.text(
            start + columns / 2, -6.4, f"quality {quality}", ha="center", va="center", fontsize=10, fontweight="bold"
        )
        for p, prompt in enumerate(prompts):
            axes.text(
                start + p + 0.5, -0.3, prompt["name"], rotation=60, ha="left", va="bottom", rotation_mode="anchor"
            )
            cells += [(start + p + 0.5, y + 0.5, COLOURS[f]) for y, f in zip(height, prompt["formats"][quality])]
    boxes(*zip(*cells), "cells")
    for y, name, n in zip(height, matrices, layer):
        label = name.rpartition(".")[2] if n is not None else "output"
        axes.text(-0.2, y + 0.5, label, ha="right", va="center")
        if label == "wq":
            axes.text(-2.2, y + 0.5, f"layer {n}", ha="right", va="center", fontweight="bold")
    at = [0.5 + 3.5 * i for i in range(len(COLOURS))]
    boxes(at, [high + 1.2] * len(at), list(COLOURS.values()), "legend")
    for x, fmt in zip(at, COLOURS):
        axes.text(x + 0.8, high + 1.2, LEGEND[fmt], ha="left", va="center")
    figure.savefig(path, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    pyplot.close(figure)
    path.write_text(finish(path.read_text(), describe(found)))


def finish(svg, text):
    """The SVG with alternative text, and with colours of text that follow the reader's background."""
    svg, heads = re.subn(
        r"(<svg [^>]*)>",
        rf'\1 role="img" aria-labelledby="what">\n <desc id="what">{escape(text)}</desc>',
        svg,
        count=1,
    )
    svg, styles = re.subn(r'(<style type="text/css">)', rf"\1{STYLE} ", svg, count=1)
    if (heads, styles) != (1, 1):
        raise RuntimeError("matplotlib writes SVG in another way than this script knows")
    return svg


def main():
    found = collect(models.load(MODEL))
    text = json.dumps(found, indent=1, ensure_ascii=False)
    # a list of values goes on one line
    text = re.sub(r"\[\s+([^\[\]{}]+?)\s+\]", lambda m: "[" + " ".join(m[1].split()) + "]", text)
    draw(found, PICTURE)
    DECISIONS.write_text(text + "\n")


if __name__ == "__main__":
    main()
