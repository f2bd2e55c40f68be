"""`hayate bench adversary`: what drafting costs where it is always wrong, and when its control switches it off, on the
simulated chip.

Every drafted token is corrupted (DRAFT.CORRUPT), so a node is right only where the drafter missed the choice by the
bit that is turned over; the figures say how many were. Decode cycles are compared with those of one token a pass. How
much was planned for each pass is the golden model's account, which agrees with the chip on what was drafted, accepted
and verified, or the bench fails.
"""

import numpy as np
from rich.table import Table

from hayate import models, prompts
from hayate.bench.setup import opened, require_tokens
from hayate.compiler.cost import draft_cost, pass_costs
from hayate.compiler.shares import Geometry
from hayate.compiler.usage import require_formats
from hayate.golden.conductor.draft import require_drafter
from hayate.golden.conductor.generate import check_request
from hayate.golden.conductor.generate import generate as golden
from hayate.golden.conductor.governor import Governor
from hayate.output import write_json
from hayate.progress import Steps

DRAFTERS = ("ngram", "nested")


def measure(image, config, prompt, tokens, precision, sim="verilator", say=None, root=None):
    """{"off": {cycles, passes}, drafter: figures}, plain numbers. AssertionError where a drafter changes tokens or
    logits.

    Of a drafter: cycles, passes and draft_passes behind the prompt; proposed, accepted; cost: cycles over those of
    "off", less 1; off_after: passes in front of the first one for which nothing was planned; tries: passes behind it
    for which something was.
    """
    from hayate.backends.rtl import generate_rtl

    def run(**options):
        return generate_rtl(
            image, config, prompt, tokens, sim=sim, precision=precision, say=say or Steps(), root=root, **options
        )

    plain = run(speculate="off")
    prefill = -(-len(prompt) // config.lanes)
    found = {"off": {"cycles": plain.cycles - plain.prefill, "passes": plain.passes - prefill}}
    for name in DRAFTERS:
        how = {
            "speculate": name,
            "costs": (pass_costs(image, config.lanes), draft_cost(image, config.lanes)),
            "corrupt": True,
        }
        result, model = run(**how), golden(image, prompt, tokens, lanes=config.lanes, precision=precision, **how)
        if plain.fault or result.fault:
            raise AssertionError(f"{name}: the chip reported a memory fault")
        if (
            result.tokens != plain.tokens
            or result.logits.keys() != plain.logits.keys()
            or any(
                not np.array_equal(row.view(np.uint32), plain.logits[at].view(np.uint32))
                for at, row in result.logits.items()
            )
        ):
            raise AssertionError(f"{name}: tokens or logits are not those of one token a pass")
        if (result.drafting, result.passes) != (model.drafting, model.passes):
            raise AssertionError(f"{name}: the chip drafted {result.drafting}, the golden model {model.drafting}")
        cycles, d, plans = result.cycles - result.prefill, result.drafting, model.plans
        off = plans.index(0) if 0 in plans else None
        found[name] = {
            "cycles": cycles,
            "cost": round(cycles / found["off"]["cycles"] - 1, 5),
            "off_after": off,
            "tries": sum(map(bool, plans[off:])) if off is not None else None,
            "passes": result.passes - prefill,
            "draft_passes": d.passes,
            "proposed": d.proposed,
            "accepted": d.accepted,
        }
    return found


def run(model, config, overrides, tokens, precision, sim, json):
    """Measure with a prompt of one token, print the table and write the JSON: what `measure` returns, and `setup`.
    Raises HayateError.
    """
    require_tokens(tokens)
    image, sizes, people, say = opened(model, config, overrides, json)
    prompt = models.Text(image).encode(prompts.load(1)[0])[:1]
    check_request(image, [*prompt, *[0] * (tokens - 1)], tokens, Geometry.of(image.model, sizes).slots, sizes.lanes)
    Governor(image, precision)
    require_formats(image, sizes, precision, "nested")
    require_drafter(image, "nested")
    found = measure(image, sizes, prompt, tokens, precision, sim, say)
    out = Table(
        "always wrong",
        "cycles (simulated)",
        "cost",
        "off after passes",
        "tries behind",
        "accepted / proposed",
        box=None,
    )
    for name in DRAFTERS:
        f = found[name]
        ends = ("never" if f[key] is None else str(f[key]) for key in ("off_after", "tries"))
        out.add_row(name, f"{f['cycles']:,}", f"{f['cost']:.2%}", *ends, f"{f['accepted']} / {f['proposed']}")
    people.print(out)
    if json:
        setup = {
            "model": image.model["name"],
            "config": sizes.name,
            "lanes": sizes.lanes,
            "precision": precision,
            "prompt": len(prompt),
            "tokens": tokens,
        }
        write_json({**found, "setup": setup}, json)
