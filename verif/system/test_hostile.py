"""Whatever a host does, the chip answers with right tokens or with a reported error, in bounded time."""

import pytest

from hayate.rtl.emit import emit
from hayate.verif.bench import Bench, rng
from hayate.verif.system import hostile

SERIES = [{"series": n} for n in range(20)]
DEEDS = 25  # of a series
QUICK = Bench(lambda: emit(hostile.CONFIG, "dut").verilog, timeout=3000, sims=("verilator",))
LONG = Bench(lambda series: emit(hostile.CONFIG, "dut").verilog, params=SERIES, timeout=3000, sims=("verilator",))


async def deeds(dut, count):
    """So many, each followed by a generation that is golden's to the last token."""
    from hayate.verif.system.chip import Chip

    generator = rng("deeds")
    host = hostile.Host(Chip(dut), generator)
    await host.chip.pin_reset(4)
    await host.chip.load(host.load_words)
    names = generator.sample(hostile.DEEDS, len(hostile.DEEDS))  # each at least once
    names += generator.choices(hostile.DEEDS, k=count - len(names))
    for number, name in enumerate(names):
        dut._log.info("%d: %s", number, name)
        await getattr(host, name)()
        await host.generation()


@QUICK.test(limit=10_000_000)
async def every_deed_ends_in_right_tokens(dut):
    await deeds(dut, 20)


@pytest.mark.nightly
@LONG.test(limit=40_000_000)
async def five_hundred_deeds_end_in_right_tokens(dut):
    await deeds(dut, DEEDS)


def test_the_long_series_have_500_deeds():
    assert len(SERIES) * DEEDS == 500 and len(hostile.DEEDS) <= 20
    assert all(getattr(hostile.Host, name).__code__.co_flags & 0x80 for name in hostile.DEEDS), "each is a coroutine"
