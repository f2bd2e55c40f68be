"""Order-free reference of the ring: every flit is delivered once at every stop, those of one source in order."""

from collections import deque

from hayate.rtl.contract.flits import pack_flit, unpack_flit


class RingError(AssertionError):
    """The ring lost, invented, doubled, changed or reordered a flit."""


class RingChecker:
    """Follows a ring of the given stops from outside.

    Call `injected` when a stop has taken a flit from its tile and `delivered` when it has handed one over, in the order of time, and
    `finish` when all is quiet. Nothing is assumed about how long anything takes or how different sources interleave.
    """

    def __init__(self, stops):
        self.stops = tuple(stops)
        if len(set(self.stops)) != len(self.stops):
            raise ValueError(f"stops: numbers must differ, got {self.stops}")
        #: (source, stop) → flits that still have to be delivered there
        self.waiting = {(source, stop): deque() for source in self.stops for stop in self.stops}

    def injected(self, stop: int, flit: int):
        """The stop took ``flit``, an integer as `pack_flit` makes it; its ``src`` does not matter."""
        word = pack_flit(**{**unpack_flit(flit), "src": stop})
        for receiver in self.stops:
            self.waiting[stop, receiver].append(word)

    def delivered(self, stop: int, flit: int):
        """The stop handed over ``flit``. RingError when it was not this flit's turn."""
        source = unpack_flit(flit)["src"]
        if source not in self.stops:
            raise RingError(f"stop {stop} delivered a flit of stop {source}, which is not on the ring")
        queue = self.waiting[source, stop]
        if not queue:
            raise RingError(f"stop {stop} delivered {unpack_flit(flit)}, but nothing of stop {source} was on its way")
        expected = queue.popleft()
        if flit != expected:
            raise RingError(f"stop {stop} delivered {unpack_flit(flit)}; the next of stop {source} is {unpack_flit(expected)}")

    @property
    def pending(self) -> int:
        """Deliveries still to come, over all stops."""
        return sum(len(queue) for queue in self.waiting.values())

    def finish(self):
        """RingError when something was injected and not delivered everywhere."""
        lost = {key: len(queue) for key, queue in self.waiting.items() if queue}
        if lost:
            raise RingError(f"not delivered, by (source, stop): {lost}")
