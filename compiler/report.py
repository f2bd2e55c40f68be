"""Placement report: bytes per bank and per matrix, how full each memory is, what does not fit and by how much."""

from rich.console import Group
from rich.table import Table

from .shares import Geometry
from .usage import UNITS, usage


def report(image, config):
    """Report as plain data (JSON), whether or not the image fits.

    Keys: model, config, fits, slots, context, bytes {weights, kv, padding, capacity}, utilization (bytes in use, padding
    included, over capacity), memories [{field, need, have, unit, fits}], banks [{tile, words, bytes, utilization}] (every bank
    of a tile is equally full), matrices [{name, kind, bytes, padding, exponent, flushed, subnormal}].
    """
    geometry = Geometry.of(image.model, config)
    notes = image.notes.get("matrices", {})
    matrices, words = [], [0] * config.tiles
    for d in image.descriptors:
        if d.kind == "vector":
            continue
        shares = [geometry.share(d, t) for t in range(config.tiles)]
        for t, s in enumerate(shares):
            words[t] += s.blocks * s.stride
        live = 8 * sum(s.blocks * s.rows * s.words for s in shares)
        taken = 8 * config.banks * sum(s.blocks * s.stride for s in shares)
        matrices.append({"name": d.name, "kind": d.kind, "bytes": live, "padding": taken - live,
                         **{k: notes.get(d.tensor, {}).get(k, 0) for k in ("exponent", "flushed", "subnormal")}})
    kv = sum(m["bytes"] for m in matrices if m["kind"] in ("kcache", "vcache"))
    total, padding = sum(m["bytes"] for m in matrices), sum(m["padding"] for m in matrices)
    memories = [{"field": u.field, "need": u.need, "have": u.have, "unit": UNITS[u.field], "fits": u.fits} for u in usage(image, config)]
    return {"model": image.model["name"], "config": config.name, "fits": all(m["fits"] for m in memories),
            "slots": geometry.slots, "context": geometry.context,
            "bytes": {"weights": total - kv, "kv": kv, "padding": padding, "capacity": config.bytes_total},
            "utilization": (total + padding) / config.bytes_total, "memories": memories,
            "banks": [{"tile": t, "words": n, "bytes": 8 * n, "utilization": n / config.bank_depth} for t, n in enumerate(words)],
            "matrices": matrices}


def render(data):
    """The report as tables for a rich console."""
    title = f"{data['model']} on {data['config']}: " + ("fits" if data["fits"] else "does not fit")
    memories = Table("memory", "needed", "there", "", title=title)
    for m in data["memories"]:
        state = f"{m['need'] / m['have']:.0%}" if m["fits"] else f"{m['need'] - m['have']} too few"
        memories.add_row(f"{m['field']} ({m['unit']})", str(m["need"]), str(m["have"]), state)
    banks = Table("tile", "bytes per bank", "full", title=f"{data['context']} positions, {data['slots']} KV slots")
    for b in data["banks"]:
        banks.add_row(str(b["tile"]), str(b["bytes"]), f"{b['utilization']:.0%}")
    matrices = Table("matrix", "bytes", "padding", "exponent", "flushed")
    for m in data["matrices"]:
        matrices.add_row(m["name"], str(m["bytes"]), str(m["padding"]), str(m["exponent"]), str(m["flushed"]))
    return Group(memories, banks, matrices)
