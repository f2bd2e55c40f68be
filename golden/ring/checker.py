"""Order-free reference of the ring: every flit is delivered once at every stop on its way, those of one source in
order.
"""

from collections import deque

from hayate.rtl.contract.flits import pack_flit, unpack_flit


class RingError(AssertionError):
    """The ring lost, invented, doubled, changed or reordered a flit."""


class RingChecker:
    """Follows a ring of the given stops from outside.

    `stops` come in the order of the ring; a flit's `end` is 0 or one of them, and it has words for `lanes` lanes. Call
    `injected` when a stop has taken a flit from its tile and `delivered` when it has handed one over, in the order of
    time, and `finish` when all is quiet. Nothing is assumed about how long anything takes or how different sources
    interleave.
    """

    def __init__(self, stops, lanes=1):
        self.stops, self.lanes = tuple(stops), lanes
        if len(set(self.stops)) != len(self.stops):
            raise ValueError(f"stops: numbers must differ, got {self.stops}")
        #: (source, stop) → flits that still have to be delivered there
        self.waiting: dict[tuple[int, int], deque[int]] = {
            (source, stop): deque() for source in self.stops for stop in self.stops
        }
        #: the same for flits with an end, at their source: they need not keep behind the others there
        self.near: dict[int, deque[int]] = {stop: deque() for stop in self.stops}

    def injected(self, stop: int, flit: int):
        """The stop took ``flit``, an integer as `pack_flit` makes it; its ``src`` does not matter."""
        fields = {**self._fields(flit), "src": stop}
        word, end, at = pack_flit(self.lanes, **fields), fields["end"], self.stops.index(stop)
        around = [*self.stops[at + 1 :], *self.stops[:at]]
        if not end:
            self.waiting[stop, stop].append(word)
        else:
            self.near[stop].append(word)
            around = around[: around.index(end) + 1] if end != stop else []
        for receiver in around:
            self.waiting[stop, receiver].append(word)

    def delivered(self, stop: int, flit: int):
        """The stop handed over ``flit``. RingError when it was not this flit's turn."""
        fields = self._fields(flit)
        source = fields["src"]
        if source not in self.stops:
            raise RingError(f"stop {stop} delivered a flit of stop {source}, which is not on the ring")
        queue = self.near[stop] if source == stop and fields["end"] else self.waiting[source, stop]
        if not queue:
            raise RingError(f"stop {stop} delivered {fields}, but nothing of stop {source} was on its way")
        expected = queue.popleft()
        if flit != expected:
            raise RingError(f"stop {stop} delivered {fields}; the next of stop {source} is {self._fields(expected)}")

    def _fields(self, flit: int) -> dict[str, int]:
        return unpack_flit(flit, self.lanes)

    @property
    def pending(self) -> int:
        """Deliveries still to come, over all stops."""
        return sum(len(queue) for queue in (*self.waiting.values(), *self.near.values()))

    def pending_at(self, stop: int) -> int:
        """Deliveries still to come at one stop."""
        return sum(len(queue) for (_, receiver), queue in self.waiting.items() if receiver == stop) + len(
            self.near[stop]
        )

    def finish(self):
        """RingError when something was injected and not delivered everywhere."""
        lost = {key: len(queue) for key, queue in [*self.waiting.items(), *self.near.items()] if queue}
        if lost:
            raise RingError(f"not delivered, by (source, stop): {lost}")
