"""Passes on a simulated `MirroredRing`, for `backends.layer.measure`. Runs inside cocotb.

The request is the JSON file named by HAYATE_REQUEST, flits as integers: ``loads``, ``commits``, ``gap`` (cycles from
one of these to the next), ``passes`` (lists of flits, the last one START), ``tiles``. The result is result.json in the
working folder.
"""

import json
import os
from pathlib import Path

import cocotb

from hayate.rtl.contract.flits import FlitKind, pack_flit
from hayate.rtl.contract.isa import Counter, PassWord, Space
from hayate.sim.drive import clock, start
from hayate.sim.machine.flits import control
from hayate.sim.machine.mirror import DEPTH

STEP = 500  # cycles between looks at a pass in progress
STALL = 3_000_000  # cycles after which it counts as hung


async def send(dut, *flits):
    """Give flits to the conductor's stop, one a cycle as long as it takes them."""
    for flit in flits:
        dut.inject__payload.value = flit
        dut.inject__valid.value = 1
        await clock(dut)
        while not int(dut.inject__ready.value):
            await clock(dut)
    dut.inject__valid.value = 0


async def counter(dut, stop, which):
    """A counter of the tile at a stop."""
    before = int(dut.replies.value)
    await send(dut, pack_flit(kind=FlitKind.READ, lo=stop, hi=stop, chan=Space.COUNTER, addr=which))
    while int(dut.replies.value) == before:
        await clock(dut)
    return int(dut.reply.value)


async def one_pass(dut, flits, tiles):
    """Cycles of a pass, and the last tile's counters over it."""
    await send(dut, control(PassWord.BEGIN), *flits)
    for _ in range(STALL // STEP):
        await clock(dut, STEP)
        if int(dut.answers.value) == tiles:
            break
    else:
        found = {c.name: await counter(dut, tiles, c) for c in Counter}
        raise AssertionError(
            f"{int(dut.answers.value)} of {tiles} tiles have answered after {STALL} cycles; the last one: "
            f"{found}, flits "
            f"that waited at a twin: {int(dut.waiting.value)}"
        )
    await send(dut, control(PassWord.FINISH))
    await clock(dut, 100)
    counters = {c.name.lower(): await counter(dut, tiles, c) for c in Counter}
    return {"cycles": int(dut.ended.value) - int(dut.begun.value), "counters": counters}


@cocotb.test()
async def passes(dut):
    request = json.loads(Path(os.environ["HAYATE_REQUEST"]).read_text())
    await start(dut)
    await send(dut, *request["loads"])
    for flit in request["commits"]:
        await send(dut, flit)
        await clock(dut, request["gap"])
    await clock(dut, 100)
    rows = [await one_pass(dut, flits, request["tiles"]) for flits in request["passes"]]
    result = {"passes": rows, "fault": int(dut.fault.value), "waiting": int(dut.waiting.value), "room": DEPTH}
    Path("result.json").write_text(json.dumps(result))
