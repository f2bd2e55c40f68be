"""What a pass costs by its number of nodes: the table from which a machine decides how much to draft.

The table belongs to the image and M, not to the machine: the sequence of passes must be the same on every number of
tiles and banks, so nothing measured while it runs may enter, and neither may its sizes. It is counted for the preset
`demo`, in words that all of its banks read, one a cycle each; a machine of other proportions drafts a little too much
or too little, which costs time and changes no token.

A pass streams the weights once, whatever its nodes, and each layer has a latency. Rows too short for the vector unit
wait for it. What tiles tell one another travels for all nodes at once, so that a node by itself costs little: its K and
V are written. But the vectors of more nodes take more rounds of attention, and each round reads K and V of the text so
far, and sends its softmax numerators, a flit for four slots of a KV head. Texts are taken to fill half of the context.
Weights count as INT8 where there are planes, as what the governor chooses lies on both sides of it.
"""

from dataclasses import replace

from hayate.rtl.contract.config import MAX_LANES, PRESETS
from hayate.rtl.contract.draft import COST_BITS, COST_UNIT, DRAFT_COST_BITS, Drafter
from hayate.rtl.contract.layout import rounds
from hayate.rtl.contract.precision import Format, stream_words

NOMINAL = PRESETS["demo"]
# Measured, see `test_cost.py`:
LAYER_CYCLES = 500  # in which a layer's weights wait for ring and vector unit
NODE_CYCLES = 10  # that each node adds to these
ROW_WORDS = 10  # of a row at least, where its matrix has fewer


def weight_words(image, fmt, least=0):
    """Words of the weight matrices that a GEMV of the program reads, in `fmt` (None: the best copy) where they have
    planes, else FP16. A row counts as `least` words if it has fewer.
    """

    def of(d):
        best = Format.FP16 if d.tensor else Format.INT8
        return (best if fmt is None else fmt) if d.planes else Format.FP16

    return sum(
        d.rows * max(least, stream_words(4 * d.words, d.group or 1, of(d))) for d in image.weight_matrices().values()
    )


def pass_words(image, lanes, nodes, fmt=Format.INT8):
    """Cost of a pass with `nodes` nodes on a machine of `lanes` lanes, weights in `fmt`, halfway through the context;
    in words.
    """
    m, every = image.model, NOMINAL.tiles * NOMINAL.banks
    quads, slots, group = m["head_dim"] // 4, m["context"] // 2, m["heads"] // m["kv_heads"]
    numerators, kv = m["kv_heads"] * slots // 4, m["kv_heads"] * 2 * quads * slots
    attention = rounds(nodes, group, lanes) * (every * numerators + kv)
    layer = every * (LAYER_CYCLES + nodes * NODE_CYCLES) + attention
    return weight_words(image, fmt, ROW_WORDS) + m["layers"] * layer


def pass_costs(image, lanes):
    """Costs of a pass with 1, 2, ... 8 nodes, in 1 / COST_UNIT of the first, rounded to nearest: the first is
    COST_UNIT, each is more than the one before it, and has COST_BITS bits.
    """
    words = [pass_words(image, lanes, nodes) for nodes in range(1, MAX_LANES + 1)]
    found: list[int] = []
    for w in words:
        least = found[-1] + 1 if found else 0
        found.append(min(max((COST_UNIT * w + words[0] // 2) // words[0], least), (1 << COST_BITS) - 1))
    return found


def draft_cost(image, lanes):
    """Cost of a pass in which the model drafts for itself, in the unit of `pass_costs`, DRAFT_COST_BITS bits, at least
    1.

    Its weights are read as INT4, and it has one node. The ratio is to INT8: which format is in force is decided behind
    the prompt, text by text. Where that is FP16, a draft is cheaper than said here, and the machine drafts too little;
    where it is INT4, drafting cannot gain, and what is lost is bounded by the difference.
    """
    return _draft_unit(pass_words(image, lanes, 1, Format.INT4), image, lanes)


def model_cost(image, lanes):
    """`draft_cost` of a pass of the image's draft model: one node, weights in their best copies."""
    own = replace(image.draft, model={**image.draft.model, "context": image.model["context"]})
    return _draft_unit(pass_words(own, lanes, 1, None), image, lanes)


def _draft_unit(words, image, lanes):
    unit = pass_words(image, lanes, 1)
    return max(1, min((COST_UNIT * words + unit // 2) // unit, (1 << DRAFT_COST_BITS) - 1))


def costs(image, lanes, drafter):
    """Costs for drafting by `drafter` (a `Drafter`) under control: (`pass_costs`, what a node costs that it drafts)."""
    own = {Drafter.NESTED: draft_cost, Drafter.DRAFT: model_cost}
    return pass_costs(image, lanes), own[drafter](image, lanes) if drafter in own else 0
