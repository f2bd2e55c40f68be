"""Everything that loads: the AXI4 window, the words that registers bring, the initializer, and the gate before the
machine's memories.
"""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hayate.rtl.contract.load import Reason
from hayate.rtl.host.axi import Axi4
from hayate.rtl.host.gate import Conditions, Gate, GateState, LoadWord
from hayate.rtl.host.window import Window
from hayate.rtl.interfaces import Bundle, Tables
from hayate.rtl.ring.flit import FLIT_STREAM


class SingleWord(Bundle):
    """A word of the load window that comes by way of registers.

    word: Out stream of LoadWord. malformed: Out, it came in a form that is refused. refused: In, of the word that is
    taken. settled: In, words that were taken are where they belong; while memories are cleared always, as what is on
    the ring then is the initializer's.
    """

    def __init__(self):
        super().__init__(
            {"word": Out(stream.Signature(LoadWord)), "malformed": Out(1), "refused": In(1), "settled": In(1)}
        )


class LoadStatus(Bundle):
    """What the registers show of loading.

    state: Out(GateState). refused: Out, a strobe: a word is refused, or was taken and is lost. reason: Out(4), why.
    """

    def __init__(self):
        super().__init__({"state": Out(GateState()), "refused": Out(1), "reason": Out(4)})


class Loader(wiring.Component):
    """`Window` and `Gate`, and a way in for single words.

    One beat of the bus a cycle as long as the ring takes the flits; between bursts the ring is waited for, and 3 cycles
    more go without a beat. A word from `single` goes first where both want in. While `clearing` the words of `clear`
    are the only ones that are taken: the others are refused at once.

    Parameters
    ----------
    config: `Config`.

    Members
    -------
    bus: In(Axi4).
    single: In(SingleWord), of the registers. clear: In stream of LoadWord, the initializer's.
    conditions: In(Conditions). status: Out(LoadStatus).
    quiet: Out, as of `Gate`. tx: Out stream of Flit. tables: Out(Tables).
    """

    def __init__(self, config):
        self._config = config
        super().__init__(
            {
                "bus": In(Axi4()),
                "single": In(SingleWord()),
                "clear": In(stream.Signature(LoadWord)),
                "conditions": In(Conditions()),
                "status": Out(LoadStatus()),
                "quiet": Out(1),
                "tx": Out(FLIT_STREAM),
                "tables": Out(Tables(governor=bool(config.governor))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.window = window = Window()
        m.submodules.gate = gate = Gate(self._config)
        connect(m, flipped(self.bus), window.bus)
        connect(m, gate.tx, flipped(self.tx))
        connect(m, flipped(self.conditions), gate.conditions)
        connect(m, gate.state, flipped(self.status.state))
        connect(m, gate.tables, flipped(self.tables))
        clearing, single, status, settled = self.conditions.clearing, self.single, self.status, self.single.settled
        m.d.comb += [
            self.quiet.eq(gate.quiet),
            status.reason.eq(gate.reason),
            gate.words.valid.eq(window.words.valid),
            gate.words.payload.eq(window.words.payload),
            gate.malformed.eq(window.malformed),
            window.words.ready.eq(gate.words.ready),
            window.refused.eq(gate.refused),
            window.quiet.eq(settled),
            single.refused.eq(gate.refused),
            status.refused.eq(gate.words.valid & gate.words.ready & gate.refused | gate.lost),
            window.lost.eq(gate.lost),
            settled.eq(gate.quiet | clearing),
        ]
        with m.If(gate.lost):
            m.d.comb += status.reason.eq(Reason.NOT_READY)
        with m.If(clearing):
            m.d.comb += [
                gate.words.valid.eq(self.clear.valid),
                gate.words.payload.eq(self.clear.payload),
                self.clear.ready.eq(gate.words.ready),
                window.words.ready.eq(1),
                window.refused.eq(1),
                single.word.ready.eq(1),
                single.refused.eq(1),
                status.refused.eq(window.words.valid | single.word.valid),
                status.reason.eq(Reason.NOT_READY),
            ]
        with m.Elif(single.word.valid):
            m.d.comb += [
                gate.words.valid.eq(1),
                gate.words.payload.eq(single.word.payload),
                gate.malformed.eq(single.malformed),
                single.word.ready.eq(gate.words.ready),
                window.words.ready.eq(0),
            ]
        return m
