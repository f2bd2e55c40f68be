"""The sender: flits of random jobs in order, none lost under back-pressure, one per cycle without."""

import cocotb
import numpy as np

from hayate.rtl.contract.flits import CONDUCTOR, FlitKind, unpack_flit
from hayate.rtl.contract.isa import ACT_BITS, CHANNELS, ROUNDS_AHEAD, SendMode
from hayate.rtl.contract.words import CANDIDATE
from hayate.rtl.tile.queues import TileState
from hayate.rtl.tile.vector.sender import COUNTED, QUADS, Sender, job_layout
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import Sink, Source, clock, settle, start
from hayate.verif.bench.reset import resets
from hayate.verif.tile.vector.vector_driver import now, packed
from hayate.verif.tile.vector.vector_golden import VectorGolden
from hayate.verif.tile.vector.vector_scenario import geometry

BENCH = Bench(
    Sender,
    params=[{"lanes": 1}, {"lanes": 2, "counts": True}, {"lanes": 4, "counts": True}, {"lanes": 8, "counts": True}],
    optimize="-O0",
)


class Jobs:
    """Jobs with their halves, and the flits that they must give."""

    def __init__(self, dut, r, *, stall, pause, tile=None):
        self.dut, self.r, self.lanes, self.pause = dut, r, params()["lanes"], pause
        self.tile = tile or geometry(r)
        self.golden = VectorGolden(lanes=self.lanes, vmem_depth=4, stage_depth=4, max_slots=4, tile=self.tile)
        dut.tile.value = packed(TileState, self.tile)
        self.jobs, self.sink = Source(dut, "job", pause=pause), Sink(dut, "tx", stall=stall)
        self.halves, self.done = [], 0
        counts = [("counts", 128)] if params().get("counts") else []
        self.pair, self.second = r.getrandbits(1), (r.getrandbits(32), r.getrandbits(20))
        dut.maxima_valid.value = 1
        dut.pair.value, (dut.second.value, dut.second_row.value) = self.pair, self.second
        for name, width in (("sums", 96), ("maxima", 32), ("best", 32), ("rows", 20), *counts):
            values = [r.getrandbits(width) for _ in range(self.lanes)]
            setattr(self, name, values)
            for k, value in enumerate(values):
                getattr(dut, f"{name}__{k}").value = value

    def put(self, **fields):
        lo = self.r.randrange(255)
        job = {
            "mode": 0,
            "addr": self.r.getrandbits(ACT_BITS),
            "lo": lo,
            "hi": lo + 1,
            "end": self.r.choice([0, 200]),
            "chan": self.r.randrange(CHANNELS),
            "quads": 0,
            "round": self.r.randrange(256),
            "active": self.r.getrandbits(self.lanes),
            **fields,
        }
        self.jobs.put(packed(job_layout(self.lanes), job))
        active = np.array([job["active"] >> k & 1 for k in range(self.lanes)], bool)
        cast = {name: job[name] for name in ("lo", "hi", "end", "chan")}
        if job["kind"] == FlitKind.DATA:
            halves = [
                np.array([self.r.getrandbits(16) for _ in range(self.lanes)], np.uint16)
                for _ in range(4 * job["quads"])
            ]
            self.halves += halves
            entry = {"send_mode": job["mode"], "send_addr": job["addr"], "round": job["round"], **cast}
            self.golden._words(entry, halves, None, active)
            return
        counted = job["kind"] == FlitKind.SUM and job["mode"] == COUNTED
        for k in map(int, np.flatnonzero(active)):
            addr, total = (job["addr"], self.counts[k]) if counted else (0, self.sums[k])
            values = {
                FlitKind.SUM: [(addr | h, total >> 64 * h & (1 << 64) - 1) for h in range(2)],
                FlitKind.MAX: [(job["round"] % ROUNDS_AHEAD, self.maxima[k])],
                FlitKind.CAND: [(0, CANDIDATE.pack(value=self.best[k], token=self.rows[k]))],
            }[job["kind"]]
            if job["kind"] == FlitKind.CAND and self.pair and k == 0:
                values.append((1, CANDIDATE.pack(value=self.second[0], token=self.second[1])))
            for addr, word in values:
                self.golden._send(job["kind"], cast, lane=k, addr=addr, data=word)
        self.golden._send(FlitKind.SYNC, cast)
        self.done += 1

    async def feed(self):
        """Push the halves of all jobs, a quad only when there is credit; returns the cycle of the last one."""
        dut = self.dut
        for i, half in enumerate(self.halves):
            while True:
                await settle()
                if self.r.random() >= self.pause and (i % 4 or int(dut.credit.value)):
                    break
                await clock(dut)
            dut.half_valid.value, dut.reserve.value = 1, i % 4 == 0
            for k in range(self.lanes):
                getattr(dut, f"halves__{k}").value = int(half[k])
            await clock(dut)
            dut.half_valid.value, dut.reserve.value = 0, 0
        self.halves = []
        return now()

    async def compare(self):
        got = [unpack_flit(w) for w in await self.sink.take(len(self.golden.sent))]
        for k, (flit, wanted) in enumerate(zip(got, self.golden.sent)):
            assert {n: v for n, v in flit.items() if n != "src"} == wanted, k
        await clock(self.dut, 5)
        assert not self.sink.data and not int(self.dut.busy.value)


@BENCH.test(limit=60_000)
@resets(within=300)
async def random_jobs(dut):
    r = rng()
    await start(dut)
    bench = Jobs(dut, r, stall=0.4, pause=0.2)
    for _ in range(60):
        kind = r.choice([FlitKind.DATA, FlitKind.DATA, FlitKind.SUM, FlitKind.MAX, FlitKind.CAND])
        vectors = bench.lanes << bench.tile["gp_log2"]
        mode = (
            r.choice(list(SendMode))
            if kind == FlitKind.DATA
            else r.choice([0, COUNTED])
            if params().get("counts")
            else 0
        )
        J = r.randrange(bench.tile["group"] if mode == SendMode.QUERY else -(-vectors // bench.lanes))
        even = {"addr": 2 * r.getrandbits(ACT_BITS - 1)} if kind == FlitKind.SUM and mode == COUNTED else {}
        bench.put(kind=kind, mode=mode, quads=r.choice([0, 1, 2, 5, 30]), round=J, **even)
    dones = [0]

    async def count():
        while True:
            await clock(dut)
            dones.append(int(dut.done.value))

    async def maxima():
        while True:
            dut.maxima_valid.value = int(not dones[-1] and (int(dut.maxima_valid.value) or r.random() < 0.1))
            await clock(dut)

    cocotb.start_soon(count())
    cocotb.start_soon(maxima())
    await bench.feed()
    await bench.compare()
    assert sum(dones) == bench.done > 5


@BENCH.test(limit=20_000)
@resets(within=150)
async def nothing_is_lost_when_the_ring_stands_still(dut):
    """Credit ends after QUADS quads and comes back."""
    await start(dut)
    bench = Jobs(dut, rng(), stall=1, pause=0)
    bench.put(kind=FlitKind.DATA, quads=3 * QUADS, active=(1 << bench.lanes) - 1)
    task = cocotb.start_soon(bench.feed())
    await clock(dut, 20 * QUADS)
    assert not task.done() and not int(dut.credit.value) and len(bench.halves) == 12 * QUADS
    bench.sink.stall = 0
    await task
    await bench.compare()


@BENCH.test()
async def cycles(dut):
    """A flit per cycle without a gap; a quad's first flit 3 cycles after its last half."""
    await start(dut)
    bench = Jobs(dut, rng(), stall=0, pause=0)
    lanes = bench.lanes
    bench.put(kind=FlitKind.DATA, quads=1, active=1)
    last = await bench.feed()
    while not int(dut.tx__valid.value):
        await clock(dut)
    assert now() - last == 3
    await clock(dut, 20)
    bench.put(kind=FlitKind.SUM, active=(1 << lanes) - 1)
    bench.put(kind=FlitKind.MAX, active=(1 << lanes) - 1, lo=CONDUCTOR, hi=CONDUCTOR)
    while not int(dut.tx__valid.value):
        await clock(dut)
    busy = 0
    while int(dut.busy.value):
        busy += int(dut.tx__valid.value)
        await clock(dut)
    assert busy == (2 * lanes + 1) + (lanes + 1)
    await bench.compare()
