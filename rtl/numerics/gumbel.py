"""Gumbel noise for sampling: a counter-based generator, and -ln(-ln u) by table and quadratic interpolation."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract import noise
from hayate.rtl.contract.latencies import GUMBEL_LATENCY, STEPS_PER_STAGE, THREEFRY_LATENCY, TRANSFORM_LATENCY
from hayate.rtl.numerics.bits import leading_zeros
from hayate.rtl.numerics.rom import rom

__all__ = ["GUMBEL_LATENCY", "Gumbel", "GumbelTransform", "THREEFRY_LATENCY", "TRANSFORM_LATENCY", "Threefry"]


class Threefry(wiring.Component):
    """Threefry-2x32 with `hayate.rtl.contract.noise.ROUNDS` rounds: a random function of a counter, chosen by a key.

    Takes a counter a cycle; `out_valid` and the result follow `valid` by THREEFRY_LATENCY cycles. There is no
    backpressure. The key is constant from the cycle before a counter until its result. Registers load only with a valid
    counter in their stage; reset clears the valid bits. Source: Salmon et al., "Parallel Random Numbers: As Easy as 1,
    2, 3", SC 2011.

    Members
    -------
    valid, counter0, counter1 : In(1), In(32), In(32)
        The two words of a counter.
    key : In(64)
        The first word is the low one.
    out_valid, word0, word1 : Out(1), Out(32), Out(32)
        The result, held until the next one.
    """

    valid: In(1)
    counter0: In(32)
    counter1: In(32)
    key: In(64)
    out_valid: Out(1)
    word0: Out(32)
    word1: Out(32)

    def elaborate(self, platform):
        m = Module()

        # The key schedule is static while counters are under way; its small additions are kept out of the stages.
        words = [self.key[:32], self.key[32:], self.key[:32] ^ self.key[32:] ^ noise.PARITY]
        steps = [("inject", *words[:2])]
        for turn in range(1, noise.ROUNDS + 1):
            steps.append(("round", noise.ROTATIONS[(turn - 1) % 8]))
            if turn % 4 == 0:
                number = turn // 4
                added = Signal(32, name=f"key_{number}")
                m.d.sync += added.eq(words[(number + 1) % 3] + number)
                steps.append(("inject", words[number % 3], added))

        valid, a, b = self.valid, self.counter0, self.counter1
        for first in range(0, len(steps), STEPS_PER_STAGE):
            stage = first // STEPS_PER_STAGE + 1
            before = valid
            for i, (kind, *operands) in enumerate(steps[first : first + STEPS_PER_STAGE]):
                next_a = Signal(32, name=f"a{stage}_{i}")
                next_b = Signal(32, name=f"b{stage}_{i}")
                m.d.comb += next_a.eq(a + (b if kind == "round" else operands[0]))
                m.d.comb += next_b.eq(b.rotate_left(operands[0]) ^ next_a if kind == "round" else b + operands[1])
                a, b = next_a, next_b
            valid = Signal(name=f"s{stage}_valid")
            s_a = Signal(32, name=f"s{stage}_a")
            s_b = Signal(32, name=f"s{stage}_b")
            m.d.sync += valid.eq(before)
            with m.If(before):
                m.d.sync += [s_a.eq(a), s_b.eq(b)]
            a, b = s_a, s_b
        m.d.comb += [self.out_valid.eq(valid), self.word0.eq(a), self.word1.eq(b)]
        return m


class GumbelTransform(wiring.Component):
    """-ln(-ln u) of u = (n + 1/2) / 2^32 as FP32.

    Takes a number a cycle; `out_valid` and `y` follow `valid` by TRANSFORM_LATENCY cycles. There is no backpressure.
    The results are those of `hayate.rtl.contract.noise`: finite, never falling with n, within 2^-20 of the true value,
    rounding included; from 16 on, where FP32 itself is off by up to that much, within 1.31 · 2^-20. Registers load only
    with a valid number in their stage; reset clears the valid bits. Takes two 18-bit multipliers and a 2048 × 62 ROM.

    Members
    -------
    valid, n : In(1), In(32)
    out_valid, y : Out(1), Out(32)
        The result, held until the next one.
    """

    valid: In(1)
    n: In(32)
    out_valid: Out(1)
    y: Out(32)

    def elaborate(self, platform):
        m = Module()

        # Stage 1: mirror at u = 1/2, find the leading one. A one below bit 6 ends the count at SHIFT_MAX.
        mirrored = Signal(31)
        m.d.comb += mirrored.eq(self.n[:31] ^ self.n[31].replicate(31))
        zeros = leading_zeros(m, Cat(Const(1, 1), mirrored[31 - noise.SHIFT_MAX :]), "zeros")
        s1_valid = Signal()
        s1_top = Signal()
        s1_m = Signal(31)
        s1_zeros = Signal(5)
        m.d.sync += s1_valid.eq(self.valid)
        with m.If(self.valid):
            m.d.sync += [s1_top.eq(self.n[31]), s1_m.eq(mirrored), s1_zeros.eq(zeros)]

        # Stage 2: normalize, choose the row. `along`: u runs with the position in the segment, not against it.
        shifted = Signal(32)
        group = Signal(5)
        along = Signal()
        low = 32 - 1 - noise.SEGMENT_BITS  # below the leading one and the segment
        m.d.comb += [
            shifted.eq((Cat(Const(1, 1), s1_m) << s1_zeros)[:32]),
            group.eq(Mux(shifted[31], s1_zeros, noise.SHIFT_MAX + 1)),
            along.eq(~s1_top & s1_m[30] & s1_m[29]),
        ]
        words = [
            c0 & (1 << noise.C0_BITS) - 1 | c1 << noise.C0_BITS | c2 << noise.C0_BITS + noise.C1_BITS
            for c0, c1, c2 in noise.rows().tolist()
        ]
        row = Signal(noise.SEGMENT_BITS + 6)
        m.d.comb += row.eq(Cat(shifted[low:31], group, s1_top))
        coefficients = rom(m, words, noise.C0_BITS + noise.C1_BITS + noise.C2_BITS, row, s1_valid, "table")
        s2_valid = Signal()
        s2_subtract = Signal()
        s2_u = Signal(noise.U_BITS)
        m.d.sync += s2_valid.eq(s1_valid)
        with m.If(s1_valid):
            m.d.sync += [
                s2_subtract.eq(~s1_top & ~along),
                s2_u.eq(shifted[low - noise.U_BITS : low] ^ (~along).replicate(noise.U_BITS)),
            ]

        # Stage 3: give the table a cycle of its own, as a memory its output comes late.
        s3_valid = Signal()
        s3_subtract = Signal()
        s3_c0 = Signal(noise.C0_BITS)
        s3_c1 = Signal(noise.C1_BITS)
        s3_c2 = Signal(noise.C2_BITS)
        s3_u = Signal(noise.U_BITS)
        m.d.sync += s3_valid.eq(s2_valid)
        with m.If(s2_valid):
            m.d.sync += [Cat(s3_c0, s3_c1, s3_c2).eq(coefficients), s3_u.eq(s2_u), s3_subtract.eq(s2_subtract)]

        # Stage 4: the inner step of the polynomial.
        s4_valid = Signal()
        s4_subtract = Signal()
        s4_c0 = Signal(noise.C0_BITS)
        s4_t = Signal(noise.C1_BITS)
        s4_u = Signal(noise.U_BITS)
        m.d.sync += s4_valid.eq(s3_valid)
        with m.If(s3_valid):
            m.d.sync += [
                s4_c0.eq(s3_c0),
                s4_t.eq(s3_c1 + (s3_c2 * s3_u >> noise.T_SHIFT)),
                s4_u.eq(s3_u),
                s4_subtract.eq(s3_subtract),
            ]

        # Stage 5: the product of the outer step.
        product_bits = noise.C1_BITS + noise.U_BITS - noise.P_SHIFT
        s5_valid = Signal()
        s5_subtract = Signal()
        s5_c0 = Signal(noise.C0_BITS)
        s5_product = Signal(product_bits)
        m.d.sync += s5_valid.eq(s4_valid)
        with m.If(s4_valid):
            m.d.sync += [s5_c0.eq(s4_c0), s5_product.eq(s4_t * s4_u >> noise.P_SHIFT), s5_subtract.eq(s4_subtract)]

        # Stage 6: its sum, with the one that an inverted product lacks as carry; only the grid is kept.
        grid_bits = noise.C0_BITS - noise.GRID_SHIFT
        p = Signal(noise.C0_BITS + 2)
        inverted = s5_product ^ s5_subtract.replicate(product_bits)
        s6_valid = Signal()
        s6_grid = Signal(signed(grid_bits))
        m.d.comb += p.eq(
            Cat(s5_subtract, s5_c0) + Cat(s5_subtract, inverted, s5_subtract.replicate(noise.C0_BITS - product_bits))
        )
        m.d.sync += s6_valid.eq(s5_valid)
        with m.If(s5_valid):
            m.d.sync += s6_grid.eq(p[1 + noise.GRID_SHIFT : 1 + noise.C0_BITS])

        # Stage 7: the magnitude, less than 2^5.
        magnitude_bits = grid_bits - 1
        s7_valid = Signal()
        s7_sign = Signal()
        s7_magnitude = Signal(magnitude_bits)
        m.d.sync += s7_valid.eq(s6_valid)
        with m.If(s6_valid):
            m.d.sync += [s7_sign.eq(s6_grid < 0), s7_magnitude.eq(Mux(s6_grid < 0, -s6_grid, s6_grid))]

        # Stage 8: FP32. Rounding constants are in the table, so what the fraction cannot hold is dropped.
        places = leading_zeros(m, s7_magnitude, "places")
        fraction = Signal(magnitude_bits)
        m.d.comb += fraction.eq((s7_magnitude << places)[:magnitude_bits])
        # exponent field of a number without leading zeros
        largest = 127 + magnitude_bits - 1 - (noise.P_FRACTION - noise.GRID_SHIFT)
        m.d.sync += self.out_valid.eq(s7_valid)
        with m.If(s7_valid):
            field = Mux(fraction[-1], largest - places, 0)[:8]  # the leading bit stays zero for zero alone
            m.d.sync += self.y.eq(Cat(fraction[-24:-1], field, s7_sign))
        return m


class Gumbel(wiring.Component):
    """Noise of a token at a position: the token with the largest logit/T + noise is a sample of softmax(logits/T).

    Takes an operation a cycle; `out_valid` and `y` follow `valid` by GUMBEL_LATENCY cycles. There is no backpressure.
    The noise is a function of seed, position and token alone, and so does not depend on the tile, the lane or the pass
    that asks for it. The seed is constant from the cycle before an operation until its result. Registers load only with
    a valid operation in their stage; reset clears the valid bits.

    Members
    -------
    valid, token, position : In(1), In(20), In(16)
        A token and its absolute position.
    seed : In(64)
    out_valid, y : Out(1), Out(32)
        The noise as FP32, see `GumbelTransform`; held until the next one.
    """

    valid: In(1)
    token: In(noise.TOKEN_BITS)
    position: In(noise.POSITION_BITS)
    seed: In(noise.SEED_BITS)
    out_valid: Out(1)
    y: Out(32)

    def elaborate(self, platform):
        m = Module()
        m.submodules.threefry = threefry = Threefry()
        m.submodules.transform = transform = GumbelTransform()
        m.d.comb += [
            threefry.valid.eq(self.valid),
            threefry.counter0.eq(self.token),
            threefry.counter1.eq(self.position),
            threefry.key.eq(self.seed),
            transform.valid.eq(threefry.out_valid),
            transform.n.eq(threefry.word0),
            self.out_valid.eq(transform.out_valid),
            self.y.eq(transform.y),
        ]
        return m
