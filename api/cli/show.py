"""`hayate config show` and `hayate compile`: print what a configuration is and where a model would lie in it."""

from rich.table import Table

from hayate import models
from hayate.output import require_outputs, toml, write_image, write_json
from hayate.progress import console
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.errors import HayateError


def config(source, overrides, json):
    """Print a configuration as a table, or write it as JSON."""
    c = load_config(source, overrides)
    require_outputs([("--json", json)], [toml(source)])
    if json:
        write_json({**c.to_dict(), "bytes_total": c.bytes_total, "context": c.context}, json)
        if json == "-":
            return
    table = Table("key", "value", title=f"configuration {c.name}", title_justify="left", box=None)
    for key, value in c.to_dict().items():
        table.add_row(key, str(value))
    table.add_row("", "")
    table.add_row("bytes in banks", f"{c.bytes_total:,}")
    table.add_row("KV context", f"{c.context} positions")
    console(json).print(table)


def compile_(model, output, source, overrides, json, draft="", **options):
    """Compile a model directory to an image file, with the model `draft` (a name, "" for none) to draft for it, and
    print the placement report for a configuration.

    `options` go to `compile_model`. A model that does not fit the configuration leaves its report on the screen and no
    image. Raises HayateError.
    """
    from hayate.compiler import compile_model
    from hayate.compiler.place import place
    from hayate.compiler.report import render, report

    c = load_config(source, overrides)
    path = models.find(model)
    if not path.is_dir():
        raise HayateError(path, "", "not a model directory", "give the Hugging Face directory that holds config.json")
    drafter = models.find(draft, "--draft") if draft else None
    require_outputs([("-o", output), ("--json", json)], [path, drafter, toml(source)])
    image = models.with_draft(compile_model(path, **options), draft)
    found = report(image, c)
    people = console(json)
    people.print(render(found))
    place(image, c)
    write_image(image, output, "-o")
    if json:
        write_json(found, json)
    people.print(str(output), markup=False)
