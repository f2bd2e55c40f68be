"""The conductor against the golden token loop, with a model of the tiles behind it: every pass, every node, slot and token, every ending,
and when the governor runs."""

import random
from collections import Counter
from functools import partial
from itertools import product

import cocotb
import numpy as np

from hayate.rtl.conductor.conductor import Conductor
from hayate.rtl.contract.draft import Drafter
from hayate.rtl.contract.isa import Energy
from hayate.rtl.contract.regmap import END_TOKENS
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import Sink, clock, start
from hayate.verif.conductor.stand_ins import RING_TILES, Choices, Noted, Second, Tiles
from hayate.verif.golden.conductor import loop
from hayate.verif.golden.conductor.draft import Model, Nested, Ngram, Off
from hayate.verif.golden.conductor.ngram import BaseTable

SLOTS = 128
BENCH = Bench(lambda lanes, max_matrices=8: Conductor(lanes=lanes, prompt_depth=16, max_slots=SLOTS, ring_tiles=RING_TILES,
                                                      max_matrices=max_matrices, sampling=max_matrices > 0),
              params=[{"lanes": 4}, {"lanes": 8}, {"lanes": 2}, {"lanes": 1}, {"lanes": 2, "max_matrices": 0}])
GOVERNED = Bench(BENCH.make, params=BENCH.params[:-1])
END = 511


def end_tokens(dut, r, at, chosen):
    """Name END as the end token of one register, and tokens that nobody chooses in some of the others; the rest hold 0 or tokens of the
    text, and do not count. at: the register, None for none that counts at all. Returns the tokens that count."""
    named = [r.choice([0, END, r.choice(chosen[4:20])]) for _ in range(END_TOKENS)]
    count = [] if at is None else [n for n in range(END_TOKENS) if n == at or r.random() < 0.5]
    for n in count:
        named[n] = END if n == at else 1 << 9 | r.getrandbits(9)
    dut.end_tokens.value, dut.end_enable.value = sum(t << 20 * n for n, t in enumerate(named)), sum(1 << n for n in count)
    return tuple(named[n] for n in count)


async def generation(dut, r, sinks, *, prompt, limit, context=100, end=None, all_logits=False, tiles=3, matrices=(), drafter=Drafter.OFF,
                     nodes=7, branch=0, period=0, pause=0, costs=None, bits=9, spoil=0, base=False, wrong=0.3, register=None):
    """Run one; `matrices`: entries (planes descriptor, sens_err) of the governor's table, which is off when there are none.

    period: after so many positions the choices repeat, but for one in eight. pause: cycles that the tiles take. bits: of a choice.
    base: the drafter has a base table, of most of the choices. end: position whose choice is END, and nobody else's. wrong: share of the
    drafted tokens. register: that of END, any of them when None.
    """
    chosen = [r.getrandbits(bits) for _ in range(120)]
    for at in range(period, 120 if period else 0):
        chosen[at] = chosen[at] if r.random() < 0.12 else chosen[at - period]
    if end is not None:
        chosen = [token if token != END else 0 for token in chosen]
        chosen[end] = END
    drafted = [r.getrandbits(9) if r.random() < wrong else token for token in chosen]
    seconds = [(r.choice([r.getrandbits(9), chosen[at]]), np.float32(r.uniform(-3, 8.9))) for at in range(120)]
    rows = []
    if base:
        rows = [(-1, *pair) for pair in zip(chosen, chosen[1:]) if r.random() < 0.9]
        for dut.base_addr.value, dut.base_data.value in BaseTable(rows).words():
            dut.base_write.value = 1
            await clock(dut)
        dut.base_write.value = 0
    for at, token in enumerate(prompt):
        dut.prompt_write.value, dut.prompt_addr.value, dut.prompt_token.value = 1, at, token
        await clock(dut)
    dut.prompt_write.value = 0
    dut.tiles.value, dut.prompt_length.value, dut.token_limit.value, dut.context_limit.value = tiles, len(prompt), limit, context
    dut.vocabulary.value = 1 << 20
    ends = end_tokens(dut, r, None if end is None else r.randrange(END_TOKENS) if register is None else register, chosen)
    dut.all_logits.value = int(all_logits)
    dut.drafter.value, dut.draft_nodes.value, dut.branch.value, dut.spoil.value = int(drafter), nodes, branch, spoil
    dut.base.value = int(bool(rows))
    dut.draft_control.value, dut.draft_cost.value = int(bool(costs)), costs[1] if costs and drafter.takes_passes else 0
    for n, cost in enumerate(costs[0] if costs else []):
        getattr(dut, f"costs_{n}").value = cost
    governor = params().get("max_matrices", 8) > 0
    seed, sample = (r.getrandbits(64), r.choice([0, 1])) if governor else (0, 0)
    if governor:
        dut.seed.value, dut.sample.value = seed, sample
        dut.auto.value, dut.matrices.value, dut.knob.value = int(bool(matrices)), len(matrices), 1 << 16
    for addr, word in enumerate(word for planes, sensitivity in matrices for word in (planes, sensitivity)):
        dut.matrix_write.value, dut.matrix_addr.value, dut.matrix_data.value = 1, addr, word
        await clock(dut)
    if governor:
        dut.matrix_write.value = 0
    dut.start.value = 1
    await clock(dut)
    dut.start.value = 0
    tx, sink = sinks
    model = Tiles(dut, r, tx, chosen, drafted, seconds, tiles, pause)
    served = cocotb.start_soon(model.serve())
    golden = Choices(chosen, drafted, seconds)
    proposer = {Drafter.OFF: Off, Drafter.NGRAM: partial(Ngram, branch, SLOTS, rows), Drafter.NESTED: partial(Nested, branch),
                Drafter.DRAFT: partial(Model, Second(golden, drafted, params()["lanes"]), None, 0)}[drafter](spoil=spoil)
    utility = Noted(costs[0], costs[1] if drafter.takes_passes else 0) if costs and drafter != Drafter.OFF else None
    p = loop.run(golden, prompt, limit, lanes=params()["lanes"], context=context, drafter=proposer, utility=utility, nodes=nodes,
                 end=ends, all_logits=all_logits, measure=bool(matrices))
    passes, tokens = golden.passes, p.tokens
    got = [t & 0xFFFFF for t in await sink.take(len(tokens))]
    await served
    await clock(dut, 2)
    assert got == tokens
    for n, (got, expected) in enumerate(zip(model.passes, passes)):
        assert got == expected, f"pass {n}"
    assert len(model.passes) == len(passes)
    assert model.energies == golden.measured
    assert model.draws == [seed, *[sample] * len(passes)]
    prefills = -(-len(prompt) // params()["lanes"])
    # INT8 when sensitivity * ERR > OUT, with 2 * RING_TILES and RING_TILES of them.
    assert model.told == [(prefills, planes, 1 if 2 * sensitivity > 1 else 2) for planes, sensitivity in matrices]
    if governor:
        assert bool(int(dut.governor_cycles.value)) == bool(matrices)
    for at in range(len(matrices)):
        for kind in Energy:
            dut.look.value, dut.look_matrix.value, dut.look_kind.value = 1, at, int(kind)
            await clock(dut)
            dut.look.value = 0
            await clock(dut, 3)
            assert int(dut.result.value) == RING_TILES * (1 + kind)
    assert int(dut.done.value) == 1 and int(dut.busy.value) == 0
    assert int(dut.passes.value) == len(passes) - p.drafting.passes and int(dut.draft_passes.value) == p.drafting.passes
    assert [int(getattr(dut, name).value) for name in ("proposed", "accepted", "siblings")] == [
        p.drafting.proposed, p.drafting.accepted, p.drafting.siblings]
    assert [int(getattr(dut, f"lengths_{n}").value) for n in range(8)] == [p.drafting.lengths.get(n, 0) for n in range(8)]
    assert 0 < int(dut.prefill_cycles.value) <= int(dut.cycles.value)
    return p, utility.plans if utility else []


@BENCH.test()
async def generations_of_every_length(dut):
    await start(dut)
    r, sinks = rng("generations"), (Sink(dut, "tx"), Sink(dut, "tokens"))
    for length in (1, 2, 3, 4, 5, 9):
        await generation(dut, r, sinks, prompt=[r.getrandbits(20) for _ in range(length)], limit=r.randrange(1, 7))


@BENCH.test()
async def endings(dut):
    await start(dut)
    r, sinks = rng("endings"), (Sink(dut, "tx"), Sink(dut, "tokens"))
    prompt = [5, 6, 7]
    assert len((await generation(dut, r, sinks, prompt=prompt, limit=30, end=6))[0].tokens) == 5, "cut at the end token, which is emitted"
    assert int(dut.full.value) == 0
    assert len((await generation(dut, r, sinks, prompt=prompt, limit=30, context=8))[0].tokens) == 6, "cut at the end of the context"
    assert int(dut.full.value) == 1
    assert len((await generation(dut, r, sinks, prompt=prompt, limit=4, all_logits=True, tiles=1))[0].tokens) == 4


@BENCH.test()
async def drafted_generations(dut):
    """Texts that repeat themselves now and then, by every drafter, with every ending."""
    await start(dut)
    r, sinks = rng("drafts"), (Sink(dut, "tx"), Sink(dut, "tokens"))
    accepted = 0
    for drafter in [Drafter.NGRAM, Drafter.NGRAM, Drafter.NESTED, Drafter.DRAFT] * 3:
        prompt = [r.getrandbits(9) for _ in range(r.randrange(1, 10))]
        await generation(dut, r, sinks, prompt=prompt, limit=r.randrange(1, 60), context=r.choice([100, 40, len(prompt) + 3]),
                         end=r.choice([None, 60, 20]), tiles=r.randrange(1, 4), drafter=drafter, nodes=r.choice([1, 3, 7, 15]),
                         branch=r.randrange(3), period=r.choice([1, 3, 7, 12]))
        accepted += int(dut.accepted.value)
    assert params()["lanes"] == 1 or accepted > 20


@BENCH.test()
async def an_end_token_cuts_a_draft(dut):
    """Each of the end tokens, at every place of a pass: chosen at the root, at a node in the middle of the path, and at its last node. All
    that is drafted is what would be chosen, the end token and what is behind it too."""
    await start(dut)
    r, sinks, lanes = rng("cuts"), (Sink(dut, "tx", stall=0), Sink(dut, "tokens", stall=0)), params()["lanes"]
    for at, register in product(range(lanes), range(END_TOKENS)):  # behind the first token and a full pass
        p, _ = await generation(dut, r, sinks, prompt=[1, 2, 3, 4, 5], limit=60, end=5 + lanes + at, tiles=1, drafter=Drafter.NESTED,
                                wrong=0, register=register)
        assert p.tokens[-1] == END and len(p.tokens) == 2 + lanes + at and p.drafting.lengths == Counter([lanes - 1, at])


@BENCH.test()
async def drafting_that_does_not_pay_is_cut(dut):
    """Costs of all kinds, texts that repeat themselves and others: shorter drafts, none, and guesses in shadow."""
    await start(dut)
    r, sinks = rng("utility"), (Sink(dut, "tx"), Sink(dut, "tokens"))
    plans = set()
    for n in range(11):
        drafter = Drafter.DRAFT if n > 7 else Drafter.NESTED if n % 4 == 3 else Drafter.NGRAM
        step = r.choice([2, 60, 250])
        costs = [256 + step * k for k in range(8)], r.choice([20, 120])
        _, noted = await generation(dut, r, sinks, prompt=[r.getrandbits(9) for _ in range(5)], limit=70, costs=costs, tiles=1,
                                    drafter=drafter, period=r.choice([0, 2, 5]), branch=n % 2, spoil=n in (5, 10), bits=r.choice([2, 9]))
        plans.update(noted)
    assert params()["lanes"] == 1 or plans >= {(0, True), (1, False), (params()["lanes"] - 1, False)}


@BENCH.test()
async def a_verdict_turns_into_a_pass_quickly(dut):
    """With the tables' drafts START comes at most 3 M + 2 cycles behind the last answer, 4 M with the base table's, and 11 where M is 1 or
    2, when nothing holds the ring or the tokens, and passes take longer than the tables' learning; M + 1 of these cycles at most are the
    verdict's. Whether control has to plan, and what it plans, is no matter.
    """
    await start(dut)
    r, sinks, lanes = rng("turns"), (Sink(dut, "tx", stall=0), Sink(dut, "tokens", stall=0)), params()["lanes"]
    seen = set()
    for n, (base, step) in enumerate(product((False, True), (None, 1, 30, 120))):
        costs = ([256 + step * k for k in range(8)], 0) if step else None
        p, _ = await generation(dut, r, sinks, prompt=[1, 2, 3], limit=80, drafter=Drafter.NGRAM, branch=n % 2, pause=64, costs=costs,
                                period=0 if base else 5, base=base)
        seen.update(p.drafting.lengths)
        assert 0 < int(dut.turn.value) <= max(11, 4 * lanes if base else 3 * lanes + 2)
    assert seen == set(range(lanes))


@BENCH.test()
async def abort_ends_after_the_pass(dut):
    await start(dut)
    r, tx, sink = rng("abort"), Sink(dut, "tx"), Sink(dut, "tokens")
    dut.abort.value = 0
    dut.tiles.value, dut.prompt_length.value, dut.token_limit.value, dut.context_limit.value = 1, 1, 100, 100
    dut.vocabulary.value = 1 << 20
    dut.start.value = 1
    await clock(dut)
    dut.start.value = 0
    model = Tiles(dut, r, tx, [7] * 120, [7] * 120, [], 1)
    served = cocotb.start_soon(model.serve())
    await sink.take(3)
    dut.abort.value = 1
    await clock(dut)
    dut.abort.value = 0
    await served
    await clock(dut, 2)
    assert int(dut.done.value) == 1 and 3 <= len(model.passes) <= 6


MATRICES = [(9, 1), (1023, 0), (4, 7)]


@GOVERNED.test()
async def the_governor_runs_once_behind_the_prompt(dut):
    await start(dut)
    r, sinks = rng("generations"), (Sink(dut, "tx"), Sink(dut, "tokens"))
    for length, limit, count in ((1, 4, 3), (9, 3, 2), (4, 1, 3), (5, 2, 0), (6, 5, 1)):  # with the first token the end, too; and off again
        await generation(dut, r, sinks, prompt=[r.getrandbits(20) for _ in range(length)], limit=limit, tiles=2, matrices=MATRICES[:count])
    await generation(dut, r, sinks, prompt=[1, 2], limit=9, context=2, matrices=MATRICES)
    assert int(dut.full.value) == 1


@GOVERNED.test()
async def its_cycles_are_counted_apart(dut):
    """A generation takes as long as without it, but for GOVERNOR_CYCLES."""
    await start(dut)
    sinks = (Sink(dut, "tx", stall=0), Sink(dut, "tokens", stall=0))
    cycles = []
    for matrices in ((), MATRICES):
        await generation(dut, random.Random(5), sinks, prompt=[1, 2, 3], limit=4, matrices=matrices)
        cycles.append(int(dut.cycles.value) - int(dut.governor_cycles.value))
    assert cycles[0] == cycles[1]
