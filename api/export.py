"""A placed model as a load file, which a host without Python checks and loads (`rtl.contract.loadfile`)."""

import hashlib

from hayate.backends.load_words import facts, governed, load_words
from hayate.backends.request import draft_registers, end_registers
from hayate.compiler.cost import costs
from hayate.compiler.place import place
from hayate.compiler.usage import require_formats, usage
from hayate.golden.conductor.draft import require_drafter
from hayate.golden.conductor.generate import require_end
from hayate.golden.conductor.governor import QUALITY, Governor, knob_of, table
from hayate.rtl.contract.config import LEAST_LANDING
from hayate.rtl.contract.draft import Drafter
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.image import TOKENIZER, contract_hash
from hayate.rtl.contract.isa import Space
from hayate.rtl.contract.load import OPEN_REGISTERS, Fact
from hayate.rtl.contract.loadfile import Kind, LoadFile, Need
from hayate.rtl.contract.regmap import BY_NAME, DEPTHS, IDENT, LOAD_SPACE_BITS, LOAD_SPACE_SHIFT, VERSION, LoadSpace

_WHOLE = 0xFFFFFFFF


def _bits(register, *fields):
    """Bits of the named fields of a register."""
    return sum(((1 << width) - 1) << low for name, low, width, _ in BY_NAME[register].fields if name in fields)


def _value(register, **fields):
    """A register's value of fields by name."""
    return sum(fields[name] << low for name, low, *_ in BY_NAME[register].fields if name in fields)


def needs(placement, words):
    """`Need`s of a machine that takes the load `words` of a placement, and runs it as the one that it was placed
    for.
    """
    config = placement.config
    least = {u.field.upper(): u.need for u in usage(placement.image, config, placement.filters)}
    least |= {
        "LANDING_DEPTH": LEAST_LANDING,
        "MAX_SLOTS": placement.slots,
        "MAX_MATRICES": facts(placement, False)[Fact.MATRICES],
    }
    spaces = words[:, 0] >> LOAD_SPACE_SHIFT & (1 << LOAD_SPACE_BITS) - 1
    addresses = words[:, 0] >> 3 & (1 << LOAD_SPACE_SHIFT - 3) - 1
    registers = set(addresses[spaces == Space.CSR].tolist())
    features = {
        "NESTED": any(t.planes for t in placement.tiles),
        "GOVERNOR": bool((spaces == LoadSpace.GOVERNOR).any()),
        "SAMPLING": not registers.isdisjoint(OPEN_REGISTERS),
    }
    wanted = _bits("FEATURES", *(name for name, there in features.items() if there))
    return (
        Need("IDENT", _WHOLE, IDENT, Kind.EQUAL),
        Need("VERSION", _WHOLE, VERSION, Kind.EQUAL),
        Need("CONTRACT", _WHOLE, int(contract_hash()[:8], 16), Kind.EQUAL),
        Need(
            "GEOMETRY",
            _bits("GEOMETRY", "TILES", "BANKS", "LANES"),
            _value("GEOMETRY", TILES=config.tiles, BANKS=config.banks, LANES=config.lanes),
            Kind.EQUAL,
        ),
        *(
            Need(name, _WHOLE, least[name], Kind.AT_LEAST)
            for name in ("BANK_DEPTH", "MAX_SLOTS", "MAX_MATRICES", *DEPTHS)
        ),
        Need("FEATURES", wanted, wanted, Kind.ALL),
    )


def parameters(placement, knob, drafting):
    """Register -> value of what a START of any text takes from the model. knob: the governor's, None where it does not
    choose. drafting: values of the registers that say how to draft.
    """
    auto = knob is not None
    return {
        "TILES": len(placement.tiles),
        "CONTEXT": placement.context,
        **end_registers(placement.image.model["eos"]),
        "OPTIONS": _value("OPTIONS", AUTO=auto),
        "MATRICES": len(governed(placement)) if auto else 0,
        "QUALITY": knob or 0,
        **drafting,
    }


def load_file(image, config, precision="auto", quality=QUALITY, filters=False, speculate="off"):
    """`LoadFile` of an image on a configuration. Raises HayateError for what does not fit or is not there.

    precision: "auto", where the governor chooses, or a format's name. quality: of "auto". filters: with room for TOP_K
    and MIN_P. speculate: who drafts.
    """
    require_end(image.model["eos"], image.model["name"])
    measured = Governor(image, precision, quality, {}).measure  # refuses what the image lacks
    require_formats(image, config, precision, speculate)
    require_drafter(image, speculate)
    if filters and not config.sampling:
        raise HayateError(
            "--filters", "", f"configuration {config.name} cannot sample", "--set sampling=1, or leave them out"
        )
    fixed = None if precision == "auto" else table(image, precision)
    planes = {d.name for d in image.descriptors if d.planes}
    placement = place(
        image, config, {n: f for n, f in fixed.items() if n in planes} if fixed else None, filters=filters
    )
    base = speculate == "ngram" and len(image.ngrams) > 0
    words = load_words(placement)
    drafting = draft_registers(
        config.lanes, speculate, None, None, costs(image, config.lanes, Drafter[speculate.upper()]), base=base
    )
    text = image.tokenizer_json
    return LoadFile(
        image.model["name"],
        TOKENIZER if text is not None else "",
        hashlib.sha256(text.encode()).digest() if text is not None else bytes(32),
        facts(placement, base)[Fact.SAMPLING],
        needs(placement, words),
        parameters(placement, knob_of(quality) if measured else None, drafting),
        words,
    )
