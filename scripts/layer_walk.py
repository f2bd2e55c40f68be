"""One token's way through one layer, with numbers: the section of docs/isa.md that follows the compiler's program.

py-mini is compiled and placed on `demo`. The program is decoded from the words that the loader writes and interpreted
by `golden.tile.walk`. The reference of the sequencer says what the engines are given, and those of the engines how many
cycles they take; the benches hold the RTL to each of them. No cycle is reckoned here.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from hayate import models
from hayate.compiler.place import place
from hayate.golden.tile import cycles
from hayate.golden.tile.walk import skips, walk
from hayate.rtl.contract import encoding, layout
from hayate.rtl.contract.alu_ops import TWO_OPERANDS, AluOp
from hayate.rtl.contract.config import PRESETS
from hayate.rtl.contract.isa import OP_BITS, ASrc, BSrc, Csr, LoopReg, Op, SendMode
from hayate.rtl.contract.precision import Format
from hayate.rtl.contract.topology import stop_of
from hayate.scripts.markdown import table
from hayate.verif.tile.matrix.matrix_golden import MatrixModel, Pass, Position
from hayate.verif.tile.sequencer.sequencer_golden import MATRIX_OPS, entries

ROOT = Path(__file__).resolve().parent.parent
VERIFY = ROOT / "docs" / "verify.json"  # whole passes of the same model and machine, simulated
MODEL, CONFIG = "py-mini", "demo"
POSITION = 39  # of the token: the slots in use are whole quads, and `VERIFY` has a pass of it
TILE = 1  # whose rows are shown; the token's K lies there

#: (descriptor or engine's operation, routine) -> what the instruction is for.
STAGES = {
    ("xa", "rms"): "norm",
    ("wk", ""): "k",
    ("wk", "qk"): "k: × 1/rms, rotary",
    ("wv", ""): "v",
    ("wv", "v"): "v: × 1/rms",
    ("wq", ""): "q",
    ("wq", "qk"): "q: × 1/rms, rotary",
    ("kcache", "KVW"): "write K",
    ("vcache", "KVW"): "write V",
    ("kcache", ""): "scores",
    ("kcache", "scores"): "scores: × 1/√head_dim, maxima",
    ("SENDMAX", ""): "maxima to the group",
    ("kcache", "softmax"): "softmax: numerators",
    ("vcache", ""): "values",
    ("vcache", "recip"): "softmax: 1/Σ",
    ("vcache", "out"): "values: × 1/Σ",
    ("wo", ""): "output projection",
    ("wo", "resid"): "residual stream, Σx²",
    ("SENDSUM", ""): "Σx² to all",
    ("SENDSUM", "vec"): "Σ of numerators to the group",
    ("xb", "rms"): "norm",
    ("wgu", ""): "gate and up",
    ("wgu", "swiglu"): "× 1/rms, silu(gate) · up",
    ("wdown", ""): "down",
    ("wdown", "resid"): "residual stream, Σx²",
}
_READS = {ASrc.VMEM: "vector memory", ASrc.LANDING: "landing buffer", ASrc.STAGE: "stage buffer", ASrc.SUM: "sums"}
_OTHERS = {BSrc.VMEM: "vector memory", BSrc.MAXREG: "maxima", BSrc.NOISE: "noise"}
_WRITES = {"d_vm": "vector memory", "d_send": "sender", "d_square": "reducers", "d_sum": "reducers", "d_max": "maximum"}
#: registers of a tile by the names that the sequencer's reference has for them.
_NAMES = {Csr.TILE_INDEX: "index", Csr.TILE_COUNT: "count", Csr.LOCAL_HEADS: "heads"}


@dataclass
class Step:
    """An instruction of the layer, over all times that the pass executes it on one tile.

    waits: what its engine waits for ahead of it, SYNCs and channel. k, n: elements of a row; rows of a GEMV, or
    elements of a RUN. words: that each bank gives; written: what a KVW writes. flits: that the tile sends. links: flits
    over each link of the ring, by the stop that the link leaves. cycles: of its engine, or of the sender.
    """

    instruction: object
    stage: str
    name: str
    parts: str
    waits: list = field(default_factory=list)
    times: int = 0
    k: int = 0
    n: int = 0
    words: int = 0
    written: str = ""
    flits: int = 0
    cycles: int = 0
    links: Counter = field(default_factory=Counter)


class Machine:
    """A model on a configuration, as its loader leaves the tiles; passes have one position, and weights are FP16."""

    def __init__(self, model=MODEL, config=CONFIG):
        self.image, self.config = models.load(model), PRESETS[config]
        formats = {d.name: Format.FP16 for d in self.image.descriptors if d.planes}
        self.placement = place(self.image, self.config, formats, weights=False)
        tile = self.placement.tiles[0]
        self.micros = [encoding.MICRO.unpack(word) for word in tile.micros]
        self.routines = {first: name for name, (first, _) in self.image.routines.items()}
        self.names = [d.name.rpartition(".")[2] for d in self.image.descriptors]

    def program(self, tile):
        """Instructions of a tile, with addresses."""
        found = []
        for word in tile.program:
            op = Op(word & (1 << OP_BITS) - 1)
            fields = encoding.OPERATIONS[op].word.unpack(word)
            found.append(encoding.Instr(op, {name: value for name, value in fields.items() if name != "op"}))
        return found

    def descriptors(self, tile):
        own = len(self.image.descriptors)
        return [
            (encoding.DESCRIPTOR if i < own else encoding.PLANES).unpack(word)
            for i, word in enumerate(tile.descriptors)
        ]

    def registers(self, tile):
        return {_NAMES.get(Csr(r), Csr(r).name.lower()): value for r, value in tile.csr.items() if r in list(Csr)}

    def steps(self, tile, position, layer=0):
        """`Step`s of a tile in a layer, in order; of the whole pass with None. The text lies in slots 0, 1, 2 ..."""
        program, registers = self.program(tile), self.registers(tile)
        start = next(i for i, one in enumerate(program) if one.op == Op.LOOP and one.reg == LoopReg.LAYER)
        end = next(i for i, one in enumerate(program) if one.op == Op.ENDLOOP and one.reg == LoopReg.LAYER)
        inside = {id(one) for one in program[start:end]}
        pass_ = {"positions": 1, "want": 1, "hwm": position + 1, "measure": 0, "draft": 0}
        lanes = self.config.lanes
        queues = [iter(q) for q in entries(program, self.descriptors(tile), registers, pass_, lanes)]
        found: dict[int, Step] = {}
        waiting: dict[bool, list] = {True: [], False: []}
        order = walk(
            program,
            skips(wants=1, samples=0),
            heads=registers["heads"],
            rounds=layout.rounds(1, registers["group"], lanes),
            ahead=1 << registers["rounds_log2"],
        )
        for one, index in order:
            matrix = one.op in MATRIX_OPS
            entry = next(queues[not matrix])
            if layer is not None and (id(one) not in inside or index[LoopReg.LAYER] != layer):
                continue
            if one.op in (Op.M_WAIT, Op.V_WAIT):
                waiting[matrix].append(f"{entry['count']} on channel {entry['chan']}")
                continue
            step = found.setdefault(id(one), self._step(one))
            step.waits = step.waits or waiting[matrix]
            waiting[matrix] = []
            self._count(step, entry, tile, registers, position, index[LoopReg.J])
        return list(found.values())

    def _step(self, one):
        routine = self.routines.get(one.routine, "") if one.op == Op.RUN else ""
        name = self.names[one.desc] if "desc" in encoding.FORMATS[one.op] else one.op.name
        of_attention = "vec" if one.op == Op.SENDSUM and one.vec else ""
        key = name, "KVW" if one.op == Op.KVW else routine or of_attention
        if one.op == Op.GEMV:
            parts = "activation buffer, banks → PEs → normalizers → landing buffer"
        elif one.op == Op.KVW:
            parts = "activation buffer → banks"
        elif one.op == Op.FETCH:
            parts = "banks → sender"
        elif one.op == Op.RUN:
            parts = self._parts(one)
        else:
            parts = "sender"
        words = [one.op.name, name if name != one.op.name else "", routine if routine != name else ""]
        return Step(one, STAGES.get(key, ""), " ".join(filter(None, words)), parts)

    def _parts(self, one):
        """Where the routine of a RUN takes its operands from, and where its results go."""
        reads, writes = [], []
        for m in self.micros[one.routine : one.routine + one.length]:
            if m["op"] == AluOp.NOP:
                continue
            reads.append(_READS[m["a_src"]])
            if m["op"] in TWO_OPERANDS:
                reads.append(_OTHERS[m["b_src"]])
            writes += [what for name, what in _WRITES.items() if m[name]]
        reads, writes = (", ".join(dict.fromkeys(names)) for names in (reads, writes))
        return f"{reads} → lanes → {writes}"

    def _count(self, step, entry, tile, registers, position, j):
        one, lanes = step.instruction, self.config.lanes
        step.times += 1
        active = 1
        if "vec" in encoding.FORMATS[one.op] and one.vec:  # query heads that round J covers
            active = max(0, min(lanes, registers["group"] - j * lanes))
        model = MatrixModel(self.config.banks, lanes, self.config.bank_depth, self.config.act_depth)
        now = Pass(
            [Position(pos=position, slot=position)],
            self.config.tiles,
            registers["group_size"],
            registers["group_index"],
            1,
        )
        flits = 0
        if one.op == Op.GEMV:
            step.k, step.n = 4 * entry["length"], entry["rows"]
            step.words += layout.ceil_div(entry["rows"], self.config.banks) * entry["length"]
            step.cycles += model.cycles(entry, now)
        elif one.op == Op.KVW:
            step.written = self._written(entry, registers, position)
            step.cycles += model.cycles(entry, now)
        elif one.op == Op.RUN:
            step.n = entry["n"]
            heads = active if one.send_mode == SendMode.OUTPUT else 1
            flits = entry["n"] // 4 * heads + 1 if one.send else 0
            step.cycles += cycles.run(entry, self.micros, lanes)
        elif one.op != Op.FETCH:  # which comes ahead of the layers
            flits = {Op.SENDSUM: 2, Op.SENDMAX: 1, Op.SENDCAND: 1}[one.op] + 1
            flits -= one.op == Op.SENDSUM and one.vec  # which has no SYNC
            step.cycles += flits + 1  # a flit a cycle, and one more for every job
        step.flits += flits
        for link in self._links(tile, entry.get("end", 0)):
            step.links[link] += flits

    def _written(self, entry, registers, position):
        if entry["value"]:
            return f"{layout.ceil_div(entry['rows'], self.config.banks)}, read and written"
        here = layout.slot_home(position, registers["group_size"])[0] == registers["group_index"]
        return f"{entry['words']} written, in one bank" if here else "none"

    def _links(self, tile, end):
        """Links that a flit of the tile crosses, by the stop that each leaves; `end` as in a flit."""
        stops, at = self.config.tiles + 1, stop_of(tile.tile)
        hops = (end - at) % stops if end else stops
        return [(at + hop) % stops for hop in range(hops)]


@cache
def machine():
    return Machine()


def rows(found, every):
    """Rows of the table: `found`, `Step`s of the tile; every: those of all tiles, to add up on the ring."""
    result = []
    for n, s in enumerate(found):
        what = f"{s.name}{f', {s.times} times' if s.times > 1 else ''}"
        shape = {Op.GEMV: f"{s.k} × {s.n}", Op.RUN: str(s.n)}.get(s.instruction.op, "")
        busiest = max(sum((tile[n].links for tile in every), Counter()).values(), default=0)
        result.append(
            (
                s.stage,
                what,
                ", ".join(s.waits),
                s.parts,
                shape,
                s.written or (f"{s.words:,}" if s.words else ""),
                s.flits or "",
                busiest or "",
            )
            + (f"{s.cycles:,}",)
        )
    return result


def section():
    """The table, and what it adds up to."""
    m = machine()
    tiles = m.placement.tiles
    every = [m.steps(tile, POSITION) for tile in tiles]
    own = every[TILE]
    head = ("stage", "instruction", "waits for", "parts of the tile", "K × N, or elements", "words of each bank")
    text = table((*head, "flits sent", "flits over the busiest link", "cycles"), rows(own, every))
    weights, kv = (sum(s.words for s in own if s.instruction.op == Op.GEMV and s.instruction.kv == kv) for kv in (0, 1))
    matrix, vector = (sum(s.cycles for s in own if (s.instruction.op in MATRIX_OPS) == is_) for is_ in (True, False))
    links = sum((s.links for steps in every for s in steps), Counter())
    whole = sum(s.words for s in m.steps(tiles[TILE], POSITION, None) if s.instruction.op == Op.GEMV)
    found = json.loads(VERIFY.read_text())
    assert (found["setup"]["model"], found["setup"]["config"], found["setup"]["precision"]) == (MODEL, CONFIG, "fp16")
    cycles = dict(found["passes"]["1"])[POSITION]
    size, layers = m.config, m.image.model["layers"]
    heads, kv_heads = (m.image.model[name] for name in ("heads", "kv_heads"))
    sharing = m.registers(tiles[TILE])["group_size"]
    lines = [
        f"{MODEL} in FP16 on `{CONFIG}`: {size.tiles} tiles of {size.banks} banks, M = {size.lanes}; {heads} query and "
        f"{kv_heads} KV heads, so {sharing} tiles share a KV head. A pass of one position, {POSITION}, with "
        f"{POSITION + 1} slots in use. The rows are those of tile {TILE}.",
        text,
        f"Together: each bank gives {weights:,} words of weights and {kv:,} of K and V. The matrix engine is busy for "
        f"{matrix:,} cycles, the vector engine for {vector:,}, and {max(links.values()):,} flits cross the busiest "
        "link.",
        f"The pass has {layers} such layers and the output matrix. Each bank gives {whole:,} words in it, one a cycle. "
        f"The whole pass takes {cycles:,} cycles, so banks read in {100 * whole / cycles:.0f} % of them. "
        "Simulated; reproduce with `hayate bench verify --json docs/verify.json`.",
    ]
    return "\n\n".join(lines)


SECTIONS = {"layer-walk": section}
