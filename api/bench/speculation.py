"""`hayate bench speculation`: decode cycles with each drafter and without, on the simulated chip, for the same tokens
and logits.

The shipped prompts, read and continued greedily or sampled. Cycles are those from the first token to the end, a
drafting model's own passes among them. Outputs that end in a loop are easy to guess, so they are also reported apart
from the others.
"""

import signal
import sys
from pathlib import Path

import numpy as np
from rich.table import Table

from hayate import models, prompts
from hayate.bench.pool import spread
from hayate.bench.setup import require_tokens
from hayate.compiler.cost import costs
from hayate.compiler.shares import Geometry
from hayate.compiler.usage import require_formats, require_sampling
from hayate.golden.conductor.draft import require_drafter
from hayate.golden.conductor.generate import check_request
from hayate.golden.conductor.governor import PRECISIONS, Governor
from hayate.golden.conductor.sample import inverse
from hayate.output import require_outputs, toml, write_json
from hayate.progress import Steps, console
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.draft import Drafter
from hayate.rtl.contract.errors import HayateError

#: name -> options of `generate_rtl`.
DRAFTERS: dict[str, dict] = {
    "off": {"speculate": "off"},
    "ngram": {"speculate": "ngram", "branch": 0},
    "ngram_tree": {"speculate": "ngram", "branch": 1},
    "nested": {"speculate": "nested"},
    "draft": {"speculate": "draft"},
}
SEED = 1  # of what is sampled
LOOP = 8  # tokens at the end, and two rounds of it, that a loop must have


def loops(tokens):
    """Whether a text ends in a loop: its last tokens, at least `LOOP` of them, are a cycle that went round at least
    three times.
    """
    for period in range(1, len(tokens) // 3 + 1):
        span = max(3 * period, LOOP)
        if len(tokens) >= span and all(tokens[-i] == tokens[-i - period] for i in range(1, span - period + 1)):
            return True
    return False


def measure(
    image,
    config,
    prompt,
    tokens,
    precision,
    temperature=0.0,
    control=True,
    sim="verilator",
    root=None,
    drafters=DRAFTERS,
):
    """{drafter: what a generation took}, plain numbers. control: weigh the nodes of each pass by the image's costs, as
    `generate` does.

    AssertionError where a drafter changes tokens or logits.
    """
    from hayate.backends.rtl import generate_rtl

    found, plain = {}, None
    for name in drafters:
        drafter = Drafter[DRAFTERS[name]["speculate"].upper()]
        table = costs(image, config.lanes, drafter) if control and drafter != Drafter.OFF else None
        result = generate_rtl(
            image,
            config,
            prompt,
            tokens,
            costs=table,
            sim=sim,
            precision=precision,
            temperature=temperature,
            seed=SEED,
            root=root,
            **DRAFTERS[name],
        )
        if result.fault:
            raise AssertionError(f"{name}: the chip reported a memory fault")
        plain = plain or result
        if (
            result.tokens != plain.tokens
            or result.logits.keys() != plain.logits.keys()
            or any(
                not np.array_equal(row.view(np.uint32), plain.logits[at].view(np.uint32))
                for at, row in result.logits.items()
            )
        ):
            raise AssertionError(f"{precision}, {name}: tokens or logits are not those of one token a pass")
        d = result.drafting
        found[name] = {
            "cycles": result.cycles - result.prefill,
            "tokens": len(result.tokens) - 1,
            "passes": result.passes - -(-len(prompt) // config.lanes),
            "proposed": d.proposed,
            "accepted": d.accepted,
            "sibling_commits": d.siblings,
            "draft_passes": d.passes,
            "turnaround": result.turnaround,
            "lengths": [d.lengths.get(n, 0) for n in range(config.lanes)],
            "loops": loops(result.tokens),
        }
    return found


def total(rows, name):
    """Sums of a drafter's figures over `rows` of `measure`: tokens a pass, and cycles without it over cycles with
    it.
    """
    own = [row[name] for row in rows]
    cycles, plain = sum(r["cycles"] for r in own), sum(row["off"]["cycles"] for row in rows)
    return {
        "tokens_per_pass": round(sum(r["tokens"] for r in own) / sum(r["passes"] for r in own), 4),
        "speedup": round(plain / cycles, 4),
    }


def scores(rows):
    """{drafter: scores} of what `measure` returned, see `docs/speculation.md`."""
    found = {}
    for name in rows[0]:
        own = [row[name] for row in rows]
        s = total(rows, name)
        sums = {key: sum(r[key] for r in own) for key in ("proposed", "accepted", "sibling_commits", "draft_passes")}
        parts = {
            "looping": [row for row in rows if row["off"]["loops"]],
            "other": [row for row in rows if not row["off"]["loops"]],
        }
        found[name] = {
            **s,
            **sums,
            "speedup_over_tokens_per_pass": round(s["speedup"] / s["tokens_per_pass"], 4),
            "cycles": sum(r["cycles"] for r in own),
            "turnaround": max(r["turnaround"] for r in own),
            "accepted_lengths": [sum(n) for n in zip(*(r["lengths"] for r in own))],
            **{part: {"prompts": len(some), **(total(some, name) if some else {})} for part, some in parts.items()},
            "speedups": [round(row["off"]["cycles"] / row[name]["cycles"], 4) for row in rows],
        }
    return found


def listed(option, text, allowed):
    """The parts of a list such as "a,b", each of them allowed and there once. Raises HayateError naming the option."""
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if part not in allowed or parts.count(part) > 1:
            raise HayateError(option, "", f"{text!r} is no list of {option[2:]}s", f"use some of {','.join(allowed)}")
    return parts


def title(precision, temperature):
    """Where the JSON has the scores of a precision and a temperature: "" at the top, for FP16 and greedy."""
    return "_".join([precision] * (precision != "fp16") + [f"t{temperature:g}"] * (temperature != 0))


def run(model, draft, config, overrides, count, tokens, precisions, temperatures, drafters, control, jobs, sim, json):
    """Measure, print the tables and write the JSON: {drafter: scores} of FP16, greedy, and others under their `title`;
    `setup`.
    """
    chosen = listed("--precision", precisions, PRECISIONS)
    drafters = ["off", *listed("--drafter", drafters, [name for name in DRAFTERS if name != "off"])]
    try:
        scales = [float(part) for part in temperatures.split(",")]
    except ValueError:
        raise HayateError("--temperature", "", f"{temperatures!r} is no list of numbers", "write 0,0.8") from None
    for scale in scales:
        inverse(scale)
    if jobs < 1:
        raise HayateError("--jobs", "", f"{jobs} is not at least 1", "leave the option out for its default")
    require_tokens(tokens)
    require_outputs([("--json", json)], [models.find(model), models.find(draft, "--draft"), toml(config)])
    texts = prompts.load(count)
    sizes = load_config(config, overrides)
    people = console(json)
    say = Steps(people)
    with say(f"compiling {model}"):
        image = models.load(model, draft)
    ids = [models.Text(image).encode(text) for text in texts]
    for prompt in ids:
        check_request(image, [*prompt, *[0] * tokens], tokens, Geometry.of(image.model, sizes).slots, sizes.lanes)
    for name in chosen:
        Governor(image, name)
        require_formats(image, sizes, name)
    for name in drafters:
        require_drafter(image, DRAFTERS[name]["speculate"])
    for scale in scales:
        require_sampling(sizes, scale)
    from hayate.backends.rtl import build

    build(sizes, sim=sim, say=say)  # before several want it
    modes = [(name, scale) for scale in scales for name in chosen]
    tasks = [(prompt, *mode) for mode in modes for prompt in ids]
    with say(f"{len(tasks)} texts, {len(drafters)} drafters"):
        rows = _shared(tasks, jobs, say.note, image, sizes, tokens, sim, drafters, control)
    result = {
        "setup": {
            "model": image.model["name"],
            "draft": image.draft.model["name"],
            "config": sizes.name,
            "lanes": sizes.lanes,
            "prompts": count,
            "tokens": tokens,
            "positions": max(map(len, ids)) + tokens,
            "control": control,
        }
    }
    for at, mode in enumerate(modes):
        found = scores(rows[at * count : (at + 1) * count])
        result |= {title(*mode): found} if title(*mode) else found
        people.print(table(f"{mode[0]}, temperature {mode[1]:g}", found))
    if json:
        write_json(result, json)


def table(precision, found):
    """Scores of one precision, for people."""
    looping, other = (found["off"][part]["prompts"] for part in ("looping", "other"))
    out = Table(
        "drafter",
        "tokens a pass",
        "speed-up (simulated)",
        f"{looping} that loop",
        f"{other} that do not",
        "accepted / proposed",
        "siblings",
        title=precision,
        title_justify="left",
        box=None,
    )
    for name, s in found.items():
        parts = (
            f"{p['tokens_per_pass']:.2f}, {p['speedup']:.2f}" if p["prompts"] else ""
            for p in (s["looping"], s["other"])
        )
        out.add_row(
            name,
            f"{s['tokens_per_pass']:.3f}",
            f"{s['speedup']:.3f}",
            *parts,
            f"{s['accepted']} / {s['proposed']}",
            str(s["sibling_commits"]),
        )
    return out


def _shared(tasks, jobs, note, *common):
    """`measure` of every (prompt, precision, temperature), in processes that share them where `jobs` is above 1."""

    def noted(results):
        rows = []
        for (_, precision, temperature), row in zip(tasks, results):
            rows.append(row)
            steps = ", ".join(
                f"{name} {row['off']['cycles'] / r['cycles']:.2f}" for name, r in row.items() if name != "off"
            )
            mode = f"{precision}, T = {temperature:g}" if temperature else precision
            note(f"{len(rows)} of {len(tasks)}: {mode}, speed-up {steps}{', loops' if row['off']['loops'] else ''}")
        return rows

    _common.update(common=(*common, Path.cwd() / "build" / "sim"))
    if jobs == 1:
        return noted(map(_task, tasks))
    return spread(noted, _task, tasks, jobs, _begin, (_common["common"],))


_common: dict = {}


def _begin(common):
    """Set up a worker process; Ctrl-C ends it and its simulation quietly, its parent reports."""
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    _common.update(common=common)


def _task(task):
    (prompt, precision, temperature), (image, config, tokens, sim, drafters, control, root) = task, _common["common"]
    return measure(image, config, prompt, tokens, precision, temperature, control, sim, root, drafters)
