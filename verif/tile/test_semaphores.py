"""Channel semaphores against plain counters: posts and takes in any mixture, of which a post goes first."""

from hayate.rtl.contract.isa import CHANNELS
from hayate.verif.bench import Bench, rng
from hayate.verif.bench.reset import resets


def component():
    from hayate.rtl.tile.semaphores import Semaphores

    return Semaphores()


BENCH = Bench(component)


@BENCH.test()
@resets(within=60)
async def counts_every_post_and_take(dut):
    from hayate.verif.bench.drivers import clock, settle, start

    random = rng()
    await start(dut)
    levels = [0] * CHANNELS
    held_back = 0
    for _ in range(3000):
        post, up, chan = random.getrandbits(1), random.randrange(CHANNELS), random.randrange(CHANNELS)
        count = random.choice(
            [0, 1, 2, levels[chan], levels[chan] + 1, max(levels[chan] - 1, 0), random.getrandbits(16)]
        )
        dut.post.value, dut.post_chan.value, dut.chan.value, dut.count.value, dut.take.value = post, up, chan, count, 0
        await settle()
        enough = levels[chan] >= count and not post
        assert int(dut.enough.value) == enough, f"level {levels[chan]}, count {count}"
        take = enough and random.random() < 0.4
        dut.take.value = int(take)
        held_back += levels[chan] >= count and post
        await clock(dut)
        levels[up] += post
        levels[chan] -= count * take
    assert held_back > 20


@BENCH.test()
async def reset_clears_the_levels(dut):
    from hayate.verif.bench.drivers import clock, settle, start

    await start(dut, post=1, post_chan=5)
    await clock(dut, 7)
    dut.post.value = 0
    dut.chan.value, dut.count.value = 5, 7
    await settle()
    assert int(dut.enough.value)
    dut.rst.value = 1
    await clock(dut)
    dut.rst.value, dut.count.value = 0, 1
    await settle()
    assert not int(dut.enough.value)
