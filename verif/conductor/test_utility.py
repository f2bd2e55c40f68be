"""Utility control against golden: random sequences of plans, passes and shadows, any timing a conductor may choose,
every cost table.
"""

from hayate.golden.conductor import utility as golden
from hayate.rtl.conductor.utility import Utility
from hayate.rtl.contract.draft import COST_UNIT
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, settle, start
from hayate.verif.bench.reset import resets
from hayate.verif.golden.conductor.test_utility import COSTS, table

BENCH = Bench(lambda lanes: Utility(lanes), params=[{"lanes": n} for n in (1, 2, 4, 8)])


class Both:
    """The block and golden, with the same table; each plan is compared, what it builds on too, and its latency
    asserted.
    """

    def __init__(self, dut, r, costs, draft_cost):
        self.dut, self.r, self.lanes = dut, r, params()["lanes"]
        self.golden = golden.Utility(costs, draft_cost)
        for k in range(self.lanes):
            getattr(dut, f"costs__{k}").value = costs[k]
        dut.draft_cost.value = draft_cost
        self.steps = 0  # cycles until a plan can begin

    async def cycle(self, **strobes):
        """One cycle with these inputs; what belongs to no strobe is random."""
        for name, bits in {
            "clear": 0,
            "plan": 0,
            "rise": 0,
            "learn": 0,
            "score": 0,
            "proposed": 4,
            "accepted": 4,
            "right": 1,
            **strobes,
        }.items():
            getattr(self.dut, name).value = strobes.get(name, self.r.getrandbits(bits) if bits else 0)
        await clock(self.dut)
        self.steps = max(0, self.steps - 1)

    async def rest(self, cycles):
        for _ in range(cycles):
            await self.cycle()

    async def begin(self, **others):
        self.golden.begin()
        await self.cycle(clear=1, **others)
        self.steps = 0

    async def learn(self, proposed, accepted, **others):
        self.golden.learn(proposed, accepted)
        with_it = self.r.randrange(2) if accepted > 1 else 0
        for _ in range(accepted - 1 - with_it):
            await self.rest(self.r.choice([0, 0, 0, 1, 3]))
            await self.cycle(rise=1)
        await self.rest(self.r.choice([0, 0, 0, 1]))
        self.steps = 2 + (0 < accepted < proposed or accepted == proposed == 1)
        await self.cycle(rise=with_it, learn=1, proposed=proposed, accepted=accepted, **others)

    async def score(self, right, **others):
        self.golden.score(right)
        self.steps = 2
        await self.cycle(score=1, right=right, **others)

    async def planned(self, room):
        """Of a plan whose strobe was in the cycle before: wait for it as long as promised, compare."""
        expected = self.golden.plan(room)
        most = 0
        for left in reversed(range(self.steps + room + 1)):
            await settle()
            assert int(self.dut.done.value) == (left == 0)
            assert most <= int(self.dut.nodes.value) <= expected[0]
            most = int(self.dut.nodes.value)
            if left:
                await self.cycle()
        assert (int(self.dut.nodes.value), int(self.dut.shadow.value)) == expected
        assert (int(self.dut.first.value), int(self.dut.more.value)) == (self.golden.first, self.golden.more)
        for _ in range(self.r.choice([0, 0, 1, 4])):
            await self.cycle()
            await settle()
            assert not int(self.dut.done.value)
            assert (int(self.dut.nodes.value), int(self.dut.shadow.value)) == expected
        return expected

    async def plan(self, room):
        self.dut.room.value = room
        await self.cycle(plan=1)
        return await self.planned(room)


def outcome(r, nodes, chance):
    """Proposed and accepted nodes of a pass that was to have `nodes`."""
    proposed = r.choice([nodes, nodes, nodes, r.randint(0, nodes)])
    return proposed, next((k for k in range(proposed) if r.random() > chance), proposed)


@BENCH.test()
@resets(within=200)
async def generations(dut):
    """As a conductor uses it, with drafters that are better and worse by turns; plans with and behind what they wait
    for.
    """
    await start(dut)
    r, lanes = rng("passes"), params()["lanes"]
    seen = set()
    for _ in range(16):
        draft_cost = r.choice([0, 0, 136, r.randrange(1, 300)])
        both = Both(dut, r, r.choice([COSTS, table(r)]), draft_cost)
        await both.begin()
        nodes, shadow = await both.plan(r.randrange(lanes))
        for p in range(200):
            if p % 25 == 0:
                chance = r.choice([0, 0.2, 0.5, 0.9, 1])
            dut.room.value = room = r.choice([lanes - 1, lanes - 1, r.randrange(lanes)])
            with_it = r.random() < 0.3
            if shadow:
                await both.score(r.random() < chance, plan=with_it)
            else:
                await both.learn(*outcome(r, nodes, chance), plan=with_it)
            if not with_it:
                await both.rest(r.choice([0, 0, 1, 2, 12]))
                nodes, shadow = await both.plan(room)
            else:
                nodes, shadow = await both.planned(room)
            seen.add((nodes, shadow, draft_cost > 0))
            if shadow and r.random() < 0.2:  # the drafter had nothing
                nodes, shadow = await both.plan(room)
    kinds = {(n, False, own) for n in range(lanes) for own in (False, True)} | (
        {(0, True, False)} if lanes > 1 else set()
    )
    assert seen == kinds


@BENCH.test(only=lambda p: p["lanes"] > 1)
async def tables(dut):
    """Other costs each time, the largest that there are among them, and chances anywhere."""
    await start(dut)
    r, lanes, most = rng("tables"), params()["lanes"], (1 << 16) - 1
    for _ in range(250):
        costs = r.choice(
            [
                table(r),
                [r.randint(1, most) for _ in range(8)],
                [most] * 8,
                sorted(r.randint(1, most) for _ in range(8)),
                [COST_UNIT] * 8,
                [1 + k for k in range(8)],
            ]
        )
        both = Both(dut, r, costs, r.choice([0, 1, r.randrange(1 << 12), (1 << 12) - 1]))
        await both.begin()
        for _ in range(r.randrange(12)):
            proposed = r.randrange(lanes)
            await both.learn(proposed, r.randint(0, proposed))
            await both.rest(lanes)
        for room in range(lanes):
            await both.plan(room)


@BENCH.test()
async def begin_and_reset(dut):
    """Both end what is in progress, wherever it is; the next plan is that of a fresh block."""
    await start(dut)
    r, lanes = rng("begin"), params()["lanes"]
    both = Both(dut, r, COSTS, 0)
    for _ in range(60):
        dut.room.value = lanes - 1
        for _ in range(6):
            await both.learn(lanes - 1, r.randrange(lanes))
            await both.rest(lanes)
        await both.learn(lanes - 1, r.randrange(lanes), plan=r.randrange(2))
        await both.rest(r.randrange(2 * lanes))
        if r.random() < 0.5:
            await both.begin(plan=r.randrange(2), learn=r.randrange(2))
        else:
            dut.rst.value = 1
            await both.cycle()
            dut.rst.value = 0
            both.golden.begin()
            both.steps = 0
        for _ in range(2 * lanes):
            await settle()
            assert not int(dut.done.value)
            await both.cycle()
        await both.plan(lanes - 1)
