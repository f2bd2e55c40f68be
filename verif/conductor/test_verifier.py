"""Verifier against golden, cycle by cycle: random trees, choices that like to match, stalls, and ends of the text
anywhere.
"""

from hayate.golden.conductor.tree import Node, siblings, verify
from hayate.rtl.conductor.verifier import Verifier
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, settle, start
from hayate.verif.bench.reset import resets

BENCH = Bench(lambda lanes: Verifier(lanes), params=[{"lanes": 1}, {"lanes": 2}, {"lanes": 4}, {"lanes": 8}])


def grow(r, count):
    """A tree of `count` nodes, by turns like a chain and like a bush, with tokens that often coincide or differ in one
    bit.
    """
    alphabet, chain = [1 << r.randrange(20) for _ in range(r.randint(1, 4))] + [r.getrandbits(20)], r.random()
    nodes = [Node(r.choice(alphabet), 7)]
    for k in range(1, count):
        parent = k - 1 if r.random() < chain else r.randrange(k)
        nodes.append(Node(r.choice(alphabet), nodes[parent].position + 1, parent))
    return nodes


def choose(r, nodes):
    """A token per node, mostly that of one of its children, or one bit beside it."""
    children = [[n.token for n in nodes if n.parent == k] for k in range(len(nodes))]
    return [
        r.choice(tokens)
        if tokens and r.random() < 0.8
        else r.choice(tokens or [nodes[0].token]) ^ r.choice([0, 1 << r.randrange(20)])
        for tokens in children
    ]


def show(dut, r, lanes, nodes):
    """Put a tree on the inputs; what the block must not look at is random."""
    dut.count.value = len(nodes)
    for k in range(lanes):
        node = nodes[k] if k < len(nodes) else Node(r.choice(nodes).token, 0)
        getattr(dut, f"tokens__{k}").value = node.token
        getattr(dut, f"parents__{k}").value = node.parent if node.parent >= 0 else r.randrange(8)


async def walk(dut, choices, first, prefix, ends, *, stall, r):
    """Start, serve the choices, take the tokens; returns them just after the edge behind which `done` is high. Checks
    every cycle.
    """
    dut.start.value, dut.first.value, dut.prefix.value, dut.emit__ready.value = 1, first, prefix, r.randrange(2)
    await settle()
    assert int(dut.select.value) == first
    dut.choice.value = choices[first]
    await clock(dut)
    tokens, over, refused = [], False, None
    dut.start.value = 0
    while not over:
        ready = r.random() >= stall
        dut.first.value, dut.prefix.value, dut.emit__ready.value = r.randrange(8), r.randrange(2), ready
        await settle()
        offered = int(dut.emit__payload.value)
        assert int(dut.emit__valid.value) and not int(dut.done.value) and refused in (None, offered)
        dut.stop.value = over = ends(offered, len(tokens) + 1)
        node = int(dut.select.value)
        dut.choice.value = choices[node] if node < len(choices) else r.getrandbits(20)
        current = int(dut.current.value)
        await clock(dut)
        await settle()
        refused = None if ready else offered
        over = ready and not int(dut.emit__valid.value)
        if ready:
            tokens.append(offered)
        else:
            assert int(dut.current.value) == current
    return tokens


def results(dut):
    return [int(getattr(dut, name).value) for name in ("accepted", "current", "siblings", "emit__payload")]


async def compare(dut, r, lanes, *, stall, idle):
    """One random walk against golden; returns how many tokens it had, and whether the text ended."""
    nodes = grow(r, r.randint(1, lanes))
    choices, prefix = choose(r, nodes), r.random() < 0.3
    first = (
        len(nodes) - 1 if prefix and r.random() < 0.5 else r.randrange(len(nodes)) if prefix or r.random() < 0.2 else 0
    )
    limit, end = r.choice([1, 2, 3, 99, 99, 99]), r.choice([*choices, None, None, None])
    show(dut, r, lanes, nodes)

    def ends(token, generated):
        return generated == limit or token == end

    path, expected = verify(nodes, choices, first, ends)
    assert await walk(dut, choices, first, prefix, ends, stall=stall, r=r) == expected
    accepted = sum(1 << k for k in {*path, *(range(first) if prefix else ())})
    held = [accepted, path[-1], accepted & siblings(nodes), expected[-1]]
    for cycle in range(1 + idle):
        assert results(dut) == held and int(dut.done.value) == (cycle == 0) and not int(dut.emit__valid.value)
        if cycle < idle:
            show(dut, r, lanes, grow(r, lanes))
            dut.stop.value, dut.choice.value, dut.emit__ready.value = r.randrange(2), r.getrandbits(20), r.randrange(2)
            await clock(dut)
            await settle()
    return len(expected), ends(expected[-1], len(expected)), held[2] != 0


@BENCH.test()
@resets(within=100)
async def random_trees(dut):
    """Walks with stalls, from any node, back to back or apart; `done` and the path as promised, whatever the inputs do
    in between.
    """
    r, lanes = rng(), params()["lanes"]
    await start(dut)
    seen = [
        await compare(dut, r, lanes, stall=r.choice([0, 0.25, 0.7]), idle=r.choice([0, 0, 1, 3])) for _ in range(400)
    ]
    lengths, ended, sideways = zip(*seen)
    assert max(lengths) >= min(lanes, 5) and any(ended) and not all(ended) and any(sideways) == (lanes > 2)


@BENCH.test(only=lambda p: p["lanes"] > 1)
async def every_bit_counts(dut):
    """No child has the token when each differs in one bit, whichever it is."""
    r, lanes = rng(), params()["lanes"]
    await start(dut)
    for bit in range(20):
        token = r.getrandbits(20)
        show(dut, r, lanes, [Node(0, 0), *(Node(token ^ 1 << (bit + k) % 20, 1, 0) for k in range(1, lanes))])
        assert await walk(dut, [token, *([0] * (lanes - 1))], 0, 0, lambda token, generated: False, stall=0, r=r) == [
            token
        ]
        assert results(dut) == [1, 0, 0, token]


@BENCH.test()
async def latency(dut):
    """A chain that is accepted whole, never refused: the first token 1 cycle after `start`, then one a cycle, then
    `done`.
    """
    lanes = params()["lanes"]
    await start(dut)
    assert results(dut) == [0, 0, 0, 0] and not int(dut.emit__valid.value) and not int(dut.done.value)
    nodes = [Node(100 + k, k, k - 1) for k in range(lanes)]
    show(dut, rng(), lanes, nodes)
    dut.start.value, dut.emit__ready.value, dut.choice.value = 1, 1, 101
    for cycle in range(lanes):
        await clock(dut)
        dut.start.value = 0
        await settle()
        assert int(dut.emit__valid.value) and int(dut.emit__payload.value) == 101 + cycle and not int(dut.done.value)
        dut.choice.value = 101 + int(dut.select.value)
    for done in (1, 0):
        await clock(dut)
        await settle()
        assert not int(dut.emit__valid.value) and int(dut.done.value) == done
    assert results(dut) == [(1 << lanes) - 1, lanes - 1, 0, 100 + lanes]


@BENCH.test()
async def reset(dut):
    """In the middle of a walk."""
    await start(dut)
    show(dut, rng(), params()["lanes"], [Node(1, 0)])
    dut.start.value = 1
    await clock(dut)
    dut.start.value, dut.rst.value = 0, 1
    await clock(dut)
    dut.rst.value = 0
    for _ in range(3):
        await settle()
        assert not int(dut.emit__valid.value) and not int(dut.done.value) and results(dut)[:3] == [0, 0, 0]
        await clock(dut)
