"""Every counted cycle of a tile, by layer, stage and cause."""

from bisect import bisect_left
from collections import Counter as Tally
from typing import NamedTuple

from hayate.profile.stages import BETWEEN
from hayate.rtl.contract.isa import Counter

#: What the cycles of an entry count for, from the one behind that in which it was taken; the others go by what is
#: waited for.
WORKING = frozenset(
    {
        Counter.WEIGHT,
        Counter.KV_READ,
        Counter.KV_WRITE,
        Counter.FETCH,
        Counter.WAIT_VECTOR,
        Counter.WAIT_DRAIN,
    }
)


class Span(NamedTuple):
    """Cycles `first` up to `stop` of a tile's matrix engine: layer (None outside of all), stage, `Counter`, and the
    entry that they belong to, None where there is none.
    """

    first: int
    stop: int
    layer: int | None
    stage: str
    cause: int
    entry: int | None


def spans(tile, instructions) -> list[Span]:
    """The counted cycles of a `TileActivity`, without gaps.

    A cycle of work belongs to the entry that is at work. A wait, or a cycle without an instruction, belongs to the
    entry that comes next, or to the end of the pass where that is in another one.
    """
    taken = [entry.done for entry in tile.matrix]
    works: list[int] = []  # of each entry: the last one up to it that is no wait
    for n, entry in enumerate(tile.matrix):
        works.append(works[-1] if instructions[entry.at].waits and n else n)
    ends = [cycle for cycle, cause in tile.causes if cause in (None, Counter.IDLE)]
    found: list[Span] = []

    def add(first, stop, cause):
        if cause == Counter.IDLE:
            found.append(Span(first, stop, None, BETWEEN, cause, None))
            return
        done = bisect_left(taken, first)  # entries taken before
        entry = works[done - 1] if cause in WORKING else done
        if cause not in WORKING:
            end = bisect_left(ends, first)
            if entry == len(taken) or end < len(ends) and tile.matrix[entry].queued > ends[end]:
                found.append(Span(first, stop, None, "end", cause, None))
                return
        at, layer = tile.matrix[entry][:2]
        i = instructions[at]
        found.append(Span(first, stop, layer if i.layered else None, i.stage, cause, entry))

    for (first, cause), (end, _) in zip(tile.causes, tile.causes[1:], strict=False):
        if cause is None:
            continue
        while first < end:  # an entry's own cycles begin behind the one in which it was taken
            n = bisect_left(taken, first)
            stop = min(end, taken[n] + 1) if n < len(taken) else end
            add(first, stop, cause)
            first = stop
    return found


def account(found) -> Tally:
    """{(layer, stage, cause): cycles} of `Span`s."""
    tally: Tally = Tally()
    for s in found:
        tally[s.layer, s.stage, s.cause] += s.stop - s.first
    return tally
