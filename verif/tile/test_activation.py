"""Activation buffer against arrays: latency, collisions as simulated, holding, lanes that do not exist, and parity."""

import pytest

from hayate.verif.bench import Bench, params, rng

DEPTH = 32


def component(lanes):
    from hayate.rtl.tile.activation import ActivationBuffer

    return ActivationBuffer(lanes, DEPTH, inject=True)


BENCH = Bench(component, params=[{"lanes": 1}, {"lanes": 2}, {"lanes": 4}])


@BENCH.test()
async def reads_what_was_written(dut):
    """Random writes and reads every cycle, collisions included; `data` holds between reads."""
    from hayate.rtl.tile.activation import ACT_LATENCY
    from hayate.verif.bench.drivers import clock, start

    random, lanes = rng(), params()["lanes"]
    await start(dut)
    memory = [[0] * DEPTH for _ in range(lanes)]
    due = [None] * ACT_LATENCY
    shown = None
    for _ in range(1500):
        write, lane, at, word = random.getrandbits(1), random.randrange(8), random.randrange(DEPTH), random.getrandbits(64)
        read, from_ = random.random() < 0.7, random.choice([at, random.randrange(DEPTH)])
        dut.write.value, dut.write_lane.value, dut.write_addr.value, dut.write_data.value = write, lane, at, word
        dut.read.value, dut.read_addr.value = int(read), from_
        due.append([m[from_] for m in memory] if read else None)
        await clock(dut)
        # Sampled at the end of this cycle: what a read ACT_LATENCY cycles ago brought.
        arrived = due.pop(0)
        shown = arrived or shown
        if shown is not None:
            assert int(dut.data.value) == sum(w << 64 * k for k, w in enumerate(shown))
        assert not int(dut.parity.value)
        if write and lane < lanes:
            memory[lane][at] = word


@BENCH.test()
async def every_flipped_bit_is_seen(dut):
    """One flip of any stored bit of any lane strobes `parity` beside the data of each read of that word, and of no other."""
    from hayate.rtl.tile.activation import ACT_LATENCY
    from hayate.verif.bench.drivers import clock, start

    random, lanes = rng(), params()["lanes"]
    await start(dut)
    for bit in range(66):
        at = random.randrange(DEPTH)
        dut.write.value, dut.write_lane.value, dut.write_addr.value = 1, random.randrange(lanes), at
        dut.write_data.value, dut.flip.value = random.getrandbits(64), 1 << bit
        await clock(dut)
        dut.write.value, dut.flip.value = 0, 0
        dut.read.value, dut.read_addr.value = 1, at
        await clock(dut)
        dut.read_addr.value = (at + 1) % DEPTH
        await clock(dut)
        dut.read.value = 0
        seen = []
        for _ in range(ACT_LATENCY + 1):
            await clock(dut)
            seen.append(int(dut.parity.value))
        assert seen == [1, 0, 0]
        dut.write.value, dut.write_lane.value = 1, int(dut.write_lane.value)  # mend it
        await clock(dut)
        dut.write.value = 0


@pytest.mark.parametrize(("lanes", "depth"), [(0, 8), (1, 1)])
def test_sizes_are_checked(lanes, depth):
    from hayate.rtl.tile.activation import ActivationBuffer

    with pytest.raises(ValueError, match=f"at least 1 lane and 2 words, not {lanes} and {depth}"):
        ActivationBuffer(lanes, depth)
