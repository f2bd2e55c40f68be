"""The host port: registers and load window, and their share of the ring."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hayate.rtl.contract.flits import CONDUCTOR, FlitKind
from hayate.rtl.contract.isa import Space
from hayate.rtl.contract.topology import stop_of
from hayate.rtl.contract.words import COUNTER_ADDRESS
from hayate.rtl.host.axi import Axi4, AxiLite
from hayate.rtl.host.gate import LOCAL_WRITES
from hayate.rtl.host.initializer import Initializer
from hayate.rtl.host.loader import Loader
from hayate.rtl.host.power import Power
from hayate.rtl.host.registers import FROM_CONDUCTOR, TO_CONDUCTOR, Registers, Token, present
from hayate.rtl.ring.flit import FLIT_STREAM, Flit, view


class HostPort(wiring.Component):
    """`Registers` and `Loader` at the conductor's ring stop.

    `tx` carries the LOAD flits and the READ requests, each in its order; a READ goes first where both want to begin,
    and what is on offer stays. A READ's `data` is whatever the last LOAD's was. A delivered READ with ``lo ==
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
    tx: Out stream of Flit. rx_valid, rx: In, delivered flits; never refused. returned: In, as of `Gate`.
    prompt_write, prompt_addr, prompt_token, base_write, base_addr, base_data, matrix_write, matrix_addr, matrix_data:
        Out, as of
    `Loader`. tokens: In stream of Token.
    and the ports of TO_CONDUCTOR (Out) and FROM_CONDUCTOR (In); those that are `present`.
    """

    def __init__(self, config, contract_word):
        self._config, self._contract_word = config, contract_word
        built = config.governor, bool(config.sampling)
        self._inputs, self._outputs, self._writes = (
            present(names, *built) for names in (FROM_CONDUCTOR, TO_CONDUCTOR, LOCAL_WRITES)
        )
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
                "tx": Out(FLIT_STREAM),
                "rx_valid": In(1),
                "rx": In(Flit),
                "returned": In(1),
                "tokens": In(stream.Signature(Token)),
                **{name: Out(LOCAL_WRITES[name]) for name in self._writes},
                **{name: Out(TO_CONDUCTOR[name]) for name in self._outputs},
                **{name: In(FROM_CONDUCTOR[name]) for name in self._inputs},
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
        m.d.comb += [getattr(self, name).eq(getattr(registers, name)) for name in (*self._outputs, "irq")]
        m.d.comb += [getattr(registers, name).eq(getattr(self, name)) for name in self._inputs]
        m.d.comb += [getattr(self, name).eq(getattr(loader, name)) for name in self._writes]

        # What the registers see of loading and of power, and what they have a say in. Behind a generation that was
        # given up the ring may stand still: a word that waited for it would hold up the very bus that CONTROL.RESET
        # comes by.
        m.d.comb += [
            *(
                getattr(registers, name).eq(getattr(loader, name))
                for name in (
                    "loaded",
                    "opened",
                    "began",
                    "facts",
                    "prompt_count",
                    "word_refused",
                    "reason",
                    "single_refused",
                )
            ),
            registers.quiet.eq(loader.settled),
            registers.fault.eq(self.fault),
            loader.single_malformed.eq(registers.word_malformed),
            loader.busy.eq(self.busy | self.start | self.hung),
            loader.fault.eq(self.fault),
            loader.returned.eq(self.returned),
            loader.abandon.eq(power.core_reset),
            loader.clearing.eq(power.clearing),
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
        connect(m, registers.word, loader.single)
        connect(m, initializer.words, loader.clear)

        # Towards the ring. A LOAD that was on offer and not taken goes before a READ that came later. A READ borrows
        # the loader's data, which costs no multiplexer, and holds the loader so that its own offer does not change.
        read, load, offered = registers.request, loader.tx, Signal()
        m.d.sync += offered.eq(load.valid & ~load.ready & ~read.valid | offered & ~load.ready)
        reading = Signal()
        stop = stop_of(read.payload.tile)[:8]
        m.d.comb += [
            reading.eq(read.valid & ~offered),
            self.tx.valid.eq(read.valid | load.valid),
            self.tx.payload.eq(load.payload),
            loader.hold.eq(read.valid | power.core_reset),
            read.ready.eq(self.tx.ready & reading),
            load.ready.eq(self.tx.ready & ~reading),
        ]
        with m.If(reading):
            m.d.comb += [
                self.tx.payload.kind.eq(FlitKind.READ),
                self.tx.payload.lo.eq(stop),
                self.tx.payload.hi.eq(stop),
                self.tx.payload.chan.eq(Space.COUNTER),
                self.tx.payload.addr.eq(read.payload.counter),
            ]

        asked = view(COUNTER_ADDRESS, self.rx.addr)
        m.d.comb += [
            registers.reply_valid.eq(
                self.rx_valid & (self.rx.kind == FlitKind.READ) & (self.rx.lo == CONDUCTOR) & ~asked.energy
            ),
            registers.reply_value.eq(self.rx.data),
        ]
        return m
