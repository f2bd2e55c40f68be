"""What siblings earn in nested drafting: tokens a pass on all shipped prompts, and the speed that the table of costs
makes of them.
"""

from pathlib import Path

import pytest

from hayate import models, prompts
from hayate.compiler.cost import draft_cost, pass_costs
from hayate.golden.conductor.generate import generate, slots_for
from hayate.golden.tile.sequencer import Tile

#: (M, nodes, of them siblings) -> tokens a pass, greedy and at T = 0.8, as docs/speculation.md has them.
FOUND = {
    (4, 2, 0): (2.72, 2.66),
    (4, 3, 1): (2.78, 2.75),
    (4, 3, 0): (3.40, 3.31),
    (8, 6, 0): (5.17, 4.91),
    (8, 7, 1): (5.04, 4.92),
    (8, 7, 0): (5.55, 5.29),
}
GUIDE = Path(__file__).resolve().parents[3] / "docs" / "speculation.md"


def test_the_guide_has_these_figures():
    guide = GUIDE.read_text()
    for (lanes, nodes, branch), (greedy, sampled) in FOUND.items():
        assert f"| {lanes}, {nodes}, {branch} | {greedy:.2f} | {sampled:.2f} |" in guide


@pytest.mark.nightly
@pytest.mark.parametrize("temperature", [0, 0.8])
@pytest.mark.parametrize("lanes, nodes, branch", FOUND)
def test_py_mini(lanes, nodes, branch, temperature):
    """INT8, 64 tokens; the seed is the prompt's number."""
    image = models.load("py-mini")
    tile, text = Tile(image, lanes=lanes, slots=slots_for(image, lanes)), models.Text(image)
    costs, draft = pass_costs(image, lanes), draft_cost(image, lanes)
    tokens = passes = cost = siblings = 0
    for seed, prompt in enumerate(prompts.load()):
        d = generate(
            image,
            text.encode(prompt),
            64,
            lanes=lanes,
            tile=tile,
            precision="int8",
            speculate="nested",
            nodes=nodes,
            branch=branch,
            temperature=temperature,
            seed=seed,
        ).drafting
        verified = sum(d.lengths.values())
        tokens, passes, siblings = tokens + verified + d.accepted, passes + verified, siblings + d.siblings
        # few passes have another number of nodes; between two the table is taken as straight
        nearest = d.proposed // verified
        above = costs[min(nearest + 1, lanes - 1)]
        cost += (
            verified * costs[nearest] + (d.proposed - nearest * verified) * (above - costs[nearest]) + d.passes * draft
        )
    print(
        f"M = {lanes}, {nodes} nodes, {branch} siblings, T = {temperature}: {tokens / passes:.2f} tokens a pass, "
        f"{siblings} siblings accepted in {passes} passes, speed by the table {256 * tokens / cost:.3f}"
    )
    assert round(tokens / passes, 2) == FOUND[lanes, nodes, branch][temperature > 0]
