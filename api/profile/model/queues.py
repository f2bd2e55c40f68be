"""What processes of a model wait for: entries of a queue, and SYNC flits of channels."""

from collections import deque

from hayate.rtl.contract.isa import CHANNELS


class Condition:
    """Processes that wait until something has changed."""

    def __init__(self, env):
        self._env, self._event = env, None

    def change(self):
        """Wake those that wait; to be called once more for each change."""
        if self._event is not None:
            self._event.succeed()
            self._event = None

    def wait(self):
        """The event of the next change."""
        if self._event is None:
            self._event = self._env.event()
        return self._event

    def until(self, holds):
        """Process part: wait until `holds()`, looked at after each change."""
        while not holds():
            yield self.wait()

    def later(self, delay):
        """`change`, in so many cycles."""
        self._env.timeout(delay).callbacks.append(lambda _: self.change())


class Queue:
    """Entries in order, at most `depth`, each seen by the one who takes them `latency` cycles after it was put."""

    def __init__(self, env, depth: int, latency: int):
        self._env, self._depth, self._latency = env, depth, latency
        self._entries: deque = deque()
        self.changed = Condition(env)

    def __len__(self):
        return len(self._entries)

    def put(self, entry):
        """Process part: wait for room, then append."""
        yield from self.changed.until(lambda: len(self._entries) < self._depth)
        self._entries.append((entry, self._env.now + self._latency))
        self.changed.change()

    def first(self):
        """Process part: wait until the oldest entry is seen; returns it, and leaves it there."""
        yield from self.changed.until(lambda: self._entries)
        entry, seen = self._entries[0]
        if seen > self._env.now:
            yield self._env.timeout(seen - self._env.now)
        return entry

    def drop(self):
        """The oldest entry goes."""
        self._entries.popleft()
        self.changed.change()


class Channels:
    """`Semaphores` of an engine."""

    def __init__(self, env):
        self._levels = [0] * CHANNELS
        self._changed = Condition(env)

    def post(self, channel: int):
        """From this cycle on a SYNC more is counted."""
        self._levels[channel] += 1
        self._changed.change()

    def take(self, channel: int, count: int):
        """Process part: wait for so many, and take them."""
        yield from self._changed.until(lambda: self._levels[channel] >= count)
        self._levels[channel] -= count
