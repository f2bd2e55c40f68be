"""An image and its draft model on one configuration: where the descriptors, routines and instructions of each begin,
and its regions.

The two share every memory, but their passes never interleave. So the draft model's regions lie over the first one's,
except for those that hold something from pass to pass: the constants.
"""

from dataclasses import dataclass, replace

from hayate.compiler.checkpoint import same_tokens
from hayate.compiler.shares import Geometry
from hayate.rtl.contract.encoding import FORMATS
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.image import DRAFT, NGRAMS, TOKENIZER, Image, evaluate
from hayate.rtl.contract.isa import MATRIX_AHEAD, ROUNDS_AHEAD
from hayate.rtl.contract.layout import ceil_div, ceil_log2

# space of a region -> field of the configuration
MEMORIES = {"act": "act_depth", "stage": "stage_depth", "vmem": "vmem_depth"}
SHARED = ("INVT", "LNP")  # constants that both models read at one address, as the host writes them for a generation

# The vector engine takes rows of V only when the sequencer has come behind the last round of a chunk. Until then rows
# that the landing buffer has no room for may hold the matrix engine up in the first round; what follows finds room in
# front of it: M_WAIT and a GEMV a round.
assert 2 * (ROUNDS_AHEAD - 1) <= MATRIX_AHEAD


@dataclass(frozen=True)
class Part:
    """One model of an image.

    Parameters
    ----------
    image: `Image` of it alone. geometry: its `Geometry`. prefix: of its names, where those of both stand together.
    descriptor, micro, entry: numbers of its first descriptor, micro-operation and instruction.
    """

    image: Image
    geometry: Geometry
    prefix: str = ""
    descriptor: int = 0
    micro: int = 0
    entry: int = 0

    def ahead(self, rounds_log2):
        """log2 of the attention rounds that it has under way at once where the buffers hold 2**rounds_log2."""
        return min(rounds_log2, ceil_log2(self.geometry.heads // self.geometry.kv_heads))

    def program(self):
        """Its instructions, descriptors and routines by the numbers that they have here."""
        moved = {"desc": self.descriptor, "routine": self.micro}
        for i in self.image.program:
            yield replace(
                i, args={**i.args, **{k: i.args.get(k, 0) + by for k, by in moved.items() if k in FORMATS[i.op]}}
            )


def pair(image, draft):
    """`image` with `draft` as the model that drafts for it, without a tokenizer or a base table of n-grams of its own.

    Raises HayateError naming the field of `draft` with which it cannot: it must know the same tokens, and a context as
    long.
    """
    name = f"--draft {draft.model['name']}"
    if draft.model["vocab"] != image.model["vocab"] or not same_tokens(image.tokenizer_json, draft.tokenizer_json):
        has = f"has {draft.model['vocab']} tokens, {image.model['name']} {image.model['vocab']}"
        raise HayateError(
            name,
            "tokenizer",
            "is another one" if draft.model["vocab"] == image.model["vocab"] else has,
            "give a model with the same tokenizer",
        )
    if draft.model["context"] < image.model["context"]:
        raise HayateError(
            name,
            "max_position_embeddings",
            f"{draft.model['context']} positions, {image.model['name']} has {image.model['context']}",
            "give a model with a context as long",
        )
    tensors = {name: tensor for name, tensor in draft.tensors.items() if name not in (TOKENIZER, NGRAMS)}
    return replace(image, draft=replace(draft, draft=None, tensors=tensors))


def parts(image, config):
    """The models of an image, as `Part`: itself, and its draft model where there is one."""
    first = Part(image, Geometry.of(image.model, config))
    if image.draft is None:
        return (first,)
    context = first.geometry.context
    # a slot is a position
    own = replace(Geometry.of(image.draft.model, config), slots=4 * ceil_div(context, 4), context=context)
    return first, Part(image.draft, own, DRAFT, len(image.descriptors), len(image.micros), len(image.program))


def rounds_log2(parts, config, filters=False):
    """log2 of the attention rounds that a configuration's buffers hold at once: as many as a pass has, if they fit.

    filters: as of `Geometry.symbols`. A model that has fewer in a pass takes fewer, see `Part.ahead`.
    """
    fits = [
        n
        for n in range(ROUNDS_AHEAD.bit_length())
        if all(words <= getattr(config, MEMORIES[space]) for space, words in allocate(parts, n, filters)[1].items())
    ]
    return max(fits, default=0)


def allocate(parts, rounds_log2, filters=False):
    """(for each part reference -> value, space -> words taken); views left out. Constants come first in vector memory.

    Values are addresses, and for regions with `rounds` the stride of one (see `image.Region`).
    """
    addresses: list[dict] = [{} for _ in parts]
    used = dict.fromkeys(MEMORIES, 0)
    keep = [{c.region for c in part.image.constants} for part in parts]
    for n, part in enumerate(parts):
        symbols = part.geometry.symbols(filters)
        for r in part.image.regions:
            if r.name in keep[n] and not r.of:
                if n and r.name in SHARED:
                    addresses[n][r.name] = addresses[0][r.name]
                    continue
                addresses[n][r.name] = used[r.space]
                used[r.space] += evaluate(r.size, symbols)
    kept = dict(used)
    for n, part in enumerate(parts):
        at, symbols = dict(kept), part.geometry.symbols(filters)
        for r in part.image.regions:
            if r.name not in keep[n] and not r.of:
                size = evaluate(r.size, symbols)
                addresses[n][r.name] = at[r.space]
                if r.rounds:
                    addresses[n][f"{r.name}.stride"] = size
                at[r.space] += size << (part.ahead(rounds_log2) if r.rounds else 0)
        used = {space: max(used[space], at[space]) for space in used}
    return addresses, used
