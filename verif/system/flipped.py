"""A whole chip in whose memories a test can have bits flipped, each memory by its number, without a port in the design.

Every memory with parity gets an instance of a module that looks at the top module's input `flip`: where that is its
number, the lowest bit of what is written is stored inverted, beside the parity of the right word. Memories at the same
place of several tiles share a number.
"""

from contextlib import contextmanager
from unittest import mock

from amaranth.hdl import Instance, Signal
from amaranth.lib import fifo

from hayate.rtl.conductor import token_output
from hayate.rtl.emit import emit
from hayate.rtl.memory.parity import ParityMemory, slices
from hayate.sim.convert import ports

FLIP_BITS = 8
_FLIP = """
module hayate_flip #(parameter NUMBER = 0) (output wire flip);
  assign flip = dut.flip == NUMBER;
endmodule
"""


@contextmanager
def instrumented():
    """Inside, memories with parity are elaborated with a flip of their own; yields their names, in the order of their
    numbers, from 1.
    """
    names, elaborate = [], ParityMemory.elaborate

    def flip(m, name):
        names.append(name)
        wire = Signal(name="flip_wire")
        m.submodules.flip = Instance("hayate_flip", p_NUMBER=len(names), o_flip=wire)
        return wire

    def with_flip(self, platform):
        assert not self._inject
        self._inject, self.flip = True, Signal(self.width + slices(self.width), name="flips")
        m = elaborate(self, platform)
        m.d.comb += self.flip.eq(flip(m, f"{self.depth} x {self.width}"))
        return m

    class Fifo(fifo.SyncFIFOBuffered):
        """The token FIFO, whose entries bring their parity along."""

        def elaborate(self, platform):
            outside = self.w_data
            self.w_data = Signal.like(outside, name="flipped")
            m = super().elaborate(platform)
            m.d.comb += self.w_data.eq(outside ^ flip(m, f"FIFO of {self.depth}"))
            return m

    shim = type("fifo", (), {"SyncFIFOBuffered": Fifo})
    with mock.patch.object(ParityMemory, "elaborate", with_flip), mock.patch.object(token_output, "fifo", shim):
        yield names


def chip(config):
    """Verilog of module ``dut``: the package, with the input `flip` and the constant outputs `flips`, how many memories
    there are, and `tile_flips`: the first so many are the tiles'.
    """
    from hayate.rtl.package import tile
    from hayate.rtl.verilog.convert import verilog

    with instrumented() as names:
        of = verilog(tile(config), "chip_tile")
        of_tile = len(names)
        text = emit(config, "chip", of).verilog
    inner = ports(text, "chip")
    head = ", ".join(f"{p.direction} wire [{p.width - 1}:0] {p.name}" for p in inner)
    pins = ", ".join(f".{p.name}({p.name})" for p in inner)
    wide = f"wire [{FLIP_BITS - 1}:0]"
    return (
        f"{text}\n{_FLIP}\nmodule dut ({head}, input {wide} flip, output {wide} flips, output {wide} tile_flips);\n"
        f"  chip package_0 ({pins});\n  assign flips = {len(names)};\n  assign tile_flips = {of_tile};\nendmodule\n"
    )
