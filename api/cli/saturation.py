"""What a generation says about results that left the range of their format: a field of the JSON, and a line for
people.
"""

from collections import Counter

from hayate.golden.tile.saturation import TO_FP16
from hayate.rtl.contract.image import DRAFT

#: What becomes FP16, by descriptor without its layer: its name, and the static exponent of `compile_model` that makes
#: room for it.
SENT = {
    "load": ("embedded token", "xa"),
    "wq": ("query", "q"),
    "wk": ("key", "k"),
    "wv": ("value", "v"),
    "vcache": ("attention output", "ao"),
    "wo": ("residual stream", "xb"),
    "wgu": ("silu(gate) * up", "ff"),
    "wdown": ("residual stream", "xa"),
    "xg": ("output of the last norm", "xg"),
}
#: What stays FP32, or leads to the above.
MADE = {
    **{name: value for name, (value, _) in SENT.items()},
    "xa": "1/rms",
    "xb": "1/rms",
    "xf": "1/rms",
    "kcache": "attention score",
    "head": "logit, or logit / temperature",
    "emb": "logit, or logit / temperature",
}


def saturation_report(saturated, image):
    """JSON of golden's `Saturations`: {total, by_matrix: {matrix: count}, values: [one per matrix, value and operation,
    most first]}.

    Matrices are named by their descriptors, the cache by "kcache" (scores) and "vcache" (the attention's output), norms
    by their input. A value: {matrix, layer (None outside of layers), value: what it is, operation: "fp16" or that of
    `AluOp` in FP32, exponent: which static exponent of `compile_model` would make room for it (None where none would),
    count}.
    """
    values = [_value(name, op, count, image) for (name, op), count in saturated.counts.items()]
    values.sort(key=lambda v: (-v["count"], v["matrix"], v["operation"]))
    matrices: Counter[str] = Counter()
    for v in values:
        matrices[v["matrix"]] += v["count"]
    return {"total": saturated.total, "by_matrix": dict(matrices.most_common()), "values": values}


def _value(descriptor, op, count, image):
    of = DRAFT if descriptor.startswith(DRAFT) else ""
    name, layers = descriptor.removeprefix(DRAFT), (image.draft if of else image).model["layers"]
    layer = int(name.split(".")[1]) if name.startswith("layers.") else None
    base = name.rpartition(".")[2]
    value, exponent = SENT.get(base, (base, None)) if op == TO_FP16 else (MADE.get(base, base), None)
    if exponent == "xa":  # of the layer that reads it
        reader = 0 if layer is None else layer + 1
        exponent = f"layers.{reader}.xa" if reader < layers else "xf"
    elif exponent and layer is not None:
        exponent = f"layers.{layer}.{exponent}"
    return {
        "matrix": of + ("emb" if base == "load" else name),
        "layer": layer,
        "value": value,
        "operation": op,
        "exponent": exponent and of + exponent,
        "count": count,
    }


def most(report):
    """Where most of it happened, for people."""
    first = report["values"][0]
    return f"{first['value']} of {first['matrix']}: {first['count']:,}"


def warning(report):
    """One line for a report whose total is above 0: what it means for the text, and what to do."""
    wrong = [v for v in report["values"] if not v["matrix"].startswith(DRAFT)]
    half = any(v["operation"] == TO_FP16 for v in report["values"])
    told = (
        f"{report['total']:,} values left the range of {'FP16' if half else 'FP32'} and were clipped (most in "
        f"{most(report)})"
    )
    if not wrong:
        return f"{told}: drafts may be worse, the text is right"
    exponents = list(dict.fromkeys(v["exponent"] for v in wrong if v["exponent"]))
    more = " and others" if len(exponents) > 2 else ""
    given = (
        f"compile with exponents for {', '.join(exponents[:2])}{more} (docs/numerics.md#exponents), or "
        if exponents
        else ""
    )
    return f"{told}: the text may be wrong; {given}scale the checkpoint's weights down"
