"""What tiles and conductor are busy with, cycle by cycle, for those who record it: `hayate profile`, an analyser."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from hayate.rtl.contract.flits import KIND_BITS
from hayate.rtl.contract.isa import INDEX_BITS, LOOP_BITS
from hayate.rtl.contract.word import Word


class Phase(IntEnum):
    """What the conductor does."""

    IDLE = 0  # no generation
    FRAME = 1  # tells the tiles that a generation begins or ends
    PROMPT = 2  # reads the tokens of the next pass from the prompt
    DRAFT = 3  # takes those that a drafting pass has found
    ANNOUNCE = 4  # sends the pass to the tiles, drafting from tables meanwhile
    PASS = 5  # the tiles run it
    VERIFY = 6  # chooses, and walks the tree
    RELEASE = 7  # says what belongs to the text
    GOVERN = 8  # the governor decides


PHASE_BITS = 4

#: A tile's, in every cycle. An engine takes entries in the order in which they were queued for it.
ACTIVITY = Word(
    "ACTIVITY",
    ("cause", 4, "`Counter` that the cycle counts for, WEIGHT to IDLE"),
    ("counted", 1, "it counts: a generation is in progress"),
    ("taken", 1, "the matrix engine took an entry in the cycle before: it begins, or its wait is over"),
    ("served", 1, "the vector engine is done with an entry"),
    ("queued", 1, "the sequencer queues an entry"),
    ("vector", 1, "with `queued`: for the vector engine"),
    ("next", INDEX_BITS, "with `queued`: address of the instruction behind it"),
    ("layer", LOOP_BITS, "with `queued`: loop register LAYER"),
    ("sent", 1, "a flit goes from this tile's stop to the next one"),
    ("kind", KIND_BITS, "with `sent`: its `FlitKind`"),
)


class Entry(NamedTuple):
    """An instruction for an engine: its address, the loop register LAYER, the cycle in which it was queued, and the one
    in which it was taken, by the matrix engine, or served, by the vector engine.
    """

    at: int
    layer: int
    queued: int
    done: int


class Flits(NamedTuple):
    """Flits of a `FlitKind` that left a stop in cycles `first` up to `stop`, one in each."""

    first: int
    stop: int
    kind: int


@dataclass
class TileActivity:
    """What a tile did in a generation. `causes`: cycle -> `Counter` that it and those behind it count for, None where
    they do not; in order. `matrix`, `vector`: `Entry`s of the engines, in order. `sent`: `Flits`, in order.
    """

    causes: list[tuple[int, int | None]] = field(default_factory=list)
    matrix: list[Entry] = field(default_factory=list)
    vector: list[Entry] = field(default_factory=list)
    sent: list[Flits] = field(default_factory=list)


@dataclass
class Activity:
    """What a machine did in a generation: of each tile, by logical number; `phases`: cycle -> `Phase` that begins with
    it, in order. `kept`: cycles of verdicts, and how many of the pass's positions belong to the text from then on.
    """

    tiles: list[TileActivity] = field(default_factory=list)
    phases: list[tuple[int, int]] = field(default_factory=list)
    kept: list[tuple[int, int]] = field(default_factory=list)
