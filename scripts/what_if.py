"""What a pass would take if the chip were another one, by the cycle model: the figures of ADRs 21 and 22.

    python scripts/what_if.py [order|attention ...]

`order`: py-mini on the preset `demo`, a pass with its root at position 35: sums sent behind the gather, what a tile
fetches behind what it computes, sums that take no place on the ring, and a ring on which nothing waits. `attention`: a
layer of 70B's shape with INT4 weights on 16 tiles of 16 banks (`hayate bench layer`), a model of two layers less one of
one: K and V as they are, in INT8, and a machine of eight lanes, which reads them for twice as many vectors.

Modelled: `hayate.profile.model` runs the placed program by the formulas that benches hold the engines to.
"""

import sys
from contextlib import contextmanager
from dataclasses import replace

from hayate import models
from hayate.bench.layer import CASES, machine, outlines
from hayate.compiler import program
from hayate.compiler.place import place
from hayate.profile.model import machine as model
from hayate.profile.model import ring
from hayate.profile.model.program import Pass, Program
from hayate.rtl.contract.activity import Phase
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import Op, WaitKind
from hayate.rtl.contract.precision import GROUPS, Format, stream_words
from hayate.scripts.markdown import table

ROOT = 35
CONTEXTS = (256, 1008, 4032, 8064)


@contextmanager
def patched(owner, name, value):
    """`owner.name` is `value` meanwhile."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    yield
    setattr(owner, name, before)


def cycles(image, config, fmt, root, count):
    """Cycles of a pass with so many positions from `root` on, all matrices with planes read in `fmt`."""
    held = {d.name: fmt for d in image.descriptors if d.planes and (d.tensor or fmt != Format.FP16)}
    where = tuple(range(root, root + count))
    log = model.Log()
    log.events.append(
        Pass(
            tokens=(0,) * count,
            positions=where,
            slots=where,
            hwm=root + count,
            wanted=count,
            measure=False,
            draft=False,
            second=False,
            sample=False,
            top_k=0,
            min_p=False,
            formats={d.name: fmt for d in image.descriptors if d.planes},
        )
    )
    loaded = {name: f for name, f in held.items() if f != Format.FP16}
    found = model.run(place(image, config, loaded, weights=False), log, 0).phases
    starts = dict((phase, cycle) for cycle, phase in found)
    return starts[Phase.VERIFY] - starts[Phase.PASS]


class _Behind(program.Program):
    """Sums of the residual stream are sent when the tile has what all tiles have gathered."""

    def emit(self, op, **args):
        if op == Op.SENDSUM and not args.get("vec"):
            super().emit(Op.V_WAIT, chan=program.GATHER, kind=int(WaitKind.ALL), count=1)
        return super().emit(op, **args)

    def run(self, routine, name, **args):
        if routine == "resid":  # what the matrix engine has waited for counts here, too
            kind = WaitKind.ATTEND if name == "wo" else WaitKind.ALL
            super().emit(Op.V_WAIT, chan=program.GATHER, kind=int(kind), count=1)
        super().run(routine, name, **args)


def _weightless(sums_only):
    """`Ring._send` whose flits, or sums alone, take no slot."""
    send = ring.Ring._send

    def free(self, stop, slot, flit):
        before = self._until[slot], self._circles[slot]
        send(self, stop, slot, flit)
        if not sums_only or flit.kind == FlitKind.SUM and flit.round is None:
            self._until[slot], self._circles[slot] = before

    return free


def _computed_first():
    """`Ring.offer` by which what tiles compute goes ahead of what they fetch."""
    offer = ring.Ring.offer
    return lambda self, stop, flit, first, taken=None: offer(self, stop, flit, first ^ (stop > 0), taken)


def order():
    """Rows of a table: variant, then cycles for FP16, INT8 and INT4, one and four positions each."""
    config = load_config("demo")

    def row(name):
        image = models.load("py-mini")
        return [name, *(f"{cycles(image, config, fmt, ROOT, n):,}" for fmt in Format for n in (1, 4))]

    yield row("as it is")
    with patched(program, "Program", _Behind):
        yield row("sums behind the gather")
    with patched(ring.Ring, "offer", _computed_first()):
        yield row("fetched rows behind the gather")
    with patched(ring.Ring, "_send", _weightless(True)):
        yield row("sums take no place")
    with patched(ring.Ring, "_send", _weightless(False)):
        yield row("nothing waits for the ring")


def _integer_cache():
    """`Program.entries` with K and V in both planes, a scale for 32 elements."""
    entries = Program.entries

    def halved(self, now):
        for took, entry in entries(self, now):
            if entry is not None and entry.op == Op.GEMV and entry.kv:
                entry.streams = [stream_words(4 * entry.streams[0], GROUPS[0], Format.INT8)]
            yield took, entry

    return halved


def attention():
    """Rows of a table: context, variant, cycles with one and with four positions, their ratio."""
    for context in CONTEXTS:
        shape, config = machine(CASES["llama-3-70b"], context)
        one, two = outlines(shape, "int4")

        def row(name, config, context=context, one=one, two=two):
            found = [
                cycles(two, config, Format.INT4, context - 4, n) - cycles(one, config, Format.INT4, context - 4, n)
                for n in (1, 4)
            ]
            return [f"{context:,}", name, *(f"{n:,}" for n in found), f"{found[1] / found[0]:.3f}"]

        yield row("as it is", config)
        with patched(Program, "entries", _integer_cache()):
            yield row("K and V in INT8", config)
        wide = replace(config, lanes=8, max_slots=config.max_slots + 4)
        yield row("eight lanes", wide)


HEADS = {
    "order": ["", *(f"{f.name}, {n}" for f in Format for n in ("one", "four"))],
    "attention": ["context", "", "one", "four", "ratio"],
}

if __name__ == "__main__":
    for name in sys.argv[1:] or HEADS:
        print(table(HEADS[name], list(globals()[name]())))
