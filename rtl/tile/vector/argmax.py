"""Running extremes of a tile's own results: the maximum of attention scores, the best logit and its row."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.isa import GLOBAL_ROW_BITS, NO_ROW
from hayate.rtl.tile.vector.collect import LOWEST, above


class ArgMax(wiring.Component):
    """Per lane the largest of some values and, of others, the largest with the lowest row among its equals; in lane 0
    the next one, too.

    One element of all lanes per cycle; `maxima`, `best` and `rows` follow by one cycle. `maxima` take +0 to be above
    -0. `best` takes them as equal and keeps the row that came first: rows must ascend. Before the first element and
    after a clear `maxima` and `best` are the lowest finite value and `rows` NO_ROW; an element always replaces that.
    Reset clears. Nothing toggles without an input strobe.

    Parameters
    ----------
    lanes: values of an element.

    Members
    -------
    values: In, `lanes` x FP32.
    max_valid: In(lanes). Lanes whose value goes into the maximum. max_clear: In.
    arg_valid: In(lanes). Lanes whose value is a logit of row(20). arg_clear: In.
    maxima, best: Out, `lanes` x FP32. rows: Out, `lanes` x 20.
    second: Out, FP32; second_row: Out(20). Of lane 0, what would be `best` and `rows` without the best.
    """

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(
            {
                "values": In(32).array(lanes),
                "max_valid": In(lanes),
                "max_clear": In(1),
                "arg_valid": In(lanes),
                "row": In(GLOBAL_ROW_BITS),
                "arg_clear": In(1),
                "maxima": Out(32, init=LOWEST).array(lanes),
                "best": Out(32, init=LOWEST).array(lanes),
                "rows": Out(GLOBAL_ROW_BITS, init=NO_ROW).array(lanes),
                "second": Out(32, init=LOWEST),
                "second_row": Out(GLOBAL_ROW_BITS, init=NO_ROW),
            }
        )

    def elaborate(self, platform):
        m = Module()
        seen = Signal(self.lanes)
        with m.If(self.arg_clear):
            m.d.sync += seen.eq(0)
        with m.Else():
            m.d.sync += seen.eq(seen | self.arg_valid)
        for k in range(self.lanes):
            value, maximum, best, row = self.values[k], self.maxima[k], self.best[k], self.rows[k]
            with m.If(self.max_clear):
                m.d.sync += maximum.eq(Const(LOWEST, 32))
            with m.Elif(self.max_valid[k] & above(value, maximum)):
                m.d.sync += maximum.eq(value)

            better = Signal(name=f"better_{k}")
            m.d.comb += better.eq(~seen[k] | larger(value, best))
            with m.If(self.arg_clear):
                m.d.sync += [best.eq(Const(LOWEST, 32)), row.eq(NO_ROW)]
            with m.Elif(self.arg_valid[k] & better):
                m.d.sync += [best.eq(value), row.eq(self.row)]
            if k == 0:
                with m.If(self.arg_clear):
                    m.d.sync += [self.second.eq(Const(LOWEST, 32)), self.second_row.eq(NO_ROW)]
                with m.Elif(self.arg_valid[k] & better):
                    m.d.sync += [self.second.eq(best), self.second_row.eq(row)]
                with m.Elif(self.arg_valid[k] & ((self.second_row == NO_ROW) | larger(value, self.second))):
                    m.d.sync += [self.second.eq(value), self.second_row.eq(self.row)]
        return m


def larger(a, b):
    """FP32 a > b, where -0 equals +0."""
    return above(a, b) & Cat(a[:31], b[:31]).any()
