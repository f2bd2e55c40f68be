"""Counters of a tile: every cycle of a generation goes to one cause, and events that a host wants to see are added
up.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.isa import Counter

COUNTER_BITS = 32


class Counters(wiring.Component):
    """Cycle and event counters, numbered by `Counter`.

    While `counting`, each cycle adds 1 to exactly one of the causes WEIGHT to IDLE: IDLE when `running` is low, else
    `cause`. The sum of those equals the cycles since `clear`. Events add up whenever they happen. `value` follows
    `select` one cycle later.
    A counter wraps at 2**32.

    Parameters
    ----------
    useful_bits: width of `useful`.

    Members
    -------
    clear: In. All counters to 0; wins over a count in the same cycle.
    counting, running: In. cause: In(4), a Counter.
    useful: In, bank words read this cycle that the pass needs; useful_kv: In, they are K or V.
    saturated: In(5), results saturated this cycle. corrected, uncorrectable, parity: In, one event each.
    select: In(4). value: Out(32).
    """

    def __init__(self, useful_bits):
        super().__init__(
            {
                "clear": In(1),
                "counting": In(1),
                "running": In(1),
                "cause": In(4),
                "useful": In(useful_bits),
                "useful_kv": In(1),
                "saturated": In(5),
                "corrected": In(1),
                "uncorrectable": In(1),
                "parity": In(1),
                "select": In(4),
                "value": Out(COUNTER_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Causes exclude each other: they share one adder and a small memory. One that is not `begun` counts as zero,
        # whatever is stored.
        m.submodules.causes = causes = memory.Memory(shape=COUNTER_BITS, depth=1 << len(self.cause), init=[])
        write, old, look = causes.write_port(), causes.read_port(domain="comb"), causes.read_port(domain="comb")
        s1_counting = Signal()
        s1_cause = Signal(len(self.cause))
        begun = Signal(1 << len(self.cause))
        m.d.sync += [s1_counting.eq(self.counting), s1_cause.eq(Mux(self.running, self.cause, Counter.IDLE))]
        m.d.comb += [
            old.addr.eq(s1_cause),
            look.addr.eq(self.select),
            write.addr.eq(s1_cause),
            write.en.eq(s1_counting),
            write.data.eq(Mux(begun.bit_select(s1_cause, 1), old.data, 0) + 1),
        ]
        with m.If(self.clear):
            m.d.sync += [begun.eq(0), s1_counting.eq(0)]
        with m.Elif(s1_counting):
            m.d.sync += begun.bit_select(s1_cause, 1).eq(1)

        # Events may coincide: a counter each.
        useful = Mux(self.counting, self.useful, 0)
        steps = {
            Counter.USEFUL_WEIGHT: Mux(self.useful_kv, 0, useful),
            Counter.USEFUL_KV: Mux(self.useful_kv, useful, 0),
            Counter.SATURATED: self.saturated,
            Counter.ECC_CORRECTED: self.corrected,
            Counter.ECC_FATAL: self.uncorrectable,
            Counter.PARITY: self.parity,
        }
        counts = {}
        for counter, step in steps.items():
            counts[counter] = count = Signal(COUNTER_BITS, name=f"count_{counter.name.lower()}")
            # registered: keeps the adders off the engines' paths
            pending = Signal(len(step), name=f"step_{counter.name.lower()}")
            m.d.sync += pending.eq(step)
            with m.If(self.clear):
                m.d.sync += [count.eq(0), pending.eq(0)]
            with m.Elif(pending != 0):
                m.d.sync += count.eq(count + pending)

        with m.Switch(self.select):
            for counter, count in counts.items():
                with m.Case(counter):
                    m.d.sync += self.value.eq(count)
            with m.Default():
                m.d.sync += self.value.eq(Mux(begun.bit_select(self.select, 1), look.data, 0))
        return m
