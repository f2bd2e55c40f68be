"""Which part of a model an instruction belongs to."""

from typing import NamedTuple

from hayate.compiler.link import parts
from hayate.rtl.contract.encoding import OPERATIONS
from hayate.rtl.contract.isa import LoopReg, Op

#: Stages of a pass, in order. Behind the last instruction a tile's candidates are still on their way.
STAGES = ("embed", "qkv", "write", "scores", "values", "wo", "gate", "down", "logits", "end")
BETWEEN = "between"
#: What they are, for people.
MEANINGS = {
    "embed": "rows of embedding and rotary tables",
    "qkv": "norm, queries, keys, values",
    "write": "K and V of the pass into their slots",
    "scores": "queries times K",
    "values": "softmax, numerators times V",
    "wo": "attention's output matrix",
    "gate": "norm, gate and up matrices",
    "down": "silu, down matrix",
    "logits": "norm, output matrix",
    "end": "choice, candidates to the conductor",
    "between": "no pass runs",
}

_OF_MATRIX = {
    "wk": "qkv",
    "wv": "qkv",
    "wq": "qkv",
    "kcache": "scores",
    "vcache": "values",
    "wo": "wo",
    "wgu": "gate",
    "wdown": "down",
    "emb": "logits",
    "head": "logits",
}


class Instruction(NamedTuple):
    """Of one address: the stage, whether it belongs to a layer, and a name for people."""

    stage: str
    layered: bool
    name: str
    waits: bool


def instructions(image, config) -> list[Instruction]:
    """`Instruction` of every address of a machine's program memory; those of the draft model follow the image's own.

    A wait of the matrix engine belongs to the stage that it stands in front of.
    """
    return [i for part in parts(image, config) for i in _of(part)]


def _of(part):
    image, program = part.image, part.image.program
    routines = {first: name for name, (first, _) in image.routines.items()}
    found, depth, stage = [], 0, "end"
    for i in program:
        layered = depth > 0
        if i.op == Op.LOOP and i.args.get("reg", 0) == LoopReg.LAYER:
            depth += 1
        elif i.op == Op.ENDLOOP and i.args.get("reg", 0) == LoopReg.LAYER:
            depth -= 1
        matrix = "desc" in i.args or i.op in (Op.GEMV, Op.FETCH, Op.KVW, Op.RUN)
        of = image.descriptors[i.args.get("desc", 0)].name.rpartition(".")[2] if matrix else ""
        name = f"{i.op.name} {of}" if of else i.op.name
        if i.op == Op.RUN:
            name = f"{routines[i.args.get('routine', 0)]} {of}"
        found.append((i.op, of, layered, part.prefix + name))
    result = []
    for op, of, layered, name in reversed(found):  # a wait knows what comes behind it
        if op == Op.FETCH:
            stage = "embed"
        elif op == Op.KVW:
            stage = "write"
        elif op == Op.GEMV:
            stage = _OF_MATRIX[of]
        own = stage if OPERATIONS[op].engine == "matrix" else ""
        result.append(Instruction(own, layered, name, op in (Op.M_WAIT, Op.V_WAIT)))
    return result[::-1]
