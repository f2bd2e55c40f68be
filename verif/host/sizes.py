"""Small machines whose host ports are tested, and words to load into them."""

import numpy as np

from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.load import Fact, Feature, fact, seal
from hayate.rtl.contract.regmap import LOAD_SPACE_SHIFT, LOAD_TILE_SHIFT


def machine(**sizes):
    """A configuration that differs from every depth's power of two."""
    odd = dict(
        tiles=3,
        banks=4,
        lanes=2,
        bank_depth=100,
        prompt_depth=50,
        program_depth=90,
        micro_depth=70,
        desc_depth=60,
        vmem_depth=200,
        act_depth=80,
        stage_depth=72,
        max_slots=36,
    )
    return load_config("unit", [f"{name}={value}" for name, value in (odd | sizes).items()])


def parts(address):
    """(tile, space, addr) of an address in the load window."""
    return address >> LOAD_TILE_SHIFT, address >> LOAD_SPACE_SHIFT & 15, address >> 3 & (1 << LOAD_SPACE_SHIFT - 3) - 1


def sealed(words=(), **facts):
    """[(address, data)] of a whole load: OPEN, facts of an ordinary model, `words`, SEAL. facts: `Fact` in lower
    case.
    """
    told = {
        "vocabulary": 64,
        "tiles": 3,
        "context": 20,
        "matrices": 5,
        "features": int(Feature.PLANES | Feature.BASE),
        **facts,
    }
    rows = [*(fact(Fact[name.upper()], value) for name, value in told.items()), *words]
    return [fact(Fact.OPEN), *rows, fact(Fact.SEAL, seal(np.array(rows, np.uint64)))]


async def write(window, words):
    """Write words by way of an AXI4 manager, as few bursts as their addresses allow; the responses' set."""
    from hayate.sim.machine.generation_run import bursts

    return {int((await window.write(address, data)).resp) for address, data in bursts(words)}


async def load(window, words=(), **facts):
    """Load `words` as a model, see `sealed`; fails where one is refused."""
    assert await write(window, sealed(words, **facts)) == {0}
