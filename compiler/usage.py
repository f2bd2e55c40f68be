"""How much of each memory an image takes on a configuration, before anything is placed."""

from dataclasses import dataclass, replace

from hayate.compiler.link import MEMORIES, allocate, parts, rounds_log2
from hayate.rtl.contract.config import Config
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.precision import Format

UNITS = {
    "bank_depth": "words in every bank",
    "act_depth": "words of activation buffer",
    "stage_depth": "words of stage buffer",
    "vmem_depth": "words of vector memory",
    "program_depth": "instructions",
    "micro_depth": "micro-operations",
    "desc_depth": "descriptors",
}


@dataclass(frozen=True)
class Use:
    """`need` against `have` of the configuration field `field`."""

    field: str
    need: int
    have: int

    @property
    def fits(self):
        return self.need <= self.have


def readable(image, config):
    """What a configuration can read of an image: the image itself, or where `formats` is fp16 one without integer
    planes.
    """
    if config.nested:
        return image
    return replace(
        image,
        draft=image.draft and readable(image.draft, config),
        descriptors=tuple(replace(d, planes="", group=0) if d.planes and d.tensor else d for d in image.descriptors),
    )


def require_formats(image, config, precision=None, speculate="off"):
    """Raise HayateError that names the field `formats` where a configuration is not built to read an image as asked.

    precision: "auto", a format's name, None for the best copy of everything, or matrix name -> `Format`. "auto" chooses
    nothing, and so needs nothing, in an image without planes. speculate: the drafter's name; "nested" reads INT4.
    """
    source, planes = f"configuration {config.name}", [d for d in image.descriptors if d.planes]
    if precision == "auto" and planes and not config.governor:
        fixed = "a fixed --precision" if config.nested else "--precision fp16"
        raise HayateError(
            source,
            "formats",
            f"{config.formats!r} has no governor, which --precision auto needs",
            f"--set formats=auto, or {fixed}",
        )
    wanted = precision.items() if isinstance(precision, dict) else ()
    integer = [f"{name} in {Format(fmt).name}" for name, fmt in wanted if fmt != Format.FP16]
    if isinstance(precision, str) and precision not in ("auto", Format.FP16.name.lower()):
        integer = [f"--precision {precision}"]
    if integer and not config.nested:
        raise HayateError(
            source,
            "formats",
            f"'fp16' reads no integer planes, which {integer[0]} needs",
            "--set formats=nested, or --precision fp16",
        )
    if speculate == "nested" and not config.nested:
        raise HayateError(
            source,
            "formats",
            "'fp16' reads no integer planes, which --speculate nested needs",
            "--set formats=nested, or --speculate ngram",
        )
    alone = [
        d.name
        for d in planes + [d for d in (image.draft.descriptors if image.draft else ()) if d.planes]
        if not d.tensor
    ]
    if alone and not config.nested:
        raise HayateError(
            source,
            "formats",
            f"'fp16' reads no integer planes, and the image has {alone[0]} in no other format",
            "--set formats=nested, or compile the model with --fp16 all",
        )


def require_sampling(config, temperature):
    """Raise HayateError that names the field `sampling` where a configuration is not built to sample."""
    if temperature and not config.sampling:
        raise HayateError(
            f"configuration {config.name}",
            "sampling",
            f"0 draws no noise, which --temperature {temperature:g} needs",
            "--set sampling=1, or --temperature 0",
        )


def usage(image, config, filters=False):
    """List of `Use`, one per memory; `bank_depth` is that of the fullest tile. filters: as of `Geometry.symbols`."""
    both = parts(readable(image, config), config)
    words = [sum(sum(p.geometry.words(d, t)) for p in both for d in p.image.descriptors) for t in range(config.tiles)]
    used = allocate(both, rounds_log2(both, config, filters), filters)[1]
    need = {
        "bank_depth": max(words),
        **{MEMORIES[space]: n for space, n in used.items()},
        "program_depth": sum(len(p.image.program) for p in both),
        "micro_depth": sum(len(p.image.micros) for p in both),
        "desc_depth": sum(1 + bool(d.planes) for p in both for d in p.image.descriptors),
    }
    return [Use(name, n, getattr(config, name)) for name, n in need.items()]


def require_fit(image, config, filters=False):
    """Raise HayateError that names every memory that is too small, by how much, and the settings that help."""
    missing = [u for u in usage(image, config, filters) if not u.fits]
    if not missing:
        return
    what = ", ".join(f"{u.need} {UNITS[u.field]} needed, {u.have} there ({u.need - u.have} too few)" for u in missing)
    remedy = []
    for u in missing:
        try:
            Config(**{**config.to_dict(), u.field: _round(u)})
            remedy.append(f"--set {u.field}={_round(u)}")
        except HayateError:
            more = "tiles" if u.field in ("bank_depth", "vmem_depth") else None
            remedy.append(f"more {more} (--set {more}={2 * config.tiles})" if more else "a smaller model")
    name = image.model["name"] + (f" with its draft model {image.draft.model['name']}" if image.draft else "")
    alone = filters and not any(u.field != "vmem_depth" for u in missing) and all(u.fits for u in usage(image, config))
    why = " with --min-p or --top-k" if alone else ""
    raise HayateError(
        f"configuration {config.name}",
        missing[0].field,
        f"the model {name} does not fit{why}: {what}",
        " ".join(remedy),
    )


def _round(use):
    step = 64 if use.need > 64 else 8
    return -(-use.need // step) * step
