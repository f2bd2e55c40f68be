"""Runs on the simulated chip, with the builds that the checkout's other tests use."""

from functools import cache, partial

import pytest

from hayate.backends.rtl import generate_rtl
from hayate.progress import Steps
from hayate.rtl.contract.config import load_config
from hayate.sim.machine.texts import chip_text
from hayate.verif.system.checks import PROMPT, image

PATIENCE = 900  # seconds of wall clock for one simulation, on a machine that does much else


@pytest.fixture(scope="session")
def run(pytestconfig, held):
    """Function: `RtlResult` of a generation on the chip, with the logits of every position unless its options say
    otherwise.

    pins: as pairs, as `checks.golden` takes them. Presets, and machines of a preset's tile, are built as the command
    line builds them, and share that; others compile more quickly.
    """
    root = pytestconfig.rootpath / "build" / "sim"
    execute = partial(held.execute, module="hayate.sim.machine.generation_run")

    def generation(model, config, prompt=PROMPT, tokens=6, pins=(), **options):
        shared = config == load_config(config.name, [f"tiles={config.tiles}"])
        options = {
            "all_logits": True,
            "optimize": None if shared else "-Og",
            "threads": 1,
            "execute": execute,
            **options,
        }
        return generate_rtl(
            model, config, list(prompt), tokens, root=root, timeout=PATIENCE, pins=dict(pins), **options
        )

    return generation


@pytest.fixture(scope="session")
def chip(pytestconfig):
    """Function: the Verilog of a machine, elaborated once for all tests."""
    return lambda config: chip_text(config, pytestconfig.rootpath / "build" / "sim" / "text", Steps())


@pytest.fixture(scope="session")
def recall(run):
    """`run` of `image(tied, copies=...)`, where equal arguments give the result of the first time."""
    return cache(
        lambda tied, config, prompt, tokens, all_logits, copies="both", **options: run(
            image(tied, copies=copies), config, prompt, tokens, all_logits=all_logits, **options
        )
    )
