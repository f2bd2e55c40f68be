"""The unit of transfer on the ring, as a structure of signals."""

from amaranth.lib import data, stream

from hayate.rtl.contract.flits import FLIT_FIELDS

__all__ = ["FLIT_STREAM", "Flit"]

#: Fields and widths are those of `hayate.rtl.contract.flits`; ``kind`` holds a FlitKind.
Flit = data.StructLayout(dict(FLIT_FIELDS))

#: A stream of flits.
FLIT_STREAM = stream.Signature(Flit)
