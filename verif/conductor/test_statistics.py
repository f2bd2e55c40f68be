"""The statistics against the golden one: random verified passes, and generations that begin anew."""

from hayate.golden.conductor.draft import Drafting
from hayate.golden.conductor.tree import Node, siblings
from hayate.rtl.conductor.statistics import Statistics
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, settle, start
from hayate.verif.bench.reset import resets

BENCH = Bench(lambda lanes: Statistics(lanes), params=[{"lanes": n} for n in (1, 2, 4, 8)])


@BENCH.test()
@resets(within=60)
async def counts_as_the_golden_tally(dut):
    await start(dut)
    r, lanes = rng("passes"), params()["lanes"]
    for _ in range(6):
        dut.clear.value = 1
        await clock(dut)
        dut.clear.value = 0
        await clock(dut, 2)
        golden = Drafting()
        for _ in range(r.randrange(30)):
            nodes = [Node(0, 0, -1)]
            while len(nodes) < lanes and r.random() < 0.8:
                nodes.append(Node(0, 0, r.randrange(len(nodes))))
            path = [0]
            while children := [i for i, n in enumerate(nodes) if n.parent == path[-1]]:
                if r.random() < 0.3:
                    break
                path.append(r.choice(children))
            golden.note(nodes, path)
            late = siblings(nodes) & sum(1 << i for i in path)
            dut.verified.value, dut.count.value, dut.emitted.value, dut.siblings.value = 1, len(nodes), len(path), late
            await clock(dut)
            dut.verified.value, dut.count.value, dut.emitted.value, dut.siblings.value = (
                0,
                r.randrange(9),
                r.randrange(9),
                0,
            )
            await clock(dut, r.randint(1, 3))
        await clock(dut, 2)
        assert int(dut.proposed.value) == golden.proposed
        assert int(dut.accepted.value) == golden.accepted
        assert int(dut.sibling_commits.value) == golden.siblings
        lengths = [int(getattr(dut, f"lengths__{n}").value) for n in range(lanes)]
        assert lengths == [golden.lengths.get(n, 0) for n in range(lanes)]


@BENCH.test()
async def the_longest_turnaround(dut):
    """Starts without an answer in front of them, as those behind the prompt, do not count; a new generation forgets."""
    await start(dut)
    r = rng("turns")
    for _ in range(4):
        dut.clear.value = 1
        await clock(dut)
        dut.clear.value, longest, passes = 0, 0, [0, 0]
        for _ in range(12):
            for name, wait in (("answered", r.randint(1, 50)), ("issued", r.randint(1, 90)), ("issued", 1)):
                drafting = r.getrandbits(1)
                passes[drafting] += name == "issued"
                getattr(dut, name).value, dut.drafting.value = 1, drafting
                await clock(dut)
                getattr(dut, name).value = 0
                if name == "answered":
                    longest = max(longest, wait)
                await clock(dut, wait - 1)
        await settle()
        assert int(dut.turnaround.value) == longest
        assert [int(dut.passes.value), int(dut.draft_passes.value)] == passes
