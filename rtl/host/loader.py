"""The AXI4 load window: write bursts become LOAD flits, prompt tokens and entries of the governor's table."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..contract.draft import BASE_LOG2, BASE_ONE_BIT, BASE_WRITES
from ..contract.flits import CONDUCTOR, FLIT_FIELDS, FlitKind
from ..contract.regmap import LOAD_ALL_TILES, LOAD_SPACE_BITS, LOAD_TILE_SHIFT, LoadSpace
from .axi import Axi4, Burst, Response

#: the same structure as the ring's, from the same table.
Flit = data.StructLayout(dict(FLIT_FIELDS))
FLIT_STREAM = stream.Signature(Flit)

#: the most tiles a ring can have: logical index 255 is the conductor's, stop 0 too.
MAX_TILES = CONDUCTOR - 1

BEAT_BITS = 3  # log2 of the bytes of a beat


class Loader(wiring.Component):
    """AXI4 subordinate whose address space is the load window of `hayate.rtl.contract.regmap`.

    Each beat of a write burst becomes one LOAD flit, or, in space PROMPT, one write of the prompt buffer, or, in space GOVERNOR, one half
    of an entry in the governor's table, or, in space NGRAM, an entry of the drafter's base table; these are called local here. INCR bursts
    count up within the space, FIXED ones stay; WLAST ends a burst (AWLEN is not looked at). One beat a cycle as long as the ring takes the
    flits, and 3 cycles without one between bursts. A flit is offered, and a local word written, the cycle after its beat. The response
    comes after the ring has taken the burst's last flit, so whatever the host does next reaches the tiles behind it. Reset drops a burst in
    progress.

    Refused with SLVERR, as a whole: a burst that is neither INCR nor FIXED, whose size is not 8 bytes, whose address is not a multiple of 8
    bytes, names a space that cannot be written or a tile that is not there, or has a bit set that means nothing. Refused from that beat to
    the end of the burst: a beat with a strobe low, or beyond the buffer or table. Refused beats are taken from the bus and go nowhere.
    Reads are answered with SLVERR and zeros on every beat. Attributes (lock, cache, protection) are not looked at.

    Parameters
    ----------
    tiles: tiles of the ring. prompt_depth: tokens of the prompt buffer. matrices: entries of the governor's table; 0: there is none, its
        space cannot be written, and the members for it are not there.

    Members
    -------
    bus: In(Axi4). tx: Out stream of Flit; its `data` changes only when a beat has been taken.
    hold: In, no beat is taken while it is high.
    prompt_write, prompt_addr (16), prompt_token (20): Out, `prompt_write` high for a cycle per token.
    base_write, base_addr (13), base_data (32): Out, `base_write` high for a cycle per entry.
    matrix_write, matrix_addr (16), matrix_data (64): Out, `matrix_write` high for a cycle per half.
    """

    def __init__(self, tiles=MAX_TILES, prompt_depth=1 << 16, matrices=1 << 15):
        if not 1 <= tiles <= MAX_TILES:
            raise ValueError(f"tiles: a ring has 1 to {MAX_TILES}, not {tiles}")
        self._tiles, self._prompt_depth, self._matrices = tiles, prompt_depth, matrices
        super().__init__({
            "bus": In(Axi4()), "tx": Out(FLIT_STREAM), "hold": In(1),
            "prompt_write": Out(1), "prompt_addr": Out(16), "prompt_token": Out(20),
            **{name: Out(width) for name, width in BASE_WRITES.items()},
            **({"matrix_write": Out(1), "matrix_addr": Out(16), "matrix_data": Out(64)} if matrices else {}),
        })

    def elaborate(self, platform):
        m = Module()
        self._write_channel(m)
        self._read_channel(m)
        return m

    def _write_channel(self, m):
        bus, tx = self.bus, self.tx
        space_bits, addr_bits = LOAD_SPACE_BITS, FLIT_FIELDS["addr"]
        window = data.StructLayout({
            "byte": BEAT_BITS, "addr": addr_bits, "space": space_bits,
            "tile": len(bus.awaddr) - LOAD_TILE_SHIFT,
        })
        asked = Signal(window)
        to_all, to_prompt, to_base, to_matrix, refused = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            asked.eq(bus.awaddr), to_all.eq(asked.tile == LOAD_ALL_TILES), to_prompt.eq(asked.space == LoadSpace.PROMPT),
            to_matrix.eq(asked.space == LoadSpace.GOVERNOR), to_base.eq(asked.space == LoadSpace.NGRAM),
            refused.eq(
                (asked.byte != 0) | (bus.awsize != BEAT_BITS)
                | ((bus.awburst != Burst.INCR) & (bus.awburst != Burst.FIXED))
                | (to_matrix if not self._matrices else 0)
                | (asked.space > int(max(LoadSpace)))
                | ((asked.tile >= self._tiles) & ~to_all & ~to_prompt & ~to_base & ~to_matrix)
            ),
        ]

        # The burst in progress.
        counts_up, prompt, base, matrix, bad = Signal(), Signal(), Signal(), Signal(), Signal()
        addr = Signal(addr_bits)  # of the next beat
        bad_beat = Signal()
        beyond = prompt & (addr >= self._prompt_depth) | base & (addr >= (1 << BASE_ONE_BIT) + (1 << BASE_LOG2[0]))
        if self._matrices:
            beyond |= matrix & (addr >= 2 * self._matrices)
        m.d.comb += bad_beat.eq(bad | ~bus.wstrb.all() | beyond)

        # One register holds the flit on offer, or the local word being written.
        flit = Signal(Flit)
        m.d.comb += [
            tx.payload.eq(flit), tx.payload.kind.eq(FlitKind.LOAD), self.prompt_addr.eq(flit.addr), self.prompt_token.eq(flit.data),
            self.base_addr.eq(flit.addr), self.base_data.eq(flit.data),
        ]
        m.d.sync += [self.prompt_write.eq(0), self.base_write.eq(0)]
        if self._matrices:
            m.d.comb += [self.matrix_addr.eq(flit.addr), self.matrix_data.eq(flit.data)]
            m.d.sync += self.matrix_write.eq(0)
        with m.If(tx.ready):
            m.d.sync += tx.valid.eq(0)

        with m.FSM(name="write") as write:
            with m.State("ADDRESS"):
                with m.If(bus.awvalid):
                    stop = (asked.tile + 1)[:8]
                    m.d.sync += [
                        bus.bid.eq(bus.awid), addr.eq(asked.addr), counts_up.eq(bus.awburst == Burst.INCR),
                        prompt.eq(to_prompt), base.eq(to_base), matrix.eq(to_matrix), bad.eq(refused),
                        flit.chan.eq(asked.space), flit.lo.eq(Mux(to_all, 1, stop)), flit.hi.eq(Mux(to_all, MAX_TILES, stop)),
                    ]
                    m.next = "DATA"
            with m.State("DATA"):
                with m.If(bus.wvalid & bus.wready):
                    m.d.sync += [
                        bad.eq(bad_beat), addr.eq(addr + counts_up), flit.addr.eq(addr), flit.data.eq(bus.wdata),
                        tx.valid.eq(~bad_beat & ~prompt & ~base & ~matrix), self.prompt_write.eq(~bad_beat & prompt),
                        self.base_write.eq(~bad_beat & base),
                    ]
                    if self._matrices:
                        m.d.sync += self.matrix_write.eq(~bad_beat & matrix)
                    with m.If(bus.wlast):
                        m.next = "RESPONSE"
            with m.State("RESPONSE"):
                with m.If(bus.bvalid & bus.bready):
                    m.next = "ADDRESS"
        m.d.comb += [
            bus.awready.eq(write.ongoing("ADDRESS")), bus.wready.eq(write.ongoing("DATA") & (~tx.valid | tx.ready) & ~self.hold),
            bus.bvalid.eq(write.ongoing("RESPONSE") & ~tx.valid), bus.bresp.eq(Mux(bad, Response.SLVERR, Response.OKAY)),
        ]

    def _read_channel(self, m):
        bus = self.bus
        beats = Signal(8)  # that follow the one on offer
        m.d.comb += [bus.arready.eq(~bus.rvalid), bus.rresp.eq(Response.SLVERR), bus.rlast.eq(beats == 0)]
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [bus.rvalid.eq(1), bus.rid.eq(bus.arid), beats.eq(bus.arlen)]
        with m.If(bus.rvalid & bus.rready):
            m.d.sync += [beats.eq(beats - 1), bus.rvalid.eq(~bus.rlast)]
