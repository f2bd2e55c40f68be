"""`hayate bench layer`: cycles of a pass with N positions over one with one, for a decoder layer of a large model's
shape.

One tile of the machine is simulated in RTL, the ring's stops are too, and what the other tiles send is a copy of what
this one does (`hayate.sim.machine.mirror` says what that assumes). The model has one layer, and a vocabulary so small
that the output matrix is a row or less for each bank; its weights are zeros, since cycles do not depend on them. A pass
is a whole one: the embedding goes round the ring ahead of the layer, and a token is chosen behind it. What a model of
two layers takes more is the layer's own; it is measured too, in formats of which the machine holds two.
"""

from dataclasses import dataclass, replace

from rich.table import Table

from hayate.compiler.checkpoint import Shape
from hayate.compiler.outline import outline
from hayate.compiler.usage import usage
from hayate.output import require_writable, write_json
from hayate.progress import Steps, console
from hayate.rtl.contract.config import Config
from hayate.rtl.contract.errors import HayateError

MOST = 4  # positions of a pass
PRECISIONS = ("fp16", "int8")
ROOM = 1024  # banks are deep enough for the model, in steps of so many words


@dataclass(frozen=True)
class Case:
    """A layer and a machine: `label` names its result, `shape` is a model of one layer, `sizes` fields of the
    configuration.
    """

    label: str
    shape: Shape
    sizes: dict


def _shape(name, context=256, **sizes):
    return Shape(
        name=name, layers=1, vocab=64, context=context, eos=(), bos=None, rope_theta=5e5, eps=1e-5, tied=False, **sizes
    )


CASES = {
    "llama-3-70b": Case(
        "70b",
        _shape("llama-3-70b", hidden=8192, heads=64, kv_heads=8, head_dim=128, intermediate=28672),
        {"tiles": 16, "banks": 16, "act_depth": 1 << 14, "stage_depth": 2304, "vmem_depth": 2048, "landing_depth": 128},
    ),
    "tiny": Case(
        "tiny",
        _shape("tiny", context=64, hidden=256, heads=8, kv_heads=1, head_dim=16, intermediate=512),
        {"tiles": 2, "banks": 4, "bank_depth": 1 << 15, "act_depth": 1024, "stage_depth": 256, "vmem_depth": 1024},
    ),
}


def outlines(shape, precision):
    """Images of the shape with one layer and with two."""
    return [outline(replace(shape, layers=layers), integer=precision == "int8") for layers in (1, 2)]


def machine(case, context):
    """(`Shape`, `Config`) of a case at a context; unless the case says how deep banks are, they hold one layer in FP16
    or two in INT8.
    """
    shape = replace(case.shape, context=context)
    slots = -(-(context + MOST) // 4) * 4
    config = Config(
        **{"bank_depth": ROOM, **case.sizes}, name=shape.name, lanes=MOST, max_slots=slots, formats="nested", sampling=0
    )
    if "bank_depth" in case.sizes:
        return shape, config
    images = outlines(shape, "fp16")[0], outlines(shape, "int8")[1]
    need = max(u.need for image in images for u in usage(image, config) if u.field == "bank_depth")
    return shape, replace(config, bank_depth=-(-need // ROOM) * ROOM)


def run(name, context, precisions, json):
    """Measure, print the table and write the JSON {ratio_LABEL: {N: ratio}, cycles: {N: cycles}, causes: {N: {cause:
    cycles}}} of the first precision, the same of others under their name, and `setup`; where two layers fit,
    ratio_LABEL_alone and alone, cycles of the second.

    Raises HayateError.
    """
    from hayate.backends import layer

    names = [part.strip() for part in precisions.split(",")]
    for precision in names:
        if precision not in PRECISIONS:
            raise HayateError("--precision", "", f"{precision!r} is not known", f"use some of {','.join(PRECISIONS)}")
    if name not in CASES:
        raise HayateError("--shape", "", f"{name!r} is not known", f"use one of {', '.join(CASES)}")
    if context % 16 or context < 16:
        raise HayateError("--context", "", f"{context} is not a multiple of 16 from 16 on", "use 256")
    require_writable(json, "--json")
    people, case = console(json), CASES[name]
    shape, config = machine(case, context)
    say, widths = Steps(people), range(1, MOST + 1)
    rows = {}
    for precision in names:
        one, two = outlines(shape, precision)
        found = layer.measure(one, config, context=context, widths=widths, say=say)
        rows[precision] = {
            f"ratio_{case.label}": layer.ratios(found),
            "cycles": {str(n): row["cycles"] for n, row in found.items()},
            "causes": {str(n): row["counters"] for n, row in found.items()},
        }
        if all(u.fits for u in usage(two, config)):
            more = layer.measure(two, config, context=context, widths=widths, say=say)
            alone = {n: {"cycles": row["cycles"] - found[n]["cycles"]} for n, row in more.items()}
            rows[precision] |= {
                f"ratio_{case.label}_alone": layer.ratios(alone),
                "alone": {str(n): a["cycles"] for n, a in alone.items()},
            }
    columns = [(p, what) for p, found in rows.items() for what in ("cycles", "alone") if what in found]
    titles = {"cycles": "a pass", "alone": "the layer alone"}
    table = Table("positions of a pass", *(f"{p}, {titles[what]}: cycles (simulated)" for p, what in columns), box=None)
    for n in map(str, widths):
        table.add_row(
            n, *(f"{rows[p][what][n]:,}, x {rows[p][what][n] / rows[p][what]['1']:.4f}" for p, what in columns)
        )
    people.print(table)
    if json:
        first, *others = names
        setup = {"shape": name, "precision": first, "context": context, "config": config.to_dict()}
        write_json({**rows[first], **{p: rows[p] for p in others}, "setup": setup}, json)
