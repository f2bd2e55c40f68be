"""The channels of AXI4-Lite: which register an access hits, and its answer."""

from operator import or_

from amaranth.hdl import Module, Mux, Signal

from hayate.rtl.contract.regmap import BY_NAME, REGISTERS
from hayate.rtl.host.axi import Response
from hayate.rtl.numerics.bits import tree

#: the register whose writing sends a load word, and is answered when that is in its place.
SENDS = BY_NAME["LOAD_DATA_HIGH"]


def write_channel(m: Module, bus, hits, data, strobe, sent, refused):
    """Collects address and data, raises the hit of the register addressed for a cycle, and answers.

    hits: register name -> Signal to drive, of those that can be written. data, strobe: Signals to drive, of the word
    being written. sent, refused: strobe behind a hit of SENDS, and what its answer then is.

    A write of SENDS, whose word is in its place 2 cycles behind the hit (`commit`)::

        cycle        0   1   2   3   4   5   6   7
        bus.awvalid  ~~~~____________________________
        bus.wvalid   ____~~~~________________________
        has_address  ____~~~~~~~~____________________
        has_data     ________~~~~____________________
        commit       ________~~~~____________________
        sending      ____________~~~~~~~~~~~~________
        bus.bvalid   ________________________~~~~____
    """
    address = Signal(bus.awaddr.shape())
    answer = Signal(2)
    has_address = Signal()
    has_data = Signal()
    commit = Signal()
    sending = Signal()
    m.d.comb += [
        bus.awready.eq(~has_address),
        bus.wready.eq(~has_data),
        commit.eq(has_address & has_data & ~bus.bvalid & ~sending),
        answer.eq(Response.SLVERR),
    ]
    with m.If(bus.awvalid & bus.awready):
        m.d.sync += [has_address.eq(1), address.eq(bus.awaddr)]
    with m.If(bus.wvalid & bus.wready):
        m.d.sync += [has_data.eq(1), data.eq(bus.wdata), strobe.eq(bus.wstrb)]
    with m.If(bus.bready):
        m.d.sync += bus.bvalid.eq(0)
    with m.If(commit):
        with m.Switch(address[2:]):
            for register in REGISTERS:
                with m.Case(register.offset >> 2):
                    m.d.comb += answer.eq(Response.OKAY)
                    if register.name in hits:
                        m.d.comb += hits[register.name].eq(1)
        waits = hits[SENDS.name]
        m.d.sync += [has_address.eq(0), has_data.eq(0), bus.bvalid.eq(~waits), sending.eq(waits), bus.bresp.eq(answer)]
    with m.If(sending & sent):
        m.d.sync += [sending.eq(0), bus.bvalid.eq(1), bus.bresp.eq(Mux(refused, Response.SLVERR, Response.OKAY))]


def read_channel(m: Module, bus, words, pop):
    """Takes an address, and answers with the word of the register addressed.

    words: register name -> its 32 bits. pop: Signal to drive, high for a cycle when a register is read that gives
    something up.

    Two reads, as close to each other as they can be::

        cycle        0   1   2   3   4   5   6   7
        bus.arvalid  ~~~~~~~~~~~~~~~~________________
        bus.arready  ~~~~________~~~~________~~~~~~~~
        has_address  ____~~~~~~~~____~~~~~~~~________
        decoded      ________~~~~________~~~~________
        answer       ________~~~~________~~~~________
        bus.rvalid   ____________~~~~________~~~~____
    """
    address = Signal(bus.araddr.shape())
    has_address = Signal()
    decoded = Signal()
    answer = Signal()
    chosen = Signal(len(REGISTERS))  # one-hot
    m.d.comb += [bus.arready.eq(~has_address), answer.eq(decoded & ~bus.rvalid)]
    with m.If(bus.arvalid & bus.arready):
        m.d.sync += [has_address.eq(1), address.eq(bus.araddr)]
    m.d.sync += decoded.eq(has_address & ~answer)
    with m.If(bus.rready):
        m.d.sync += bus.rvalid.eq(0)

    # Decoded in a cycle of its own, then AND and OR: half the LUTs of a multiplexer, most words being narrow or
    # constant.
    data = Signal(32)
    gated = []
    for register, select in zip(REGISTERS, chosen):
        m.d.sync += select.eq(address[2:] == register.offset >> 2)
        gated.append(words[register.name] & select.replicate(32))
        if register.access == "pop":
            m.d.comb += pop.eq(select & answer)
    m.d.comb += data.eq(tree(or_, gated))
    with m.If(answer):
        m.d.sync += [
            has_address.eq(0),
            bus.rvalid.eq(1),
            bus.rdata.eq(data),
            bus.rresp.eq(Mux(chosen.any(), Response.OKAY, Response.SLVERR)),
        ]
