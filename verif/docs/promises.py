"""Values of the code that sentences of the documents are made of, where it takes more than a name to get them."""

import inspect
import re

from hayate.compiler import program
from hayate.rtl.conductor.conductor import Conductor
from hayate.rtl.conductor.governor import Governor
from hayate.rtl.contract import draft, filters, flits, precision
from hayate.rtl.contract.words import START
from hayate.rtl.host.gate import Gate
from hayate.rtl.host.loader import Loader
from hayate.rtl.host.registers import Registers
from hayate.rtl.tile.matrix.kv_write import KvWriter
from hayate.rtl.tile.sequencer.sequencer import Sequencer
from hayate.rtl.tile.vector.engine import VectorEngine
from hayate.rtl.tile.vector.mask import SlotMask

WORDS = {
    1: "one",
    2: "two",
    3: "three",
    4: "four",
    6: "six",
    8: "eight",
    9: "nine",
    10: "ten",
    12: "twelve",
    16: "sixteen",
}


def promised(component, pattern):
    """Groups of `pattern` in a component's docstring, whose promises its bench asserts."""
    found = re.search(pattern, " ".join(inspect.getdoc(component).split()))
    if not found:
        raise ValueError(f"{component.__name__} does not promise {pattern!r}")
    return found.groups()


ENGINE, LOOP = promised(Sequencer, r"takes (\d+) cycles here, a loop instruction (\d+)")
(PLANES_GEMV,) = promised(Sequencer, r"names integer planes takes (\d+) cycles")
(SELECT_MORE,) = promised(VectorEngine, r"SELECT takes SELECT_CYCLES for each wanted lane and (\d+) more")
(NOTES,) = promised(SlotMask, r"(two) per lane can wait")
WRITE_CYCLES, READ_CYCLES = promised(
    Registers, r"answer comes (\d+) cycles after the later of them, a read's (\d+) cycles after its address"
)
(IDLE_CYCLES,) = promised(Loader, r"between bursts the ring is waited for, and (\d+) cycles more go without a beat")
(ABORT_MORE,) = promised(Conductor, r"`busy` falls at most M \+ (\d+) cycles behind the later of the abort")
REASON_ORDER = re.findall(r", Reason\.(\w+)\)", inspect.getsource(Gate))
(MIN_DECISION,) = promised(Governor, r"takes (\d+) cycles, or")
KV_BANKS, KV_CYCLES = promised(KvWriter, r"writes min\((\d+), banks\) banks in parallel, in (two) bank cycles")
COUNTED = "{1}:{0}".format(*(START.places["counted"][0] + end for end in (0, START.places["counted"][1] - 1)))
INDEX_BITS = f"{filters.INDEX_SHIFT + flits.FLIT_FIELDS['lo'] - 1}:{filters.INDEX_SHIFT}"
TOKEN, TAG = draft.BASE_ENTRY["token"], draft.BASE_ENTRY["tag"]
ONE, PAIR = draft.BASE_LOG2
BLOCK = precision.MX_BLOCK
NIBBLES = precision.WORD_NIBBLES
CHANNELS = (
    program.GATHER,
    program.SUMS,
    program.QUERY,
    program.KEY,
    program.VALUE,
    program.FETCHED,
    program.ANGLES,
    program.FINAL,
)
