"""Address generator against the layout: every word of every shape, in order, under any release of landing rows."""

import pytest

from hayate.rtl.contract.isa import Op
from hayate.verif.bench import Bench, params, rng

LANDING = 16


def component(banks):
    from hayate.rtl.tile.gemv import GemvIssue

    return GemvIssue(banks, LANDING)


BENCH = Bench(component, params=[{"banks": 1}, {"banks": 2}, {"banks": 8}])


def expected(e, banks):
    """(mask, addr, act, first, last, useful, s_in, kv) of each word."""
    words = []
    for first in range(0, e["rows"], banks):
        rows = min(banks, e["rows"] - first)
        useful = min(banks, max(0, e["live"] - first))
        for w in range(e["length"]):
            at = e["base"] + first // banks * e["words"] + w
            words.append(((1 << rows) - 1, at, e["act"] + w, int(w == 0), int(w == e["length"] - 1), useful, e["s_in"] & 255, e["kv"]))
    return words


@BENCH.test()
async def walks_every_word_in_order(dut):
    """Entries are loaded as soon as, or some time after, the one before ends; landing rows come back at random times."""
    from hayate.rtl.tile.queues import MatrixEntry
    from hayate.verif.bench.drivers import clock, settle, start

    random, banks = rng(), params()["banks"]
    await start(dut)
    words, out, drain, finished, loads = [], 0, 0, 0, 0
    stalls = {"landing": 0, "drain": 0}
    active = False
    hold = 0.5
    for cycle in range(4000):
        if cycle % 200 == 0:
            hold = random.choice([0.0, 0.5, 0.9])
        release = sum(random.random() >= hold for _ in range(min(out, 3)))
        dut.freed.value = release
        dut.load.value = 0
        await settle()
        assert int(dut.active.value) == bool(words) == active
        fire, ending = int(dut.fire.value), int(dut.ending.value)
        assert ending == (fire and len(words) == 1)
        if active:
            mask, last = words[0][0], words[0][4]
            rows = mask.bit_length()
            full = last and LANDING - out < rows
            assert int(dut.wait_landing.value) == full
            assert int(dut.wait_drain.value) == (last and not full and drain > 0)
            assert fire == (not last or (not full and drain == 0))
            stalls["landing"] += full
            stalls["drain"] += int(dut.wait_drain.value)
        drain = max(drain - 1, 0)
        if fire:
            shown = [int(getattr(dut, n).value) for n in ("mask", "addr", "act", "first", "last", "useful", "s_in", "kv")]
            assert shown == list(words.pop(0))
            if last:
                out += rows
                drain = rows - 1
                finished += 1
        if (ending or not active) and random.random() < 0.7:
            rows = random.randrange(1, 3 * banks + 1)
            e = {
                "op": Op.GEMV, "base": random.randrange(1 << 16), "words": random.randrange(1, 20),
                "length": random.choice([1, 1, 2, 3, 9]),
                "rows": rows, "live": random.choice([0, rows, random.randrange(rows + 1)]), "act": random.randrange(1000),
                "s_in": random.randrange(-40, 41), "kv": random.getrandbits(1),
            }
            dut.entry.value = MatrixEntry.const({**e, "s_in": e["s_in"] & 255}).as_bits()
            dut.load.value = 1
            words = expected(e, banks)
            loads += 1
        active = bool(words)
        await clock(dut)
        out -= release
    assert loads > 100 and finished > 200
    assert stalls["landing"] > 50 and (stalls["drain"] > 50 or banks == 1)


def test_sizes_are_checked():
    from hayate.rtl.tile.gemv import GemvIssue

    with pytest.raises(ValueError, match="banks must be a power of two, not 3"):
        GemvIssue(3, 32)
    with pytest.raises(ValueError, match="a landing buffer of 4 rows cannot take a group of 8"):
        GemvIssue(8, 4)
