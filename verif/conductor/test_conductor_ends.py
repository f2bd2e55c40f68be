"""How generations end before their text does: by ABORT, by the watchdog, by a token that is none, by reset; and that
the next one knows nothing of it.
"""

from itertools import product

from cocotb.triggers import FallingEdge
from cocotb.utils import get_sim_time

from hayate.rtl.contract.draft import Drafter
from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import PassWord
from hayate.rtl.contract.precision import MEASURED_POSITIONS
from hayate.rtl.ring.flit import Flit
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import PERIOD, Sink, clock, record, settle, start, strobe
from hayate.verif.conductor.generations import MATRICES, PROMPT_DEPTH, Tap, begin, generation, make

BENCH = Bench(make, params=[{"lanes": 4}, {"lanes": 2}, {"lanes": 8}])
TABLE = [(9, 1), (4095, 0), (4, 7)]
COSTS = [256 + 30 * k for k in range(8)], 20


def some(r, n, **how):
    """Arguments of the n-th generation: every drafter in turn, with and without control, governor and base table."""
    drafter = [Drafter.NGRAM, Drafter.NESTED, Drafter.DRAFT, Drafter.OFF, Drafter.NGRAM, Drafter.NESTED][n % 6]
    return {
        "prompt": [r.getrandbits(9) for _ in range(r.randrange(1, 12))],
        "limit": 90,
        "tiles": r.randrange(1, 4),
        "drafter": drafter,
        "branch": n % 3,
        "period": r.choice([3, 7]),
        "costs": COSTS if n % 4 == 3 else None,
        "matrices": TABLE if n % 5 in (0, 2) else (),
        **how,
    }


async def moment(dut, r, run):
    """Any moment of a generation: at any cycle, or just behind the answers to a pass, where the states are that take a
    few cycles.
    """
    way = r.choice(["cycle", "any pass", "verified", "verified"])
    if way == "cycle":
        return await clock(dut, r.randrange(1, 500))

    def answered():
        """Passes of the kind that are answered."""
        passes = run.model.passes[: run.model.answers]
        return sum(
            way == "any pass" or not draft and nodes[-1][1] >= len(run.prompt) - 1 for nodes, _, draft, _, _ in passes
        )

    await clock(dut, 2)
    count = r.randrange(8 if way == "any pass" else 4)
    while answered() < count and int(dut.control__busy.value):
        await clock(dut)
    await clock(dut, r.randrange(1, params()["lanes"] + 8))


@BENCH.test(limit=150_000)
async def an_abort_ends_with_the_pass(dut):
    """At any moment, by every drafter, with a FIFO that nobody reads; the generation behind it is golden's, from an
    abort while idle on.
    """
    await start(dut)
    r, lanes = rng("abort"), params()["lanes"]
    sinks = tx, tokens = Sink(dut, "ring__tx", stall=0), Sink(dut, "tokens")
    longest, cut = 0, 0
    for n in range(36):
        full = n % 6 == 4
        tokens.stall = 1 if full else 0.25
        run = await begin(dut, r, sinks, **some(r, n))
        if full:
            while int(dut.control__token_level.value) < PROMPT_DEPTH:
                await clock(dut)
            await clock(dut, r.randrange(150))
        else:
            await moment(dut, r, run)
        busy, passes = int(dut.control__busy.value), len(run.model.passes)
        await strobe(dut, "control__abort")
        at = get_sim_time("ns")
        # What is being announced has shown itself by now, but with a drafter that takes passes, whose first flit may be
        # another one.
        await clock(dut, 2 if run.drafter.takes_passes else 1)
        await settle()
        governed = int(dut.control__statistics__governor_cycles.value)
        announced = len(run.model.passes) + bool(run.model.lanes)
        assert passes <= announced <= passes + 1
        if int(dut.control__busy.value):
            await FallingEdge(dut.control__busy)
            longest = max(longest, (get_sim_time("ns") - max(at, run.model.answered)) // PERIOD)
            await settle()
        await run.served
        cut += run.same_passes() < len(run.golden.passes)
        assert not busy or len(run.model.passes) == announced
        assert int(dut.control__done.value) == 1 and not int(dut.control__hung.value)
        assert bool(int(dut.control__statistics__governor_cycles.value)) == bool(governed)
        tokens.stall = 0.25
        while int(dut.control__token_level.value):
            await clock(dut)
        await clock(dut, 2)
        text, tokens.data = [t & 0xFFFFF for t in tokens.data], []
        assert text == run.p.tokens[: len(text)]
        if full:
            assert len(text) == PROMPT_DEPTH
        elif (
            run.model.passes
            and not run.model.passes[-1][2]
            and (before := run.model.passes[-1][0][0][1] + 1 - len(run.prompt)) > 0
        ):
            assert before < len(text) <= before + lanes
        await strobe(dut, "control__abort")
        await generation(dut, r, sinks, **some(r, r.choice([n, r.randrange(6)]), limit=r.randrange(1, 20)))
    assert cut > 20
    assert longest <= lanes + 4, longest


@BENCH.test(limit=150_000)
async def an_abort_in_a_prompt_ends_with_the_governor(dut):
    """In front of its run in the middle of a prompt, during it, and behind it: it runs to its end or not at all, no
    pass and no token follows, unless it was behind it, and the generation that comes next is golden's.
    """
    await start(dut)
    r, lanes, seen = rng("governor"), params()["lanes"], set()
    sinks = Sink(dut, "ring__tx", stall=0), Sink(dut, "tokens", stall=0)
    measuring = MEASURED_POSITIONS // lanes
    for n in range(30):
        prompt = [r.getrandbits(9) for _ in range(r.randrange(MEASURED_POSITIONS + 1, PROMPT_DEPTH))]
        run = await begin(dut, r, sinks, prompt=prompt, limit=9, drafter=Drafter(n % 4), matrices=TABLE)
        while run.model.answers < measuring:
            await clock(dut)
        await clock(dut, n if n < lanes + 6 else r.randrange(300))
        await strobe(dut, "control__abort")
        at = get_sim_time("ns")
        await clock(dut)
        await settle()
        cycles, told = int(dut.control__statistics__governor_cycles.value), len(run.model.told)
        when = "during" if cycles and told < len(TABLE) else "behind" if cycles else "before"
        if int(dut.control__busy.value):
            await FallingEdge(dut.control__busy)
            assert (get_sim_time("ns") - max(at, run.model.answered)) // PERIOD <= lanes + 4
            await settle()
        await run.served
        seen.add(when)
        assert len(run.model.told) == (0 if when == "before" else len(TABLE))
        assert bool(int(dut.control__statistics__governor_cycles.value)) == (when != "before")
        assert run.same_passes() == measuring or when == "behind"
        assert int(dut.control__done.value) == 1 and not int(dut.control__hung.value)
        await clock(dut, 4)
        assert when == "behind" or not sinks[1].data
        sinks[1].data.clear()
        if n % 3 == 0:
            await generation(dut, r, sinks, **some(r, n, limit=r.randrange(1, 9)))
    assert seen == {"before", "during", "behind"}


@BENCH.test(limit=150_000)
async def what_makes_no_progress_is_given_up(dut):
    """Tiles that stop answering, or a ring that takes nothing, from any moment on: all is over in the cycle stated,
    until reset.
    """
    await start(dut)
    r, limit, last = rng("watchdog"), 900, -1  # of which the n-gram tables, which begin empty, take most

    def note(bits):
        nonlocal last
        flit = Flit.from_bits(bits)
        if flit.kind == FlitKind.PASS and flit.chan == PassWord.START:
            last = int(dut.control__statistics__cycles.value)

    sinks = tx, tokens = Tap(dut, "ring__tx", note=note), Tap(dut, "tokens")
    kept = 0
    for n in range(14):
        last, tx.stall = -1, 0.25
        prompt = [*range(MEASURED_POSITIONS + 3 if n % 3 == 0 else 3)]
        run = await begin(dut, r, sinks, **some(r, n, watchdog=limit, prompt=prompt))
        await moment(dut, r, run)
        run.served.cancel()
        dut.ring__rx__valid.value, tx.stall = 0, n % 2
        if int(dut.control__busy.value):
            await FallingEdge(dut.control__busy)
            await clock(dut, 2)
            assert int(dut.control__hung.value) == 1 and int(dut.control__done.value) == 1
            while int(dut.control__token_level.value):
                await clock(dut)
            await clock(dut, 2)
            assert (
                int(dut.control__statistics__cycles.value)
                == max([last, *(entry >> 20 for entry in tokens.data)]) + limit + 1
            )
            assert [t & 0xFFFFF for t in tokens.data] == run.p.tokens[: len(tokens.data)]
            offered = record(dut, "ring__tx__valid")
            await strobe(dut, "control__start")
            await strobe(dut, "control__abort")
            await clock(dut, 30)
            assert (
                not any(offered)
                and not int(dut.control__busy.value)
                and int(dut.control__hung.value)
                and int(dut.control__done.value)
            )
            kept += 1
        await reset(dut, r, sinks)
        await generation(dut, r, sinks, **some(r, n, limit=6, watchdog=limit))
    assert kept > 8
    # Nobody reads the tokens: that takes as long as it takes.
    tokens.stall = 1
    run = await begin(dut, r, sinks, **some(r, 0, watchdog=limit))
    while int(dut.control__token_level.value) < PROMPT_DEPTH:
        await clock(dut)
    await clock(dut, 3 * limit)
    assert int(dut.control__busy.value) and not int(dut.control__hung.value)
    tokens.stall = 0.25
    await run.finish()


async def reset(dut, r, sinks):
    """Pulse it; nothing is left but what memories hold."""
    dut.rst.value = 1
    await clock(dut, r.randrange(1, 3))
    dut.rst.value = 0
    await settle()
    assert not any(
        int(getattr(dut, name).value)
        for name in (
            *(f"control__{n}" for n in ("busy", "done", "hung", "token_level")),
            "tokens__valid",
            "ring__tx__valid",
        )
    )
    for sink in sinks:
        sink.stall = 0.25
        sink.data.clear()


@BENCH.test(limit=150_000)
async def a_reset_leaves_nothing_behind(dut):
    """At any moment; the generation that begins in the cycle behind it is golden's."""
    await start(dut)
    r, sinks = rng("reset"), (Tap(dut, "ring__tx"), Tap(dut, "tokens"))
    faults = record(dut, "fault")
    for n in range(24):
        run = await begin(dut, r, sinks, **some(r, n))
        await moment(dut, r, run)
        run.served.cancel()
        dut.ring__rx__valid.value = 0
        await reset(dut, r, sinks)
        if n % 2:
            await generation(dut, r, sinks, **some(r, r.randrange(6), limit=r.randrange(1, 30)))
    assert not any(faults)


@BENCH.test(limit=150_000)
async def tokens_are_those_that_there_are(dut):
    """A prompt with one that there is not ends in front of its pass; the last one of an odd vocabulary cannot be
    corrupted.
    """
    await start(dut)
    r, lanes, sinks = rng("vocabulary"), params()["lanes"], (Sink(dut, "ring__tx"), Sink(dut, "tokens"))
    strobes = record(dut, "control__wrong_token")
    for at, length in product((0, lanes - 1, lanes, MEASURED_POSITIONS), (lanes, lanes + 3, MEASURED_POSITIONS + 3)):
        if at < length:
            vocabulary = r.choice([1, 7, 300, (1 << 20) - 1])
            prompt = [vocabulary - 1] * length
            prompt[at] = r.choice([vocabulary, (1 << 20) - 1])
            strobes.clear()
            run = await begin(dut, r, sinks, prompt=prompt, limit=5, vocabulary=vocabulary, matrices=TABLE)
            await run.served
            await clock(dut, 3)
            assert run.same_passes() == at // lanes and sum(strobes) == 1
            assert len(run.model.told) == (len(TABLE) if at >= MEASURED_POSITIONS else 0)
            assert (
                int(dut.control__done.value) == 1
                and not int(dut.control__busy.value)
                and not int(dut.control__token_level.value)
            )
    strobes.clear()
    for n, drafter in enumerate([Drafter.NGRAM, Drafter.NESTED, Drafter.DRAFT, Drafter.NGRAM]):
        await generation(
            dut,
            r,
            sinks,
            prompt=[4, 1, 4],
            limit=25,
            drafter=drafter,
            branch=1,
            corrupt=1,
            vocabulary=5,
            period=3,
            bits=3,
            base=n == 3,
            costs=COSTS if n == 3 else None,
        )
        assert int(dut.control__statistics__proposed.value)
    assert not any(strobes)


@BENCH.test(limit=150_000)
async def what_nobody_has_written_is_cleared(dut):
    """The governor's results, which the host may look at before there are any, in the cycles stated. All else need not
    be.
    """
    await start(dut)
    faults = record(dut, "fault")

    async def look():
        for matrix, kind in product(range(MATRICES), range(4)):
            await strobe(dut, "control__look__strobe", control__look__matrix=matrix, control__look__kind=kind)
            await clock(dut, 3)
            results.append(int(dut.control__look__result.value))

    results = []
    await look()
    assert any(results) and any(faults), "memories do not begin as zeros here"
    for _ in range(2):
        dut.init.value = 1
        for cycle in range(4 * MATRICES + 3):
            await settle()
            assert int(dut.initialized.value) == (cycle >= 4 * MATRICES)
            await clock(dut)
        dut.init.value = 0
        await settle()
        assert not int(dut.initialized.value)
        await clock(dut)
    results.clear()
    await clock(dut)
    faults.clear()
    await look()
    assert not any(results) and not any(faults)
    sinks = Sink(dut, "ring__tx"), Sink(dut, "tokens")
    await generation(
        dut, rng("first"), sinks, prompt=[1, 2, 3], limit=20, matrices=TABLE, drafter=Drafter.NGRAM, period=3
    )
    assert not any(faults)
