"""The matrix engine of a tile: what `MatrixEngine` promises of cycles, entry after entry."""

from bisect import bisect_left
from collections import deque

from hayate.golden.tile import cycles
from hayate.profile.model.queues import Channels, Condition, Queue
from hayate.profile.model.ring import Flit
from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import MATRIX_AHEAD, Counter, Op
from hayate.rtl.contract.latencies import BANK_LATENCY, ROW_LATENCY

#: Cycles from an entry's way into the queue to the engine's look at it; from a SYNC's arrival to where it is counted.
QUEUED, POSTED = 2, 2
#: From a FETCH's request for a word to its flit at the ring stop.
_FETCHED = 1 + BANK_LATENCY


class Matrix:
    """Processes of an engine. Times are those of the issue stage; `causes` and `taken` show a cycle later.

    Members
    -------
    queue: of entries. channels: `Channels`. busy: an entry is there or in progress.
    rows: `Landing`. spans: [(first, stop, cause)] in which an instruction is at work. waits: [(first, stop)] of M_WAITs
        at the head. taken: [entry, cycle].
    """

    def __init__(self, env, program, ring, landing_depth):
        self._env, self._program, self._ring = env, program, ring
        self.queue, self.channels = Queue(env, MATRIX_AHEAD, QUEUED), Channels(env)
        self.rows = Landing(env, landing_depth)
        self.spans: list = []
        self.waits: list = []
        self.taken: list = []
        self._work: deque = deque()
        self._changed = Condition(env)
        self._free = True  # nothing is in progress from this cycle on
        self._drained = 0  # cycle from which a group's last word may go, for the drain
        env.process(self._dispatch())

    @property
    def busy(self):
        return len(self.queue) > 0 or not self._free

    def _dispatch(self):
        env = self._env
        while True:
            entry = yield from self.queue.first()
            if entry.op == Op.M_WAIT:
                first = env.now
                yield from self.channels.take(entry.chan, entry.count)
                self.waits.append((first, env.now + 1))
            else:
                yield from self._changed.until(lambda: self._free)
                self._free = False
                env.process(self._execute(entry))
            self.taken.append((entry, env.now + 1))
            yield env.timeout(1)
            self.queue.drop()

    def _execute(self, entry):
        """Runs an entry taken in this cycle; the engine is free again in the cycle of its last access."""
        env = self._env
        if entry.op == Op.GEMV:
            if not entry.n or not entry.streams[0]:
                if not entry.kv:
                    self.rows.none()
                yield env.timeout(1)
            else:
                yield env.timeout(1)
                yield from self._gemv(entry)
        else:
            took = self._move(entry) if entry.op == Op.KVW else self._fetch(entry)
            cause = Counter.KV_WRITE if entry.op == Op.KVW else Counter.FETCH
            self.spans.append((env.now + 1, env.now + 1 + took, cause))
            yield env.timeout(took)
        self._free = True
        self._changed.change()

    def _gemv(self, entry):
        """From the first word on; ends in the cycle of the last."""
        env, banks = self._env, self._program.banks
        cause = Counter.KV_READ if entry.kv else Counter.WEIGHT
        full, rest = divmod(entry.n, banks)
        groups = [banks] * full + [rest] * (rest > 0)
        last = env.now - 1
        for height in groups:
            for n, words in enumerate(entry.streams):
                due = last + words
                if due > env.now:
                    yield env.timeout(due - env.now)
                if not n:
                    yield from self.rows.room(height)
                    if env.now > due:
                        self.spans.append((due, env.now, Counter.WAIT_VECTOR))
                room = env.now
                if self._drained > room:
                    self.spans.append((room, self._drained, Counter.WAIT_DRAIN))
                    yield env.timeout(self._drained - room)
                self.spans.append((last + 1, due, cause))
                self.spans.append((env.now, env.now + 1, cause))
                last = env.now
                self._drained = last + height
                if not n:
                    self.rows.push(height, last + ROW_LATENCY + 1)

    def _move(self, entry):
        d, lanes = entry.d, len(entry.here)
        if entry.value:
            return cycles.write_values(d["rows"], lanes, self._program.banks)
        return cycles.write_keys(d["words"], entry.here)

    def _fetch(self, entry):
        """Cycles of a FETCH; its flits go when they are ready."""
        lanes, words, rows = self._program.lanes, entry.d["words"], entry.rows
        for n, row in enumerate(rows):
            if row is None:
                continue
            before = cycles.fetch(words, rows[:n])
            if row not in rows[:n]:
                for word in range(0, words, lanes):
                    self._offer(before + 6 + min(word + lanes, words), Flit(FlitKind.DATA, ()))
            sync = Flit(FlitKind.SYNC, self._program.everyone, channel=entry.chan)
            self._offer(cycles.fetch(words, rows[: n + 1]) + 1, sync)
        return cycles.fetch(words, rows)

    def _offer(self, delay, flit):
        ready = self._env.timeout(delay + _FETCHED)
        ready.callbacks.append(lambda _: self._ring.offer(self._program.stop, flit, True))


class Landing:
    """The landing buffer: rows that wait for the vector engine, and the places that are left."""

    def __init__(self, env, depth: int):
        self._env, self._left = env, depth
        self._arrivals: list[int] = []  # of every row: the cycle from which it counts
        self._used = 0
        self._none: list[int] = []
        self._changed = Condition(env)

    def room(self, rows):
        """Process part: wait for so many places."""
        yield from self._changed.until(lambda: self._left >= rows)

    def push(self, rows, first):
        """So many rows count from cycles `first`, `first` + 1, ... on."""
        self._left -= rows
        self._arrivals += range(first, first + rows)
        self._changed.change()

    def none(self):
        """A GEMV of no rows has had its turn."""
        self._none.append(self._env.now + 3)
        self._changed.change()

    def take_none(self):
        """Process part: wait for such a turn; returns the first cycle in which the RUN may begin."""
        yield from self._changed.until(lambda: self._none)
        return self._none.pop(0)

    def wait(self, rows):
        """Process part: returns the cycle from which so many rows wait."""
        if not rows:
            return 0
        yield from self._changed.until(lambda: len(self._arrivals) >= self._used + rows)
        return self._arrivals[self._used + rows - 1]

    def free(self, rows, cycle):
        """So many rows are used, and leave in this cycle."""
        self._used += rows

        def left(_):
            self._left += rows
            self._changed.change()

        self._env.timeout(max(cycle + 1 - self._env.now, 0)).callbacks.append(left)


def causes(matrix, running) -> list[tuple[int, int]]:
    """[(cycle, `Counter`)] of changes, of an engine whose passes run in `running`, [(first, stop)]; a cycle late, as
    the tile's counters see them.
    """
    work = sorted((first, stop, cause) for first, stop, cause in matrix.spans if first < stop)
    waits = sorted(matrix.waits)
    starts = [first for first, *_ in work]
    found: list[tuple[int, int]] = []

    def add(first, cause):
        if not found or found[-1][1] != cause:
            found.append((first, cause))

    at = 0
    for first, stop in running:
        add(at, Counter.IDLE)
        at = first
        for begin, end, cause in work[bisect_left(starts, first - 1) : bisect_left(starts, stop)]:
            _gap(add, at, begin + 1, waits)
            add(begin + 1, cause)
            at = end + 1
        _gap(add, at, stop, waits)
        at = stop
    add(at, Counter.IDLE)
    return found


def _gap(add, first, stop, waits):
    """Cycles in which no instruction is at work."""
    while first < stop:
        n = bisect_left(waits, (first,))
        inside = n and waits[n - 1][1] + 1 > first
        begin, end = waits[n - 1] if inside else waits[n] if n < len(waits) else (stop, stop)
        if begin + 1 > first:
            add(first, Counter.ISSUE)
            first = min(begin + 1, stop)
        else:
            add(first, Counter.WAIT_RING)
            first = min(end + 1, stop)
