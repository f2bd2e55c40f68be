"""The planner against the golden loop's drafters: trees of texts that it is told of, guesses in shadow, and when it
answers.
"""

from hayate.golden.conductor.draft import Nested, Ngram
from hayate.golden.conductor.utility import Utility
from hayate.rtl.conductor.feeder import FED
from hayate.rtl.conductor.planner import Planner
from hayate.rtl.contract.draft import Drafter
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import Sink, clock, settle, start, strobe
from hayate.verif.bench.reset import resets

DEPTH = 128
BENCH = Bench(lambda lanes: Planner(lanes=lanes, depth=DEPTH), params=[{"lanes": 4}, {"lanes": 2}, {"lanes": 8}])
ALONE = Bench(lambda: Planner(lanes=1, depth=DEPTH))


class Told:
    """Tells the planner of a text as the conductor does."""

    def __init__(self, dut):
        self.dut, self.position = dut, 0

    async def append(self, tokens, prompt):
        for n, token in enumerate(tokens):
            await strobe(
                self.dut, "append", token=token, position=self.position, emitted=0 if prompt else n, prompt=int(prompt)
            )
            self.position += 1
        self.dut.emitted.value = 0 if prompt else len(tokens)

    async def plan(self, **values):
        """Tell it of a verdict and wait until the next tree may begin."""
        await strobe(self.dut, "verified", **values)
        await settle()
        while int(self.dut.planning.value):
            await clock(self.dut)
            await settle()
        await strobe(self.dut, "root", count=1)
        await settle()


async def tables(dut):
    """Nodes that come from the tables: [(token, parent)]."""
    nodes = []
    dut.grow.value = 1
    while True:
        await settle()
        if int(dut.add.value):
            nodes.append((int(dut.node.value), int(dut.parent.value)))
        grown = int(dut.grown.value)
        await clock(dut)
        if grown:
            dut.grow.value = 0
            return nodes


@BENCH.test()
@resets(within=1200)
async def nodes_of_the_tables(dut):
    """With and without control: as many as golden plans, those that golden proposes, and shadows that are scored as
    golden scores them.
    """
    await start(dut)
    r, lanes = rng("tables"), params()["lanes"]
    shadows = drafted = 0
    for text in range(8):
        branch, control, prompt = r.randrange(3), text % 2, [r.randrange(3) for _ in range(6)]
        costs = [256 + r.choice([20, 120, 250]) * n for n in range(8)]
        dut.draft__drafter.value, dut.draft__branch.value, dut.draft__control.value, dut.draft__cost.value = (
            int(Drafter.NGRAM),
            branch,
            control,
            0,
        )
        for n, cost in enumerate(costs):
            getattr(dut, f"draft__costs__{n}").value = cost
        await strobe(dut, "clear")
        golden, utility, told = Ngram(branch, DEPTH), Utility(costs), Told(dut)
        golden.append(prompt)
        await told.append(prompt, True)
        await strobe(dut, "settle")
        golden.settle()
        await clock(dut, 700)
        proposed = accepted = 0
        first = 1
        emitted = [r.randrange(3)]
        while told.position < DEPTH - 8:
            await told.append(emitted, False)
            golden.append(emitted)
            room = r.choice([0, *range(lanes)])
            await told.plan(prompt=first, over=0, room=room, depth=proposed)
            first = 0
            nodes, shadow = utility.plan(room) if control else (room, False)
            guess = golden.guess() if shadow else None
            expected = golden._table.propose(nodes, branch) if nodes else []
            assert int(dut.grows.value) == (nodes > 0 or shadow) and not int(dut.drafting.value)
            if nodes or shadow:
                assert await tables(dut) == expected
            drafted += len(expected)
            shadows += guess is not None
            await strobe(dut, "settle")
            golden.settle()
            await clock(dut, 40)
            # The pass behind it: a chain is accepted up to some node.
            chain = [token for n, (token, parent) in enumerate(expected) if parent == n]
            accepted = r.randint(0, len(chain))
            proposed = depth(expected)
            emitted = [*chain[:accepted], r.randrange(3)]
            utility.learn(proposed, accepted)
            if guess is not None:
                utility.score(guess == emitted[0])
        await told.append(emitted, False)
        await strobe(dut, "verified", prompt=0, over=1, room=1, depth=proposed)
        await clock(dut, 12)
        await settle()
        assert not int(dut.planning.value)
        assert (int(dut.first.value), int(dut.more.value)) == (utility.first, utility.more)
    assert drafted > 30 and shadows > 10


def depth(nodes):
    """Nodes of the longest chain of [(token, parent)]."""
    depths = [0]
    for _, parent in nodes:
        depths.append(depths[parent] + 1)
    return max(depths)


class Answers:
    """Stands in for golden tree and tile: what passes that draft choose, one after the other."""

    def __init__(self, answers):
        self.answers, self.nodes = answers, []

    def draft(self, tile):
        return self.answers[len(self.nodes)][0]

    def second(self):
        return self.answers[len(self.nodes) - 1][1:]

    def add(self, token, parent):
        self.nodes.append((token, parent))


@BENCH.test()
@resets(within=700)
async def nodes_of_passes(dut):
    """A node for each answer, a pass more for each, in the cycle in which it is asked; the last one's siblings behind
    it, one a cycle.
    """
    await start(dut)
    r, lanes = rng("passes"), params()["lanes"]
    dut.draft__drafter.value = int(Drafter.NESTED)
    await strobe(dut, "clear")
    await clock(dut, 600)
    siblings = 0
    for _ in range(60):
        room, branch, corrupt = r.randrange(lanes), r.choice([0, 0, 1, 2, 7]), r.getrandbits(1)
        answers = [
            (r.getrandbits(20), r.getrandbits(20), r.choice([0, 3, 3, 60000, r.getrandbits(16)])) for _ in range(room)
        ]
        golden = Answers(answers)
        passes = Nested(branch, corrupt=corrupt).grow(golden, room, golden)
        dut.draft__branch.value, dut.draft__corrupt.value = branch, corrupt
        await Told(dut).plan(prompt=0, over=0, room=room, depth=0, emitted=1)
        assert not int(dut.grows.value)
        nodes = []
        for answer in answers[:passes]:
            assert int(dut.drafting.value)
            dut.choice.value, dut.second.value, dut.margin.value = answer
            dut.grow.value, grown = 1, 0
            while not grown:
                dut.count.value = 1 + len(nodes)
                await settle()
                assert int(dut.add.value)
                nodes.append((int(dut.node.value), int(dut.parent.value)))
                grown = int(dut.grown.value)
                await clock(dut)
            dut.grow.value = 0
            await settle()
            await clock(dut, r.randrange(3))
        assert nodes == golden.nodes and len(nodes) == room
        assert not int(dut.drafting.value)
        siblings += room - passes
    assert siblings > 10 or lanes == 2


@BENCH.test()
@resets(within=150)
async def nodes_of_the_second_model(dut):
    """Passes over what its cache lacks, in the order of positions, and a node behind the last of them; the next pass is
    of that node alone.

    What is emitted agrees with the drafts up to some node, and the next tree's first pass begins where it does not.
    """
    await start(dut)
    r, lanes = rng("second"), params()["lanes"]
    sink = Sink(dut, "word")
    dut.draft__drafter.value, dut.draft__control.value = int(Drafter.DRAFT), 0
    lags = set()
    for _ in range(4):
        await strobe(dut, "clear")
        told, held = Told(dut), []
        text = [r.randrange(3) for _ in range(r.randint(1, 9))]
        await told.append(text, True)
        emitted = [r.randrange(3)]
        while len(text) + len(emitted) + lanes < DEPTH:
            await told.append(emitted, False)
            text += emitted
            kept = next((n for n, (a, b) in enumerate(zip(held, text)) if a != b), len(held))
            lags.add(len(held) - kept)
            held = held[:kept]
            room = r.choice([0, lanes - 1, r.randrange(lanes)])
            await told.plan(prompt=0, over=0, room=room, depth=0)
            assert not int(dut.grows.value) and int(dut.drafting.value) == int(dut.feeds.value) == (room > 0)
            chain = []
            while len(chain) < room:
                part = (text + chain)[len(held) :][:lanes]
                words = [FED.from_bits(bits) for bits in await sink.take(len(part))]
                assert [(w.token, w.position) for w in words] == [
                    (token, len(held) + n) for n, token in enumerate(part)
                ] and words[-1].last
                await clock(dut)
                held += part
                done = len(held) == len(text) + len(chain)
                assert (int(dut.fed.value), int(dut.fed_count.value), int(dut.caught_up.value)) == (
                    len(held),
                    len(part),
                    done,
                )
                choice = r.randrange(3)
                dut.grow.value, dut.count.value, dut.choice.value = 1, len(chain) + 1, choice
                await settle()
                assert int(dut.grown.value) and int(dut.add.value) == done
                if done:
                    assert (int(dut.node.value), int(dut.parent.value)) == (choice, len(chain))
                    chain.append(choice)
                await clock(dut)
                dut.grow.value = 0
                await settle()
            assert not int(dut.drafting.value) and not int(dut.feeds.value)
            right = r.randint(0, len(chain))
            emitted = [*chain[:right], (chain[right] + 1) % 3 if right < len(chain) else r.randrange(3)]
    assert len(lags) >= min(lanes - 1, 3)


@BENCH.test()
async def nobody_drafts(dut):
    await start(dut)
    dut.draft__drafter.value, dut.draft__control.value = int(Drafter.OFF), 1
    await strobe(dut, "verified", room=1, over=0)
    await settle()
    assert not int(dut.planning.value)
    await strobe(dut, "root", count=1)
    await settle()
    assert not int(dut.grows.value) and not int(dut.drafting.value)


@ALONE.test()
async def one_lane_has_nothing_to_plan(dut):
    await start(dut)
    for drafter in Drafter:
        dut.draft__drafter.value, dut.draft__control.value = int(drafter), 1
        dut.verified.value, dut.root.value, dut.room.value, dut.grow.value = 1, 1, 1, 1
        await settle()
        assert not any(
            int(getattr(dut, name).value) for name in ("grows", "drafting", "planning", "add", "grown", "fault")
        )
