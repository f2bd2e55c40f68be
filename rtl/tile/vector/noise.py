"""Noise of a RUN that samples: a value for each row and each lane that a token is chosen for, drawn ahead of the vector
engine.
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.isa import LOCAL_ROW_BITS
from hayate.rtl.contract.latencies import NOISE_ROWS
from hayate.rtl.contract.words import POSITION_BITS, SEED_BITS, TOKEN_BITS
from hayate.rtl.memory.parity import ParityMemory
from hayate.rtl.numerics.gumbel import Gumbel


class NoiseRows(wiring.Component):
    """One `Gumbel` unit, whose values wait in a queue of NOISE_ROWS rows.

    `start` begins a RUN of n rows: row0 and so on, which are tokens. A row has a value for each lane in `want` (the
    others are 0), that of the row's token at the position after the lane's. Rows come in order; `next` takes the
    oldest, whose values show one cycle later and stay until the next is taken. All n must have been taken before the
    next `start`. With w lanes in `want` (none counts as one), the first row is `ready` w + GUMBEL_LATENCY + 3 cycles
    after `start`, then one every w cycles, until NOISE_ROWS rows wait or are under way. Reset forgets all rows.

    Two rows for two lanes, asked of the unit, gathered and taken (`asked_here`, `came_here`: one-hot lanes)::

        cycle       0   1   2   3   4   5   : 18  19  20  21  22  23  24  25  26
        start       ~~~~____________________: ____________________________________
        rows        0...2.......1.......0...: ....................................
        ask         ____~~~~~~~~~~~~~~~~____: ____________________________________
        asked_here  1.......2...1...2...1...: ....................................
        came_here   1.......................: ........2...1...2...1...............
        full        ________________________: ____________~~~~____~~~~____________
        waiting     0.......................: ................1.......2...1...0...
        next        ________________________: ________________________~~~~~~~~____

    Parameters
    ----------
    lanes: M. inject: adds the input `flip`, XORed into what the queue stores, for tests.

    Members
    -------
    start, row0, n: In. want: In(lanes). positions: In, `lanes` x 16, of the lanes' own tokens. seed: In(64).
        The last three are constant from the cycle before `start` until the last row is ready.
    ready: Out. A row waits. next: In, only when one does. values: Out, `lanes` x FP32.
    parity: Out, a strobe: the row taken two cycles before was damaged.
    """

    def __init__(self, lanes: int, *, inject: bool = False):
        self.lanes, self._inject = lanes, inject
        members = {
            "start": In(1),
            "row0": In(TOKEN_BITS),
            "n": In(LOCAL_ROW_BITS),
            "want": In(lanes),
            "positions": In(POSITION_BITS).array(lanes),
            "seed": In(SEED_BITS),
            "ready": Out(1),
            "next": In(1),
            "values": Out(32).array(lanes),
            "parity": Out(1),
        }
        if inject:
            members["flip"] = In(33 * lanes)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.gumbel = gumbel = Gumbel()
        m.submodules.queue = queue = ParityMemory(32 * self.lanes, NOISE_ROWS, inject=self._inject)
        if self._inject:
            m.d.comb += queue.flip.eq(self.flip)
        lanes = Signal(self.lanes)  # those that values are drawn for
        m.d.comb += lanes.eq(self.want | ~self.want.any())

        def walk(name, go):
            """Lanes one after the other, over and over: (one-hot lane of this cycle, it is the row's last)."""
            done = Signal(self.lanes, name=f"{name}_done")  # lanes of this row
            here = Signal(self.lanes, name=f"{name}_here")
            left = Signal(self.lanes, name=f"{name}_left")
            last = Signal(name=f"{name}_last")
            m.d.comb += [left.eq(lanes & ~done), here.eq(left & -left), last.eq(left == here)]
            with m.If(self.start):
                m.d.sync += done.eq(0)
            with m.Elif(go):
                for k in range(self.lanes):
                    m.d.sync += done[k].eq(~last & (done[k] | here[k]))
            return here, last

        # Asking: a register before the unit, whose first stage adds.
        rows = Signal(LOCAL_ROW_BITS)
        token = Signal(TOKEN_BITS)
        room = Signal(range(NOISE_ROWS + 1), init=NOISE_ROWS)
        ask = Signal()
        asked, ask_last = walk("asked", ask)
        m.d.comb += [ask.eq((rows != 0) & (room != 0)), gumbel.seed.eq(self.seed)]
        m.d.sync += gumbel.valid.eq(ask)
        with m.If(ask):
            m.d.sync += gumbel.token.eq(token)
            for k in range(self.lanes):
                with m.If(asked[k]):
                    m.d.sync += gumbel.position.eq(self.positions[k] + 1)
        with m.If(self.start):
            m.d.sync += [rows.eq(self.n), token.eq(self.row0)]
        with m.Elif(ask & ask_last):
            m.d.sync += [rows.eq(rows - 1), token.eq(token + 1)]
        m.d.sync += room.eq(room - (ask & ask_last) + self.next)

        # Answers: the lanes of a row are gathered, and go to the queue together.
        came, came_last = walk("came", gumbel.out_valid)
        held = [Signal(32, name=f"held_{k}") for k in range(self.lanes)]
        waiting = Signal(range(NOISE_ROWS + 1))
        tail = Signal(range(NOISE_ROWS))
        head = Signal(range(NOISE_ROWS))
        for k in range(self.lanes):
            with m.If(self.start):
                m.d.sync += held[k].eq(0)
            with m.Elif(gumbel.out_valid & came[k]):
                m.d.sync += held[k].eq(gumbel.y)
        full = Signal()
        m.d.sync += full.eq(gumbel.out_valid & came_last)
        m.d.comb += [
            queue.wr_en.eq(full),
            queue.wr_addr.eq(tail),
            queue.wr_data.eq(Cat(held)),
            self.ready.eq(waiting != 0),
            queue.rd_en.eq(self.next),
            queue.rd_addr.eq(head),
            self.parity.eq(queue.error),
            *(self.values[k].eq(queue.rd_data[32 * k : 32 * k + 32]) for k in range(self.lanes)),
        ]
        m.d.sync += [tail.eq(tail + full), head.eq(head + self.next), waiting.eq(waiting + full - self.next)]
        return m
