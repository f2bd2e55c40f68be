"""One factor of a product: an FP16 weight, or four nibbles times four activation codes."""

from amaranth.hdl import Module, Mux, Signal, signed

from hayate.rtl.numerics.fp16 import WideOperand

__all__ = ["CODE_BITS", "QUAD", "factor"]

QUAD = 4  # nibbles that share a multiplier
CODE_BITS = 8
_NIBBLE_BITS = 4
_QUAD_BITS = 13  # a sum of four products of a nibble and a code, sign included


def factor(m: Module, i: int, fresh, weight_word, codes, s1_planes, s1_weight):
    """`WideOperand` of product i: the decoded FP16 weight, or with `s1_planes` the sum of four nibbles times four
    codes, as a magnitude.

    Parameters
    ----------
    fresh: the sum of `weight_word`'s and `codes`' quad i is stored; both words have element 0 in the low bits. A
        register, so that the factor follows in the next cycle, where the others are inputs.
    s1_weight: `Operand`, positive and with exponent 0 where `s1_planes`.
    """
    terms = []
    for j in range(QUAD * i, QUAD * (i + 1)):
        term = Signal(signed(_NIBBLE_BITS + CODE_BITS), name=f"term{j}")
        nibble, code = weight_word.word_select(j, _NIBBLE_BITS).as_signed(), codes.word_select(j, CODE_BITS).as_signed()
        m.d.comb += term.eq(nibble * code)
        terms.append(term)
    # Codes have no -128, so a sum of two needs no more bits; with one more, synthesis would build costlier rows of full
    # adders.
    pairs = [Signal(signed(_QUAD_BITS - 1), name=f"pair{i}_{n}") for n in range(2)]
    m.d.comb += [pairs[0].eq(terms[0] + terms[1]), pairs[1].eq(terms[2] + terms[3])]
    s1_quad = Signal(signed(_QUAD_BITS), name=f"s1_quad{i}", reset_less=True)
    with m.If(fresh):
        m.d.sync += s1_quad.eq(pairs[0] + pairs[1])

    found = Signal(WideOperand, name=f"factor{i}")
    negative = Signal(name=f"negative{i}")
    inverted = Signal(_QUAD_BITS - 1, name=f"inverted{i}")
    m.d.comb += [
        negative.eq(s1_planes & s1_quad[-1]),
        inverted.eq(Mux(s1_planes, s1_quad[:-1] ^ negative.replicate(_QUAD_BITS - 1), s1_weight.significand)),
        found.significand.eq(inverted + negative),
        found.exponent.eq(s1_weight.exponent),
        found.negative.eq(s1_weight.negative | negative),
    ]
    return found
