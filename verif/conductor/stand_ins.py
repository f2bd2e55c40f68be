"""What stands in for tiles in the conductor's bench: for the golden tile, and for those on the ring."""

from types import SimpleNamespace

import numpy as np
from cocotb.utils import get_sim_time

from hayate.golden.conductor.utility import Utility
from hayate.golden.tile.sequencer import steps
from hayate.rtl.contract.flits import CONDUCTOR, WORD_BITS, FlitKind, pack_flit, spread
from hayate.rtl.contract.isa import ENERGY_BIT, PRECISION_BIT, PassWord, Space
from hayate.rtl.contract.topology import stop_of
from hayate.rtl.contract.words import CANDIDATE, PASS_ADDRESS
from hayate.rtl.ring.flit import Flit
from hayate.verif.bench import params, rng
from hayate.verif.bench.drivers import clock

RING_TILES = 3
SECOND = "second"  # instead of whether a pass drafts: it is the second model's
BEST = np.float32(9)  # value of what is chosen
BETTER = CANDIDATE.pack(value=int(np.float32(10).view(np.uint32)))  # what nobody may take for a candidate


class Choices:
    """Stands in for the golden tile: what is chosen depends on the position alone, and in a draft pass differs now and
    then.

    `passes`: [(nodes, wanted, draft, commits before it, high-water mark)] with nodes (token, position, slot,
    ancestors). `measured`: of each, whether it measures and what counts.
    """

    def __init__(self, chosen, drafted, seconds):
        self._chosen, self._drafted, self._seconds, self._commits = chosen, drafted, seconds, []
        self.passes, self.measured = [], []

    def run_pass(
        self,
        tokens,
        positions,
        slots,
        *,
        hwm,
        wanted,
        ancestors=None,
        draft=False,
        commit=True,
        measure=False,
        counted=(),
    ):
        ancestors = ancestors or [(2 << i) - 1 for i in range(len(tokens))]
        self._nodes = list(zip(tokens, map(int, positions), slots, ancestors))
        self.passes.append((self._nodes, list(wanted), draft, self.commits(), hwm))
        self.measured.append((measure, measure * sum(1 << n for n in counted)))
        if commit:
            self.commit(range(len(tokens)))
        self._choices = [(self._drafted if draft else self._chosen)[positions[w]] for w in wanted]
        return np.zeros((len(wanted), 0), np.float32)

    def choices(self):
        return self._choices

    def second(self):
        token, value = self._seconds[self._nodes[0][1]]
        return token, steps(BEST) - steps(value)

    def commit(self, nodes):
        self._commits += [self._nodes[n][1:3] for n in nodes]

    def commits(self):
        """What the next pass announces."""
        told, self._commits = self._commits, []
        return told


class Second:
    """Stands in for the golden tile of the second model, whose slots are positions; its passes stand among those of
    `first`.
    """

    def __init__(self, first, drafted, lanes):
        self._first, self._drafted = first, drafted
        self.state = SimpleNamespace(lanes=lanes, reset=lambda: None, draw=lambda scale, seed: None)

    def run_pass(self, tokens, positions, slots, *, hwm, wanted):
        nodes = [(token, at, slot, 1 << lane) for lane, (token, at, slot) in enumerate(zip(tokens, positions, slots))]
        self._first.passes.append((nodes, list(wanted), SECOND, self._first.commits(), hwm))
        self._first.measured.append((0, 0))
        self._choices = [self._drafted[positions[w]] for w in wanted]

    def choices(self):
        return self._choices


class Noted(Utility):
    """Keeps its plans: (nodes, shadow)."""

    def begin(self):
        super().begin()
        self.plans = []

    def plan(self, room):
        self.plans.append(super().plan(room))
        return self.plans[-1]


async def tell(dut, **fields):
    """One flit, as wide as the bench's machine."""
    dut.ring__rx__valid.value, dut.ring__rx__payload.value = 1, pack_flit(params()["lanes"], **fields)
    await clock(dut)
    dut.ring__rx__valid.value = 0


def merged(r, words):
    """Words of flits that between them have these, {lane: [word]}: each for any of the lanes that are left, or for all
    of them.
    """
    left = {lane: list(some) for lane, some in words.items() if some}
    while left:
        taken = r.sample(sorted(left), r.choice([len(left), r.randint(1, len(left))]))
        yield {lane: left[lane].pop() for lane in taken}
        left = {lane: some for lane, some in left.items() if some}


def among_others(r, words, lanes):
    """`mask` and `data` of a flit with these words, by lane, and anything in the other lanes."""
    others = {lane: r.getrandbits(WORD_BITS) for lane in range(lanes)}
    return spread(words) | {"data": spread(others | words)["data"]}


class Tiles:
    """Model of the tiles: takes a pass's flits, answers with candidates whose best is `chosen[position]`, then SYNCs.

    `passes`: as in `Plan`, and (measure, counted) of each in `energies`. `told`: (passes before it, planes descriptor,
    format). Every tile answers every question about an energy, whether it takes part in passes or not: with its kind
    plus 1.
    """

    def __init__(self, dut, r, sink, chosen, drafted, seconds, tiles, pause=0):
        self.dut, self.r, self.sink, self.chosen, self.drafted, self.tiles, self.pause = (
            dut,
            r,
            sink,
            chosen,
            drafted,
            tiles,
            pause,
        )
        self.others = rng("others")  # of words that nobody looks at: what they are changes nothing else
        self.seconds = seconds  # of each position in a pass that drafts: (token, value)
        self.passes, self.energies, self.told = [], [], []
        self.draws = []  # what passes say of sampling, the seed first
        # LANEs without START; passes that are answered; when the last one was
        self.lanes, self.answers, self.answered = ({}, 0, 0)

    async def serve(self):
        """Until FINISH."""
        commits, second = [], set()
        while True:
            flit = Flit.from_bits((await self.sink.take(1))[0])
            if flit.kind in (FlitKind.READ, FlitKind.LOAD):
                assert (flit.lo, flit.hi) == (1, CONDUCTOR - 1)
                await self.govern(flit)
                continue
            assert flit.kind == FlitKind.PASS and flit.lo == 0 and flit.hi == CONDUCTOR - 1
            assert not flit.near and flit.addr >> PASS_ADDRESS.bits == 0
            token, position, slot, ancestors = (
                flit.data >> at & (1 << width) - 1 for at, width in ((0, 20), (20, 16), (36, 16), (52, 8))
            )
            if flit.chan == PassWord.FINISH:
                assert not self.lanes, "a pass that has been announced is started"
                return
            if flit.chan == PassWord.BEGIN:
                assert not self.draws and not self.passes
                self.draws.append(flit.data)
            if flit.chan == PassWord.COMMIT:
                assert not self.lanes, "what a pass leaves is announced before the next one"
                commits.append((position, slot))
            elif flit.chan == PassWord.LANE:
                self.lanes[PASS_ADDRESS.unpack(flit.addr)["lane"]] = (token, position, slot, ancestors)
                second.add(flit.data >> 60 & 1)
            elif flit.chan == PassWord.START:
                nodes = [self.lanes[i] for i in range((flit.data & 7) + 1)]
                assert len(self.lanes) == len(nodes)
                wanted = [i for i in range(8) if flit.data >> 8 + i & 1]
                draft = SECOND if flit.data >> 6 & 1 else bool(flit.data >> 4 & 1)
                assert second == {draft == SECOND} and not (draft == SECOND and flit.data >> 3 & 3)
                self.draws.append(flit.data >> 5 & 5)
                self.passes.append((nodes, wanted, draft, commits, flit.data >> 16 & 0xFFFF))
                self.energies.append((flit.data >> 3 & 1, flit.data >> 32))
                self.lanes, commits, second = {}, [], set()
                await self.answer(nodes, wanted, draft)

    async def govern(self, flit):
        if flit.kind == FlitKind.LOAD:
            assert flit.chan == Space.CSR and flit.addr >> PRECISION_BIT == 1
            self.told.append((len(self.passes), flit.addr & (1 << PRECISION_BIT) - 1, flit.data))
            self.answered = get_sim_time("ns")
            return
        assert flit.chan == Space.COUNTER and flit.addr >> ENERGY_BIT == 1
        prompt, read = int(self.dut.control__request__prompt_length.value), 1 + self.passes[-1][0][-1][1]
        measured = int(self.dut.control__request__measured.value)
        assert read == measured, "what measures is answered, nothing else announced"
        first = int(self.dut.control__statistics__prefill_cycles.value)
        assert bool(first) == (read == prompt), "the first token is out, if it comes of these"
        for tile in range(RING_TILES):
            await tell(
                self.dut,
                kind=FlitKind.READ,
                src=stop_of(tile),
                lo=CONDUCTOR,
                hi=CONDUCTOR,
                chan=Space.COUNTER,
                addr=flit.addr,
                **among_others(self.others, {0: 1 + (flit.addr & 3)}, params()["lanes"]),
            )

    async def answer(self, nodes, wanted, draft):
        """With a candidate of every tile for every wanted position, in a pass that drafts two of its only one; a flit
        has one of each of some positions.
        """
        words, chosen = {}, self.drafted if draft else self.chosen
        for lane in wanted:
            position = nodes[lane][1]
            best, most = [(chosen[position], BEST)], 8.0
            if draft is True:
                best.append(self.seconds[position])
                most = float(best[1][1]) - 0.01
            count = self.tiles * (2 if draft is True else 1) - len(best)
            others = [(self.r.getrandbits(9), np.float32(self.r.uniform(-9, most))) for _ in range(count)]
            words[lane] = [
                CANDIDATE.pack(value=int(value.view(np.uint32)), token=token) for token, value in best + others
            ]
            self.r.shuffle(words[lane])
        own, lanes = {"lo": CONDUCTOR, "hi": CONDUCTOR}, params()["lanes"]
        await clock(self.dut, self.pause)
        for some in merged(self.r, words):
            await tell(self.dut, kind=FlitKind.CAND, **own, **among_others(self.others, some, lanes))
            # other tiles' business, with what would be candidates
            noise = spread(dict.fromkeys(range(lanes), BETTER))
            await tell(self.dut, kind=FlitKind.SYNC, lo=0, hi=CONDUCTOR - 1, chan=self.r.randrange(8), **noise)
        for _ in range(self.tiles):
            await clock(self.dut, self.r.randrange(4))
            await tell(self.dut, kind=FlitKind.SYNC, **own)
        self.answers, self.answered = self.answers + 1, get_sim_time("ns")
