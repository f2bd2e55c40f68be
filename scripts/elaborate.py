"""`hayate elaborate`: write the chip's Verilog, its description and its C header."""

import json

from hayate.rtl.contract.errors import HayateError

from .output import require_writable, write_texts
from .verilog_names import require_prefix


def elaborate(config, output, prefix="hayate"):
    """Write OUTPUT (Verilog), and beside it .json and .h: all three or none. Returns the three paths. Raises HayateError."""
    if output.suffix not in (".v", ".sv"):
        raise HayateError("-o", "", f"{str(output)!r} does not end in .v", "name the Verilog file, such as build/hayate.v")
    require_prefix(prefix)
    paths = [output, output.with_suffix(".json"), output.with_suffix(".h")]
    for path in paths:
        require_writable(path, "-o")
    try:
        from hayate.rtl.emit import emit

        emission = emit(config, prefix)
    except ModuleNotFoundError as e:
        package = e.name.partition(".")[0]
        raise HayateError("elaborate", "", f"the Python package {package} is not installed", "pip install 'hayate[sim]'") from None
    texts = emission.verilog, json.dumps(emission.description, indent=1) + "\n", emission.header
    write_texts(dict(zip(paths, texts)), "-o")
    return paths
