"""Amaranth component to one deterministic Verilog text with plain module names and no paths in it."""

import re

_ESCAPED = re.compile(r"\\(\S+) ")
_MODULE = re.compile(r"^module\s+(\\\S+ |\w+)", re.MULTILINE)
_CONSTANT = re.compile(r"^( *)always @\*\n\s+(\S+ *(?:\[[\d:]+\])? = \d+'[bdh]\w+;)\n", re.MULTILINE)


def verilog(component, name: str = "top") -> str:
    """Verilog of `component` and everything below it, the same bytes on every call.

    Parameters
    ----------
    component: a `wiring.Component`; its ports become the ports of the top module, members joined with `__`.
    name: the top module's name and the prefix of every other: the submodule at `a.b` becomes `NAME_a_b`.
    """
    from amaranth.back import verilog as backend  # a program that only reads Verilog needs no Amaranth

    return settle_constants(plain_names(backend.convert(component, name=name, emit_src=False, strip_internal_attrs=True)))


def settle_constants(text: str) -> str:
    """`text` with an `initial` beside every ``always @*`` that assigns a constant to some bits of a signal.

    Such a block is sensitive to nothing, so by the language's rules it never runs and the bits keep their initial value: X in Icarus,
    0 in Verilator. Synthesis tools take the constant from the block either way.
    """
    return _CONSTANT.sub(lambda m: f"{m[1]}initial {m[2]}\n{m[0]}", text)


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
