"""Slot table and lane map against the layout's rules."""

import pytest

from hayate.rtl.contract.isa import NEVER
from hayate.rtl.contract.layout import apart, local_slots, slot_home
from hayate.rtl.tile.queues import GroupState, LaneState, PassState, TileState
from hayate.rtl.tile.vector.mask import QUAD_BITS, LaneMap, SlotMask
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, settle, start
from hayate.verif.bench.reset import resets
from hayate.verif.tile.vector.vector_driver import packed

SLOTS = 48
TABLE = Bench(
    lambda lanes=2: SlotMask(lanes, SLOTS, inject=True), params=[{"lanes": 1}, {"lanes": 2}, {"lanes": 4}, {"lanes": 8}]
)
LANES = Bench(LaneMap, params=[{"lanes": 1}, {"lanes": 2}, {"lanes": 4}, {"lanes": 8}])


async def look_up(dut, row, vectors=()):
    """`hidden` of a row, for (position, ancestors) of each vector."""
    for k, (at, sees) in enumerate(vectors):
        getattr(dut, f"position__{k}").value, getattr(dut, f"ancestors__{k}").value = at, sees
    dut.read.value, dut.row.value = 1, row
    await clock(dut)
    dut.read.value, dut.row.value = 0, row ^ 1
    await clock(dut)
    return int(dut.hidden.value)


def grouped(dut, *groups):
    """Set (size, index) of the group, of both models or of each."""
    for n in range(2):
        size, index = groups[n % len(groups)]
        getattr(dut, f"groups__{n}").value = packed(GroupState, {"size": size, "index": index})


async def begin(dut):
    await start(dut)
    grouped(dut, (1, 0))


async def tell(dut, notes, second=0):
    """Notes (commit, lane, slot, position), one a cycle; waits until the last is done. second: of the second model, no
    commits.
    """
    dut.note.value, dut.second.value = 1, second
    for dut.commit.value, dut.lane.value, dut.slot.value, dut.pos.value in notes:
        await clock(dut)
    dut.note.value = 0
    await settle()
    cycles = 0
    while int(dut.busy.value):
        cycles += 1
        await clock(dut)
        await settle()
    assert 0 < cycles <= (QUAD_BITS + 3) * len(notes)


def random_tree(r, lanes):
    """(parent, depth, ancestors) of each node."""
    nodes = [(-1, 0, 1)]
    for k in range(1, r.randint(1, lanes)):
        parent = r.randrange(k)
        nodes.append((parent, nodes[parent][1] + 1, nodes[parent][2] | 1 << k))
    return nodes


def random_path(r, nodes):
    """Some nodes from the root downwards."""
    path = [0]
    while (children := [k for k, (parent, *_) in enumerate(nodes) if parent == path[-1]]) and r.random() < 0.6:
        path.append(r.choice(children))
    return path


@TABLE.test()
@resets(within=300)
async def trees(dut):
    """Generations of passes over random trees, in groups of every size, each with the table as the one before left it.

    Rejected slots come back first. Every slot in use is compared with random nodes and positions; those of other tiles
    leave no trace.
    """
    r, lanes = rng(), params()["lanes"]
    await begin(dut)
    reused = seen = unseen = 0
    for size in (1, 2, 3, 5, 1):
        index = r.randrange(size)
        grouped(dut, (size, index))
        text, free, used, root, notes = {}, [], 0, r.choice([0, 1000, NEVER - 60]), []
        while used + lanes <= SLOTS:
            nodes = random_tree(r, lanes)
            slots, free = free[: len(nodes)], free[len(nodes) :]
            reused += len(slots)
            new = range(used, used + len(nodes) - len(slots))
            slots, used = [*slots, *new], new.stop
            await tell(dut, notes + [(0, k, slot, r.getrandbits(16)) for k, slot in enumerate(slots)])
            for slot in range(used):
                home, row = slot_home(slot, size)
                if home != index:
                    continue
                asked = [r.choice(nodes) for _ in range(lanes)]
                vectors = [
                    (r.choice([root + depth, root + depth, NEVER, r.getrandbits(16)]), sees) for _, depth, sees in asked
                ]
                visible = [
                    slot in text and text[slot] <= at or slot in slots and sees >> slots.index(slot) & 1
                    for at, sees in vectors
                ]
                assert await look_up(dut, row, vectors) == sum((not v) << k for k, v in enumerate(visible)), (
                    slot,
                    text,
                    slots,
                    vectors,
                )
                seen, unseen = seen + sum(visible), unseen + len(visible) - sum(visible)
            path = random_path(r, nodes)
            notes = [(1, r.randrange(8), slots[k], root + nodes[k][1]) for k in path]
            text.update((slot, at) for _, _, slot, at in notes)
            free = sorted(free + [slot for k, slot in enumerate(slots) if k not in path])
            root += len(path)
    assert not int(dut.parity.value)
    assert seen > 50 and unseen > 50 and (reused or lanes == 1)


@TABLE.test()
async def second_model(dut):
    """In passes of the second model a lane sees the slots up to that of a lane among its ancestors, in groups of its
    own. Such passes leave no trace in the table, and what is in it means nothing to them.
    """
    r, lanes = rng(), params()["lanes"]
    await begin(dut)
    seen = unseen = 0
    for _ in range(12):
        sizes = [r.choice([1, 2, 3, 5]) for _ in range(2)]
        places = [(size, r.randrange(size)) for size in sizes]
        grouped(dut, *places)
        text = {slot: r.randrange(1, 60) for slot in r.sample(range(SLOTS), 2 * lanes)}
        for some in (list(text.items())[:lanes], list(text.items())[lanes:]):
            await tell(dut, [(1, 0, slot, at) for slot, at in some])
        last = r.randrange(lanes - 1, SLOTS)
        own = range(last - lanes + 1, last + 1)  # as passes do that feed a text: a chain
        await tell(dut, [(0, k, slot, r.getrandbits(16)) for k, slot in enumerate(own)], second=1)
        dut.in_second.value = 1
        size, index = places[1]
        for slot in range(SLOTS):
            home, row = slot_home(slot, size)
            if home == index:
                asked = [r.randrange(lanes) for _ in range(lanes)]
                visible = [slot <= own[k] for k in asked]
                vectors = [(r.getrandbits(16), r.choice([1 << k, (2 << k) - 1])) for k in asked]
                assert await look_up(dut, row, vectors) == sum((not v) << k for k, v in enumerate(visible))
                seen, unseen = seen + sum(visible), unseen + len(visible) - sum(visible)
        dut.in_second.value = 0
        size, index = places[0]
        for slot, at in text.items():
            home, row = slot_home(slot, size)
            if home == index:
                positions = [r.choice([at - 1, at]) for _ in range(lanes)]
                hidden = await look_up(dut, row, [(p, 0) for p in positions])
                assert hidden == sum((p < at) << k for k, p in enumerate(positions))
    assert seen > 50 and unseen > 50


@TABLE.test()
async def order_and_reset(dut):
    """Notes take effect in order. Reset forgets what waits and whose the slots are, not the table."""
    await begin(dut)
    lanes = params()["lanes"]
    everyone, lane = (1 << lanes) - 1, lanes - 1
    own = [(7, 1 << lane)] * lanes
    await tell(dut, [(1, 0, 9, 5), (0, lane, 9, 5)])
    assert await look_up(dut, 9, [(7, 0)] * lanes) == everyone and await look_up(dut, 9, own) == 0
    await tell(dut, [(0, lane, 9, 5), (1, 0, 9, 7)])
    assert await look_up(dut, 9, [(7, 0)] * lanes) == 0 and await look_up(dut, 9, [(6, 0)] * lanes) == everyone
    await tell(dut, [(0, lane, 10, 0)])
    dut.note.value, dut.commit.value, dut.slot.value, dut.pos.value = 1, 1, 10, 1
    await clock(dut)
    dut.note.value, dut.rst.value = 0, 1
    await clock(dut, 2)
    dut.rst.value = 0
    await clock(dut)
    assert not int(dut.busy.value)
    await clock(dut, 2 * QUAD_BITS)
    assert await look_up(dut, 10, own) == everyone and await look_up(dut, 9, own) == 0


@TABLE.test()
async def damage(dut):
    await begin(dut)
    for bit in (0, 15, 16):
        dut.flip.value = 1 << bit
        await tell(dut, [(1, 0, 9, 1234)])
        await look_up(dut, 9)
        seen = []
        for _ in range(3):
            seen.append(int(dut.parity.value))
            await clock(dut)
        assert seen == [0, 1, 0]


@LANES.test()
@resets(within=30)
async def positions_and_vectors(dut):
    r, lanes = rng(), params()["lanes"]
    await start(dut)
    partial, tried = 0, set()
    for _ in range(300):
        group = r.randint(1, 8)
        size = r.randint(1, 5)
        tile = dict.fromkeys(TileState.members, 0) | {
            "group": group,
            "group_size": size,
            "group_index": r.randrange(size),
        }
        states = [
            {
                "token": r.getrandbits(20),
                "position": r.getrandbits(16),
                "slot": r.getrandbits(16),
                "ancestors": r.getrandbits(8),
            }
            for _ in range(lanes)
        ]
        count, hwm, vec, J = r.randint(1, lanes), r.randint(1, 300), r.randrange(2), r.randrange(8)
        n = local_slots(hwm, size, tile["group_index"])
        dut.tile.value = packed(TileState, tile)
        dut.pass_state.value = packed(PassState, {"positions": count, "want": 0, "hwm": hwm})
        for k, state in enumerate(states):
            getattr(dut, f"lanes_state__{k}").value = packed(LaneState, state)
        dut.vec.value, dut.round.value, dut.n.value, dut.look.value = vec, J, n, 1
        await clock(dut)
        dut.look.value, dut.serve.value = 0, 1
        await clock(dut)
        dut.serve.value = 0
        await clock(dut, 2)
        tried.add((count, vec))
        # (query head, position) of each lane
        vectors = [divmod(J * lanes + k, apart(count, lanes)) if vec else (0, k) for k in range(lanes)]
        active = [head < group and p < count for head, p in vectors]
        assert int(dut.active.value) == int(dut.serving.value) == sum(a << k for k, a in enumerate(active))
        for k, (_, p) in enumerate(vectors):
            if active[k]:
                assert int(getattr(dut, f"position__{k}").value) == states[p]["position"]
                assert int(getattr(dut, f"ancestors__{k}").value) == states[p]["ancestors"] & (1 << lanes) - 1
        if n:
            limit = sum((row // 4 * size + tile["group_index"]) * 4 + row % 4 < hwm for row in range(n))
            assert int(dut.limit.value) == limit
            partial += limit != n
    assert partial > 10 and len(tried) == 2 * lanes


def test_slots_come_in_quads():
    with pytest.raises(ValueError, match="quads, not 10"):
        SlotMask(1, 10)
