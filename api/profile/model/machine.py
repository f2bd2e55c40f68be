"""A machine and its conductor: the passes of a generation, one behind the other."""

from typing import Any

import simpy

from hayate.profile.model.program import Pass
from hayate.profile.model.queues import Condition
from hayate.profile.model.ring import Flit, Ring
from hayate.profile.model.tile import Tile
from hayate.rtl.contract.activity import Activity, Phase
from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.topology import CONDUCTOR_STOP

#: Channels of a PASS flit here: a word about a slot or not.
_START, _SLOT = 0, 1
#: Of the governor: for a matrix, at least; for a tile's three answers, one after the other; from the last question on.
_DECISION, _ANSWERS, _LAST = 36, 32, 31


class Log:
    """What golden tiles are asked to run, in order, in `events`: `Pass`es, and how many positions of the last one a
    commit makes part of the text.
    """

    def __init__(self, events=None, second=False):
        self.events: list[Pass | int] = [] if events is None else events
        self._second = second

    def of_draft(self):
        """The same log, for tiles of the model that drafts."""
        return Log(self.events, second=True)

    def run(self, s):
        """A pass begins, whose `TileState` is set."""
        self.events.append(
            Pass(
                tokens=tuple(s.tokens.tolist()),
                positions=tuple(s.positions.tolist()),
                slots=tuple(s.slots.tolist()),
                hwm=s.hwm,
                wanted=len(s.wanted),
                measure=s.measure,
                draft=s.draft,
                second=self._second,
                sample=s.sample,
                top_k=s.top_k,
                min_p=s.min_p,
                formats=dict(s.precision),
            )
        )

    def commit(self, nodes):
        """So many positions belong to the text."""
        self.events.append(nodes)


def run(placement, log, prompt: int) -> Activity:
    """`Activity` of a generation by a placed model, whose banks may be empty. log: `Log` of it. prompt: tokens of the
    prompt.
    """
    return _Machine(placement, log.events, prompt).run()


class _Machine:
    def __init__(self, placement, events, prompt):
        self._env = env = simpy.Environment()
        self._events, self._prompt, self._config = events, prompt, placement.config
        self._ring = Ring(env, 1 + placement.config.tiles, self._deliver)
        self._tiles = [Tile(env, placement, t, self._ring) for t in range(placement.config.tiles)]
        self._stops = tuple(tile.stop for tile in self._tiles)
        self._by_stop = {tile.stop: tile for tile in self._tiles}
        self._synced = 0
        self._changed = Condition(env)
        self._found = Activity(phases=[(0, Phase.IDLE)])
        self._matrices = sum(bool(d.planes) for d in placement.image.descriptors)
        self._done = env.process(self._conduct())

    def run(self):
        """Until the last pass is over."""
        self._env.run(self._done)
        first, stop = self._counted
        self._found.tiles = [
            tile.activity(self._ring.sent[tile.stop], first + tile.stop, stop + tile.stop) for tile in self._tiles
        ]
        return self._found

    def _deliver(self, stop, flit):
        if stop == CONDUCTOR_STOP:
            self._synced += flit.kind == FlitKind.SYNC
            self._changed.change()
        else:
            self._by_stop[stop].receive(flit)

    def _phase(self, phase):
        now, phases = int(self._env.now), self._found.phases
        if phases[-1][1] != phase:
            phases.append((now, phase))

    def _say(self, *channels):
        """Process part: PASS flits to all tiles, one a cycle as the ring takes them."""
        for channel in channels:
            taken = Condition(self._env)
            self._ring.offer(
                CONDUCTOR_STOP,
                Flit(FlitKind.PASS, self._stops if channel is not None else (), channel=channel or 0),
                True,
                taken=taken.change,
            )
            yield taken.wait()
            yield self._env.timeout(1)

    def _conduct(self):
        env, events, prompt = self._env, self._events, self._prompt
        self._phase(Phase.FRAME)
        begins = env.now
        yield from self._say(None)
        last: Any = None
        kept = 0
        for event in events:
            if isinstance(event, int):
                # Of a chain that is drafted, what a pass has filled is said with the next one.
                kept = event
                continue
            feeds = event.positions[-1] < prompt and not event.second
            if last is not None:
                yield from self._between(last, kept, feeds)
            if last is not None and last.measure and not event.measure:
                yield from self._govern()
            if feeds:
                self._phase(Phase.PROMPT)
                yield env.timeout(1 + 2 * len(event.positions))
            self._phase(Phase.ANNOUNCE)
            for tile in self._tiles:
                tile.announce(event)
            self._synced = 0
            yield from self._say(*[_SLOT] * len(event.positions), _START)
            self._phase(Phase.PASS)
            yield from self._changed.until(lambda: self._synced == len(self._tiles))
            last, kept = event, 0
        if last.wanted:
            self._phase(Phase.VERIFY)
            yield env.timeout(kept + 1)
        if last.measure:
            yield from self._govern()
        self._found.kept.append((int(env.now), kept))
        self._phase(Phase.FRAME)
        yield from self._say(None)
        self._counted = begins + 3, env.now + 2
        self._phase(Phase.IDLE)
        yield env.timeout(len(self._stops) + 4)

    def _between(self, last, kept, feeds):
        """Process part: what becomes of a pass."""
        env = self._env
        if last.draft or last.second:
            self._phase(Phase.DRAFT)
            yield env.timeout(2)
            return
        if not feeds:
            self._phase(Phase.VERIFY)
            yield env.timeout(kept + 1)
        self._found.kept.append((int(env.now), kept))
        self._phase(Phase.RELEASE)
        yield from self._say(*[_SLOT] * kept)
        yield env.timeout(len(last.positions) - kept)

    def _govern(self):
        """Process part: the governor asks and decides."""
        env, tiles = self._env, len(self._tiles)
        self._phase(Phase.GOVERN)
        yield env.timeout(self._matrices * max(_DECISION, _ANSWERS + 2 * tiles) + _LAST)
