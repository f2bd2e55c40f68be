"""Hsiao SECDED code in combinational logic: corrects one wrong bit of a codeword, detects two.

The functions serve components that want the code inside a pipeline of their own; the components wrap them. The column
table is `hayate.rtl.contract.secded`; an even number of errors from four up, and some odd ones from three up, are
beyond the code and may be taken for something smaller.
"""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract import secded as code

__all__ = ["Decoded", "SecdedDecoder", "SecdedEncoder", "decode", "encode"]

#: Syndrome bits decoded at once: one LUT4 per value of a chunk, shared by all data bits.
CHUNK = 4


def _any(bits: list[Value]) -> Value:
    """OR of a list, 0 when it is empty."""
    return Cat(*bits).any() if bits else Const(0, 1)


def _parities(data_bits: int, data: Value) -> Value:
    return Cat(*(Cat(*(data[i] for i in range(data_bits) if mask >> i & 1)).xor() for mask in code.rows(data_bits)))


def encode(data_bits: int, data: Value) -> Value:
    """Codeword of ``data``, unsigned(codeword_bits(data_bits)): one parity tree deep, three LUT4 levels for 64 bits."""
    data = Value.cast(data)
    return Cat(data[:data_bits], _parities(data_bits, data))


@dataclass(frozen=True)
class Decoded:
    """What a codeword turned out to be. ``corrected`` and ``uncorrectable`` are never both set."""

    data: Value  #: the word, corrected if one bit was wrong; the raw data bits if uncorrectable
    corrected: Value  #: one bit of the codeword, a check bit perhaps, was wrong
    uncorrectable: Value  #: more was wrong; ``data`` must not be used


def decode(m: Module, data_bits: int, codeword: Value, name: str = "secded") -> Decoded:
    """Decode ``codeword`` combinationally: parity tree, syndrome decoder, one AND-XOR per bit (five LUT4 levels for 64
    bits).

    Adds its intermediate signals, ``{name}_syndrome`` and ``{name}_hit_*``, to the combinational domain of ``m``.
    """
    r = code.check_bits(data_bits)
    codeword = Value.cast(codeword)
    syndrome = Signal(r, name=f"{name}_syndrome")
    m.d.comb += syndrome.eq(_parities(data_bits, codeword) ^ codeword[data_bits : data_bits + r])

    # One-hot decoders of a few syndrome bits each, so that matching a column takes one AND of two or three of them.
    chunks = []
    for low in range(0, r, CHUNK):
        width = min(CHUNK, r - low)
        hit = Signal(1 << width, name=f"{name}_hit_{low}")
        m.d.comb += hit.eq(Cat(syndrome[low : low + width] == value for value in range(1 << width)))
        chunks.append((low, width, hit))

    def matches(column: int, chunks=chunks) -> Value:
        return Cat(*(hit[column >> low & ((1 << width) - 1)] for low, width, hit in chunks)).all()

    table = code.columns(data_bits)
    # Which syndromes mean a single error: upper parts that go with the same set of lower parts share one AND.
    lower: dict[int, set[int]] = {}
    for column in (*table, *(1 << i for i in range(r))):
        lower.setdefault(column >> CHUNK << CHUNK, set()).add(column % (1 << CHUNK))
    uppers: dict[frozenset, list[int]] = {}
    for upper, values in lower.items():
        uppers.setdefault(frozenset(values), []).append(upper)
    first = chunks[0][2]
    terms = [
        _any([first[v] for v in sorted(values)]) & (_any([matches(u, chunks[1:]) for u in same]) if chunks[1:] else 1)
        for values, same in uppers.items()
    ]

    data = Signal(data_bits, name=f"{name}_data")
    single = Signal(name=f"{name}_single")
    known = Signal(name=f"{name}_known")
    m.d.comb += [
        data.eq(Cat(*(codeword[i] ^ matches(column) for i, column in enumerate(table)))),
        single.eq(_any(terms)),
        known.eq(single | (syndrome == 0)),
    ]
    return Decoded(data, single, ~known)


class SecdedEncoder(wiring.Component):
    """Adds the check bits of the Hsiao code to a word.

    Combinational: latency 0, no clock, no reset, no backpressure.

    Parameters
    ----------
    width : int
        Data bits, 1 to 1024.

    Members
    -------
    data : In(width)
        The word.
    codeword : Out(codeword_bits(width))
        Data in the low bits, check bits above. Zero for zero.

    Raises
    ------
    ValueError
        If ``width`` is out of range.
    """

    def __init__(self, width: int = 64):
        self.width = width
        coded = code.codeword_bits(width)
        super().__init__({"data": In(width), "codeword": Out(coded)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.codeword.eq(encode(self.width, self.data))
        return m


class SecdedDecoder(wiring.Component):
    """Checks a codeword of the Hsiao code and corrects one wrong bit in it.

    Combinational: latency 0, no clock, no reset, no backpressure.

    Parameters
    ----------
    width : int
        Data bits, 1 to 1024.

    Members
    -------
    codeword : In(codeword_bits(width))
        As read.
    data : Out(width)
        The word, with one wrong bit put right; the raw data bits when uncorrectable.
    corrected : Out(1)
        Exactly one bit, of data or check, was put right.
    uncorrectable : Out(1)
        Two bits (or a detectable larger number) are wrong.

    Raises
    ------
    ValueError
        If ``width`` is out of range.
    """

    def __init__(self, width: int = 64):
        self.width = width
        super().__init__(
            {
                "codeword": In(code.codeword_bits(width)),
                "data": Out(width),
                "corrected": Out(1),
                "uncorrectable": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word = decode(m, self.width, self.codeword)
        m.d.comb += [
            self.data.eq(word.data),
            self.corrected.eq(word.corrected),
            self.uncorrectable.eq(word.uncorrectable),
        ]
        return m
