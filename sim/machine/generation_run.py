"""A generation on simulated RTL: brings the machine up over its AXI ports, starts it, collects tokens. Runs inside
cocotb.

The request is the JSON file named by HAYATE_REQUEST: ``loads`` (.npy, uint64 [n, 2]: load-window address, data),
``registers`` (name -> value), ``events`` (file to append JSON lines to), ``tiles``, ``matrices`` (that the governor
decides on, 0 where it does not), ``init`` (true: power-up of a machine whose memories hold anything).
"""

import json
import os
import time

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiMaster

from hayate.rtl.contract.config import MAX_LANES
from hayate.rtl.contract.isa import Counter
from hayate.rtl.contract.regmap import BY_NAME
from hayate.sim.drive import PERIOD

BURST = 256 * 8  # bytes of the longest burst; a burst must not cross 4 KiB
STALL = 4_000_000  # cycles without a token after which the machine counts as hung


def field(register, name, value):
    """Value of one field of a register."""
    _, low, width, _ = next(f for f in BY_NAME[register].fields if f[0] == name)
    return value >> low & (1 << width) - 1


class Host:
    """Register access by name."""

    def __init__(self, axil):
        self._axil = axil

    async def read(self, name):
        return await self._axil.read_dword(BY_NAME[name].offset)

    async def write(self, name, value):
        await self._axil.write_dword(BY_NAME[name].offset, value)


def bursts(loads):
    """(address, bytes) runs of consecutive addresses in `loads`, rows of address and data; none across 4 KiB."""
    addresses, data = np.array(loads, dtype=np.uint64).T
    breaks = np.flatnonzero((np.diff(addresses) != 8) | (addresses[1:] % 4096 == 0)) + 1
    for part in np.split(np.arange(len(loads)), breaks):
        for at in range(0, len(part), BURST // 8):
            run = part[at : at + BURST // 8]
            yield int(addresses[run[0]]), data[run].astype("<u8").tobytes()


async def edge(signal):
    await RisingEdge(signal)


@cocotb.test()
async def generation(dut):
    request = json.loads(open(os.environ["HAYATE_REQUEST"]).read())
    out = open(request["events"], "a", buffering=1)

    def event(kind, **fields):
        out.write(json.dumps({"event": kind, **fields}) + "\n")

    init = request.get("init", False)
    dut.rst.value, dut.init.value = 1, init
    Clock(dut.clk, PERIOD, "ns").start(start_high=False)
    axi = AxiMaster(AxiBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst, max_burst_len=256)
    host = Host(AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst))
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 2)
    if init:
        complaint = cocotb.start_soon(edge(dut.fault))
        while not field("STATUS", "READY", await host.read("STATUS")):
            pass
        assert not complaint.done(), "`fault` was high before all was cleared"
        complaint.cancel()

    began = time.monotonic()
    for address, data in bursts(np.load(request["loads"])):
        response = await axi.write(address, data)
        assert int(response.resp) == 0, f"the load window refused {address:#x}"
    event("loaded", seconds=time.monotonic() - began)

    for name, value in request["registers"].items():
        await host.write(name, value)
    await host.write("IRQ_ENABLE", 7)
    began = time.monotonic()
    await host.write("CONTROL", 1)
    why = await host.read("REJECTION")
    assert why == 0, f"START is refused: REJECTION {why:#x}"
    done = False
    while not done:
        if not int(dut.irq.value):
            await with_timeout(RisingEdge(dut.irq), STALL * PERIOD, "ns")
        pending = await host.read("IRQ_STATUS")
        await host.write("IRQ_STATUS", pending)
        done = bool(field("IRQ_STATUS", "DONE", pending))
        while True:
            word = await host.read("TOKEN")
            if not field("TOKEN", "VALID", word):
                break
            event("token", token=field("TOKEN", "TOKEN", word), cycle=await host.read("TOKEN_CYCLE"))
    seconds = time.monotonic() - began

    counters = []
    for tile in range(request["tiles"]):
        values = {}
        for counter in Counter:
            await host.write("COUNTER_SELECT", int(counter) | tile << 8)
            while not await host.read("COUNTER_STATUS"):
                pass
            values[counter.name.lower()] = await host.read("COUNTER_VALUE")
        counters.append(values)
    decisions = []
    for matrix in range(request["matrices"]):
        row = []
        for kind in range(4):  # the energies, then the decision
            await host.write("GOVERNOR_SELECT", matrix | kind << 16)
            low = await host.read("GOVERNOR_LOW")
            row.append(low | await host.read("GOVERNOR_HIGH") << 32 if kind < 3 else low)
        decisions.append(row)
    drafting = {
        name: await host.read(register)
        for name, register in (
            ("proposed", "PROPOSED"),
            ("accepted", "ACCEPTED"),
            ("siblings", "SIBLINGS"),
            ("passes", "DRAFT_PASSES"),
        )
    }
    lengths = [await host.read(f"ACCEPTED_{n}") for n in range(MAX_LANES)]
    status = await host.read("STATUS")
    event(
        "done",
        cycles=await host.read("CYCLES"),
        prefill=await host.read("PREFILL_CYCLES"),
        passes=await host.read("PASSES"),
        counters=counters,
        decisions=decisions,
        governor=await host.read("GOVERNOR_CYCLES"),
        drafting=drafting,
        lengths=lengths,
        turnaround=await host.read("TURNAROUND"),
        fault=field("STATUS", "FAULT", status),
        full=field("STATUS", "FULL", status),
        seconds=seconds,
    )
    out.close()
