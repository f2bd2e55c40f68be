"""Landing buffer: finished rows of the matrix engine, in order, until the vector engine has used them."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.isa import MATRIX_AHEAD

#: GEMVs without rows that may wait at once: as many as the matrix engine may be ahead, and one more.
NO_ROWS_MOST = MATRIX_AHEAD + 1


class LandingBuffer(wiring.Component):
    """Queue of rows (`lanes` x FP32) whose waiting rows can be read in any order.

    The producer keeps count of free places itself: it starts with `depth` and gets back what is dropped; a row pushed
    without a place overwrites the oldest. A row pushed in cycle t counts, and can be read, from cycle t + 1 on. A read
    names its row relative to the oldest one waiting, before this cycle's drop; data come one cycle after `read` and
    hold until the next. Dropping more rows than wait is outside the contract. Reset empties the buffer.

    A GEMV of which the tile has no rows counts beside them, so that the RUN that follows it can wait for its turn
    (`VectorEngine`).

    Parameters
    ----------
    lanes: values of a row. depth: rows, a power of two, at least 2.

    Members
    -------
    row_valid, row: In, `lanes` x 32 bits. Push.
    count: Out. Rows waiting.
    read, offset: In. data: Out, `lanes` x 32 bits.
    drop: In(8). Oldest rows dropped at the end of this cycle.
    no_rows: In. A GEMV without rows has had its turn. no_rows_left: Out. One waits, from the cycle after that on.
        no_rows_drop: In. It no longer does, from the next cycle on; only while `no_rows_left`. At most NO_ROWS_MOST
        wait at once.
    """

    def __init__(self, lanes: int, depth: int):
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"a landing buffer has a power of two of rows, at least 2, not {depth}")
        self.lanes, self.depth = lanes, depth
        super().__init__(
            {
                "row_valid": In(1),
                "row": In(32).array(lanes),
                "count": Out(range(depth + 1)),
                "read": In(1),
                "offset": In(ceil_log2(depth)),
                "data": Out(32).array(lanes),
                "drop": In(8),
                "no_rows": In(1),
                "no_rows_left": Out(1),
                "no_rows_drop": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        head = Signal(ceil_log2(self.depth))
        tail = Signal(ceil_log2(self.depth))
        with m.If(self.row_valid):
            m.d.sync += tail.eq(tail + 1)
        with m.If(self.drop != 0):
            m.d.sync += head.eq(head + self.drop)
        with m.If(self.row_valid | (self.drop != 0)):
            m.d.sync += self.count.eq(self.count + self.row_valid - self.drop)
        without_rows = Signal(range(NO_ROWS_MOST + 1))
        m.d.comb += self.no_rows_left.eq(without_rows != 0)
        with m.If(self.no_rows ^ self.no_rows_drop):
            m.d.sync += without_rows.eq(Mux(self.no_rows, without_rows + 1, without_rows - 1))
        for k in range(self.lanes):
            m.submodules[f"lane_{k}"] = store = memory.Memory(shape=32, depth=self.depth, init=[])
            write, read = store.write_port(), store.read_port()
            m.d.comb += [
                write.en.eq(self.row_valid),
                write.addr.eq(tail),
                write.data.eq(self.row[k]),
                read.en.eq(self.read),
                read.addr.eq(head + self.offset),
                self.data[k].eq(read.data),
            ]
        return m
