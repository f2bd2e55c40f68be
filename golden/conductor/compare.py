"""Whether two generations are the same, to the last bit."""

import numpy as np

from hayate.golden.tile.saturation import same_count


def matches(result, reference):
    """True when tokens and logits of every position are bit-identical, and precision and energies of every matrix, what
    was drafted and how many results saturated, equal.
    """

    def same(position):
        return np.array_equal(
            np.asarray(result.logits[position]).view(np.uint32), reference.logits[position].view(np.uint32)
        )

    return (
        list(result.tokens) == list(reference.tokens)
        and result.logits.keys() == reference.logits.keys()
        and all(map(same, reference.logits))
        and result.precision == reference.precision
        and result.drafting == reference.drafting
        and same_count(result, reference)
    )
