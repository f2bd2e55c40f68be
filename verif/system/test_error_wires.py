"""A damaged word in any memory reaches counter, `fault`, interrupt and STATUS of the whole chip."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from hayate.backends.load_words import load_words
from hayate.backends.request import draft_registers, generation_words
from hayate.compiler import compile_model
from hayate.compiler.link import pair
from hayate.compiler.place import place
from hayate.golden.conductor.generate import generate
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.image import NGRAMS
from hayate.rtl.contract.isa import Counter
from hayate.verif.bench import Bench
from hayate.verif.models.tiny import write_tiny_model
from hayate.verif.system import flipped

#: A build of its own, and a generation for each memory.
pytestmark = pytest.mark.nightly
CONFIG = load_config(
    "unit",
    [
        "tiles=1",
        "bank_depth=2048",
        "prompt_depth=12",
        "max_slots=28",
        "act_depth=64",
        "stage_depth=64",
        "vmem_depth=256",
    ],
)
BENCH = Bench(lambda: flipped.chip(CONFIG), optimize="-Og", timeout=1800, sims=("verilator",))
PROMPT, TOKENS, VOCAB = (3, 1, 4, 1, 5), 3, 41

#: Generations that between them use every memory: drafter, whether the governor chooses, whether tokens are sampled,
#: base table.
KINDS = (("ngram", True, True, False), ("draft", False, False, False), ("ngram", False, False, True))


def model():
    """`Image` with a draft model and a base table."""
    with TemporaryDirectory() as folder:
        sizes = dict(heads=2, kv_heads=1, head_dim=8, ff=24, vocab=VOCAB, layers=1, hidden=16, context=24)
        first, second = (
            compile_model(write_tiny_model(Path(folder) / name, seed=seed, tied=False, **sizes), planes=planes)
            for name, seed, planes in (("first", 11, True), ("second", 5, False))
        )
    table = np.array([(-1, t, (t + 1) % VOCAB) for t in range(VOCAB)], np.int32)
    return replace(pair(first, second), tensors={**first.tensors, NGRAMS: table})


class Machine:
    """The chip under test, and its model."""

    def __init__(self, dut):
        from hayate.verif.system.chip import Chip

        self.dut, self.chip, self.image = dut, Chip(dut), model()
        self.placement = place(self.image, CONFIG)

    async def generation(self, speculate, auto, sample, base, banks=False):
        """Load all but the banks, which keep what they hold, and run until it ends or a fault is seen: (whether one
        was, tokens).
        """
        chip, scale = self.chip, np.float32(1.25) if sample else None
        await chip.words(load_words(self.placement, banks=banks, base=base).tolist(), answers=(0, 2))
        draft = draft_registers(CONFIG.lanes, speculate, None, None, None, base=base)
        knob = 9033886 if auto else None
        words, registers = generation_words(self.placement, PROMPT, TOKENS, knob=knob, draft=draft, scale=scale, seed=7)
        await chip.words(words, answers=(0, 2))
        tokens = []
        if await chip.start(registers):
            while not await chip.read("STATUS", "FAULT") and not await chip.read("STATUS", "DONE"):
                await chip.cycles(50)
            tokens = await chip.drain()
            for matrix in range(2 * auto):
                await chip.write("GOVERNOR_SELECT", matrix)
                await chip.read("GOVERNOR_LOW")
        else:
            assert await chip.read("STATUS", "FAULT"), "a load that nothing is wrong with is refused"
        return bool(await chip.read("STATUS", "FAULT")), tokens


@BENCH.test(limit=10_000_000)
async def every_memory_tells(dut):
    import cocotb
    from cocotb.triggers import RisingEdge

    from hayate.verif.system.chip import INIT, RESET

    m = Machine(dut)
    dut.flip.value = 0
    await m.chip.pin_reset(4)
    await m.chip.cycles(4)
    pulses = []

    async def watch():
        while True:
            await RisingEdge(dut.fault)
            pulses.append(True)

    cocotb.start_soon(watch())
    golden = generate(
        m.image, PROMPT, TOKENS, lanes=CONFIG.lanes, slots=CONFIG.max_slots, temperature=0.8, seed=7, speculate="ngram"
    )
    assert await m.generation(*KINDS[0], banks=True) == (False, golden.tokens)
    count, of_tile = int(dut.flips.value), int(dut.tile_flips.value)
    assert count > of_tile > 20 and count - of_tile >= 10
    silent, cleared = [], False
    for number in range(1, count + 1):
        dut.flip.value = number
        await m.chip.write("IRQ_ENABLE", 4)
        for kind in KINDS:
            pulses.clear()
            seen, _ = await m.generation(*kind, banks=cleared)
            cleared = False
            if seen:
                break
            await m.chip.write("CONTROL", RESET)
        if seen:
            assert pulses and int(dut.irq.value) and await m.chip.read("FAULT_CAUSE") == 1, number
            assert await m.chip.read("IRQ_STATUS") & 4 and await m.chip.read("STATUS", "LOADED") == 0, number
            await m.chip.write("COUNTER_SELECT", int(Counter.PARITY))
            while not await m.chip.read("COUNTER_STATUS"):
                pass
            assert (await m.chip.read("COUNTER_VALUE") > 0) == (number <= of_tile), number
        else:
            silent.append(number)
        dut.flip.value = 0
        # as the documents have it behind a damaged word: energies keep theirs until then
        await m.chip.write("CONTROL", INIT)
        await m.chip.ready()
        cleared = True
        await m.chip.write("IRQ_STATUS", 7)
        dut._log.info("memory %d of %d", number, count)
    assert not silent, f"memories {silent} of {count} tell nothing"
    assert await m.generation(*KINDS[0], banks=True) == (False, golden.tokens)
