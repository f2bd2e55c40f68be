"""The tile's program, interpreted: which instructions a pass executes, in order, and with which loop registers.

The one interpreter of loops and skips; the golden tile executes what it yields, and benches and compiler tests look at
it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from hayate.rtl.contract.isa import LoopCount, LoopReg, Op, When

_OF_SEQUENCER = (Op.LOOP, Op.ENDLOOP, Op.SKIP)


def skips(*, wants, samples, top_k=0, min_p=False) -> dict[When, bool]:
    """Which conditions of SKIP hold in a pass. wants: of some position the logits are wanted; top_k, min_p: filters."""
    filters = bool(samples and (top_k or min_p))
    return {
        When.NO_LOGITS: not wants,
        When.SAMPLES: bool(samples),
        When.GREEDY: not samples,
        When.FILTERS: filters,
        When.UNFILTERED: not filters,
        When.NO_TOP_K: not top_k,
    }


def walk(
    program: Sequence, holds: dict[When, bool], *, heads: int, rounds: int, ahead: int
) -> Iterator[tuple[Any, list[int]]]:
    """The instructions of the two engines, in the order of the program, each with the loop registers: what of `steps`
    they execute.
    """
    for _, i, registers in steps(program, holds, heads=heads, rounds=rounds, ahead=ahead):
        if i.op not in _OF_SEQUENCER:
            yield i, registers


def steps(
    program: Sequence, holds: dict[When, bool], *, heads: int, rounds: int, ahead: int, first: int = 0
) -> Iterator[tuple[int, Any, list[int]]]:
    """Every instruction that a pass executes but its END: its address, itself, and the loop registers when it begins.

    Parameters
    ----------
    program: instructions with `op` and their fields as attributes. holds: of `skips`. heads: KV heads that the tile
        serves.
    rounds: attention rounds of the pass. ahead: rounds of a chunk. first: address of the first instruction.

    The list of registers, by `LoopReg`, is one and the same object all the way: copy it to keep it.
    """
    registers = [0] * len(LoopReg)
    loops: dict[int, tuple[int, int]] = {}  # register -> first instruction of the body, iterations left
    at = first
    while (i := program[at]).op != Op.END:
        yield at, i, registers
        if i.op == Op.LOOP:
            begin = registers[LoopReg.CHUNK] * ahead if i.kind == LoopCount.ROUNDS else 0
            count = {
                LoopCount.IMM: i.count,
                LoopCount.HEADS: heads,
                LoopCount.ROUNDS: min(ahead, rounds - begin),
                LoopCount.CHUNKS: -(-rounds // ahead),
            }[i.kind]
            registers[i.reg], loops[i.reg] = begin, (at + 1, count)
            at += 1 if count else i.skip
        elif i.op == Op.ENDLOOP:
            start, left = loops[i.reg]
            loops[i.reg] = start, left - 1
            registers[i.reg] = registers[i.reg] + 1 if left > 1 else 0
            at = start if left > 1 else at + 1
        elif i.op == Op.SKIP:
            at += i.offset if holds[i.when] else 1
        else:
            at += 1
