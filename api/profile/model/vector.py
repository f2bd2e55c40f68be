"""The vector engine of a tile and its sender: what `VectorEngine`, `MicroSequencer` and `Sender` promise of cycles."""

from collections import deque
from types import SimpleNamespace
from typing import Any

from hayate.golden.tile.cycles import DRAW, reads
from hayate.profile.model.queues import Channels, Condition, Queue
from hayate.profile.model.ring import Flit
from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import QUEUE_DEPTH, ROUNDS_AHEAD, ASrc, BSrc, Cast, Op, SendMode
from hayate.rtl.contract.latencies import (
    DEPENDENCE,
    NOISE_ROWS,
    NORM_LATENCY,
    REDUCER_LATENCY,
    RESULT_LATENCY,
    SELECT_CYCLES,
    TO_FP16_LATENCY,
)
from hayate.rtl.contract.topology import CONDUCTOR_STOP

#: Cycles from an entry's way into the queue to the engine's look at it; from a SYNC's arrival to where it is counted.
QUEUED, POSTED = 2, 1
#: Of the sender: jobs and quads that may wait; flits, the one in its register with them.
JOBS, QUADS, FLITS = 4, 16, 5
_JOB_SEEN, _JOB_STARTED, _OFFERED = 1, 1, 2
#: From a SENDSUM or SENDMAX to the value aside.
_ASIDE = {FlitKind.SUM: RESULT_LATENCY + TO_FP16_LATENCY + REDUCER_LATENCY + 1, FlitKind.MAX: RESULT_LATENCY + 2}
_KINDS = {Op.SENDSUM: FlitKind.SUM, Op.SENDMAX: FlitKind.MAX, Op.SENDCAND: FlitKind.CAND, Op.SENDCOUNT: FlitKind.SUM}
#: Of the mask: a note's division, see `SlotMask`.
NOTE = 17


class Vector:
    """Processes of an engine.

    Members
    -------
    queue: of entries. channels: `Channels`. served: [(entry, cycle)]. busy: an entry or a flit is there.
    now: the `Pass` in progress.
    """

    def __init__(self, env, program, ring, rows):
        self._env, self._program, self._ring, self._rows = env, program, ring, rows
        self.queue, self.channels = Queue(env, QUEUE_DEPTH + 1, QUEUED), Channels(env)
        self._sender = Sender(env, program, ring)
        self.served: list = []
        self.now: Any = None
        self._written: dict[int, int] = {}  # address of vector memory -> cycle in which its last writer was issued
        self._issue = 0  # the last element
        self._sums: list[list[int]] = [[] for _ in range(ROUNDS_AHEAD)]  # arrivals, by attention round
        self._summed = Condition(env)
        self._noted = 0  # cycle from which the mask is up to date
        env.process(self._walk())

    @property
    def busy(self):
        return len(self.queue) > 0 or self._sender.busy

    def note(self):
        """A word about a slot has come."""
        self._noted = max(self._noted, self._env.now) + NOTE

    def sum(self, round):
        """Another tile's sums of an attention round have come."""
        self._sums[round].append(self._env.now)
        self._summed.change()

    def _walk(self):
        env = self._env
        while True:
            entry = yield from self.queue.first()
            if entry.op == Op.V_WAIT:
                yield from self.channels.take(entry.chan, entry.count)
            elif entry.op == Op.RUN:
                yield from self._run(entry)
            elif entry.op == Op.SELECT:
                yield env.timeout(SELECT_CYCLES * self.now.wanted + 1)
            elif entry.op in (Op.SENDSUM, Op.SENDMAX):
                yield from self._aside(entry)
            else:
                yield from self._drain(entry)
            self.served.append((entry, env.now))
            yield env.timeout(1)
            self.queue.drop()

    def _until(self, cycle):
        if cycle > self._env.now:
            yield self._env.timeout(cycle - self._env.now)

    def _aside(self, entry):
        """Sums or maxima are set aside behind the last result, while other instructions follow."""
        kind, sender = _KINDS[entry.op], self._sender
        yield from self._until(max(self._env.now + 1, self._issue + 2))
        yield from sender.changed.until(lambda: kind not in sender.owed and sender.room)
        sender.owed.add(kind)
        yield from sender.put(self._job(entry, kind, ready=self._env.now + _ASIDE[kind]))

    def _drain(self, entry):
        """What waits for all results, and for everything sent before."""
        sender = self._sender
        yield from self._until(max(self._env.now + 1, self._issue + RESULT_LATENCY + 2))
        yield from sender.changed.until(lambda: not sender.owed and sender.room)
        job = self._job(entry, _KINDS[entry.op], ready=0)
        yield from sender.put(job)
        yield from sender.changed.until(lambda: job.done)

    def _job(self, entry, kind, ready):
        """A job of the sender: `flits` for each of `quads`, then a SYNC unless they are counted."""
        program, second = self._program, self.now.second
        cast, everyone = getattr(entry, "cast", Cast.ALL), program.everyone
        stops, end = everyone, None
        if entry.op == Op.SENDCAND:
            stops = (CONDUCTOR_STOP,)
        elif cast == Cast.GROUP:
            stops, end = program.group(second)
        elif cast == Cast.SELF:
            stops = (program.stop,)
            end = program.stop if len(program.group(second)[0]) == 1 else None
        vec, flits, quads = getattr(entry, "vec", 0), 1, 1
        if entry.op == Op.RUN:
            quads, flits = entry.n // 4, entry.heads if entry.send_mode == SendMode.OUTPUT else 1
        elif kind == FlitKind.SUM:
            flits = 2
        elif kind == FlitKind.CAND:
            flits = (self.now.wanted > 0) + self.now.draft
        counted = kind == FlitKind.SUM and vec
        flit = Flit(kind, stops if counted else (), end, round=entry.of_chunk if counted else None)
        sync = None if counted else Flit(FlitKind.SYNC, stops, end, channel=getattr(entry, "chan", 0))
        return SimpleNamespace(kind=kind, quads=quads, flits=flits, flit=flit, sync=sync, ready=ready, done=False)

    def _run(self, entry):
        """Element by element; ends in the cycle of the last step."""
        env, sender, rows, now = self._env, self._sender, self._rows, self.now
        program, lanes = self._program, self._program.lanes
        begun = max(env.now + 1, self._issue)
        if entry.landing and not entry.n and not entry.vec:
            begun = max(begun, (yield from rows.take_none()))
        if entry.vec:
            begun = max(begun, self._noted)
        yield from self._until(begun)
        if entry.send:
            yield from sender.changed.until(lambda: sender.room)
            begun = env.now
        job = self._job(entry, FlitKind.DATA, ready=0) if entry.send else None
        if not entry.n:
            yield env.timeout(entry.length)
            if job:
                yield from sender.put(job)
            return
        if job:
            yield from sender.put(job)
        routine = [program.micros[entry.routine + k] for k in range(entry.length)]
        noise: list[tuple[int, int]] = []
        step, e, half = begun, 0, 0
        written, issue = self._written, self._issue
        drawn = now.wanted
        while e < entry.n:
            size = min(entry.vl, entry.n - e)
            step = max(step, (yield from rows.wait(size * entry.landing)) - 1)
            for op in routine:
                for i in range(size):
                    step = max(step + 1, issue)
                    if op["d_send"]:
                        if not half:
                            step = max(step, (yield from sender.reserve()))
                        half = (half + 1) % 4
                    issue = step + 1
                    for address in reads(op, entry.slide + e, i):
                        if address in written:
                            issue = max(issue, written[address] + DEPENDENCE)
                    if op["a_src"] == ASrc.SUM:
                        issue = max(issue, (yield from self._collected(entry, step, lanes)))
                    if op["b_src"] == BSrc.NOISE and entry.noise:
                        asked = noise[-NOISE_ROWS][1] if len(noise) >= NOISE_ROWS else begun - 1
                        ready = max(asked + DRAW + drawn, noise[-1][0] + drawn if noise else 0)
                        issue = max(issue, ready)
                        noise.append((ready, issue))
                    if op["d_vm"]:
                        written[op["d"] + (i if op["d_mode"] else entry.slide + e + i)] = issue
                    if op["d_send"] and not half:
                        sender.filled(issue + RESULT_LATENCY + TO_FP16_LATENCY)
            rows.free(size * entry.landing, step)
            e += size
        self._issue = issue
        yield from self._until(step)

    def _collected(self, entry, step, lanes):
        """Process part: the cycle in which an element that reads sums is issued."""
        rounding = lanes + NORM_LATENCY + 2
        if not entry.vec:
            return step + 1 + rounding
        arrived = self._sums[entry.of_chunk]
        senders = len(self._program.group(self.now.second)[0])
        yield from self._summed.until(lambda: len(arrived) >= senders)
        last = arrived[senders - 1]
        del arrived[:senders]
        return last + rounding + 2


class Sender:
    """`Sender`: walks jobs in order.

    Members
    -------
    owed: kinds of which a job is on its way. room: for a job. changed: `Condition` of both, and of jobs that are done.
    """

    def __init__(self, env, program, ring):
        self._env, self._program, self._ring = env, program, ring
        self.owed: set = set()
        self.changed = Condition(env)
        self._jobs: deque = deque()
        self._filled: list[int] = []  # of every quad: the cycle of its last half
        self._popped: list[int] = []  # ... in which it goes
        self._reserved, self._waiting = 0, 0
        self._moved = Condition(env)
        env.process(self._walk())

    @property
    def room(self):
        return len(self._jobs) < JOBS

    @property
    def busy(self):
        return bool(self._jobs) or self._waiting > 0

    def put(self, job):
        """Process part: append a job, for which there is room."""
        self._jobs.append((job, self._env.now))
        self._moved.change()
        return
        yield

    def reserve(self):
        """Process part: a place for a quad; returns the first cycle in which it is there."""
        at = self._reserved - QUADS
        self._reserved += 1
        if at < 0:
            return 0
        yield from self._moved.until(lambda: len(self._popped) > at)
        return self._popped[at] + 1

    def filled(self, cycle):
        """A quad's last half comes in this cycle."""
        self._filled.append(cycle)
        self._moved.change()

    def _walk(self):
        env, quad = self._env, 0
        while True:
            yield from self._moved.until(lambda: self._jobs)
            job, put = self._jobs[0]
            seen = max(put + _JOB_SEEN, job.ready)
            if seen > env.now:
                yield env.timeout(seen - env.now)
            yield env.timeout(_JOB_STARTED)
            for _ in range(job.quads):
                if job.kind == FlitKind.DATA:
                    yield from self._moved.until(lambda: len(self._filled) > quad)  # noqa: B023
                    if self._filled[quad] + 1 > env.now:
                        yield env.timeout(self._filled[quad] + 1 - env.now)
                    quad += 1
                for n in range(job.flits):
                    last = n == job.flits - 1 or job.kind == FlitKind.DATA
                    yield from self._emit(job.flit if last else job.flit._replace(stops=()))
                if job.kind == FlitKind.DATA:
                    self._popped.append(env.now - 1)
                    self._moved.change()
            if job.sync:
                yield from self._emit(job.sync)
            else:
                yield env.timeout(1)
            job.done = True
            self.owed.discard(job.kind)
            self._jobs.popleft()
            self.changed.change()

    def _emit(self, flit):
        """Process part: a flit goes to the ring stop as soon as there is room; a cycle."""
        env = self._env
        yield from self._moved.until(lambda: self._waiting < FLITS)
        self._waiting += 1
        env.timeout(_OFFERED).callbacks.append(
            lambda _: self._ring.offer(self._program.stop, flit, False, taken=self._taken)
        )
        yield env.timeout(1)

    def _taken(self):
        def left(_):
            self._waiting -= 1
            self._moved.change()

        self._env.timeout(1).callbacks.append(left)
