"""The host port: registers and load window, and their share of the ring."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hayate.rtl.contract.flits import CONDUCTOR, STOP_BITS, FlitKind
from hayate.rtl.contract.isa import Space
from hayate.rtl.contract.topology import stop_of
from hayate.rtl.contract.words import COUNTER_ADDRESS
from hayate.rtl.host.axi import Axi4, AxiLite
from hayate.rtl.host.initializer import Initializer
from hayate.rtl.host.loader import Loader
from hayate.rtl.host.power import Power
from hayate.rtl.host.registers import Registers
from hayate.rtl.interfaces import TOKENS, Control, RingPort, Tables
from hayate.rtl.ring.flit import view


class HostPort(wiring.Component):
    """`Registers` and `Loader` at the conductor's ring stop.

    `ring.tx` carries the LOAD flits and the READ requests, each in its order; a READ goes first where both want to
    begin, and what is on offer stays. A READ's `data` is whatever the last LOAD's was. A delivered READ with ``lo ==
    CONDUCTOR`` and without ENERGY_BIT is the reply; every other flit is left to the conductor. Latency of each way is
    that of the part behind it; this adds no cycle. To give a top module ports called ``s_axil_awaddr`` and so on, use
    `hayate.rtl.host.axi.exposed` and `expose`.

    `Power` resets the machine behind it, and has `Initializer` clear it.

    Parameters
    ----------
    config: `Config`. contract_word: what CONTRACT reads as.

    Members
    -------
    s_axil: In(AxiLite). s_axi: In(Axi4). irq: Out, level. fault: In, a rising edge is one memory error.
    init: In, as of `Power`. core_reset: Out, resets tiles, ring and conductor. clearing: Out, a level: the conductor
        clears its memories; cleared: In, it has.
    ring: Out(RingPort). returned: In, as of `Conditions`.
    control: Out(Control). tables: Out(Tables). tokens: In stream of Token.
    """

    def __init__(self, config, contract_word):
        self._config, self._contract_word = config, contract_word
        governor, sampling = bool(config.governor), bool(config.sampling)
        super().__init__(
            {
                "s_axil": In(AxiLite()),
                "s_axi": In(Axi4()),
                "irq": Out(1),
                "fault": In(1),
                "init": In(1),
                "core_reset": Out(1),
                "clearing": Out(1),
                "cleared": In(1),
                "ring": Out(RingPort()),
                "returned": In(1),
                "control": Out(Control(governor=governor, sampling=sampling)),
                "tables": Out(Tables(governor=governor)),
                "tokens": In(TOKENS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.registers = registers = Registers(self._config, self._contract_word)
        m.submodules.loader = loader = Loader(self._config)
        m.submodules.power = power = Power()
        m.submodules.initializer = initializer = Initializer(self._config)
        connect(m, flipped(self.s_axil), registers.bus)
        connect(m, flipped(self.s_axi), loader.bus)
        connect(m, flipped(self.tokens), registers.tokens)
        connect(m, registers.control, flipped(self.control))
        connect(m, loader.tables, flipped(self.tables))
        connect(m, loader.status, registers.status)
        connect(m, registers.single, loader.single)
        connect(m, initializer.words, loader.clear)

        # What loading sees of the machine, and power of the commands. After a generation that was given up the ring
        # may stand still: a word that waited for it would hold up the very bus that CONTROL.RESET comes by.
        control, conditions, ring = self.control, loader.conditions, self.ring
        m.d.comb += [
            self.irq.eq(registers.irq),
            registers.fault.eq(self.fault),
            conditions.busy.eq(control.busy | control.start | control.hung),
            conditions.fault.eq(self.fault),
            conditions.returned.eq(self.returned),
            conditions.abandon.eq(power.core_reset),
            conditions.clearing.eq(power.clearing),
            power.init.eq(self.init),
            power.reset.eq(registers.reset),
            power.clear.eq(registers.clear),
            registers.ready.eq(power.ready),
            registers.core_reset.eq(power.core_reset),
            self.core_reset.eq(power.core_reset),
            self.clearing.eq(power.clearing),
            initializer.start.eq(power.sweep),
            power.cleared.eq(self.cleared & ~initializer.busy & loader.quiet),
        ]

        # Towards the ring. A LOAD that was on offer and not taken goes before a READ that came later. A READ borrows
        # the loader's data, which costs no multiplexer, and holds the loader so that its own offer does not change.
        read = registers.request
        load = loader.tx
        offered = Signal()
        m.d.sync += offered.eq(load.valid & ~load.ready & ~read.valid | offered & ~load.ready)
        reading = Signal()
        stop = stop_of(read.payload.tile)[:STOP_BITS]
        m.d.comb += [
            reading.eq(read.valid & ~offered),
            ring.tx.valid.eq(read.valid | load.valid),
            ring.tx.payload.eq(load.payload),
            conditions.hold.eq(read.valid | power.core_reset),
            read.ready.eq(ring.tx.ready & reading),
            load.ready.eq(ring.tx.ready & ~reading),
        ]
        with m.If(reading):
            m.d.comb += [
                ring.tx.payload.kind.eq(FlitKind.READ),
                ring.tx.payload.lo.eq(stop),
                ring.tx.payload.hi.eq(stop),
                ring.tx.payload.chan.eq(Space.COUNTER),
                ring.tx.payload.addr.eq(read.payload.counter),
            ]

        arrived = ring.rx.payload
        asked = view(COUNTER_ADDRESS, arrived.addr)
        m.d.comb += [
            registers.reply_valid.eq(
                ring.rx.valid & (arrived.kind == FlitKind.READ) & (arrived.lo == CONDUCTOR) & ~asked.energy
            ),
            registers.reply_value.eq(arrived.data),
        ]
        return m
