"""Waveforms of docstrings, drawn from what a component does in Amaranth's simulator, so that they stay true."""

from amaranth.hdl import Fragment, Signal, Value
from amaranth.sim import Simulator


def draw(component, rows, steps, cycles, *, width=4, skip=0):
    """Text of a waveform: a line for the cycles, then one for each of `rows`.

    A bit is drawn as ``____`` while it is 0 and ``~~~~`` while it is 1. Of anything wider stands the value where it
    changes, or the state of an FSM, cut off where its column ends, and ``....`` while it stays.

    Parameters
    ----------
    component: its ports that no step sets are 0.
    rows: label -> port ("tx.valid"), or name of a signal inside the component.
    steps: cycle -> {port: value}, set at the beginning of the cycle.
    cycles: how many are drawn. skip: how many pass before the first of them. width: columns of a cycle.
    """
    fragment = Fragment.get(component, None)
    inner = {}
    for one in _fragments(fragment):
        for statements in one.statements.values():
            for signal in statements._lhs_signals():
                inner.setdefault(signal.name, signal)
    shown = {
        label: _port(component, name) if _is_port(component, name) else inner[name] for label, name in rows.items()
    }
    seen = {label: [] for label in rows}

    async def bench(ctx):
        for cycle in range(-skip, cycles):
            for name, value in steps.get(cycle, {}).items():
                ctx.set(_port(component, name), value)
            if cycle >= 0:
                for label, signal in shown.items():
                    seen[label].append(_text(signal, ctx.get(Value.cast(signal))))
            await ctx.tick()

    simulator = Simulator(fragment)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    label_width = max(map(len, ["cycle", *rows])) + 2
    lines = ["cycle".ljust(label_width) + "".join(str(n).ljust(width) for n in range(cycles))]
    for label, signal in shown.items():
        columns, before = [], None
        for text in seen[label]:
            if len(Value.cast(signal)) == 1 and not _is_state(signal):
                columns.append(("~" if text == "1" else "_") * width)
            else:
                columns.append(("" if text == before else text[: width - 1]).ljust(width, "."))
            before = text
        lines.append(label.ljust(label_width) + "".join(columns))
    return "\n".join(line.rstrip() for line in lines)


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
