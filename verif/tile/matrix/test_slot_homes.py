"""Homes of KV slots against the layout's own division, for every group size, and how soon they are there."""

from hayate.rtl.contract.layout import slot_home
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.reset import resets

SLOTS = 260
QUAD_BITS = 7


def component(lanes):
    from hayate.rtl.tile.matrix.slot_homes import SlotHomes

    return SlotHomes(lanes, SLOTS)


BENCH = Bench(component, params=[{"lanes": 1}, {"lanes": 4}, {"lanes": 8}])


def show(dut, slots, size, index):
    from hayate.rtl.tile.queues import LaneState, TileState

    for k, slot in enumerate(slots):
        getattr(dut, f"lanes_state__{k}").value = LaneState.const({"slot": slot, "token": 7, "position": 9}).as_bits()
    dut.tile.value = TileState.const({"group_size": size, "group_index": index}).as_bits()


def homes(dut, lanes):
    local, mine, width = int(dut.row.value), int(dut.mine.value), QUAD_BITS + 2
    return [(mine >> k & 1, local >> width * k & (1 << width) - 1) for k in range(lanes)]


@BENCH.test()
@resets(within=60)
async def follows_every_change(dut):
    """Slots and groups change at random; `fresh` falls at once and rises, with the right answer, within the stated
    time.
    """
    from hayate.verif.bench.drivers import clock, settle, start

    random, lanes = rng(), params()["lanes"]
    await start(dut)
    slots, size, index = [0] * lanes, 1, 0
    for _ in range(300):
        changed = [False] * lanes
        if random.random() < 0.3:
            size = random.randrange(1, 65)
            index = random.randrange(size)
            changed = [True] * lanes
        for k in range(lanes):
            if random.random() < 0.5:
                slot = random.randrange(SLOTS)
                changed[k] |= slot != slots[k]
                slots[k] = slot
        show(dut, slots, size, index)
        await settle()
        assert not any(
            int(dut.fresh.value) >> k & 1
            and slot_home(slots[k], size)[0] == index
            and homes(dut, lanes)[k] != (1, slot_home(slots[k], size)[1])
            for k in range(lanes)
            if changed[k]
        )
        for _ in range((lanes + 1) * (QUAD_BITS + 3) + 2):
            await clock(dut)
        assert int(dut.fresh.value) == (1 << lanes) - 1
        for k, (mine, local) in enumerate(homes(dut, lanes)):
            owner, row = slot_home(slots[k], size)
            assert mine == (owner == index)
            if mine:
                assert local == row


@BENCH.test(only=lambda p: p["lanes"] == 1)
async def knows_every_slot(dut):
    from hayate.verif.bench.drivers import clock, start

    await start(dut)
    for size, index in ((1, 0), (3, 1), (4, 3)):
        for slot in range(SLOTS):
            show(dut, [slot], size, index)
            await clock(dut, 1)
            while not int(dut.fresh.value):
                await clock(dut)
            owner, row = slot_home(slot, size)
            [(mine, local)] = homes(dut, 1)
            assert mine == (owner == index) and (not mine or local == row)
