"""Amaranth component to one deterministic Verilog text with plain module names and no paths in it."""

import re
from dataclasses import dataclass

_ESCAPED = re.compile(r"\\(\S+) ")
_MODULE = re.compile(r"^module\s+(\\\S+ |\w+)", re.MULTILINE)
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


def verilog(component, name: str = "top") -> str:
    """Verilog of `component` and everything below it, the same bytes on every call.

    Parameters
    ----------
    component: a `wiring.Component`; its ports become the ports of the top module, members joined with `__`.
    name: the top module's name and the prefix of every other: the submodule at `a.b` becomes `NAME_a_b`.
    """
    from amaranth.back import verilog as backend  # the command line imports this file before it needs Amaranth

    return plain_names(backend.convert(component, name=name, emit_src=False, strip_internal_attrs=True))


def plain_names(text: str) -> str:
    """`text` with every escaped module name made a plain one; a clash gets a number, in order of appearance."""
    defined = [m.strip() for m in _MODULE.findall(text)]
    used = {m for m in defined if not m.startswith("\\")}
    names = {}
    for escaped in (m for m in defined if m.startswith("\\")):
        plain = candidate = re.sub(r"\W", "_", escaped[1:])
        number = 1
        while candidate in used:
            number += 1
            candidate = f"{plain}_{number}"
        used.add(candidate)
        names[escaped[1:]] = candidate

    def replace(match):
        found = names.get(match[1])
        # An instance may be called as the module is: the same plain name serves both, they are different name spaces.
        return f"{found} " if found else match[0]

    return _ESCAPED.sub(replace, text) if names else text


def ports(text: str, name: str = "top") -> tuple[Port, ...]:
    """The ports of module `name` in `text`, in order of declaration.

    Reads what Amaranth writes and ordinary ANSI or non-ANSI Verilog with constant ranges. Raises ValueError when there is no
    such module.
    """
    match = re.search(rf"^\s*module\s+{re.escape(name)}\b(.*?)^\s*endmodule", text, re.MULTILINE | re.DOTALL)
    if match is None:
        raise ValueError(f"no module {name!r} in the Verilog")
    body = re.sub(r"//[^\n]*", "", match[1]).replace("(", "(\n").replace(",", ",\n")
    found = {m[3]: Port(m[3], m[1], int(m[2] or 0) + 1) for m in _PORT.finditer(body)}
    return tuple(found.values())
