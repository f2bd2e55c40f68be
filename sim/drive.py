"""Clock, reset and time of a design under cocotb.

Values are sampled at the rising edge, as they were just before it, and driven just after it, on both simulators.
"""

import json
import os

from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer

PERIOD = 10  # nanoseconds of a clock cycle; must be even


def ports() -> list[dict]:
    """The top module's ports: dictionaries with name, direction ("input" or "output") and width."""
    return json.loads(os.environ["HAYATE_PORTS"])


async def start(dut, *, cycles: int = 2, **initial: int):
    """Set every input to 0 (or to its value in `initial`), start the clock and pulse reset.

    Returns just after the rising edge that is the first with reset low in front of it, so all registers hold their
    reset values. A design without a clock only gets its inputs and a nanosecond to settle.
    """
    names = {p["name"] for p in ports() if p["direction"] == "input"}
    if unknown := initial.keys() - names:
        raise ValueError(f"no such input: {sorted(unknown)}; there are {sorted(names)}")
    for name in names - {"clk", "rst"}:
        getattr(dut, name).value = initial.get(name, 0)
    if "clk" not in names:
        await Timer(1, "ns")
        return
    if "rst" in names:
        dut.rst.value = 1
    # wakes no Python at an edge for which nobody waits
    Clock(dut.clk, PERIOD, "ns", impl="gpi").start(start_high=False)
    await clock(dut, cycles)
    if "rst" in names:
        dut.rst.value = 0
    await clock(dut)


async def clock(dut, cycles: int = 1):
    """Wait for so many rising edges. Long waits wake Python twice, not once a cycle."""
    if cycles > 4:
        # A picosecond past the phase we are in, so that an edge at this very moment is not counted twice.
        await Timer((cycles - 1) * PERIOD * 1000 + 1, "ps")
        cycles = 1
    for _ in range(cycles):
        await RisingEdge(dut.clk)


async def settle():
    """Wait for combinational outputs to follow inputs that were just driven."""
    await Timer(1, "ns")
