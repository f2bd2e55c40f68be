"""The package: host port and conductor at ring stop 0, and a ring through every tile."""

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect

from hayate.rtl.conductor.conductor import Conductor
from hayate.rtl.contract.activity import ACTIVITY, PHASE_BITS
from hayate.rtl.contract.flits import CONDUCTOR, FlitKind
from hayate.rtl.contract.image import contract_hash
from hayate.rtl.contract.isa import GLOBAL_ROW_BITS
from hayate.rtl.contract.topology import Topology
from hayate.rtl.contract.words import POSITION_BITS
from hayate.rtl.host.axi import Axi4, AxiLite, expose, exposed
from hayate.rtl.host.host import HostPort
from hayate.rtl.ring.flit import Flit, flit_layout, flit_stream, narrow, widen
from hayate.rtl.ring.stop import RingStop
from hayate.rtl.tile.tile import Tile


def tile_arguments(config):
    """Arguments of `Tile` for a configuration: fields and properties of it."""
    names = (
        "banks",
        "lanes",
        "bank_depth",
        "act_depth",
        "stage_depth",
        "vmem_depth",
        "program_depth",
        "micro_depth",
        "desc_depth",
        "landing_depth",
        "max_slots",
        "nested",
        "governor",
        "sampling",
    )
    return {name: getattr(config, name) for name in names}


class Package(wiring.Component):
    """A whole machine. Tiles are instances of one Verilog module, elaborated once however many there are (see `emit`).

    Clock `clk`, synchronous reset `rst`, high for at least 2 cycles; memories keep their contents.

    Parameters
    ----------
    config: `Config`.
    tile_module: name of the tile's Verilog module.

    Members
    -------
    s_axil_*, s_axi_*: AXI4-Lite registers and AXI4 load window, see `contract.regmap` and `host.axi`.
    init: In, looked at while `rst` is high: clear all memories and registers afterwards, as CONTROL.INIT does. Silicon
        needs it once.
    irq: Out, level: an enabled interrupt is pending. fault: Out, high for a cycle when a memory error was seen.
    trace_valid, trace_row, trace_mask, trace_values: Out, per tile, see `Tile`; trace_values has M FP32 values, lane 0
        in the low bits.
    trace_verdict: Out, a strobe behind the logits of a pass. trace_kept: Out(M), lanes whose logits belong to the text.
        trace_positions: Out(16 * M), their positions, lane 0 in the low bits.
    phase: Out(4), a `contract.activity.Phase`, of the conductor. activity: Out, per tile, `contract.activity.ACTIVITY`.
    """

    def __init__(self, config, tile_module="hayate_tile"):
        self._config, self._tile_module = config, tile_module
        tiles, lanes = config.tiles, config.lanes
        super().__init__(
            {
                **exposed("s_axil", AxiLite()),
                **exposed("s_axi", Axi4()),
                "init": In(1),
                "irq": Out(1),
                "fault": Out(1),
                "trace_verdict": Out(1),
                "trace_kept": Out(lanes),
                "trace_positions": Out(POSITION_BITS * lanes),
                "trace_valid": Out(1).array(tiles),
                "trace_row": Out(GLOBAL_ROW_BITS).array(tiles),
                "trace_mask": Out(lanes).array(tiles),
                "trace_values": Out(32 * lanes).array(tiles),
                "phase": Out(PHASE_BITS),
                "activity": Out(ACTIVITY.bits).array(tiles),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self._config
        m.submodules.host = host = HostPort(c, int(contract_hash()[:8], 16))
        # The host port resets everything else, so that a reset by command is one by pin, and `rst` drives few
        # registers.
        conductor = Conductor(
            lanes=c.lanes,
            prompt_depth=c.prompt_depth,
            max_slots=c.max_slots,
            ring_tiles=c.tiles,
            max_matrices=c.matrices,
            sampling=bool(c.sampling),
        )
        stop = RingStop(c.lanes)
        reset = ResetInserter(host.core_reset)
        m.submodules.conductor, m.submodules.stop = reset(conductor), reset(stop)
        expose(m, self, "s_axil", host.s_axil)
        expose(m, self, "s_axi", host.s_axi)

        connect(m, host.control, conductor.control)
        connect(m, host.tables, conductor.tables)
        connect(m, conductor.tokens, host.tokens)
        m.d.comb += [
            host.init.eq(self.init),
            conductor.init.eq(host.clearing),
            host.cleared.eq(conductor.initialized),
            host.returned.eq(stop.deliver.valid & (stop.deliver.payload.kind == FlitKind.LOAD)),
            self.irq.eq(host.irq),
            self.trace_verdict.eq(conductor.verdict),
            self.trace_kept.eq(conductor.kept),
            self.trace_positions.eq(Cat(conductor.positions)),
            self.phase.eq(conductor.phase),
        ]

        # Stop 0: the conductor goes first; the host loads and reads between generations or waits.
        arrived = stop.deliver.payload
        rx_valid = Signal()
        rx = Signal(flit_layout(c.lanes))
        m.d.comb += stop.deliver.ready.eq(1)
        m.d.sync += [rx_valid.eq(stop.deliver.valid & (arrived.lo == CONDUCTOR)), rx.eq(arrived)]
        for block, flit in ((host, narrow(rx)), (conductor, rx)):
            m.d.comb += [block.ring.rx.valid.eq(rx_valid), block.ring.rx.payload.eq(flit)]
        sent = Mux(conductor.ring.tx.valid, conductor.ring.tx.payload.as_value(), host.ring.tx.payload.as_value())
        m.d.comb += [  # nothing of theirs ends before it is round: `near` and `travels` stay 0
            stop.inject.valid.eq(conductor.ring.tx.valid | host.ring.tx.valid),
            stop.inject.payload.eq(widen(data.View(Flit, sent), c.lanes)),
            conductor.ring.tx.ready.eq(stop.inject.ready),
            host.ring.tx.ready.eq(stop.inject.ready & ~conductor.ring.tx.valid),
        ]

        # The ring.
        before = stop.ring_out
        faults = Signal(c.tiles)
        for t, number in enumerate(Topology(c.tiles).stops):
            after = flit_stream(c.lanes).create(path=(f"hop_{number}",))
            values = Signal(32 * c.lanes, name=f"values_{t}")
            m.submodules[f"tile_{t}"] = Instance(
                self._tile_module,
                i_clk=ClockSignal(),
                i_rst=host.core_reset,
                i_stop_id=Const(number, 8),
                i_ring_in__valid=before.valid,
                i_ring_in__payload=before.payload.as_value(),
                o_ring_in__ready=before.ready,
                o_ring_out__valid=after.valid,
                o_ring_out__payload=after.payload.as_value(),
                i_ring_out__ready=after.ready,
                o_trace__valid=self.trace_valid[t],
                o_trace__row=self.trace_row[t],
                o_trace__mask=self.trace_mask[t],
                o_activity=self.activity[t],
                o_fault=faults[t],
                **{f"o_trace__values__{lane}": values[32 * lane : 32 * lane + 32] for lane in range(c.lanes)},
            )
            m.d.comb += self.trace_values[t].eq(values)
            before = after
        m.d.comb += [
            stop.ring_in.valid.eq(before.valid),
            stop.ring_in.payload.eq(before.payload),
            before.ready.eq(stop.ring_in.ready),
            # What INIT has not been to yet may complain.
            self.fault.eq((faults.any() | conductor.fault) & ~host.clearing),
            host.fault.eq(self.fault),
        ]
        return m


def tile(config):
    """The tile component of a configuration."""
    return Tile(**tile_arguments(config))
