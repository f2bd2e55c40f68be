"""Processing element: exact dot products of one weight stream, FP16 or planes of nibbles, with M activation streams."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.constants import ACC_WIDTH
from hayate.rtl.contract.precision import MX_EXPONENT_BITS, WORD_NIBBLES
from hayate.rtl.numerics.fp16 import Operand, add_carry, decode
from hayate.rtl.numerics.product import LOW_BITS, Product
from hayate.rtl.numerics.quad import CODE_BITS, factor
from hayate.rtl.tile.interfaces import pe_word_layout
from hayate.rtl.verilog.once import once

WORD_ELEMENTS = 4

_LOW_ACC = 48  # K_MAX / 4 FP16 words and K_MAX / 8 of the planes, each four 32-bit words and their carries
_HIGH_ACC = ACC_WIDTH - LOW_BITS
_CODES = WORD_NIBBLES * CODE_BITS
# An activation code counts 2**(e' - 16) and a scale's significand 2**(max(field, 1) - 25): above 2**-48, the low
# plane's shift is ...
_LOW_SHIFT = 7
_HIGH_SHIFT = _LOW_SHIFT + 4

#: What the lanes are given of a word that may be of the planes, in the cycle of `en`.
_PlaneWord = data.StructLayout(
    {
        "planes": 1,  # it holds nibbles or scales
        "scales": 1,
        "bits": 64,
        "scale": Operand,  # of the nibbles, in its place for their plane; 0 beside scales
    }
)


class Pe(wiring.Component):
    """Sums weight x activation products over a row, exactly, for `lanes` activation vectors at once.

    `en` presents a word. A row is a sequence of words, of which the first and the last are marked; words follow each
    other in consecutive cycles or with any gaps between them. The next row may begin in the cycle after `last`. A row
    that is begun again without having ended is dropped. A word holds 4 FP16 weights, or, with `nested`, 4 FP16 scales,
    or 16 nibbles of a plane, in any order within a row.

    An FP16 word adds its weights times `act`. A scale word adds nothing; it stays for the words of nibbles after it,
    the next one included. A word of nibbles adds, with q the 16 codes, n the nibbles and s the scale that `select`
    names, sum(n * q) * s * 2**(exponent - 16), and 16 times as much where `low` is 0.

    Operands are finite; |scale| <= 65504 / 119 and high nibbles are -7..7, so that no term exceeds an FP16 product. A
    row has at most 8,192 FP16 words and 4,096 words of nibbles (K <= 32,768). The result is the exact sum in units of
    2**-48: it cannot overflow and is not rounded. (With `subtract` the difference itself must fit; what it passes on
    its way does not matter.)

        clk    _/0\\_/1\\_/2\\_/3\\_/4\\_/5\\_/6\\_
        en     /~~~~~~~~\\______________________      two words of one row
        first  /~~~\\___________________________
        last   ____/~~~\\_______________________
        done   ________________________/~~~\\___      PE_LATENCY = 5 cycles after `last` was presented
        result ------------------------X=======

    Throughput: one word of any kind and cycle, that is 4 * lanes multiply-accumulates of FP16, 16 * lanes of nibbles.
    No backpressure: a result is overwritten by the next row's. Reset clears the controls only; registers hold while
    nothing passes them. Inputs that a word's kind does not use may have any value, undefined ones too.

    Parameters
    ----------
    lanes : activation vectors M, at least 1.
    nested : words may hold nibbles and scales; without it all are FP16, and the members that tell of others are not
        there.
    measure : also sum up the low planes apart; needs `nested`.

    Members
    -------
    en : in, there is a word; all that follows of it counts only then.
    word : in, `pe_word_layout(nested, measure)`: what the word is. `first`, `last`: see above, on a word of any kind.
        `nibbles`: it holds nibbles. `scales`: it holds scales, whatever `nibbles` is. `low`: the nibbles are of the low
        plane. `select`: which of the four scales. `subtract`: the nibbles count negative, FP16 words do not.
        `first_low`: this word begins the sum of the low plane; any word of a row, but not its first if that is of a low
        plane.
    weight : in, 64 bits: four FP16 values or sixteen signed nibbles, element 0 in the low bits.
    act : in, `lanes` words of 64 bits in the same order; zero for absent vectors.
    codes : in, `lanes` words of 128 bits: sixteen signed bytes in -127..127; zero for absent vectors.
    exponent : in, `lanes` numbers of 5 bits, 0..25: a code q is the activation q * 2**(exponent - 16).
    done : out, one-cycle strobe.
    result : out, `lanes` x 96 bits signed; stable from `done` until the next one.
    low_result : out, only with `measure`: `lanes` x 96 bits signed, what the low planes' words added to `result`, from
        `first_low` on; stable like `result`.

    Raises
    ------
    ValueError
        If `lanes` is not a positive integer, or there are no low planes to measure.
    """

    def __init__(self, lanes: int = 1, *, nested: bool = True, measure: bool = False):
        if not isinstance(lanes, int) or lanes < 1:
            raise ValueError(f"lanes must be a positive integer, not {lanes!r}")
        if measure and not nested:
            raise ValueError("measure needs nested planes")
        self.lanes = lanes
        self.nested = nested
        self.measure = measure
        results = data.ArrayLayout(signed(ACC_WIDTH), lanes)
        members = {
            "en": In(1),
            "word": In(pe_word_layout(nested, measure)),
            "weight": In(64),
            "act": In(data.ArrayLayout(64, lanes)),
            "done": Out(1),
            "result": Out(results),
        }
        if nested:
            members |= {
                "codes": In(data.ArrayLayout(_CODES, lanes)),
                "exponent": In(data.ArrayLayout(MX_EXPONENT_BITS, lanes)),
            }
        if measure:
            members["low_result"] = Out(results)
        super().__init__(members)

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

        weights = [Signal(Operand, name=f"weight{i}") for i in range(WORD_ELEMENTS)]
        m.d.comb += [weight.eq(decode(self.weight.word_select(i, 16), offset=-2)) for i, weight in enumerate(weights)]
        with m.If(self.en):
            m.d.sync += [s1_first.eq(self.word.first), s1_last.eq(self.word.last)]
            if not self.nested:
                m.d.sync += [s1_weight[i].eq(weight) for i, weight in enumerate(weights)]
        if self.nested:
            of_planes, s1_planes = self._planes(m, weights, s1_weight)
        with m.If(s1_valid):
            m.d.sync += [s2_first.eq(s1_first), s2_last.eq(s1_last)]
        with m.If(s2_valid):
            m.d.sync += s3_last.eq(s2_last)

        if self.measure:
            low_now, low_clear = self._low_controls(m, s1_valid, s2_valid, s3_valid)
        for k in range(self.lanes):
            lane = _Lane(self.nested, self.measure)
            m.submodules[f"lane{k}"] = once(platform, lane, self.nested, self.measure)
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
            if self.nested:
                m.d.comb += [
                    lane.word.eq(of_planes),
                    lane.s1_planes.eq(s1_planes),
                    lane.codes.eq(self.codes[k]),
                    lane.exponent.eq(self.exponent[k]),
                ]
            if self.measure:
                m.d.comb += [
                    lane.low_now.eq(low_now),
                    lane.low_clear.eq(low_clear),
                    self.low_result[k].eq(lane.low_result),
                ]
        return m

    def _planes(self, m, weights, s1_weight):
        """Weights and scales of all words; returns what the lanes are given beside their activations, a `_PlaneWord`
        and, a stage later, whether it is of the planes.

        A word of the planes has the scale for its FP16 activations and sums for its FP16 weights. A scale word passes
        as one of the planes whose scale is zero, so that it adds nothing.
        """
        word = self.word
        of_planes = Signal(_PlaneWord)
        s1_planes = Signal(reset_less=True)
        planes, placed = of_planes.planes, of_planes.scale
        scales = Signal(64, reset_less=True)
        scale_bits = Signal(16)
        scale = Signal(Operand)
        subtract = Signal()
        if self.measure:
            m.d.comb += subtract.eq(word.subtract & ~word.scales)
        m.d.comb += [
            planes.eq(word.nibbles | word.scales),
            of_planes.scales.eq(word.scales),
            of_planes.bits.eq(self.weight),
            scale_bits.eq(Mux(word.scales, 0, scales.word_select(word.select, 16))),
            scale.eq(decode(scale_bits, offset=0)),
            placed.significand.eq(scale.significand),
            placed.exponent.eq(scale.exponent + Mux(word.low, _LOW_SHIFT, _HIGH_SHIFT)),
            placed.negative.eq(scale.negative ^ subtract),
        ]
        with m.If(self.en & word.scales):
            m.d.sync += scales.eq(self.weight)
        with m.If(self.en):
            m.d.sync += s1_planes.eq(planes)
            for weight, stored in zip(weights, s1_weight):
                m.d.sync += [
                    stored.exponent.eq(Mux(planes, 0, weight.exponent)),
                    stored.negative.eq(~planes & weight.negative),
                ]
                with m.If(~planes):
                    m.d.sync += stored.significand.eq(weight.significand)
        return of_planes, s1_planes

    def _low_controls(self, m, s1_valid, s2_valid, s3_valid):
        """The second accumulators count what is in stage 3 now; they are zero from the next cycle on."""
        word = self.word
        stages = [[self.en, word.nibbles & ~word.scales & word.low, word.first_low]]
        for n, valid in enumerate((s1_valid, s2_valid, s3_valid), 1):
            low = Signal(name=f"s{n}_low", reset_less=True)
            first = Signal(name=f"s{n}_first_low", reset_less=True)
            with m.If(stages[-1][0]):
                m.d.sync += [low.eq(stages[-1][1]), first.eq(stages[-1][2])]
            stages.append([valid, low, first])
        (_, s2_low, s2_first_low), (_, s3_low, s3_first_low) = stages[2:]
        # They are read as the row's last word is in stage 4, so the next row must clear them no sooner than with its
        # own first word in stage 3. Only a low word that comes first itself needs them zero by then.
        return s3_valid & s3_low, (s2_valid & s2_first_low & s2_low) | (s3_valid & s3_first_low & ~s3_low)


class _Lane(wiring.Component):
    """The data path of one activation vector; the PE's controls, by stage, tell it what passes where."""

    def __init__(self, nested, measure):
        self.nested = nested
        self.measure = measure
        members = {
            "en": In(1),
            "act": In(64),
            "s1_valid": In(1),
            "s1_weight": In(data.ArrayLayout(Operand, WORD_ELEMENTS)),
            "s2_valid": In(1),
            "s2_first": In(1),
            "s3_valid": In(1),
            "s3_last": In(1),
            "s4_done": In(1),
            "result": Out(signed(ACC_WIDTH)),
        }
        if nested:
            members |= {
                "word": In(_PlaneWord),
                "s1_planes": In(1),
                "codes": In(_CODES),
                "exponent": In(MX_EXPONENT_BITS),  # the two exponents are still to be added up
            }
        if measure:
            members |= {"low_now": In(1), "low_clear": In(1), "low_result": Out(signed(ACC_WIDTH))}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()

        # Stage 1: operands. Stage 2: products, in `Product`.
        s1_a = Signal(data.ArrayLayout(Operand, WORD_ELEMENTS), reset_less=True)
        products = []
        if self.nested:
            word = self.word
            place = Signal(6)
            m.d.comb += place.eq(word.scale.exponent + self.exponent)
        for i in range(WORD_ELEMENTS):
            act = Signal(Operand, name=f"act{i}")
            m.d.comb += act.eq(decode(self.act.word_select(i, 16), offset=0))
            product = Product(wide=self.nested)
            m.submodules[f"product{i}"] = once(platform, product, self.nested)
            products.append(product)
            m.d.comb += [product.en.eq(self.s1_valid), product.a.eq(s1_a[i])]
            if not self.nested:
                with m.If(self.en):
                    m.d.sync += s1_a[i].eq(act)
                m.d.comb += product.b.eq(self.s1_weight[i])
                continue
            with m.If(self.en):
                m.d.sync += [
                    s1_a[i].significand.eq(Mux(word.planes, word.scale.significand, act.significand)),
                    s1_a[i].negative.eq(Mux(word.planes, word.scale.negative, act.negative)),
                ]
                with m.If(~word.scales):  # there is no activation, and no exponent of it
                    m.d.sync += s1_a[i].exponent.eq(Mux(word.planes, place, act.exponent))
            fresh = self.en & word.planes & ~word.scales
            m.d.comb += product.b.eq(factor(m, i, fresh, word.bits, self.codes, self.s1_planes, self.s1_weight[i]))

        # Stage 3: sums of two. The carries of products 1 and 3 are left for the adders that follow.
        s3_low = [Signal(LOW_BITS + 1, name=f"s3_low{i}", reset_less=True) for i in range(2)]
        high_bits = len(products[0].high)
        s3_high = [Signal(signed(high_bits + 1), name=f"s3_high{i}", reset_less=True) for i in range(2)]
        s3_carry = Signal(2, reset_less=True)
        with m.If(self.s2_valid):
            for i, (a, b) in enumerate((products[:2], products[2:])):
                m.d.sync += [
                    s3_low[i].eq(add_carry(a.low, b.low, a.carry)),
                    s3_high[i].eq(a.high.as_signed() + b.high.as_signed()),
                    s3_carry[i].eq(b.carry),
                ]

        # Stage 4: accumulators. They are cleared as a first word enters stage 3, which costs no gate in the adders'
        # path, so a finished sum goes to registers of its own.
        low_term = Signal(LOW_BITS + 2)
        high_term = Signal(signed(high_bits + 2))
        low_acc = Signal(_LOW_ACC, reset_less=True)
        high_acc = Signal(signed(_HIGH_ACC), reset_less=True)
        low_sum = Signal(_LOW_ACC)
        high_sum = Signal(signed(_HIGH_ACC))
        s4_low = Signal(_LOW_ACC, reset_less=True)
        s4_high = Signal(signed(_HIGH_ACC), reset_less=True)
        m.d.comb += [
            low_term.eq(add_carry(s3_low[0], s3_low[1], s3_carry[0])),
            high_term.eq(s3_high[0] + s3_high[1]),
            low_sum.eq(add_carry(low_term, low_acc, s3_carry[1])),
            high_sum.eq(high_term + high_acc),
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

        if self.measure:  # stages 4 and 5 once more, without registers between them
            second_low = Signal(_LOW_ACC, reset_less=True)
            second_high = Signal(signed(_HIGH_ACC), reset_less=True)
            s5_low_result = Signal(signed(ACC_WIDTH), reset_less=True)
            m.d.comb += self.low_result.eq(s5_low_result)
            with m.If(self.low_clear):
                m.d.sync += [second_low.eq(0), second_high.eq(0)]
            with m.Elif(self.low_now):
                m.d.sync += [
                    second_low.eq(add_carry(low_term, second_low, s3_carry[1])),
                    second_high.eq(high_term + second_high),
                ]
            with m.If(self.s4_done):
                m.d.sync += s5_low_result.eq(Cat(second_low[:LOW_BITS], second_high + second_low[LOW_BITS:]))
        return m
