"""Random passes for the vector engine: entries in program order, and what the ring brings before each of them."""

from dataclasses import dataclass, field

import numpy as np

from hayate.rtl.contract.filters import COUNTS_BIT, DIGITS, INDEX_SHIFT, ROUND_BIT, TOP_K_MAX
from hayate.rtl.contract.flits import FlitKind, spread
from hayate.rtl.contract.isa import CHANNELS, ROUNDS_AHEAD, Op, PassWord, SendMode
from hayate.rtl.contract.layout import local_slots, rounds
from hayate.rtl.contract.words import COMMIT, DATA_ADDRESS, LANE, MAX_ADDRESS, PASS_ADDRESS, SUM_ADDRESS
from hayate.verif.tile.vector.filter_golden import COUNTS, words
from hayate.verif.tile.vector.vector_driver import in_flits, no_rows
from hayate.verif.tile.vector.vector_golden import bits
from hayate.verif.tile.vector.vector_programs import EMB, HEAD_DIM, PLACES, ROPE_C, ROPE_F

HDQ = HEAD_DIM // 4
MAX_SLOTS = 64


@dataclass
class Step:
    """An entry, the flits that come before it and may only come after the one before, and its landing rows."""

    entry: dict
    flits: list = field(default_factory=list)
    rows: list = field(default_factory=list)


def entry(op, **fields):
    blank = dict.fromkeys(
        (
            "chan",
            "count",
            "routine",
            "length",
            "n",
            "vec",
            "landing",
            "round",
            "sumscale",
            "s_in",
            "s_out",
            "send",
            "send_mode",
            "send_addr",
            "lo",
            "hi",
            "end",
            "row0",
            "quad0",
            "noise",
            "slide",
        ),
        0,
    )
    return {"op": op, "vl": 8, **blank, **fields}


def run(name, n, **fields):
    routine, length = PLACES[name]
    return entry(Op.RUN, routine=routine, length=length, n=n, **fields)


def geometry(r):
    """Random fields of `TileState`."""
    group = r.choice([1, 2, 3, 4])
    size = r.choice([1, 2, 3])
    return {
        "index": 1,
        "count": 3,
        "group_lo": 0,
        "group_hi": size - 1,
        "group_size": size,
        "group_index": r.randrange(size),
        "heads": 1,
        "head0": 0,
        "att_senders": 1,
        "group": group,
        "hdq": HDQ,
        "top_k": r.choice([0, 3, 20, 64]),
        "min_p": r.randrange(2),
    }


class Pass:
    """One random pass of `positions`, or of `lanes` at most, on a tile of geometry `tile`; `steps` is its program."""

    def __init__(self, r, lanes, tile, positions=None):
        self.r, self.lanes, self.tile = r, lanes, tile
        self.numbers = np.random.default_rng(r.getrandbits(32))
        self.positions = positions or r.randint(1, lanes)
        self.want = r.getrandbits(lanes)
        self.hwm = r.randint(1, MAX_SLOTS)
        self.seed = r.getrandbits(64)
        # of the second model, on a tile where both have the same geometry
        self.second = int(lanes > 1 and r.random() < 0.3)
        slots = r.sample(range(MAX_SLOTS), 2 * lanes)
        self.states = [
            {
                "token": r.getrandbits(20),
                "position": r.randrange(80),
                "slot": s,
                "ancestors": r.getrandbits(lanes) | 1 << k,
            }
            for k, s in enumerate(slots[:lanes])
        ]
        self.begin = [
            {"kind": FlitKind.PASS, "chan": PassWord.COMMIT, "data": COMMIT.pack(position=r.randrange(80), slot=s)}
            for s in slots[lanes:]
        ]
        self.begin += [
            {
                "kind": FlitKind.PASS,
                "chan": PassWord.LANE,
                "addr": PASS_ADDRESS.pack(lane=k),
                "data": LANE.pack(**s, second=self.second),
            }
            for k, s in enumerate(self.states[: self.positions])
        ]
        self.begin += [{"kind": FlitKind.PASS, "chan": PassWord.START}]
        self.steps = []
        self._maxima = {}  # flits that bring those of a round
        self._program()

    # Pieces.
    def values(self, count):
        """FP32 rows for the landing buffer: ordinary numbers, and now and then any exponent at all."""
        scale = np.where(
            self.numbers.random(count) < 0.05,
            self.numbers.integers(-60, 60, count),
            self.numbers.integers(-4, 4, count),
        )
        return np.ldexp(self.numbers.standard_normal(count), scale).astype(np.float32)

    def _words(self):
        """Such a value for each lane, as {lane: word}."""
        return {lane: int(bits(value)) for lane, value in enumerate(self.values(self.lanes))}

    def _add(self, new, flits=()):
        if new["op"] == Op.RUN:
            new = {**new, "row0": self.r.randrange((1 << 20) - MAX_SLOTS)} if not new["row0"] else new
        rows = [self.values(self.lanes) for _ in range(new["n"] * new["landing"])] or no_rows(new)
        self.steps.append(Step(new, list(flits), rows))

    def _wait(self, chan, flits, syncs):
        flits = [*flits, *({"kind": FlitKind.SYNC, "chan": chan} for _ in range(syncs))]
        self._add(entry(Op.V_WAIT, chan=chan, count=syncs), flits)

    def _send(self, mode=SendMode.LINEAR, **fields):
        lo = self.r.randrange(3)
        where = {
            "send_addr": self.r.randrange(64),
            "lo": lo,
            "hi": lo + 1,
            "end": self.r.choice([0, 9]),
            "chan": self.r.randrange(CHANNELS),
        }
        return {"send": 1, "send_mode": mode, **where, **fields}

    def _sum(self):
        """SENDSUM, and the sums of other tiles that answer it, their halves mixed."""
        self._add(entry(Op.SENDSUM, chan=1, hi=2))
        halves = []
        for _ in range(3):
            totals = [int(self.r.getrandbits(self.r.randint(30, 80))) for _ in range(self.lanes)]
            for h in range(2):
                words = {lane: total >> 64 * h & (1 << 64) - 1 for lane, total in enumerate(totals)}
                halves += self._to_lanes(FlitKind.SUM, h, words)
        self.r.shuffle(halves)
        self._wait(1, halves, 3)

    def _sums(self, lanes):
        """Flits with the sums of an attention round of all tiles of the group, each low half before its high one."""
        of_round = {"vec": 1, "round": lanes["round"] % ROUNDS_AHEAD}
        queues = []
        for _ in range(self.tile["group_size"]):
            totals = [
                int(self.r.getrandbits(self.r.randint(30, 80))) * self.r.choice([1, -1]) & (1 << 96) - 1
                for _ in range(self.lanes)
            ]
            halves = [{k: total >> 64 * h & (1 << 64) - 1 for k, total in enumerate(totals)} for h in range(2)]
            queues.append(
                [
                    {"kind": FlitKind.SUM, "addr": SUM_ADDRESS.pack(high=h, **of_round), **spread(words)}
                    for h, words in enumerate(halves)
                ]
            )
        flits = []
        while queues := [queue for queue in queues if queue]:
            flits.append(self.r.choice(queues).pop(0))
        return flits

    def _to_lanes(self, kind, addr, words):
        """Flits that bring words {lane: word}."""
        return [{"kind": kind, "addr": addr, **part} for part in in_flits(self.r, words, self.lanes)]

    def _rows(self, at, rows):
        """DATA flits into the stage buffer: of rows of FP32 or FP16 [lanes, n] any for each lane, whatever several have
        in one flit.
        """
        chosen, flits = [self.r.randrange(self.lanes) for _ in range(self.lanes)], []
        for number in set(chosen):
            words = [int(word) for word in np.ascontiguousarray(rows[number]).view(np.uint64)]
            mask = sum(1 << lane for lane, n in enumerate(chosen) if n == number)
            for w in range(0, len(words), self.lanes):
                data = spread(dict(enumerate(words[w : w + self.lanes])))["data"]
                addr = DATA_ADDRESS.pack(word=at + w, stage=1)
                flits.append({"kind": FlitKind.DATA, "mask": mask, "addr": addr, "data": data})
        return flits

    def _norm(self):
        self._add(run("rms", 1, sumscale=1, s_in=self.r.randint(-4, 4)))

    def _program(self):
        r, lanes = self.r, self.lanes
        width = 4 * r.randint(1, 8)
        tables = [self.numbers.uniform(-1, 1, (lanes, 2 * HEAD_DIM)).astype(np.float32) for _ in range(2)]
        halves = self.numbers.integers(0, 1 << 16, (lanes, 64)).astype(np.uint16)
        halves[halves >> 10 & 31 == 31] &= 0x83FF  # infinities and NaN become subnormals
        flits = self._rows(ROPE_C, tables[0]) + self._rows(ROPE_F, tables[1]) + self._rows(EMB, halves)
        r.shuffle(flits)
        self._wait(6, flits, self.positions)
        self._add(run("rope", HEAD_DIM))
        self._add(run("load", width, quad0=r.randrange(0, 4), s_out=r.randint(-3, 6), **self._send()))
        self._sum()
        self._norm()
        for j in range(self.tile["group"]):
            self._add(run("rotated", HEAD_DIM, landing=1, round=j, s_out=2, **self._send(SendMode.QUERY)))
        self._add(run("scaled", 4 * r.randint(0, 3), landing=1, **self._send(vl=r.choice([4, 8]))))
        n = local_slots(self.hwm, self.tile["group_size"], self.tile["group_index"])
        for first in range(0, rounds(self.positions, self.tile["group"], lanes), ROUNDS_AHEAD):
            chunk = range(first, min(first + ROUNDS_AHEAD, rounds(self.positions, self.tile["group"], lanes)))
            for part in (self._score, self._weigh, self._output):
                for J in chunk:
                    part(n, {"vec": 1, "round": J})
        self._add(run("residual", width, landing=1, **self._send()))
        self._sum()
        self._norm()
        self._add(run("swiglu", 4 * r.randint(0, 7), landing=2, **self._send()))
        self._add(run("residual", width, landing=1, vl=r.choice([1, 3, 8, 16]), **self._send()))
        self._sum()
        self._norm()
        if self.want:
            self._add(run("final", width, s_out=1, **self._send()))
            if r.random() < 0.5:
                self._add(run("head", r.randint(0, 40), landing=1, vl=16))
            for _ in range(r.randint(0, 2)):
                self._add(run("sample", r.randint(0, 40), landing=1, vl=r.choice([5, 8]), noise=1))
            if r.random() < 0.7:
                self._filtered(r.randint(0, 40))
        self._add(entry(Op.SENDCAND))
        for name in ("show", "copy", "largest", "show"):
            self._add(run(name, width))
        self._add(entry(Op.SENDCAND))

    def _filtered(self, n):
        """A choice among `n` tokens that the filters keep."""
        row0 = self.r.randrange(1, 1 << 19)
        self._add(run("temper", n, landing=1, row0=row0))
        self._add(entry(Op.SENDMAX, chan=5, hi=2))
        self._wait(5, self._to_lanes(FlitKind.MAX, 0, self._words()), 1)
        self._add(run("floor", 1))
        for found in range(DIGITS if self.tile["top_k"] else 0):
            if found:
                self._add(run("count", n, vl=self.r.choice([5, 64]), row0=row0))
            self._add(entry(Op.SENDCOUNT, chan=1, hi=2))
            counts = []
            for index in range(3):
                falling = [
                    sorted(
                        (self.r.choice([0, 1, 5, self.r.randint(0, TOP_K_MAX)]) for _ in range(COUNTS)), reverse=True
                    )
                    for _ in range(self.lanes)
                ]
                addr = 1 << COUNTS_BIT | (found & 1) << ROUND_BIT | index << INDEX_SHIFT
                for h in range(2):
                    of_lanes = {lane: words(those)[h] for lane, those in enumerate(falling)}
                    counts += self._to_lanes(FlitKind.SUM, addr | h, of_lanes)
            self.r.shuffle(counts)
            self._wait(1, counts, 3)
            self._add(entry(Op.SELECT))
        self._add(run("keep", n, noise=1, row0=row0))

    def _score(self, n, lanes):
        r, J = self.r, lanes["round"] % ROUNDS_AHEAD
        self._add(run("scores", n, landing=1, vl=16, slide=J * MAX_SLOTS, **lanes))
        self._add(entry(Op.SENDMAX, chan=8 + J, hi=2, **lanes))
        found = [
            *(self._words() for _ in range(3)),
            *({r.randrange(self.lanes): z << 31} for z in r.sample([0, 1, 1], 3)),
        ]
        addr = MAX_ADDRESS.pack(round=J)
        self._maxima[J] = [flit for words in found for flit in self._to_lanes(FlitKind.MAX, addr, words)]

    def _weigh(self, n, lanes):
        r, J = self.r, lanes["round"] % ROUNDS_AHEAD
        self._wait(8 + J, self._maxima[J], 2)
        self._add(
            run(
                "softmax",
                n,
                vl=r.choice([4, 16, 64]),
                s_out=-15,
                slide=J * MAX_SLOTS,
                **lanes,
                **self._send(SendMode.SLOTS),
            )
        )
        self._add(entry(Op.SENDSUM, hi=2, **lanes))

    def _output(self, n, lanes):
        self._add(run("recip", 1, **lanes), self._sums(lanes))
        self._add(run("out", HEAD_DIM, landing=1, s_out=-2, **lanes, **self._send(SendMode.OUTPUT)))
