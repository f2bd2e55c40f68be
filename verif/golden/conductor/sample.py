"""Golden sampling: what a temperature and a seed may be, and what the chip is given of them."""

import math

import numpy as np

from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.noise import SEED_BITS


def inverse(temperature):
    """float32 by which logits are multiplied: 1 / temperature, 1 where that is 0 and nothing is sampled.

    Raises HayateError for a temperature that is negative or not finite, or whose inverse FP32 does not hold.
    """
    if not (math.isfinite(temperature) and temperature >= 0):
        raise HayateError("--temperature", "", f"{temperature:g} is no temperature", "use 0 for the best token, 1 for the model's own odds")
    scale = 1 / temperature if temperature else 1.0
    if scale > float(np.finfo(np.float32).max):
        raise HayateError("--temperature", "", f"{temperature:g} is so low that FP32 does not hold 1/{temperature:g}",
                          "use 0 for the best token")
    return np.float32(scale)


def require_seed(seed):
    """Raise HayateError for a seed that does not fit."""
    if not 0 <= seed < 1 << SEED_BITS:
        raise HayateError("--seed", "", f"{seed} does not fit {SEED_BITS} bits", f"use 0 to {(1 << SEED_BITS) - 1}")
