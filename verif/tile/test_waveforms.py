"""The waveforms in docstrings of the tile's blocks are what the blocks do."""

from itertools import product
from unittest import mock

import pytest

from hayate.rtl.contract.alu_ops import AluOp
from hayate.rtl.contract.encoding import DESCRIPTOR, PLANES, Instr, Micro, encode, encode_micro
from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import ENTRY_WORDS, Csr, Op, PassWord, Space
from hayate.rtl.contract.latencies import GUMBEL_LATENCY
from hayate.rtl.contract.precision import Format
from hayate.rtl.contract.words import ENERGY_ADDRESS, ENTRY_ADDRESSES
from hayate.rtl.memory.bank import Bank
from hayate.rtl.tile import tile
from hayate.rtl.tile.energy import Energy
from hayate.rtl.tile.entry_memory import WORD_BITS
from hayate.rtl.tile.matrix import engine
from hayate.rtl.tile.matrix.drain import Drain
from hayate.rtl.tile.matrix.fetch import Fetcher
from hayate.rtl.tile.matrix.gemv import GemvIssue
from hayate.rtl.tile.matrix.kv_write import KvWriter
from hayate.rtl.tile.matrix.slot_homes import SlotHomes
from hayate.rtl.tile.sequencer.sequencer import Sequencer
from hayate.rtl.tile.vector.collect import Collect
from hayate.rtl.tile.vector.engine import VectorEngine
from hayate.rtl.tile.vector.filter import Filter
from hayate.rtl.tile.vector.mask import QUAD_BITS, SlotMask
from hayate.rtl.tile.vector.micro import MicroSequencer
from hayate.rtl.tile.vector.noise import NoiseRows
from hayate.rtl.tile.vector.sender import Sender
from hayate.verif.bench.waves import blank, draw, ports, require_drawn, strobe


def gemv():
    """A row of 32 elements in INT8."""
    entry = {"op": Op.GEMV, "rows": 1, "live": 1, "length": 8, "words": 3, "format": Format.INT8}
    fields = {name: f"word.{name}" for name in ("first", "last", "scales", "nibbles", "low")}
    rows = {**ports("load", "active", "fire"), **fields, **ports("act", "ending")}
    return draw(GemvIssue(1, 4), rows, strobe("load", entry=entry), 8)


def drain():
    """Three rows of a measured group."""
    rows = ports("start", "s1_todo", "energy_valid", "row_valid", "busy")
    return draw(Drain(4, 1, True), rows, strobe("start", mask=7, tag={"measure": 1}), 14)


def fetch():
    """A row of two words that is here, for one position."""
    steps = strobe("start") | {-2: {"positions": 1, "entry": {"op": Op.FETCH, "words": 2, "rows": 4}, "tx.ready": 1}}
    rows = {**ports("start", "active"), "state": "fetch_state", **ports("read", "ending", "tx.valid", "busy")}
    return draw(Fetcher(2, 1), rows, steps, 15, width=6, skip=2)


def kv_write(value):
    """K of two words, or V of eight rows in four banks, of one position."""
    entry = {"op": Op.KVW, "words": 2, "rows": 8, "value": value}
    steps = strobe("start") | {-40: {"positions": 1, "entry": entry, "tile": {"group_size": 1, "count": 1}}}
    rows = {**ports("start", "active"), "state": "kv_write_state", **ports("act_read", "read", "write", "ending")}
    return draw(KvWriter(4, 1, 16), rows, steps, 14 if value else 12, width=6, skip=40)


def homes():
    """The slot of one position changes."""
    steps = {-40: {"tile": {"group_size": 1}}, 0: {"lanes_state.1": {"slot": 5}}}
    rows = {"state": "homes_state", "divider.done": "done", "fresh": "fresh"}
    return draw(SlotHomes(2, 8), rows, steps, 8, width=7, skip=40)


def matrix():
    """Two GEMVs of two rows and three words each, offered back to back."""
    entry = {"op": Op.GEMV, "rows": 2, "live": 2, "length": 3, "words": 3}
    steps = {0: {"entry.valid": 1, "entry.payload": entry}, 2: {"entry.valid": 0}}
    sizes = {"bank_depth": 16, "act_depth": 16, "max_slots": 4, "landing_depth": 8}
    with mock.patch.object(engine, "Bank", blank(Bank)):
        rows = ports("entry.valid", "entry.ready", "held", "fire", "rows.valid", "busy")
        return draw(engine.MatrixEngine(banks=2, lanes=1, **sizes), rows, steps, 23)


def vector():
    """A RUN of two elements whose maximum is taken, and the SENDMAX after it."""
    load = {"kind": FlitKind.LOAD, "chan": Space.MICRO, "data": encode_micro(Micro(AluOp.MOV, d_max=1))}
    steps = {
        -4: {"rx_valid": 1, "rx": load, "current.state": {"positions": 1}, "tx.ready": 1},
        -3: {"rx_valid": 0},
        0: {"entry.valid": 1, "entry.payload": {"op": Op.RUN, "n": 2, "vl": 8, "length": 1}},
        4: {"entry.payload": {"op": Op.SENDMAX}},
        7: {"entry.valid": 0},
    }
    rows = {**ports("entry.valid", "entry.ready"), "state": "walk_state", **ports("step", "issue", "tx.valid", "busy")}
    sizes = {"vmem_depth": 16, "stage_depth": 8, "micro_depth": 4, "landing_depth": 4, "max_slots": 4}
    return draw(VectorEngine(1, **sizes, sampling=False), rows, steps, 24, skip=4)


def energy():
    """A read right after a row."""
    steps = {0: {"row.valid": 1, "row.mask": 1}, 1: {"row.valid": 0, "read": 1}, 2: {"read": 0}}
    return draw(Energy(1, 4), ports("row.valid", "read", "pending", "reading", "read_valid"), steps, 10)


def sequencer():
    """A GEMV whose matrix has planes, and the END of the program."""
    steps = {}

    def flit(**fields):
        steps[min(steps, default=-19) - 1] = {"rx_valid": 1, "rx": fields}

    def load(space, words):
        for n, word in enumerate(words):
            for high in (1, 0):  # the last of `steps` comes first
                flit(kind=FlitKind.LOAD, chan=space, addr=2 * n + high, data=word >> 64 * high & (1 << 64) - 1)

    flit(kind=FlitKind.PASS, chan=PassWord.START)
    load(Space.PROGRAM, [encode(Instr(Op.GEMV, {"desc": 0})), encode(Instr(Op.END))])
    load(Space.DESC, [DESCRIPTOR.pack(alt=1), PLANES.pack(fp16=1)])
    flit(kind=FlitKind.LOAD, chan=Space.CSR, addr=Csr.GROUP_SIZE, data=1)
    steps[-19] = {"rx_valid": 0, "matrix.ready": 1}
    rows = {"state": "walk_state", "matrix.valid": "matrix.valid", "running": "running"}
    parts = Sequencer(lanes=1, program_depth=4, desc_depth=4)
    return draw(parts, rows, steps, 15, width=6, skip=-min(steps))


def sender():
    """A quad of two lanes."""
    job = {"kind": FlitKind.DATA, "quads": 1, "active": 3}
    steps = {
        0: {"job.valid": 1, "job.payload": job, "reserve": 1, "tx.ready": 1},
        1: {"job.valid": 0, "reserve": 0, "half_valid": 1},
        5: {"half_valid": 0},
    }
    rows = ports("job.valid", "reserve", "half_valid", "started", "emit", "finish", "tx.valid", "busy")
    return draw(Sender(2), rows, steps, 10)


def micro():
    """An element with two micro-operations, the second of which reads what the first writes."""
    words = [encode_micro(Micro(AluOp.MOV, a=0, d=n + 1, d_vm=1)) for n in range(2)]
    words[1] = encode_micro(Micro(AluOp.MOV, a=1, d=2, d_vm=1))
    steps = {}
    for place, (n, part) in enumerate(product(range(2), range(ENTRY_WORDS[Space.MICRO]))):
        addr = ENTRY_ADDRESSES[Space.MICRO].pack(index=n, word=part)
        data = words[n] >> WORD_BITS * part & (1 << WORD_BITS) - 1
        flit = {"kind": FlitKind.LOAD, "chan": Space.MICRO, "addr": addr, "data": data}
        steps[place - 6] = {"rx_valid": 1, "rx": flit}
    entry = {"op": Op.RUN, "n": 1, "vl": 8, "length": 2}
    steps |= {-2: {"rx_valid": 0, "entry": entry, "proceed": 1, "credit": 1}} | strobe("start")
    rows = ports("start", "loading", "begun", "step", "pending", "issue", "result", "done", "idle")
    component = MicroSequencer(micro_depth=4, landing_depth=4, stage_depth=4, vmem_depth=8)
    return draw(component, rows, steps, 22, skip=6)


def collect():
    """Sums of two lanes."""
    steps = {0: {"request": 1}, 9: {"taken": 1}, 10: {"taken": 0, "request": 0}}
    return draw(Collect(2), ports("request", "busy", "walking", "ready", "taken"), steps, 12)


def digits():
    """A digit of two wanted lanes."""
    steps = strobe("select") | {-2: {"want": 3, "top_k": 4}}
    rows = {"select": "select", "state": "search_state", "todo": "todo", "selected": "selected"}
    return draw(Filter(2), rows, steps, 11, width=8, skip=2)


def mask():
    """Slot 0 comes to belong to the text."""
    steps = strobe("note", commit=1) | {-2: {"groups.0": {"size": 1}, "clear": 1}, -1: {"clear": 0, "read": 1}}
    rows = ports("note", "busy", "start", "dividing", "finish", "read", "hidden")
    return draw(SlotMask(1, 4), rows, steps, [*range(4), *range(QUAD_BITS, QUAD_BITS + 7)], skip=2)


def noise():
    """Two rows of two lanes."""
    taken = GUMBEL_LATENCY + 7
    steps = strobe("start") | {-1: {"want": 3, "n": 2}, taken: {"next": 1}, taken + 2: {"next": 0}}
    rows = ports("start", "rows", "ask", "asked_here", "came_here", "full", "waiting", "next")
    return draw(NoiseRows(2), rows, steps, [*range(6), *range(GUMBEL_LATENCY + 1, GUMBEL_LATENCY + 10)], skip=1)


def answer():
    """A READ of a counter and one of an energy."""
    read = {"kind": FlitKind.READ, "src": 1, "lo": 1, "hi": 1}
    steps = {
        0: {"stop_id": 1, "ring_out.ready": 1, "ring_in.valid": 1, "ring_in.payload": read},
        1: {"ring_in.payload": read | {"addr": ENERGY_ADDRESS.pack(energy=1)}},
        2: {"ring_in.valid": 0},
    }
    rows = {
        "ring_in.valid": "ring_in.valid",
        "reads.r_rdy": "r_rdy",
        "state": "answer_state",
        **ports("look", "is_energy", "found"),
        "reply.valid": "reply__valid",
        "ring_out.valid": "ring_out.valid",
    }
    sizes = {"bank_depth": 16, "act_depth": 16, "max_slots": 4, "landing_depth": 8, "vmem_depth": 16, "stage_depth": 8}
    depths = {"program_depth": 4, "micro_depth": 4, "desc_depth": 4}
    idle = {part: blank(getattr(tile, part)) for part in ("Sequencer", "MatrixEngine", "VectorEngine")}
    with mock.patch.multiple(tile, **idle):
        return draw(tile.Tile(banks=2, lanes=1, **sizes, **depths), rows, steps, 14, width=6)


WAVEFORMS = {
    "gemv": (GemvIssue, gemv),
    "drain": (Drain, drain),
    "fetch": (Fetcher, fetch),
    "k": (KvWriter, lambda: kv_write(0)),
    "v": (KvWriter, lambda: kv_write(1)),
    "homes": (SlotHomes, homes),
    "matrix": (engine.MatrixEngine, matrix),
    "vector": (VectorEngine, vector),
    "energy": (Energy, energy),
    "sequencer": (Sequencer, sequencer),
    "sender": (Sender, sender),
    "micro": (MicroSequencer, micro),
    "collect": (Collect, collect),
    "filter": (Filter, digits),
    "mask": (SlotMask, mask),
    "noise": (NoiseRows, noise),
    "answer": (tile.Tile._answer, answer),
}


@pytest.mark.parametrize("name", WAVEFORMS)
def test_a_waveform_is_what_the_block_does(name):
    documented, drawing = WAVEFORMS[name]
    require_drawn(documented, drawing())
