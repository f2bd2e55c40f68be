"""Draws docs/speculation.svg: how many drafted nodes the passes accepted, and the speed-up that came of it, for each
drafter.

    hayate bench speculation --json docs/speculation.json
    pip install -e '.[docs]'
    python scripts/speculation_picture.py

It draws what `hayate bench speculation` wrote, and prints the tables of docs/speculation.md.
"""

import json
import re
from pathlib import Path

from hayate.scripts.markdown import table
from hayate.scripts.precision_picture import finish

ROOT = Path(__file__).resolve().parent.parent
FOUND = ROOT / "docs" / "speculation.json"
NGRAM = ROOT / "docs" / "ngram.json"  # more prompts and tokens, with that drafter alone
WIDE = ROOT / "docs" / "wide.json"  # 8 positions a pass
PICTURE = ROOT / "docs" / "speculation.svg"
NAMES = {"ngram": "n-gram chain", "ngram_tree": "n-gram tree", "nested": "nested INT4", "draft": "py-pico"}
#: accepted nodes -> colour: Okabe and Ito's, which colour-blind readers tell apart.
COLOURS = ("#f0e442", "#56b4e9", "#0072b2", "#cc79a7", "#009e73", "#e69f00", "#d55e00", "#8c959f")


def panels(found):
    """{precision, and temperature unless greedy: {drafter: scores}} of what the bench wrote."""
    parts = {
        "fp16": found,
        **{name.replace("_t", ", T = "): part for name, part in found.items() if name.startswith("int")},
        **{f"fp16, T = {name[1:]}": part for name, part in found.items() if re.fullmatch(r"t[\d.]+", name)},
    }
    return {name: part for name, part in parts.items() if "off" in part}


def rows(part):
    """Rows of a precision's table: one a drafter."""

    def both(s):
        return f"{s['tokens_per_pass']:.2f}, {s['speedup']:.2f}" if s["prompts"] else "–"

    return [
        (
            NAMES[name],
            f"{s['tokens_per_pass']:.2f}",
            f"{s['speedup']:.2f}",
            f"{s['speedup_over_tokens_per_pass']:.2f}",
            both(s["looping"]),
            both(s["other"]),
            f"{s['accepted']} of {s['proposed']}",
            str(s["sibling_commits"]),
            str(s["draft_passes"]),
        )
        for name, s in part.items()
        if name in NAMES
    ]


def text(part):
    """A precision's table, Markdown."""
    looping, other = (part["off"][kind]["prompts"] for kind in ("looping", "other"))
    return table(
        (
            "drafter",
            "tokens a pass",
            "speed-up",
            "speed-up over tokens a pass",
            f"{looping} that loop: tokens a pass, speed-up",
            f"{other} that do not",
            "accepted",
            "siblings",
            "passes that draft",
        ),
        rows(part),
    )


def describe(found):
    """Alternative text: what the picture shows, in numbers."""
    lines = []
    for precision, part in panels(found).items():
        for name in (name for name in NAMES if name in part):
            s = part[name]
            counts = ", ".join(f"{count} with {n}" for n, count in enumerate(s["accepted_lengths"]))
            lines.append(
                f"{precision.upper()}, {NAMES[name]}: speed-up {s['speedup']:.2f}, passes by accepted nodes: {counts}."
            )
    return f"Share of the passes that accepted 0, 1, 2 or more drafted nodes, for each drafter. {' '.join(lines)}"


def draw(found, path):
    """Write the picture; equal figures give equal bytes."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update(
        {"svg.hashsalt": "hayate", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
    )
    from matplotlib import pyplot

    bars = [
        (precision, name, part[name]) for precision, part in panels(found).items() for name in NAMES if name in part
    ]
    count = len(panels(found))
    figure = pyplot.figure(figsize=(7.6, 0.9 + 0.33 * len(bars) + 0.3 * count))
    axes = figure.add_axes((0.2, 0.02, 0.5, 0.96))
    axes.set(xlim=(0, 1))
    axes.axis("off")
    y, shown = 0.0, ""
    for precision, name, s in bars:
        if precision != shown:
            y, shown = y + 1.3, precision
            axes.text(0, y - 0.75, f"{precision.upper()}: passes by accepted nodes", fontweight="bold", va="center")
            axes.text(1.03, y - 0.75, "tokens a pass, speed-up", fontweight="bold", va="center")
        left, passes = 0.0, sum(s["accepted_lengths"])
        for n, lengths in enumerate(s["accepted_lengths"]):
            axes.barh(y, lengths / passes, left=left, height=0.78, color=COLOURS[n], linewidth=0)
            left += lengths / passes
        axes.text(-0.02, y, NAMES[name], ha="right", va="center")
        axes.text(1.03, y, f"{s['tokens_per_pass']:.2f}, {s['speedup']:.2f} ×", va="center")
        y += 1
    for n in range(len(bars[0][2]["accepted_lengths"])):
        axes.barh(y + 0.3, 0.03, left=0.24 * n, height=0.6, color=COLOURS[n], linewidth=0)
        axes.text(0.24 * n + 0.04, y + 0.3, f"{n} accepted", va="center")
    axes.set_ylim(y + 0.9, -0.1)
    figure.savefig(path, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    pyplot.close(figure)
    path.write_text(finish(path.read_text(), describe(found)))


def main():
    found = json.loads(FOUND.read_text())
    draw(found, PICTURE)
    for precision, part in [
        item for file in (FOUND, NGRAM, WIDE) for item in panels(json.loads(file.read_text())).items()
    ]:
        print(f"{precision}\n\n{text(part)}\n")


if __name__ == "__main__":
    main()
