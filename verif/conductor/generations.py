"""Generations of a conductor under test, beside golden's: what the benches of the conductor share."""

import random
from dataclasses import dataclass
from functools import partial, partialmethod
from unittest.mock import patch

import cocotb
import numpy as np
from amaranth.hdl import Fragment
from amaranth.lib.memory import Memory

from hayate.golden.conductor import loop
from hayate.golden.conductor.draft import Model, Nested, Ngram, Off
from hayate.golden.conductor.ngram import BaseTable
from hayate.rtl.conductor.conductor import Conductor
from hayate.rtl.contract.draft import Drafter
from hayate.rtl.contract.isa import Energy
from hayate.rtl.contract.precision import measured_positions
from hayate.rtl.contract.regmap import END_TOKENS
from hayate.rtl.contract.words import TOKEN_BITS
from hayate.verif.bench import params
from hayate.verif.bench.drivers import Sink, clock
from hayate.verif.conductor.stand_ins import RING_TILES, Choices, Noted, Second, Tiles

SLOTS = 128
PROMPT_DEPTH = 16  # of the token FIFO, too
MATRICES = 8
END = 511


#: (width, depth) of memories that a load fills, which the host clears: prompt buffer, base table, the governor's
#: matrices.
LOADED = {(TOKEN_BITS + 1, PROMPT_DEPTH), (33, 512), (33, 4096), (80, MATRICES)}


class PoweredUp(Conductor):
    """A conductor whose memories begin with anything, most of it with wrong parity, but for those that a load fills."""

    def elaborate(self, platform):
        with patch.object(Memory, "__init__", partialmethod(_scrambled, Memory.__init__, random.Random("contents"))):
            return Fragment.get(super().elaborate(platform), platform)


def _scrambled(memory, begin, r, data=None, *, shape, depth, init, **others):
    if (shape, depth) not in LOADED:
        init = [r.getrandbits(shape) for _ in range(depth)]
    begin(memory, data, shape=shape, depth=depth, init=init, **others)


def make(lanes, max_matrices=MATRICES):
    """The conductor of a set of parameters, powered up as silicon is. Benches that take this function share its
    builds.
    """
    return PoweredUp(
        lanes=lanes,
        prompt_depth=PROMPT_DEPTH,
        max_slots=SLOTS,
        ring_tiles=RING_TILES,
        max_matrices=max_matrices,
        sampling=max_matrices > 0,
    )


def end_tokens(dut, r, at, chosen):
    """Name END as the end token of one register, and tokens that nobody chooses in some of the others; the rest hold 0
    or tokens of the text, and do not count. at: the register, None for none that counts at all. Returns the tokens that
    count.
    """
    named = [r.choice([0, END, r.choice(chosen[4:20])]) for _ in range(END_TOKENS)]
    count = [] if at is None else [n for n in range(END_TOKENS) if n == at or r.random() < 0.5]
    for n in count:
        named[n] = END if n == at else 1 << 9 | r.getrandbits(9)
    dut.control__request__ending__tokens.value, dut.control__request__ending__enable.value = (
        sum(t << 20 * n for n, t in enumerate(named)),
        sum(1 << n for n in count),
    )
    return tuple(named[n] for n in count)


async def begin(
    dut,
    r,
    sinks,
    *,
    prompt,
    limit,
    context=100,
    end=None,
    all_logits=False,
    tiles=3,
    matrices=(),
    drafter=Drafter.OFF,
    nodes=7,
    branch=0,
    period=0,
    pause=0,
    costs=None,
    bits=9,
    corrupt=0,
    base=False,
    wrong=0.3,
    register=None,
    vocabulary=1 << TOKEN_BITS,
    watchdog=0,
    committed=0,
):
    """Start one, with tiles that serve it, and have golden do the same. Returns a `Run`.

    matrices: entries (planes descriptor, sens_err) of the governor's table, which is off when there are none.
    period: after so many positions the choices repeat, but for one in eight. pause: cycles that the tiles take. bits:
    of a choice. base: the drafter has a base table, of most of the choices. end: position whose choice is END, and
    nobody else's. wrong: share of the drafted tokens. register: that of END, any of them when None. vocabulary,
    watchdog: as of `Conductor`. committed: last tokens of the prompt that are a text's beginning.
    """
    chosen = [r.randrange(min(1 << bits, vocabulary)) for _ in range(120)]
    for at in range(period, 120 if period else 0):
        chosen[at] = chosen[at] if r.random() < 0.12 else chosen[at - period]
    if end is not None:
        chosen = [token if token != END else 0 for token in chosen]
        chosen[end] = END
    some = partial(r.randrange, min(1 << 9, vocabulary))
    drafted = [some() if r.random() < wrong else token for token in chosen]
    seconds = [(r.choice([some(), chosen[at]]), np.float32(r.uniform(-3, 8.9))) for at in range(120)]
    rows = []
    if base:
        rows = [(-1, *pair) for pair in zip(chosen, chosen[1:]) if r.random() < 0.9]
        for dut.tables__base__address.value, dut.tables__base__data.value in BaseTable(rows).words():
            dut.tables__base__enable.value = 1
            await clock(dut)
        dut.tables__base__enable.value = 0
    for at, token in enumerate(prompt):
        dut.tables__prompt__enable.value, dut.tables__prompt__address.value, dut.tables__prompt__data.value = (
            1,
            at,
            token,
        )
        await clock(dut)
    dut.tables__prompt__enable.value = 0
    (
        dut.control__request__tiles.value,
        dut.control__request__prompt_length.value,
        dut.control__request__ending__token_limit.value,
        dut.control__request__ending__context_limit.value,
    ) = (
        tiles,
        len(prompt),
        limit,
        context,
    )
    dut.control__request__vocabulary.value, dut.control__request__watchdog.value = vocabulary, watchdog
    ends = end_tokens(
        dut, r, None if end is None else r.randrange(END_TOKENS) if register is None else register, chosen
    )
    dut.control__request__all_logits.value = int(all_logits)
    (
        dut.control__draft__drafter.value,
        dut.control__draft__nodes.value,
        dut.control__draft__branch.value,
        dut.control__draft__corrupt.value,
    ) = int(drafter), nodes, branch, corrupt
    dut.control__draft__base.value = int(bool(rows))
    dut.control__draft__control.value, dut.control__draft__cost.value = (
        int(bool(costs)),
        costs[1] if costs and drafter.takes_passes else 0,
    )
    for n, cost in enumerate(costs[0] if costs else []):
        getattr(dut, f"control__draft__costs__{n}").value = cost
    governor = params().get("max_matrices", 8) > 0
    seed, sample = (r.getrandbits(64), r.choice([0, 1])) if governor else (0, 0)
    if governor:
        dut.control__request__seed.value, dut.control__request__sample.value = seed, sample
        dut.control__request__measured.value = measured_positions(len(prompt) - committed)
        dut.control__request__auto.value, dut.control__request__matrices.value, dut.control__request__knob.value = (
            int(bool(matrices)),
            len(matrices),
            1 << 16,
        )
    for addr, word in enumerate(word for planes, sensitivity in matrices for word in (planes, sensitivity)):
        dut.tables__matrices__enable.value, dut.tables__matrices__address.value, dut.tables__matrices__data.value = (
            1,
            addr,
            word,
        )
        await clock(dut)
    if governor:
        dut.tables__matrices__enable.value = 0
    dut.control__start.value = 1
    await clock(dut)
    dut.control__start.value = 0
    tx, sink = sinks
    model = Tiles(dut, r, tx, chosen, drafted, seconds, tiles, pause)
    served = cocotb.start_soon(model.serve())
    golden = Choices(chosen, drafted, seconds)
    proposer = {
        Drafter.OFF: Off,
        Drafter.NGRAM: partial(Ngram, branch, SLOTS, rows),
        Drafter.NESTED: partial(Nested, branch),
        Drafter.DRAFT: partial(Model, Second(golden, drafted, params()["lanes"]), (None, 0)),
    }[drafter]
    proposer = proposer(corrupt=corrupt, vocabulary=vocabulary)
    utility = Noted(costs[0], costs[1] if drafter.takes_passes else 0) if costs and drafter != Drafter.OFF else None
    p = loop.run(
        golden,
        prompt,
        limit,
        lanes=params()["lanes"],
        context=context,
        drafter=proposer,
        utility=utility,
        nodes=nodes,
        end=ends,
        all_logits=all_logits,
        measure=bool(matrices),
        committed=committed,
    )
    plans, own = utility.plans if utility else [], prompt[: len(prompt) - committed]
    return Run(dut, sink, model, served, golden, p, plans, seed, sample, own, matrices, drafter)


@dataclass
class Run:
    """A generation in progress.

    model, served: `Tiles`, and the task that ends with FINISH. golden, p, plans: `Choices`, golden's result, and what
    utility control planned there. prompt: tokens of it that no text begins with.
    """

    dut: object
    sink: Sink
    model: Tiles
    served: object
    golden: Choices
    p: object
    plans: list
    seed: int
    sample: int
    prompt: list
    matrices: tuple
    drafter: Drafter

    def same_passes(self):
        """Assert that passes so far are golden's first ones, to the last node, slot and high-water mark. Returns how
        many there are.
        """
        for n, (got, expected) in enumerate(zip(self.model.passes, self.golden.passes)):
            assert got == expected, f"pass {n}"
        count = len(self.model.passes)
        assert count <= len(self.golden.passes) and self.model.energies == self.golden.measured[:count]
        assert self.model.draws == [self.seed, *[self.sample] * count]
        return count

    async def finish(self):
        """Wait for its end; all of it must be golden's."""
        dut, p, model, matrices = self.dut, self.p, self.model, self.matrices
        got = [t & 0xFFFFF for t in await self.sink.take(len(p.tokens))]
        await self.served
        await clock(dut, 2)
        assert got == p.tokens and not self.sink.data
        assert self.same_passes() == len(self.golden.passes)
        measuring = -(-measured_positions(len(self.prompt)) // params()["lanes"])
        # INT8 when sensitivity * ERR > OUT, with 2 * RING_TILES and RING_TILES of them.
        assert model.told == [(measuring, planes, 1 if 2 * sensitivity > 1 else 2) for planes, sensitivity in matrices]
        if hasattr(dut, "control__statistics__governor_cycles"):
            assert bool(int(dut.control__statistics__governor_cycles.value)) == bool(matrices)
        for at in range(len(matrices)):
            for kind in Energy:
                dut.control__look__strobe.value, dut.control__look__matrix.value, dut.control__look__kind.value = (
                    1,
                    at,
                    int(kind),
                )
                await clock(dut)
                dut.control__look__strobe.value = 0
                await clock(dut, 3)
                assert int(dut.control__look__result.value) == RING_TILES * (1 + kind)
        assert int(dut.control__done.value) == 1 and int(dut.control__busy.value) == 0
        assert (
            int(dut.control__statistics__passes.value) == len(model.passes) - p.drafting.passes
            and int(dut.control__statistics__draft_passes.value) == p.drafting.passes
        )
        assert [
            int(getattr(dut, f"control__statistics__{name}").value) for name in ("proposed", "accepted", "siblings")
        ] == [
            p.drafting.proposed,
            p.drafting.accepted,
            p.drafting.siblings,
        ]
        assert [int(getattr(dut, f"control__statistics__lengths__{n}").value) for n in range(8)] == [
            p.drafting.lengths.get(n, 0) for n in range(8)
        ]
        assert 0 < int(dut.control__statistics__prefill_cycles.value) <= int(dut.control__statistics__cycles.value)
        return p, self.plans


async def generation(*where, **how):
    """Run one to its end, see `begin`. Returns (golden's result, what utility control planned)."""
    return await (await begin(*where, **how)).finish()


class Tap(Sink):
    """A sink that also stands an offer that is taken back, by a reset or the watchdog. note: called with each value as
    it is taken.
    """

    def __init__(self, dut, name, *, note=None, **how):
        self._note = note
        super().__init__(dut, name, **how)

    async def _watch(self):
        while True:
            ready = self._rng.random() >= self.stall
            self._ready.value = int(ready)
            await self._edge
            if ready and int(self._valid.value):
                self.data.append(self._read())
                self._news.set()
                if self._note:
                    self._note(self.data[-1])
