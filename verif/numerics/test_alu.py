"""VectorAlu against golden: every operation, in any mixture."""

from hayate.golden.numerics.alu import compute
from hayate.rtl.contract.alu_ops import ALU_LATENCY, ALU_OP_BITS, AluOp
from hayate.rtl.numerics.alu import VectorAlu
from hayate.verif.bench import Bench, cases, rng
from hayate.verif.bench.drivers import clock, start
from hayate.verif.bench.reset import resets
from hayate.verif.numerics import fp32_lane as lane

BENCH = Bench(lambda: VectorAlu())


def operation(op, a, b, *, neg_a=0, neg_b=0):
    x, y = lane.floats([a ^ neg_a << 31]), lane.floats([b ^ neg_b << 31])
    result, saturated = compute(op, x, y)
    inputs = {"op": int(op), "neg_a": neg_a, "neg_b": neg_b, "a": a, "b": b}
    return inputs, {"y": int(lane.patterns(result)[0]), "sat": int(saturated[0])}


def random_operations(generator, count):
    return [
        operation(generator.choice(list(AluOp)), a, b, neg_a=generator.getrandbits(1), neg_b=generator.getrandbits(1))
        for a, b in lane.pairs(generator, count)
    ]


@BENCH.test()
async def mixture_with_gaps(dut):
    await start(dut)
    await lane.pipeline(
        dut, ALU_LATENCY, random_operations(rng("operations"), cases(6000, icarus=4)), rng("gaps"), gap=0.4
    )


@BENCH.test()
@resets(within=30)
async def one_operation_a_cycle(dut):
    await start(dut)
    await lane.pipeline(
        dut, ALU_LATENCY, random_operations(rng("operations"), cases(6000, icarus=4)), rng("gaps"), gap=0
    )


@BENCH.test()
async def corners(dut):
    await start(dut)
    generator = rng("signs")
    operations = [
        operation(op, a, generator.choice(lane.CORNERS), neg_a=generator.getrandbits(1), neg_b=generator.getrandbits(1))
        for op in AluOp
        for a in lane.CORNERS
    ]
    operations += [operation(AluOp.MUL, a, b) for a, b in lane.nearly_too_large(generator, 10)]
    await lane.pipeline(dut, ALU_LATENCY, operations, rng("gaps"))


@BENCH.test()
async def unassigned_codes_are_nops(dut):
    await start(dut)
    inputs, expected = operation(AluOp.NOP, 0x3F800000, 0x40000000)
    operations = [({**inputs, "op": op}, expected) for op in range(len(AluOp), 1 << ALU_OP_BITS)]
    await lane.pipeline(dut, ALU_LATENCY, operations, rng("gaps"))


@BENCH.test()
async def reset_drops_what_is_on_its_way(dut):
    await start(dut)
    for op in AluOp:
        for depth in range(1, ALU_LATENCY):
            dut.valid.value, dut.op.value, dut.a.value, dut.b.value = 1, int(op), 0x40490FDB, 0x3F000000
            await clock(dut)
            dut.valid.value = 0
            await clock(dut, depth)
            dut.rst.value = 1
            await clock(dut)
            dut.rst.value = 0
            for _ in range(ALU_LATENCY + 1):
                await clock(dut)
                assert int(dut.out_valid.value) == 0
    await lane.pipeline(dut, ALU_LATENCY, random_operations(rng("after"), 50), rng("gaps"))
