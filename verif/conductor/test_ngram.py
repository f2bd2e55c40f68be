"""The n-gram drafter against the golden tables: repetitive texts, collisions, every tree shape, any timing a conductor
may choose.
"""

import cocotb
import pytest

from hayate.golden.conductor.ngram import BaseTable, NgramTable
from hayate.rtl.conductor.ngram import FIRST_NODE, NODE, SETTLE_CYCLES, NgramDrafter
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import Sink, clock, record, settle, start
from hayate.verif.bench.reset import resets
from hayate.verif.conductor.generations import Tap
from hayate.verif.golden.conductor.test_ngram import text

DEPTH = 300
BENCH = Bench(
    lambda lanes, size: NgramDrafter(lanes=lanes, size_log2=size, depth=DEPTH),
    params=[{"lanes": 8, "size": 6}, {"lanes": 4, "size": 12}, {"lanes": 4, "size": 3}, {"lanes": 2, "size": 1}],
)
FAULTS = Bench(lambda: NgramDrafter(lanes=4, size_log2=4, depth=64, inject=True))


class Text:
    """The same text in the drafter and in the golden tables."""

    def __init__(self, dut, r, base=None):
        self.dut, self.r = dut, r
        self.golden = NgramTable(params()["size"], DEPTH, base)
        dut.base.value = base is not None

    async def strobe(self, name, gap=0.0):
        await strobe(self.dut, name)
        while self.r.random() < gap:
            await clock(self.dut)

    async def append(self, token, gap=0.0, settled=False):
        """With `settled`, `settle` in the same cycle."""
        dut = self.dut
        dut.token.value, dut.position.value, dut.settle.value = token, len(self.golden.history), int(settled)
        self.golden.append(token)
        await self.strobe("append")
        dut.settle.value = 0
        if settled:
            self.golden.settle()
        while self.r.random() < gap:
            await clock(dut)

    async def settle(self):
        self.golden.settle()
        await self.strobe("settle")

    async def done(self):
        await settle()
        while int(self.dut.busy.value):
            await clock(self.dut)
            await settle()

    async def propose(self, sink, want, branch, *, settled=None):
        """The tree. `settled`: "early" has `settle` come with a node still to be taken, where there is one; "late"
        behind the last.
        """
        dut, expected = self.dut, self.golden.propose(want, branch)
        self.noise()
        await self.strobe("propose")
        known = cocotb.start_soon(self.reveal(want, branch))
        await settle()
        while not int(dut.none.value) and not int(dut.node__valid.value):
            await clock(dut)
            await settle()
        if settled == "early":
            await self.settle()
        if int(dut.none.value):
            assert expected == []
            await clock(dut)
        got = [NODE.from_bits(x) for x in await sink.take(len(expected))]
        assert [(n.token, n.parent) for n in got] == expected
        assert [n.last for n in got] == [k == len(got) - 1 for k in range(len(got))]
        await known
        self.noise()
        if settled == "late":
            await self.settle()
        return expected

    def noise(self):
        """What is wanted, where nobody looks at it."""
        self.dut.want.value, self.dut.sure.value, self.dut.branch.value = (
            self.r.getrandbits(bits) for bits in (4, 1, 3)
        )

    async def reveal(self, want, branch):
        """Drive what is wanted behind `propose`: known at once, or bit by bit."""
        dut, r = self.dut, self.r
        for _ in range(r.randrange(3)):
            self.noise()
            await clock(dut)
        least, pace = 0, r.choice([0, 0.1, 0.5, 1])
        dut.branch.value = branch
        while pace and r.random() < 0.9:
            dut.want.value, dut.sure.value = least, 0
            await clock(dut)
            least += least < want and r.random() < pace
        dut.want.value, dut.sure.value = want, 1


async def strobe(dut, name):
    getattr(dut, name).value = 1
    await clock(dut)
    getattr(dut, name).value = 0


@BENCH.test()
@resets(within=400)
async def trees_equal_the_golden_tables(dut):
    """Prompts and verdicts as a conductor makes them, several generations; the next one may begin before the last one
    has settled.
    """
    await start(dut)
    r, lanes = rng("text"), params()["lanes"]
    sink = Sink(dut, "node", stall=0.3)
    trees = forks = 0
    for vocabulary in (1, 2, 6, 40, 200, 3):
        await strobe(dut, "clear")
        now = Text(dut, r)
        tokens, gap = text(r, r.randint(150, DEPTH), vocabulary), r.choice([0, 0.3, 0.8])
        for token in tokens[: r.choice([1, 2, 3, 60])]:
            await now.append(token, gap, settled=r.random() < 0.1)
            if r.random() < 0.1:
                await now.settle()
        if r.random() < 0.5:
            await now.settle()
        while len(now.golden.history) < len(tokens):
            want = r.randrange(lanes)
            tree = await now.propose(sink, want, r.randrange(8), settled=r.choice([None, "early", "late"]))
            trees, forks = trees + bool(tree), forks + (sum(parent == 0 for _, parent in tree) == 2)
            if r.random() < 0.3:
                await clock(dut, r.choice([1, 2, 3, 5, 60]))
            for token in tokens[len(now.golden.history) :][: r.randint(0 if want else 1, lanes)]:
                await now.append(token, gap)
            if r.random() < 0.1:
                await now.settle()
        await now.settle()
        await clock(dut, r.randint(1, 12))
    assert trees > 100 and (forks > 20 or lanes == 2)
    assert not int(dut.fault.value) and not sink.data


async def load(dut, base):
    for dut.base_write__address.value, dut.base_write__data.value in base.words():
        dut.base_write__enable.value = 1
        await clock(dut)
    dut.base_write__enable.value = 0


@BENCH.test()
async def the_base_table_speaks_where_the_text_is_new(dut):
    """Chains of it that run dry, alternates behind them, and the text's own where it knows two tokens."""
    await start(dut)
    r, lanes = rng("base"), params()["lanes"]
    sink = Sink(dut, "node", stall=0.3)
    trees, forks, short = 0, 0, 0
    for vocabulary in (3, 12, 60):
        tokens = text(r, 120, vocabulary)
        known = sorted(set(tokens))
        base = BaseTable(
            [(r.choice([-1, *known]), r.choice(known), r.choice(known)) for _ in range(r.choice([1, 3]) * vocabulary)]
        )
        await strobe(dut, "clear")
        await load(dut, base)
        now = Text(dut, r, base)
        for token in tokens:
            await now.append(token, settled=r.random() < 0.5)
            want = r.randrange(lanes)
            tree = await now.propose(sink, want, r.randrange(8), settled=r.choice([None, "early", "late"]))
            trees, forks = trees + bool(tree), forks + (sum(parent == 0 for _, parent in tree) == 2)
            short += 0 < len(tree) < want
    assert trees > 30 and (lanes == 2 or forks > 5 and short > 2)


@BENCH.test()
async def loops_of_every_period_and_branch(dut):
    """All tree shapes, around the wrap behind the last token."""
    await start(dut)
    r, lanes = rng("loops"), params()["lanes"]
    sink = Sink(dut, "node", stall=0.3)
    for period in range(1, 6):
        await strobe(dut, "clear")
        now = Text(dut, r)
        for token in [7, 1, 9, *range(1, period + 1), *range(1, period + 1), 1]:
            await now.append(token)
        await now.settle()
        for want in range(lanes):
            for branch in range(8):
                await now.propose(sink, want, branch)


@BENCH.test()
async def time_is_as_stated(dut):
    await start(dut)
    size, most = params()["size"], params()["lanes"] - 1
    now = Text(dut, rng("time"))
    dut.node__ready.value = dut.sure.value = 1

    async def until(done):
        """Cycles from now on, with what was driven before, until `done()`."""
        cycles = 0
        while True:
            await settle()
            if done():
                return cycles
            await clock(dut)
            cycles += 1

    await strobe(dut, "clear")
    assert await until(lambda: not int(dut.busy.value)) == (1 << size) + 1
    await now.append(5)
    await strobe(dut, "propose")
    assert await until(lambda: int(dut.none.value)) == 2  # the strobe's own cycle is one more
    for token in [6, 7] * 8:
        await now.append(token)
    await now.settle()
    await settle()
    assert int(dut.settling.value) == int(dut.busy.value) == 1
    assert await until(lambda: not int(dut.settling.value)) == 17 * SETTLE_CYCLES + 2
    await now.append(6)
    dut.want.value, dut.branch.value = most, 1
    await strobe(dut, "propose")
    assert await until(lambda: int(dut.node__valid.value)) == FIRST_NODE - 1
    for parent in range(most):
        await settle()
        assert int(dut.node__valid.value) and NODE.from_bits(int(dut.node__payload.value)).last == (parent == most - 1)
        await clock(dut)
    await settle()
    assert not int(dut.node__valid.value)
    # Nodes of the base table.
    await until(lambda: not int(dut.busy.value))
    base = BaseTable([(-1, token, token + 1) for token in range(100, 110)])
    await load(dut, base)
    dut.base.value = 1
    await now.append(100)
    await strobe(dut, "propose")
    assert await until(lambda: int(dut.node__valid.value)) == FIRST_NODE - 1
    for parent in range(most):
        await settle()
        node = NODE.from_bits(int(dut.node__payload.value))
        assert int(dut.node__valid.value) and (node.token, node.last) == (101 + parent, parent == most - 1)
        await clock(dut)
        await settle()
        assert not int(dut.node__valid.value)
        await clock(dut)
    # A proposal that waits for the tables counts from the end of `busy`.
    await now.settle()
    await clock(dut)
    await strobe(dut, "propose")
    await settle()
    assert int(dut.busy.value)
    await until(lambda: not int(dut.busy.value))
    assert await until(lambda: int(dut.node__valid.value)) == FIRST_NODE
    assert not int(dut.fault.value)


@BENCH.test()
async def what_is_appended_during_the_sweep_is_kept(dut):
    """The text before it leaves no trace, whatever was under way."""
    await start(dut)
    r, lanes = rng("sweep"), params()["lanes"]
    sink = Tap(dut, "node")
    for wait in range(12):
        old = Text(dut, r)
        await strobe(dut, "clear")
        for token in [1, 2, 3] * 4:
            await old.append(token)
        await old.settle()
        if wait % 2:
            await old.done()
        else:
            await clock(dut, wait + 1)
        if wait % 4 == 3:  # a proposal that nobody takes
            sink.stall, dut.want.value, dut.sure.value = 1, lanes - 1, 1
            await strobe(dut, "propose")
            await clock(dut, r.randrange(12))
        await strobe(dut, "clear")
        await clock(dut, 2)
        sink.stall = 0.25
        assert not sink.data
        now = Text(dut, r)
        for token in [3, 1, 2]:
            await now.append(token)
        await now.propose(sink, lanes - 1, 0)
        for token in [3, 1, 2]:
            await now.append(token)
        await now.settle()
        assert await now.propose(sink, lanes - 1, 0) or params()["size"] == 1  # two entries: what follows 2 is not kept


@BENCH.test()
async def contexts_do_not_reach_into_the_text_before(dut):
    """With 2 kept from the text before, 4 would seem to follow (2, 3); and nothing is proposed below the first
    tokens.
    """
    await start(dut)
    sink = Sink(dut, "node")
    for tokens in ([1, 2, 3, 4, 1, 2], [3, 4, 5, 3, 6, 2, 3], [6, 2, 3, 6, 2, 3]):
        await strobe(dut, "clear")
        now = Text(dut, rng("timing"))
        for token in tokens:
            await now.append(token)
            await now.settle()
            await now.propose(sink, 1, 0)


@FAULTS.test()
async def damage_is_told(dut):
    """In history and tables; good words raise nothing."""
    await start(dut)
    seen = record(dut, "fault")
    for where in ("nowhere", "history", "tables"):
        await strobe(dut, "clear")
        await clock(dut, 20)
        seen.clear()
        for position in range(6):
            dut.token.value, dut.position.value, dut.flip.value = position % 2, position, int(where == "history")
            await strobe(dut, "append")
        dut.flip.value = int(where == "tables")
        await strobe(dut, "settle")
        await clock(dut, 6 * SETTLE_CYCLES + 5)
        dut.flip.value, dut.want.value, dut.sure.value, dut.node__ready.value = 0, 1, 1, 1
        await strobe(dut, "propose")
        await clock(dut, FIRST_NODE + 4)
        assert any(seen) == (where != "nowhere"), where


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(lanes=1, size_log2=4), "2 to 8 nodes, not 1"),
        (dict(lanes=4, size_log2=13), r"2 to 4096 entries, not 2\*\*13"),
    ],
)
def test_domain(arguments, message):
    with pytest.raises(ValueError, match=message):
        NgramDrafter(**arguments, depth=16)
