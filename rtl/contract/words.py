"""Words with named fields: what flits carry, field by field, for RTL, golden model, benches and the manual alike.

A field's place follows from those before it, so nobody counts bits. `hayate.rtl.ring.flit` makes structures of signals
of these words, `scripts/docs.py` the manual's tables.
"""

from dataclasses import dataclass

from hayate.rtl.contract.isa import PassWord

#: Widths in bits: of a token, of an absolute position in a text, of a KV slot's number, of a generation's seed.
TOKEN_BITS, POSITION_BITS, SLOT_BITS, SEED_BITS = 20, 16, 16, 64
#: The most positions that a pass can have; masks of positions have a bit for each.
PASS_POSITIONS = 8


@dataclass(frozen=True)
class Field:
    """One field of a word. `text` says in the manual what it means; a field without one keeps a place free."""

    name: str
    bits: int
    text: str = ""


class Word:
    """Fields of a word, the lowest bits first.

    Parameters
    ----------
    name: of the word, for messages. fields: (name, bits, text) each; a name that begins with "_" keeps bits free, which
        are written as zeros and not looked at.
    """

    def __init__(self, name: str, *fields: tuple[str, int, str]):
        self.name = name
        self.fields = tuple(Field(*field) for field in fields)
        #: name -> (offset of its lowest bit, bits), free places left out.
        self.places: dict[str, tuple[int, int]] = {}
        at = 0
        for field in self.fields:
            if not field.name.startswith("_"):
                self.places[field.name] = (at, field.bits)
            at += field.bits
        #: bits of the whole word.
        self.bits = at

    def pack(self, **values: int) -> int:
        """The word as an integer; fields left out are 0.

        KeyError for a field that it does not have, ValueError naming the field for a value that does not fit.
        """
        if unknown := values.keys() - self.places.keys():
            raise KeyError(f"{self.name}: no field {min(unknown)!r}; it has {', '.join(self.places)}")
        word = 0
        for name, value in values.items():
            at, bits = self.places[name]
            if not 0 <= int(value) < 1 << bits:
                raise ValueError(f"{self.name}: field {name}: {value} does not fit {bits} bits")
            word |= int(value) << at
        return word

    def unpack(self, word: int) -> dict[str, int]:
        """Fields of a word given as an integer, whatever stands above and in free places."""
        return {name: word >> at & (1 << bits) - 1 for name, (at, bits) in self.places.items()}


#: PASS, word LANE: a position of the pass.
LANE = Word(
    "LANE",
    ("token", TOKEN_BITS, "token"),
    ("position", POSITION_BITS, "its absolute position in the text"),
    ("slot", SLOT_BITS, "KV slot that it takes"),
    ("ancestors", PASS_POSITIONS, "positions of this pass that it sees, itself included"),
    ("second", 1, "it is one of the second model's"),
)

#: PASS, word START: all positions are there, and the pass begins.
START = Word(
    "START",
    ("last", 3, "positions of the pass less 1"),
    ("measure", 1, "the governor measures"),
    ("draft", 1, "matrices with planes are read as INT4"),
    ("sample", 1, "tokens are sampled"),
    ("second", 1, "the pass is the second model's"),
    ("_", 1, ""),
    ("want", PASS_POSITIONS, "positions whose logits are wanted"),
    ("hwm", SLOT_BITS, "high-water mark: KV slots in use, with this pass"),
    ("counted", PASS_POSITIONS, "positions whose energies count in a GEMV that says `wanted`"),
)

#: PASS, word BEGIN: a generation begins.
BEGIN = Word("BEGIN", ("seed", SEED_BITS, "of the noise"))

#: PASS, word COMMIT: K and V of a slot belong to the text from now on.
COMMIT = Word(
    "COMMIT",
    ("_", TOKEN_BITS, ""),
    ("position", POSITION_BITS, "where they belong to"),
    ("slot", SLOT_BITS, "the slot"),
)

# What a COMMIT changes is found where a LANE has it, so that one multiplexer serves both.
assert all(COMMIT.places[name] == LANE.places[name] for name in COMMIT.places)

#: CAND: a tile's best token of a position.
CANDIDATE = Word(
    "CAND", ("value", 32, "FP32 bits of what was compared"), ("token", TOKEN_BITS, "global row of the output matrix")
)

#: `isa.PassWord` in a PASS flit's `chan` -> what is in its data. FINISH has none.
PASS_WORDS = {PassWord.LANE: LANE, PassWord.START: START, PassWord.BEGIN: BEGIN, PassWord.COMMIT: COMMIT}
