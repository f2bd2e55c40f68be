"""Placement report: bytes per bank and per matrix, how full each memory is, what does not fit and by how much."""

from rich.console import Group
from rich.table import Table

from hayate.compiler.link import parts
from hayate.compiler.usage import UNITS, readable, usage
from hayate.rtl.contract.layout import ceil_div


def report(image, config):
    """Report as plain data (JSON), whether or not the image fits.

    Keys: model, draft (the draft model, whose matrices have their names behind `image.DRAFT`; None without), config,
    fits, slots, context, bytes {weights (fp16, planes), kv, padding, capacity}, utilization (bytes in use, padding
    included, over capacity), memories [{field, need, have, unit, fits}], banks [{tile, words, bytes, utilization}]
    (every bank of a tile is equally full), matrices [{name, kind, bytes (fp16, planes), padding, exponent, flushed,
    subnormal}]. `fp16` counts the copy that `Descriptor.tensor` names, rotary tables too. precision: of the matrices
    with planes [{name, group, fp16 (whether it has that copy), grids, sensitivities, errors (of the weights, squared
    and relative: INT4 less INT8, INT8 less FP16)}], after calibration also `gains` and `ratios`, see `calibrate`.
    """
    both = parts(readable(image, config), config)
    matrices, precision, words = [], [], [0] * config.tiles
    for part in both:
        matrices += _matrices(part, config, words)
        precision += _precision(part)
    geometry = both[0].geometry
    kv = sum(m["bytes"] for m in matrices if m["kind"] in ("kcache", "vcache"))
    total, padding = sum(m["bytes"] for m in matrices), sum(m["padding"] for m in matrices)
    memories = [
        {"field": u.field, "need": u.need, "have": u.have, "unit": UNITS[u.field], "fits": u.fits}
        for u in usage(image, config)
    ]
    copies = {copy: sum(m[copy] for m in matrices) for copy in ("fp16", "planes")}
    draft = image.draft.model["name"] if image.draft else None
    return {
        "model": image.model["name"],
        "draft": draft,
        "config": config.name,
        "fits": all(m["fits"] for m in memories),
        "slots": geometry.slots,
        "context": geometry.context,
        "bytes": {"weights": total - kv, **copies, "kv": kv, "padding": padding, "capacity": config.bytes_total},
        "utilization": (total + padding) / config.bytes_total,
        "memories": memories,
        "banks": [
            {"tile": t, "words": n, "bytes": 8 * n, "utilization": n / config.bank_depth} for t, n in enumerate(words)
        ],
        "matrices": matrices,
        "precision": precision,
    }


def _matrices(part, config, words):
    """Rows for the matrices and caches of a `Part`; adds to `words`, of every bank by tile, what they take."""
    rows, notes = [], part.image.notes.get("matrices", {})
    for d in part.image.descriptors:
        if d.kind == "vector":
            continue
        taken = live = 0
        for t in range(config.tiles):
            share, used = part.geometry.share(d, t), sum(part.geometry.words(d, t))
            words[t] += used
            taken += 8 * config.banks * used
            live += 8 * share.blocks * share.rows * share.words
        fp16 = live if d.tensor else 0
        planes = d.rows * (4 * d.words + 2 * ceil_div(4 * d.words, d.group)) if d.planes else 0
        live = live if d.kind in ("kcache", "vcache") else fp16 + planes
        rows.append(
            {
                "name": part.prefix + d.name,
                "kind": d.kind,
                "bytes": live,
                "fp16": fp16,
                "planes": planes,
                "padding": taken - live,
                **{k: notes.get(d.name, {}).get(k, 0) for k in ("exponent", "flushed", "subnormal")},
            }
        )
    return rows


def _precision(part):
    """Rows for those that have planes."""
    notes = part.image.notes.get("matrices", {})
    return [
        {
            "name": part.prefix + d.name,
            "group": d.group,
            "fp16": bool(d.tensor),
            "grids": list(d.grids),
            "sensitivities": list(d.sensitivities),
            **{k: notes[d.name][k] for k in ("errors", "gains", "ratios") if k in notes.get(d.name, {})},
        }
        for d in part.image.descriptors
        if d.planes
    ]


def render(data):
    """The report as tables for a rich console."""
    pair = data["model"] + (f" with {data['draft']}" if data["draft"] else "")
    title = f"{pair} on {data['config']}: " + ("fits" if data["fits"] else "does not fit")
    memories = Table("memory", "needed", "there", "", title=title)
    for m in data["memories"]:
        state = f"{m['need'] / m['have']:.0%}" if m["fits"] else f"{m['need'] - m['have']} too few"
        memories.add_row(f"{m['field']} ({m['unit']})", str(m["need"]), str(m["have"]), state)
    banks = Table("tile", "bytes per bank", "full", title=f"{data['context']} positions, {data['slots']} KV slots")
    for b in data["banks"]:
        banks.add_row(str(b["tile"]), str(b["bytes"]), f"{b['utilization']:.0%}")
    matrices = Table("matrix", "FP16 or FP32", "planes", "padding", "exponent", "flushed")
    for m in data["matrices"]:
        first = m["bytes"] - m["planes"]
        matrices.add_row(m["name"], *(str(n) for n in (first, m["planes"], m["padding"], m["exponent"], m["flushed"])))
    if not data["precision"]:
        return Group(memories, banks, matrices)
    calibrated = any("gains" in p for p in data["precision"])
    precision = Table(
        "matrix",
        "group",
        "INT4",
        "INT8",
        *(("KL INT8", "KL FP16") if calibrated else ()),
        "s err",
        "s int8_err",
        title="squared relative errors of the weights"
        + ("; KL divergence saved by promotion to a format, nats a token" if calibrated else "; not calibrated"),
    )
    for p in data["precision"]:
        numbers = [x and f"{x:.1e}" for x in (*p.get("errors", ("", "")), *p.get("gains", ()))]
        precision.add_row(p["name"], str(p["group"]), *numbers, *map(str, p["sensitivities"]))
    return Group(memories, banks, matrices, precision)
