"""Cycles of whole passes of a layer on simulated RTL: all tiles of a small machine, or one of a large one and its
mirror (`mirror`).

Cycles do not depend on data, but for rows that are fetched and passes that filter. So the weights are zeros, as the
banks hold from the start, and so are K and V of the context: no prompt is run, its slots are put into the text by
COMMIT words.
"""

import json
from pathlib import Path

from hayate.compiler.place import place
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.isa import Op, PassWord
from hayate.rtl.contract.precision import Format
from hayate.rtl.contract.words import COMMIT
from hayate.sim.machine.flits import control, loads, pass_flits

GAP = 64  # cycles from one COMMIT to the next, in which a tile finds out where the slot lies


def build(image, config, *, real, say, root=None, optimize="-O1"):
    """The simulation of a machine whose tiles `real` are in RTL, found in the cache or built: a `runner.Build`. Raises
    HayateError.
    """
    from hayate.sim import runner, tools
    from hayate.sim.blocks import split
    from hayate.sim.machine.mirror import MirroredRing
    from hayate.sim.machine.sim_top import TILE
    from hayate.sim.machine.texts import chip_text

    tools.find("verilator")
    root = runner.default_root() if root is None else Path(root)
    text, _ = split(chip_text(config, root / "text", say), TILE)
    fetched = {i.chan for i in image.program if i.op == Op.FETCH}
    with say("building the simulation"):
        return runner.build(
            MirroredRing(config.tiles, image.model["kv_heads"], config.lanes, real, fetched),
            name="ring",
            sources=(text,),
            optimize=optimize,
            root=root,
            blocks=(TILE,),
        )


def measure(
    image, config, *, context, widths, precision=Format.INT8, real=None, say, root=None, timeout=None, optimize="-O1"
):
    """{N: {"cycles", "counters"}} of one pass for each N of `widths`, on one machine, one after the other.

    Parameters
    ----------
    image: without a draft model; only its sizes and program count (`outline.outline`).
    context: positions of the model, the largest of `widths` included; the pass sees those before its own.
    precision: what matrices are read in that have integer planes and no FP16 copy.
    real: logical numbers of the tiles in RTL; the last one alone unless given.
    say: `Steps`. root: folder of all builds. timeout: seconds of wall clock. optimize: g++'s flag.

    cycles: from the START flit at the conductor's ring stop until the last tile's SYNC behind its candidates is there.
    counters: of the last tile, by `Counter`'s name, over pass and the few cycles around it. Raises HayateError where
    the model does not fit; AssertionError when more flits waited at a twin than there is room for, or a memory error
    was seen.
    """
    from hayate.sim import folders, runner

    last = config.tiles - 1
    real = (last,) if real is None else tuple(real)
    formats = {d.name: precision for d in image.descriptors if d.planes and not d.tensor}
    placement = place(image, config, formats, tiles=real, weights=False)
    if context > placement.context:
        raise HayateError(
            "--context", "", f"{context} positions, and the machine has room for {placement.context}", "use fewer"
        )
    built = build(image, config, real=real, say=say, root=root, optimize=optimize)
    first = context - max(widths)
    request = {
        "loads": loads(placement),
        "gap": GAP,
        "commits": [control(PassWord.COMMIT, data=COMMIT.pack(position=at, slot=at)) for at in range(first)],
        "passes": [pass_flits(image.model, context, first, n) for n in widths],
        "tiles": config.tiles,
    }
    with folders.scratch() as folder, say(f"simulating passes of {', '.join(map(str, widths))} positions"):
        (folder / "request.json").write_text(json.dumps(request))
        runner.run(
            built,
            "hayate.sim.machine.layer_run",
            directory=folder / "run",
            log=folder / "log",
            timeout=timeout,
            env={"HAYATE_REQUEST": str(folder / "request.json")},
        )
        result = json.loads((folder / "run" / "result.json").read_text())
    if result["fault"] or result["waiting"] >= result["room"]:
        raise AssertionError(f"memory error: {result['fault']}, flits that waited at a twin: {result['waiting']}")
    return dict(zip(widths, result["passes"], strict=True))


def ratios(found):
    """{N: cycles over those of one position, 4 digits} of what `measure` returns."""
    return {str(n): round(row["cycles"] / found[1]["cycles"], 4) for n, row in found.items()}
