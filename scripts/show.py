"""`hayate config show` and `hayate compile`: print what a configuration is and where a model would lie in it."""

import json as _json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.errors import HayateError

from . import models


def write_json(value, target):
    """Write `value` to a file, or to standard output for "-". The file appears whole or not at all."""
    text = _json.dumps(value, indent=1) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    path = Path(target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_text(text)
        part.replace(path)
    except OSError as e:
        raise HayateError(path, "", f"cannot be written ({e.strerror})", "give --json a place that can be written to") from None


def console(json):
    """Console for people: standard error when standard output carries the JSON."""
    return Console(stderr=json == "-", highlight=False)


def config(source, overrides, json):
    """Print a configuration as a table, or write it as JSON."""
    c = load_config(source, overrides)
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


def compile_(model, output, source, overrides, json):
    """Compile a model directory to an image file, and print the placement report for a configuration."""
    from hayate.compiler import compile_model
    from hayate.compiler.place import place
    from hayate.compiler.report import report, table

    c = load_config(source, overrides)
    path = models.find(model)
    if not path.is_dir():
        raise HayateError(path, "", "not a model directory", "give the Hugging Face directory that holds config.json")
    image = compile_model(path)
    placement = place(image, c)
    output.parent.mkdir(parents=True, exist_ok=True)
    image.save(output)
    found = report(placement)
    if json:
        write_json(found, json)
    if json != "-":
        console(json).print(table(found))
        print(output)
