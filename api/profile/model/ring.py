"""The ring of a machine: slots that go round, a stop further in every cycle.

Nothing holds a flit back once it is on the ring (`RingStop`), so in cycle t stop s has slot (s - t) modulo stops before
it, and a source injects when that is free.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.latencies import HOP_LATENCY

#: Cycles from a flit's arrival at a stop to the one in which the tile's receiver shows it; the conductor's has no
#: register.
TO_TILE, TO_CONDUCTOR = HOP_LATENCY + 1, HOP_LATENCY


class Flit(NamedTuple):
    """What of a flit matters to cycles. `stops`: those whose receivers act on it. `end`: where it leaves the ring,
    None after a full circle. `channel`: of a SYNC. `round`: of attention whose sums a SUM completes, None for others.
    """

    kind: int
    stops: tuple
    end: int | None = None
    channel: int = 0
    round: int | None = None


class Ring:
    """Parameters: `env`, the SimPy environment, a cycle to a unit of time. stops: how many. deliver: called with
    (stop, Flit) in the cycle in which the receiver shows it.

    Members
    -------
    sent: for each stop [(cycle, kind)] of what leaves it for the next one, in no order.
    """

    def __init__(self, env, stops: int, deliver: Callable):
        self._env, self._stops, self._deliver = env, stops, deliver
        self._until = [-1] * stops  # of each slot: the cycle in which what it holds comes to its last stop ...
        self._circles = [False] * stops  # ... which is its source
        self.sent: list[list] = [[] for _ in range(stops)]
        self._sources = [_Source() for _ in range(stops)]
        for stop in range(stops):
            env.process(self._inject(stop))

    def offer(self, stop: int, flit: Flit, first: bool, taken=None):
        """From now on a flit waits at a stop, `first`: among those that go first. taken: called as it is injected."""
        source = self._sources[stop]
        source.queues[not first].append((flit, taken))
        if source.wake is not None:
            source.wake.succeed()
            source.wake = None

    def waiting(self, stop: int) -> int:
        """Flits that wait at a stop."""
        return sum(map(len, self._sources[stop].queues))

    def _inject(self, stop):
        env, source = self._env, self._sources[stop]
        while True:
            queue = next((q for q in source.queues if q), None)
            if queue is None:
                source.wake = env.event()
                yield source.wake
                continue
            flit, taken = queue[0]
            slot, now = (stop - env.now) % self._stops, env.now
            free = self._until[slot] < now
            if free or flit.end is None and self._circles[slot] and self._until[slot] == now:
                queue.popleft()
                self._send(stop, slot, flit)
                if taken:
                    taken()
            yield env.timeout(1)

    def _send(self, stop, slot, flit):
        env, stops = self._env, self._stops
        now = env.now
        hops = stops if flit.end is None else (flit.end - stop) % stops
        if hops:
            self._until[slot], self._circles[slot] = now + hops, flit.end is None
        for n in range(hops):
            self.sent[(stop + n) % stops].append((now + HOP_LATENCY + n, flit.kind))
        for at in flit.stops:
            away = (at - stop) % stops
            if not away and flit.end is None:
                away = stops
            late = env.timeout(away * HOP_LATENCY + (TO_TILE if at else TO_CONDUCTOR))
            late.callbacks.append(lambda _, at=at: self._deliver(at, flit))


class _Source:
    """What waits at a stop: two queues, the first of which goes first."""

    def __init__(self):
        self.queues: tuple[deque, deque] = (deque(), deque())
        self.wake = None


#: Kinds whose arrival somebody waits for.
COUNTED = (FlitKind.SYNC, FlitKind.SUM, FlitKind.PASS)
