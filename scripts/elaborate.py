"""`hayate elaborate`: write the chip's Verilog, its description and its C header."""

import json
import os
import tempfile

from hayate.rtl.contract.errors import HayateError


def write_text(path, text):
    """Write a file whole or not at all; HayateError when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=path.name, dir=path.parent)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
            os.chmod(part, 0o644)
            os.replace(part, path)
        except BaseException:
            os.unlink(part)
            raise
    except OSError as e:
        raise HayateError(path, "", f"cannot be written ({e.strerror})", "give -o a place that can be written to") from None


def elaborate(config, output, prefix="hayate"):
    """Write OUTPUT (Verilog), and beside it .json and .h. Returns the three paths. Raises HayateError."""
    if output.suffix not in (".v", ".sv"):
        raise HayateError("-o", "", f"{str(output)!r} does not end in .v", "name the Verilog file, such as build/hayate.v")
    try:
        from hayate.rtl.emit import emit
    except ModuleNotFoundError as e:
        raise HayateError("elaborate", "", f"the Python package {e.name} is not installed", "pip install 'hayate[sim]'") from None

    emission = emit(config, prefix)
    files = {output: emission.verilog, output.with_suffix(".json"): json.dumps(emission.description, indent=1) + "\n",
             output.with_suffix(".h"): emission.header}
    for path, text in files.items():
        write_text(path, text)
    return list(files)
