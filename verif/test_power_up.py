"""Power-up on silicon: nothing starts with contents, and INIT makes all that is read before it is written valid."""

import json
import re
from pathlib import Path

import pytest

from hayate.backends import rtl as rtl_backend
from hayate.compiler.place import Placement
from hayate.progress import Steps
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.isa import ENTRY_WORDS
from hayate.sim import runner
from hayate.sim.machine import texts
from hayate.sim.tools import SimulationError
from hayate.verif.system.checks import PROMPT, difference, golden, image

UNIT = load_config("unit")
ALONE = PROMPT[:1]  # of which all lanes but one have no position, ever

_REGISTER = re.compile(r"^  reg (\[\d+:0\] +|)(\\\S+ |\w+) *= ([^;]+);$", re.MULTILINE)
_MEMORY = re.compile(r"^  initial begin\n((?:    (?:\\\S+ |\w+) ?\[\d+\] = [^;]+;\n)+)  end$", re.MULTILINE)
_LOOP = re.compile(
    r"^  initial begin : \w+_fill\n    integer at;\n(    for [^\n]* )(\\\S+ |\w+)\[at\] = (\d+)'[hd](\w+);\n  end$",
    re.MULTILINE,
)
_WORD = re.compile(r"^    (\\\S+ |\w+) ?\[\d+\] = (\d+)'[hd](\w+);$", re.MULTILINE)
_MACRO = re.compile(r"(mem\[i\]|array_out|rdata) = \{WIDTH\{1'b0\}\};")


def anything(width):
    """Verilog that gives `width` random bits and up to 31 more each time it is looked at."""
    return f"{{{', '.join(['$urandom'] * -(-width // 32))}}}"


def at_random(text):
    """(`text` in which every register and every word of a memory starts as Verilator's seed will have it, how many of
    each).
    """

    def register(match):
        bits, name, value = match.groups()
        if name.strip() == "hayate_settle":
            return match[0]
        width = int(bits[1:].split(":")[0]) + 1 if bits else 1
        return f"  reg {bits}{name};\n  initial {name}= {anything(width)};"

    def memory(match):
        words = _WORD.findall(match[1])
        name, width, _ = words[0]
        return (
            f"  initial begin : random_{match.start()}\n    integer i;\n"
            f"    for (i = 0; i < {len(words)}; i = i + 1) {name}[i] = {anything(int(width))};\n  end"
        )

    text, memories = _MEMORY.subn(memory, text)
    text, loops = _LOOP.subn(lambda m: f"{m[0][: m.start(3) - m.start()]}{anything(int(m[3]))};\n  end", text)
    text, registers = _REGISTER.subn(register, text)
    text, macro = _MACRO.subn(lambda m: f"{m[1]} = {anything(72)};", text)
    assert macro == 3
    return text, registers, memories + loops


@pytest.fixture(scope="module")
def chip(pytestconfig):
    """Function: Verilog of a configuration."""
    return lambda config: texts.chip_text(config, pytestconfig.rootpath / "build" / "sim" / "text", Steps())


def test_no_memory_starts_with_contents(chip):
    """All that the emitted text says of a memory's first contents is zeros, which simulations rely on and INIT
    writes.
    """
    text = chip(UNIT)
    memories, loops = _MEMORY.findall(text), _LOOP.findall(text)
    assert len(memories) + len(loops) >= 30
    assert text.count("initial begin") == len(memories) + len(loops) + 1  # and the bank macro's, of simulations alone
    assert {int(value, 16) for words in memories for _, _, value in _WORD.findall(words)} | {
        int(word, 16) for *_, word in loops
    } == {0}


@pytest.fixture
def power_up(pytestconfig, chip, monkeypatch):
    """Function: `RtlResult` of a generation on a machine whose registers and memories hold anything at first.

    Words of zeros are not loaded, nor is the cache: behind INIT they are there.
    """
    root = pytestconfig.rootpath / "build" / "sim"
    loads = Placement.loads

    def what_is_not_zero(placement, **options):
        return [record for record in loads(placement, **options) if record.data or record.space in ENTRY_WORDS]

    def generation(config, seed, init=True, **options):
        def run(*arguments, plusargs, env, **more):
            path = Path(env["HAYATE_REQUEST"])
            path.write_text(json.dumps({**json.loads(path.read_text()), "init": init}))
            return started(
                *arguments, plusargs=[*plusargs, "+verilator+rand+reset+2", f"+verilator+seed+{seed}"], env=env, **more
            )

        started = runner.run
        text, registers, memories = at_random(chip(config))
        assert registers > 1000 and memories >= 30
        with monkeypatch.context() as patch:
            patch.setattr(texts, "chip_text", lambda *_: text)
            patch.setattr(runner, "run", run)
            patch.setattr(Placement, "loads", what_is_not_zero)
            return rtl_backend.generate_rtl(
                image(tied=False),
                config,
                list(ALONE),
                3,
                root=root,
                load="axi",
                optimize="-O0",
                all_logits=True,
                timeout=900,
                **options,
            )

    return generation


def check(result, **options):
    assert difference(result, golden(tied=False, prompt=ALONE, tokens=3, **options)) == "" and not result.fault
    assert [(tile["parity"], tile["ecc_corrected"]) for tile in result.counters] == [(0, 0)] * len(result.counters)


@pytest.mark.nightly
def test_a_generation_behind_init(power_up):
    """Everything at random, then INIT, a model, a generation: bit for bit what golden says, and no memory complains.

    At a fixed format, which the precision table is asked for; energies are looked at all the same.
    """
    check(power_up(UNIT, 1, precision="fp16"), precision="fp16")


@pytest.mark.nightly
@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize(
    "overrides",
    [("banks=2",), ("tiles=1", "lanes=4"), ("desc_depth=96", "max_slots=84", "act_depth=264")],
    ids=" ".join,
)
def test_other_machines_and_seeds(power_up, seed, overrides):
    """With energies that count; more lanes without positions; depths that are no powers of two."""
    check(power_up(load_config("unit", overrides), seed))


@pytest.mark.nightly
@pytest.mark.parametrize("seed", [1, 2])
def test_without_init_the_machine_says_so(power_up, seed):
    """What was never written is read, and that does not stay hidden."""
    try:
        assert power_up(UNIT, seed, init=False, precision="fp16").fault
    except SimulationError as e:
        assert "is refused" in e.log or "the load window refused" in e.log
