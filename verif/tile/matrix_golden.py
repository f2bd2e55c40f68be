"""What a matrix engine must do with its entries, word for word, in numpy; and how many cycles its issue stage spends on them."""

from dataclasses import dataclass, field

import numpy as np

from hayate.rtl.contract.flits import FlitKind, pack_flit
from hayate.rtl.contract.isa import ROPE_FINE_BITS, STAGE_BIT, FetchIndex, Op
from hayate.rtl.contract.layout import row_home, slot_home
from hayate.verif.golden.numerics.exact import exact_dot

NOTHING = dict.fromkeys(
    ("chan", "count", "base", "words", "length", "rows", "live", "act", "s_in", "kv", "value", "row0", "index", "stage"), 0
)


@dataclass
class Position:
    token: int = 0
    pos: int = 0
    slot: int = 0


@dataclass
class Pass:
    """Pass and tile that entries run in."""

    positions: list[Position] = field(default_factory=lambda: [Position()])
    tiles: int = 1
    group_size: int = 1
    group_index: int = 0


class MatrixModel:
    """Memories of a tile's matrix engine and the effect of entries on them.

    An entry is a dictionary with the fields of `MatrixEntry`; those left out are 0. `bank` holds uint64 [banks, depth], `act` uint64
    [lanes, depth]; change them at will.
    """

    def __init__(self, banks, lanes, bank_depth, act_depth):
        self.banks, self.lanes = banks, lanes
        self.bank = np.zeros((banks, bank_depth), np.uint64)
        self.act = np.zeros((lanes, act_depth), np.uint64)

    def run(self, e, now: Pass):
        """Execute one entry: (rows as float32 [rows, lanes], flits sent)."""
        e = {**NOTHING, **e}
        if e["op"] == Op.GEMV:
            return self.gemv(e), []
        if e["op"] == Op.FETCH:
            return [], self.fetch(e, now)
        if e["op"] == Op.KVW:
            (self.write_value if e["value"] else self.write_key)(e, now)
        return [], []

    def row(self, r, e, words):
        bank, at = row_home(r, self.banks, e["words"], e["base"])
        return self.bank[bank, at : at + words]

    def gemv(self, e):
        rows, words = e["rows"], e["length"]
        if rows == 0 or words == 0:
            return np.zeros((0, self.lanes), np.float32)
        w = np.stack([self.row(r, e, words) for r in range(rows)]).view(np.float16)
        x = self.act[:, e["act"] : e["act"] + words].copy().view(np.float16)
        return np.ldexp(exact_dot(w, x), e["s_in"]).T

    def write_key(self, e, now):
        for p, position in enumerate(now.positions):
            index, local = slot_home(position.slot, now.group_size)
            if index == now.group_index:
                self.row(local, e, e["words"])[:] = self.act[p, e["act"] : e["act"] + e["words"]]

    def write_value(self, e, now):
        for p, position in enumerate(now.positions):
            word, place = divmod(position.slot, 4)
            for dim in range(e["rows"]):
                source = self.act[p : p + 1, e["act"] + dim // 4].view(np.uint16)
                bank, at = row_home(dim, self.banks, e["words"], e["base"])
                self.bank[bank, at + word : at + word + 1].view(np.uint16)[place] = source[dim % 4]

    def fetch(self, e, now):
        flits = []
        for p, position in enumerate(now.positions):
            index = {
                FetchIndex.TOKEN: position.token, FetchIndex.POS_HI: position.pos >> ROPE_FINE_BITS,
                FetchIndex.POS_LO: position.pos % (1 << ROPE_FINE_BITS),
            }[e["index"]]
            if 0 <= index - e["row0"] < e["rows"]:
                for w, word in enumerate(self.row(index - e["row0"], e, e["words"])):
                    addr = 1 << STAGE_BIT | e["stage"] + w
                    flits.append(pack_flit(kind=FlitKind.DATA, lo=0, hi=now.tiles - 1, lane=p, addr=addr, data=word))
                flits.append(pack_flit(kind=FlitKind.SYNC, lo=0, hi=now.tiles - 1, chan=e["chan"]))
        return flits

    def cycles(self, e, now: Pass):
        """Cycles of the issue stage for one entry on its own, with room for every row and flit."""
        e = {**NOTHING, **e}
        if e["op"] == Op.GEMV:
            full, rest = divmod(e["rows"], self.banks)
            groups = [self.banks] * full + [rest] * (rest > 0)
            return sum(max(e["length"], before) for before in [0, *groups[:-1]][: len(groups)])
        if e["op"] == Op.FETCH:
            return sum(3 if not self.fetch(e, Pass([p], now.tiles)) else 6 + e["words"] for p in now.positions)
        if e["value"]:
            return len(now.positions) * (4 + 2 * e["rows"] // min(4, self.banks)) + 4
        here = [slot_home(p.slot, now.group_size)[0] == now.group_index for p in now.positions]
        trailing = here[::-1].index(True) if any(here) else 5
        return sum(3 + e["words"] if mine else 1 for mine in here) + max(5 - trailing, 1)
