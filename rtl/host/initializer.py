"""What makes every memory valid behind a power-up: words for the loader, one after the other.

On silicon a memory starts with anything. Of a tile's, these are read before passes or loads have written them, and then
complain:

| memory | read before it is written | cleared by |
|---|---|---|
| banks | a column of V is merged into words, and attention reads the cache by whole quads of slots | CLEAR |
| activation and stage buffers | a read takes all lanes, those without a position too; as MXINT8 whole blocks | CLEAR |
| slot mask | slots of the last quad, beyond the high-water mark | CLEAR | | energies | words of older generations are
looked at to be replaced | CLEAR | | precision table | the entry of a matrix that is read as FP16 need not be loaded |
CSR | | vector memory | what has not been computed yet may be an operand of a lane that nothing counts of | VMEM | |
program, descriptors, micro-operations | only if a pass starts without a model | their own spaces |

Queues (noise, sender, ring stop and those of the engines), landing rows, sums and maxima collected, counts of filters,
semaphore levels and counters of causes need nothing: a count or a bit of a register that reset clears says what of them
has been written. The conductor's memories that spaces reach are among the sweeps; it clears the others by itself.
"""

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.draft import BASE_LOG2, BASE_ONE_BIT
from hayate.rtl.contract.isa import CLEAR_REST_BIT, PRECISION_BIT, SECOND_BIT, Space
from hayate.rtl.contract.load import WORDS_OF_ENTRY
from hayate.rtl.contract.regmap import LOAD_ALL_TILES, LoadSpace
from hayate.rtl.host.gate import LoadWord


@dataclass(frozen=True)
class Sweep:
    """`words` addresses of a space, from `first` on."""

    space: int
    words: int
    first: int = 0


def sweeps(config):
    """All that is cleared on a machine of a `Config`, in order.

    Space CLEAR writes banks, activation buffers, stage buffers, slot masks and energies at once: the deepest decides,
    and shallower ones are written more than once. Banks have no addresses beyond theirs. CLEAR comes first: until a
    word has been written, a memory that is read by itself, the energies, may complain.
    """
    c = config
    deepest = max(c.act_depth, c.stage_depth, c.max_slots, 2 * c.desc_depth if c.governor else 0)
    every = [
        Sweep(Space.CLEAR, c.bank_depth),
        Sweep(Space.CLEAR, deepest - c.bank_depth, 1 << CLEAR_REST_BIT | c.bank_depth),
        Sweep(Space.PROGRAM, WORDS_OF_ENTRY[Space.PROGRAM] * c.program_depth),
        Sweep(Space.DESC, WORDS_OF_ENTRY[Space.DESC] * c.desc_depth),
        Sweep(Space.MICRO, WORDS_OF_ENTRY[Space.MICRO] * c.micro_depth),
        Sweep(Space.VMEM, c.vmem_depth),
        Sweep(Space.CSR, 2 << SECOND_BIT),
        Sweep(Space.CSR, c.desc_depth if c.nested else 0, 1 << PRECISION_BIT),
        Sweep(LoadSpace.GOVERNOR, WORDS_OF_ENTRY[LoadSpace.GOVERNOR] * c.matrices),
        Sweep(LoadSpace.PROMPT, c.prompt_depth),
        Sweep(LoadSpace.NGRAM, (1 << BASE_ONE_BIT) + (1 << BASE_LOG2[0])),
    ]
    return [sweep for sweep in every if sweep.words > 0]


class Initializer(wiring.Component):
    """Walks through all that must hold something valid before it is read: zeros to every address of every sweep,
    broadcast to all tiles.

    `words` are offered from the cycle after `start` on, one a cycle as long as they are taken, and `busy` is high until
    the last one is: sum(sweep.words) cycles, and one more for each cycle in which a word is not taken. `start` while
    `busy` begins again. Reset ends it. Banks of a tile are written all at once, so a bank of 2^20 words takes 2^20
    cycles, however many there are.

    A first sweep of 120 words of space CLEAR, of which the second one has to wait, and the beginning of the next::

        cycle                0   1   2   3   4   5   : 120 121 122 123 124
        start                ~~~~____________________: ____________________
        words.ready          ~~~~~~~~____~~~~~~~~~~~~: ~~~~~~~~~~~~~~~~~~~~
        busy                 ____~~~~~~~~~~~~~~~~~~~~: ~~~~~~~~~~~~~~~~~~~~
        words.payload.space  15......................: ........2...........
        words.payload.addr   0.......1.......2...3...: 118.119.0...1...2...

    Parameters
    ----------
    config: `Config`.

    Members
    -------
    start: In, a strobe. busy: Out. words: Out stream of LoadWord.
    """

    def __init__(self, config):
        self.sweeps = sweeps(config)
        super().__init__({"start": In(1), "busy": Out(1), "words": Out(stream.Signature(LoadWord))})

    def elaborate(self, platform):
        m = Module()
        word = self.words.payload
        at = Signal(range(len(self.sweeps)))
        addr, space, last, following = (
            Signal(width, name=name)
            for name, width in (
                ("addr", len(word.addr)),
                ("space", len(word.space)),
                ("last", len(word.addr)),
                ("following", len(word.addr)),
            )
        )
        with m.Switch(at):
            for n, sweep in enumerate(self.sweeps):
                following_sweep = self.sweeps[(n + 1) % len(self.sweeps)]
                with m.Case(n):
                    m.d.comb += [
                        space.eq(sweep.space),
                        last.eq(sweep.first + sweep.words - 1),
                        following.eq(following_sweep.first),
                    ]
        m.d.comb += [
            self.words.valid.eq(self.busy),
            word.addr.eq(addr),
            word.space.eq(space),
            word.tile.eq(LOAD_ALL_TILES),
        ]
        with m.If(self.start):
            m.d.sync += [self.busy.eq(1), at.eq(0), addr.eq(self.sweeps[0].first)]
        with m.Elif(self.busy & self.words.ready):
            m.d.sync += addr.eq(Mux(addr == last, following, addr + 1))
            with m.If(addr == last):
                m.d.sync += [at.eq(at + 1), self.busy.eq(at != len(self.sweeps) - 1)]
        return m
