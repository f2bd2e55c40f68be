"""Processing element: exact dot products of one weight stream, FP16 or planes of nibbles, with M activation streams."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.constants import ACC_WIDTH
from hayate.rtl.contract.precision import MX_EXPONENT_BITS, WORD_NIBBLES
from hayate.rtl.numerics.fp16 import Operand, WideOperand, add_carry, decode
from hayate.rtl.numerics.product import HIGH_BITS, LOW_BITS, Product

WORD_ELEMENTS = 4
PE_LATENCY = 5

_LOW_ACC = 48  # K_MAX / 4 FP16 words and K_MAX / 8 of the planes, each four 32-bit words and their carries
_HIGH_ACC = ACC_WIDTH - LOW_BITS
_QUAD = WORD_NIBBLES // WORD_ELEMENTS  # nibbles that share a multiplier
_CODE_BITS = 8
_QUAD_BITS = 13  # a sum of four products of a nibble and a code, sign included
# An activation code counts 2**(e' - 16) and a scale's significand 2**(max(field, 1) - 25): above 2**-48, the low plane's shift is ...
_LOW_SHIFT = 7
_HIGH_SHIFT = _LOW_SHIFT + 4


class Pe(wiring.Component):
    """Sums weight x activation products over a row, exactly, for `lanes` activation vectors at once.

    A row is a sequence of words, of which the first and the last are marked; words follow each other in consecutive cycles or
    with any gaps between them. The next row may begin in the cycle after `last`. A row that is begun again without having
    ended is dropped. A word holds 4 FP16 weights, or 4 FP16 scales, or 16 nibbles of a plane, in any order within a row.

    An FP16 word adds its weights times `act`. A scale word adds nothing; it stays for the words of nibbles behind it, the next
    one included. A word of nibbles adds, with q the 16 codes, n the nibbles and s the scale that `select` names,
    sum(n * q) * s * 2**(exponent - 16), and 16 times as much where `low` is 0.

    Operands are finite; |scale| <= 65504 / 119 and high nibbles are -7..7, so that no term exceeds an FP16 product. A row has at
    most 8,192 FP16 words and 4,096 words of nibbles (K <= 32,768). The result is the exact sum in units of 2**-48: it cannot
    overflow and is not rounded. (With `subtract` the difference itself must fit; what it passes on its way does not matter.)

        clk    _/0\\_/1\\_/2\\_/3\\_/4\\_/5\\_/6\\_
        en     /~~~~~~~~\\______________________      two words of one row
        first  /~~~\\___________________________
        last   ____/~~~\\_______________________
        done   ________________________/~~~\\___      PE_LATENCY = 5 cycles after `last` was presented
        result ------------------------X=======

    Throughput: one word of any kind and cycle, that is 4 * lanes multiply-accumulates of FP16, 16 * lanes of nibbles. No
    backpressure: a result is overwritten by the next row's. Reset clears the controls only; registers hold while nothing
    passes them. Inputs that a word's kind does not use may have any value, undefined ones too.

    Parameters
    ----------
    lanes : activation vectors M, at least 1.
    measure : also sum up the low planes apart.

    Members
    -------
    en, first, last : in, see above; `first` and `last` count only while `en` is high, on a word of any kind.
    nibbles : in, the word holds nibbles. scales : in, the word holds scales, whatever `nibbles` is.
    low : in, the nibbles are of the low plane. select : in, 2 bits, which of the four scales.
    weight : in, 64 bits: four FP16 values or sixteen signed nibbles, element 0 in the low bits.
    act : in, `lanes` words of 64 bits in the same order; zero for absent vectors.
    codes : in, `lanes` words of 128 bits: sixteen signed bytes in -127..127; zero for absent vectors.
    exponent : in, `lanes` numbers of 5 bits, 0..25: a code q is the activation q * 2**(exponent - 16).
    done : out, one-cycle strobe.
    result : out, `lanes` x 96 bits signed; stable from `done` until the next one.
    subtract : in, only with `measure`: the nibbles count negative. FP16 words do not.
    first_low : in, only with `measure`: this word begins the sum of the low plane. Any word of a row, but not its first if that
        is of a low plane.
    low_result : out, only with `measure`: `lanes` x 96 bits signed, what the low planes' words added to `result`, from
        `first_low` on; stable like `result`.

    Raises
    ------
    ValueError
        If `lanes` is not a positive integer.
    """

    def __init__(self, lanes: int = 1, *, measure: bool = False):
        if not isinstance(lanes, int) or lanes < 1:
            raise ValueError(f"lanes must be a positive integer, not {lanes!r}")
        self.lanes = lanes
        self.measure = measure
        results = data.ArrayLayout(signed(ACC_WIDTH), lanes)
        members = {
            "en": In(1), "first": In(1), "last": In(1),
            "nibbles": In(1), "scales": In(1), "low": In(1), "select": In(2),
            "weight": In(64),
            "act": In(data.ArrayLayout(64, lanes)),
            "codes": In(data.ArrayLayout(WORD_NIBBLES * _CODE_BITS, lanes)),
            "exponent": In(data.ArrayLayout(MX_EXPONENT_BITS, lanes)),
            "done": Out(1), "result": Out(results),
        }
        if measure:
            members |= {"subtract": In(1), "first_low": In(1), "low_result": Out(results)}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()

        s1_valid, s1_first, s1_last = Signal(), Signal(reset_less=True), Signal(reset_less=True)
        s1_planes = Signal(reset_less=True)
        s1_weight = Signal(data.ArrayLayout(Operand, WORD_ELEMENTS), reset_less=True)
        s2_valid, s2_first, s2_last = Signal(), Signal(reset_less=True), Signal(reset_less=True)
        s3_valid, s3_last = Signal(), Signal(reset_less=True)
        s4_done = Signal()
        m.d.sync += [
            s1_valid.eq(self.en),
            s2_valid.eq(s1_valid),
            s3_valid.eq(s2_valid),
            s4_done.eq(s3_valid & s3_last),
            self.done.eq(s4_done),
        ]

        # A word of the planes has the scale for its FP16 activations and sums for its FP16 weights. A scale word passes as one
        # of the planes whose scale is zero, so that it adds nothing.
        planes = Signal()
        scales = Signal(64, reset_less=True)
        scale_bits, scale, place = Signal(16), Signal(Operand), Signal(6)
        m.d.comb += [
            planes.eq(self.nibbles | self.scales),
            scale_bits.eq(Mux(self.scales, 0, scales.word_select(self.select, 16))),
            scale.eq(decode(scale_bits, offset=0)),
            place.eq(scale.exponent + Mux(self.low, _LOW_SHIFT, _HIGH_SHIFT)),
        ]
        with m.If(self.en & self.scales):
            m.d.sync += scales.eq(self.weight)
        with m.If(self.en):
            m.d.sync += [s1_first.eq(self.first), s1_last.eq(self.last), s1_planes.eq(planes)]
            for i in range(WORD_ELEMENTS):
                weight = Signal(Operand, name=f"weight{i}")
                m.d.comb += weight.eq(decode(self.weight.word_select(i, 16), offset=-2))
                m.d.sync += [
                    s1_weight[i].exponent.eq(Mux(planes, 0, weight.exponent)),
                    s1_weight[i].negative.eq(~planes & weight.negative),
                ]
                with m.If(~planes):
                    m.d.sync += s1_weight[i].significand.eq(weight.significand)
        with m.If(s1_valid):
            m.d.sync += [s2_first.eq(s1_first), s2_last.eq(s1_last)]
        with m.If(s2_valid):
            m.d.sync += s3_last.eq(s2_last)

        subtract = Signal()
        if self.measure:
            m.d.comb += subtract.eq(self.subtract & ~self.scales)
            low_now, low_clear = self._low_controls(m, s1_valid, s2_valid, s3_valid)
        for k in range(self.lanes):
            m.submodules[f"lane{k}"] = lane = _Lane(self.measure)
            m.d.comb += [
                lane.en.eq(self.en), lane.planes.eq(planes), lane.scales.eq(self.scales), lane.weight.eq(self.weight),
                lane.scale.significand.eq(scale.significand),
                lane.scale.negative.eq(scale.negative ^ subtract),
                lane.scale.exponent.eq(place),
                lane.act.eq(self.act[k]), lane.codes.eq(self.codes[k]), lane.exponent.eq(self.exponent[k]),
                lane.s1_valid.eq(s1_valid), lane.s1_planes.eq(s1_planes), lane.s1_weight.eq(s1_weight),
                lane.s2_valid.eq(s2_valid), lane.s2_first.eq(s2_first),
                lane.s3_valid.eq(s3_valid), lane.s3_last.eq(s3_last), lane.s4_done.eq(s4_done),
                self.result[k].eq(lane.result),
            ]
            if self.measure:
                m.d.comb += [lane.low_now.eq(low_now), lane.low_clear.eq(low_clear), self.low_result[k].eq(lane.low_result)]
        return m

    def _low_controls(self, m, s1_valid, s2_valid, s3_valid):
        """The second accumulators count what is in stage 3 now; they are zero from the next cycle on."""
        stages = [[self.en, self.nibbles & ~self.scales & self.low, self.first_low]]
        for n, valid in enumerate((s1_valid, s2_valid, s3_valid), 1):
            low, first = Signal(name=f"s{n}_low", reset_less=True), Signal(name=f"s{n}_first_low", reset_less=True)
            with m.If(stages[-1][0]):
                m.d.sync += [low.eq(stages[-1][1]), first.eq(stages[-1][2])]
            stages.append([valid, low, first])
        (_, s2_low, s2_first_low), (_, s3_low, s3_first_low) = stages[2:]
        # They are read as the row's last word is in stage 4, so the next row must clear them no sooner than with its own first
        # word in stage 3. Only a low word that comes first itself needs them zero by then.
        return s3_valid & s3_low, (s2_valid & s2_first_low & s2_low) | (s3_valid & s3_first_low & ~s3_low)


class _Lane(wiring.Component):
    """The data path of one activation vector; the PE's controls, by stage, tell it what passes where."""

    def __init__(self, measure):
        self.measure = measure
        members = {
            "en": In(1), "planes": In(1), "scales": In(1),
            "weight": In(64),
            "scale": In(Operand),  # its exponent lacks only the activation's
            "act": In(64),
            "codes": In(WORD_NIBBLES * _CODE_BITS),
            "exponent": In(MX_EXPONENT_BITS),
            "s1_valid": In(1), "s1_planes": In(1), "s1_weight": In(data.ArrayLayout(Operand, WORD_ELEMENTS)),
            "s2_valid": In(1), "s2_first": In(1),
            "s3_valid": In(1), "s3_last": In(1),
            "s4_done": In(1),
            "result": Out(signed(ACC_WIDTH)),
        }
        if measure:
            members |= {"low_now": In(1), "low_clear": In(1), "low_result": Out(signed(ACC_WIDTH))}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()

        # Stage 1: operands. Stage 2: products, in `Product`.
        s1_a = Signal(data.ArrayLayout(Operand, WORD_ELEMENTS), reset_less=True)
        place = Signal(6)
        m.d.comb += place.eq(self.scale.exponent + self.exponent)
        products = []
        for i in range(WORD_ELEMENTS):
            act = Signal(Operand, name=f"act{i}")
            m.d.comb += act.eq(decode(self.act.word_select(i, 16), offset=0))
            with m.If(self.en):
                m.d.sync += [
                    s1_a[i].significand.eq(Mux(self.planes, self.scale.significand, act.significand)),
                    s1_a[i].negative.eq(Mux(self.planes, self.scale.negative, act.negative)),
                ]
                with m.If(~self.scales):  # there is no activation, and no exponent of it
                    m.d.sync += s1_a[i].exponent.eq(Mux(self.planes, place, act.exponent))
            m.submodules[f"product{i}"] = product = Product()
            products.append(product)
            m.d.comb += [product.en.eq(self.s1_valid), product.a.eq(s1_a[i]), product.b.eq(self._factor(m, i))]

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
        low_term, high_term = Signal(LOW_BITS + 2), Signal(signed(HIGH_BITS + 2))
        low_acc = Signal(_LOW_ACC, reset_less=True)
        high_acc = Signal(signed(_HIGH_ACC), reset_less=True)
        low_sum, high_sum = Signal(_LOW_ACC), Signal(signed(_HIGH_ACC))
        s4_low = Signal(_LOW_ACC, reset_less=True)
        s4_high = Signal(signed(_HIGH_ACC), reset_less=True)
        m.d.comb += [
            low_term.eq(add_carry(s3_low[0], s3_low[1], s3_carry[0])), high_term.eq(s3_high[0] + s3_high[1]),
            low_sum.eq(add_carry(low_term, low_acc, s3_carry[1])), high_sum.eq(high_term + high_acc),
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
                m.d.sync += [second_low.eq(add_carry(low_term, second_low, s3_carry[1])), second_high.eq(high_term + second_high)]
            with m.If(self.s4_done):
                m.d.sync += s5_low_result.eq(Cat(second_low[:LOW_BITS], second_high + second_low[LOW_BITS:]))
        return m

    def _factor(self, m, i):
        """The other factor of product i: an FP16 weight, or the magnitude of four nibbles times four codes."""
        terms = []
        for j in range(_QUAD * i, _QUAD * (i + 1)):
            term = Signal(signed(4 + _CODE_BITS), name=f"term{j}")
            m.d.comb += term.eq(self.weight.word_select(j, 4).as_signed() * self.codes.word_select(j, _CODE_BITS).as_signed())
            terms.append(term)
        # Codes have no -128, so a sum of two needs no more bits; with one more, synthesis would build costlier rows of full adders.
        pairs = [Signal(signed(_QUAD_BITS - 1), name=f"pair{i}_{n}") for n in range(2)]
        m.d.comb += [pairs[0].eq(terms[0] + terms[1]), pairs[1].eq(terms[2] + terms[3])]
        s1_quad = Signal(signed(_QUAD_BITS), name=f"s1_quad{i}", reset_less=True)
        with m.If(self.en & self.planes & ~self.scales):
            m.d.sync += s1_quad.eq(pairs[0] + pairs[1])

        weight = self.s1_weight[i]  # +, and with exponent 0, for a word of the planes
        factor = Signal(WideOperand, name=f"factor{i}")
        negative = Signal(name=f"negative{i}")
        inverted = Signal(_QUAD_BITS - 1, name=f"inverted{i}")
        m.d.comb += [
            negative.eq(self.s1_planes & s1_quad[-1]),
            inverted.eq(Mux(self.s1_planes, s1_quad[:-1] ^ negative.replicate(_QUAD_BITS - 1), weight.significand)),
            factor.significand.eq(inverted + negative),
            factor.exponent.eq(weight.exponent),
            factor.negative.eq(weight.negative | negative),
        ]
        return factor
