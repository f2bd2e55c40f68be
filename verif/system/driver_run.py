"""The driver's accesses on simulated RTL. Runs inside cocotb: starts the program, does what its lines ask for, answers.

The request is the JSON file named by HAYATE_REQUEST: ``command``, ``said`` (file for what the program says, as JSON).
Lines: ``R offset``, ``W offset value``, ``L address data``, ``I`` (wait for irq; the answer is 1, or 0 where it does
not come), ``= name value``.
"""

import json
import os
import subprocess

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, SimTimeoutError, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiMaster

from hayate.sim.drive import PERIOD

PATIENCE = 200_000  # cycles without an interrupt


@cocotb.test()
async def driver(dut):
    request = json.loads(open(os.environ["HAYATE_REQUEST"]).read())
    dut.rst.value, dut.init.value = 1, 0
    Clock(dut.clk, PERIOD, "ns").start(start_high=False)
    window = AxiMaster(AxiBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst)
    registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 2)

    async def interrupt():
        if not int(dut.irq.value):
            try:
                await with_timeout(RisingEdge(dut.irq), PATIENCE * PERIOD, "ns")
            except SimTimeoutError:
                return 0
        return 1

    said, asked = [], {}
    with subprocess.Popen(request["command"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        for line in program.stdout:
            kind, *rest = line.split()
            asked[kind] = asked.get(kind, 0) + 1
            if kind == "=":
                said.append((" ".join(rest[:-1]), int(rest[-1])))
                continue
            numbers = [int(number, 16) for number in rest]
            if kind == "W":
                # A refused word, and a register that is not there, answer SLVERR, which a store does not see.
                await registers.write(numbers[0], numbers[1].to_bytes(4, "little"))
            elif kind == "L":
                await window.write(numbers[0], numbers[1].to_bytes(8, "little"))
            else:
                answer = (
                    await interrupt()
                    if kind == "I"
                    else int.from_bytes((await registers.read(numbers[0], 4)).data, "little")
                )
                program.stdin.write(f"{answer:x}\n")
                program.stdin.flush()
    assert program.returncode == 0, f"the program ended with {program.returncode}, having said {said}"
    with open(request["said"], "w") as file:
        json.dump({"said": said, "asked": asked}, file)
