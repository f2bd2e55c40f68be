"""A recording of the simulated chip's activity ports, read back (`sim.machine.sim_top` writes it)."""

from pathlib import Path

from hayate.rtl.contract.activity import ACTIVITY, Activity, Entry, Flits, TileActivity


class _Reader:
    """Follows the word of one tile; `close` is told up to which cycle the last one held."""

    def __init__(self):
        self.tile = TileActivity()
        self._since, self._word = 0, None
        self._queued: tuple[list, list] = ([], [])  # matrix, vector
        self._done: tuple[list, list] = ([], [])

    def change(self, cycle, word):
        """The word is another one from this cycle on."""
        self.close(cycle)
        self._since, self._word = cycle, ACTIVITY.unpack(word)

    def close(self, cycle):
        """The word held until this cycle."""
        w, since = self._word, self._since
        if w is None or since == cycle:
            return
        causes, sent = self.tile.causes, self.tile.sent
        cause = w["cause"] if w["counted"] else None
        if not causes or causes[-1][1] != cause:
            causes.append((since, cause))
        for happens, done in zip((w["taken"], w["served"]), self._done, strict=True):
            if happens:
                done += range(since, cycle)
        if w["queued"]:
            self._queued[w["vector"]].append((w["next"] - 1, w["layer"], since))
        if w["sent"]:
            last = sent[-1] if sent else None
            if last and (last.stop, last.kind) == (since, w["kind"]):
                sent[-1] = last._replace(stop=cycle)
            else:
                sent.append(Flits(since, cycle, w["kind"]))

    def end(self):
        """`TileActivity`, all of it. AssertionError where an entry was not taken, or not queued."""
        for entries, queued, done in zip((self.tile.matrix, self.tile.vector), self._queued, self._done, strict=True):
            if len(queued) != len(done):
                raise AssertionError(f"{len(queued)} entries were queued and {len(done)} taken")
            entries += [Entry(at, layer, since, cycle) for (at, layer, since), cycle in zip(queued, done, strict=True)]
        return self.tile


def read(path: Path, tiles: int) -> Activity:
    """The `Activity` that a simulation of so many tiles has written to `path`. AssertionError for one that was cut."""
    found, readers, last = Activity(), [_Reader() for _ in range(tiles)], 0
    with open(path) as file:
        for line in file:
            what, at, value = line.split()
            cycle, last = int(at), int(at)
            if what == "p":
                found.phases.append((cycle, int(value, 16)))
            elif what == "v":
                found.kept.append((cycle, int(value, 16).bit_count()))
            else:
                readers[int(what)].change(cycle, int(value, 16))
    for reader in readers:
        reader.close(last + 1)
    found.tiles = [reader.end() for reader in readers]
    return found
