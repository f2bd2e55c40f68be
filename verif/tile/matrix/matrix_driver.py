"""Drives a `MatrixEngine` in a bench: entries, ring traffic and a landing buffer, beside the golden model of the same
engine.
"""

from collections import Counter as Statistics
from itertools import groupby

import numpy as np

from hayate.rtl.contract.constants import ACC_WIDTH
from hayate.rtl.contract.flits import FlitKind, pack_flit, spread, unpack_flit
from hayate.rtl.contract.isa import BANK_SHIFT, Counter, Op, Space
from hayate.verif.bench import params, rng
from hayate.verif.tile.matrix.matrix_golden import EnergyRow, MatrixModel, Pass, Position

#: What `fill` fills with FP16 words. Integer planes lie behind them in the banks, their activations behind them in the
#: buffer.
BANK_DEPTH, ACT_DEPTH = 128, 64
WHOLE_BANK, WHOLE_ACT = 1024, 256
SLOTS, LANDING = 48, 32
SIZES = [
    {"banks": 1, "lanes": 1, "nested": False},
    {"banks": 1, "lanes": 1, "governor": True},
    {"banks": 2, "lanes": 2},
    {"banks": 4, "lanes": 4, "governor": True},
    {"banks": 4, "lanes": 1},
    {"banks": 4, "lanes": 2, "nested": False},
    {"banks": 8, "lanes": 2, "governor": True},
]
BASES = ("base", "lo_base", "hi_base")


def engine(banks, lanes, nested=True, governor=False, inject=False, bank_depth=WHOLE_BANK, max_slots=SLOTS):
    from amaranth.hdl import Module
    from amaranth.lib.wiring import Component, Out, connect, flipped

    from hayate.rtl.tile.matrix.engine import MatrixEngine

    inner = MatrixEngine(
        banks=banks,
        lanes=lanes,
        bank_depth=bank_depth,
        act_depth=WHOLE_ACT,
        max_slots=max_slots,
        landing_depth=LANDING,
        nested=nested,
        governor=governor,
        inject=inject,
    )

    class Top(Component):
        """The engine with `e__` before its ports: `release` is a Verilog keyword, which a top module cannot have as a
        port.
        """

        def __init__(self):
            super().__init__({"e": Out(inner.signature)})

        def elaborate(self, platform):
            m = Module()
            m.submodules.engine = inner
            connect(m, flipped(self.e), inner)
            return m

    return Top()


def nested(parameters):
    """Whether an engine of these parameters reads integer planes."""
    return parameters.get("nested", True)


def macro(**_):
    """The Verilog that goes with an engine of any size."""
    from hayate.rtl.memory.bank import macro_text

    return [macro_text()]


def entry_bits(e):
    """An entry as the engine under test takes it. What it has no fields for must not ask it for anything."""
    from hayate.rtl.tile.queues import MatrixEntry, matrix_entry_layout

    governor = params().get("governor", False)
    assert nested(params()) or not e.get("format"), "planes, which this engine cannot read"
    assert governor or not (e.get("measure") or e.get("dual")), "measured, which this engine cannot"
    bits = MatrixEntry.const({**e, "s_in": e.get("s_in", 0) & 0xFF}).as_bits()
    return bits & (1 << matrix_entry_layout(nested(params()), governor).size) - 1


def halves(random, count):
    """Random finite FP16 patterns of all exponents, a tenth of them zero."""
    return [
        0 if random.random() < 0.1 else random.getrandbits(1) << 15 | random.randrange(31 << 10) for _ in range(count)
    ]


def word(random):
    return sum(h << 16 * i for i, h in enumerate(halves(random, 4)))


def words(random, *shape):
    return np.array([word(random) for _ in range(int(np.prod(shape)))], np.uint64).reshape(shape)


def positions(random, now):
    """`now` with as many positions as there are lanes, or fewer, in slots of their own."""
    count = random.randrange(1, params()["lanes"] + 1)
    slots = random.sample(range(SLOTS), count)
    now.positions = [Position(random.randrange(40), random.randrange(200), s) for s in slots]
    now.want = random.getrandbits(8)
    return now


class Driver:
    """The engine under test and its surroundings.

    Parameters of `begin`: `pause` and `stall` as in `Source` and `Sink`; `hold` is the probability that a cycle
    releases no landing row (1.0: none ever); `depth`: bank words that the model has, the last ones of a bank, where
    address 0 of its entries lies.

    Of each cycle since `begin`: `causes` has what `cause` showed in it, `rows` and `row_cycles` the rows that came and
    when, `no_rows` when a GEMV of no rows had its turn, `taken` when an entry was taken, `synced` when a SYNC was
    shown.
    """

    @classmethod
    async def begin(cls, dut, *, pause=0.25, stall=0.25, hold=0.5, now=None, depth=WHOLE_BANK):
        import cocotb

        from hayate.verif.bench.drivers import Sink, Source, start

        self = cls()
        self.dut, self.hold = dut, hold
        self.banks, self.lanes = params()["banks"], params()["lanes"]
        self.model = MatrixModel(self.banks, self.lanes, depth, WHOLE_ACT)
        self.bottom = params().get("bank_depth", depth) - depth
        self.nested = nested(params())
        self.governor, self.energies, self.energy_cycles, self.free = (
            params().get("governor", False),
            [],
            [],
            BANK_DEPTH,
        )
        self.cycle, self.causes, self.rows, self.row_cycles, self.flits_in = 0, [], [], [], []
        self.no_rows = []
        self.useful, self.strobes, self.waiting, self.taken, self.synced = Statistics(), Statistics(), 0, [], []
        self._random = rng("surroundings")
        await start(dut)
        self.source, self.sink = Source(dut, "e__entry", pause=pause), Sink(dut, "e__tx", stall=stall)
        self.show(now or Pass())
        cocotb.start_soon(self._surroundings())
        return self

    def show(self, now: Pass):
        from hayate.rtl.tile.queues import LaneState, PassState, TileState

        self.now = now
        self.dut.e__current__state.value = PassState.const(
            {"positions": len(now.positions), "counted": now.want}
        ).as_bits()
        self.dut.e__current__tile.value = TileState.const(
            {"count": now.tiles, "group_size": now.group_size, "group_index": now.group_index}
        ).as_bits()
        for k, p in enumerate(now.positions):
            getattr(self.dut, f"e__current__lanes__{k}").value = LaneState.const(
                {"token": p.token, "position": p.pos, "slot": p.slot}
            ).as_bits()

    async def _surroundings(self):
        from hayate.verif.bench.drivers import clock

        dut, random = self.dut, self._random
        strobes = {name: getattr(dut, f"e__{name}") for name in ("corrected", "uncorrectable", "parity")}
        row = [getattr(dut, f"e__rows__values__{k}") for k in range(self.lanes)]
        while True:
            flit = self.flits_in.pop(0) if self.flits_in else None
            dut.e__rx_valid.value = int(flit is not None)
            if flit is not None:
                dut.e__rx.value = flit
            release = 0
            while release < self.waiting and random.random() >= self.hold:
                release += 1
            self.waiting -= release
            dut.e__rows__freed.value = release
            await clock(dut)
            if int(dut.e__entry__valid.value) and int(dut.e__entry__ready.value):
                self.taken.append(self.cycle)
            if flit is not None and unpack_flit(flit, self.lanes)["kind"] == FlitKind.SYNC:
                self.synced.append(self.cycle)
            self.causes.append(Counter(int(dut.e__cause.value)))
            self.useful[int(dut.e__useful_kv.value)] += int(dut.e__useful.value)
            for name, handle in strobes.items():
                self.strobes[name] += int(handle.value)
            if int(dut.e__rows__none.value):
                self.no_rows.append(self.cycle)
            if int(dut.e__rows__valid.value):
                self.rows.append([int(handle.value) for handle in row])
                self.row_cycles.append(self.cycle)
                self.waiting += 1
                assert self.waiting <= LANDING, "more rows than the landing buffer holds"
            if self.governor and int(dut.e__measured__valid.value):
                self.energies.append(self.energy_row())
                self.energy_cycles.append(self.cycle)
            self.cycle += 1

    def energy_row(self):
        from hayate.rtl.tile.queues import Grids

        dut = self.dut

        def lanes(bits):
            values = [bits >> ACC_WIDTH * k & (1 << ACC_WIDTH) - 1 for k in range(self.lanes)]
            return [v - (v >> ACC_WIDTH - 1 << ACC_WIDTH) for v in values]

        lows = lanes(int(dut.e__measured__lows.value)) if int(dut.e__measured__low_valid.value) else None
        return EnergyRow(
            int(dut.e__measured__difference.value),
            int(dut.e__measured__mask.value),
            int(dut.e__measured__planes.value),
            Grids.from_bits(int(dut.e__measured__grids.value)),
            lanes(int(dut.e__measured__sums.value)),
            lows,
        )

    # Ring traffic. The golden memories follow at once.
    def load(self, bank, base, values):
        """Host load of consecutive words of one bank."""
        for i, value in enumerate(values):
            addr = bank << BANK_SHIFT | self.bottom + base + i
            self.flits_in.append(pack_flit(self.lanes, kind=FlitKind.LOAD, chan=Space.BANK, addr=addr, data=int(value)))
            self.model.bank[bank, base + i] = value

    def fill(self, random, depth=BANK_DEPTH):
        for b in range(self.banks):
            self.load(b, 0, words(random, depth))
        self.write_act({k: words(random, ACT_DEPTH) for k in range(self.lanes)}, 0)

    def write_act(self, values, base):
        """values: lane -> words, as many of each."""
        for lane, of_lane in values.items():
            self.model.act[lane, base : base + len(of_lane)] = of_lane
        for i, flit in enumerate(zip(*values.values(), strict=True)):
            some = spread({lane: int(word) for lane, word in zip(values, flit, strict=True)})
            self.flits_in.append(pack_flit(self.lanes, kind=FlitKind.DATA, addr=base + i, **some))

    def sync(self, chan):
        self.flits_in.append(pack_flit(self.lanes, kind=FlitKind.SYNC, chan=chan))

    async def quiet(self):
        """Wait until all traffic is in."""
        from hayate.verif.bench.drivers import clock

        while self.flits_in:
            await clock(self.dut)
        await clock(self.dut, 4)

    async def idle(self, limit=20_000):
        """Wait until everything queued has been executed, and its rows and flits are out."""
        from hayate.verif.bench.drivers import clock

        await self.source.drained()
        for _ in range(limit):
            await clock(self.dut)
            if not int(self.dut.e__busy.value):
                await clock(self.dut, 2)
                return
        raise AssertionError(f"still busy after {limit} cycles")

    async def execute(self, entries):
        """Run entries on the engine and the model, to the end, and compare rows and flits."""
        rows, flits = [], []
        for e in entries:
            self.source.put(entry_bits(e | {name: self.bottom + e.get(name, 0) for name in BASES}))
            more, sent = self.model.run(e, self.now)
            rows += [list(r) for r in more]
            flits += sent
        await self.idle()
        self.check(rows, flits)

    async def spans(self, entries):
        """Run entries, offered back to back, on the engine alone: [(cause, cycles)] between the idle cycles at either
        end.
        """
        start = len(self.causes)
        self.source.put(*(entry_bits(e) for e in entries))
        await self.idle()
        spans = [(cause, len(list(same))) for cause, same in groupby(self.causes[start:])]
        while spans and spans[0][0] == Counter.ISSUE:
            spans.pop(0)
        while spans and spans[-1][0] == Counter.ISSUE:
            spans.pop()
        self.sink.data.clear()
        self.energies.clear()
        return spans

    def first_word(self):
        """The cycle of the first weight word; `cause` tells of the cycle before it is shown in."""
        return self.causes.index(Counter.WEIGHT) - 1

    def check(self, rows, flits):
        """Compare what came out since the last check with what had to, and forget it."""
        got = np.array(self.rows, np.uint32).reshape(len(self.rows), self.lanes)
        expected = np.array(rows, np.float32).reshape(len(rows), self.lanes)
        assert len(got) == len(expected), f"{len(got)} rows, expected {len(expected)}"
        wrong = np.flatnonzero((got != expected.view(np.uint32)).any(axis=1))
        assert not len(wrong), f"row {wrong[0]}: {got[wrong[0]]}, expected {expected.view(np.uint32)[wrong[0]]}"
        assert len(self.sink.data) == len(flits), f"{len(self.sink.data)} flits, expected {len(flits)}"
        assert not any((got ^ flit) & care for got, (flit, care) in zip(self.sink.data, flits)), "flits differ"
        assert self.energies == self.model.energies, "sums for the governor differ"
        self.energies.clear()
        self.energy_cycles.clear()
        self.model.energies.clear()
        self.rows.clear()
        self.row_cycles.clear()
        self.sink.data.clear()

    def shape(self, random):
        """A GEMV of random shape inside the filled memories."""
        rows = random.choice([1, random.randrange(1, 2 * self.banks + 2), random.randrange(1, 24)])
        length = random.choice([1, 2, random.randrange(1, 12)])
        stride = length + random.choice([0, 0, 2])
        rows = min(rows, (BANK_DEPTH // stride) * self.banks)
        room = BANK_DEPTH - stride * -(-rows // self.banks)
        return {
            "op": Op.GEMV,
            "base": random.randrange(room + 1),
            "words": stride,
            "length": length,
            "rows": rows,
            "live": random.randrange(rows + 1),
            "act": random.randrange(ACT_DEPTH // 2 - length),
            "kv": random.getrandbits(1),
            "s_in": random.randrange(-20, 21),
        }
