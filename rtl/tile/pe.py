"""Processing element: exact FP16 dot products of one weight stream with M activation streams."""

from amaranth import Cat, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.constants import ACC_WIDTH
from hayate.rtl.numerics.fp16 import Operand, add_carry, decode
from hayate.rtl.numerics.product import HIGH_BITS, LOW_BITS, Product

WORD_ELEMENTS = 4
PE_LATENCY = 5

_LOW_ACC = 48  # K_MAX / 4 sums of four 32-bit words and their carries
_HIGH_ACC = ACC_WIDTH - LOW_BITS


class Pe(wiring.Component):
    """Sums weight x activation products over a row, exactly, for `lanes` activation vectors at once.

    A row is a sequence of words, of which the first and the last are marked; words follow each other in consecutive cycles or
    with any gaps between them. The next row may begin in the cycle after `last`. A row that is begun again without having
    ended is dropped. Operands are finite; a row has at most 8,192 words (K <= 32,768). The result is the exact sum in units
    of 2**-48: it cannot overflow and is not rounded.

        clk    _/0\\_/1\\_/2\\_/3\\_/4\\_/5\\_/6\\_
        en     /~~~~~~~~\\______________________      two words of one row
        first  /~~~\\___________________________
        last   ____/~~~\\_______________________
        done   ________________________/~~~\\___      PE_LATENCY = 5 cycles after `last` was presented
        result ------------------------X=======

    Throughput: one word, that is 4 * lanes multiply-accumulates, per cycle. No backpressure: a result is overwritten by the
    next row's. Reset clears the controls only; registers hold while nothing passes them.

    Parameters
    ----------
    lanes : activation vectors M, at least 1.

    Members
    -------
    en, first, last : in, see above; `first` and `last` count only while `en` is high.
    weight : in, 64 bits, four FP16 values, element 0 in the low bits.
    act : in, `lanes` words of 64 bits in the same order; zero for absent vectors.
    done : out, one-cycle strobe.
    result : out, `lanes` x 96 bits signed; stable from `done` until the next one.

    Raises
    ------
    ValueError
        If `lanes` is not a positive integer.
    """

    def __init__(self, lanes: int = 1):
        if not isinstance(lanes, int) or lanes < 1:
            raise ValueError(f"lanes must be a positive integer, not {lanes!r}")
        self.lanes = lanes
        super().__init__(
            {
                "en": In(1),
                "first": In(1),
                "last": In(1),
                "weight": In(64),
                "act": In(data.ArrayLayout(64, lanes)),
                "done": Out(1),
                "result": Out(data.ArrayLayout(signed(ACC_WIDTH), lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()

        s1_valid = Signal()
        s1_first = Signal(reset_less=True)
        s1_last = Signal(reset_less=True)
        s1_weight = Signal(data.ArrayLayout(Operand, WORD_ELEMENTS), reset_less=True)
        s2_valid = Signal()
        s2_first = Signal(reset_less=True)
        s2_last = Signal(reset_less=True)
        s3_valid = Signal()
        s3_last = Signal(reset_less=True)
        s4_done = Signal()
        m.d.sync += [
            s1_valid.eq(self.en),
            s2_valid.eq(s1_valid),
            s3_valid.eq(s2_valid),
            s4_done.eq(s3_valid & s3_last),
            self.done.eq(s4_done),
        ]
        with m.If(self.en):
            m.d.sync += [s1_first.eq(self.first), s1_last.eq(self.last)]
            for i in range(WORD_ELEMENTS):
                m.d.sync += s1_weight[i].eq(decode(self.weight.word_select(i, 16), offset=-2))
        with m.If(s1_valid):
            m.d.sync += [s2_first.eq(s1_first), s2_last.eq(s1_last)]
        with m.If(s2_valid):
            m.d.sync += s3_last.eq(s2_last)

        for k in range(self.lanes):
            m.submodules[f"lane{k}"] = lane = _Lane()
            m.d.comb += [
                lane.en.eq(self.en),
                lane.act.eq(self.act[k]),
                lane.s1_valid.eq(s1_valid),
                lane.s1_weight.eq(s1_weight),
                lane.s2_valid.eq(s2_valid),
                lane.s2_first.eq(s2_first),
                lane.s3_valid.eq(s3_valid),
                lane.s3_last.eq(s3_last),
                lane.s4_done.eq(s4_done),
                self.result[k].eq(lane.result),
            ]
        return m


class _Lane(wiring.Component):
    """The data path of one activation vector; the PE's controls, by stage, tell it what passes where."""

    en: In(1)
    act: In(64)
    s1_valid: In(1)
    s1_weight: In(data.ArrayLayout(Operand, WORD_ELEMENTS))
    s2_valid: In(1)
    s2_first: In(1)
    s3_valid: In(1)
    s3_last: In(1)
    s4_done: In(1)
    result: Out(signed(ACC_WIDTH))

    def elaborate(self, platform):
        m = Module()

        # Stage 1: operands. Stage 2: products, in `Product`.
        s1_act = Signal(data.ArrayLayout(Operand, WORD_ELEMENTS), reset_less=True)
        products = []
        for i in range(WORD_ELEMENTS):
            m.submodules[f"product{i}"] = product = Product()
            products.append(product)
            with m.If(self.en):
                m.d.sync += s1_act[i].eq(decode(self.act.word_select(i, 16), offset=0))
            m.d.comb += [product.en.eq(self.s1_valid), product.a.eq(s1_act[i]), product.b.eq(self.s1_weight[i])]

        # Stage 3: sums of two. The carries of products 1 and 3 are left for the adders that follow.
        s3_low = [Signal(LOW_BITS + 1, name=f"s3_low{i}", reset_less=True) for i in range(2)]
        s3_high = [Signal(signed(HIGH_BITS + 1), name=f"s3_high{i}", reset_less=True) for i in range(2)]
        s3_carry = Signal(2, reset_less=True)
        with m.If(self.s2_valid):
            for i, (a, b) in enumerate((products[:2], products[2:])):
                m.d.sync += [
                    s3_low[i].eq(add_carry(a.low, b.low, a.carry)),
                    s3_high[i].eq(a.high.as_signed() + b.high.as_signed()),
                    s3_carry[i].eq(b.carry),
                ]

        # Stage 4: accumulators. They are cleared as a first word enters stage 3, which costs no gate in the adders' path, so
        # a finished sum goes to registers of its own.
        low_acc = Signal(_LOW_ACC, reset_less=True)
        high_acc = Signal(signed(_HIGH_ACC), reset_less=True)
        low_sum = Signal(_LOW_ACC)
        high_sum = Signal(signed(_HIGH_ACC))
        s4_low = Signal(_LOW_ACC, reset_less=True)
        s4_high = Signal(signed(_HIGH_ACC), reset_less=True)
        m.d.comb += [
            low_sum.eq(add_carry(add_carry(s3_low[0], s3_low[1], s3_carry[0]), low_acc, s3_carry[1])),
            high_sum.eq((s3_high[0] + s3_high[1]) + high_acc),
        ]
        with m.If(self.s3_valid):
            m.d.sync += [low_acc.eq(low_sum), high_acc.eq(high_sum)]
            with m.If(self.s3_last):
                m.d.sync += [s4_low.eq(low_sum), s4_high.eq(high_sum)]
        with m.If(self.s2_valid & self.s2_first):
            m.d.sync += [low_acc.eq(0), high_acc.eq(0)]

        # Stage 5: one sum of both words.
        s5_result = Signal(signed(ACC_WIDTH), reset_less=True)
        m.d.comb += self.result.eq(s5_result)
        with m.If(self.s4_done):
            m.d.sync += s5_result.eq(Cat(s4_low[:LOW_BITS], s4_high + s4_low[LOW_BITS:]))
        return m
