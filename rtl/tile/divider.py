"""Small sequential divider: sizes that follow from the number of tiles in a group, which need not be a power of two."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Divider(wiring.Component):
    """Unsigned restoring division, one quotient bit a cycle.

    Latency: `done` is high for one cycle, `width` + 1 cycles after `start`; quotient and remainder hold until the next
    `start`.
    `start` while busy begins anew. A denominator of 0 gives a quotient of all ones.

    Parameters
    ----------
    width: bits of numerator and quotient. den_width: bits of denominator and remainder.

    Members
    -------
    start: In. numerator: In(width), denominator: In(den_width), sampled with `start`.
    done: Out. quotient: Out(width), remainder: Out(den_width).
    """

    def __init__(self, width, den_width):
        self._width, self._den_width = width, den_width
        super().__init__(
            {
                "start": In(1),
                "numerator": In(width),
                "denominator": In(den_width),
                "done": Out(1),
                "quotient": Out(width),
                "remainder": Out(den_width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        divisor = Signal(self._den_width)
        left = Signal(range(self._width + 1))
        shifted = Cat(self.quotient[-1], self.remainder)  # remainder * 2 + next bit of the numerator
        rest = Signal(self._den_width + 2)
        m.d.comb += rest.eq(shifted - divisor)
        fits = ~rest[-1]
        m.d.sync += self.done.eq(0)
        with m.If(self.start):
            m.d.sync += [
                self.quotient.eq(self.numerator),
                self.remainder.eq(0),
                divisor.eq(self.denominator),
                left.eq(self._width),
            ]
        with m.Elif(left != 0):
            m.d.sync += [
                self.remainder.eq(rest),
                self.quotient.eq(Cat(fits, self.quotient[:-1])),
                left.eq(left - 1),
                self.done.eq(left == 1),
            ]
            with m.If(~fits):
                m.d.sync += self.remainder.eq(shifted)
        return m
