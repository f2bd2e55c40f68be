"""A driver of the whole chip over its two ports, by the documents, for tests that are no kind hosts. Imported inside
the simulator only.
"""

from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout

from hayate.rtl.contract.regmap import BY_NAME, LOAD_ALL_TILES, LoadSpace, load_address
from hayate.sim.machine.generation_run import bursts, field
from hayate.verif.host.buses import manager

PERIOD = 10  # nanoseconds
OKAY, SLVERR = 0, 2
START, ABORT, RESET, INIT = 1, 2, 4, 8
HANG = 400_000  # cycles after which the chip counts as hung


class Chip:
    """Registers by name, words by address; every wait is bounded, and fails where the chip says nothing."""

    def __init__(self, dut):
        self.dut = dut
        Clock(dut.clk, PERIOD, "ns").start(start_high=False)
        self.lite, self.window = manager(dut, "s_axil", lite=True, stall=0), manager(dut, "s_axi", stall=0)

    async def pin_reset(self, cycles=2, init=0):
        self.dut.rst.value, self.dut.init.value = 1, init
        await ClockCycles(self.dut.clk, cycles)
        self.dut.rst.value = 0

    async def read(self, name, part=None):
        answer = await self.lite.read(BY_NAME[name].offset, 4)
        assert answer.resp == OKAY, name
        value = int.from_bytes(answer.data, "little")
        return value if part is None else field(name, part, value)

    async def write(self, name, value):
        assert (await self.lite.write(BY_NAME[name].offset, int(value).to_bytes(4, "little"))).resp == OKAY, name

    async def words(self, words, *, answers=(OKAY,)):
        """Write words through the window, as few bursts as there can be; each response must be one of `answers`."""
        for address, data in bursts(words):
            response = int((await self.window.write(address, data)).resp)
            assert response in answers, f"{response} at {address:#x}"

    async def words_by_registers(self, words):
        """The same, as a host of 32 bits does it."""
        at = None
        for address, data in words:
            if address != at:
                await self.write("LOAD_ADDRESS_LOW", address & 0xFFFFFFFF)
                await self.write("LOAD_ADDRESS_HIGH", address >> 32)
            await self.write("LOAD_DATA_LOW", data & 0xFFFFFFFF)
            await self.write("LOAD_DATA_HIGH", data >> 32)
            at = address + 8

    async def ready(self):
        for _ in range(HANG):
            if await self.read("STATUS", "READY"):
                return
        raise AssertionError("READY does not come")

    async def load(self, words, by_registers=False):
        await (self.words_by_registers if by_registers else self.words)(words)
        assert await self.read("STATUS", "LOADED") == 1 and await self.read("STATUS", "REFUSED") == 0

    async def prompt(self, tokens, answers=(OKAY,)):
        await self.words(
            [(load_address(LOAD_ALL_TILES, LoadSpace.PROMPT, at), t) for at, t in enumerate(tokens)], answers=answers
        )

    async def start(self, registers):
        """Set the parameters and START; whether it was taken."""
        while await self.read("TOKEN", "VALID"):
            pass
        for name, value in registers.items():
            await self.write(name, value)
        await self.write("IRQ_STATUS", 7)
        await self.write("IRQ_ENABLE", 7)
        await self.write("CONTROL", START)
        return not await self.read("STATUS", "REJECTED")

    async def cycles(self, count):
        await ClockCycles(self.dut.clk, count)

    async def drain(self):
        """The tokens that the FIFO holds."""
        found = []
        while (word := await self.read("TOKEN")) >> 31:
            found.append(word & 0xFFFFF)
        return found

    async def finish(self):
        """Tokens until DONE, and whether a FAULT came."""
        tokens, pending = [], 0
        while not pending & 2:
            if not int(self.dut.irq.value):
                await with_timeout(RisingEdge(self.dut.irq), HANG * PERIOD, "ns")
            now = await self.read("IRQ_STATUS")
            await self.write("IRQ_STATUS", now)
            pending |= now
            tokens += await self.drain()
        return tokens, bool(pending & 4)
