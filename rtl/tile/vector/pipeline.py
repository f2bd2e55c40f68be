"""From issue to result, in the vector engine."""

from amaranth.hdl import Cat, Mux, Signal
from amaranth.lib import data

from hayate.rtl.contract.alu_ops import ALU_OP_BITS
from hayate.rtl.contract.flits import WORD_BITS
from hayate.rtl.contract.isa import GLOBAL_ROW_BITS, ASrc
from hayate.rtl.contract.latencies import RESULT_LATENCY, TO_FP16_LATENCY
from hayate.rtl.numerics.alu import VectorAlu
from hayate.rtl.numerics.to_fp16 import ToFp16
from hayate.rtl.tile.vector.blocks import Blocks
from hayate.rtl.verilog.once import once


def pipeline(m, platform, engine, blocks: Blocks, wanted, load_vmem):
    """Operands (stages 1 and 2), arithmetic, destinations (stage RESULT_LATENCY), of a `VectorEngine`.

    wanted: lanes whose logits are wanted. load_vmem: what `engine.rx` brings goes into vector memory.
    """
    micro, vmem, landing, stage, mask = blocks.micro, blocks.vmem, blocks.landing, blocks.stage, blocks.mask
    collect, sender, argmax, reducers = blocks.collect, blocks.sender, blocks.argmax, blocks.reducers
    noise, filters = blocks.noise, blocks.filters
    lanes, element = engine.lanes, micro.element
    sum_asked = Signal()
    noise_asked = Signal()
    noise_ready = Signal(init=1)
    if noise:
        m.d.comb += [
            noise_asked.eq(micro.pending & element.use_b & element.b_noise),
            noise_ready.eq(noise.ready),
            noise.next.eq(noise_asked & micro.issue),
        ]
    m.d.comb += [
        sum_asked.eq(micro.pending & element.use_a & (element.a_src == ASrc.SUM)),
        collect.request.eq(sum_asked),
        collect.sum_round.eq(element.round),
        collect.sum_vec.eq(element.vec),
        collect.exponent.eq(element.exponent),
        collect.taken.eq(sum_asked & micro.issue),
        micro.hold.eq(sum_asked & ~collect.ready | noise_asked & ~noise_ready),
        vmem.a_en.eq(micro.issue & element.use_a & (element.a_src == ASrc.VMEM)),
        vmem.a_addr.eq(element.a),
        vmem.b_en.eq(micro.issue & element.use_b & ~element.b_max & ~element.b_noise),
        vmem.b_addr.eq(element.b),
        stage.take.eq(micro.issue & (element.a_src == ASrc.STAGE)),
        stage.half.eq(element.half),
        stage.pick.eq(element.pick),
    ]

    # Whom a result counts for, and where it goes, travels beside the arithmetic.
    goals = ("d_send", "d_square", "d_sum", "d_max", "d_arg", "d_log", "d_floor", "filtered")
    flight = data.StructLayout({**{name: 1 for name in goals}, "row": GLOBAL_ROW_BITS, "use": lanes, "s": 6})
    entering = Signal(flight)
    valid = Signal()
    hidden = Signal(lanes)
    m.d.comb += [
        hidden.eq(Mux(element.masked, mask.hidden | (element.idx >= blocks.lanes_of.limit).replicate(lanes), 0)),
        entering.use.eq(blocks.lanes_of.serving & ~hidden),
        entering.row.eq(element.row),
        entering.s.eq(element.s),
        *(entering[name].eq(element[name]) for name in goals),
        # What has no destination has no effect: the pass of a RUN without elements.
        valid.eq(micro.issue & (element.d_vm | Cat(element[name] for name in goals).any())),
    ]
    stages_valid, stages = [valid], [entering]
    for k in range(1, RESULT_LATENCY + 1):
        occupied = Signal(name=f"s{k}_valid")
        content = Signal(flight, name=f"s{k}_flight", reset_less=True)
        m.d.sync += occupied.eq(stages_valid[-1])
        with m.If(stages_valid[-1]):
            m.d.sync += content.eq(stages[-1])
        stages_valid.append(occupied)
        stages.append(content)

    # Stage 1: what comes out of the memories; stage 2: operands.
    control = data.StructLayout({"op": ALU_OP_BITS, "neg_a": 1, "neg_b": 1})
    s1 = Signal(control, reset_less=True)
    s2 = Signal(control, reset_less=True)
    s1_source = Signal(2)
    s1_max = Signal()
    s1_noise = Signal()
    s1_clear = Signal()
    s1_round = Signal.like(collect.show_round)
    m.d.sync += s1_clear.eq(micro.issue & element.clear_max)
    with m.If(micro.issue):
        m.d.sync += s1_round.eq(element.round)
    m.d.comb += [collect.max_clear.eq(s1_clear), collect.show_round.eq(s1_round)]
    with m.If(valid):
        m.d.sync += [
            *(s1[name].eq(element[name]) for name in ("op", "neg_a", "neg_b")),
            s1_source.eq(element.a_src),
            s1_max.eq(element.b_max),
            s1_noise.eq(element.b_noise),
        ]
    with m.If(stages_valid[1]):
        m.d.sync += s2.eq(s1)
    out, out_valid = stages[-1], stages_valid[-1]
    # What is sent or summed is rounded to FP16 behind the result.
    rounds = Signal()
    rounded = [
        Signal(data.StructLayout({"use": lanes, "send": 1, "add": 1, "square": 1}), name=f"r{k}_flight")
        for k in range(TO_FP16_LATENCY + 1)
    ]
    m.d.comb += [
        rounds.eq(out_valid & (out.d_send | out.d_square | out.d_sum)),
        rounded[0].use.eq(out.use),
        rounded[0].send.eq(out_valid & out.d_send),
        rounded[0].add.eq(out_valid & (out.d_square | out.d_sum)),
        rounded[0].square.eq(out.d_square),
    ]
    for now, later in zip(rounded, rounded[1:]):
        m.d.sync += later.eq(now)
    last = rounded[-1]
    saturations = []
    for k in range(lanes):
        alu, to_fp16 = VectorAlu(), ToFp16()
        m.submodules[f"alu_{k}"], m.submodules[f"to_fp16_{k}"] = once(platform, alu), once(platform, to_fp16)
        s1_row = Signal(32, name=f"s1_row_{k}", reset_less=True)
        s2_a = Signal(32, name=f"s2_a_{k}", reset_less=True)
        s2_b = Signal(32, name=f"s2_b_{k}", reset_less=True)
        with m.If(valid & (element.a_src == ASrc.LANDING)):
            m.d.sync += s1_row.eq(landing.data[k])
        with m.If(stages_valid[1]):
            with m.Switch(s1_source):
                with m.Case(ASrc.VMEM):
                    m.d.sync += s2_a.eq(vmem.a_data[k])
                with m.Case(ASrc.LANDING):
                    m.d.sync += s2_a.eq(s1_row)
                with m.Case(ASrc.STAGE):
                    m.d.sync += s2_a.eq(stage.data[k])
                with m.Case(ASrc.SUM):
                    m.d.sync += s2_a.eq(collect.sums[k])
            operand = Mux(s1_max, collect.maxima[k], vmem.b_data[k])
            m.d.sync += s2_b.eq(Mux(s1_noise, noise.values[k], operand) if noise else operand)
        result = Signal(32, name=f"result_{k}")
        m.d.comb += [
            alu.valid.eq(stages_valid[2]),
            alu.op.eq(s2.op),
            alu.neg_a.eq(s2.neg_a),
            alu.neg_b.eq(s2.neg_b),
            alu.a.eq(s2_a),
            alu.b.eq(s2_b),
            result.eq(Mux(out.use[k], alu.y, 0)),
            vmem.write_data[k].eq(Mux(load_vmem, engine.rx.data.word_select(0, WORD_BITS), result)),
            to_fp16.valid.eq(rounds),
            to_fp16.x.eq(result),
            to_fp16.s.eq(out.s.as_signed()),
            sender.halves[k].eq(to_fp16.y),
            engine.trace.values[k].eq(alu.y),
            reducers[k].valid.eq(last.add & last.use[k]),
            reducers[k].square.eq(last.square),
            reducers[k].h.eq(to_fp16.y),
        ]
        # A cycle behind the result: the comparison takes as long as what rounds a result.
        m.d.sync += [
            argmax.arg_valid[k].eq(out_valid & out.d_arg & (~out.filtered | filters.keep[k] if filters else 1)),
            argmax.max_valid[k].eq(out_valid & out.d_max & out.use[k]),
        ]
        with m.If(out_valid & (out.d_arg | out.d_max)):
            m.d.sync += argmax.values[k].eq(alu.y)
        if filters:
            m.d.comb += [filters.z[k].eq(s2_a), filters.floor[k].eq(alu.y)]
        saturations += [out_valid & alu.sat & out.use[k], to_fp16.out_valid & to_fp16.sat & last.use[k]]
    m.d.comb += [
        vmem.write.eq(micro.result | load_vmem),
        vmem.write_addr.eq(Mux(load_vmem, engine.rx.addr, micro.result_addr)),
        sender.half_valid.eq(last.send),
        engine.trace.valid.eq(out_valid & out.d_log),
        engine.trace.row.eq(out.row),
        engine.trace.mask.eq(wanted),
    ]
    if filters:
        m.d.comb += [
            filters.z_valid.eq(stages_valid[2] & stages[2].filtered),
            filters.floor_valid.eq(out_valid & out.d_floor),
        ]
    with m.If(out_valid & out.d_arg):
        m.d.sync += argmax.row.eq(out.row)
    m.d.sync += engine.saturated.eq(sum(saturations[1:], saturations[0]))
