"""The sequencer against direct evaluation of random programs: loops, skips, descriptors, addresses, waits."""

import cocotb

from hayate.rtl.contract import layout
from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import DESCRIPTOR, FORMATS, Csr, Instr, LoopReg, Op, PassWord, Space, encode, pack
from hayate.rtl.ring.flit import Flit
from hayate.rtl.tile.queues import MatrixEntry, TileState, VectorEntry
from hayate.rtl.tile.sequencer import CSR_FIELDS, Sequencer
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.drivers import Sink, clock, start
from hayate.verif.tile.sequencer_golden import entries

BENCH = Bench(lambda lanes: Sequencer(lanes=lanes, program_depth=64, desc_depth=32), params=[{"lanes": 4}, {"lanes": 1}])
ENGINE_OPS = [Op.M_WAIT, Op.GEMV, Op.FETCH, Op.KVW, Op.V_WAIT, Op.RUN, Op.SENDSUM, Op.SENDMAX, Op.SENDCAND]
LIMITS = {"desc": 8, "dstep": 6, "kind": 5, "block": 3, "cast": 3, "index": 3, "count": 9, "act": 1024, "act_h": 64, "act_j": 64,
          "send_base": 1024, "send_h": 64, "group": 5}


async def flit(dut, **fields):
    dut.rx_valid.value, dut.rx.value = 1, Flit.const(fields).as_bits()
    await clock(dut)
    dut.rx_valid.value = 0


def random_instr(r, op):
    args = {}
    for name, (_, width) in FORMATS[op].items():
        if name != "op":
            args[name] = r.randrange(min(LIMITS.get(name, 1 << width), 1 << width))
    if "rows" in args:
        args["rows"] = r.choice([0, 1] if op == Op.GEMV else [0, 1, 2])
    return Instr(op, args)


def random_program(r):
    """Three nested loops with engine instructions in and between them, a loop over heads that may be empty, a skip."""
    some = lambda: [random_instr(r, r.choice(ENGINE_OPS)) for _ in range(r.randrange(1, 4))]  # noqa: E731
    inner = some()
    middle = [*some(), Instr(Op.LOOP, {"reg": LoopReg.J, "kind": r.choice([0, 2]), "count": 2, "skip": len(inner) + 2}), *inner,
              Instr(Op.ENDLOOP, {"reg": LoopReg.J})]
    outer = [*some(), Instr(Op.LOOP, {"reg": LoopReg.HEAD, "kind": 1, "skip": len(middle) + 2}), *middle,
             Instr(Op.ENDLOOP, {"reg": LoopReg.HEAD})]
    skipped = some()
    return [Instr(Op.LOOP, {"reg": LoopReg.LAYER, "count": 2, "skip": len(outer) + 2}), *outer, Instr(Op.ENDLOOP, {"reg": LoopReg.LAYER}),
            Instr(Op.SKIP, {"offset": len(skipped) + 1}), *skipped, *some(), Instr(Op.END)]


def random_tile(r):
    tiles, kv_heads, group = r.choice([(1, 2, 3), (4, 2, 4), (3, 2, 1), (2, 8, 2)])
    index = r.randrange(tiles)
    a = layout.attention(kv_heads, tiles, index)
    return {"index": index, "count": tiles, "group_lo": a.group_lo, "group_hi": a.group_hi, "group_size": a.group_size,
            "group_index": a.group_index, "heads": r.choice([a.heads, 0]), "head0": a.head0, "att_senders": max(tiles, kv_heads),
            "group": group, "gp_log2": layout.gp_log2(group), "hdq": 4}


def random_descriptor(r):
    d = {name: r.randrange(1 << min(width, 8)) for name, (_, width) in DESCRIPTOR.items()}
    return d | {"rows": 4 * r.randrange(20), "s_in": r.randrange(-20, 20), "s_out": r.randrange(-20, 20)}


async def load(dut, program, descriptors, tile):
    for space, words in ((Space.PROGRAM, [encode(i) for i in program]), (Space.DESC, [pack(DESCRIPTOR, d) for d in descriptors])):
        for n, word in enumerate(words):
            for half in range(2):
                await flit(dut, kind=FlitKind.LOAD, chan=space, addr=2 * n + half, data=word >> 64 * half & (1 << 64) - 1)
    for csr in Csr:
        await flit(dut, kind=FlitKind.LOAD, chan=Space.CSR, addr=int(csr), data=tile[CSR_FIELDS[csr]])


def check(got, want, layout_):
    assert len(got) == len(want), f"{len(got)} entries, not {len(want)}"
    for bits, expected in zip(got, want):
        entry = layout_.from_bits(bits)
        for name, value in expected.items():
            assert entry[name] == value & (1 << layout_[name].width) - 1, f"{Op(expected['op']).name}.{name}: {entry[name]}, not {value}"


@BENCH.test()
async def random_programs(dut):
    lanes = params()["lanes"]
    await start(dut)
    r = rng("programs")
    matrix, vector = Sink(dut, "matrix"), Sink(dut, "vector")
    for _ in range(5):
        program, descriptors, tile = random_program(r), [random_descriptor(r) for _ in range(32)], random_tile(r)
        await load(dut, program, descriptors, tile)
        for _ in range(2):
            pass_ = {"positions": r.randrange(1, lanes + 1), "want": r.choice([0, 1]), "hwm": r.randrange(1, 200)}
            for lane in range(lanes):
                token, pos, slot = r.getrandbits(20), r.getrandbits(16), r.getrandbits(16)
                await flit(dut, kind=FlitKind.PASS, chan=PassWord.LANE, lane=lane, data=token | pos << 20 | slot << 36)
            await flit(dut, kind=FlitKind.PASS, chan=PassWord.START, data=pass_["positions"] - 1 | pass_["want"] << 8 | pass_["hwm"] << 16)
            await clock(dut)
            want_m, want_v = entries(program, descriptors, tile, pass_, lanes)
            both = cocotb.start_soon(matrix.take(len(want_m))), cocotb.start_soon(vector.take(len(want_v)))
            got_m, got_v = await both[0], await both[1]
            for _ in range(40):
                if not int(dut.running.value):
                    break
                await clock(dut)
            assert not int(dut.running.value), "the pass does not end"
            assert int(dut.parity.value) == 0
            check(got_m, want_m, MatrixEntry)
            check(got_v, want_v, VectorEntry)
            state = TileState.from_bits(int(dut.tile.value))
            assert state["count"] == tile["count"]


@BENCH.test()
async def the_pass_lasts_while_an_engine_is_busy(dut):
    await start(dut)
    await load(dut, [Instr(Op.END)], [], random_tile(rng("tile")))
    dut.vector_busy.value = 1
    await flit(dut, kind=FlitKind.PASS, chan=PassWord.START, data=1 << 16)
    await clock(dut, 60)
    assert int(dut.running.value) == 1
    dut.vector_busy.value = 0
    await clock(dut, 3)
    assert int(dut.running.value) == 0
