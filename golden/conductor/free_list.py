"""Golden free list: which KV slot a node gets."""

from bisect import insort


class FreeList:
    """KV slots of a generation. Slots that were given back lie in a pool of at most `lanes`, and are taken again before
    new ones.

    A pass takes a slot for each of its n <= `lanes` nodes and gives back at most n - 1, all after it has taken; so the
    pool never holds more than `lanes` - 1.
    """

    def __init__(self, lanes):
        self.lanes = lanes
        self.reset()

    def reset(self):
        """No slot has been taken."""
        self.pool, self._new = [], 0

    @property
    def hwm(self):
        """Slots in use, those in the pool included: the highest ever taken, plus 1."""
        return self._new

    def take(self):
        """The lowest slot of the pool, else the next new one."""
        if self.pool:
            return self.pool.pop(0)
        self._new += 1
        return self._new - 1

    def give(self, slot):
        """Put a slot that is taken into the pool. Raises ValueError when it is not taken, or the pool is full."""
        if not 0 <= slot < self._new or slot in self.pool:
            raise ValueError(f"slot {slot} is not taken")
        if len(self.pool) == self.lanes:
            raise ValueError(f"{self.lanes} slots are free already")
        insort(self.pool, slot)
