"""Whatever a host does, the chip answers with right tokens or with a reported error, in bounded time.

Each deed of a careless or hostile host is followed by what the documents say to do then, and by a generation.
"""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from hayate.backends.load_words import governed, load_words
from hayate.backends.request import draft_registers, generation_words
from hayate.backends.rtl import optimized
from hayate.compiler import compile_model
from hayate.compiler.place import place
from hayate.golden.conductor.generate import generate
from hayate.progress import Steps
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.isa import PRECISION_BIT, Csr, Space
from hayate.rtl.contract.load import Fact, Reason, fact
from hayate.rtl.contract.precision import Format
from hayate.rtl.contract.regmap import LOAD_ALL_TILES, LoadSpace, load_address
from hayate.sim.machine.sim_top import TILE
from hayate.sim.machine.texts import chip_text
from hayate.verif.bench import TEXTS, Bench, rng
from hayate.verif.models.tiny import write_tiny_model

CONFIG = load_config("unit", ["prompt_depth=10"])  # more than the governor measures on
VOCAB, CONTEXT, TOKENS = 41, 24, 12  # more tokens than the FIFO holds, and an odd number of them to know
OKAY, SLVERR = 0, 2
ABORT, RESET, INIT = 2, 4, 8  # of CONTROL
AUTO = 2  # of OPTIONS
MARGIN = 64  # cycles from the last answer of a pass to DONE, see `Conductor`
FORMATS = ("auto", "fp16", "int8", "int4")


@cache
def model():
    """(`Image`, `Placement`, words of a load)."""
    with TemporaryDirectory() as folder:
        path = write_tiny_model(
            Path(folder) / "model",
            hidden=16,
            layers=1,
            heads=2,
            kv_heads=1,
            head_dim=8,
            ff=24,
            vocab=VOCAB,
            context=CONTEXT,
            seed=11,
            tied=False,
        )
        image = compile_model(path)
    placement = place(image, CONFIG)
    return image, placement, [tuple(row) for row in load_words(placement).tolist()]


@cache
def expected(prompt, precision, speculate, seed):
    sampled = {"temperature": 0.9, "seed": seed} if seed else {}
    return generate(
        model()[0],
        prompt,
        TOKENS,
        lanes=CONFIG.lanes,
        slots=CONFIG.max_slots,
        precision=precision,
        speculate=speculate,
        **sampled,
    ).tokens


class Host:
    """A host with a `Chip`, a generator of randomness, and what it must know: nothing but what the documents say."""

    def __init__(self, chip, generator):
        self.chip, self.random = chip, generator
        self.image, self.placement, self.load_words = model()

    def request(self):
        """A random generation: (prompt, words beside the prompt, registers, golden's tokens)."""
        prompt = tuple(self.random.randrange(VOCAB) for _ in range(self.random.randint(1, CONFIG.prompt_depth)))
        precision = self.random.choice(FORMATS)
        speculate = self.random.choice(("off", "ngram", "nested"))
        seed = self.random.choice((0, 0, 0, self.random.getrandbits(64)))
        knob = 9033886 if precision == "auto" else None
        scale = np.float32(1) / np.float32(0.9) if seed else None
        draft = draft_registers(CONFIG.lanes, speculate, None, None, None)
        words, registers = generation_words(
            self.placement, prompt, TOKENS, knob=knob, draft=draft, scale=scale, seed=seed
        )
        if precision != "auto":
            own = [(index, Format[precision.upper()]) for index, _ in governed(self.placement)]
            words += [
                (load_address(LOAD_ALL_TILES, Space.CSR, 1 << PRECISION_BIT | index), form) for index, form in own
            ]
        self.last = prompt, precision, speculate, seed
        return words, registers, expected(*self.last)

    async def generation(self):
        """One from begin to end, as the documents say; right to the last token."""
        words, registers, tokens = self.request()
        await self.chip.words(words)
        assert await self.chip.start(registers), f"REJECTION {await self.chip.read('REJECTION'):#x}"
        found = await self.chip.finish()
        assert found == (tokens, False), f"{self.last}: {found}, not {tokens}"

    async def begin(self):
        """START something and let it run a while: (golden's tokens, those read on the way)."""
        words, registers, tokens = self.request()
        await self.chip.words(words)
        assert await self.chip.start(registers)
        await self.chip.cycles(
            self.random.choice((0, 5, 50, self.random.randrange(3000), self.random.randrange(20000)))
        )
        return tokens

    # ---- what is done to it ----

    async def reset_by_pin(self):
        """In a generation. A reset keeps the model: nothing is loaded again."""
        await self.begin()
        await self.chip.pin_reset(self.random.randint(2, 5), init=0)
        assert await self.chip.read("STATUS", "LOADED") == 1

    async def reset_by_command(self):
        await self.begin()
        await self.chip.write("CONTROL", RESET)
        assert await self.chip.read("STATUS") & 0b1111 == 0

    async def reset_twice_idle(self):
        for _ in range(2):
            await self.chip.pin_reset()
            await self.chip.cycles(self.random.randrange(5))

    async def init(self):
        """Everything is gone, in the middle of a generation too; the host is told, and loads."""
        if self.random.random() < 0.5:
            await self.begin()
        if self.random.random() < 0.5:
            await self.chip.write("CONTROL", INIT)
        else:
            await self.chip.pin_reset(init=1)
        await self.chip.ready()
        assert not await self.chip.start(self.request()[1]) and await self.chip.read("REJECTION", "NOT_LOADED") == 1
        await self.chip.load(self.load_words)

    async def abort(self):
        """With the FIFO read or not: what came is the beginning of the text, DONE comes in bounded time."""
        tokens = await self.begin()
        await self.chip.write("CONTROL", ABORT)
        for _ in range(200):
            if await self.chip.read("STATUS", "DONE"):
                break
            await self.chip.cycles(100)
        assert await self.chip.read("STATUS", "BUSY") == 0
        found = await self.chip.drain()
        assert found == tokens[: len(found)] and len(found) <= CONFIG.prompt_depth + 2

    async def unread_tokens(self):
        """Nobody reads: the machine waits with a full FIFO and loses nothing; or is aborted there."""
        words, registers, tokens = self.request()
        await self.chip.words(words)
        assert await self.chip.start(registers)
        while await self.chip.read("TOKEN_LEVEL") < CONFIG.prompt_depth:
            assert await self.chip.read("STATUS", "BUSY") == 1
            await self.chip.cycles(500)
        await self.chip.cycles(self.random.randrange(5000))
        assert (
            await self.chip.read("STATUS", "BUSY") == 1 and await self.chip.read("TOKEN_LEVEL") == CONFIG.prompt_depth
        )
        if self.random.random() < 0.5:
            assert await self.chip.finish() == (tokens, False)
        else:
            await self.chip.write("CONTROL", ABORT)
            await self.chip.cycles(MARGIN)
            assert await self.chip.read("STATUS", "DONE") == 1
            assert await self.chip.drain() == tokens[: CONFIG.prompt_depth]

    async def abort_while_idle(self):
        await self.chip.write("CONTROL", ABORT)

    async def wrong_id(self):
        prompt = [self.random.randrange(VOCAB) for _ in range(4)]
        prompt[self.random.randrange(4)] = self.random.choice(
            (VOCAB, VOCAB + 1, 512, 1 << 19, 1 << 20, (1 << 20) + 1, 1 << 63)
        )
        await self.chip.prompt(prompt, answers=(SLVERR,))
        await self.refused(Reason.DATA)

    async def refused(self, *reasons):
        """A refusal stays in sight: no START before somebody has looked."""
        assert (
            await self.chip.read("LOAD_STATUS", "REFUSED") == 1
            and await self.chip.read("LOAD_STATUS", "REASON") in reasons
        )
        assert not await self.chip.start(self.request()[1]) and await self.chip.read("REJECTION", "REFUSED") == 1
        await self.chip.write("LOAD_STATUS", 1)

    def stray(self):
        """A word that is not for this machine, or not for now."""
        space, tile = (
            self.random.choice([*range(6), *LoadSpace, 10, 15]),
            self.random.choice((0, 1, 2, 77, LOAD_ALL_TILES)),
        )
        addr = self.random.choice(
            (
                0,
                1,
                5,
                1 << self.random.randrange(25),
                self.random.randrange(1 << 25),
                CONFIG.bank_depth,
                2 * CONFIG.program_depth,
                CONFIG.micro_depth,
                CONFIG.vmem_depth,
                CONFIG.prompt_depth,
                Csr.MIN_P + 2,
            )
        )
        if (
            space in (LoadSpace.PROMPT, Space.VMEM, Space.CSR)
            and addr < 1 << 11
            or (space, addr) == (LoadSpace.MODEL, Fact.OPEN)
        ):
            space = Space.BANK
        return load_address(tile, space, addr), self.random.getrandbits(64)

    async def wrong_address(self):
        """Behind the seal nothing of a model can be written, there or not."""
        for _ in range(8):
            await self.chip.words([self.stray()], answers=(SLVERR,))
        await self.refused(Reason.ADDRESS, Reason.SEALED)

    async def writes_while_busy(self):
        """Prompts too; the generation in progress does not mind."""
        words, registers, tokens = self.request()
        await self.chip.words(words)
        assert await self.chip.start(registers)
        for _ in range(self.random.randint(1, 6)):
            await self.chip.words(
                [self.random.choice((self.stray(), words[0], fact(Fact.OPEN), self.load_words[100]))], answers=(SLVERR,)
            )
            await self.chip.write("TOKEN_LIMIT", 1)
        assert await self.chip.finish() == (tokens, False)
        await self.refused(Reason.BUSY, Reason.ADDRESS, Reason.SEALED)

    async def half_load(self):
        """A load that stops somewhere, by itself or by a reset, leaves a machine that refuses to start."""
        stop = self.random.randrange(1, len(self.load_words) - 1)
        await self.chip.words(self.load_words[:stop])
        if self.random.random() < 0.5:
            await self.chip.pin_reset()
        elif self.random.random() < 0.5:  # and what lacks shows in the seal
            await self.chip.words([self.load_words[-1]], answers=(SLVERR,))
            await self.chip.write("LOAD_STATUS", 1)
        assert not await self.chip.start(self.request()[1]) and await self.chip.read("REJECTION", "NOT_LOADED") == 1
        await self.chip.load(self.load_words)

    async def a_wrong_bit_on_the_way(self):
        words = list(self.load_words)
        at = self.random.randrange(8, len(words) - 1)
        address, data = words[at]
        words[at] = address, data ^ 1 << self.random.randrange(3)
        for part in (words[:-1], words[-1:]):
            await self.chip.words(part, answers=(OKAY, SLVERR))
        assert await self.chip.read("STATUS", "LOADED") == 0 and await self.chip.read("LOAD_STATUS", "REFUSED") == 1
        await self.chip.load(self.load_words)

    async def loads_by_registers(self):
        await self.chip.load(self.load_words, by_registers=True)

    async def parameters_that_do_not_fit(self):
        _, registers, _ = self.request()
        name, value = self.random.choice(
            (
                ("TILES", 1),
                ("TILES", 3),
                ("TILES", 0),
                ("CONTEXT", CONFIG.max_slots - 1),
                ("TOKEN_LIMIT", 0),
                ("PROMPT_LENGTH", 0),
                ("PROMPT_LENGTH", CONFIG.prompt_depth + 1),
                ("MATRICES", CONFIG.matrices + 1),
                ("DRAFT", 3),
                ("DRAFT", 1 << 14 | 1),
            )
        )
        auto = {"OPTIONS": registers["OPTIONS"] | AUTO} if name == "MATRICES" else {}
        assert (
            not await self.chip.start({**registers, **auto, name: value})
            and await self.chip.read("STATUS", "BUSY") == 0
        )

    async def a_watchdog_that_bites(self):
        """A pass that takes longer than it may is given up and told; a reset by command is all it takes."""
        words, registers, _ = self.request()
        await self.chip.words(words)
        assert await self.chip.start({**registers, "WATCHDOG": self.random.randint(1, 300)})
        _, fault = await self.chip.finish()
        assert fault and await self.chip.read("FAULT_CAUSE") == 4
        assert not await self.chip.start(registers) and await self.chip.read("REJECTION", "FAULT") == 1
        await self.chip.write("CONTROL", RESET)
        await self.chip.write("WATCHDOG", 1 << 27)


NAMES = [
    name
    for name, deed in vars(Host).items()
    if callable(deed)
    and not name.startswith("_")
    and name not in ("request", "generation", "begin", "refused", "stray")
]
SERIES = [{"series": n} for n in range(20)]
DEEDS = 25  # of a series
#: The tile, as it is compiled, is that of the tests of whole generations on `unit`.
BUILD = {"name": "hayate", "optimize": optimized(), "timeout": 3000, "sims": ("verilator",), "blocks": (TILE,)}
QUICK = Bench(lambda: chip_text(CONFIG, TEXTS, Steps()), **BUILD)
LONG = Bench(lambda series: chip_text(CONFIG, TEXTS, Steps()), params=SERIES, **BUILD)


async def deeds(dut, count):
    """So many, each followed by a generation that is golden's to the last token."""
    from hayate.verif.system.chip import Chip

    generator = rng("deeds")
    host = Host(Chip(dut), generator)
    await host.chip.pin_reset(4)
    await host.chip.load(host.load_words)
    names = generator.sample(NAMES, len(NAMES))  # each at least once
    names += generator.choices(NAMES, k=count - len(names))
    for number, name in enumerate(names):
        dut._log.info("%d: %s", number, name)
        await getattr(host, name)()
        await host.generation()


@QUICK.test(limit=10_000_000)
async def every_deed_ends_in_right_tokens(dut):
    await deeds(dut, 20)


@pytest.mark.nightly
@LONG.test(limit=40_000_000)
async def five_hundred_deeds_end_in_right_tokens(dut):
    await deeds(dut, DEEDS)


def test_the_long_series_have_500_deeds():
    assert len(SERIES) * DEEDS == 500 and len(NAMES) <= 20
    assert all(getattr(Host, name).__code__.co_flags & 0x80 for name in NAMES), "each is a coroutine"
