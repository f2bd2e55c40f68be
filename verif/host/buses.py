"""AXI managers with random pauses on every channel, for benches. Imported inside the simulator only."""

import logging
import warnings

from hayate.verif.bench import rng

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it still uses what cocotb 2 renamed
    from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiMaster


def pause(channels, probability, name):
    """Pause each channel in about `probability` of the cycles; 0 takes the pauses away."""
    for number, channel in enumerate(channels):
        generator = rng(f"{name} {number}")

        def pauses(generator=generator):
            while True:
                yield generator.random() < probability

        channel.set_pause_generator(pauses() if probability else None)
        channel.pause = False


def channels(master):
    write, read = master.write_if, master.read_if
    return write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel


def manager(dut, prefix, *, lite=False, stall=0.3):
    """Manager of the bus whose ports are called PREFIX_awaddr and so on; `prefix` ends in ``_`` for a member of that
    name.
    """
    logging.getLogger("cocotb.dut").setLevel(logging.WARNING)
    bus, master = (AxiLiteBus, AxiLiteMaster) if lite else (AxiBus, AxiMaster)
    made = master(bus.from_prefix(dut, prefix), dut.clk)
    pause(channels(made), stall, prefix)
    return made


class Driver:
    """Register accesses by name over AXI4-Lite."""

    def __init__(self, dut, prefix, stall=0.3):
        from hayate.rtl.contract.regmap import BY_NAME

        self.table, self.bus = BY_NAME, manager(dut, prefix, lite=True, stall=stall)

    async def write(self, name, value):
        """Writes the whole register; fails unless the answer is OKAY."""
        assert (await self.bus.write(self.table[name].offset, value.to_bytes(4, "little"))).resp == 0

    async def read(self, name):
        answer = await self.bus.read(self.table[name].offset, 4)
        assert answer.resp == 0
        return int.from_bytes(answer.data, "little")

    async def field(self, register, field):
        low, width = next((low, width) for name, low, width, _ in self.table[register].fields if name == field)
        return await self.read(register) >> low & ((1 << width) - 1)
