"""The conductor against the golden token loop, with a model of the tiles behind it: every pass, every token, every ending."""

import cocotb
import numpy as np

from hayate.rtl.conductor.conductor import Conductor
from hayate.rtl.contract.flits import CONDUCTOR, FlitKind
from hayate.rtl.contract.isa import PassWord
from hayate.rtl.ring.flit import Flit
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import Sink, clock, start

BENCH = Bench(lambda lanes: Conductor(lanes=lanes, prompt_depth=16), params=[{"lanes": 4}, {"lanes": 2}, {"lanes": 1}])


def plan(prompt, lanes, chosen, limit, context, end, all_logits):
    """Passes [(tokens, first position, wanted positions)] and tokens, by the rules of the golden loop."""
    passes, tokens = [], []
    for first in range(0, len(prompt), lanes):
        part = prompt[first:first + lanes]
        last = first + len(part) == len(prompt)
        passes.append((part, first, list(range(len(part))) if all_logits else [len(part) - 1] if last else []))
    at = len(prompt)
    while True:
        token = chosen[at - 1]
        tokens.append(token)
        if len(tokens) == limit or token == end or at == context:
            return passes, tokens
        passes.append(([token], at, [0]))
        at += 1


async def tell(dut, **fields):
    dut.rx_valid.value, dut.rx.value = 1, Flit.const(fields).as_bits()
    await clock(dut)
    dut.rx_valid.value = 0


class Tiles:
    """Model of the tiles: takes a pass's flits, answers with candidates whose best is `chosen[position]`, then SYNCs."""

    def __init__(self, dut, r, sink, chosen, tiles):
        self.dut, self.r, self.sink, self.chosen, self.tiles = dut, r, sink, chosen, tiles
        self.passes = []

    async def serve(self):
        """Until FINISH."""
        lanes = {}
        while True:
            flit = Flit.from_bits((await self.sink.take(1))[0])
            assert flit.kind == FlitKind.PASS and flit.lo == 0 and flit.hi == CONDUCTOR - 1
            if flit.chan == PassWord.FINISH:
                return
            if flit.chan == PassWord.LANE:
                lanes[flit.lane] = (flit.data & 0xFFFFF, flit.data >> 20 & 0xFFFF, flit.data >> 36 & 0xFFFF)
            elif flit.chan == PassWord.START:
                await self.answer([lanes[i] for i in range((flit.data & 7) + 1)], flit.data >> 8 & 0xFF, flit.data >> 16 & 0xFFFF)
                lanes = {}

    async def answer(self, lanes, want, hwm):
        tokens, positions, slots = (list(v) for v in zip(*lanes))
        assert positions == slots == list(range(positions[0], positions[0] + len(lanes)))
        assert hwm == positions[-1] + 1
        wanted = [i for i in range(8) if want >> i & 1]
        self.passes.append((tokens, positions[0], wanted))
        flits = []
        for tile in range(self.tiles):
            for lane in wanted:
                best = tile == positions[lane] % self.tiles
                value = np.float32(9 if best else self.r.uniform(-9, 8))
                token = self.chosen[positions[lane]] if best else self.r.getrandbits(9)
                flits.append({"kind": FlitKind.CAND, "lo": CONDUCTOR, "hi": CONDUCTOR, "lane": lane,
                              "data": int(value.view(np.uint32)) | token << 32})
        self.r.shuffle(flits)
        for flit in flits:
            await tell(self.dut, **flit)
            await tell(self.dut, kind=FlitKind.SYNC, lo=0, hi=CONDUCTOR - 1, chan=self.r.randrange(8))  # other tiles' business
        for _ in range(self.tiles):
            await clock(self.dut, self.r.randrange(4))
            await tell(self.dut, kind=FlitKind.SYNC, lo=CONDUCTOR, hi=CONDUCTOR)


async def generation(dut, r, sinks, *, prompt, limit, context=100, end=None, all_logits=False, tiles=3):
    chosen = [r.getrandbits(9) for _ in range(120)]
    if end is not None:
        chosen[end] = 511
    for at, token in enumerate(prompt):
        dut.prompt_write.value, dut.prompt_addr.value, dut.prompt_token.value = 1, at, token
        await clock(dut)
    dut.prompt_write.value = 0
    dut.tiles.value, dut.prompt_length.value, dut.token_limit.value, dut.context_limit.value = tiles, len(prompt), limit, context
    dut.end_token.value, dut.end_enable.value, dut.all_logits.value = 511, int(end is not None), int(all_logits)
    dut.start.value = 1
    await clock(dut)
    dut.start.value = 0
    tx, sink = sinks
    model = Tiles(dut, r, tx, chosen, tiles)
    served = cocotb.start_soon(model.serve())
    passes, tokens = plan(prompt, params()["lanes"], chosen, limit, context, 511 if end is not None else None, all_logits)
    got = [t & 0xFFFFF for t in await sink.take(len(tokens))]
    await served
    await clock(dut, 2)
    assert got == tokens
    assert model.passes == passes
    assert int(dut.done.value) == 1 and int(dut.busy.value) == 0
    assert int(dut.passes.value) == len(passes)
    assert 0 < int(dut.prefill_cycles.value) <= int(dut.cycles.value)
    return tokens


@BENCH.test()
async def generations_of_every_length(dut):
    await start(dut)
    r, sinks = rng("generations"), (Sink(dut, "tx"), Sink(dut, "tokens"))
    for length in (1, 2, 3, 4, 5, 9):
        await generation(dut, r, sinks, prompt=[r.getrandbits(20) for _ in range(length)], limit=r.randrange(1, 7))


@BENCH.test()
async def endings(dut):
    await start(dut)
    r, sinks = rng("endings"), (Sink(dut, "tx"), Sink(dut, "tokens"))
    prompt = [5, 6, 7]
    assert len(await generation(dut, r, sinks, prompt=prompt, limit=30, end=6)) == 5, "cut at the end token, which is emitted"
    assert int(dut.full.value) == 0
    assert len(await generation(dut, r, sinks, prompt=prompt, limit=30, context=8)) == 6, "cut at the end of the context"
    assert int(dut.full.value) == 1
    assert len(await generation(dut, r, sinks, prompt=prompt, limit=4, all_logits=True, tiles=1)) == 4


@BENCH.test()
async def abort_ends_after_the_pass(dut):
    await start(dut)
    r, tx, sink = rng("abort"), Sink(dut, "tx"), Sink(dut, "tokens")
    dut.abort.value = 0
    dut.tiles.value, dut.prompt_length.value, dut.token_limit.value, dut.context_limit.value = 1, 1, 100, 100
    dut.start.value = 1
    await clock(dut)
    dut.start.value = 0
    model = Tiles(dut, r, tx, [7] * 120, 1)
    served = cocotb.start_soon(model.serve())
    await sink.take(3)
    dut.abort.value = 1
    await clock(dut)
    dut.abort.value = 0
    await served
    await clock(dut, 2)
    assert int(dut.done.value) == 1 and 3 <= len(model.passes) <= 6
