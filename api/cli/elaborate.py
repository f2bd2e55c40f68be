"""`hayate elaborate`: write the chip's Verilog, its description, its C header and what lint need not say of it."""

import json
from importlib.util import find_spec

from hayate.cli.verilog_names import require_prefix
from hayate.output import require_outputs, write_texts
from hayate.progress import Steps
from hayate.rtl.contract.errors import HayateError


def elaborate(config, output, prefix="hayate", say=Steps()):  # noqa: B008
    """Write OUTPUT (Verilog), and beside it .json, .h and .vlt: all four or none; `say` shows that it takes time.

    Returns the four paths. Raises HayateError.
    """
    if output.suffix not in (".v", ".sv"):
        raise HayateError(
            "-o", "", f"{str(output)!r} does not end in .v", "name the Verilog file, such as build/hayate.v"
        )
    require_prefix(prefix)
    paths = [output, *(output.with_suffix(suffix) for suffix in (".json", ".h", ".vlt"))]
    require_outputs([("-o", path) for path in paths])
    if find_spec("amaranth") is None:
        raise HayateError("elaborate", "", "the Python package amaranth is not installed", "pip install 'hayate[sim]'")
    from hayate.rtl.emit import emit
    from hayate.rtl.verilog.lint import waivers

    with say(f"elaborating configuration {config.name}"):
        emission = emit(config, prefix)
    texts = emission.verilog, json.dumps(emission.description, indent=1) + "\n", emission.header, waivers(output.name)
    write_texts(dict(zip(paths, texts)), "-o")
    return paths
