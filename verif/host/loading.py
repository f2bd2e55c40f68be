"""The loader with what stands around it: a manager, a ring that gives every flit back, and the gate's rules beside
it.
"""

from hayate.golden.host.gate import Gate
from hayate.rtl.contract.isa import Csr, Space
from hayate.rtl.contract.load import Fact
from hayate.rtl.contract.regmap import LOAD_ALL_TILES, LoadSpace, load_address
from hayate.rtl.host.loader import Loader
from hayate.verif.bench import Bench, params
from hayate.verif.host.sizes import machine, parts, sealed

BENCH = Bench(lambda **sizes: Loader(machine(**sizes)), params=[{"formats": "fp16", "sampling": 0}, {}])

OKAY, SLVERR = 0, 2
FIXED, INCR, WRAP = 0, 1, 2


def whole(parameters):
    return not parameters


class Machine:
    """The loader under test with what stands around it: a manager, a ring that gives every flit back, the gate's rules
    beside it.
    """

    @classmethod
    async def begin(cls, dut, stall=0.3, trip=7):
        import cocotb
        from cocotb.triggers import RisingEdge

        from hayate.verif.bench.drivers import Sink, start
        from hayate.verif.host.buses import manager

        await start(dut)
        self = cls()
        self.dut, self.config, self.local, self.refusals, self.trip = dut, machine(**params()), [], [], trip
        self.gate, self.manager, self.sink = (
            Gate(self.config),
            manager(dut, "bus_", stall=stall),
            Sink(dut, "tx", stall=stall),
        )
        writes = [(LoadSpace.PROMPT, "prompt"), (LoadSpace.NGRAM, "base")]
        writes += [(LoadSpace.GOVERNOR, "matrices")] if self.config.governor else []

        async def watch():
            coming = [0] * trip
            while True:
                await RisingEdge(dut.clk)
                for space, name in writes:
                    enable, address, data = (
                        int(getattr(dut, f"tables__{name}__{part}").value) for part in ("enable", "address", "data")
                    )
                    if enable:
                        self.local.append((space, address, data))
                if int(dut.status__refused.value):
                    self.refusals.append(int(dut.status__reason.value))
                coming.append(int(dut.tx__valid.value) & int(dut.tx__ready.value))
                dut.conditions__returned.value = coming.pop(0)

        cocotb.start_soon(watch())
        return self

    async def write(self, address, words, *, bad_beats=(), busy=False, **how):
        """A burst of `words`, compared with the rules; the response."""
        flits, local, reasons, bad = [], [], [], False
        tile, space, addr = parts(address)
        step = how.get("burst", INCR) == INCR
        form = address & 7 or how.get("size", 3) != 3 or how.get("burst", INCR) == WRAP
        for beat, data in enumerate(words):
            reason, flit, write = self.gate.word(
                tile, space, addr, data, malformed=bool(form or bad or beat in bad_beats), busy=busy
            )
            flits += [flit] if flit is not None else []
            local += [write] if write else []
            reasons += [int(reason)] if reason else []
            bad = bool(bad or reason)
            addr = (addr + step) % (1 << 25)
        answer = await self.manager.write(address, b"".join(w.to_bytes(8, "little") for w in words), **how)
        if form:
            reasons = reasons[:1] * len(self.refusals)  # the manager makes more beats of it
        state = (answer.resp, self.sink.data, self.local, self.refusals)
        assert state == (SLVERR if bad else OKAY, flits, local, reasons), (hex(address), words, how)
        self.sink.data.clear()
        self.local.clear()
        self.refusals.clear()
        assert (
            bool(int(self.dut.status__state__loaded.value)) == self.gate.loaded
            and bool(int(self.dut.status__state__opened.value)) == self.gate.opened
        )
        assert int(self.dut.status__state__prompt_count.value) == self.gate.prompt_count
        return answer.resp

    async def load(self, words=(), **facts):
        for address, data in sealed(words, **facts):
            assert await self.write(address, [data]) == OKAY
        assert self.gate.loaded

    def address(self, generator):
        """An address that is there, or just is not; and a value that fits more often than not."""
        c = self.config
        tile = generator.choice([0, 1, c.tiles - 1, c.tiles, LOAD_ALL_TILES, LOAD_ALL_TILES - 1])
        space = generator.choice([*range(6), *LoadSpace, LoadSpace.PROMPT, LoadSpace.MODEL, 10, 15])
        depth = {
            Space.BANK: c.bank_depth,
            Space.PROGRAM: 4 * c.program_depth,
            Space.DESC: 4 * c.desc_depth,
            Space.MICRO: 2 * c.micro_depth,
            Space.VMEM: c.vmem_depth,
            LoadSpace.GOVERNOR: 2 * c.matrices,
            LoadSpace.PROMPT: c.prompt_depth,
            LoadSpace.NGRAM: 4608,
        }.get(space, 1)
        addr = generator.choice(
            [
                0,
                1,
                2,
                3,
                max(depth - 1, 0),
                depth,
                depth + 1,
                1 << generator.randrange(25),
                generator.randrange(depth + 1),
            ]
        )
        if space == Space.BANK:
            addr += generator.choice([0, 1, c.banks - 1, c.banks, 31]) << 20 if addr < 1 << 20 else 0
        elif space == Space.CSR:
            addr = generator.choice([*Csr, *Csr, 17, 31, 32, 33, 34, 45, 48, 63, 64, 1 << 12, 4155, 4156, 1 << 13])
        elif space == LoadSpace.MODEL:
            addr = generator.choice([*Fact, 7, 14, 16])
        width = generator.choice([1, 2, 5, 7, 8, 16, 20, 32, 33, 64])
        return load_address(tile, space, addr), generator.getrandbits(width)


def one(word):
    return word[0], [word[1]]


def lower_strobes(manager, beats, generator):
    """Lets a strobe be low in those of the next beats that are numbered in `beats`."""
    channel, number, send = manager.write_if.w_channel, 0, type(manager.write_if.w_channel).send

    async def sending(beat):
        nonlocal number
        if number in beats:
            beat.wstrb &= ~(1 << generator.randrange(8))
        number += 1
        await send(channel, beat)

    channel.send = sending
