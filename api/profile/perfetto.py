"""A recording in Chrome's trace format, which Perfetto and chrome://tracing show: a microsecond is a cycle.

Source of the format: Google, "Trace Event Format". A process for the conductor, one for the ring and one for each tile.
"""

from hayate.profile.account import WORKING, spans
from hayate.rtl.contract.activity import Phase
from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import Counter

_CONDUCTOR, _RING, _TILES = 0, 1, 2  # process numbers


def events(activity, instructions) -> dict:
    """The trace, as what is to be written as JSON."""
    found = [_name("process_name", _CONDUCTOR, "conductor"), _name("process_name", _RING, "ring")]
    starts = [cycle for cycle, phase in activity.phases if phase != Phase.IDLE]
    zero = min(starts, default=0)
    over = max((cycle for cycle, _ in activity.phases), default=0)

    def slice_(process, thread, first, stop, name, **args):
        event = {"ph": "X", "pid": process, "tid": thread, "ts": first - zero, "dur": stop - first, "name": name}
        found.append(event | ({"args": args} if args else {}))

    for (first, phase), (stop, _) in zip(activity.phases, activity.phases[1:], strict=False):
        if phase != Phase.IDLE:
            slice_(_CONDUCTOR, 0, first, stop, Phase(phase).name.lower())
    for cycle, kept in activity.kept:
        found.append(
            {"ph": "i", "s": "p", "pid": _CONDUCTOR, "tid": 0, "ts": cycle - zero, "name": f"{kept} positions kept"}
        )
    for t, tile in enumerate(activity.tiles):
        process = _TILES + t
        found += [
            _name("process_name", process, f"tile {t}"),
            _name("thread_name", process, "matrix engine", 0),
            _name("thread_name", process, "vector engine", 1),
            _name("thread_name", _RING, f"behind tile {t}", t),
        ]
        _matrix(tile, instructions, lambda *a, p=process, **k: slice_(p, 0, *a, **k))
        last = 0
        for entry in tile.vector:
            first = max(entry.queued + 1, last)
            last = entry.done + 1
            slice_(process, 1, first, last, _label(entry, instructions))
        for flits in tile.sent:
            if zero <= flits.first < over:  # what loads the model and reads the counters is not part of it
                slice_(_RING, t, flits.first, flits.stop, FlitKind(flits.kind).name, flits=flits.stop - flits.first)
    return {
        "traceEvents": found,
        "displayTimeUnit": "ns",
        "otherData": {"unit": "a microsecond is a clock cycle; the generation begins at 0"},
    }


def _matrix(tile, instructions, add):
    """An entry at work is a slice, with what it lost; what is waited for is one, too."""
    parts: list[list] = []  # [first, stop, name, {cause: cycles}]
    for s in spans(tile, instructions):
        if s.entry is None:
            continue
        name = _label(tile.matrix[s.entry], instructions)
        if s.cause not in WORKING:
            name = ("wait for the ring: " if s.cause == Counter.WAIT_RING else "no instruction: ") + name
        if not parts or parts[-1][1] != s.first or parts[-1][2] != name or parts[-1][4] != s.entry:
            parts.append([s.first, s.stop, name, {}, s.entry])
        parts[-1][1] = s.stop
        causes = parts[-1][3]
        causes[Counter(s.cause).name.lower()] = causes.get(Counter(s.cause).name.lower(), 0) + s.stop - s.first
    for first, stop, name, causes, _ in parts:
        add(first, stop, name, **causes)


def _label(entry, instructions):
    i = instructions[entry.at]
    return f"layer {entry.layer}: {i.name}" if i.layered else i.name


def _name(what, process, name, thread=0):
    return {"ph": "M", "pid": process, "tid": thread, "name": what, "args": {"name": name}}
