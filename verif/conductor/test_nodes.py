"""The nodes of a pass against the golden tree: random growth, and slots given in any order."""

from hayate.golden.conductor import tree
from hayate.rtl.conductor.nodes import Node, Nodes
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import settle, start, strobe
from hayate.verif.bench.reset import resets

BENCH = Bench(lambda lanes: Nodes(lanes), params=[{"lanes": n} for n in (1, 2, 4, 8)])


async def shown(dut, lane):
    dut.lane.value = lane
    await settle()
    return Node.from_bits(int(dut.node.value))


@BENCH.test()
@resets(within=40)
async def grows_as_the_golden_tree(dut):
    await start(dut)
    r, lanes = rng("trees"), params()["lanes"]
    for _ in range(40):
        nodes = [tree.Node(r.getrandbits(20), r.getrandbits(15), -1)]
        await strobe(dut, "root", token=nodes[0].token, position=nodes[0].position, parent=r.randrange(8))
        slots = {}
        for n in range(1, r.randint(1, lanes)):
            if r.random() < 0.3:
                slots[n - 1] = r.getrandbits(16)
                await strobe(dut, "place", lane=n - 1, slot=slots[n - 1])
            parent = r.randrange(n)
            nodes.append(tree.Node(r.getrandbits(20), nodes[parent].position + 1, parent))
            with_it = r.randrange(n) if r.random() < 0.3 else None  # a slot for one that is there, at the same time
            if with_it is not None:
                slots[with_it] = r.getrandbits(16)
                dut.place.value, dut.lane.value, dut.slot.value = 1, with_it, slots[with_it]
            await strobe(dut, "add", token=nodes[-1].token, parent=parent, position=r.getrandbits(16))
            dut.place.value = 0
        for n in r.sample(range(len(nodes)), r.randint(0, len(nodes))):
            slots[n] = r.getrandbits(16)
            await strobe(dut, "place", lane=n, slot=slots[n])
        await settle()
        assert int(dut.count.value) == len(nodes)
        assert int(dut.depth.value) == max(node.position for node in nodes) - nodes[0].position
        for n, (node, ancestors) in enumerate(zip(nodes, tree.ancestors(nodes))):
            got = await shown(dut, n)
            assert (got.token, got.position, got.parent, got.ancestors) == (
                node.token,
                node.position,
                max(node.parent, 0),
                ancestors,
            )
            assert got.placed == (n in slots) and (n not in slots or got.slot == slots[n])
