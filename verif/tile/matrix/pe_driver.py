"""Drives a PE word by word and compares it with exact sums in plain integers."""

from dataclasses import dataclass, field

from hayate.rtl.contract.latencies import PE_LATENCY
from hayate.verif.bench import params, rng
from hayate.verif.numerics.operands import pack, product, signed, unsigned, value

#: The quick tier builds the first and the last.
BUILDS = [
    {"lanes": 1},
    {"lanes": 4, "measure": True},
    {"lanes": 1, "measure": True},
    {"lanes": 4},
    {"lanes": 2, "measure": True},
]
FP16_BUILDS = [{"lanes": 2, "nested": False}, {"lanes": 1, "nested": False}]  # of words in FP16 alone

#: Widths of ports beside `en` and `word`; those of each lane; those that only words of the planes have.
_PORTS = {"weight": 64, "act": 64, "codes": 128, "exponent": 5}
_PER_LANE = ("act", "codes", "exponent")
_OF_NESTED = ("codes", "exponent")


@dataclass
class Word:
    """What the ports show beside `en`, and fields of `word` beside `first` and `last`; what is not named is not used by
    this kind of word.

    terms: what the word adds, by lane, in units of 2**-48; of nibbles, a function of the four scales stored.
    """

    ports: dict
    terms: object = None
    scales: list | None = None
    nibbles: bool = False
    controls: dict = field(default_factory=dict)


def fp16(weight, acts):
    """A word of 4 weight patterns, beside 4 patterns for each lane."""
    terms = [sum(product(w, a) for w, a in zip(weight, act, strict=True)) for act in acts]
    return Word({"weight": pack(weight), "act": pack([pack(a) for a in acts], 64)}, terms)


def scales(patterns):
    """A word of 4 scales, as patterns."""
    return Word({"weight": pack(patterns)}, scales=list(patterns))


def nibbles(values, codes, exponents, *, low=0, select=0, subtract=0, first_low=0):
    """A word of 16 nibbles, beside 16 codes and an exponent for each lane."""
    dots = [sum(n * q for n, q in zip(values, lane, strict=True)) for lane in codes]
    sign, plane = (-1 if subtract else 1), (1 if low else 16)

    def terms(stored):
        # A code counts 2**(e' - 16), a pattern's value 2**-24, and the result 2**-48.
        return [
            sign * plane * dot * value(stored[select]) * 2 ** (e + 8) for dot, e in zip(dots, exponents, strict=True)
        ]

    ports = {
        "weight": pack([unsigned(v, 4) for v in values], 4),
        "codes": pack([pack([unsigned(q, 8) for q in lane], 8) for lane in codes], 128),
        "exponent": pack(exponents, 5), "low": low, "select": select, "subtract": subtract,
    }  # fmt: skip
    return Word(ports, terms, nibbles=True, controls={"first_low": first_low})


class Driver:
    """Presents rows of words; checks that `done` comes when it must and that the results then hold the exact sums."""

    def __init__(self, dut):
        self.dut = dut
        self.lanes, self.measure, self.nested = (
            params().get("lanes", 1),
            params().get("measure", False),
            params().get("nested", True),
        )
        self.cycle = 0
        self.due = {}  # cycle of `done` -> sums by lane, sums of the low plane by lane
        self.stored = [0] * 4
        self.sums, self.low_sums = [0] * self.lanes, [0] * self.lanes
        self.held = None  # what the results must keep showing
        self.results, self.low_results = [], []

    def _unused(self, noise, width):
        """Any value, and none at all where the simulator knows of such: its bits, the highest first."""
        import cocotb

        if "icarus" in cocotb.SIM_NAME.lower() and noise.random() < 0.7:
            return "X" * width
        return f"{noise.getrandbits(width):0{width}b}"

    def _present(self, word, first, last):
        from cocotb.types import LogicArray

        from hayate.rtl.tile.interfaces import pe_word_layout

        dut, noise = self.dut, rng(self.cycle)
        dut.en.value = int(word is not None)
        idle = word is None
        shown = {} if idle else {
            **word.ports, "first": first, "last": last, "first_low": word.controls.get("first_low", 0),
            "scales": int(word.scales is not None),
            "nibbles": noise.getrandbits(1) if word.scales else int(word.nibbles),
        }  # fmt: skip

        def bits(name, width):
            return f"{shown[name]:0{width}b}" if name in shown else self._unused(noise, width)

        fields = pe_word_layout(self.nested, self.measure).members  # the lowest first
        dut.word.value = LogicArray("".join(bits(name, width) for name, width in reversed(fields.items())))
        for name, width in _PORTS.items():
            if self.nested or name not in _OF_NESTED:
                lanes = self.lanes if name in _PER_LANE else 1
                getattr(dut, name).value = LogicArray(bits(name, lanes * width))

    def _count(self, word, first, last):
        if first:
            self.sums = [0] * self.lanes
        if word.controls.get("first_low"):
            self.low_sums = [0] * self.lanes
        if word.scales:
            self.stored = word.scales
        else:
            terms = word.terms(self.stored) if word.nibbles else word.terms
            self.sums = [a + b for a, b in zip(self.sums, terms, strict=True)]
            if word.nibbles and word.ports["low"]:
                self.low_sums = [a + b for a, b in zip(self.low_sums, terms, strict=True)]
        if last:
            self.due[self.cycle + PE_LATENCY] = self.sums, self.low_sums

    def _shown(self, port):
        bits = int(port.value)
        return [signed(bits >> (96 * k) & (1 << 96) - 1, 96) for k in range(self.lanes)]

    async def step(self, word=None, *, first=0, last=0):
        """One cycle, with a word or with junk and `en` low."""
        from hayate.verif.bench.drivers import clock

        dut = self.dut
        self._present(word, first, last)
        if word is not None:
            self._count(word, first, last)
        await clock(dut)
        # The edge ends this cycle: what is sampled here is what it showed.
        assert int(dut.done.value) == (self.cycle in self.due), f"done in cycle {self.cycle}, due {sorted(self.due)}"
        if self.cycle in self.due:
            self.held = self.due.pop(self.cycle)
            self.results.append(self.held[0])
            self.low_results.append(self.held[1])
        if self.held is not None:
            assert self._shown(dut.result) == self.held[0], f"result in cycle {self.cycle}"
            if self.measure:
                assert self._shown(dut.low_result) == self.held[1], f"low_result in cycle {self.cycle}"
        self.cycle += 1

    async def row(self, words, gap: float = 0.0):
        """One row, with an idle cycle in front of each word with probability `gap`."""
        noise = rng(("gap", self.cycle))
        for i, word in enumerate(words):
            while noise.random() < gap:
                await self.step()
            await self.step(word, first=int(i == 0), last=int(i == len(words) - 1))

    async def drain(self):
        for _ in range(PE_LATENCY + 3):
            await self.step()
        assert not self.due


async def begin(dut) -> Driver:
    from hayate.verif.bench.drivers import start

    await start(dut)
    return Driver(dut)
