"""Amaranth component to one deterministic Verilog text with plain module names and no paths in it."""

import gc
import os
import re
import sys
import tempfile
from contextlib import ExitStack, contextmanager

from hayate.rtl.verilog.widths import equal_widths

_ESCAPED = re.compile(r"\\(\S+) ")
_MODULE = re.compile(r"^module\s+(\\\S+ |\w+)", re.MULTILINE)
_TRIGGER = re.compile(r"^  reg (\\\$auto\$verilog_backend\S+) +(?:\[[\d:]+\] )?= 0;$", re.MULTILINE)
_BARE = re.compile(r"^( *)always @\*\n\s+(\S[^\n]*;)\n", re.MULTILINE)
_NOT = re.compile(r"^(  assign [^\n]* = )! (?=[^\n]*;$)", re.MULTILINE)
_REPEATED = re.compile(r"((?:\\\S+ |\w+ ?)\[\d+\])(?:, \1){2,}")
_FILL = re.compile(
    r"^  initial begin\n    (\\\S+ |\w+)\[0\] = ([^\n]*);\n((?:    \1\[\d+\] = \2;\n){7,})  end\n", re.MULTILINE
)
_MODULE_TEXT = re.compile(r"^module\b.*?^endmodule", re.MULTILINE | re.DOTALL)


def verilog(component, name: str = "top") -> str:
    """Verilog of `component` and everything below it, the same bytes on every call.

    Parameters
    ----------
    component: a `wiring.Component`; its ports become the ports of the top module, members joined with `__`.
    name: the top module's name and the prefix of every other: the submodule at `a.b` becomes `NAME_a_b`.
    """
    from amaranth.back import rtlil  # a program that only reads Verilog needs no Amaranth
    from amaranth.back import verilog as backend

    from hayate.rtl.verilog.once import Once

    with _uncollected(), _yosys():
        platform = Once(name)
        text = rtlil.convert(component, name=name, platform=platform, emit_src=False)
        text = equal_widths(text + platform.rtlil)
        # Amaranth's own way from RTLIL to Verilog has no public name; the release of Amaranth is pinned.
        text = backend._convert_rtlil_text(text, strip_internal_attrs=True)
    return settle(explicit(loops(plain_names(text))))


@contextmanager
def _uncollected():
    """No garbage collection inside. Elaboration makes millions of objects that live to its end: looking through them
    time and again for what could be freed took half of its time.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@contextmanager
def _yosys():
    """Inside, Yosys starts whatever the caller's shell has set. It is a Python program too, which would take modules
    from the current folder; and compiled when first used, kept in the user's cache and refusing to run without one:
    where there is none, or none that may be written, it gets one for the time of the call.
    """
    cache = os.environ.get("XDG_CACHE_HOME", "") or os.path.expanduser("~/.cache")
    with ExitStack() as stack:
        try:
            if not os.path.isabs(cache):
                raise FileNotFoundError(cache)
            os.makedirs(os.path.join(cache, "wasmtime"), exist_ok=True)
            tempfile.TemporaryFile(dir=os.path.join(cache, "wasmtime")).close()
        except OSError:
            cache = stack.enter_context(tempfile.TemporaryDirectory(prefix="hayate-"))
        given = {"XDG_CACHE_HOME": cache, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        before = {name: os.environ.get(name) for name in given}
        os.environ.update(given)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def loops(text: str) -> str:
    """`text` with a loop for every memory of eight words or more that begins with the same word everywhere, instead of
    a line for each.

    In deep memories those lines are a tenth of a machine's text, and a larger part of what simulators make of it.
    """

    def loop(match):
        memory, word, rest = match.groups()
        name = re.sub(r"\W", "_", memory.strip("\\ "))
        return (
            f"  initial begin : {name}_fill\n    integer at;\n"
            f"    for (at = 0; at <= {rest.count(';')}; at = at + 1) {memory}[at] = {word};\n  end\n"
        )

    return _FILL.sub(loop, text)


def explicit(text: str) -> str:
    """`text` that says in full what Yosys leaves to the rules of Verilog: tests of numbers for zero, and what a case
    does otherwise.

    And in short what it says in full: a bit that is repeated, as in the extension of a sign.
    """
    lines: list[str] = []
    defaults: list[bool] = []  # of the cases around a line: whether they have a default, or need none
    text = _REPEATED.sub(lambda m: f"{{{m[0].count(',') + 1}{{{m[1]}}}}}", _NOT.sub(r"\1~| ", text))
    for line in text.split("\n"):
        word = line.lstrip()
        if word.startswith("casez ("):
            defaults.append("full_case" in lines[-1])
        elif word == "default:":
            defaults[-1] = True
        elif word == "endcase" and not defaults.pop():
            lines.append(f"{line[: -len(word)]}  default: ;")
        lines.append(line)
    return "\n".join(lines)


def settle(text: str) -> str:
    """`text` whose combinational blocks all run once when simulation starts, in event-driven simulators too.

    An ``always @*`` block runs when something it reads changes. One that assigns a constant, or reads only registers
    that already hold their reset value, has not run by the first clock edge, and its outputs are X. Yosys makes most
    blocks read a variable that changes at time 0, which may be before they listen; here it changes a delta cycle later,
    and the one-line blocks read it too.
    """
    return _MODULE_TEXT.sub(lambda m: _settle_module(m[0]), text)


_SETTLE = "hayate_settle"
_DECLARATION = f"`ifdef __ICARUS__\n  reg {_SETTLE};\n  initial #0 {_SETTLE} = 0;\n`else\n  reg {_SETTLE} = 0;\n`endif"


def _settle_module(text: str) -> str:
    found = _TRIGGER.search(text)
    if not found and not _BARE.search(text):
        return text
    text = _BARE.sub(
        lambda m: f"{m[1]}always @* begin\n{m[1]}  if ({_SETTLE}) begin end\n{m[1]}  {m[2]}\n{m[1]}end\n", text
    )
    if found:
        return _TRIGGER.sub(_DECLARATION, text).replace(found[1], _SETTLE)
    head = text.index(";") + 1  # behind the list of ports
    return f"{text[:head]}\n{_DECLARATION}{text[head:]}"


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
