"""`hayate bench layer`: cycles of a pass with N positions over one with one, for a decoder layer of a large model's
shape.

One tile of the machine is simulated in RTL, the ring's stops are too, and what the other tiles send is a copy of what
this one does (`hayate.sim.machine.mirror` says what that assumes). The model has one layer, and a vocabulary so small
that the output matrix is a row or less for each bank; its weights are zeros, since cycles do not depend on them. A pass
is a whole one: the embedding goes round the ring ahead of the layer, and a token is chosen behind it. What a model of
two layers takes more is the layer's own; it is measured too, in formats of which the machine holds two. Utilization is
useful words of the tile's banks over cycles x banks.
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
from hayate.rtl.contract.precision import Format

MOST = 4  # positions of a pass
PRECISIONS = ("fp16", "int8", "int4")
#: Memories that are as deep as the model needs, in steps of so many words, and never less deep than the case says.
ROOM = {"bank_depth": 1024, "vmem_depth": 1024}


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
        {
            "tiles": 16,
            "banks": 16,
            "bank_depth": 1024,
            "act_depth": 1 << 14,
            "stage_depth": 2304,
            "vmem_depth": 2048,
            "landing_depth": 128,
        },
    ),
    "tiny": Case(
        "tiny",
        _shape("tiny", context=64, hidden=256, heads=8, kv_heads=1, head_dim=16, intermediate=512),
        {"tiles": 2, "banks": 4, "bank_depth": 1 << 15, "act_depth": 1024, "stage_depth": 256, "vmem_depth": 1024},
    ),
}


def outlines(shape, precision):
    """Images of the shape with one layer and with two."""
    return [outline(replace(shape, layers=layers), integer=precision != "fp16") for layers in (1, 2)]


def machine(case, context):
    """(`Shape`, `Config`) of a case at a context: memories are deep enough for one layer in FP16, or two in INT8."""
    shape = replace(case.shape, context=context)
    slots = -(-(context + MOST) // 4) * 4
    config = Config(**case.sizes, name=shape.name, lanes=MOST, max_slots=slots, formats="nested", sampling=0)
    found = [u for image in (outlines(shape, "fp16")[0], outlines(shape, "int8")[1]) for u in usage(image, config)]
    depths = {
        field: max(case.sizes[field], *(-(-u.need // step) * step for u in found if u.field == field))
        for field, step in ROOM.items()
    }
    return shape, replace(config, **depths)


def run(name, context, precisions, json):
    """Measure, print the table and write the JSON {ratio_LABEL: {N: ratio}, cycles: {N: cycles}, causes: {N: {cause:
    cycles}}, utilization: {N: share}} of the first precision, the same of others under their name, and `setup`; where
    two layers fit, ratio_LABEL_alone, alone and utilization_alone, of the second.

    Raises HayateError.
    """
    from hayate.backends import layer

    names = [part.strip() for part in precisions.split(",")]
    for precision in names:
        if precision not in PRECISIONS:
            raise HayateError("--precision", "", f"{precision!r} is not known", f"use some of {','.join(PRECISIONS)}")
    if name not in CASES:
        raise HayateError("--shape", "", f"{name!r} is not known", f"use one of {', '.join(CASES)}")
    if context < MOST:
        raise HayateError("--context", "", f"{context} positions, and a pass has up to {MOST}", "use 256")
    require_writable(json, "--json")
    people, case = console(json), CASES[name]
    shape, config = machine(case, context)
    say, widths = Steps(people), range(1, MOST + 1)
    rows = {}
    for precision in names:
        one, two = outlines(shape, precision)
        options = {"precision": Format[precision.upper()], "context": context, "widths": widths, "say": say}
        found = layer.measure(one, config, **options)
        rows[precision] = {
            f"ratio_{case.label}": layer.ratios(found),
            "cycles": {str(n): row["cycles"] for n, row in found.items()},
            "causes": {str(n): row["counters"] for n, row in found.items()},
            "utilization": _utilization(found, config),
        }
        if all(u.fits for u in usage(two, config)):
            more = layer.measure(two, config, **options)
            alone = {
                n: {
                    "cycles": row["cycles"] - found[n]["cycles"],
                    "counters": {name: count - found[n]["counters"][name] for name, count in row["counters"].items()},
                }
                for n, row in more.items()
            }
            rows[precision] |= {
                f"ratio_{case.label}_alone": layer.ratios(alone),
                "alone": {str(n): a["cycles"] for n, a in alone.items()},
                "utilization_alone": _utilization(alone, config),
            }
    table = Table("positions of a pass", "of", "cycles (simulated)", "over one position", "utilization", box=None)
    for p, found in rows.items():
        for what, share, title in (
            ("cycles", "utilization", "a pass"),
            ("alone", "utilization_alone", "the layer alone"),
        ):
            for n, cycles in found.get(what, {}).items():
                ratio = cycles / found[what]["1"]
                table.add_row(n, f"{p}, {title}", f"{cycles:,}", f"x {ratio:.4f}", f"{found[share][n]:.3f}")
    people.print(table)
    if json:
        first, *others = names
        setup = {"shape": name, "precision": first, "context": context, "config": config.to_dict()}
        write_json({**rows[first], **{p: rows[p] for p in others}, "setup": setup}, json)


def _utilization(found, config):
    """{N: share, 4 digits} of what `measure` returns."""
    useful = {n: row["counters"]["useful_weight"] + row["counters"]["useful_kv"] for n, row in found.items()}
    return {str(n): round(useful[n] / (row["cycles"] * config.banks), 4) for n, row in found.items()}
