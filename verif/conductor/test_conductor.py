"""The conductor against the golden token loop, with a model of the tiles behind it: every pass, every node, slot and
token, every ending, and when the governor runs.
"""

import random
from collections import Counter
from itertools import product

from hayate.rtl.contract.draft import Drafter
from hayate.rtl.contract.precision import MEASURED_POSITIONS
from hayate.rtl.contract.regmap import END_TOKENS
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import Sink, start
from hayate.verif.conductor.generations import END, generation, make

BENCH = Bench(make, params=[{"lanes": 4}, {"lanes": 1}, {"lanes": 2}, {"lanes": 2, "max_matrices": 0}, {"lanes": 8}])
GOVERNED = Bench(make, params=[p for p in BENCH.params if "max_matrices" not in p])


@BENCH.test()
async def generations_of_every_length(dut):
    await start(dut)
    r, sinks = rng("generations"), (Sink(dut, "ring__tx"), Sink(dut, "tokens"))
    for length in (1, 2, 3, 4, 5, 9):
        await generation(dut, r, sinks, prompt=[r.getrandbits(20) for _ in range(length)], limit=r.randrange(1, 7))


@BENCH.test()
async def endings(dut):
    await start(dut)
    r, sinks = rng("endings"), (Sink(dut, "ring__tx"), Sink(dut, "tokens"))
    prompt = [5, 6, 7]
    assert len((await generation(dut, r, sinks, prompt=prompt, limit=30, end=6))[0].tokens) == 5, (
        "cut at the end token, which is emitted"
    )
    assert int(dut.control__full.value) == 0
    assert len((await generation(dut, r, sinks, prompt=prompt, limit=30, context=8))[0].tokens) == 6, (
        "cut at the end of the context"
    )
    assert int(dut.control__full.value) == 1
    assert len((await generation(dut, r, sinks, prompt=prompt, limit=4, all_logits=True, tiles=1))[0].tokens) == 4


@BENCH.test()
async def drafted_generations(dut):
    """Texts that repeat themselves now and then, by every drafter, with every ending."""
    await start(dut)
    r, sinks = rng("drafts"), (Sink(dut, "ring__tx"), Sink(dut, "tokens"))
    accepted = 0
    for drafter in [Drafter.NGRAM, Drafter.NGRAM, Drafter.NESTED, Drafter.DRAFT] * 3:
        prompt = [r.getrandbits(9) for _ in range(r.randrange(1, 10))]
        await generation(
            dut,
            r,
            sinks,
            prompt=prompt,
            limit=r.randrange(1, 60),
            context=r.choice([100, 40, len(prompt) + 3]),
            end=r.choice([None, 60, 20]),
            tiles=r.randrange(1, 4),
            drafter=drafter,
            nodes=r.choice([1, 3, 7, 15]),
            branch=r.randrange(3),
            period=r.choice([1, 3, 7, 12]),
        )
        accepted += int(dut.control__statistics__accepted.value)
    assert params()["lanes"] == 1 or accepted > 20


@BENCH.test()
async def an_end_token_cuts_a_draft(dut):
    """Each of the end tokens, at every place of a pass: chosen at the root, at a node in the middle of the path, and at
    its last node. All that is drafted is what would be chosen, the end token and what is behind it too.
    """
    await start(dut)
    r, sinks, lanes = rng("cuts"), (Sink(dut, "ring__tx", stall=0), Sink(dut, "tokens", stall=0)), params()["lanes"]
    for at, register in product(range(lanes), range(END_TOKENS)):  # behind the first token and a full pass
        p, _ = await generation(
            dut,
            r,
            sinks,
            prompt=[1, 2, 3, 4, 5],
            limit=60,
            end=5 + lanes + at,
            tiles=1,
            drafter=Drafter.NESTED,
            wrong=0,
            register=register,
        )
        assert (
            p.tokens[-1] == END and len(p.tokens) == 2 + lanes + at and p.drafting.lengths == Counter([lanes - 1, at])
        )


@BENCH.test()
async def drafting_that_does_not_pay_is_cut(dut):
    """Costs of all kinds, texts that repeat themselves and others: shorter drafts, none, and guesses in shadow."""
    await start(dut)
    r, sinks = rng("utility"), (Sink(dut, "ring__tx"), Sink(dut, "tokens"))
    plans = set()
    for n in range(11):
        drafter = Drafter.DRAFT if n > 7 else Drafter.NESTED if n % 4 == 3 else Drafter.NGRAM
        step = r.choice([2, 60, 250])
        costs = [256 + step * k for k in range(8)], r.choice([20, 120])
        _, noted = await generation(
            dut,
            r,
            sinks,
            prompt=[r.getrandbits(9) for _ in range(5)],
            limit=70,
            costs=costs,
            tiles=1,
            drafter=drafter,
            period=r.choice([0, 2, 5]),
            branch=n % 2,
            corrupt=n in (5, 10),
            bits=r.choice([2, 9]),
        )
        plans.update(noted)
    assert params()["lanes"] == 1 or plans >= {(0, True), (1, False), (params()["lanes"] - 1, False)}


@BENCH.test()
async def a_verdict_turns_into_a_pass_quickly(dut):
    """With the tables' drafts START comes at most 3 M + 2 cycles behind the last answer, 4 M with the base table's, and
    11 where M is 1 or 2, when nothing holds the ring or the tokens, and passes take longer than the tables' learning; M
    + 1 of these cycles at most are the verdict's. Whether control has to plan, and what it plans, is no matter.
    """
    await start(dut)
    r, sinks, lanes = rng("turns"), (Sink(dut, "ring__tx", stall=0), Sink(dut, "tokens", stall=0)), params()["lanes"]
    seen = set()
    for n, (base, step) in enumerate(product((False, True), (None, 1, 30, 120))):
        costs = ([256 + step * k for k in range(8)], 0) if step else None
        p, _ = await generation(
            dut,
            r,
            sinks,
            prompt=[1, 2, 3],
            limit=80,
            drafter=Drafter.NGRAM,
            branch=n % 2,
            pause=64,
            costs=costs,
            period=0 if base else 5,
            base=base,
        )
        seen.update(p.drafting.lengths)
        assert 0 < int(dut.control__statistics__turnaround.value) <= max(11, 4 * lanes if base else 3 * lanes + 2)
    assert seen == set(range(lanes))


MATRICES = [(9, 1), (4095, 0), (4, 7)]


@GOVERNED.test()
async def the_governor_runs_once_behind_the_prompt(dut):
    await start(dut)
    r, sinks = rng("generations"), (Sink(dut, "ring__tx"), Sink(dut, "tokens"))
    for length, limit, count in (
        (1, 4, 3),
        (9, 3, 2),
        (4, 1, 3),
        (5, 2, 0),
        (6, 5, 1),
    ):  # with the first token the end, too; and off again
        await generation(
            dut,
            r,
            sinks,
            prompt=[r.getrandbits(20) for _ in range(length)],
            limit=limit,
            tiles=2,
            matrices=MATRICES[:count],
        )
    await generation(dut, r, sinks, prompt=[1, 2], limit=9, context=2, matrices=MATRICES)
    assert int(dut.control__full.value) == 1


@GOVERNED.test()
async def a_longer_prompt_is_measured_at_its_beginning(dut):
    """Prompts that end before, at and behind the last position measured, in passes of every width, with all logits and
    without, by every drafter: the governor runs once, and nothing of it or of the text before reaches the next pass.
    """
    await start(dut)
    r, sinks = rng("measured"), (Sink(dut, "ring__tx"), Sink(dut, "tokens"))
    lengths = [MEASURED_POSITIONS + n for n in (-1, 0, 1, 2, 4, 8)]
    for n, (length, all_logits) in enumerate(product(lengths, (False, True))):
        drafter = [Drafter.NGRAM, Drafter.NGRAM, Drafter.NESTED, Drafter.DRAFT][n % 4]
        await generation(
            dut,
            r,
            sinks,
            prompt=[r.getrandbits(9) for _ in range(length)],
            limit=60,
            end=length + r.randrange(4, 12),  # there is room for drafts where the text ends
            all_logits=all_logits,
            matrices=MATRICES,
            drafter=drafter,
            period=3,
        )


@GOVERNED.test()
async def a_resumed_text_is_not_measured(dut):
    """What was the prompt may end anywhere within the first positions, in the middle of a pass too: the governor runs
    behind its last token, and not again; the text goes on in passes as wide as ever.
    """
    await start(dut)
    r, sinks = rng("resumed"), (Sink(dut, "ring__tx"), Sink(dut, "tokens"))
    for own in range(1, MEASURED_POSITIONS + 2):
        committed = r.choice([1, 2, 3, 5])
        await generation(
            dut,
            r,
            sinks,
            prompt=[r.getrandbits(9) for _ in range(own + committed)],
            committed=committed,
            limit=12,
            all_logits=bool(own % 2),
            matrices=MATRICES if own % 3 else (),
            drafter=[Drafter.NGRAM, Drafter.NESTED, Drafter.DRAFT][own % 3],
            period=3,
        )


@GOVERNED.test()
async def its_cycles_are_counted_apart(dut):
    """A generation takes as long as without it, but for GOVERNOR_CYCLES, where the same logits are computed."""
    await start(dut)
    sinks = (Sink(dut, "ring__tx", stall=0), Sink(dut, "tokens", stall=0))
    for length, all_logits in ((3, False), (MEASURED_POSITIONS, False), (MEASURED_POSITIONS + 3, True)):
        cycles, prompt = [], [*range(length)]
        for matrices in ((), MATRICES):
            await generation(
                dut, random.Random(5), sinks, prompt=prompt, limit=4, matrices=matrices, all_logits=all_logits
            )
            spent, own = (int(getattr(dut, f"control__statistics__{n}").value) for n in ("cycles", "governor_cycles"))
            cycles.append(spent - own)
        assert cycles[0] == cycles[1]
