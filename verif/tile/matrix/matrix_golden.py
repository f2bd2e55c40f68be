"""What a matrix engine must do with its entries, word for word, in numpy; and how many cycles its issue stage spends on
them.
"""

from dataclasses import dataclass, field

import numpy as np

from hayate.golden.numerics.exact import exact_dot, round_integer
from hayate.golden.numerics.fp16 import to_int
from hayate.golden.numerics.mxint8 import quantize
from hayate.golden.tile import cycles
from hayate.rtl.contract.flits import WORD_BITS, FlitKind, flit_bits, pack_flit, spread
from hayate.rtl.contract.isa import ROPE_FINE_BITS, STAGE_BIT, FetchIndex, Op
from hayate.rtl.contract.layout import row_home, slot_home
from hayate.rtl.contract.precision import GROUPS, MX_BLOCK, Format, hi_layout, plane_words, stream_words

NOTHING = dict.fromkeys(
    (
        "chan",
        "count",
        "base",
        "words",
        "length",
        "rows",
        "live",
        "act",
        "s_in",
        "kv",
        "value",
        "row0",
        "index",
        "stage",
        "format",
        "group",
        "lo_base",
        "measure",
        "dual",
        "hi_base",
        "pitch",
        "wanted",
        "planes",
    ),
    0,
)


#: Rows of the positions of a fine table.
FINE_ROWS = [int(f"{n:0{ROPE_FINE_BITS}b}"[::-1], 2) for n in range(1 << ROPE_FINE_BITS)]


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
    want: int = 0  # positions whose logits are wanted, as bits


@dataclass
class EnergyRow:
    """What the governor gets to see of a row: exact sums of each lane in units of 2**-48; `lows` is None for an FP16
    row.
    """

    difference: int
    mask: int
    planes: int
    grids: object  # a constant of `Grids`
    sums: list[int]
    lows: list[int] | None


def nibbles(words):
    """Signed nibbles of uint64 [n]: int64 [16 n]."""
    fields = words[:, None] >> (4 * np.arange(16, dtype=np.uint64)) & np.uint64(15)
    return ((fields.astype(np.int64) ^ 8) - 8).reshape(-1)


class MatrixModel:
    """Memories of a tile's matrix engine and the effect of entries on them.

    An entry is a dictionary with the fields of `MatrixEntry`, `grids` a constant of `Grids`; those left out are 0.
    `bank` holds uint64 [banks, depth], `act` uint64 [lanes, depth]; change them at will. `energies` collects an
    `EnergyRow` for every row of an entry with `measure`, in order.
    """

    def __init__(self, banks, lanes, bank_depth, act_depth):
        self.banks, self.lanes = banks, lanes
        self.bank = np.zeros((banks, bank_depth), np.uint64)
        self.act = np.zeros((lanes, act_depth), np.uint64)
        self.energies = []

    def run(self, e, now: Pass):
        """Execute one entry: (rows as float32 [rows, lanes], flits sent, each with the bits of it that matter)."""
        e = {**NOTHING, **e}
        if e["op"] == Op.GEMV:
            if e["measure"]:
                self.energies += self.energy_rows(e, now)
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
        if e["format"] != Format.FP16 and not e["dual"]:
            both, low = self.integer_sums(e, e["base"], e["words"])
            sums = both if e["format"] == Format.INT8 else both - low
            return np.ldexp(np.array([[round_integer(int(n)) for n in row] for row in sums], np.float32), e["s_in"])
        w = np.stack([self.row(r, e, words) for r in range(rows)]).view(np.float16)
        x = self.act[:, e["act"] : e["act"] + words].copy().view(np.float16)
        return np.ldexp(exact_dot(w, x), e["s_in"]).T

    def integer_sums(self, e, hi_base, pitch):
        """Exact products of both planes, and of the lo planes alone, with the activations in MXINT8: Python integers
        [rows, lanes].
        """
        k, group = 4 * e["length"], GROUPS[e["group"]]
        layout, lo_words = hi_layout(k, group), plane_words(k)
        is_scale = np.array([kind == "scale" for kind, _ in layout])
        w8, lows = [], []
        for r in range(e["rows"]):
            bank, at = row_home(r, self.banks, pitch, hi_base)
            words = self.bank[bank, at : at + len(layout)]
            unit = np.repeat(to_int(words[is_scale].view(np.float16)), group)[:k]
            _, lo_at = row_home(r, self.banks, lo_words, e["lo_base"])
            lo = nibbles(self.bank[bank, lo_at : lo_at + lo_words])[:k]
            w8.append((16 * nibbles(words[~is_scale])[:k] + lo) * unit)
            lows.append(lo * unit)
        q, exponent = quantize(self.act[:, e["act"] : e["act"] + e["length"]].copy().view(np.float16))
        # scales count 2**-24, codes 2**(exponent - 6)
        x = q.astype(np.int64) << (np.repeat(exponent, MX_BLOCK, axis=1)[:, :k] + 18)
        x = x.T.astype(object)
        return np.array(w8, object) @ x, np.array(lows, object) @ x

    def energy_rows(self, e, now):
        count = (1 << len(now.positions)) - 1
        mask = count & now.want if e["wanted"] else count
        matrix = e["planes"], e["grids"]
        if not e["dual"]:
            both, low = self.integer_sums(e, e["base"], e["words"])
            return [EnergyRow(0, mask, *matrix, list(s), list(part)) for s, part in zip(both, low)]
        both, low = self.integer_sums(e, e["hi_base"], e["pitch"])
        w = np.stack([self.row(r, e, e["length"]) for r in range(e["rows"])]).view(np.float16)
        x = self.act[:, e["act"] : e["act"] + e["length"]].copy().view(np.float16)
        plain = to_int(w).astype(object) @ to_int(x).T.astype(object)
        rows = []
        for first in range(0, e["rows"], self.banks):
            group = slice(first, first + self.banks)
            rows += [EnergyRow(0, mask, *matrix, list(s), None) for s in plain[group]]
            rows += [
                EnergyRow(1, mask, *matrix, list(s), list(-part)) for s, part in zip((plain - both)[group], low[group])
            ]
        return rows

    def streams(self, e):
        """Words of each stream that a row group takes."""
        e = {**NOTHING, **e}
        integer = stream_words(4 * e["length"], GROUPS[e["group"]], Format.INT8 if e["dual"] else e["format"])
        return [e["length"], integer] if e["dual"] else [integer]

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

    def rows_here(self, e, now):
        """Of each position the row that it fetches, None where that is not here."""
        e, rows = {**NOTHING, **e}, []
        for position in now.positions:
            index = {
                FetchIndex.TOKEN: position.token,
                FetchIndex.POS_HI: position.pos >> ROPE_FINE_BITS,
                FetchIndex.POS_LO: FINE_ROWS[position.pos % len(FINE_ROWS)],
            }[e["index"]]
            rows.append(index if 0 <= index - e["row0"] < e["rows"] else None)
        return rows

    def fetch(self, e, now):
        flits, rows, lanes = [], self.rows_here(e, now), self.lanes
        every, to = (1 << flit_bits(lanes)) - 1, {"lo": 0, "hi": now.tiles - 1}
        for p, row in enumerate(rows):
            if row is None:
                continue
            if row not in rows[:p]:
                mask = sum(1 << other for other in range(len(rows)) if rows[other] == row)
                words = self.row(row - e["row0"], e, e["words"]).tolist()
                for first in range(0, len(words), lanes):
                    some = words[first : first + lanes]
                    flit = {"mask": mask, "data": spread(dict(enumerate(some)))["data"]}
                    addr = 1 << STAGE_BIT | e["stage"] + first
                    flits.append(
                        (
                            pack_flit(lanes, kind=FlitKind.DATA, addr=addr, **to, **flit),
                            every >> WORD_BITS * (lanes - len(some)),
                        )
                    )
            flits.append((pack_flit(lanes, kind=FlitKind.SYNC, chan=e["chan"], **to), every))
        return flits

    def cycles(self, e, now: Pass):
        """Cycles of the issue stage for one entry on its own, with room for every row and flit."""
        e = {**NOTHING, **e}
        if e["op"] == Op.GEMV:
            return cycles.gemv(e["rows"], self.streams(e), self.banks)
        if e["op"] == Op.FETCH:
            return cycles.fetch(e["words"], self.rows_here(e, now))
        if e["value"]:
            return cycles.write_values(e["rows"], len(now.positions), self.banks)
        here = [slot_home(p.slot, now.group_size)[0] == now.group_index for p in now.positions]
        return cycles.write_keys(e["words"], here)
