"""Cycles of the tile's instructions, by formula: what the contracts of the two engines promise, and benches hold them
to.

An instruction alone, with room for what it makes and with nothing under way that it must wait for. What instructions
wait for one another, and for other tiles, is up to whoever adds them up.
"""

from collections.abc import Sequence
from typing import Any

from hayate.rtl.contract.alu_ops import TWO_OPERANDS
from hayate.rtl.contract.isa import ASrc, BSrc, Mode
from hayate.rtl.contract.latencies import DEPENDENCE, GUMBEL_LATENCY, KV_PARALLEL_BANKS, NOISE_ROWS, NORM_LATENCY

#: From the request of a row of noise to the row, with no lane to draw for.
DRAW = GUMBEL_LATENCY + 3


def gemv(rows: int, streams: Sequence[int], banks: int) -> int:
    """Of a GEMV of `rows` local rows. streams: words that a row takes, of each stream that is read of it: one, or the
    FP16 copy and the planes where both are measured.

    Banks read a word each per cycle. A group of rows leaves through one normalizer, a row a cycle, so that a group of
    short rows waits for the one before it.
    """
    full, rest = divmod(rows, banks)
    groups = [(height, words) for height in [banks] * full + [rest] * (rest > 0) for words in streams]
    return sum(max(words, before) for (_, words), (before, _) in zip(groups, [(0, 0), *groups]))


def fetch(words: int, rows: Sequence[int | None]) -> int:
    """Of a FETCH of rows of `words`. rows: of each position, its row where this tile has that, else None. A row that
    several name is read for the first of them.
    """
    return sum(3 if row is None else 4 if row in rows[:n] else 6 + words for n, row in enumerate(rows))


def write_keys(words: int, here: Sequence[bool]) -> int:
    """Of a KVW of K, a row of `words` for each position. here: whether its slot lies in this tile."""
    trailing = list(here)[::-1].index(True) if any(here) else 5
    return sum(3 + words if mine else 1 for mine in here) + max(5 - trailing, 1)


def write_values(dims: int, positions: int, banks: int) -> int:
    """Of a KVW of V, transposed: an element of each of `dims` rows for each position."""
    return positions * (4 + 2 * dims // min(KV_PARALLEL_BANKS, banks)) + 4


def run(entry: dict[str, Any], micro: Sequence[dict[str, Any]] | dict[int, dict[str, Any]], lanes: int, drawn=1) -> int:
    """Of a RUN, from the cycle in which it is seen to the one in which it is taken, both included.

    Without waits for results that is elements x micro-operations + 2.

    Parameters
    ----------
    entry: fields of the queue entry. micro: micro-operations by address, fields of each. lanes: M.
    drawn: lanes that noise is drawn for.
    """
    routine = [micro[entry["routine"] + k] for k in range(entry["length"])]
    if entry["n"] == 0:
        return entry["length"] + 2
    written: dict[int, int] = {}  # address -> cycle
    noise: list[tuple[int, int]] = []  # of each row, cycles in which it is ready and taken
    step, issue, e = 1, 0, 0  # of the element before; the RUN is seen in cycle 0 and first steps in cycle 2
    while e < entry["n"]:
        size = min(entry["vl"], entry["n"] - e)
        for op in routine:
            for i in range(size):
                step = max(step + 1, issue)
                issue = max(
                    [step + 1, *(written[a] + DEPENDENCE for a in reads(op, entry["slide"] + e, i) if a in written)]
                )
                if op["a_src"] == ASrc.SUM:
                    issue = step + 1 + lanes + NORM_LATENCY + 2
                if op["b_src"] == BSrc.NOISE and entry["noise"]:
                    asked = noise[-NOISE_ROWS][1] if len(noise) >= NOISE_ROWS else 0
                    ready = max(asked + DRAW + drawn, noise[-1][0] + drawn if noise else 0)
                    issue = max(issue, ready)
                    noise.append((ready, issue))
                if op["d_vm"]:
                    written[op["d"] + (i if op["d_mode"] else entry["slide"] + e + i)] = issue
        e += size
    return step + 1


def reads(op, e, i):
    """Addresses of vector memory that element i behind e reads."""
    offset = {Mode.STREAM: e + i, Mode.TEMP: i, Mode.SCALAR: 0, Mode.SWAP: i ^ 1}
    if op["a_src"] == ASrc.VMEM and op["op"]:
        yield op["a"] + offset[op["a_mode"]]
    if op["b_src"] == BSrc.VMEM and op["op"] in TWO_OPERANDS:
        yield op["b"] + offset[op["b_mode"]]
