"""Waveforms of docstrings, drawn from what a component does in Amaranth's simulator, so that they stay true."""

import inspect

from amaranth.hdl import Fragment, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.sim import Simulator


def ports(*names):
    """Rows that are called as what they show."""
    return {name: name for name in names}


def strobe(port, **beside):
    """Steps: one cycle of `port`, with other ports that stay."""
    return {0: {port: 1, **beside}, 1: {port: 0}}


def blank(original):
    """A class of components with the ports of an `original`'s, which do nothing: for a part that a drawing does not
    show.
    """

    class Blank(wiring.Component):
        def __init__(self, *args, **kwargs):
            whole = original(*args, **kwargs)
            whole._MustUse__used = True  # for its ports; Amaranth warns of what nobody has elaborated
            super().__init__(whole.signature)

        def elaborate(self, platform):
            return Module()

    return Blank


def require_drawn(documented, drawing):
    """Fails unless the docstring of a class or function has the `drawing`, four columns in."""
    drawn = "\n".join(f"    {line}" for line in drawing.splitlines())
    assert drawn in inspect.cleandoc(documented.__doc__), f"{documented.__qualname__}'s docstring lacks\n\n{drawn}"


def draw(component, rows, steps, cycles, *, width=4, skip=0):
    """Text of a waveform: a line for the cycles, then one for each of `rows`.

    A bit is drawn as ``____`` while it is 0 and ``~~~~`` while it is 1. Of anything wider stands the value where it
    changes, or the state of an FSM, cut off where its column ends, and ``....`` while it stays. ``:`` stands where
    cycles are left out.

    Parameters
    ----------
    component: its ports that no step sets are 0.
    rows: label -> port ("tx.valid"), or name of a signal inside the component. ValueError where several have that name,
        or none.
    steps: cycle -> {port: value}, set at the beginning of the cycle.
    cycles: how many are drawn, or which of them, ascending. skip: how many pass before cycle 0. width: columns of a
        cycle.
    """
    drawn = range(cycles) if isinstance(cycles, int) else cycles
    fragment = Fragment.get(component, None)
    inner = _signals(fragment)
    shown = {}
    for label, name in rows.items():
        known = [_port(component, name)] if _is_port(component, name) else inner.get(name, [])
        if len(known) != 1:
            raise ValueError(f"{label}: {len(known)} signals are called {name!r}: show one that has a name of its own")
        shown[label] = known[0]
    seen = {label: [] for label in rows}

    async def bench(ctx):
        for cycle in range(-skip, drawn[-1] + 1):
            for name, value in steps.get(cycle, {}).items():
                ctx.set(_port(component, name), value)
            if cycle in drawn:
                for label, signal in shown.items():
                    seen[label].append(_text(signal, ctx.get(Value.cast(signal))))
            await ctx.tick()

    simulator = Simulator(fragment)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    gaps = ["" if n in (drawn[0], before + 1) else ": " for before, n in zip([drawn[0], *drawn], drawn)]
    label_width = max(map(len, ["cycle", *rows])) + 2
    lines = ["cycle".ljust(label_width) + "".join(gap + str(n).ljust(width) for gap, n in zip(gaps, drawn))]
    for label, signal in shown.items():
        columns, before = [], None
        for gap, text in zip(gaps, seen[label]):
            if len(Value.cast(signal)) == 1 and not _is_state(signal):
                column = ("~" if text == "1" else "_") * width
            else:
                column = ("" if text == before else text[: width - 1]).ljust(width, ".")
            columns.append(gap + column)
            before = text
        lines.append(label.ljust(label_width) + "".join(columns))
    return "\n".join(line.rstrip() for line in lines)


def _signals(fragment):
    """Name -> signals of this name that a fragment, or one inside it, assigns to."""
    found = {}
    for one in _fragments(fragment):
        for statements in one.statements.values():
            for signal in statements._lhs_signals():
                same = found.setdefault(signal.name, [])
                if not any(signal is known for known in same):
                    same.append(signal)
    return found


def _fragments(fragment):
    yield fragment
    for child, *_ in fragment.subfragments:
        yield from _fragments(child)


def _is_port(component, name):
    return name.partition(".")[0] in component.signature.members


def _port(component, name):
    for part in name.split("."):
        component = component[int(part)] if part.isdecimal() else getattr(component, part)
    return component


def _is_state(signal):
    return isinstance(signal, Signal) and signal.decoder is not None


def _text(signal, value):
    if _is_state(signal):
        return signal.decoder(value).partition("/")[0]
    return str(value)
