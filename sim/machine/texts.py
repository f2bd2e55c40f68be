"""Verilog of machines, elaborated once for all that run them."""

from pathlib import Path

from hayate import rtl
from hayate.sim import cache
from hayate.sim.machine.sim_top import TILE


def _kept(make, key, root):
    """What `make()` returns, kept below folder `root` for as long as nothing under rtl/ changes."""
    files = sorted(p for p in Path(rtl.__file__).parent.rglob("*") if p.suffix in (".py", ".v"))
    return cache.text(make, key=key, files=files, root=root)


def tile_text(config, root):
    """Verilog of a configuration's tile, module `TILE`: most of a chip's, however many there are. root: as for
    `chip_text`.
    """
    from hayate.rtl.package import tile, tile_arguments
    from hayate.rtl.verilog.convert import verilog

    return _kept(lambda: verilog(tile(config), TILE), f"tile {tile_arguments(config)}", root)


def chip_text(config, root, say):
    """Verilog of a configuration. root: folder in which it is kept. say: `Steps` that shows when it is elaborated."""

    def make():
        from hayate.rtl.emit import emit

        with say(f"elaborating configuration {config.name}"):
            return emit(config, tile_text=tile_text(config, root)).verilog

    return _kept(make, f"chip {config.to_dict()}", root)
