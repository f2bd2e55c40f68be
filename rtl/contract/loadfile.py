"""A load file: a placed model for a host without Python, with what it asks of the machine and what to write before a
START.

All words are little-endian and of 32 bits. The header comes first: `HEADER`, the needs (`NEED` each), the parameters
(`PARAMETER` each), and the CRC-32 (as of zlib) of all bytes before it. Behind it are the records, two words of 64 bits
each: address in the load window, data. They are a whole load, from OPEN to SEAL, and the last one's data is the CRC-32
of all between these two.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np

from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.load import Fact, fact, seal
from hayate.rtl.contract.regmap import BY_NAME, REGISTERS

MAGIC = 0x444C5948  # "HYLD"
VERSION = 1

#: Fields of the header that every file has: name, words of 32 bits, what it holds. Names are UTF-8, padded with zeros.
HEADER = (
    ("MAGIC", 1, f'0x{MAGIC:08X}, "HYLD"'),
    ("VERSION", 1, f"version of this format, {VERSION}"),
    ("HEADER_SIZE", 1, "bytes of the header, its CRC included; a multiple of 8"),
    ("NEEDS", 1, "how many needs follow these fields"),
    ("PARAMETERS", 1, "how many parameters follow the needs"),
    ("RECORDS", 1, "how many records follow the header"),
    ("SAMPLING", 1, "addresses in vector memory, as in fact SAMPLING: INVT [13:0], LNP [29:16]"),
    ("MODEL", 16, "name of the model"),
    ("TOKENIZER", 16, "name of the tokenizer's file; empty where the model has none"),
    ("TOKENIZER_SHA256", 8, "sha256 of that file's bytes; zeros where there is none"),
)
#: Words of an entry of either list, and of a record (of 64 bits).
NEED = ("offset", "mask", "value", "kind")
PARAMETER = ("offset", "value")
RECORD = ("address", "data")


class Kind(IntEnum):
    """How a need compares what its register reads as, & mask, with its value."""

    EQUAL = 0
    AT_LEAST = 1
    ALL = 2  # every bit of the value is set


def _places():
    at, found = 0, {}
    for name, words, _ in HEADER:
        found[name] = at
        at += 4 * words
    return found, at


#: Field of `HEADER` -> its first byte; bytes of them all.
OFFSETS, FIELDS_SIZE = _places()


@dataclass(frozen=True)
class Need:
    """Register `register` & `mask` must be `value`, at least it, or have all of its bits."""

    register: str
    mask: int
    value: int
    kind: Kind

    def holds(self, read):
        """Whether a machine whose register reads as `read` is good enough."""
        found = read & self.mask
        return {
            Kind.EQUAL: found == self.value,
            Kind.AT_LEAST: found >= self.value,
            Kind.ALL: found & self.value == self.value,
        }[self.kind]


@dataclass(frozen=True)
class LoadFile:
    """What a load file holds.

    Parameters
    ----------
    model, tokenizer: names; longer ones than a field holds lose their ends. sha256: 32 bytes, of the tokenizer; zeros
        where there is none.
    sampling: value of fact SAMPLING. needs: `Need`s. parameters: register name -> value.
    records: uint64 [n, 2], from OPEN to SEAL.
    """

    model: str
    tokenizer: str
    sha256: bytes
    sampling: int
    needs: tuple
    parameters: dict
    records: np.ndarray

    def to_bytes(self):
        needs = [(BY_NAME[n.register].offset, n.mask, n.value, int(n.kind)) for n in self.needs]
        parameters = [(BY_NAME[name].offset, value) for name, value in self.parameters.items()]
        size = FIELDS_SIZE + 16 * len(needs) + 8 * len(parameters) + 4
        values = {
            "MAGIC": MAGIC,
            "VERSION": VERSION,
            "HEADER_SIZE": size,
            "NEEDS": len(needs),
            "PARAMETERS": len(parameters),
            "RECORDS": len(self.records),
            "SAMPLING": self.sampling,
            "MODEL": self.model.encode(),
            "TOKENIZER": self.tokenizer.encode(),
            "TOKENIZER_SHA256": self.sha256,
        }
        parts = []
        for name, words, _ in HEADER:
            value = values[name]
            parts.append(struct.pack("<I", value) if words == 1 else _cut(value, 4 * words).ljust(4 * words, b"\0"))
        parts += [struct.pack("<4I", *row) for row in needs] + [struct.pack("<2I", *row) for row in parameters]
        head = b"".join(parts)
        return head + struct.pack("<I", zlib.crc32(head)) + self.records.astype("<u8").tobytes()


def _cut(name, size):
    """At most `size` bytes of a name in UTF-8, no character of it broken; of other bytes all."""
    return name if len(name) <= size else name[:size].decode(errors="ignore").encode()


def read_load_file(path):
    """The `LoadFile` at `path`. Raises HayateError, as `parse` does."""
    try:
        raw = Path(path).read_bytes()
    except OSError as e:
        raise HayateError(
            path, "", f"cannot be read ({e.strerror})", "give a file that `hayate export` wrote"
        ) from None
    return parse(raw, path)


def parse(raw, path):
    """The `LoadFile` of bytes, checked from end to end. Raises HayateError that names `path` and what is wrong with
    it.
    """

    def require(ok, field, what):
        if not ok:
            raise HayateError(path, field, what, "export the model again")

    def word(at):
        return struct.unpack_from("<I", raw, at)[0]

    if len(raw) < FIELDS_SIZE + 4 or word(OFFSETS["MAGIC"]) != MAGIC:
        raise HayateError(path, "", "not a Hayate load file", "give a file that `hayate export` wrote")
    require(word(OFFSETS["VERSION"]) == VERSION, "version", f"{word(OFFSETS['VERSION'])}, this is for {VERSION}")
    size, needs, parameters, count = (word(OFFSETS[name]) for name in ("HEADER_SIZE", "NEEDS", "PARAMETERS", "RECORDS"))
    require(size == FIELDS_SIZE + 16 * needs + 8 * parameters + 4 and size <= len(raw), "header", "its size is wrong")
    require(zlib.crc32(raw[: size - 4]) == word(size - 4), "header", "it is damaged")
    require(len(raw) == size + 16 * count, "records", f"{len(raw) - size} bytes, {count} records take {16 * count}")
    names = {r.offset: r.name for r in REGISTERS}
    rows = [struct.unpack_from("<4I", raw, FIELDS_SIZE + 16 * n) for n in range(needs)]
    pairs = [struct.unpack_from("<2I", raw, FIELDS_SIZE + 16 * needs + 8 * n) for n in range(parameters)]
    require({at for at, *_ in (*rows, *pairs)} <= names.keys(), "header", "it names a register that is not there")
    require(all(kind <= max(Kind) for *_, kind in rows), "header", "it has a need of another kind")
    records = np.frombuffer(raw, "<u8", offset=size).reshape(-1, len(RECORD))
    require(count > 2 and tuple(records[0].tolist()) == fact(Fact.OPEN), "records", "they do not begin with OPEN")
    require(tuple(records[-1].tolist()) == fact(Fact.SEAL, seal(records[1:-1])), "records", "the seal is not their CRC")

    def text(name):
        words = next(words for field, words, _ in HEADER if field == name)
        return raw[OFFSETS[name] : OFFSETS[name] + 4 * words]

    tokenizer = text("TOKENIZER").rstrip(b"\0").decode()
    return LoadFile(
        text("MODEL").rstrip(b"\0").decode(),
        tokenizer,
        text("TOKENIZER_SHA256"),
        word(OFFSETS["SAMPLING"]),
        tuple(Need(names[at], mask, value, Kind(kind)) for at, mask, value, kind in rows),
        {names[at]: value for at, value in pairs},
        records,
    )
