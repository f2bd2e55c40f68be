"""Cycles that blocks take, from which those of whole instructions follow (`hayate.golden.tile.cycles`)."""

from hayate.rtl.contract import noise
from hayate.rtl.contract.alu_ops import ALU_LATENCY

#: of the vector engine: from an element's issue to its result, which is written at the end of that cycle; to the first
#: issue that may read it.
RESULT_LATENCY = ALU_LATENCY + 2
DEPENDENCE = RESULT_LATENCY + 1

#: of a normalizer: an exact sum to FP32. Of FP32 to scaled FP16. From a term to the exact sum with it.
NORM_LATENCY = 3
TO_FP16_LATENCY = 3
REDUCER_LATENCY = 3

#: of a flit through an empty stop of the ring.
HOP_LATENCY = 1

#: of a bank: from ``en`` to the macro's ``rdata``; to the decoded word.
MACRO_LATENCY = 2
BANK_LATENCY = MACRO_LATENCY + 1
#: of a PE: from a row's last word to its sum. From a group's sums to its first row. From the last word of a group, at
#: the issue stage, to the group's first row: the request's register, bank, PE, drain.
PE_LATENCY = 5
DRAIN_LATENCY = 2 + NORM_LATENCY
ROW_LATENCY = 1 + BANK_LATENCY + PE_LATENCY - 1 + DRAIN_LATENCY

#: of SELECT, for each wanted lane.
SELECT_CYCLES = 4

#: of Threefry, which does so many of its steps in a cycle; of the transform behind it; of a value of Gumbel noise.
STEPS_PER_STAGE = 2
THREEFRY_LATENCY = -(-(noise.ROUNDS + 1 + noise.ROUNDS // 4) // STEPS_PER_STAGE)
TRANSFORM_LATENCY = 8
GUMBEL_LATENCY = THREEFRY_LATENCY + TRANSFORM_LATENCY

#: rows of noise that may wait for the vector engine: an iteration of the routine that samples.
NOISE_ROWS = 16

#: banks that a write of V uses at a time, at most.
KV_PARALLEL_BANKS = 4
