"""Everything that loads: the AXI4 window, the words that registers bring, the initializer, and the gate before the
machine's memories.
"""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hayate.rtl.contract.load import Reason
from hayate.rtl.host.axi import Axi4
from hayate.rtl.host.gate import Facts, Gate, LoadWord, local_writes
from hayate.rtl.host.window import Window
from hayate.rtl.ring.flit import FLIT_STREAM


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
    single: In stream of LoadWord. single_malformed: In, as of `Gate`. single_refused: Out, of the word from `single`
        that is taken.
    clear: In stream of LoadWord. clearing: In.
    settled: Out, words that were taken are where they belong; in `clearing` always, as what is on the ring then is of
        `clear`.
    word_refused: Out, a strobe: a word is refused, or was taken and is lost. reason: Out(4), why.
    hold, busy, fault, abandon, returned: In. tx, quiet, began, opened, loaded, facts, prompt_count: Out, as of `Gate`.
    and the ports of LOCAL_WRITES (Out), without those of a governor where there is none.
    """

    def __init__(self, config):
        self._config = config
        self._writes = local_writes(config)
        words = stream.Signature(LoadWord)
        super().__init__(
            {
                "bus": In(Axi4()),
                "single": In(words),
                "single_malformed": In(1),
                "single_refused": Out(1),
                "clear": In(words),
                "clearing": In(1),
                "settled": Out(1),
                "word_refused": Out(1),
                "reason": Out(4),
                "hold": In(1),
                "busy": In(1),
                "fault": In(1),
                "abandon": In(1),
                "returned": In(1),
                "tx": Out(FLIT_STREAM),
                "quiet": Out(1),
                "began": Out(1),
                "opened": Out(1),
                "loaded": Out(1),
                "facts": Out(Facts),
                "prompt_count": Out(16),
                **{name: Out(width) for name, width in self._writes.items()},
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.window = window = Window()
        m.submodules.gate = gate = Gate(self._config)
        connect(m, flipped(self.bus), window.bus)
        connect(m, gate.tx, flipped(self.tx))
        m.d.comb += [
            *(
                getattr(gate, name).eq(getattr(self, name))
                for name in ("busy", "fault", "abandon", "returned", "clearing", "hold")
            ),
            *(
                getattr(self, name).eq(getattr(gate, name))
                for name in ("quiet", "began", "opened", "loaded", "facts", "prompt_count", *self._writes)
            ),
            self.reason.eq(gate.reason),
            gate.words.valid.eq(window.words.valid),
            gate.words.payload.eq(window.words.payload),
            gate.malformed.eq(window.malformed),
            window.words.ready.eq(gate.words.ready),
            window.refused.eq(gate.refused),
            window.quiet.eq(self.settled),
            self.single_refused.eq(gate.refused),
            self.word_refused.eq(gate.words.valid & gate.words.ready & gate.refused | gate.lost),
            window.lost.eq(gate.lost),
            self.settled.eq(gate.quiet | self.clearing),
        ]
        with m.If(gate.lost):
            m.d.comb += self.reason.eq(Reason.NOT_READY)
        with m.If(self.clearing):
            m.d.comb += [
                gate.words.valid.eq(self.clear.valid),
                gate.words.payload.eq(self.clear.payload),
                self.clear.ready.eq(gate.words.ready),
                window.words.ready.eq(1),
                window.refused.eq(1),
                self.single.ready.eq(1),
                self.single_refused.eq(1),
                self.word_refused.eq(window.words.valid | self.single.valid),
                self.reason.eq(Reason.NOT_READY),
            ]
        with m.Elif(self.single.valid):
            m.d.comb += [
                gate.words.valid.eq(1),
                gate.words.payload.eq(self.single.payload),
                gate.malformed.eq(self.single_malformed),
                self.single.ready.eq(gate.words.ready),
                window.words.ready.eq(0),
            ]
        return m
