"""The governor against the rule in integers, with a model of the tiles behind it: any order of answers, stalls, ties,
noise.
"""

import cocotb

from hayate.golden.conductor.governor import decide
from hayate.rtl.conductor.governor import DECISION, Governor
from hayate.rtl.contract.flits import CONDUCTOR, FlitKind
from hayate.rtl.contract.isa import ENERGY_BIT, PRECISION_BIT, Energy, Space
from hayate.rtl.contract.precision import Format
from hayate.rtl.contract.topology import stop_of
from hayate.rtl.ring.flit import Flit
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import Sink, clock, start
from hayate.verif.bench.reset import resets

BENCH = Bench(lambda tiles: Governor(tiles=tiles, matrices=20), params=[{"tiles": 1}, {"tiles": 2}, {"tiles": 4}])
ALL = dict(lo=1, hi=CONDUCTOR - 1)
TIME = 36  # cycles of a matrix when the rule takes longer than the answers


def rule(sums, fp16, sens_err, sens_int8_err, knob):
    out, err, half = sums
    if fp16 and sens_int8_err * half * 2**16 > knob * out:
        return Format.FP16
    return Format.INT8 if sens_err * err * 2**16 > knob * out else Format.INT4


class Case:
    """A table, a knob, and what each tile answers."""

    def __init__(self, r, count):
        self.knob = r.choice([0, 1, (1 << 32) - 1, r.getrandbits(32), r.getrandbits(8)])
        self.planes = r.sample(range(1 << 12), count)
        self.entries, self.totals = [], {}
        for planes in self.planes:
            fp16, sens = (
                r.getrandbits(1),
                [r.choice([0, 1, (1 << 32) - 1, r.getrandbits(r.randrange(1, 33))]) for _ in range(2)],
            )
            out, err, half = (r.getrandbits(r.randrange(1, 65)) for _ in range(3))
            if r.random() < 0.6:  # a tie, or one above or below it
                err, half = ((r.getrandbits(20) * max(self.knob, 1)) for _ in range(2))
                sens = [r.getrandbits(8), r.getrandbits(8)]
                which = r.randrange(2)
                out = sens[which] * (err, half)[which] * 2**16 // max(self.knob, 1) + r.randrange(-1, 2)
                out = min(max(out, 0), params()["tiles"] * ((1 << 64) - 1))
            self.entries.append((fp16, *sens))
            for kind, total in zip(Energy, (out, err, half)):
                self.totals[planes, kind] = split(r, total)

    def sums(self, i):
        return [sum(self.totals[self.planes[i], kind]) for kind in Energy]

    def decisions(self):
        found = [rule(self.sums(i), *entry, self.knob) for i, entry in enumerate(self.entries)]
        assert found == [decide(self.sums(i), sens, fp16, self.knob) for i, (fp16, *sens) in enumerate(self.entries)]
        return found

    async def load(self, dut):
        for i, (planes, (fp16, sens_err, sens_int8_err)) in enumerate(zip(self.planes, self.entries)):
            for half, word in enumerate((planes | fp16 << 12, sens_err | sens_int8_err << 32)):
                dut.load__enable.value, dut.load__address.value, dut.load__data.value = 1, 2 * i + half, word
                await clock(dut)
        dut.load__enable.value = 0
        dut.count.value, dut.knob.value = len(self.planes), self.knob


def split(r, total):
    """`total` as a sum of 64-bit parts, one for each tile."""
    parts, left = [], total
    for others in reversed(range(params()["tiles"])):
        most = (1 << 64) - 1
        parts.append(left if not others else r.randrange(max(0, left - others * most), min(left, most) + 1))
        left -= parts[-1]
    return parts


class Tiles:
    """Takes the governor's flits; each tile answers questions in order, the answers of different tiles mix, other flits
    come between.
    """

    def __init__(self, dut, r, case, *, stall, noise):
        self.dut, self.r, self.case, self.noise = dut, r, case, noise
        self.sink = Sink(dut, "ring__tx", stall=stall)
        self.waiting = [[] for _ in range(params()["tiles"])]
        self.decided, self.asked = [], 0
        cocotb.start_soon(self._listen())
        cocotb.start_soon(self._answer())

    async def _listen(self):
        while True:
            flit = Flit.from_bits((await self.sink.take(1))[0])
            assert (flit.lo, flit.hi) == (ALL["lo"], ALL["hi"])
            if flit.kind == FlitKind.READ:
                assert flit.chan == Space.COUNTER and flit.addr >> ENERGY_BIT == 1
                self.asked += 1
                for queue in self.waiting:
                    queue.append(flit.addr)
                    assert len(queue) <= 3
            else:
                assert (flit.kind, flit.chan) == (FlitKind.LOAD, Space.CSR) and flit.addr >> PRECISION_BIT == 1
                self.decided.append((flit.addr & (1 << PRECISION_BIT) - 1, Format(flit.data)))

    async def _answer(self):
        dut, r = self.dut, self.r
        while True:
            ready = [t for t, queue in enumerate(self.waiting) if queue]
            if r.random() < self.noise:
                host = {
                    "kind": FlitKind.READ,
                    "lo": CONDUCTOR,
                    "hi": CONDUCTOR,
                    "chan": Space.COUNTER,
                    "addr": r.randrange(16),
                }
                own = {"kind": FlitKind.READ, **ALL, "chan": Space.COUNTER, "addr": 1 << ENERGY_BIT | r.getrandbits(12)}
                other = {
                    "kind": r.choice([FlitKind.SYNC, FlitKind.CAND]),
                    "lo": CONDUCTOR,
                    "hi": CONDUCTOR,
                    "addr": 1 << ENERGY_BIT,
                }
                fields = {**r.choice([host, own, other]), "data": r.getrandbits(64)}
            elif ready and r.random() >= self.noise:
                tile = r.choice(ready)
                addr = self.waiting[tile].pop(0)
                total = self.case.totals[addr >> 2 & (1 << PRECISION_BIT) - 1, Energy(addr & 3)][tile]
                fields = {
                    "kind": FlitKind.READ,
                    "src": stop_of(tile),
                    "lo": CONDUCTOR,
                    "hi": CONDUCTOR,
                    "chan": Space.COUNTER,
                    "addr": addr,
                    "data": total,
                }
            else:
                fields = None
            dut.ring__rx__valid.value = int(fields is not None)
            if fields:
                dut.ring__rx__payload.value = Flit.const(fields).as_bits()
            await clock(dut)


async def run(dut, limit=20000):
    """Cycles from `start` to the end."""
    dut.start.value = 1
    await clock(dut)
    dut.start.value = 0
    for cycle in range(limit):
        await clock(dut)
        if not int(dut.busy.value):
            return cycle
    raise AssertionError("the governor does not end")


async def look(dut, matrix, kind):
    dut.look__strobe.value, dut.look__matrix.value, dut.look__kind.value = 1, matrix, int(kind)
    await clock(dut)
    dut.look__strobe.value = 0
    await clock(dut, 3)
    return int(dut.look__result.value)


@BENCH.test()
@resets(within=400)
async def decisions_equal_the_rule(dut):
    await start(dut)
    r = rng("cases")
    tiles = Tiles(dut, r, None, stall=0.3, noise=0.3)
    seen = set()
    for count in (1, 20, 0, 7, 20):
        tiles.case = case = Case(r, count)
        tiles.decided.clear()
        tiles.asked = 0
        await case.load(dut)
        await run(dut)
        await clock(dut, 4)
        assert tiles.asked == 3 * count
        assert tiles.decided == list(zip(case.planes, case.decisions()))
        seen |= set(case.decisions())
        for i in r.sample(range(count), count):
            assert [await look(dut, i, kind) for kind in Energy] == [s & (1 << 64) - 1 for s in case.sums(i)]
            assert await look(dut, i, DECISION) == case.decisions()[i]
        assert int(dut.fault.value) == 0
    assert seen == set(Format)


@BENCH.test()
async def results_can_be_read_meanwhile(dut):
    """A read gives the word of this run or of the one before it, and never a fault."""
    await start(dut)
    r = rng("cases")
    tiles = Tiles(dut, r, Case(r, 20), stall=0.1, noise=0.1)
    old = tiles.case
    await old.load(dut)
    await run(dut)
    tiles.case = new = Case(r, 20)
    await new.load(dut)
    running = cocotb.start_soon(run(dut))
    while not running.done():
        i, kind = r.randrange(20), r.choice(list(Energy))
        dut.look__strobe.value, dut.look__matrix.value, dut.look__kind.value = 1, i, int(kind)
        await clock(dut)
        dut.look__strobe.value = 0
        await clock(dut, 6)
        assert int(dut.look__result.value) in {case.sums(i)[kind] & (1 << 64) - 1 for case in (old, new)}
        assert int(dut.fault.value) == 0


@BENCH.test()
async def time_is_as_stated(dut):
    await start(dut)
    r = rng("cases")
    Tiles(dut, r, case := Case(r, 20), stall=0, noise=0)
    await case.load(dut)
    times = []
    for count in (0, 1, 2, 20):
        dut.count.value = count
        times.append(await run(dut))
    cocotb.log.info("cycles of 0, 1, 2, 20 matrices: %s", times)
    assert times[3] - times[2] == 18 * (times[2] - times[1]) == 18 * TIME
