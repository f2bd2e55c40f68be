"""A tile alone on a ring of two stops: loading, passes, replies, and flits that are none of its business."""

import numpy as np

from hayate.rtl.contract.alu_ops import AluOp
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.encoding import DESCRIPTOR, Instr, Micro, encode, encode_micro
from hayate.rtl.contract.flits import CONDUCTOR, FlitKind, gather, pack_flit, spread, unpack_flit
from hayate.rtl.contract.isa import (
    BANK_SHIFT,
    ENTRY_WORDS,
    PRECISION_BIT,
    SECOND_BIT,
    STAGE_BIT,
    ASrc,
    Counter,
    Csr,
    FetchIndex,
    Mode,
    Op,
    PassWord,
    Rows,
    Space,
    WaitKind,
)
from hayate.rtl.contract.words import CANDIDATE, COMMIT, LANE, PASS_ADDRESS, START
from hayate.rtl.memory.bank import macro_text
from hayate.sim.machine.sim_top import TILE
from hayate.sim.machine.texts import tile_text
from hayate.verif.bench import TEXTS, Bench, rng
from hayate.verif.bench.reset import alone

CONFIG = load_config("unit", ["tiles=1"])
STOP = 7  # physical number; the tile's logical index is 0
CAUSES = [c for c in Counter if c <= Counter.IDLE]
BENCH = Bench(lambda: tile_text(CONFIG, TEXTS), name=TILE, sources=[macro_text()], optimize="-O0", timeout=900)


class Ring:
    """The rest of the ring: stop 0, which is the bench, and random stalls on both sides of the tile."""

    def __init__(self, dut, stall, lanes):
        import cocotb

        from hayate.verif.bench.drivers import Sink, Source

        self.source, self.sink = Source(dut, "ring_in", pause=stall), Sink(dut, "ring_out", stall=stall)
        self.dut, self.lanes = dut, lanes
        self.sent, self.returned, self.seen = [], [], []  # ours, ours come back, the tile's
        # (slot, position) of the last pass, and what of it the next one finds in the text
        self.nodes, self.accepted = ([], [])
        cocotb.start_soon(self._turn())

    def send(self, **fields):
        self.sent.append(pack_flit(self.lanes, **fields))
        self.source.put(self.sent[-1])

    def load(self, space, addr, data, stop=STOP):
        self.send(kind=FlitKind.LOAD, lo=stop, hi=stop, chan=space, addr=addr, data=data)

    def record(self, record):
        """A record of the loader, for a tile that is not at the ring stop where the loader takes it to be."""
        of_stop = (
            record.space == Space.CSR
            and record.addr & (1 << SECOND_BIT) - 1 == Csr.GROUP_END
            and record.addr < 1 << PRECISION_BIT
        )
        self.load(record.space, record.addr, STOP if of_stop else record.data)

    def load_wide(self, space, index, word):
        words = ENTRY_WORDS[space]
        for n in range(words):
            self.load(space, words * index + n, word >> 64 * n & (1 << 64) - 1)

    def control(self, word, lane=0, data=0):
        at = PASS_ADDRESS.pack(lane=lane)
        self.send(kind=FlitKind.PASS, hi=CONDUCTOR - 1, chan=word, addr=at, data=data)

    def start_pass(
        self, tokens, positions, slots, hwm, wanted, measure=0, counted=(), ancestors=None, draft=0, sample=0
    ):
        """A pass, as `Tile.run_pass` of the golden model says; all of it becomes part of the text, unless `commit` says
        otherwise.
        """
        for slot, position in self.accepted:
            self.control(PassWord.COMMIT, data=COMMIT.pack(position=position, slot=slot))
        self.nodes = self.accepted = list(zip(slots, positions))
        for lane, (token, position, slot) in enumerate(zip(tokens, positions, slots)):
            sees = ancestors[lane] if ancestors else (2 << lane) - 1
            self.control(PassWord.LANE, lane, LANE.pack(token=token, position=position, slot=slot, ancestors=sees))
        want, count = (sum(1 << w for w in which) for which in (wanted, counted))
        self.control(
            PassWord.START,
            data=START.pack(
                last=len(tokens) - 1, measure=measure, draft=draft, sample=sample, want=want, hwm=hwm, counted=count
            ),
        )

    def start_second(self, tokens, positions, wanted, sample=0):
        """A pass of the second model, in front of which come the COMMITs of the pass before it."""
        for slot, position in self.accepted:
            self.control(PassWord.COMMIT, data=COMMIT.pack(position=position, slot=slot))
        self.accepted = []
        for lane, (token, position) in enumerate(zip(tokens, positions)):
            self.control(
                PassWord.LANE,
                lane,
                LANE.pack(token=token, position=position, slot=position, ancestors=1 << lane, second=1),
            )
        want = sum(1 << w for w in wanted)
        self.control(
            PassWord.START,
            data=START.pack(last=len(tokens) - 1, sample=sample, second=1, want=want, hwm=positions[-1] + 1),
        )

    def commit(self, nodes):
        """Of the last pass, these positions become part of the text."""
        self.accepted = [self.nodes[n] for n in nodes]

    async def until(self, **fields):
        """Wait for a flit of the tile with these fields; the flits up to it, taken out."""
        from hayate.verif.bench.drivers import clock

        while True:
            for n, flit in enumerate(self.seen):
                if fields.items() <= flit.items():
                    found, self.seen = self.seen[: n + 1], self.seen[n + 1 :]
                    return found
            await clock(self.dut, 3)

    async def end_of_pass(self):
        return await self.until(kind=FlitKind.SYNC, lo=CONDUCTOR)

    async def counter(self, counter):
        self.send(kind=FlitKind.READ, lo=STOP, hi=STOP, chan=Space.COUNTER, addr=counter)
        flits = await self.until(kind=FlitKind.READ)
        assert [flits[-1][k] for k in ("lo", "hi", "chan", "addr")] == [CONDUCTOR, CONDUCTOR, Space.COUNTER, counter]
        return flits[-1]["data"]

    async def _turn(self):
        while True:
            (word,) = await self.sink.take(1)
            flit = unpack_flit(word, self.lanes)
            if flit["src"] == 0:
                self.returned.append(word)
            else:
                assert flit["src"] == STOP
                self.seen.append(flit)
                self.source.put(word)  # through stop 0, and back to the tile, which takes it off the ring


def candidates(flits, second=0):
    """Position -> (FP32 bits, token) of the CAND flits; second: of those behind the best."""
    return {
        lane: tuple(CANDIDATE.unpack(word).values())
        for f in flits
        if (f["kind"], f["addr"]) == (FlitKind.CAND, second)
        for lane, word in gather(f["mask"], f["data"]).items()
    }


async def begin(dut, stall=0.25, lanes=CONFIG.lanes):
    from hayate.verif.bench.drivers import start

    await start(dut, stop_id=STOP)
    return Ring(dut, stall, lanes)


def load_model(ring, config=CONFIG, filters=False):
    """A compiled model into the tile; the image and its placement."""
    from hayate.compiler import place
    from hayate.verif.system.checks import image

    placement = place(image(), config, filters=filters)
    for record in placement.loads(kv=False):
        ring.record(record)
    return image(), placement


def trace(dut, lanes=CONFIG.lanes):
    """List that fills with (row, mask, values) as the trace port shows them."""
    import cocotb
    from cocotb.triggers import RisingEdge

    rows = []

    async def watch():
        while True:
            await RisingEdge(dut.clk)
            if int(dut.trace__valid.value):
                values = [int(getattr(dut, f"trace__values__{lane}").value) for lane in range(lanes)]
                rows.append((int(dut.trace__row.value), int(dut.trace__mask.value), values))
            assert not int(dut.fault.value)

    cocotb.start_soon(watch())
    return rows


#: tokens, positions, slots, high-water mark, wanted logits: slots in any order, one position, no logits.
PASSES = [
    ([7, 3], [0, 1], [1, 0], 2, [0, 1]),
    ([41, 1], [2, 3], [3, 2], 4, []),
    ([5], [4], [4], 5, [0]),
    ([19, 22], [5, 6], [6, 5], 7, [1]),
]


@BENCH.test(sims=("verilator",))
async def passes_equal_golden(dut):
    """Candidates and traced logits of a whole model, with loads for other stops in between. Resets in the middle of the
    first pass come before: a model that was loaded stays loaded.
    """
    from hayate.golden.tile.sequencer import Tile as Golden
    from hayate.verif.bench.drivers import clock

    generator, model = rng("noise"), None

    async def cut_off():
        nonlocal model, placement
        ring = await begin(dut)
        trace(dut)
        if model is None:
            model, placement = load_model(ring)
        await ring.source.drained()
        ring.start_pass(*PASSES[0])
        await ring.source.drained()
        await clock(dut, generator.randrange(100, 2500))
        assert not [flit for flit in ring.seen if (flit["kind"], flit["lo"]) == (FlitKind.SYNC, CONDUCTOR)], (
            "the pass had already ended"
        )

    placement = None
    for _ in range(3):
        await alone(cut_off())
    ring = await begin(dut)
    rows = trace(dut)
    golden = Golden(model, lanes=CONFIG.lanes, slots=placement.slots)
    for tokens, positions, slots, hwm, wanted in PASSES:
        for space in (Space.BANK, Space.PROGRAM, Space.MICRO, Space.DESC, Space.CSR, Space.VMEM):
            ring.load(
                space, generator.randrange(8), generator.getrandbits(64), stop=generator.choice([1, STOP - 1, STOP + 1])
            )
        await ring.source.drained()
        ring.start_pass(tokens, positions, slots, hwm, wanted)
        flits = await ring.end_of_pass()
        logits = golden.run_pass(tokens, positions, slots, hwm=hwm, wanted=wanted)
        best = [int(np.argmax(row)) for row in logits]
        assert candidates(flits) == {w: (int(row.view(np.uint32)[at]), at) for w, row, at in zip(wanted, logits, best)}
        if wanted:
            assert [row for row, _, _ in rows] == list(range(model.model["vocab"]))
            assert {mask for _, mask, _ in rows} == {sum(1 << w for w in wanted)}
            assert [[values[w] for _, _, values in rows] for w in wanted] == logits.view(np.uint32).tolist()
        else:
            assert rows == []
        rows.clear()
    assert ring.returned == ring.sent, "what is sent comes back, in order"


@BENCH.test(sims=("verilator",))
async def counters_are_read(dut):
    """BEGIN clears, FINISH stops; in between, every cycle has one cause, however the ring stalls."""
    import cocotb
    from cocotb.triggers import RisingEdge

    ring = await begin(dut, stall=0.1)
    model, _ = load_model(ring)
    arrivals = []

    async def watch():
        cycle = 0
        while True:
            await RisingEdge(dut.clk)
            cycle += 1
            if int(dut.ring_in__valid.value) and int(dut.ring_in__ready.value):
                flit = unpack_flit(int(dut.ring_in__payload.value), CONFIG.lanes)
                if flit["kind"] == FlitKind.PASS and flit["chan"] in (PassWord.BEGIN, PassWord.FINISH):
                    arrivals.append(cycle)

    cocotb.start_soon(watch())
    for round_ in range(2):  # the second one starts from zero again
        ring.control(PassWord.BEGIN)
        for tokens, positions, slots, hwm, wanted in PASSES[: 1 + round_]:
            ring.start_pass(tokens, positions, slots, hwm, wanted)
            await ring.end_of_pass()
        ring.control(PassWord.FINISH)
        counters = {counter: await ring.counter(counter) for counter in Counter}
        assert sum(counters[c] for c in CAUSES) == arrivals[-1] - arrivals[-2]
        assert counters[Counter.WEIGHT] and counters[Counter.IDLE] and counters[Counter.FETCH]
        assert [counters[c] for c in (Counter.SATURATED, Counter.ECC_CORRECTED, Counter.ECC_FATAL, Counter.PARITY)] == [
            0
        ] * 4
        shape = model.model
        kv = sum(
            shape["layers"] * shape["kv_heads"] * shape["head_dim"] * (hwm / 4 + -(-hwm // 4))
            for *_, hwm, _ in PASSES[: 1 + round_]
        )
        assert counters[Counter.USEFUL_KV] == kv


WORDS, ROWS, AT, STAGE, SEND, S_OUT = 5, 6, 40, 6, 3, 2
PROGRAM = [
    Instr(Op.FETCH, {"desc": 2, "index": FetchIndex.TOKEN, "stage": STAGE, "chan": 6}),
    Instr(Op.V_WAIT, {"chan": 6, "kind": WaitKind.LANES, "count": 1}),
    Instr(
        Op.RUN,
        {
            "desc": 2,
            "routine": 1,
            "length": 1,
            "rows": Rows.IMM,
            "count": 4 * WORDS,
            "vl": 8,
            "send": 1,
            "send_base": SEND,
        },
    ),
    Instr(Op.SENDSUM, {"chan": 1}),
    Instr(Op.M_WAIT, {"chan": 0, "kind": WaitKind.ALL, "count": 1}),
    Instr(Op.V_WAIT, {"chan": 1, "kind": WaitKind.ALL, "count": 1}),
    Instr(Op.RUN, {"desc": 2, "routine": 3, "length": 1, "rows": Rows.IMM, "count": 1, "vl": 1}),
    Instr(Op.SENDCAND),
    Instr(Op.END),
]
MICROS = {
    1: Micro(AluOp.MOV, a=STAGE, a_src=ASrc.STAGE, a_mode=Mode.STREAM, d=16, d_vm=1, d_mode=0, d_send=1, d_square=1),
    3: Micro(AluOp.MOV, a=0, a_src=ASrc.SUM, d=0, d_vm=1),  # reading the sum empties it
}


@BENCH.test()
async def a_program_of_its_own(dut):
    """Rows of a table, converted and summed: every flit that the program puts on the ring, in the order of each source
    of them.
    """
    ring = await begin(dut)
    generator = np.random.default_rng(rng("table").getrandbits(32))
    table = generator.normal(0, 30, (ROWS, 4 * WORDS)).astype(np.float16)
    for row, words in enumerate(table.view(np.uint64)):
        for w, word in enumerate(words):
            bank, address = row % CONFIG.banks, AT + row // CONFIG.banks * WORDS + w
            ring.load(Space.BANK, bank << BANK_SHIFT | address, int(word))
    for register in Csr:
        ring.load(
            Space.CSR,
            register,
            int(register in (Csr.TILE_COUNT, Csr.GROUP_SIZE, Csr.LOCAL_HEADS, Csr.ATT_SENDERS, Csr.GROUP)),
        )
    ring.load_wide(Space.DESC, 2, DESCRIPTOR.pack(base=AT, words=WORDS, rows=ROWS, s_out=S_OUT))
    for index, instruction in enumerate(PROGRAM):
        ring.load_wide(Space.PROGRAM, index, encode(instruction))
    for index, micro in MICROS.items():
        ring.load_wide(Space.MICRO, index, encode_micro(micro))

    for tokens in ([4, 1], [5], [0, 0], [3, 2]):
        await ring.source.drained()
        ring.start_pass(tokens, range(len(tokens)), range(len(tokens)), len(tokens), [])
        flits = await ring.end_of_pass()
        of = {kind: [f for f in flits if f["kind"] == kind] for kind in FlitKind}
        # A row is sent once, to all positions that name it, as whole flits of words; behind its last word anything.
        fetched, lanes = [f for f in of[FlitKind.DATA] if f["addr"] >> STAGE_BIT], CONFIG.lanes
        expected = [
            (sum(1 << lane for lane, other in enumerate(tokens) if other == token), STAGE + first, first, token)
            for token in dict.fromkeys(tokens)
            for first in range(0, WORDS, lanes)
        ]
        assert [(f["mask"], f["addr"] - (1 << STAGE_BIT)) for f in fetched] == [e[:2] for e in expected]
        for f, (_, _, first, token) in zip(fetched, expected):
            words = table[token].view(np.uint64)[first : first + lanes].tolist()
            assert list(gather((1 << lanes) - 1, f["data"]).values())[: len(words)] == words
        # Results of all positions share a flit; so do their sums.
        halves = (table[list(tokens)].astype(np.float32) * 2.0**-S_OUT).astype(np.float16)
        sent = [f for f in of[FlitKind.DATA] if not f["addr"] >> STAGE_BIT]
        assert [(f["addr"], f["mask"], f["data"]) for f in sent] == [
            (SEND + q, *spread(dict(enumerate(words.tolist()))).values())
            for q, words in enumerate(halves.view(np.uint64).T)
        ]
        totals = [sum(int(float(h) * 2**24) ** 2 for h in row) for row in halves]
        low, high = of[FlitKind.SUM]
        assert (low["addr"], high["addr"], low["mask"], high["mask"]) == (0, 1, *[(1 << len(tokens)) - 1] * 2)
        pairs = [gather(f["mask"], f["data"]) for f in (low, high)]
        assert [pairs[1][k] << 64 | pairs[0][k] for k in range(len(tokens))] == totals
        assert [f["chan"] for f in of[FlitKind.SYNC]] == [6] * len(tokens) + [0, 1, 0] and not of[FlitKind.CAND]
        assert all((f["lo"], f["hi"]) == (0, 0) for f in flits if f["kind"] in (FlitKind.DATA, FlitKind.SUM))
    assert ring.returned == ring.sent
