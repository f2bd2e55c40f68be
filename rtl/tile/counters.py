"""Counters of a tile: every cycle of a generation goes to one cause, and events that a host wants to see are added up."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..contract.isa import Counter

COUNTER_BITS = 32


class Counters(wiring.Component):
    """Cycle and event counters, numbered by `Counter`.

    While `counting`, each cycle adds 1 to exactly one of the causes WEIGHT to IDLE: IDLE when `running` is low, else `cause`. The sum of
    those equals the cycles since `clear`. Events add up whenever they happen. `value` follows `select` one cycle later. A counter wraps at 2**32.

    Parameters
    ----------
    useful_bits: width of `useful`.

    Members
    -------
    clear: In. All counters to 0; wins over a count in the same cycle.
    counting, running: In. cause: In(4), a Counter.
    useful: In, bank words read this cycle that the pass needs; useful_kv: In, they are K or V.
    saturated: In(4), results saturated this cycle. corrected, uncorrectable, parity: In, one event each.
    select: In(4). value: Out(32).
    """

    def __init__(self, useful_bits):
        super().__init__({
            "clear": In(1), "counting": In(1), "running": In(1), "cause": In(4), "useful": In(useful_bits), "useful_kv": In(1),
            "saturated": In(4), "corrected": In(1), "uncorrectable": In(1), "parity": In(1),
            "select": In(4), "value": Out(COUNTER_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        counts = Signal(data.ArrayLayout(COUNTER_BITS, len(Counter)))
        steps = {
            Counter.IDLE: self.counting & ~self.running,
            Counter.USEFUL_WEIGHT: self.useful * (self.counting & ~self.useful_kv),
            Counter.USEFUL_KV: self.useful * (self.counting & self.useful_kv),
            Counter.SATURATED: self.saturated,
            Counter.ECC_CORRECTED: self.corrected,
            Counter.ECC_FATAL: self.uncorrectable,
            Counter.PARITY: self.parity,
        }
        for counter in Counter:
            step = steps.get(counter)
            if step is None:
                step = self.counting & self.running & (self.cause == counter)
            pending = Signal(8, name=f"step_{counter.name.lower()}")  # registered: keeps the adders off the engines' paths
            m.d.sync += pending.eq(step)
            with m.If(self.clear):
                m.d.sync += [counts[counter].eq(0), pending.eq(0)]
            with m.Elif(pending != 0):
                m.d.sync += counts[counter].eq(counts[counter] + pending)
        m.d.sync += self.value.eq(counts[self.select])
        return m
