"""Which part of the vector engine takes a flit."""

from amaranth.hdl import Const, Mux, Signal
from amaranth.utils import ceil_log2

from hayate.rtl.contract.flits import FlitKind
from hayate.rtl.contract.isa import PassWord, Space
from hayate.rtl.contract.words import DATA_ADDRESS, LANE, PASS_ADDRESS, SUM_ADDRESS
from hayate.rtl.ring.flit import narrow, view
from hayate.rtl.tile.vector.blocks import Blocks


def receive(m, engine, blocks: Blocks):
    """Connect the blocks of a `VectorEngine` with the flits that it receives.

    Returns the strobe of a load of vector memory.
    """
    micro, stage, mask, collect = blocks.micro, blocks.stage, blocks.mask, blocks.collect
    semaphores, filters = blocks.semaphores, blocks.filters
    rx, valid, lane = engine.rx, engine.rx_valid, view(LANE, engine.rx.data)  # COMMIT has position and slot there too
    load = Signal()
    load_vmem = Signal()
    clear = Signal()
    is_sum = Signal()
    total = view(SUM_ADDRESS, rx.addr)
    lanes, fetched = engine.lanes, view(DATA_ADDRESS, rx.addr)
    is_fetched = Signal()
    counts = total.counts if filters else Const(0)
    m.d.comb += [
        load.eq(valid & (rx.kind == FlitKind.LOAD)),
        load_vmem.eq(load & (rx.chan == Space.VMEM)),
        micro.rx_valid.eq(valid),
        micro.rx.eq(narrow(rx)),
        clear.eq(load & (rx.chan == Space.CLEAR)),
        mask.clear.eq(clear),
        mask.clear_row.eq(rx.addr),
        is_fetched.eq(valid & (rx.kind == FlitKind.DATA) & fetched.stage),
        stage.write.eq(Mux(clear, Const(-1, lanes), Mux(is_fetched, rx.mask, 0))),
        stage.write_row.eq(fetched.word[ceil_log2(lanes) :]),
        stage.write_data.eq(rx.data),
        mask.note.eq(valid & (rx.kind == FlitKind.PASS) & ((rx.chan == PassWord.LANE) | mask.commit)),
        mask.second.eq((rx.chan == PassWord.LANE) & lane.second if engine.lanes > 1 else 0),
        mask.commit.eq(rx.chan == PassWord.COMMIT),
        mask.lane.eq(view(PASS_ADDRESS, rx.addr).lane),
        mask.pos.eq(lane.position),
        mask.slot.eq(lane.slot),
        is_sum.eq(valid & (rx.kind == FlitKind.SUM)),
        collect.sum_valid.eq(Mux(is_sum & ~counts, rx.mask, 0)),
        collect.max_valid.eq(Mux(valid & (rx.kind == FlitKind.MAX), rx.mask, 0)),
        collect.high.eq(total.high),
        collect.vec.eq(total.vec),
        collect.senders.eq(engine.current.tile.group_size),
        collect.round.eq(total.round),  # where a maximum has it, too
        collect.words.eq(rx.data),
        semaphores.post.eq(valid & (rx.kind == FlitKind.SYNC)),
        semaphores.post_chan.eq(rx.chan),
    ]
    if filters:
        m.d.comb += [
            filters.count_valid.eq(Mux(is_sum & counts, rx.mask, 0)),
            filters.addr.eq(rx.addr),
            filters.counts.eq(rx.data),
            filters.start.eq(valid & (rx.kind == FlitKind.PASS) & (rx.chan == PassWord.START)),
            filters.top_k.eq(engine.current.tile.top_k),
            filters.min_p.eq(engine.current.tile.min_p),
            filters.index.eq(engine.current.tile.index),
        ]
    return load_vmem
