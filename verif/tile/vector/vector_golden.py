"""The vector engine of one tile in numpy: what it sends, traces and counts, and how long a RUN takes."""

from collections import defaultdict, deque

import numpy as np

from hayate.golden.numerics import fp16, fp32, gumbel
from hayate.golden.numerics.alu import compute
from hayate.golden.numerics.exact import round_integer
from hayate.rtl.contract.alu_ops import TWO_OPERANDS
from hayate.rtl.contract.constants import ACC_LSB, ACC_WIDTH
from hayate.rtl.contract.filters import COUNTS_BIT, INDEX_SHIFT, ROUND_BIT
from hayate.rtl.contract.flits import CONDUCTOR, FlitKind, gather
from hayate.rtl.contract.isa import (
    CHANNELS,
    NEVER,
    NO_ROW,
    ROUNDS_AHEAD,
    ASrc,
    BSrc,
    Mode,
    Op,
    PassWord,
    SendMode,
)
from hayate.rtl.contract.layout import apart, slot_home
from hayate.rtl.contract.words import CANDIDATE, COMMIT, DATA_ADDRESS, LANE, MAX_ADDRESS, PASS_ADDRESS, SUM_ADDRESS
from hayate.verif.tile.vector.filter_golden import FilterGolden

LOWEST = np.float32(np.finfo(np.float32).min)


def bits(values):
    return np.asarray(values, np.float32).view(np.uint32)


def round_sum(acc, exponent):
    """float32 nearest-even of acc * 2**(ACC_LSB + exponent); acc is taken modulo 2**ACC_WIDTH as a signed number."""
    acc &= (1 << ACC_WIDTH) - 1
    acc -= acc >> (ACC_WIDTH - 1) << ACC_WIDTH
    return round_integer(acc, ACC_LSB + exponent)


class VectorGolden:
    """State of the engine; `execute` performs a queue entry. Sent flits (as `vector_driver.understood` gives them),
    trace and saturations pile up in `sent`, `trace`, `saturated`.

    Parameters
    ----------
    lanes, vmem_depth, stage_depth, max_slots: as in `Config`. tile: fields of `TileState`.
    """

    def __init__(self, *, lanes, vmem_depth, stage_depth, max_slots, tile):
        self.lanes, self.tile = lanes, tile
        self.filters = FilterGolden(lanes, index=tile["index"], top_k=tile.get("top_k", 0), min_p=tile.get("min_p", 0))
        self.micro = {}
        self.vmem = np.zeros((lanes, vmem_depth), np.float32)
        self.stage = np.zeros((lanes, stage_depth), np.uint64)
        self.text = np.zeros(max_slots, np.int64)  # local row -> position in the text
        self.nodes = [None] * lanes  # local row of each lane's slot, where this tile holds it
        self.slots = [-1] * lanes  # of each lane
        self.rows = deque()
        self.maxima = np.full((ROUNDS_AHEAD, lanes), LOWEST)
        self.collected = defaultdict(lambda: [0] * lanes)  # (vec, round) -> sum of each lane
        self.sums, self.largest = [0] * lanes, np.full(lanes, LOWEST)
        self.best, self.ranked = [None] * lanes, []  # ranked: lane 0's candidates
        self.levels = [0] * CHANNELS
        self.sent, self.trace, self.saturated = [], [], 0
        self.passes, self.seed = {"positions": 1, "want": 0, "hwm": 0, "second": 0}, 0
        self.lane_states = [{"token": 0, "position": 0, "slot": 0, "ancestors": 0} for _ in range(lanes)]

    def begin(self, lane_states, positions, want, hwm, second=0):
        """A pass; the slots of its lanes come as flits."""
        self.passes, self.lane_states = (
            {"positions": positions, "want": want, "hwm": hwm, "second": second},
            lane_states,
        )

    def receive(self, flit):
        """A flit (dictionary) that the tile takes."""
        addr, word = flit.get("addr", 0), flit.get("data", 0)
        words = gather(flit.get("mask", 0), word)
        match flit["kind"]:
            case FlitKind.DATA if DATA_ADDRESS.unpack(addr)["stage"]:
                at, row = DATA_ADDRESS.unpack(addr)["word"], gather((1 << self.lanes) - 1, word)
                for lane in words:
                    for n, part in row.items():
                        self.stage[lane, at + n] = part
            case FlitKind.SUM if SUM_ADDRESS.unpack(addr)["counts"]:
                for lane, part in words.items():
                    self.filters.receive(lane, addr, part)
            case FlitKind.PASS if flit["chan"] == PassWord.START:
                self.filters.start()
            case FlitKind.SUM:
                at = SUM_ADDRESS.unpack(addr)
                for lane, part in words.items():
                    self.collected[at["vec"], at["round"]][lane] += (part & 0xFFFFFFFF) << 64 if at["high"] else part
            case FlitKind.MAX:
                maxima = self.maxima[MAX_ADDRESS.unpack(addr)["round"]]
                for lane, part in words.items():
                    value = np.uint32(part & 0xFFFFFFFF).view(np.float32)
                    if (value, not np.signbit(value)) > (maxima[lane], not np.signbit(maxima[lane])):
                        maxima[lane] = value
            case FlitKind.SYNC:
                self.levels[flit["chan"]] += 1
            case FlitKind.PASS if flit["chan"] in (PassWord.LANE, PassWord.COMMIT):
                lane = PASS_ADDRESS.unpack(addr)["lane"]
                slot, pos = (COMMIT.unpack(word)[name] for name in ("slot", "position"))
                index, row = slot_home(slot, self.tile["group_size"])
                here = index == self.tile["group_index"]
                second = flit["chan"] == PassWord.LANE and LANE.unpack(word)["second"]
                if here and not second:
                    self.text[row] = pos if flit["chan"] == PassWord.COMMIT else NEVER
                if flit["chan"] == PassWord.LANE:
                    self.nodes[lane] = row if here else None
                    self.slots[lane] = slot

    # Lanes.
    def _lanes(self, entry):
        """(position index, active) per lane."""
        positions = self.passes["positions"]
        if not entry["vec"]:
            return [(k, k < positions) for k in range(self.lanes)]
        vectors = [self._vector(entry, k) for k in range(self.lanes)]
        return [(p, p < positions and head < self.tile["group"]) for head, p in vectors]

    def _vector(self, entry, lane):
        """(query head of the group, position index) of the attention vector of a lane."""
        return divmod(entry["round"] * self.lanes + lane, apart(self.passes["positions"], self.lanes))

    def _hidden(self, lanes, row):
        """Lanes that must not see local slot row `row`."""
        slot = (row // 4 * self.tile["group_size"] + self.tile["group_index"]) * 4 + row % 4
        own = sum(1 << lane for lane, node in enumerate(self.nodes) if node == row)
        # those that the pass does not have are not active
        states = [self.lane_states[p % self.lanes] for p, _ in lanes]
        if self.passes["second"]:
            sees = [max([at for k, at in enumerate(self.slots) if s["ancestors"] >> k & 1], default=-1) for s in states]
            return np.array([slot >= self.passes["hwm"] or slot > last for last in sees])
        return np.array(
            [slot >= self.passes["hwm"] or self.text[row] > s["position"] and not own & s["ancestors"] for s in states]
        )

    # Instructions.
    def ready(self, entry):
        return entry["op"] != Op.V_WAIT or self.levels[entry["chan"]] >= entry["count"]

    def rows_needed(self, entry):
        return entry["n"] * entry["landing"] if entry["op"] == Op.RUN else 0

    def execute(self, entry):
        lanes = self._lanes(entry)
        active = [k for k, (_, a) in enumerate(lanes) if a]
        cast = {name: entry[name] for name in ("lo", "hi", "end", "chan")}
        match entry["op"]:
            case Op.V_WAIT:
                assert self.ready(entry)
                self.levels[entry["chan"]] -= entry["count"]
            case Op.RUN:
                self._run(entry, lanes, np.array([a for _, a in lanes]))
            case Op.SENDSUM:
                totals = {k: self.sums[k] & (1 << ACC_WIDTH) - 1 for k in active}
                of_round = {"vec": entry["vec"], "round": entry["round"] % ROUNDS_AHEAD}
                for half in range(2):
                    words = {k: total >> 64 * half & (1 << 64) - 1 for k, total in totals.items()}
                    self._send(FlitKind.SUM, cast, SUM_ADDRESS.pack(high=half, **of_round), words)
                if not entry["vec"]:
                    self._send(FlitKind.SYNC, cast)
                self.sums = [0] * self.lanes
            case Op.SENDMAX:
                largest = {k: int(bits(self.largest[k])) for k in active}
                self._send(FlitKind.MAX, cast, MAX_ADDRESS.pack(round=entry["round"] % ROUNDS_AHEAD), largest)
                self._send(FlitKind.SYNC, cast)
                self.largest[:] = LOWEST
            case Op.SENDCOUNT:
                addr = 1 << COUNTS_BIT | (self.filters.found & 1) << ROUND_BIT | self.tile["index"] << INDEX_SHIFT
                for half in range(2):
                    self._send(FlitKind.SUM, cast, addr | half, {k: self.filters.sent(k)[half] for k in self._wanted()})
                self._send(FlitKind.SYNC, cast)
                self.filters.counts[:] = 0
            case Op.SELECT:
                self.filters.select(self._wanted())
            case Op.SENDCAND:
                cast |= {"lo": CONDUCTOR, "hi": CONDUCTOR, "end": 0}
                wanted, ranked = self._wanted(), sorted(self.ranked, key=lambda c: (-c[0], c[1]))
                self._send(FlitKind.CAND, cast, 0, {k: self._candidate(self.best[k]) for k in wanted})
                if 0 in wanted and self.passes.get("draft"):
                    self._send(FlitKind.CAND, cast, 1, {0: self._candidate(ranked[1] if len(ranked) > 1 else None)})
                self._send(FlitKind.SYNC, cast)
                self.best, self.ranked = [None] * self.lanes, []

    def _wanted(self):
        """Positions of the pass whose logits are wanted."""
        return [k for k in range(self.passes["positions"]) if self.passes["want"] >> k & 1]

    def _candidate(self, found):
        value, row = found or (LOWEST, NO_ROW)
        return CANDIDATE.pack(value=int(bits(value)), token=row)

    def _send(self, kind, cast, addr=0, words=None):
        """A flit with words by lane; none at all where there could be words but are none."""
        if words != {}:
            self.sent.append({"kind": kind, "addr": addr, "words": words or {}, **cast})

    def _run(self, entry, lanes, active):
        routine = [self.micro[entry["routine"] + k] for k in range(entry["length"])]
        halves, done = [], 0
        while done < entry["n"]:
            size = min(entry["vl"], entry["n"] - done)
            rows = [self.rows.popleft() for _ in range(size * entry["landing"])]
            for micro in routine:
                for i in range(size):
                    self._element(entry, micro, done, i, rows, lanes, active, halves)
            done += size
        if any(m["b_src"] == BSrc.MAXREG and m["op"] in TWO_OPERANDS for m in routine):
            self.maxima[entry["round"] % ROUNDS_AHEAD] = LOWEST
        if entry["send"]:
            self._words(entry, halves, active)

    def _element(self, entry, micro, e, i, rows, lanes, active, halves):
        a = self._operand_a(entry, micro, e, i, rows)
        match micro["b_src"]:
            case BSrc.MAXREG:
                b = self.maxima[entry["round"] % ROUNDS_AHEAD].copy()
            case BSrc.NOISE:
                positions = np.array([s["position"] for s in self.lane_states])
                b = gumbel.noise(self.seed, positions + 1, np.full(self.lanes, entry["row0"] + e + i))
            case _:
                b = self._vmem(micro["b"], micro["b_mode"], entry["slide"] + e, i)
        y, saturated = compute(micro["op"], -a if micro["neg_a"] else a, -b if micro["neg_b"] else b)
        use = active & ~self._hidden(lanes, e + i) if micro["masked"] else active
        y = np.where(use, y, y.dtype.type(0))
        self.saturated += int((saturated & use).sum())
        if micro["d_vm"]:
            at = micro["d"] + (i if micro["d_mode"] else entry["slide"] + e + i)
            self.vmem[:, at] = y
        kept = self.filters.judge(a) if micro["filtered"] else np.ones(self.lanes, bool)
        if micro["d_floor"]:
            self.filters.set_floor(y)
        half, overflows = fp32.to_fp16(y, entry["s_out"])
        if micro["d_send"] or micro["d_square"] or micro["d_sum"]:
            self.saturated += int((overflows & use).sum())
        if micro["d_send"]:
            halves.append(fp16.to_bits(half))
        if micro["d_square"] or micro["d_sum"]:
            for k, value in enumerate(fp16.to_int(half)):
                self.sums[k] += int(value) ** 2 if micro["d_square"] else int(value) << 24
        for k in np.flatnonzero(use):
            if micro["d_max"] and (y[k], not np.signbit(y[k])) > (self.largest[k], not np.signbit(self.largest[k])):
                self.largest[k] = y[k]
            if micro["d_arg"] and kept[k] and k == 0:
                self.ranked.append((y[k], entry["row0"] + e + i))
            if micro["d_arg"] and kept[k] and (self.best[k] is None or y[k] > self.best[k][0]):
                self.best[k] = (y[k], entry["row0"] + e + i)
        if micro["d_log"]:
            wanted = self.passes["want"] & ((1 << self.passes["positions"]) - 1)
            self.trace.append(
                (entry["row0"] + e + i, wanted, [int(v) if ok else None for v, ok in zip(bits(y), active)])
            )

    def _operand_a(self, entry, micro, e, i, rows):
        mode = micro["a_mode"]
        match micro["a_src"]:
            case ASrc.VMEM:
                return self._vmem(micro["a"], mode, entry["slide"] + e, i)
            case ASrc.LANDING:
                return rows[micro["a"] + (8 * (i // 4) + i % 4 if mode == Mode.TEMP else i)]
            case ASrc.STAGE if mode == Mode.STREAM:
                words = self.stage[:, micro["a"] + entry["quad0"] + (e + i) // 4]
                return fp16.from_bits((words >> np.uint64(16 * ((e + i) % 4))).astype(np.uint16)).astype(np.float32)
            case ASrc.STAGE:
                words = self.stage[:, micro["a"] + (e + i) // 2]
                return (words >> np.uint64(32 * ((e + i) % 2))).astype(np.uint32).view(np.float32)
        exponent = 2 * entry["s_in"] if entry["sumscale"] else 0
        collected = self.collected.pop((entry["vec"], entry["round"] % ROUNDS_AHEAD), [0] * self.lanes)
        return np.array([round_sum(c, exponent) for c in collected], np.float32)

    def _vmem(self, base, mode, e, i):
        return self.vmem[:, base + {Mode.STREAM: e + i, Mode.TEMP: i, Mode.SCALAR: 0, Mode.SWAP: i ^ 1}[mode]].copy()

    def _words(self, entry, halves, active):
        """Words of a quad that go to the same address share a flit."""
        hdq = self.tile["hdq"]
        cast = {name: entry[name] for name in ("lo", "hi", "end", "chan")}
        for q in range(len(halves) // 4):
            flits = {}
            for k in map(int, np.flatnonzero(active)):
                lane, addr = k, entry["send_addr"] + q
                if entry["send_mode"] == SendMode.QUERY:
                    v = entry["round"] * apart(self.passes["positions"], self.lanes) + k
                    lane, addr = v % self.lanes, addr + v // self.lanes * hdq
                elif entry["send_mode"] == SendMode.SLOTS:
                    addr = entry["send_addr"] + q * self.tile["group_size"]
                elif entry["send_mode"] == SendMode.OUTPUT:
                    head, lane = self._vector(entry, k)
                    addr += head * hdq
                word = sum(int(halves[4 * q + j][k]) << 16 * j for j in range(4))
                flits.setdefault(addr, {})[lane] = word
            for addr, words in flits.items():
                self._send(FlitKind.DATA, cast, addr, words)
        self._send(FlitKind.SYNC, cast)
