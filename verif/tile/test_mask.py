"""Slot table and lane map against the layout's rules."""

import pytest

from hayate.rtl.contract.layout import local_slots, slot_home
from hayate.rtl.tile.mask import QUAD_BITS, LaneMap, SlotMask
from hayate.rtl.tile.queues import LaneState, PassState, TileState
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, settle, start
from hayate.verif.tile.vector_driver import packed

SLOTS = 48
TABLE = Bench(lambda lanes=2: SlotMask(lanes, SLOTS, inject=True), params=[{"lanes": 1}, {"lanes": 4}])
LANES = Bench(LaneMap, params=[{"lanes": 1}, {"lanes": 2}, {"lanes": 4}])


async def look_up(dut, row):
    dut.read.value, dut.row.value = 1, row
    await clock(dut)
    dut.read.value = 0
    await clock(dut)
    return int(dut.later.value)


@TABLE.test()
async def assigned_slots(dut):
    """Bursts of assignments as a pass makes them, in groups of every size; slots of other tiles leave no trace."""
    r, lanes = rng(), params()["lanes"]
    await start(dut, group_size=1)
    positions = {}
    for size in (1, 2, 3, 5):
        index = r.randrange(size)
        dut.group_size.value, dut.group_index.value = size, index
        for _ in range(12):
            burst = r.sample(range(SLOTS), lanes)
            for slot in burst:
                pos = r.randrange(1 << 16)
                dut.note.value, dut.slot.value, dut.pos.value = 1, slot, pos
                await clock(dut)
                home, row = slot_home(slot, size)
                if home == index:
                    positions[row] = pos
            dut.note.value = 0
            await settle()
            cycles = 0
            while int(dut.busy.value):
                cycles += 1
                await clock(dut)
                await settle()
            assert 0 < cycles <= (QUAD_BITS + 3) * lanes
        for row in range(SLOTS):
            limits = [r.choice([positions.get(row, 0), max(0, positions.get(row, 0) - 1), r.randrange(1 << 16)]) for _ in range(lanes)]
            for k, limit in enumerate(limits):
                getattr(dut, f"position__{k}").value = limit
            assert await look_up(dut, row) == sum((positions.get(row, 0) > limit) << k for k, limit in enumerate(limits))
    assert not int(dut.parity.value)


@TABLE.test()
async def damage(dut):
    await start(dut, group_size=1)
    for bit in (0, 15, 16):
        dut.note.value, dut.slot.value, dut.pos.value, dut.flip.value = 1, 9, 1234, 1 << bit
        await clock(dut)
        dut.note.value = 0
        await clock(dut, QUAD_BITS + 5)
        await look_up(dut, 9)
        seen = []
        for _ in range(3):
            seen.append(int(dut.parity.value))
            await clock(dut)
        assert seen == [0, 1, 0]


@LANES.test()
async def positions_and_vectors(dut):
    r, lanes = rng(), params()["lanes"]
    await start(dut)
    partial = 0
    for _ in range(300):
        group = r.randint(1, 8)
        gp, size = (group - 1).bit_length(), r.randint(1, 5)
        tile = dict.fromkeys(TileState.members, 0) | {"group": group, "gp_log2": gp, "group_size": size, "group_index": r.randrange(size)}
        states = [{"token": r.getrandbits(20), "pos": r.getrandbits(16), "slot": r.getrandbits(16)} for _ in range(lanes)]
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
        vectors = [J * lanes + k for k in range(lanes)] if vec else [k << gp for k in range(lanes)]
        active = [v >> gp < count and (not vec or v % (1 << gp) < group) for v in vectors]
        assert int(dut.active.value) == int(dut.serving.value) == sum(a << k for k, a in enumerate(active))
        for k, v in enumerate(vectors):
            if active[k]:
                assert int(getattr(dut, f"position__{k}").value) == states[v >> gp]["pos"]
        if n:
            limit = sum((row // 4 * size + tile["group_index"]) * 4 + row % 4 < hwm for row in range(n))
            assert int(dut.limit.value) == limit
            partial += limit != n
    assert partial > 10


def test_slots_come_in_quads():
    with pytest.raises(ValueError, match="quads, not 10"):
        SlotMask(1, 10)
