"""Golden filters: which tokens may be sampled."""

import numpy as np


def survivors(z, floor=None, top_k=0):
    """bool [tokens, lanes]: the tokens that pass both filters, in each lane.

    Parameters
    ----------
    z: float32 [tokens, lanes], logits over the temperature. floor: float32 [lanes], the least z that min-p keeps; None
        without it.
    top_k: how many of the largest z are kept, all when there are fewer; of equal ones, -0 and +0 among them, those of
        the lowest tokens. 0 without it.
    """
    kept = np.ones(z.shape, bool) if floor is None else z >= floor
    if top_k:
        largest = np.zeros(z.shape, bool)
        np.put_along_axis(largest, np.argsort(-z, axis=0, kind="stable")[:top_k], True, axis=0)
        kept &= largest
    return kept
