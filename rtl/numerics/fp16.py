"""FP16 operands unpacked for exact multiplication.

Source: IEEE 754-2019 binary16. Infinity and NaN are outside the domain and never reach the arithmetic.
"""

from amaranth import C, Cat, Value, unsigned
from amaranth.lib import data


class Fp16(data.Struct):
    """The format's fields, as they lie in memory."""

    fraction: unsigned(10)
    exponent: unsigned(5)
    negative: unsigned(1)


class Operand(data.Struct):
    """A factor of a product: (-1)**negative * significand * 2**exponent, in units that the two factors agree on.

    The exponent is modulo 64: the sum of two factors' exponents is the shift of their product.
    """

    significand: unsigned(11)
    exponent: unsigned(6)
    negative: unsigned(1)


class WideOperand(data.Struct):
    """An `Operand` that may also be the sum of some integers instead of an FP16 significand."""

    significand: unsigned(12)
    exponent: unsigned(6)
    negative: unsigned(1)


ONE = Operand.const({"significand": 1 << 10, "exponent": 14, "negative": 0})
"""1.0 as the other factor of an operand decoded with offset -1: the product is then in units of 2**-48."""


def decode(bits: Value, offset: int = -1) -> Value:
    """A 16-bit pattern as an `Operand` whose exponent is max(field, 1) + offset; combinational.

    The offsets of the two factors of a product add up to -2: then it counts in units of 2**-48. Giving one of them all
    of it saves the other's subtraction.
    """
    fields = Fp16(bits)
    normal = fields.exponent.any()
    exponent = Cat(fields.exponent[0] | ~normal, fields.exponent[1:])
    biased = (exponent + offset)[:6] if offset else Cat(exponent, 0)
    return Operand(Cat(fields.fraction, normal, biased, fields.negative))


def add_carry(a: Value, b: Value, carry: Value) -> Value:
    """a + b + carry (one bit) as a single carry chain: the carry enters through a bit below the others.

    Signed when both operands are. A plain three-operand sum would cost a row of full adders more.
    """
    total = _above(a, 1) + _above(b, carry)
    return total[1:].as_signed() if a.shape().signed and b.shape().signed else total[1:]


def _above(value: Value, bit) -> Value:
    lifted = Cat(C(bit, 1) if isinstance(bit, int) else bit, value)
    return lifted.as_signed() if value.shape().signed else lifted
