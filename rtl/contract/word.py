"""Words with named fields: what memories and flits hold, field by field.

A field's place follows from those before it, so nobody counts bits. `hayate.rtl.ring.flit` makes structures of signals
of words, `scripts/docs.py` the manual's tables.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """One field of a word. `text` says in the manual what it means. A `signed` one is in two's complement."""

    name: str
    bits: int
    text: str = ""
    signed: bool = False


class Word:
    """Fields of a word, the lowest bits first.

    Parameters
    ----------
    name: of the word, for messages. fields: `Field`s, or their members as tuples; a name that begins with "_" keeps
        bits free, which are written as zeros and not looked at.
    """

    def __init__(self, name: str, *fields: Field | tuple):
        self.name = name
        self.fields = tuple(field if isinstance(field, Field) else Field(*field) for field in fields)
        #: name -> (offset of its lowest bit, bits), free places left out.
        self.places: dict[str, tuple[int, int]] = {}
        at = 0
        for field in self.fields:
            if not field.name.startswith("_"):
                self.places[field.name] = (at, field.bits)
            at += field.bits
        #: bits of the whole word.
        self.bits = at
        self._signed = {field.name for field in self.fields if field.signed}

    def pack(self, **values: int) -> int:
        """The word as an integer; fields left out are 0.

        KeyError for a field that it does not have, ValueError naming the field for a value that does not fit.
        """
        if unknown := values.keys() - self.places.keys():
            raise KeyError(f"{self.name}: no field {min(unknown)!r}; it has {', '.join(self.places)}")
        word = 0
        for name, value in values.items():
            at, bits = self.places[name]
            least = -1 << bits - 1 if name in self._signed else 0
            if not least <= int(value) < least + (1 << bits):
                raise ValueError(f"{self.name}: field {name}: {value} does not fit {bits} bits")
            word |= (int(value) & (1 << bits) - 1) << at
        return word

    def unpack(self, word: int) -> dict[str, int]:
        """Fields of a word given as an integer, whatever stands above and in free places."""
        found = {name: word >> at & (1 << bits) - 1 for name, (at, bits) in self.places.items()}
        for name in self._signed:
            found[name] -= (found[name] >> self.places[name][1] - 1) << self.places[name][1]
        return found
