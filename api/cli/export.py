"""`hayate export`: write a model's load file for a configuration (`hayate.export` makes it)."""

from hayate import models
from hayate.cli.generate import choice
from hayate.export import load_file
from hayate.golden.conductor.draft import DRAFTERS
from hayate.golden.conductor.governor import PRECISIONS, knob_of
from hayate.output import require_outputs, toml, write_bytes
from hayate.progress import Steps, console
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.loadfile import parse


def export(model, output, source, overrides, *, precision, quality, filters, speculate, draft=""):
    """Write the load file of a model for a configuration, read it again, and say what it needs. Raises HayateError."""
    choice("--precision", precision, PRECISIONS)
    choice("--speculate", speculate, DRAFTERS)
    knob_of(quality)
    if draft and speculate != "draft":
        raise HayateError(
            "--draft", "", f"--speculate {speculate} has no use for a draft model", "add --speculate draft"
        )
    config = load_config(source, overrides)
    path = models.find(model)
    require_outputs([("-o", output)], [path, models.find(draft, "--draft") if draft else None, toml(source)])
    people = console("")
    say = Steps(people)
    with say(f"{'compiling' if path.is_dir() else 'reading'} {model}"):
        image = models.load(path, draft)
    with say(f"placing it on configuration {config.name}"):
        made = load_file(image, config, precision, quality, filters, speculate)

    written = made.to_bytes()

    def check(read):
        if read != written or parse(read, output).to_bytes() != written:
            raise HayateError(output, "", "does not read back as it was written", "write it to another disk")

    write_bytes(written, output, "-o", check)
    people.print(
        f"{made.model}: {len(made.records):,} records for {config.tiles} tiles of {config.banks} banks, M = "
        f"{config.lanes}",
        markup=False,
    )
    people.print(str(output), markup=False)
