"""Golden sampling: what a temperature, a seed and filters may be, and what the chip is given of them."""

import math

import numpy as np

from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.filters import TOP_K_MAX
from hayate.rtl.contract.words import SEED_BITS


def inverse(temperature):
    """float32 by which logits are multiplied: 1 / temperature, 1 where that is 0 and nothing is sampled.

    Raises HayateError for a temperature that is negative or not finite, or whose inverse FP32 does not hold.
    """
    if not (math.isfinite(temperature) and temperature >= 0):
        raise HayateError(
            "--temperature",
            "",
            f"{temperature:g} is no temperature",
            "use 0 for the best token, 1 for the model's own odds",
        )
    scale = 1 / temperature if temperature else 1.0
    if scale > float(np.finfo(np.float32).max):
        raise HayateError(
            "--temperature",
            "",
            f"{temperature:g} is so low that FP32 does not hold 1/{temperature:g}",
            "use 0 for the best token",
        )
    return np.float32(scale)


def require_seed(seed):
    """Raise HayateError for a seed that does not fit."""
    if not 0 <= seed < 1 << SEED_BITS:
        raise HayateError("--seed", "", f"{seed} does not fit {SEED_BITS} bits", f"use 0 to {(1 << SEED_BITS) - 1}")


def require_filters(temperature, min_p, top_k):
    """Raise HayateError for filters, None where they are off, that are none, or that have nothing to filter."""
    if min_p is not None and not 0 < min_p <= 1:
        raise HayateError(
            "--min-p",
            "",
            f"{min_p:g} is no share of the likeliest token's probability",
            "use more than 0 and at most 1, such as 0.05",
        )
    if top_k is not None and not 1 <= top_k <= TOP_K_MAX:
        raise HayateError("--top-k", "", f"{top_k} tokens cannot be chosen from", f"use 1 to {TOP_K_MAX}")
    given = [option for option, value in (("--min-p", min_p), ("--top-k", top_k)) if value is not None]
    if given and not temperature:
        raise HayateError(
            given[0],
            "",
            "without a temperature the best token is taken, and nothing is filtered",
            f"add --temperature 1, or leave {given[0]} out",
        )


def log_share(min_p):
    """float32 that min-p adds to the largest z for its floor: ln P; None where it is off."""
    return None if min_p is None else np.float32(math.log(min_p))
