"""Sizes of the exact accumulator, derived from FP16 and the longest reduction.

A finite FP16 value is an 11-bit significand times 2**(e - 24), e = 0..29 (subnormals have e = 0), so a product is a
22-bit integer shifted left by 0..58 in units of 2**-48 and K_MAX of them stay inside a 96-bit two's complement number.
"""

K_MAX = 32768  # longest reduction, in elements

FP16_SIGNIFICAND_BITS = 11  # hidden bit included
FP16_EXPONENT_MAX = 29  # of the significand's last bit, over 2**FP16_LSB
FP16_LSB = -24  # exponent of the smallest subnormal
FP16_MAX = 65504.0

ACC_LSB = 2 * FP16_LSB  # exponent of the accumulator's last bit: -48
PRODUCT_BITS = 2 * FP16_SIGNIFICAND_BITS + 2 * FP16_EXPONENT_MAX  # 80, magnitude only
ACC_WIDTH = PRODUCT_BITS + (K_MAX - 1).bit_length() + 1  # 96 with sign
assert ACC_WIDTH == 96, "the accumulator of the contract is 96 bits wide"
