"""A tile: the sequencer, which feeds the two engines, and what the ring brings."""

from hayate.profile.model.matrix import POSTED as MATRIX_POSTED
from hayate.profile.model.matrix import Matrix, causes
from hayate.profile.model.program import Pass, Program
from hayate.profile.model.queues import Condition
from hayate.profile.model.vector import POSTED as VECTOR_POSTED
from hayate.profile.model.vector import Vector
from hayate.rtl.contract.activity import Entry, Flits, TileActivity
from hayate.rtl.contract.encoding import OPERATIONS
from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.words import SLOT_BITS

#: From START to the first instruction: the slots of this tile are counted by a division.
_STARTS = SLOT_BITS + 3


class Tile:
    """Processes of a tile of a placement; `receive` takes what the ring delivers."""

    def __init__(self, env, placement, tile, ring):
        self._env = env
        self._program = program = Program(placement, tile)
        self.stop = program.stop
        self._matrix = Matrix(env, program, ring, placement.config.landing_depth)
        self._vector = Vector(env, program, ring, self._matrix.rows)
        self._starts: list[Pass] = []
        self._running: list = []  # [(first, stop)] of passes
        self._changed = Condition(env)
        env.process(self._walk())

    def announce(self, now: Pass):
        """The pass that the next START begins."""
        self._starts.append(now)

    def receive(self, flit):
        """A flit shows at the receiver."""
        if flit.kind == FlitKind.SYNC:
            for engine, delay in ((self._matrix, MATRIX_POSTED), (self._vector, VECTOR_POSTED)):
                self._env.timeout(delay).callbacks.append(lambda _, engine=engine: engine.channels.post(flit.channel))
        elif flit.kind == FlitKind.SUM and flit.round is not None:
            self._vector.sum(flit.round)
        elif flit.kind == FlitKind.PASS:
            if flit.channel:  # a word about a slot
                self._vector.note()
            else:
                self._changed.change()

    def _walk(self):
        env, matrix, vector = self._env, self._matrix, self._vector
        while True:
            yield self._changed.wait()
            now = self._starts.pop(0)
            first = env.now + 2
            vector.now = now
            yield env.timeout(_STARTS)
            for took, entry in self._program.entries(now):
                yield env.timeout(took)
                if entry is not None:
                    engine = matrix if OPERATIONS[entry.op].engine == "matrix" else vector
                    yield from engine.queue.put(entry)
                    entry.queued = env.now
            yield env.timeout(3)
            while matrix.busy or vector.busy:
                yield env.timeout(1)
            self._running.append((first, env.now + 1))

    def activity(self, sent, first: int, stop: int) -> TileActivity:
        """What it did; counted are cycles `first` up to `stop`. sent: of its stop, as of `Ring`."""
        found = TileActivity()
        changes = causes(self._matrix, self._running)
        before = [cause for cycle, cause in changes if cycle <= first][-1]
        found.causes = [(0, None), (first, before), *((c, v) for c, v in changes if first < c < stop), (stop, None)]
        found.matrix = [Entry(e.at, e.layer, e.queued, cycle) for e, cycle in self._matrix.taken]
        found.vector = [Entry(e.at, e.layer, e.queued, cycle) for e, cycle in self._vector.served]
        for cycle, kind in sorted(sent):
            last = found.sent[-1] if found.sent else None
            if last and (last.stop, last.kind) == (cycle, kind):
                found.sent[-1] = last._replace(stop=cycle + 1)
            else:
                found.sent.append(Flits(cycle, cycle + 1, kind))
        return found
