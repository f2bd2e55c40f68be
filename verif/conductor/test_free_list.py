"""Free list against golden: after every cycle, in any order of takes and gives, and in the order of passes."""

from hayate.golden.conductor import free_list
from hayate.rtl.conductor.free_list import FreeList
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import clock, settle, start
from hayate.verif.bench.reset import resets

BENCH = Bench(lambda lanes: FreeList(lanes), params=[{"lanes": 1}, {"lanes": 2}, {"lanes": 4}, {"lanes": 8}])


class Slots:
    """The component and golden side by side; each call is one cycle, in front of which and after which they agree."""

    def __init__(self, dut, lanes):
        self.dut, self.golden = dut, free_list.FreeList(lanes)

    async def cycle(self, **strobes):
        dut = self.dut
        for name in ("clear", "take", "give"):
            getattr(dut, name).value = int(name in strobes)
        dut.given.value = strobes.get("give", rng("idle").getrandbits(16))
        await settle()
        expected = self.golden.pool[0] if self.golden.pool else self.golden.hwm
        assert (int(dut.slot.value), int(dut.hwm.value)) == (expected, self.golden.hwm)
        await clock(dut)

    async def take(self):
        await self.cycle(take=1)
        return self.golden.take()

    async def give(self, slot):
        await self.cycle(give=slot)
        self.golden.give(slot)

    async def clear(self, **strobes):
        await self.cycle(clear=1, **strobes)
        self.golden.reset()


@BENCH.test()
@resets(within=60)
async def any_order(dut):
    """Back to back and with pauses; the pool empty, full and in between; slots given in any order."""
    r, lanes = rng(), params()["lanes"]
    await start(dut)
    slots, held, fullest = Slots(dut, lanes), [], 0
    for _ in range(6):
        for _ in range(200):
            if r.random() < 0.2:
                await slots.cycle()
            elif held and len(slots.golden.pool) < lanes and r.random() < 0.6:
                await slots.give(held.pop(r.randrange(len(held))))
            else:
                held.append(await slots.take())
            fullest += len(slots.golden.pool) == lanes
        await slots.clear(**r.choice([{}, {"take": 1}, {"give": 0}]))
        held = []
    await slots.cycle()
    assert fullest > 20


@BENCH.test()
async def passes(dut):
    """Takes of a pass, then gives of what it rejected."""
    r, lanes = rng(), params()["lanes"]
    await start(dut)
    slots = Slots(dut, lanes)
    for _ in range(300):
        taken = [await slots.take() for _ in range(r.randint(1, lanes))]
        for slot in taken[r.randint(1, len(taken)) :]:
            await slots.give(slot)
        assert len(slots.golden.pool) <= lanes - 1


@BENCH.test()
async def wide_slots(dut):
    """All 16 bits are compared."""
    r, lanes = rng(), params()["lanes"]
    await start(dut)
    for slots in ([0x8000, 0x7FFF, 0xFFFF, 0, 1, 0x0100, 0xFF00, 0x00FF], [r.getrandbits(16) for _ in range(8)]):
        slots = list(dict.fromkeys(slots))[:lanes]
        dut.clear.value = 0
        for slot in slots:
            dut.give.value, dut.given.value = 1, slot
            await clock(dut)
        dut.give.value, dut.take.value = 0, 1
        for slot in sorted(slots):
            await settle()
            assert int(dut.slot.value) == slot
            await clock(dut)
        await settle()
        assert int(dut.slot.value) == int(dut.hwm.value) == 0
        dut.take.value, dut.clear.value = 0, 1
        await clock(dut)
