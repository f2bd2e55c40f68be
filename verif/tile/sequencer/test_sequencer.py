"""The sequencer against direct evaluation of random programs: loops, skips, descriptors, addresses, waits, formats of
weights.
"""

import cocotb

from hayate.rtl.contract import layout
from hayate.rtl.contract.encoding import DESCRIPTOR, FORMATS, PLANES, Instr, encode
from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import (
    INDEX_BITS,
    PRECISION_BIT,
    SECOND_BIT,
    Csr,
    LoopReg,
    Op,
    PassWord,
    Space,
    WaitKind,
    When,
)
from hayate.rtl.contract.precision import Format
from hayate.rtl.contract.words import LANE, PASS_ADDRESS, START
from hayate.rtl.ring.flit import Flit
from hayate.rtl.tile.queues import Grids, PassState, TileState, VectorEntry, matrix_entry_layout
from hayate.rtl.tile.sequencer.registers import CSR_FIELDS
from hayate.rtl.tile.sequencer.sequencer import Sequencer
from hayate.verif.bench import Bench, cases, params, rng
from hayate.verif.bench.drivers import Sink, clock, start
from hayate.verif.bench.reset import resets
from hayate.verif.bench.tops import Tops
from hayate.verif.tile.loads import entry_flits
from hayate.verif.tile.sequencer.sequencer_golden import entries

WHOLE = 1 << INDEX_BITS  # entries of either memory, of which the program and the descriptors take a part at either end
BENCH = Bench(
    lambda lanes: Sequencer(lanes=lanes, program_depth=WHOLE, desc_depth=WHOLE, inject=True),
    params=[{"lanes": 1}, {"lanes": 4}, {"lanes": 8}],
)
OPTIONS = Bench(
    lambda **options: Sequencer(**options, program_depth=WHOLE, desc_depth=WHOLE, inject=True),
    params=[{"lanes": 2, "nested": False, "governor": False, "sampling": False}, {"lanes": 1, "governor": False}],
)
ENGINE_OPS = [
    Op.M_WAIT,
    Op.GEMV,
    Op.FETCH,
    Op.KVW,
    Op.V_WAIT,
    Op.RUN,
    Op.SENDSUM,
    Op.SENDMAX,
    Op.SENDCAND,
    Op.SENDCOUNT,
    Op.SELECT,
]
LIMITS = {"desc": 8, "dstep": 6, "kind": 5, "block": 3, "cast": 3, "index": 3}
PRIMARY = 14  # descriptors that `LIMITS` and two layers can reach; planes descriptors lie behind them
SOME = 32  # descriptors, from 0 on or the last ones
#: Whose top bit would take too many steps of a program, or steps of a descriptor's index beyond the last one.
LOW = {
    "LOOP.count",
    "LOOP.skip",
    "SKIP.offset",
    "GEMV.dstep",
    "KVW.dstep",
    "RUN.dstep",
    "tile.heads",
    "vector.round",
    "GEMV.rows",
}


async def flit(dut, **fields):
    dut.rx_valid.value, dut.rx.value = 1, Flit.const(fields).as_bits()
    await clock(dut)
    dut.rx_valid.value = 0


def random_instr(r, op, first):
    """first: descriptor from which on there are some."""
    args, all_largest = {}, r.random() < 0.3
    for name, (_, width) in FORMATS[op].items():
        if name != "op":
            limit = LIMITS.get(name, 1 << width)
            args[name] = (limit - 1 if all_largest else r.randrange(limit)) + (first if name == "desc" else 0)
    if "rows" in args:
        args["rows"] = r.choice([0, 1] if op == Op.GEMV else [0, 1, 2])
    if "kind" in args:
        args["kind"] = r.choice([args["kind"], WaitKind.ALL])
    if "kv" in args:
        args["kv"] = int(r.random() < 0.2)
    return Instr(op, args)


def random_program(r, first):
    """Three nested loops with engine instructions in and between them, a loop over heads that may be empty, a skip."""
    ops = [*ENGINE_OPS, *[Op.GEMV] * 4, *[Op.RUN] * 2, Op.M_WAIT, Op.V_WAIT, Op.FETCH]
    some = lambda: [random_instr(r, r.choice(ops), first) for _ in range(r.randrange(1, 4))]  # noqa: E731
    inner = [*some(), random_instr(r, Op.RUN, first)]
    inner[-1].args["slide"] |= 1 << 11
    middle = [
        *some(),
        Instr(Op.LOOP, {"reg": LoopReg.J, "kind": r.choice([0, 2]), "count": 2, "skip": len(inner) + 2}),
        *inner,
        Instr(Op.ENDLOOP, {"reg": LoopReg.J}),
    ]
    chunks = [
        Instr(Op.LOOP, {"reg": LoopReg.CHUNK, "kind": 3, "skip": len(middle) + 2}),
        *middle,
        Instr(Op.ENDLOOP, {"reg": LoopReg.CHUNK}),
    ]
    middle = r.choice([middle, chunks])
    outer = [
        *some(),
        Instr(Op.LOOP, {"reg": LoopReg.HEAD, "kind": 1, "skip": len(middle) + 2}),
        *middle,
        Instr(Op.ENDLOOP, {"reg": LoopReg.HEAD}),
    ]
    skipped = some()
    return [
        Instr(Op.LOOP, {"reg": LoopReg.LAYER, "count": 2, "skip": len(outer) + 2}),
        *outer,
        Instr(Op.ENDLOOP, {"reg": LoopReg.LAYER}),
        Instr(Op.SKIP, {"offset": len(skipped) + 1, "when": r.choice(list(When))}),
        *skipped,
        *some(),
        Instr(Op.END),
    ]


def random_tile(r):
    tiles, kv_heads, group = r.choice([(1, 2, 3), (4, 2, 4), (3, 2, 1), (2, 8, 2), (3, 1, 16)])
    index = r.randrange(tiles)
    a = layout.attention(kv_heads, tiles, index)
    return {
        "index": index,
        "count": tiles,
        "group_lo": a.group_lo,
        "group_hi": a.group_hi,
        "group_size": a.group_size,
        "group_index": a.group_index,
        "heads": r.choice([a.heads, 0]),
        "head0": a.head0,
        "att_senders": max(tiles, kv_heads),
        "group": group,
        "hdq": 4,
        "rounds_log2": r.randrange(3),
        "top_k": r.choice([0, 0, 1, 64]),
        "min_p": r.randrange(2),
        "entry": 0,
        "group_end": r.randrange(256),
        **r.choice([{}, large(r)]),
    }


def large(r):
    """Places and sizes of any size, whether a chip could have them or not."""
    size = r.choice([1, r.randrange(1, 256), 255])
    return {
        "group_size": size,
        "group_index": r.choice([r.randrange(size), size - 1]),
        "group": r.randrange(32),
        "hdq": r.randrange(1, 256),
        "count": r.randrange(192, 256),
        "att_senders": r.randrange(256),
        "index": r.choice([r.randrange(256), r.randrange(128, 256)]),
        **{name: r.randrange(256) for name in ("group_lo", "group_hi", "head0")},
    }


def random_fields(r, layout_):
    """Small, of any size, or in the upper half."""
    return {
        name: r.choice([r.getrandbits(min(width, 8)), r.getrandbits(width), r.getrandbits(width) | 1 << width - 1])
        for name, (_, width) in layout_.items()
    }


def random_descriptors(r, first):
    """By index, from `first` on: primary ones, most of them with planes, then planes."""
    primary = [
        random_fields(r, DESCRIPTOR.places)
        | {
            "rows": 4 * r.choice([r.randrange(20), r.randrange(1 << 15, 1 << 16)]),
            "s_in": r.randrange(-20, 20),
            "s_out": r.randrange(-20, 20),
            "alt": r.choice([0, *[first + r.randrange(PRIMARY, SOME)] * 3]),
        }
        for _ in range(PRIMARY)
    ]
    return dict(enumerate(primary + [random_fields(r, PLANES.places) for _ in range(PRIMARY, SOME)], first))


def random_table(r, first):
    """Some entries of the precision table."""
    return {first + index: r.choice(list(Format)) for index in r.sample(range(PRIMARY, SOME), 12)}


async def write_table(dut, table):
    for index, fmt in table.items():
        await flit(dut, kind=FlitKind.LOAD, chan=Space.CSR, addr=1 << PRECISION_BIT | index, data=int(fmt))


async def start_pass(dut, positions=1, want=0, hwm=1, measure=0, draft=0, sample=0, second=0, counted=0):
    data = START.pack(
        last=positions - 1,
        measure=measure,
        draft=draft,
        sample=sample,
        second=second,
        want=want,
        hwm=hwm,
        counted=counted,
    )
    await flit(dut, kind=FlitKind.PASS, chan=PassWord.START, data=data)
    await clock(dut)


async def ended(dut):
    for _ in range(40):
        if not int(dut.running.value):
            return
        await clock(dut)
    raise AssertionError("the pass does not end")


async def load(dut, program, descriptors, tile, second=None):
    """Memories, by index, and registers; second: registers of the second model."""
    packed = {n: (PLANES if "pitch" in d else DESCRIPTOR).pack(**d) for n, d in descriptors.items()}
    for space, words in ((Space.PROGRAM, {n: encode(i) for n, i in program.items()}), (Space.DESC, packed)):
        for n, word in words.items():
            for fields_ in entry_flits(space, n, word):
                await flit(dut, **fields_)
    for csr in Csr:
        await flit(dut, kind=FlitKind.LOAD, chan=Space.CSR, addr=int(csr), data=tile[CSR_FIELDS[csr]])
        if second:
            await flit(
                dut, kind=FlitKind.LOAD, chan=Space.CSR, addr=int(csr) | 1 << SECOND_BIT, data=second[CSR_FIELDS[csr]]
            )


def check(got, want, layout_):
    assert len(got) == len(want), f"{len(got)} entries, not {len(want)}"
    for bits, expected in zip(got, want):
        entry = layout_.from_bits(bits)
        for name, value in expected.items():
            field = layout_[name]
            wanted = field.shape.const(value) if isinstance(value, dict) else value & (1 << field.width) - 1
            assert entry[name] == wanted, f"{Op(expected['op']).name}.{name}: {entry[name]}, not {value}"


@BENCH.test()
@resets(within=1200)
async def random_programs(dut):
    await run_programs(dut)


@OPTIONS.test()
@resets(within=1200)
async def random_programs_without_a_governor(dut):
    """Nothing measures, whatever the passes say; and without planes every matrix is read in FP16."""
    await run_programs(dut)


async def run_programs(dut):
    nested, governor = params().get("nested", True), params().get("governor", True)
    layout_ = matrix_entry_layout(nested, governor)
    lanes = params()["lanes"]
    await start(dut)
    r = rng("programs")
    matrix, vector = Sink(dut, "matrix"), Sink(dut, "vector")
    table, seen, tops = (
        {first + n: Format.FP16 for first in (0, WHOLE - SOME) for n in range(PRIMARY, SOME)},
        set(),
        Tops(),
    )
    await write_table(dut, table)
    for trial in range(cases(16, icarus=3)):
        first = trial % 2 * (WHOLE - SOME)
        programs, descriptors = [random_program(r, first) for _ in range(2)], random_descriptors(r, first)
        tiles = [random_tile(r) for _ in range(2)]
        if not params().get("sampling", True):
            tiles[0] |= {"top_k": 0, "min_p": 0}
        tiles[1] |= {name: tiles[0][name] for name in ("index", "count", "top_k", "min_p")}
        tiles[1]["entry"] = WHOLE - len(programs[1])
        tiles[0]["entry"] = trial % 2 * r.randrange(WHOLE // 2, tiles[1]["entry"] - len(programs[0]))
        placed = {tile["entry"] + n: i for tile, program in zip(tiles, programs) for n, i in enumerate(program)}
        await load(dut, placed, descriptors, *tiles)
        for measure, draft in r.choices([(0, 0), (0, 1), (1, 0)], k=4):
            second = r.choice([0, 0, 1]) if lanes > 1 else 0
            draft &= lanes > 1  # one lane drafts nothing
            program, tile = programs[second], tiles[second]
            pass_ = {
                "positions": r.randrange(1, lanes + 1),
                "want": r.choice([0, r.getrandbits(8)]),
                "counted": r.getrandbits(8),
                "hwm": r.choice([r.randrange(1, 200), r.randrange(1 << 15, 1 << 16)]),
                "measure": measure,
                "draft": draft,
                "sample": r.choice([0, 1]),
                "second": second,
            }
            for lane in range(lanes):
                token, pos, slot = r.getrandbits(20), r.getrandbits(16), r.getrandbits(16)
                await flit(
                    dut,
                    kind=FlitKind.PASS,
                    chan=PassWord.LANE,
                    addr=PASS_ADDRESS.pack(lane=lane),
                    data=LANE.pack(token=token, position=pos, slot=slot, second=second),
                )
                # no business of this one
                await flit(dut, kind=FlitKind.PASS, chan=PassWord.COMMIT, addr=lane, data=r.getrandbits(64))
            await start_pass(dut, **pass_)
            known = descriptors if nested else {n: {**d, "alt": 0} for n, d in descriptors.items()}
            if not params().get("sampling", True):
                pass_["sample"] = 0
            want_m, want_v = entries(program, known, tile, pass_ if governor else {**pass_, "measure": 0}, lanes, table)
            both = cocotb.start_soon(matrix.take(len(want_m))), cocotb.start_soon(vector.take(len(want_v)))
            got_m, got_v = await both[0], await both[1]
            await ended(dut)
            assert int(dut.parity.value) == 0
            check(got_m, [{name: e[name] for name in e if name in layout_.members} for e in want_m], layout_)
            check(got_v, want_v, VectorEntry)
            assert TileState.from_bits(int(dut.current__tile.value)).as_bits() == TileState.const(tile).as_bits()
            assert PassState.from_bits(int(dut.current__state.value)).as_bits() == PassState.const(pass_).as_bits()
            seen |= {(e["format"], e["measure"], e["dual"], draft) for e in want_m if e.get("planes")}
            for name, fields_, values in [
                *((i.op.name, FORMATS[i.op], {"op": i.op, **i.args}) for i in program),
                ("tile", TileState.members, tile),
                *(
                    ("planes", PLANES.places, d) if "pitch" in d else ("desc", DESCRIPTOR.places, d)
                    for d in descriptors.values()
                ),
                ("pass", PassState.members, pass_),
                *(("matrix", {n: w for n, w in layout_.members.items() if n != "grids"}, e) for e in want_m),
                *(("grids", Grids.members, e["grids"]) for e in want_m if governor and "grids" in e),
                *(("vector", VectorEntry.members, e) for e in want_v),
            ]:
                tops.see(name, fields_, values)
            fresh = random_table(r, first)
            table |= fresh
            await write_table(dut, fresh)
    measured = {(0, 1, 1, 0), (1, 1, 0, 0)} if governor else {(0, 0, 0, 0)}
    drafted = {(2, 0, 0, 1)} if lanes > 1 else set()
    ways = {(0, 0, 0, 0), (1, 0, 0, 0), (2, 0, 0, 0)} | drafted | measured if nested else set()
    assert seen == ways, f"the programs do not cover every way to read a matrix: {seen}"
    if lanes == 8:
        never = {field for field in tops.never() if not field.endswith(".op")}
        assert never == LOW, f"too many or too few at the top of their range: {never ^ LOW}"


PLANES_AT = 16


async def load_gemvs(dut, count, alt):
    """A program of `count` GEMVs of a descriptor that names `alt`, and at PLANES_AT a planes descriptor."""
    r = rng("gemv")
    primary = random_fields(r, DESCRIPTOR.places) | {"s_in": 0, "s_out": 0, "alt": alt}
    program = [*[Instr(Op.GEMV, {"desc": 0})] * count, Instr(Op.END)]
    descriptors = {0: primary, PLANES_AT: random_fields(r, PLANES.places)}
    await load(dut, dict(enumerate(program)), descriptors, random_tile(r))


async def errors_of_pass(dut, **pass_):
    """Cycles in which `parity` is high in a pass with one GEMV, `matrix` being a sink of the bench."""
    await start_pass(dut, **pass_)
    await clock(dut)
    assert int(dut.running.value)
    errors = 0
    while int(dut.running.value):
        errors += int(dut.parity.value)
        await clock(dut)
    return errors


@BENCH.test()
async def the_pass_lasts_while_an_engine_is_busy(dut):
    await start(dut)
    await load(dut, {0: Instr(Op.END)}, {}, random_tile(rng("tile")))
    dut.vector_busy.value = 1
    await start_pass(dut)
    await clock(dut, 60)
    assert int(dut.running.value) == 1
    dut.vector_busy.value = 0
    await clock(dut, 3)
    assert int(dut.running.value) == 0


@BENCH.test()
async def damage_of_the_precision_table_is_noticed(dut):
    """Every bit of an entry; not by passes that do not read it, and not once it is written again."""
    await start(dut)
    Sink(dut, "matrix", stall=0)
    await load_gemvs(dut, 1, PLANES_AT)
    for fmt in Format:
        for bit in range(3):
            dut.flip_table.value = 1 << bit
            await write_table(dut, {PLANES_AT: fmt})
            dut.flip_table.value = 0
            assert await errors_of_pass(dut) == 1
            assert await errors_of_pass(dut, measure=1) == 0, "a pass that measures does not read the table"
            assert await errors_of_pass(dut, draft=1) == (params()["lanes"] == 1), (
                "neither does a draft pass, which takes two lanes"
            )
    await write_table(dut, {PLANES_AT: Format.INT4})
    assert await errors_of_pass(dut) == 0


@BENCH.test()
async def cycles_of_a_gemv(dut):
    """8 from entry to entry, 10 with planes."""
    await start(dut)
    dut.matrix__ready.value = 1
    for alt, cycles in ((0, 8), (PLANES_AT, 10)):
        await load_gemvs(dut, 5, alt)
        await start_pass(dut)
        at = []
        for cycle in range(120):
            await clock(dut)
            if int(dut.matrix__valid.value):
                at.append(cycle)
        assert not int(dut.running.value)
        assert [b - a for a, b in zip(at, at[1:])] == [cycles] * 4
