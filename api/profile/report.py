"""An account of cycles as data, as tables, and in sentences."""

from collections import Counter as Tally

from rich.table import Table

from hayate.profile.account import account, spans
from hayate.profile.stages import BETWEEN, STAGES
from hayate.rtl.contract.activity import Phase
from hayate.rtl.contract.isa import Counter

ROWS = (*STAGES, BETWEEN)
CAUSES = tuple(c for c in Counter if c <= Counter.IDLE)
#: Short enough for the head of a column; `cli.summary` has them in full.
HEADS = {
    Counter.WEIGHT: "weights",
    Counter.KV_READ: "K, V",
    Counter.KV_WRITE: "write",
    Counter.FETCH: "fetch",
    Counter.WAIT_RING: "ring",
    Counter.WAIT_VECTOR: "vector",
    Counter.WAIT_DRAIN: "drain",
    Counter.ISSUE: "none",
    Counter.IDLE: "idle",
}
_IN_WORDS = {
    Counter.KV_WRITE: "writing K and V",
    Counter.FETCH: "fetching rows",
    Counter.WAIT_RING: "waiting for the ring",
    Counter.WAIT_VECTOR: "waiting for the vector unit",
    Counter.WAIT_DRAIN: "draining short rows",
    Counter.ISSUE: "without an instruction",
    Counter.IDLE: "between passes",
}
_CONDUCTOR = {
    Phase.FRAME: "beginning and ending the generation",
    Phase.PROMPT: "reading the prompt",
    Phase.DRAFT: "taking drafts",
    Phase.ANNOUNCE: "announcing passes",
    Phase.VERIFY: "verifying",
    Phase.RELEASE: "committing",
    Phase.GOVERN: "choosing formats",
}


def phases(activity) -> dict[Phase, int]:
    """{phase: cycles} of the conductor, without those in which there is no generation."""
    tally: Tally = Tally()
    for (first, phase), (stop, _) in zip(activity.phases, activity.phases[1:], strict=False):
        if phase != Phase.IDLE:
            tally[Phase(phase)] += stop - first
    return dict(tally)


def accounts(activity, instructions) -> list[Tally]:
    """{(layer, stage, cause): cycles} of each tile."""
    return [account(spans(tile, instructions)) for tile in activity.tiles]


def data(tiles, activity) -> dict:
    """What of `accounts` and recording goes into a JSON file: cycles, of each tile's rows those that are not 0."""
    order = {stage: n for n, stage in enumerate(ROWS)}
    return {
        "tiles": [
            {
                "cycles": sum(tally.values()),
                "rows": [
                    {"layer": layer, "stage": stage, "cause": Counter(cause).name.lower(), "cycles": cycles}
                    for (layer, stage, cause), cycles in sorted(
                        tally.items(), key=lambda i: (-1 if i[0][0] is None else i[0][0], order[i[0][1]], i[0][2])
                    )
                ],
            }
            for tally in tiles
        ],
        "conductor": {phase.name.lower(): cycles for phase, cycles in phases(activity).items()},
    }


def _sums(tiles, key) -> Tally:
    found: Tally = Tally()
    for tally in tiles:
        for where, cycles in tally.items():
            found[key(*where)] += cycles
    return found


def _percent(cycles, total):
    return f"{100 * cycles / total:.1f}" if cycles else "·"


def by_cause(tiles) -> Table:
    """Stages down, causes across, percent of all tiles' cycles."""
    cells = _sums(tiles, lambda layer, stage, cause: (stage, cause))
    stages, causes = (_sums(tiles, lambda layer, stage, cause, n=n: (stage, cause)[n]) for n in (0, 1))
    shown = [c for c in CAUSES if causes[c]]
    total = sum(causes.values())
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title="percent of all tiles' cycles, by stage and cause",
        title_justify="left",
    )
    table.add_column("stage")
    for cause in shown:
        table.add_column(HEADS[cause], justify="right")
    table.add_column("all", justify="right")
    for stage in ROWS:
        if stages[stage]:
            row = [_percent(cells[stage, cause], total) for cause in shown]
            table.add_row(stage, *row, _percent(stages[stage], total))
    table.add_row("all", *(_percent(causes[c], total) for c in shown), _percent(total, total))
    return table


def by_layer(tally, tile) -> Table:
    """Layers down, stages across, percent of the cycles of one tile."""
    cells, stages, layers = (
        _sums([tally], key)
        for key in (
            lambda layer, stage, cause: (layer, stage),
            lambda layer, stage, cause: stage,
            lambda layer, stage, cause: layer,
        )
    )
    shown = [stage for stage in ROWS if stages[stage]]
    total = sum(stages.values())
    title = f"percent of tile {tile}'s {total:,} cycles, by layer and stage"
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), title=title, title_justify="left")
    table.add_column("layer")
    for stage in [*shown, "all"]:
        table.add_column(stage, justify="right")
    for layer in sorted(layers, key=lambda at: (at is None, at)):
        row = [_percent(cells[layer, stage], total) for stage in shown]
        table.add_row("outside" if layer is None else str(layer), *row, _percent(layers[layer], total))
    table.add_row("all", *(_percent(stages[stage], total) for stage in shown), _percent(total, total))
    return table


def sentences(tiles, activity, tokens, source) -> list[str]:
    """What the tables say. source: what the cycles are: "simulated", say."""
    causes = _sums(tiles, lambda layer, stage, cause: cause)
    total = sum(causes.values())
    cycles = sum(tiles[0].values())
    share = lambda count: f"{100 * count / total:.1f} %"  # noqa: E731
    passes = sum(phase == Phase.PASS for _, phase in activity.phases)
    found = [
        f"{cycles:,} cycles ({source}) for {passes} passes and {tokens} tokens: {cycles / tokens:,.0f} cycles a token.",
        f"The banks read weights {share(causes[Counter.WEIGHT])} of the time, "
        f"K and V {share(causes[Counter.KV_READ])}.",
    ]
    lost = sorted((c for c in _IN_WORDS if causes[c]), key=lambda c: -causes[c])
    if lost:
        rest = ", ".join(f"{share(causes[c])} {_IN_WORDS[c]}" for c in lost)
        found.append(f"The other {share(sum(causes[c] for c in lost))} went by otherwise: {rest}.")
    waits = _sums(tiles, lambda layer, stage, cause: stage if cause in (Counter.WAIT_RING, Counter.ISSUE) else None)
    waits.pop(None, None)
    if waits:
        (first, most), *others = waits.most_common(3)
        more = "".join(f", then {stage} ({share(count)})" for stage, count in others)
        found.append(f"Waits are longest in front of {first} ({share(most)}){more}.")
    own = {phase: count for phase, count in phases(activity).items() if phase in _CONDUCTOR}
    if own:
        of_all = sum(phases(activity).values())
        parts = ", ".join(
            f"{_CONDUCTOR[phase]} {100 * count / of_all:.1f} %"
            for phase, count in sorted(own.items(), key=lambda i: -i[1])
        )
        found.append(f"The conductor itself takes {100 * sum(own.values()) / of_all:.1f} %: {parts}.")
    slow = [sum(tally.values()) - sum(n for (_, _, c), n in tally.items() if c == Counter.WEIGHT) for tally in tiles]
    if min(slow) < max(slow):
        found.append(
            f"Of the {len(tiles)} tiles, number {slow.index(min(slow))} reads weights most of the time and number "
            f"{slow.index(max(slow))} least: they differ by {100 * (max(slow) - min(slow)) / cycles:.1f} %."
        )
    return found
