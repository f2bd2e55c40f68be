"""Cycles by formula against recordings of the chip: the same work to the cycle, and waits that hardly differ."""

from collections import Counter as Tally

import pytest

from hayate.compiler.place import place
from hayate.golden.conductor.generate import generate
from hayate.profile import report
from hayate.profile.model import machine
from hayate.profile.stages import instructions
from hayate.rtl.contract.activity import Phase
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.isa import Counter
from hayate.verif.system.checks import PROMPT, image
from hayate.verif.system.test_profile import SETTINGS

WORK = (Counter.WEIGHT, Counter.KV_READ, Counter.KV_WRITE, Counter.FETCH)
#: Share of all cycles by which the total, and each cause of a tile, may be off.
TOTAL, CAUSE = 0.01, 0.02
#: What drafts in passes of its own, beside the settings of the recordings' tests.
ALL = {**SETTINGS, "nested": {"precision": "int8", "speculate": "nested", "nodes": 3, "branch": 1}}


def modelled(config, **options):
    """`Activity` of the tiny model on a configuration, by formula."""
    placement = place(image(False), config, filters="top_k" in options, weights=False)
    log = machine.Log()
    generate(image(False), PROMPT, 4, lanes=config.lanes, slots=placement.slots, log=log, **options)
    return machine.run(placement, log, len(PROMPT))


def compare(found, result, config):
    """Hold a modelled `Activity` to the recording in `result`."""
    names = instructions(image(False), config)
    accounts = report.accounts(found, names), report.accounts(result.activity, names)
    assert sum(report.phases(found).values()) == pytest.approx(result.cycles, rel=TOTAL)
    for mine, theirs in zip(*accounts, strict=True):
        causes = [Tally(), Tally()]
        for tally, account in zip(causes, (mine, theirs), strict=True):
            for (_, _, cause), cycles in account.items():
                tally[cause] += cycles
        assert [causes[0][c] for c in WORK] == [causes[1][c] for c in WORK]
        for cause in causes[1]:
            assert abs(causes[0][cause] - causes[1][cause]) <= CAUSE * result.cycles, cause.name
    for mine, theirs in zip(found.tiles, result.activity.tiles, strict=True):
        for engine in ("matrix", "vector"):
            assert [e[:2] for e in getattr(mine, engine)] == [e[:2] for e in getattr(theirs, engine)]
    assert [phase for _, phase in found.phases if phase != Phase.IDLE] == [
        phase for _, phase in result.activity.phases if phase != Phase.IDLE
    ]
    assert found.kept and [kept for _, kept in found.kept] == [kept for _, kept in result.activity.kept if kept]


@pytest.mark.parametrize("setting", ALL)
def test_as_the_chip(recall, setting):
    config = load_config("unit")
    result = recall(False, config, PROMPT, 4, False, activity=True, **ALL[setting])
    compare(modelled(config, **ALL[setting]), result, config)


@pytest.mark.nightly
@pytest.mark.parametrize("setting", ALL)
@pytest.mark.parametrize(
    "overrides", [("tiles=1",), ("tiles=3", "lanes=2"), ("tiles=4", "lanes=8", "banks=8")], ids=str
)
def test_as_other_chips(recall, setting, overrides):
    config = load_config("unit", overrides)
    result = recall(False, config, PROMPT, 4, False, activity=True, **ALL[setting])
    compare(modelled(config, **ALL[setting]), result, config)
