"""The ports of a Verilog module, and the conversion of `rtl/verilog/convert.py` under the name that benches use."""

import re
from dataclasses import dataclass

from hayate.rtl.verilog.convert import plain_names, verilog

__all__ = ["Port", "plain_names", "ports", "verilog"]

_PORT = re.compile(
    r"^\s*(input|output)\s+(?:wire\s+|reg\s+|logic\s+)?(?:signed\s+)?(?:\[(\d+):0\]\s*)?(\w+)\s*[;,)]?",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Port:
    """A port of the top module: `direction` is "input" or "output", `width` in bits."""

    name: str
    direction: str
    width: int


def ports(text: str, name: str = "top") -> tuple[Port, ...]:
    """The ports of module `name` in `text`, in order of declaration.

    Reads what Amaranth writes and ordinary ANSI or non-ANSI Verilog with constant ranges. Raises ValueError when there
    is no such module.
    """
    match = re.search(rf"^\s*module\s+{re.escape(name)}\b(.*?)^\s*endmodule", text, re.MULTILINE | re.DOTALL)
    if match is None:
        raise ValueError(f"no module {name!r} in the Verilog")
    body = re.sub(r"//[^\n]*", "", match[1]).replace("(", "(\n").replace(",", ",\n")
    found = {m[3]: Port(m[3], m[1], int(m[2] or 0) + 1) for m in _PORT.finditer(body)}
    return tuple(found.values())
