"""Who owns what: partition of rows over tiles, KV heads over tiles, slots over banks, regions in the tile's buffers.

Everything an image leaves open (it knows neither the number of tiles nor of banks) is settled here, by the loader,
from a configuration. All sizes in *quads*: 4 consecutive rows or FP16 elements, one 64-bit word.
"""

from dataclasses import dataclass


def split(units, parts, index):
    """(start, stop) of part `index` when `units` are cut into `parts` contiguous, near-equal pieces."""
    return units * index // parts, units * (index + 1) // parts


def ceil_div(a, b):
    return -(-a // b)


@dataclass(frozen=True)
class Attention:
    """KV heads and tile group of one tile. A KV head belongs to one tile or to a contiguous group of tiles."""

    head0: int  # first local KV head
    heads: int  # KV heads this tile serves
    group_lo: int  # logical tile indices of the group, inclusive
    group_hi: int
    group_size: int
    group_index: int  # this tile's place in the group


def attention(kv_heads, tiles, tile):
    """`Attention` of logical tile `tile`: whole heads per tile while there are at least as many heads as tiles."""
    if tiles <= kv_heads:
        lo, hi = split(kv_heads, tiles, tile)
        return Attention(lo, hi - lo, tile, tile, 1, 0)
    for head in range(kv_heads):
        lo, hi = split(tiles, kv_heads, head)
        if lo <= tile < hi:
            return Attention(head, 1, lo, hi - 1, hi - lo, tile - lo)
    raise AssertionError("split() covers every tile")


def slot_home(slot, att_size):
    """(group index, local slot) of a KV slot: quads of slots are striped over the tiles of a group."""
    quad = slot // 4
    return quad % att_size, quad // att_size * 4 + slot % 4


def local_slots(slots, att_size, att_index):
    """Local slot rows (whole quads) that hold global slots below `slots` on the tile `att_index` of its group."""
    quads = ceil_div(slots, 4)
    return 4 * max(0, ceil_div(quads - att_index, att_size))


def row_home(row, banks, words, base=0):
    """(bank, word address) of a local row's first word."""
    return row % banks, base + row // banks * words


def ceil_log2(n):
    """Bits that tell n apart."""
    return (n - 1).bit_length()


def fine_row(position, bits):
    """Row of the fine table of rotary angles for a position (`FetchIndex.POS_LO`): its lowest bits, reversed."""
    return int(format(position % (1 << bits), f"0{bits}b")[::-1], 2)


def apart(positions, lanes):
    """How far apart the attention vectors of two query heads are numbered: the next power of two of positions, but no
    more than lanes. So a flit, with a word for each lane, carries a vector of every position.
    """
    return min(1 << ceil_log2(positions), lanes)


def rounds(positions, group, lanes):
    """Attention rounds of a pass: vectors of `group` query heads, `lanes` of them at a time."""
    return ceil_div(group * apart(positions, lanes), lanes)
