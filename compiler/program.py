"""The program of a Llama-like model: what every tile runs once per pass."""

from dataclasses import dataclass

from hayate.compiler.routines import VL
from hayate.rtl.contract.encoding import Instr
from hayate.rtl.contract.filters import DIGITS
from hayate.rtl.contract.isa import (
    ROUNDS_AHEAD,
    Block,
    Cast,
    FetchIndex,
    LoopCount,
    LoopReg,
    Op,
    Rows,
    SendMode,
    WaitKind,
    When,
)

# Channels. Each is waited on by one engine only: sums, maxima and fetched rows by the vector engine, the others by the
# matrix engine.
GATHER, SUMS, QUERY, KEY, VALUE, FETCHED, ANGLES, FINAL = range(8)
PROB, MAXIMA = 8, 8 + ROUNDS_AHEAD  # of the first round; those of the next ones follow


@dataclass(frozen=True)
class Program:
    """Instructions under construction; `wait`, `gemv` and `run` fill in what is the same everywhere."""

    instructions: list
    index: dict  # descriptor name -> number; per-layer ones by their name in layer 0, without "layers.0."
    dstep: int
    routines: dict

    def emit(self, op, **args):
        self.instructions.append(
            Instr(op, {k: v if isinstance(v, tuple) else int(v) for k, v in args.items() if v != 0})
        )
        return len(self.instructions) - 1

    def _desc(self, name):
        per_layer = f"layers.0.{name}" in self.index
        return {
            "desc": self.index[f"layers.0.{name}" if per_layer else name],
            **({"dstep": self.dstep} if per_layer else {}),
        }

    def wait(self, engine, chan, kind, count=1, **more):
        self.emit(engine, chan=chan, kind=kind, count=count, **more)

    def gemv(self, name, act, **args):
        self.emit(Op.GEMV, **self._desc(name), act=(act, 0), **args)

    def run(self, routine, name, **args):
        first, length = self.routines[routine]
        if "send_mode" in args or "send_base" in args:
            args["send"] = 1
            args["send_base"] = (args["send_base"], 0)
        self.emit(Op.RUN, **self._desc(name), routine=first, length=length, vl=VL[routine], **args)

    def arrive(self, *skips):
        """The next instruction is where the SKIPs at these places jump to."""
        for at in skips:
            self.instructions[at].args["offset"] = len(self.instructions) - at

    def loop(self, reg, kind, count=0):
        """Context manager: the body of a loop. `skip` is relative to LOOP: where ENDLOOP's successor is."""
        return _Loop(self, reg, kind, count)


class _Loop:
    def __init__(self, program, reg, kind, count):
        self.program, self.reg, self.kind, self.count = program, reg, kind, count

    def __enter__(self):
        self.at = self.program.emit(Op.LOOP, reg=self.reg, kind=self.kind, count=self.count)

    def __exit__(self, *error):
        end = self.program.emit(Op.ENDLOOP, reg=self.reg)
        self.program.instructions[self.at].args["skip"] = end + 1 - self.at


def build(shape, index, dstep, routines):
    """Instructions of a model.

    Parameters
    ----------
    shape: `checkpoint.Shape`.
    index, dstep: number of each descriptor by name; how far the same descriptor of the next layer is.
    routines: name -> (first micro-operation, length).
    """
    p = Program([], index, dstep, routines)
    hdq, group = shape.head_dim // 4, shape.heads // shape.kv_heads
    everyone = {"chan": GATHER, "cast": Cast.ALL}

    for name, which, stage in [
        ("emb", FetchIndex.TOKEN, "EMB"),
        ("rope_coarse", FetchIndex.POS_HI, "ROPEC"),
        ("rope_fine", FetchIndex.POS_LO, "ROPEF"),
    ]:
        p.emit(Op.FETCH, desc=index[name], index=which, stage=(stage, 0), chan=FETCHED if name == "emb" else ANGLES)
    p.wait(Op.V_WAIT, FETCHED, WaitKind.LANES)
    p.run("load", "load", rows=Rows.DESC, send_base="XA", **everyone)
    p.emit(Op.SENDSUM, chan=SUMS, cast=Cast.ALL)
    p.wait(Op.V_WAIT, ANGLES, WaitKind.LANES, 2)
    p.run("rope", "load", rows=Rows.IMM, count=shape.head_dim)

    with p.loop(LoopReg.LAYER, LoopCount.IMM, shape.layers):
        _norm(p, "xa")
        _project(p, hdq, group)
        with p.loop(LoopReg.HEAD, LoopCount.HEADS):
            _attend(p, hdq, group)
        p.wait(Op.M_WAIT, GATHER, WaitKind.ATTEND)
        p.gemv("wo", "AO")
        p.run("resid", "wo", landing=1, send_base="XB", **everyone)
        p.emit(Op.SENDSUM, chan=SUMS, cast=Cast.ALL)

        _norm(p, "xb")
        p.gemv("wgu", "XB")
        p.run("swiglu", "wgu", landing=2, send_base="FF", **everyone)
        p.wait(Op.M_WAIT, GATHER, WaitKind.ALL)
        p.gemv("wdown", "FF")
        p.run("resid", "wdown", landing=1, send_base="XA", **everyone)
        p.emit(Op.SENDSUM, chan=SUMS, cast=Cast.ALL)

    if shape.tied:  # needs no norm yet, so it shares the ring's time with the sums
        p.emit(Op.SKIP, when=When.NO_LOGITS, offset=2)
        p.run("final", "xg", send_base="XB", chan=FINAL, cast=Cast.ALL)
    _norm(p, "xf")
    skip = p.emit(Op.SKIP, when=When.NO_LOGITS)
    if shape.tied:
        p.wait(Op.M_WAIT, FINAL, WaitKind.ALL)
    act, logits = ("XB", "emb") if shape.tied else ("XA", "head")
    p.gemv(logits, act, wanted=1)
    _choose(p, logits)
    p.arrive(skip)
    p.emit(Op.SENDCAND)
    p.emit(Op.END)
    return tuple(p.instructions)


def _choose(p, name):
    """Logits to the best of them: of all, of all with noise, or with noise of those that the filters keep."""
    p.emit(Op.SKIP, when=When.SAMPLES, offset=2)
    p.run("head", name, landing=1)
    greedy = p.emit(Op.SKIP, when=When.GREEDY)
    p.emit(Op.SKIP, when=When.FILTERS, offset=2)
    p.run("sample", name, landing=1, noise=1)
    unfiltered = p.emit(Op.SKIP, when=When.UNFILTERED)

    p.run("temper", name, landing=1)
    p.emit(Op.SENDMAX, chan=MAXIMA, cast=Cast.ALL)
    p.wait(Op.V_WAIT, MAXIMA, WaitKind.ALL)
    p.run("floor", name, rows=Rows.IMM, count=1)
    everything = p.emit(Op.SKIP, when=When.NO_TOP_K)
    _digit(p)
    with p.loop(LoopReg.J, LoopCount.IMM, DIGITS - 1):
        p.run("count", name)
        _digit(p)
    p.arrive(everything)
    p.run("keep", name, noise=1)
    p.arrive(greedy, unfiltered)


def _digit(p):
    """The next digit of the threshold of top-k, in every tile."""
    p.emit(Op.SENDCOUNT, chan=SUMS, cast=Cast.ALL)
    p.wait(Op.V_WAIT, SUMS, WaitKind.ALL)
    p.emit(Op.SELECT)


def _norm(p, name):
    """1/rms of the vector just gathered; `name` carries its exponent."""
    p.wait(Op.V_WAIT, SUMS, WaitKind.ALL)
    p.run("rms", name, rows=Rows.IMM, count=1, sumscale=1)
    p.wait(Op.M_WAIT, GATHER, WaitKind.ALL)


def _project(p, hdq, group):
    """Q, K and V of this tile's heads, to the tiles that need them."""
    with p.loop(LoopReg.HEAD, LoopCount.HEADS):
        p.gemv("wk", "XA", block=Block.HEAD)
        p.run("qk", "wk", landing=1, send_base="KS", send_h=hdq, chan=KEY, cast=Cast.GROUP)
        p.gemv("wv", "XA", block=Block.HEAD)
        p.run("v", "wv", landing=1, send_base="VS", send_h=hdq, chan=VALUE, cast=Cast.SELF)
        with p.loop(LoopReg.J, LoopCount.IMM, group):
            p.gemv("wq", "XA", block=Block.HEAD_GROUP, group=group)
            p.run(
                "qk",
                "wq",
                landing=1,
                send_mode=SendMode.QUERY,
                send_base="Q",
                send_h=hdq * group,
                group=group,
                chan=QUERY,
                cast=Cast.GROUP,
            )


def _attend(p, hdq, group):
    """Attention of one KV head: write K and V, then the rounds of query vectors.

    The rounds of a chunk go side by side, so that one's work covers the time that another's maxima and numerators are
    on the ring.
    """
    p.wait(Op.M_WAIT, KEY, WaitKind.GROUP)
    p.wait(Op.M_WAIT, VALUE, WaitKind.ONE)
    p.emit(Op.KVW, **p._desc("kcache"), value=0, act=("KS", 0), act_h=hdq)
    p.emit(Op.KVW, **p._desc("vcache"), value=1, act=("VS", 0), act_h=hdq)
    p.wait(Op.M_WAIT, QUERY, WaitKind.GROUP, group)
    scores, numerators, slide = {"rows": Rows.SLOTS, "vec": 1}, ("PR.stride", 0), {"slide": ("SC.stride", 0)}
    with p.loop(LoopReg.CHUNK, LoopCount.CHUNKS):
        with p.loop(LoopReg.J, LoopCount.ROUNDS):
            p.gemv("kcache", "Q", block=Block.HEAD, act_h=hdq * group, act_j=hdq, kv=1, **scores)
            p.run("scores", "kcache", landing=1, **scores, **slide)
            p.emit(Op.SENDMAX, chan=MAXIMA, cast=Cast.GROUP, vec=1, by_round=1)
        with p.loop(LoopReg.J, LoopCount.ROUNDS):
            p.wait(Op.V_WAIT, MAXIMA, WaitKind.GROUP, by_round=1)
            p.run(
                "softmax",
                "kcache",
                **scores,
                **slide,
                send_mode=SendMode.SLOTS,
                send_base="PR",
                send_h=numerators,
                chan=PROB,
                cast=Cast.GROUP,
                by_round=1,
            )
            p.emit(Op.SENDSUM, cast=Cast.GROUP, vec=1)
            p.wait(Op.M_WAIT, PROB, WaitKind.GROUP, by_round=1)
            p.gemv("vcache", "PR", block=Block.HEAD, act_j=numerators, slot_words=1, vec=1, kv=1)
        with p.loop(LoopReg.J, LoopCount.ROUNDS):
            p.run("recip", "vcache", rows=Rows.IMM, count=1, vec=1)
            p.run(
                "out",
                "vcache",
                landing=1,
                vec=1,
                send_mode=SendMode.OUTPUT,
                send_base="AO",
                group=group,
                chan=GATHER,
                cast=Cast.ALL,
            )
