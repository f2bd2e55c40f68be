"""What almost every bench does: clock and reset (`sim.drive`), and streams with random pauses and backpressure.

Values are sampled at the rising edge, as they were just before it, and driven just after it, on both simulators.
"""

import random
from collections import deque

import cocotb
from cocotb.triggers import Event, RisingEdge

from hayate.sim.drive import PERIOD, clock, ports, settle, start
from hayate.verif.bench import bench

__all__ = ["PERIOD", "Sink", "Source", "clock", "ports", "record", "settle", "start", "strobe"]


class _Stream:
    def __init__(self, dut, name: str):
        self.name = name
        self._edge = RisingEdge(dut.clk)
        self._valid = getattr(dut, f"{name}__valid")
        names = {p["name"] for p in ports()}
        self._ready = getattr(dut, f"{name}__ready") if f"{name}__ready" in names else None
        self._whole = getattr(dut, f"{name}__payload") if f"{name}__payload" in names else None
        prefix = f"{name}__payload__"
        self._fields = {n.removeprefix(prefix): getattr(dut, n) for n in names if n.startswith(prefix)}

    def _write(self, value):
        if self._whole is not None:
            self._whole.value = value
        else:
            for field, part in value.items():
                self._fields[field].value = part

    def _read(self):
        if self._whole is not None:
            return int(self._whole.value)
        return {field: int(handle.value) for field, handle in self._fields.items()}


class Source(_Stream):
    """Drives the stream input NAME of `dut` (ports NAME__valid, NAME__ready, NAME__payload).

    A payload is an int, the struct's bits as one vector (`layout.const({...}).as_bits()`), or a dictionary where the
    payload is a signature with ports of its own.

    Parameters
    ----------
    pause: probability, for each cycle in front of a value, that the source leaves the stream idle.
    rng: source of the randomness; the bench's own, by the stream's name, unless given.
    """

    def __init__(self, dut, name: str, *, pause: float = 0.25, rng: random.Random | None = None):
        super().__init__(dut, name)
        self.pause = pause
        self._rng = rng or bench.rng(name)
        self._queue = deque()
        self._more, self._empty = Event(), Event()
        self._valid.value = 0
        cocotb.start_soon(self._drive())

    def put(self, *values):
        """Queue values; returns at once."""
        self._queue.extend(values)
        if self._queue:
            self._empty.clear()
            self._more.set()

    async def send(self, values):
        """Queue values and wait until the design has taken the last of all that are queued."""
        self.put(*values)
        await self.drained()

    async def drained(self):
        """Wait until the design has taken everything queued; returns just after that rising edge."""
        if self._queue:
            await self._empty.wait()

    async def _drive(self):
        while True:
            if not self._queue:
                self._valid.value = 0
                self._empty.set()
                self._more.clear()
                await self._more.wait()
            while self._rng.random() < self.pause:
                self._valid.value = 0
                await self._edge
            self._write(self._queue[0])
            self._valid.value = 1
            await self._edge
            while self._ready is not None and not int(self._ready.value):
                await self._edge
            self._queue.popleft()


class Sink(_Stream):
    """Takes from the stream output NAME of `dut`, and checks the rule of streams.

    A value that is offered and not taken must stay offered, unchanged; a breach fails the test. Create it after
    `start`.

    Parameters
    ----------
    stall: probability, for each cycle, that the sink is not ready.
    rng: source of the randomness; the bench's own, by the stream's name, unless given.
    """

    def __init__(self, dut, name: str, *, stall: float = 0.25, rng: random.Random | None = None):
        super().__init__(dut, name)
        self.stall = stall
        self.data: list = []
        self._rng = rng or bench.rng(name)
        self._news = Event()
        cocotb.start_soon(self._watch())

    async def take(self, count: int) -> list:
        """Wait for `count` values and remove them from `data`."""
        while len(self.data) < count:
            self._news.clear()
            await self._news.wait()
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    async def _watch(self):
        refused = None
        while True:
            ready = self._ready is None or self._rng.random() >= self.stall
            if self._ready is not None:
                self._ready.value = int(ready)
            await self._edge
            valid = int(self._valid.value)
            value = self._read() if valid else None
            if refused is not None and value != refused[0]:
                raise AssertionError(f"{self.name}: offered {refused[0]}, was refused, then offered {value}")
            refused = (value,) if valid and not ready else None
            if valid and ready:
                self.data.append(value)
                self._news.set()


async def strobe(dut, name: str, **values):
    """Set ports to `values`, and hold input `name` high for a cycle."""
    for port, value in values.items():
        getattr(dut, port).value = value
    getattr(dut, name).value = 1
    await clock(dut)
    getattr(dut, name).value = 0


def record(dut, name: str) -> list[int]:
    """Values of a port at every rising edge from now on: a list that grows."""
    seen, port = [], getattr(dut, name)

    async def watch():
        while True:
            await clock(dut)
            seen.append(int(port.value))

    cocotb.start_soon(watch())
    return seen
