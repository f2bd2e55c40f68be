"""What leaves the range of its format is counted by the chip exactly as by golden, whatever the number of tiles and
banks.
"""

import pytest

from hayate.compiler.link import pair
from hayate.golden.conductor.generate import generate
from hayate.verif.models.loud import everywhere
from hayate.verif.system.checks import PROMPT, difference
from hayate.verif.system.test_invariance import config

# as many lanes each: rejected positions and logits that nobody wants count, too
MACHINES = [(1, 2, 4), (2, 2, 2), (4, 2, 4)]
#: (tied, options): formats, filters and noise, draft passes.
WAYS = [
    (True, {}),
    (False, {"temperature": 1e-38, "seed": 1, "top_k": 5, "min_p": 0.1}),
    (False, {"speculate": "nested"}),
]


def check(run, machine, model, options):
    expected = generate(model, list(PROMPT), 4, lanes=2, all_logits=True, **options)
    result = run(model, config(*machine), PROMPT, 4, **options)
    assert difference(result, expected) == ""
    assert result.saturated == expected.saturated.on(machine[0]) > expected.saturated.total - (machine[0] == 1) > 1000
    return expected.saturated


@pytest.mark.parametrize("machine", MACHINES, ids=str)
def test_chip_and_golden_count_alike(run, machine):
    """1/rms of a token of zeros saturates in every tile, all else in the one that owns it."""
    for tied, options in WAYS:
        check(run, machine, everywhere(tied), options)


def test_a_draft_model_counts(run):
    """Its descriptors have names of their own."""
    counts = check(run, (2, 2, 2), pair(everywhere(True), everywhere(False)), {"speculate": "draft"}).counts
    assert counts["draft.layers.0.wq", "fp16"] > 0 < counts["layers.0.wq", "fp16"]
