"""Areas of blocks that grow with the lanes, by Yosys alone, for the ECP5 of `make synth`: figures of ADR 21.

    python scripts/area.py [BLOCK ...]

BLOCK is one of the names that are printed; without any, all of them, which takes twenty minutes. The tile is that of
`make synth`. Needs what `make .venv/fpga-ready` installs.
"""

import sys
from functools import partial
from pathlib import Path

from hayate.fpga import synth
from hayate.rtl.tile.matrix.activation import ActivationBuffer
from hayate.rtl.tile.matrix.drain import Drain
from hayate.rtl.tile.matrix.pe import Pe
from hayate.rtl.tile.tile import Tile
from hayate.scripts.markdown import table

BANKS, DEPTH = synth.SIZES["banks"], synth.SIZES["act_depth"]


def blocks():
    """Name -> what makes the block."""
    found = {}
    for lanes in (1, 2):
        sizes = {**synth.SIZES, "lanes": lanes, "sampling": False, "governor": False}
        found[f"drain_{lanes}"] = partial(Drain, BANKS, lanes)
        for name, nested in (("fp16", False), ("nested", True)):
            found[f"pe_{name}_{lanes}"] = partial(Pe, lanes, nested=nested)
            found[f"activations_{name}_{lanes}"] = partial(ActivationBuffer, lanes, DEPTH, nested=nested)
            found[f"tile_{name}_{lanes}"] = partial(Tile, **sizes, nested=nested)
    return found


if __name__ == "__main__":
    make, folder, rows = blocks(), synth.work_folder(Path("build/area"), False), []
    for name in sys.argv[1:] or make:
        found, _ = synth.synthesize(folder, name, make[name](), False)
        rows.append([name, *(f"{found[key]:,}" for key in ("lut", "ff", "mult18x18d", "dp16kd"))])
    print(table(["block", "LUT", "FF", "MULT", "EBR"], rows))
