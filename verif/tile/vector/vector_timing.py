"""How long a RUN occupies the vector engine, element by element: the rule that the interlock keeps."""

from hayate.rtl.contract.alu_ops import ALU_LATENCY
from hayate.rtl.contract.isa import ASrc, BSrc, Mode
from hayate.rtl.numerics.gumbel import GUMBEL_LATENCY
from hayate.rtl.tile.vector.noise import DEPTH
from hayate.verif.tile.vector.vector_golden import TWO_OPERANDS

#: Cycles from the issue of a write to vector memory to the first issue that may read it.
DEPENDENCE = ALU_LATENCY + 3
NORM_LATENCY = 3
#: Cycles from the request of a row of noise to the row, with no lane to draw for.
DRAW = GUMBEL_LATENCY + 3


def run_cycles(entry, micro, lanes, drawn=1):
    """Cycles from the one in which a RUN is seen to the one in which it is taken, both included.

    Landing rows and room for what is sent are there, and nothing written by an instruction before is still under way.
    Without waits for results that is elements x micro-operations + 2. drawn: lanes that noise is drawn for.
    """
    routine = [micro[entry["routine"] + k] for k in range(entry["length"])]
    if entry["n"] == 0:
        return entry["length"] + 2
    written, noise = {}, []  # cycles: by address; of each row of noise, (ready, taken)
    step, issue, e = 1, 0, 0  # of the element before; the RUN is seen in cycle 0 and first steps in cycle 2
    while e < entry["n"]:
        size = min(entry["vl"], entry["n"] - e)
        for op in routine:
            for i in range(size):
                step = max(step + 1, issue)
                issue = max(
                    [step + 1, *(written[a] + DEPENDENCE for a in _reads(op, entry["slide"] + e, i) if a in written)]
                )
                if op["a_src"] == ASrc.SUM:
                    issue = step + 1 + lanes + NORM_LATENCY + 2
                if op["b_src"] == BSrc.NOISE and entry["noise"]:
                    asked = noise[-DEPTH][1] if len(noise) >= DEPTH else 0
                    ready = max(asked + DRAW + drawn, noise[-1][0] + drawn if noise else 0)
                    issue = max(issue, ready)
                    noise.append((ready, issue))
                if op["d_vm"]:
                    written[op["d"] + (i if op["d_mode"] else entry["slide"] + e + i)] = issue
        e += size
    return step + 1


def _reads(op, e, i):
    offset = {Mode.STREAM: e + i, Mode.TEMP: i, Mode.SCALAR: 0, Mode.SWAP: i ^ 1}
    if op["a_src"] == ASrc.VMEM and op["op"]:
        yield op["a"] + offset[op["a_mode"]]
    if op["b_src"] == BSrc.VMEM and op["op"] in TWO_OPERANDS:
        yield op["b"] + offset[op["b_mode"]]
