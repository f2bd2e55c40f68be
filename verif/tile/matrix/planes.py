"""Matrices with integer planes in the memories of a matrix engine, and entries that read them."""

from hayate.rtl.contract import precision
from hayate.rtl.contract.isa import Op
from hayate.rtl.contract.precision import Format
from hayate.verif.tile.matrix.matrix_driver import ACT_DEPTH, WHOLE_ACT, WHOLE_BANK, words


def load_matrix(driver, random, rows, length, group, fp16):
    """Load a random matrix behind those that are there, with its FP16 copy if `fp16`: its place, or None when there is
    no room left.
    """
    k, groups = 4 * length, -(-rows // driver.banks)
    layout, lo_words = precision.hi_layout(k, precision.GROUPS[group]), precision.plane_words(k)
    pitch = len(layout) + random.choice([0, 2])
    hi_base = driver.free
    lo_base = hi_base + groups * pitch
    base = lo_base + groups * lo_words
    end = base + groups * length * fp16
    if end > WHOLE_BANK:
        return None
    driver.free = end
    for r in range(rows):
        g, bank = divmod(r, driver.banks)
        driver.load(
            bank, hi_base + g * pitch, [scales(random) if kind == "scale" else hi_nibbles(random) for kind, _ in layout]
        )
        driver.load(bank, lo_base + g * lo_words, [random.getrandbits(64) for _ in range(lo_words)])
        if fp16:
            driver.load(bank, base + g * length, words(random, length))
    place = {"rows": rows, "length": length, "group": group, "hi_base": hi_base, "lo_base": lo_base, "pitch": pitch}
    return {**place, "base": base, "fp16": fp16}


def load_matrices(driver, random, count):
    """Up to `count` matrices of random shapes, and activations for them."""
    blocks = range(ACT_DEPTH, WHOLE_ACT, 8)
    driver.write_act({k: [w for _ in blocks for w in block(random)] for k in range(driver.lanes)}, ACT_DEPTH)
    found = []
    for _ in range(count):
        rows = random.choice([1, random.randrange(1, 2 * driver.banks + 2)])
        length = random.choice([1, 4, random.randrange(1, 12), random.randrange(1, 40), random.randrange(33, 150)])
        found.append(load_matrix(driver, random, rows, length, random.randrange(3), random.getrandbits(1)))
    return [matrix for matrix in found if matrix]


def some_grids(random):
    """A constant of `Grids`, of any values."""
    from hayate.rtl.tile.queues import Grids

    return Grids.const({name: random.getrandbits(width) for name, width in Grids.members.items()})


def read(random, matrix, fmt=None, *, measure=False):
    """A GEMV of a matrix in `fmt`; or a measuring one, in the formats that follow from it."""
    e = {name: matrix[name] for name in ("rows", "length", "group", "lo_base")}
    e |= {
        "op": Op.GEMV,
        "live": random.randrange(e["rows"] + 1),
        "s_in": random.randrange(-20, 21),
        "act": ACT_DEPTH + 8 * random.randrange((WHOLE_ACT - ACT_DEPTH - e["length"]) // 8 + 1),
        "planes": random.getrandbits(10),
        "grids": some_grids(random),
    }
    if measure:
        e |= {"measure": 1, "wanted": random.getrandbits(1), "dual": int(matrix["fp16"])}
        fmt = Format.FP16 if matrix["fp16"] else Format.INT8
    if fmt == Format.FP16:
        places = {"base": matrix["base"], "words": e["length"], "hi_base": matrix["hi_base"], "pitch": matrix["pitch"]}
    else:
        places = {"base": matrix["hi_base"], "words": matrix["pitch"]}
    return {**e, **places, "format": fmt}


def any_read(driver, random, matrix):
    """A GEMV of a matrix in any way that the engine has."""
    if driver.governor and random.random() < 0.5:
        return read(random, matrix, measure=True)
    return read(random, matrix, random.choice(list(Format) if matrix["fp16"] else [Format.INT8, Format.INT4]))


def scales(random):
    """A word of scales of all exponents, zero and the largest one included."""
    return sum(
        (random.getrandbits(1) << 15 | random.choice([0, 0x604C] + 6 * [random.randrange(0x604D)])) << 16 * i
        for i in range(4)
    )


def hi_nibbles(random):
    return sum((random.randrange(-7, 8) & 15) << 4 * i for i in range(16))


def block(random):
    """Eight activation words with exponents near each other, so that all bits of their codes are used; one in ten is
    zero.
    """
    top = random.choice([0, 1, 5, 6, 30, random.randrange(31), random.randrange(31)])
    live = random.random() >= 0.1

    def half():
        exponent = max(0, top - random.randrange(8))
        return random.getrandbits(1) << 15 | exponent << 10 | random.choice([0, 1023, random.getrandbits(10)])

    return [sum(half() << 16 * i for i in range(4)) if live else 0 for _ in range(8)]
