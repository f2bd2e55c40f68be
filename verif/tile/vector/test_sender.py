"""The sender: flits of random jobs in order, none lost under back-pressure, one per cycle without; a quad of all lanes
in one flit.
"""

import cocotb
import numpy as np

from hayate.rtl.contract.flits import CONDUCTOR, FlitKind
from hayate.rtl.contract.isa import ACT_BITS, CHANNELS, ROUNDS_AHEAD, SendMode
from hayate.rtl.contract.layout import apart, rounds
from hayate.rtl.contract.words import CANDIDATE, MAX_ADDRESS, SUM_ADDRESS
from hayate.rtl.tile.queues import TileState
from hayate.rtl.tile.vector.sender import COUNTED, QUADS, Sender, job_layout
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import Sink, Source, clock, record, settle, start
from hayate.verif.bench.reset import resets
from hayate.verif.tile.vector.vector_driver import now, packed, understood
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
        self.begin(r.randint(1, self.lanes), pair=r.getrandbits(1))
        self.jobs, self.sink = Source(dut, "job", pause=pause), Sink(dut, "tx", stall=stall)
        self.halves, self.done = [], []
        counts = [("counts", 128)] if params().get("counts") else []
        self.second = r.getrandbits(32), r.getrandbits(20)
        dut.maxima_valid.value = dut.sums_valid.value = 1
        dut.second.value, dut.second_row.value = self.second
        for name, width in (("sums", 96), ("maxima", 32), ("best", 32), ("rows", 20), *counts):
            values = [r.getrandbits(width) for _ in range(self.lanes)]
            setattr(self, name, values)
            for k, value in enumerate(values):
                getattr(dut, f"{name}__{k}").value = value

    def begin(self, positions, pair=0):
        """The next jobs belong to a pass of so many positions, which drafts if `pair`. Nothing may be on its way."""
        self.positions, self.pair = positions, pair
        self.golden.passes["positions"] = self.dut.positions.value = positions
        self.dut.pair.value = pair

    def possible(self, mode, J):
        """Lanes that hold something in a DATA job of this mode and round: positions, or attention vectors."""
        match mode:
            case SendMode.QUERY:
                return range(self.positions)
            case SendMode.OUTPUT:
                vectors = [divmod(J * self.lanes + k, apart(self.positions, self.lanes)) for k in range(self.lanes)]
                return [k for k, (head, p) in enumerate(vectors) if head < self.tile["group"] and p < self.positions]
        return range(self.lanes)

    def put(self, halves=None, **fields):
        """A job; what `fields` leaves out, and the halves of its quads, are random."""
        lo = self.r.randrange(255)
        job = {
            "mode": 0,
            "addr": self.r.randrange((1 << ACT_BITS) - 256),  # where none wraps
            "lo": lo,
            "hi": lo + 1,
            "end": self.r.choice([0, 200]),
            "chan": self.r.randrange(CHANNELS),
            "quads": 0,
            "round": self.r.randrange(256),
            "active": self.r.getrandbits(self.lanes),
            **fields,
        }
        counted = job["kind"] == FlitKind.SUM and job["mode"] == COUNTED
        job.setdefault("vec", 0 if counted else self.r.getrandbits(1))
        self.jobs.put(packed(job_layout(self.lanes), job))
        active = np.array([job["active"] >> k & 1 for k in range(self.lanes)], bool)
        cast = {name: job[name] for name in ("lo", "hi", "end", "chan")}
        if job["kind"] == FlitKind.DATA:
            halves = halves or [
                np.array([self.r.getrandbits(16) for _ in range(self.lanes)], np.uint16)
                for _ in range(4 * job["quads"])
            ]
            self.halves += halves
            entry = {"send_mode": job["mode"], "send_addr": job["addr"], "round": job["round"], **cast}
            self.golden._words(entry, halves, active)
            return
        lanes = [int(k) for k in np.flatnonzero(active)]
        round_ = job["round"] % ROUNDS_AHEAD
        addr = job["addr"] if counted else SUM_ADDRESS.pack(round=round_, vec=job["vec"])
        totals = self.counts if counted else self.sums
        candidates = zip(self.best, self.rows)
        flits = {
            FlitKind.SUM: [(addr | h, [total >> 64 * h & (1 << 64) - 1 for total in totals]) for h in range(2)],
            FlitKind.MAX: [(MAX_ADDRESS.pack(round=round_), self.maxima)],
            FlitKind.CAND: [(0, [CANDIDATE.pack(value=value, token=row) for value, row in candidates])],
        }[job["kind"]]
        for addr, words in flits:
            self.golden._send(job["kind"], cast, addr, {k: words[k] for k in lanes})
        if job["kind"] == FlitKind.CAND and self.pair and 0 in lanes:
            self.golden._send(job["kind"], cast, 1, {0: CANDIDATE.pack(value=self.second[0], token=self.second[1])})
        if job["kind"] != FlitKind.SUM or not job["vec"]:
            self.golden._send(FlitKind.SYNC, cast)
        self.done.append(job["kind"])

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
        """All flits of the jobs so far, which are as they must be, and no more of them."""
        got = [understood(w, self.lanes) for w in await self.sink.take(len(self.golden.sent))]
        for k, (flit, wanted) in enumerate(zip(got, self.golden.sent)):
            assert flit == wanted, k
        await clock(self.dut, 5)
        for _ in range(200):  # a job without a flit may be left, which waits for sums
            if not int(self.dut.busy.value):
                break
            await clock(self.dut)
        assert not self.sink.data and not int(self.dut.busy.value)
        self.golden.sent.clear()
        return got


def put_random_job(bench):
    r = bench.r
    kind = r.choice([FlitKind.DATA, FlitKind.DATA, FlitKind.SUM, FlitKind.MAX, FlitKind.CAND])
    mode = (
        r.choice(list(SendMode)) if kind == FlitKind.DATA else r.choice([0, COUNTED]) if params().get("counts") else 0
    )
    group = bench.tile["group"]
    J = r.randrange(group if mode == SendMode.QUERY else rounds(bench.positions, group, bench.lanes))
    more = {"addr": 2 * r.getrandbits(ACT_BITS - 1)} if kind == FlitKind.SUM and mode == COUNTED else {}
    if kind == FlitKind.DATA:
        possible = sum(1 << k for k in bench.possible(mode, J))
        more = {"active": r.choice([r.getrandbits(bench.lanes), (1 << bench.lanes) - 1]) & possible}
    bench.put(kind=kind, mode=mode, quads=r.choice([0, 1, 2, 5, 30]), round=J, **more)


@BENCH.test(limit=60_000)
@resets(within=300)
async def random_jobs(dut):
    r = rng()
    await start(dut)
    bench = Jobs(dut, r, stall=0.4, pause=0.2)
    dones = [None]

    async def count():
        while True:
            await clock(dut)
            dones.append(int(dut.done_kind.value) if int(dut.done.value) else None)

    async def aside(valid, kind):
        while True:
            valid.value = int(dones[-1] != kind and (int(valid.value) or r.random() < 0.1))
            await clock(dut)

    cocotb.start_soon(count())
    cocotb.start_soon(aside(dut.maxima_valid, FlitKind.MAX))
    cocotb.start_soon(aside(dut.sums_valid, FlitKind.SUM))
    for n in range(5):
        bench.begin(r.randint(1, bench.lanes), pair=n % 2)
        for _ in range(12):
            put_random_job(bench)
        bench.put(kind=FlitKind.CAND, active=(1 << bench.lanes) - 1)
        await bench.feed()
        await bench.compare()
    assert [kind for kind in dones if kind is not None] == bench.done and len(bench.done) > 5


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


@BENCH.test(limit=60_000)
async def attention_of_any_number_of_positions(dut):
    """Queries go from positions to attention vectors, and outputs back, with a flit for each quad of each query head.

    Positions that are no power of two are as the next power of two of which the last ones are not active.
    """
    r = rng()
    await start(dut)
    bench = Jobs(dut, r, stall=0.2, pause=0)
    lanes, quads = bench.lanes, 2
    for positions in range(1, lanes + 1):
        bench.tile["group"] = group = r.randint(1, 8)
        bench.begin(positions)
        jobs = [
            {"mode": mode, "round": J, "active": sum(1 << k for k in bench.possible(mode, J))}
            for mode, count in ((SendMode.QUERY, group), (SendMode.OUTPUT, rounds(positions, group, lanes)))
            for J in range(count)
        ]
        where = {"addr": r.getrandbits(8), "lo": 3, "hi": 7, "end": 5, "chan": 1}
        halves = [
            [np.array([r.getrandbits(16) for _ in range(lanes)], np.uint16) for _ in range(4 * quads)] for _ in jobs
        ]
        found = []
        for pretended in sorted({positions, apart(positions, lanes)}):
            bench.begin(pretended)
            for job, those in zip(jobs, halves):
                bench.put(those, kind=FlitKind.DATA, quads=quads, **job, **where)
            await bench.feed()
            found.append([flit for flit in await bench.compare() if flit["kind"] == FlitKind.DATA])
        assert found[0] == found[-1] and len(found[0]) == 2 * quads * group
        for n, flit in enumerate(found[0]):  # queries, then outputs, which come back head by head
            first = n // quads * next(p for p in (1, 2, 4, 8) if p >= positions) % lanes if n < quads * group else 0
            assert sorted(flit["words"]) == [first + k for k in range(positions)], (positions, n)


@BENCH.test()
async def cycles(dut):
    """A flit per cycle without a gap, and one cycle more for every job; a quad's first flit 3 cycles after its last
    half.
    """
    await start(dut)
    bench = Jobs(dut, rng(), stall=0, pause=0)
    lanes = bench.lanes
    bench.put(kind=FlitKind.DATA, quads=1, active=1)
    last = await bench.feed()
    while not int(dut.tx__valid.value):
        await clock(dut)
    assert now() - last == 3
    await clock(dut, 20)
    bench.put(kind=FlitKind.SUM, active=(1 << lanes) - 1, vec=0)
    bench.put(kind=FlitKind.MAX, active=(1 << lanes) - 1, lo=CONDUCTOR, hi=CONDUCTOR)
    while not int(dut.tx__valid.value):
        await clock(dut)
    valid = []
    while int(dut.busy.value):
        valid.append(int(dut.tx__valid.value))
        await clock(dut)
    assert valid == [1] * (2 + 1) + [0] + [1] * (1 + 1)
    await bench.compare()
    # Quads that have waited: of positions, all lanes' in a flit, or of attention vectors of one position, each its own.
    bench.begin(1)
    bench.tile["group"] = lanes
    for mode, flits in ((SendMode.LINEAR, 1), (SendMode.OUTPUT, lanes)):
        bench.sink.stall = 1
        await clock(dut, 2)
        bench.put(kind=FlitKind.DATA, quads=QUADS, mode=mode, active=(1 << lanes) - 1, round=0)
        await bench.feed()
        await clock(dut, 20)
        valid, ready = record(dut, "tx__valid"), record(dut, "tx__ready")
        bench.sink.stall = 0
        assert len(await bench.compare()) == QUADS * flits + 1
        taken = [v & r for v, r in zip(valid, ready)]
        first = taken.index(1)
        assert taken[first:].index(0) == sum(taken) == QUADS * flits + 1
