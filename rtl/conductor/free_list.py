"""KV slots that are free again, and the next new one."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.words import SLOT_BITS


class FreeList(wiring.Component):
    """Hands out KV slots: the lowest of those given back, else the next new one.

    `slot` is what a `take` in this cycle takes. A take or a give counts at the clock edge: `slot` and `hwm` show it in
    the next cycle, in which the next may follow. The two never come in the same cycle. A slot given is one that is
    taken. The pool holds `lanes` slots, which is enough for passes that take up to `lanes`, then give back all but one
    or fewer; a give to a full pool loses the highest. `clear` wins over both. Reset is a clear.

    Parameters
    ----------
    lanes: M, entries of the pool.

    Members
    -------
    clear: In, all slots are new. take: In. slot: Out(16). give, given: In, In(16).
    hwm: Out(16). Slots in use, those in the pool included: the highest ever taken, plus 1.
    """

    def __init__(self, lanes):
        self._lanes = lanes
        super().__init__(
            {
                "clear": In(1),
                "take": In(1),
                "slot": Out(SLOT_BITS),
                "give": In(1),
                "given": In(SLOT_BITS),
                "hwm": Out(SLOT_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Ascending: those below the given one stay, it comes behind them, the others move up. `free` is a row of ones,
        # then zeros.
        pool = [Signal(SLOT_BITS, name=f"pool_{k}") for k in range(self._lanes)]
        free = Signal(self._lanes)
        below = Signal(self._lanes)
        for k in range(self._lanes):
            m.d.comb += below[k].eq(free[k] & (pool[k] < self.given))
        m.d.comb += self.slot.eq(Mux(free[0], pool[0], self.hwm))
        with m.If(self.give):
            for k in range(self._lanes):
                with m.If(~below[k]):
                    m.d.sync += pool[k].eq(self.given if k == 0 else Mux(below[k - 1], self.given, pool[k - 1]))
            m.d.sync += free.eq(free << 1 | 1)
        with m.If(self.take & free[0]):
            m.d.sync += [*(low.eq(high) for low, high in zip(pool, pool[1:])), free.eq(free >> 1)]
        with m.Elif(self.take):
            m.d.sync += self.hwm.eq(self.hwm + 1)
        with m.If(self.clear):
            m.d.sync += [free.eq(0), self.hwm.eq(0)]
        return m
