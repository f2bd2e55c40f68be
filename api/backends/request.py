"""What a driver writes to the chip for a generation: words of the load window and values of registers."""

import numpy as np

from hayate.backends.load_words import governed, load_words
from hayate.rtl.contract.config import MAX_LANES
from hayate.rtl.contract.draft import Drafter, default_branch
from hayate.rtl.contract.isa import Csr, Space
from hayate.rtl.contract.regmap import BY_NAME, END_REGISTERS, LOAD_ALL_TILES, LoadSpace, load_address

BASE_BIT = next(low for name, low, *_ in BY_NAME["DRAFT"].fields if name == "BASE")


def requests(placement, prompt, tokens, end, all_logits, load, **options):
    """(load words uint64 [n, 2], register values) of a generation and of all that is loaded before it.

    load: banks from "file", or over "axi". The others as of `generation_words`.
    """
    rows, registers = generation_words(placement, prompt, tokens, end, all_logits, **options)
    base = bool(registers.get("DRAFT", 0) >> BASE_BIT & 1)
    return np.concatenate(
        [load_words(placement, banks=load == "axi", base=base), np.array(rows, dtype=np.uint64)]
    ), registers


def generation_words(
    placement,
    prompt,
    tokens,
    end=(),
    all_logits=False,
    *,
    knob=None,
    draft=None,
    scale=None,
    seed=0,
    log_p=None,
    top_k=0,
    committed=0,
):
    """([(address, data)] of the words that a generation takes behind a model's seal, register values).

    knob: the governor's, None where the precision is fixed. draft: values of the registers that say how to draft.
    scale: float32 that logits are multiplied by, None where nothing is sampled. seed: of the noise. log_p, top_k: of
    the filters, as of golden's `draw`. committed: the last tokens of `prompt` that are a text's beginning.
    """
    registers = {
        "TILES": len(placement.tiles),
        "PROMPT_LENGTH": len(prompt) | committed << 16,
        "TOKEN_LIMIT": tokens,
        "CONTEXT": placement.context,
        **end_registers(end),
        "OPTIONS": int(all_logits),
        **(draft or {}),
    }
    rows = [(load_address(LOAD_ALL_TILES, LoadSpace.PROMPT, at), token) for at, token in enumerate(prompt)]
    if knob is not None:
        registers |= {"MATRICES": len(governed(placement)), "QUALITY": knob, "OPTIONS": registers["OPTIONS"] | 2}
    if scale is not None:
        rows.append((load_address(LOAD_ALL_TILES, Space.VMEM, placement.regions["INVT"]), int(scale.view(np.uint32))))
        rows += [
            (load_address(LOAD_ALL_TILES, Space.CSR, csr), value)
            for csr, value in ((Csr.TOP_K, top_k), (Csr.MIN_P, log_p is not None))
        ]
        if log_p is not None:
            rows.append(
                (load_address(LOAD_ALL_TILES, Space.VMEM, placement.regions["LNP"]), int(log_p.view(np.uint32)))
            )
        registers |= {"SEED_LOW": seed & 0xFFFFFFFF, "SEED_HIGH": seed >> 32, "OPTIONS": registers["OPTIONS"] | 4}
    return rows, registers


def end_registers(end):
    """Values of all registers that name end tokens; `end`: ids, at most END_TOKENS different ones."""
    ids = dict.fromkeys(end)
    return dict.fromkeys(END_REGISTERS, 0) | {
        name: token | 1 << 31 for name, token in zip(END_REGISTERS, ids, strict=False)
    }


def draft_registers(lanes, speculate, nodes, branch, costs, corrupt=False, base=False):
    """Values of the registers that say how to draft; arguments as of golden's `generate`. base: the base table is
    loaded.
    """
    most = lanes - 1
    passes, own = costs or ([0] * MAX_LANES, 0)
    words = {f"COSTS_{n}": passes[2 * n] | passes[2 * n + 1] << 16 for n in range(MAX_LANES // 2)}
    drafter = Drafter[speculate.upper()]
    return words | {
        "DRAFT": drafter
        | min(most if nodes is None else nodes, most) << 4
        | (default_branch(drafter, lanes) if branch is None else branch) << 8
        | bool(costs) << 12
        | corrupt << 13
        | base << BASE_BIT
        | (own if drafter.takes_passes else 0) << 16
    }
