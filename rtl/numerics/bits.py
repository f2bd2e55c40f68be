"""Combinational pieces of floating-point data paths: leading zeros, lost bits, final rounding, order."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

__all__ = ["leading_zeros", "lost_bits", "round_stage", "sort_key"]


def leading_zeros(m: Module, value: Value, name: str) -> Value:
    """Number of zeros above the highest one of `value`; unspecified, but in range, when it is zero.

    A tree of groups of four bits: log4 of the width in LUT levels, as a priority chain would not be.
    """
    value = Value.cast(value)
    groups = -(-len(value) // 4)
    groups = 1 << (groups - 1).bit_length()
    padded = Cat(Const(0, 4 * groups - len(value)), value)[::-1]  # bit 0 is the most significant
    level = []
    for i in range(groups):
        g = padded[4 * i : 4 * i + 4]
        level.append((g.any(), Cat(~g[0] & (g[1] | ~g[2]), ~(g[0] | g[1]))))
    depth = 0
    while len(level) > 1:
        merged = []
        for i in range(0, len(level), 2):
            (high_any, high), (low_any, low) = level[i : i + 2]
            some = Signal(name=f"{name}_any_{depth}_{i // 2}")
            count = Signal(len(high) + 1, name=f"{name}_count_{depth}_{i // 2}")
            m.d.comb += [some.eq(high_any | low_any), count.eq(Cat(Mux(high_any, high, low), ~high_any))]
            merged.append((some, count))
        level, depth = merged, depth + 1
    return level[0][1]


def lost_bits(value: Value, amount: Value) -> Value:
    """1 when shifting `value` right by `amount` drops a one."""
    value = Value.cast(value)
    ones = Const((1 << len(value)) - 1, len(value))
    return (value & ~(ones << amount)[: len(value)]).any()


def round_stage(m: Module, unit, *, valid: Value, sign: Value, field: Value, fraction: Value, up: Value, big: Value):
    """Last stage of `unit`: round and saturate a magnitude into its members `out_valid`, `y` and `sat`.

    `field` is the exponent field (0 for subnormals), `fraction` the truncated fraction, `up` the rounding decision;
    `big` says that the exponent exceeds the field. One carry chain: a carry out of the fraction raises the exponent.
    """
    width = len(fraction) + len(field)
    largest = (1 << width) - (1 << len(fraction)) - 1
    rounded = Signal(width + 1, name="result_rounded")
    saturated = Signal(name="result_saturated")
    m.d.comb += [
        rounded.eq(Cat(fraction, field) + up),
        saturated.eq(big | rounded[width] | rounded[len(fraction) : width].all()),
    ]
    m.d.sync += unit.out_valid.eq(valid)
    with m.If(valid):
        bits = Mux(saturated, Const(largest, width), rounded[:width])
        m.d.sync += [unit.y.eq(Cat(bits, sign)), unit.sat.eq(saturated)]


def sort_key(value):
    """32-bit key of an FP32 pattern, such that unsigned order of keys is the order of the numbers and -0 equals +0."""
    negative = value[31] & (value[:31] != 0)
    return Mux(negative, ~value, value[:31] | (1 << 31))


def tree(combine, terms):
    """`terms` combined two by two, as a balanced tree; `combine` takes two and is associative."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return combine(tree(combine, terms[:half]), tree(combine, terms[half:]))
