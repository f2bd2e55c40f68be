"""The initializer's words: every address of every sweep once and in order, in the promised cycles, whatever takes
them.
"""

import pytest

from hayate.rtl.contract.config import Config, load_config
from hayate.rtl.contract.isa import CLEAR_REST_BIT, PRECISION_BIT, Space
from hayate.rtl.contract.regmap import LOAD_ALL_TILES, LoadSpace
from hayate.rtl.host.gate import LoadWord
from hayate.rtl.host.initializer import Initializer, sweeps
from hayate.verif.bench import Bench, params
from hayate.verif.bench.drivers import Sink, clock, settle, start

SMALL = {
    "bank_depth": 20,
    "act_depth": 24,
    "stage_depth": 8,
    "vmem_depth": 5,
    "program_depth": 3,
    "micro_depth": 2,
    "desc_depth": 16,
    "max_slots": 12,
    "prompt_depth": 7,
}
DEEP = {**SMALL, "bank_depth": 100, "max_slots": 120, "formats": "fp16"}
BENCH = Bench(lambda deep: Initializer(Config(**DEEP if deep else SMALL)), params=[{"deep": 1}, {"deep": 0}])


def expected():
    """(space, addr) in order, written out."""
    deep = params()["deep"]
    rest = 1 << CLEAR_REST_BIT
    clear = (
        [*range(100), *(rest | n for n in range(100, 120))]
        if deep
        else [*range(20), *(rest | n for n in range(20, 32))]
    )
    spaces = [
        (Space.CLEAR, clear),
        (Space.PROGRAM, range(12)),
        (Space.DESC, range(64)),
        (Space.MICRO, range(4)),
        (Space.VMEM, range(5)),
        (Space.CSR, range(64)),
    ]
    if not deep:
        spaces += [(Space.CSR, range(1 << PRECISION_BIT, (1 << PRECISION_BIT) + 16)), (LoadSpace.GOVERNOR, range(16))]
    spaces += [(LoadSpace.PROMPT, range(7)), (LoadSpace.NGRAM, range(4096 + 512))]
    return [(int(space), addr) for space, addresses in spaces for addr in addresses]


def payload(space, addr):
    return LoadWord.const({"space": space, "addr": addr, "tile": LOAD_ALL_TILES, "data": 0}).as_bits()


async def begin(dut):
    dut.start.value = 1
    await clock(dut)
    dut.start.value = 0


@BENCH.test()
async def all_words_in_the_promised_cycles(dut):
    await start(dut)
    words = expected()
    assert int(dut.busy.value) == int(dut.words__valid.value) == 0
    dut.words__ready.value = 1
    await begin(dut)
    for space, addr in words:
        await clock(dut)
        assert (
            int(dut.busy.value)
            and int(dut.words__valid.value)
            and int(dut.words__payload.value) == payload(space, addr)
        )
    await clock(dut)
    assert not int(dut.busy.value) and not int(dut.words__valid.value)


@BENCH.test()
async def a_sink_that_pauses_and_a_second_start(dut):
    await start(dut)
    words = [payload(*word) for word in expected()]
    await begin(dut)
    dut.words__ready.value = 1
    await clock(dut, 30)
    dut.words__ready.value = 0
    await begin(dut)
    assert await Sink(dut, "words").take(len(words)) == words
    await settle()
    assert not int(dut.busy.value)


@pytest.mark.parametrize(
    "overrides", [[], ["bank_depth=64"], ["desc_depth=512", "bank_depth=64"], ["max_slots=4096", "formats=fp16"]]
)
def test_every_memory_of_a_configuration_is_reached(overrides):
    """The addresses of CLEAR reach the end of each memory that it writes, and those with banks end where banks do."""
    c = load_config("unit", overrides)
    clear = [s for s in sweeps(c) if s.space == Space.CLEAR]
    addresses = [a for s in clear for a in range(s.first, s.first + s.words)]
    rest = 1 << CLEAR_REST_BIT
    assert [a for a in addresses if not a & rest] == list(range(c.bank_depth))
    assert {a & rest - 1 for a in addresses} >= set(
        range(max(c.act_depth, c.stage_depth, c.max_slots, 2 * c.desc_depth * c.governor))
    )
