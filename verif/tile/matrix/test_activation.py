"""Activation buffer against arrays and golden MXINT8: latency, collisions as simulated, holding, words that do not
exist, and parity.
"""

from collections import Counter

import numpy as np
import pytest

from hayate.golden.numerics.fp16 import from_bits
from hayate.golden.numerics.mxint8 import quantize
from hayate.rtl.contract.flits import spread
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.reset import resets
from hayate.verif.numerics.operands import finite, pack


def component(lanes, depth, nested=True):
    from hayate.rtl.tile.matrix.activation import ActivationBuffer

    return ActivationBuffer(lanes, depth, nested=nested, inject=True)


FP16 = Bench(component, params=[{"lanes": 1, "depth": 24, "nested": False}, {"lanes": 4, "depth": 40, "nested": False}])
BENCH = Bench(component, params=[{"lanes": 1, "depth": 24}, {"lanes": 2, "depth": 40}, {"lanes": 4, "depth": 32}])


def word(random):
    """Four finite patterns: any, or small ones, or ones of nearly one size, so that blocks have every exponent and
    codes are not all 0.
    """
    top = random.choice((None, random.randrange(31), random.randrange(8), random.randrange(8)))
    if top is None:
        return pack([finite(random) for _ in range(4)])
    return pack(
        [
            random.getrandbits(1) << 15 | max(top - random.randrange(8), 0) << 10 | random.getrandbits(10)
            for _ in range(4)
        ]
    )


def small_word(random, top):
    """A word whose largest exponent field is `top`."""
    fields = [top, *(random.randrange(top + 1) for _ in range(3))]
    random.shuffle(fields)
    return pack([random.getrandbits(1) << 15 | field << 10 | random.getrandbits(10) for field in fields])


class Model:
    """What the outputs must show. `tops`: how often a block's largest exponent field was which."""

    def __init__(self, lanes, depth):
        self.memory, self.tops = [[0] * depth for _ in range(lanes)], Counter()

    def answer(self, addr, wide, left):
        """(data, codes, exponents) of a read; codes and exponents are None where it is not wide."""
        block, half = addr & ~7, addr & 4
        exists = not wide or (addr & 7) < left
        words = pack([lane[addr] if exists else 0 for lane in self.memory], 64)
        if not wide:
            return words, None, None
        elements = [
            [w >> 16 * i & 0xFFFF for w in lane[block : block + left] + [0] * (8 - left) for i in range(4)]
            for lane in self.memory
        ]
        self.tops.update(max(p >> 10 & 31 for p in lane) for lane in elements)
        q, e = quantize(from_bits(np.array(elements)))
        codes = [int(c) & 0xFF for row in q for c in row[4 * half : 4 * half + 16]]
        return words, pack(codes, 8), pack([int(x) + 10 for x in e[:, 0]], 5)


def drive_write(dut, at, words):
    """Write words (lane -> word), or nothing; lanes that are not to be written are offered something, too."""
    flit = spread(words)
    junk = spread({lane: 0x7BFF_FFFF_0000_1234 for lane in range(params()["lanes"]) if lane not in words})
    dut.write.value, dut.write_addr.value, dut.write_data.value = flit["mask"], at, flit["data"] | junk["data"]


def some_lanes(random, make):
    """Lane -> word, of any lanes, most often of one or of all."""
    lanes = params()["lanes"]
    mask = random.choice((0, 1 << random.randrange(lanes), random.getrandbits(lanes), (1 << lanes) - 1))
    return {lane: make(random) for lane in range(lanes) if mask >> lane & 1}


async def drive_read(dut, random, depth, near=None):
    """Ask for something, or nothing: (addr, wide, left) or None. `near` is an address whose block is preferred."""
    block = near & ~7 if near is not None and random.random() < 0.6 else 8 * random.randrange(depth // 8)
    wide, left = random.getrandbits(1), random.choice((8, random.randrange(1, 9)))
    addr = block + (random.choice((0, 4)) if wide else random.randrange(8))
    read = random.random() < 0.75
    dut.read.value, dut.read_addr.value, dut.wide.value, dut.left.value = (
        int(read),
        addr,
        wide,
        left if wide else random.getrandbits(4),
    )
    return (addr, wide, left) if read else None


def compare(dut, shown, answer):
    """`shown` becomes `answer` where there is one, and the outputs show it."""
    for i, (name, value) in enumerate(zip(("data", "codes", "exponent"), answer or (None, None, None))):
        shown[i] = shown[i] if value is None else value
        if shown[i] is not None:
            assert int(getattr(dut, name).value) == shown[i], name


@BENCH.test()
async def reads_what_was_written(dut):
    """Random writes and reads of both kinds every cycle, often of what was just written or is being written; outputs
    hold in between.
    """
    from hayate.rtl.tile.matrix.activation import ACT_LATENCY
    from hayate.verif.bench.drivers import clock, start

    random, lanes, depth = rng(), params()["lanes"], params()["depth"]
    await start(dut)
    model, due, shown, at = Model(lanes, depth), [None] * ACT_LATENCY, [None] * 3, None
    for _ in range(2500):
        last, at, written = at, random.randrange(depth), some_lanes(random, word)
        drive_write(dut, at, written)
        request = await drive_read(dut, random, depth, near=random.choice((at, last)))
        due.append(model.answer(*request) if request else None)
        await clock(dut)
        # Sampled at the end of this cycle: what a read ACT_LATENCY cycles ago brought.
        compare(dut, shown, due.pop(0))
        assert not int(dut.parity.value)
        for lane, value in written.items():
            model.memory[lane][at] = value


@BENCH.test()
@resets(within=250)
async def a_block_is_right_the_cycle_after_its_last_write(dut):
    """Blocks written word by word, in any order, and read wide in the next cycle: first half, then second half or the
    reverse.
    """
    from hayate.rtl.tile.matrix.activation import ACT_LATENCY
    from hayate.verif.bench.drivers import clock, start

    random, lanes, depth = rng(), params()["lanes"], params()["depth"]
    await start(dut)
    model, due, shown = Model(lanes, depth), [None] * ACT_LATENCY, [None] * 3

    async def cycle(write=None, read=None):
        at, words = write or (0, {})
        drive_write(dut, at, words)
        dut.read.value = int(read is not None)
        if read is not None:
            dut.read_addr.value, dut.wide.value, dut.left.value = read
        due.append(model.answer(*read) if read else None)
        await clock(dut)
        compare(dut, shown, due.pop(0))
        for lane, value in words.items():
            model.memory[lane][at] = value

    for at in range(depth):
        await cycle(write=(at, dict.fromkeys(range(lanes), 0)))
    for _ in range(60):
        block, left = 8 * random.randrange(depth // 8), random.randrange(1, 9)
        # around the smallest exponent that a block has
        lane, top = (random.randrange(lanes), random.choice((None, *range(2, 9))))
        for i in random.sample(range(left), left):
            some = some_lanes(random, word) if top is None else {lane: small_word(random, top)}
            await cycle(write=(block + i, some))
        for half in random.choice(((0, 4), (4, 0))):
            await cycle(read=(block + half, 1, left))
    for _ in range(ACT_LATENCY):
        await cycle()
    assert all(model.tops[field] >= 5 for field in range(2, 9)), model.tops


@BENCH.test(only=lambda p: p["lanes"] == 2)
async def garbage_in_words_that_do_not_exist_is_not_looked_at(dut):
    """Infinities, NaN and words with wrong parity behind the end of a block change nothing, and no error is seen."""
    from hayate.rtl.tile.matrix.activation import ACT_LATENCY, FLIP_BITS
    from hayate.verif.bench.drivers import clock, start

    random, lanes, depth = rng(), params()["lanes"], params()["depth"]
    await start(dut)
    for left in range(1, 9):
        model, block = Model(lanes, depth), 8 * (left % (depth // 8))
        for lane in range(lanes):
            for i in range(8):
                exists = i < left
                value = word(random) if exists else random.getrandbits(64) | 0x7C00 << 16 * random.randrange(4)
                model.memory[lane][block + i] = value
                drive_write(dut, block + i, {lane: value})
                dut.flip.value = 0 if exists else random.getrandbits(FLIP_BITS)
                await clock(dut)
        dut.write.value = 0
        for half in (0, 4):
            dut.read.value, dut.wide.value, dut.read_addr.value, dut.left.value = 1, 1, block + half, left
            await clock(dut)
            dut.read.value = 0
            for _ in range(ACT_LATENCY):
                await clock(dut)
                assert not int(dut.parity.value)
            compare(dut, [None] * 3, model.answer(block + half, 1, left))


@BENCH.test()
async def every_flipped_bit_is_seen(dut):
    """One flip of any stored bit of any lane strobes `parity` beside the outputs of each read that takes it, and of no
    other.
    """
    from hayate.rtl.tile.matrix.activation import ACT_LATENCY, FIELD, FLIP_BITS
    from hayate.verif.bench.drivers import clock, start

    random, lanes, depth = rng(), params()["lanes"], params()["depth"]
    await start(dut)
    for bit in range(FLIP_BITS):
        at, lane = random.randrange(depth), random.randrange(lanes)
        drive_write(dut, at, {lane: word(random)})
        dut.flip.value = 1 << bit
        await clock(dut)
        dut.write.value, dut.flip.value, dut.read.value = 0, 0, 1
        block, half, inner, exponent = at & ~7, at & 4, at % 8, bit >= FLIP_BITS - FIELD
        reads = [  # (address, wide, left, whether the damage is in what is read)
            (at, 0, 8, not exponent),
            (at ^ 1, 0, 8, False),
            (block + half, 1, 8, True),
            (block + (half ^ 4), 1, 8, exponent),
            ((block + 8) % depth, 1, 8, False),
            (block + half, 1, inner + 1, True),
            *([(block + half, 1, inner, False)] if inner else []),
        ]
        random.shuffle(reads)
        seen = []
        for addr, wide, left, _ in [*reads, *[(None, 0, 0, 0)] * ACT_LATENCY]:
            dut.read.value = int(addr is not None)
            if addr is not None:
                dut.read_addr.value, dut.wide.value, dut.left.value = addr, wide, left
            await clock(dut)
            seen.append(int(dut.parity.value))
        assert seen == [0] * ACT_LATENCY + [int(wrong) for *_, wrong in reads], (bit, at, reads)
        dut.write.value = 1 << lane  # mend it
        await clock(dut)
        dut.write.value = 0


FP16_DELAY = 2  # cycles that a request of the FP16 buffer waits


@FP16.test()
async def reads_in_fp16_alone(dut):
    """Random writes and reads every cycle; a read shows what its word is FP16_DELAY cycles later, and outputs hold in
    between.
    """
    from hayate.rtl.tile.matrix.activation import ACT_LATENCY
    from hayate.verif.bench.drivers import clock, start

    random, lanes, depth = rng(), params()["lanes"], params()["depth"]
    await start(dut)
    memory, shown, at = [[0] * depth for _ in range(lanes)], None, 0
    waiting, due = [None] * FP16_DELAY, [None] * (ACT_LATENCY - FP16_DELAY)
    for _ in range(2500):
        written = some_lanes(random, lambda random: random.getrandbits(64))
        addr = random.choice((at, random.randrange(depth)))
        read, at = random.random() < 0.75, random.choice((addr, random.randrange(depth)))
        drive_write(dut, addr, written)
        dut.read.value, dut.read_addr.value = int(read), at
        waiting.append(at if read else None)
        now = waiting.pop(0)
        due.append(None if now is None else pack([words[now] for words in memory], 64))
        await clock(dut)
        answer = due.pop(0)
        shown = shown if answer is None else answer
        assert shown is None or int(dut.data.value) == shown
        assert not int(dut.parity.value)
        for lane, value in written.items():
            memory[lane][addr] = value


@FP16.test()
async def every_flipped_bit_is_seen_in_fp16_alone(dut):
    from hayate.rtl.tile.matrix.activation import ACT_LATENCY, WORD_FLIP_BITS
    from hayate.verif.bench.drivers import clock, start

    random, lanes, depth = rng(), params()["lanes"], params()["depth"]
    await start(dut)
    for bit in range(WORD_FLIP_BITS):
        at, lane = random.randrange(depth), random.randrange(lanes)
        for flip in (1 << bit, 0):
            drive_write(dut, at, {lane: random.getrandbits(64)})
            dut.flip.value = flip
            await clock(dut)
            dut.write.value = 0
            seen = []
            for addr in [at, at ^ 1, at, *[None] * ACT_LATENCY]:
                dut.read.value = int(addr is not None)
                if addr is not None:
                    dut.read_addr.value = addr
                await clock(dut)
                seen.append(int(dut.parity.value))
            assert seen == [0] * ACT_LATENCY + [int(flip > 0), 0, int(flip > 0)]
        await clock(dut)


@pytest.mark.parametrize(("lanes", "depth"), [(0, 16), (1, 8), (1, 20)])
def test_sizes_are_checked(lanes, depth):
    from hayate.rtl.tile.matrix.activation import ActivationBuffer

    with pytest.raises(ValueError, match=f"at least 16 words, a multiple of 8, not {lanes} and {depth}"):
        ActivationBuffer(lanes, depth)
