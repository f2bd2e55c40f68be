"""The conductor against the golden token loop, with a model of the tiles behind it: every pass, every token, every ending, and
when the governor runs."""

import random

import cocotb
import numpy as np

from hayate.rtl.conductor.conductor import Conductor
from hayate.rtl.contract.flits import CONDUCTOR, FlitKind
from hayate.rtl.contract.isa import ENERGY_BIT, PRECISION_BIT, Energy, PassWord, Space
from hayate.rtl.ring.flit import Flit
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import Sink, clock, start

RING_TILES = 3
BENCH = Bench(lambda lanes, max_matrices=8: Conductor(lanes=lanes, prompt_depth=16, ring_tiles=RING_TILES, max_matrices=max_matrices),
              params=[{"lanes": 4}, {"lanes": 2}, {"lanes": 1}, {"lanes": 2, "max_matrices": 0}])
GOVERNED = Bench(BENCH.make, params=BENCH.params[:3])


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
    """Model of the tiles: takes a pass's flits, answers with candidates whose best is `chosen[position]`, then SYNCs.

    `passes`: (tokens, first position, wanted, measure, counted). `told`: (passes before it, planes descriptor, format). Every tile answers
    every question about an energy, whether it takes part in passes or not: with its kind plus 1."""

    def __init__(self, dut, r, sink, chosen, tiles):
        self.dut, self.r, self.sink, self.chosen, self.tiles = dut, r, sink, chosen, tiles
        self.passes, self.told = [], []

    async def serve(self):
        """Until FINISH."""
        lanes = {}
        while True:
            flit = Flit.from_bits((await self.sink.take(1))[0])
            if flit.kind in (FlitKind.READ, FlitKind.LOAD):
                assert (flit.lo, flit.hi) == (1, CONDUCTOR - 1)
                await self.govern(flit)
                continue
            assert flit.kind == FlitKind.PASS and flit.lo == 0 and flit.hi == CONDUCTOR - 1
            if flit.chan == PassWord.FINISH:
                return
            if flit.chan == PassWord.LANE:
                lanes[flit.lane] = (flit.data & 0xFFFFF, flit.data >> 20 & 0xFFFF, flit.data >> 36 & 0xFFFF)
            elif flit.chan == PassWord.START:
                await self.answer([lanes[i] for i in range((flit.data & 7) + 1)], flit.data >> 8 & 0xFF, flit.data >> 16 & 0xFFFF,
                                  flit.data >> 3 & 31, flit.data >> 32)
                lanes = {}

    async def govern(self, flit):
        if flit.kind == FlitKind.LOAD:
            assert flit.chan == Space.CSR and flit.addr >> PRECISION_BIT == 1
            self.told.append((len(self.passes), flit.addr & 1023, flit.data))
            return
        assert flit.chan == Space.COUNTER and flit.addr >> ENERGY_BIT == 1
        assert int(self.dut.prefill_cycles.value), "the first token is out"
        for tile in range(RING_TILES):
            await tell(self.dut, kind=FlitKind.READ, src=tile + 1, lo=CONDUCTOR, hi=CONDUCTOR, chan=Space.COUNTER, addr=flit.addr,
                       data=1 + (flit.addr & 3))

    async def answer(self, lanes, want, hwm, measure, counted):
        tokens, positions, slots = (list(v) for v in zip(*lanes))
        assert positions == slots == list(range(positions[0], positions[0] + len(lanes)))
        assert hwm == positions[-1] + 1
        wanted = [i for i in range(8) if want >> i & 1]
        self.passes.append((tokens, positions[0], wanted, measure, counted))
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


async def generation(dut, r, sinks, *, prompt, limit, context=100, end=None, all_logits=False, tiles=3, matrices=()):
    """Run one; `matrices`: entries (planes descriptor, sens_err) of the governor's table, which is off when there are none."""
    chosen = [r.getrandbits(9) for _ in range(120)]
    if end is not None:
        chosen[end] = 511
    for at, token in enumerate(prompt):
        dut.prompt_write.value, dut.prompt_addr.value, dut.prompt_token.value = 1, at, token
        await clock(dut)
    dut.prompt_write.value = 0
    dut.tiles.value, dut.prompt_length.value, dut.token_limit.value, dut.context_limit.value = tiles, len(prompt), limit, context
    dut.end_token.value, dut.end_enable.value, dut.all_logits.value = 511, int(end is not None), int(all_logits)
    governor = params().get("max_matrices", 8) > 0
    if governor:
        dut.auto.value, dut.matrices.value, dut.knob.value = int(bool(matrices)), len(matrices), 1 << 16
    for addr, word in enumerate(word for planes, sensitivity in matrices for word in (planes, sensitivity)):
        dut.matrix_write.value, dut.matrix_addr.value, dut.matrix_data.value = 1, addr, word
        await clock(dut)
    if governor:
        dut.matrix_write.value = 0
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
    prefills = sum(first < len(prompt) for _, first, _ in passes)
    measured = [bool(matrices) and n < prefills for n in range(len(passes))]
    last = [1 << len(one[0]) - 1 if n == prefills - 1 else 0 for n, one in enumerate(passes)]
    assert model.passes == [(*one, on, on * count) for one, on, count in zip(passes, measured, last)]
    # INT8 when sensitivity * ERR > OUT, with 2 * RING_TILES and RING_TILES of them.
    assert model.told == [(prefills, planes, 1 if 2 * sensitivity > 1 else 2) for planes, sensitivity in matrices]
    if governor:
        assert bool(int(dut.governor_cycles.value)) == bool(matrices)
    for at in range(len(matrices)):
        for kind in Energy:
            dut.look.value, dut.look_matrix.value, dut.look_kind.value = 1, at, int(kind)
            await clock(dut)
            dut.look.value = 0
            await clock(dut, 3)
            assert int(dut.result.value) == RING_TILES * (1 + kind)
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


MATRICES = [(9, 1), (1023, 0), (4, 7)]


@GOVERNED.test()
async def the_governor_runs_once_behind_the_prompt(dut):
    await start(dut)
    r, sinks = rng("generations"), (Sink(dut, "tx"), Sink(dut, "tokens"))
    for length, limit, count in ((1, 4, 3), (9, 3, 2), (4, 1, 3), (5, 2, 0), (6, 5, 1)):  # with the first token the end, too; and off again
        await generation(dut, r, sinks, prompt=[r.getrandbits(20) for _ in range(length)], limit=limit, tiles=2, matrices=MATRICES[:count])
    await generation(dut, r, sinks, prompt=[1, 2], limit=9, context=2, matrices=MATRICES)
    assert int(dut.full.value) == 1


@GOVERNED.test()
async def its_cycles_are_counted_apart(dut):
    """A generation takes as long as without it, but for GOVERNOR_CYCLES."""
    await start(dut)
    sinks = (Sink(dut, "tx", stall=0), Sink(dut, "tokens", stall=0))
    cycles = []
    for matrices in ((), MATRICES):
        await generation(dut, random.Random(5), sinks, prompt=[1, 2, 3], limit=4, matrices=matrices)
        cycles.append(int(dut.cycles.value) - int(dut.governor_cycles.value))
    assert cycles[0] == cycles[1]
