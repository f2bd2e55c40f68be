"""The host port: registers and load window, and their share of the ring."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..contract.draft import BASE_WRITES
from ..contract.flits import CONDUCTOR, FlitKind
from ..contract.isa import ENERGY_BIT, Space
from .axi import Axi4, AxiLite
from .loader import FLIT_STREAM, Flit, Loader
from .registers import FROM_CONDUCTOR, TO_CONDUCTOR, Registers, Token, present

#: Ports from `Loader` to the conductor's memories.
LOCAL_WRITES = {"prompt_write": 1, "prompt_addr": 16, "prompt_token": 20, **BASE_WRITES,
                "matrix_write": 1, "matrix_addr": 16, "matrix_data": 64}


class HostPort(wiring.Component):
    """`Registers` and `Loader` at the conductor's ring stop.

    `tx` carries the LOAD flits and the READ requests, each in its order; a READ goes first where both want to begin, and what is on offer
    stays. A READ's `data` is whatever the last LOAD's was. A delivered READ with ``lo == CONDUCTOR`` and without ENERGY_BIT is the reply;
    every other flit is left to the conductor. Latency of each way is that of the part behind it; this adds no cycle. To give a top module
    ports called ``s_axil_awaddr`` and so on, use `hayate.rtl.host.axi.exposed` and `expose`.

    Parameters
    ----------
    tiles, banks, lanes, bank_depth, max_slots, prompt_depth, matrices, contract_word, sampling: as for `Registers`.

    Members
    -------
    s_axil: In(AxiLite). s_axi: In(Axi4). irq: Out, level. fault: In, a rising edge is one memory error.
    tx: Out stream of Flit. rx_valid, rx: In, delivered flits; never refused.
    prompt_write, prompt_addr, prompt_token, base_write, base_addr, base_data, matrix_write, matrix_addr, matrix_data: Out, as of
    `Loader`. tokens: In stream of Token.
    and the ports of TO_CONDUCTOR (Out) and FROM_CONDUCTOR (In); those that are `present`.
    """

    def __init__(self, *, tiles, prompt_depth, matrices, sampling=True, **sizes):
        self._loader = dict(tiles=tiles, prompt_depth=prompt_depth, matrices=matrices)
        self._registers = dict(**self._loader, sampling=sampling, **sizes)
        self._inputs, self._outputs, self._writes = (
            present(names, matrices > 0, sampling) for names in (FROM_CONDUCTOR, TO_CONDUCTOR, LOCAL_WRITES))
        super().__init__({
            "s_axil": In(AxiLite()), "s_axi": In(Axi4()), "irq": Out(1), "fault": In(1),
            "tx": Out(FLIT_STREAM), "rx_valid": In(1), "rx": In(Flit), "tokens": In(stream.Signature(Token)),
            **{name: Out(LOCAL_WRITES[name]) for name in self._writes},
            **{name: Out(TO_CONDUCTOR[name]) for name in self._outputs}, **{name: In(FROM_CONDUCTOR[name]) for name in self._inputs},
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.registers = registers = Registers(**self._registers)
        m.submodules.loader = loader = Loader(**self._loader)
        connect(m, flipped(self.s_axil), registers.bus)
        connect(m, flipped(self.s_axi), loader.bus)
        connect(m, flipped(self.tokens), registers.tokens)
        m.d.comb += [getattr(self, name).eq(getattr(registers, name)) for name in (*self._outputs, "irq")]
        m.d.comb += [getattr(registers, name).eq(getattr(self, name)) for name in (*self._inputs, "fault")]
        m.d.comb += [getattr(self, name).eq(getattr(loader, name)) for name in self._writes]

        # Towards the ring. A LOAD that was on offer and not taken goes before a READ that came later. A READ borrows the loader's
        # data, which costs no multiplexer, and holds the loader so that its own offer does not change.
        read, load, offered = registers.request, loader.tx, Signal()
        m.d.sync += offered.eq(load.valid & ~load.ready & ~read.valid | offered & ~load.ready)
        reading = Signal()
        stop = (read.payload.tile + 1)[:8]
        m.d.comb += [
            reading.eq(read.valid & ~offered), self.tx.valid.eq(read.valid | load.valid), self.tx.payload.eq(load.payload),
            loader.hold.eq(read.valid), read.ready.eq(self.tx.ready & reading), load.ready.eq(self.tx.ready & ~reading),
        ]
        with m.If(reading):
            m.d.comb += [
                self.tx.payload.kind.eq(FlitKind.READ), self.tx.payload.lo.eq(stop), self.tx.payload.hi.eq(stop),
                self.tx.payload.chan.eq(Space.COUNTER), self.tx.payload.addr.eq(read.payload.counter),
            ]

        m.d.comb += [
            registers.reply_valid.eq(
                self.rx_valid & (self.rx.kind == FlitKind.READ) & (self.rx.lo == CONDUCTOR) & ~self.rx.addr[ENERGY_BIT]),
            registers.reply_value.eq(self.rx.data),
        ]
        return m
