"""What part of each matrix and cache a tile holds, and where its rows lie in the banks."""

from dataclasses import dataclass

import numpy as np

from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.layout import ceil_div, local_slots, split
from hayate.rtl.contract.precision import WORD_NIBBLES, WORD_SCALES, hi_layout, hi_pitch, plane_words
from hayate.rtl.contract.topology import Topology


@dataclass(frozen=True)
class Share:
    """A tile's part of one descriptor.

    `rows` of each of `blocks` blocks, `words` per row; `quad0`, `row0` as in `DESCRIPTOR`. `source`: rows of the
    matrix, [blocks, rows], None without one. A block begins on bank 0 and takes `stride` words in every bank, none
    where there is no FP16 copy.
    """

    rows: int
    blocks: int
    words: int
    quad0: int
    row0: int
    stride: int
    source: object = None


@dataclass(frozen=True)
class PlanesShare:
    """The integer copy of a tile's part: `pitch`, `lo_offset` and `stride` (block_stride) as in `PLANES`, `blocks` of
    them.
    """

    pitch: int
    lo_offset: int
    stride: int
    blocks: int


@dataclass(frozen=True)
class Geometry:
    """How one model lies on one configuration: slots of the KV cache, and attention of each tile."""

    tiles: int
    banks: int
    slots: int
    context: int
    attention: tuple
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int

    @classmethod
    def of(cls, model, config):
        """Geometry of an image's `model` on a configuration. Raises HayateError when no position fits the KV slots."""
        slots = min(config.max_slots, 4 * ceil_div(model["context"] + config.lanes, 4))
        if slots <= config.lanes:
            raise HayateError(
                f"configuration {config.name}",
                "max_slots",
                f"{config.max_slots} KV slots leave no position beside the {config.lanes} in flight",
                f"--set max_slots={4 * ceil_div(model['context'] + config.lanes, 4)}",
            )
        return cls(
            config.tiles,
            config.banks,
            slots,
            min(model["context"], slots - config.lanes),
            tuple(Topology(config.tiles).group(model["kv_heads"], t) for t in range(config.tiles)),
            model["hidden"],
            model["heads"],
            model["kv_heads"],
            model["head_dim"],
            model["vocab"],
        )

    def quads(self, tile):
        """(start, stop) of the head-dimension quads that a tile computes of its KV heads."""
        att = self.attention[tile]
        return split(self.head_dim // 4, att.group_size, att.group_index)

    @property
    def dims(self):
        """Rows of V of a KV head on a tile, the largest of all tiles."""
        return max(4 * (b - a) for a, b in map(self.quads, range(self.tiles)))

    def rows(self, tile, rows):
        """(start, stop) of the tile's rows when `rows` are split in quads over all tiles."""
        start, stop = split(ceil_div(rows, 4), self.tiles, tile)
        return min(4 * start, rows), min(4 * stop, rows)

    def symbols(self, filters=False):
        """Values of `image.SYMBOLS` that sizes depend on: the largest of all tiles, so that addresses agree.

        filters: what is sampled may be filtered, which takes a word for each of a tile's tokens.
        """

        def most(rows):
            return max(b - a for a, b in (self.rows(t, rows) for t in range(self.tiles)))

        return {
            "rows": most(self.hidden),
            "tokens": most(self.vocab) if filters else 0,
            "heads": max(a.heads for a in self.attention),
            "slots": max(local_slots(self.slots, a.group_size, a.group_index) for a in self.attention),
            "slot_words": self.slots // 4,
        }

    def share(self, d, tile):
        """`Share` of descriptor `d` on logical tile `tile`."""
        att = self.attention[tile]
        quad0, quad1 = self.quads(tile)
        row0 = 0
        if d.kind in ("rows", "vector"):
            row0, stop = self.rows(tile, d.rows)
            return self._share(d, [np.arange(row0, stop)], row0 // 4, row0)
        if d.kind == "pairs":
            start, stop = split(d.rows // 8, self.tiles, tile)
            return self._share(d, [np.arange(8 * start, 8 * stop)], start, 8 * start)
        if d.kind in ("q", "kv"):
            per_head = d.blocks // self.kv_heads
            blocks = range(att.head0 * per_head, (att.head0 + att.heads) * per_head)
            size = d.rows // d.blocks
            return self._share(d, [np.arange(b * size + 4 * quad0, b * size + 4 * quad1) for b in blocks], quad0, 0)
        if d.kind == "kcache":
            rows = local_slots(self.slots, att.group_size, att.group_index)
            return Share(rows, att.heads, d.words, quad0, 0, ceil_div(rows, self.banks) * d.words)
        if d.kind == "vcache":
            rows, words = 4 * (quad1 - quad0), self.slots // 4
            return Share(rows, att.heads, words, quad0, 0, ceil_div(rows, self.banks) * words)
        raise HayateError("image", d.name, f"unknown kind {d.kind!r}", "compile the model again")

    def _share(self, d, blocks, quad0, row0):
        source = np.stack(blocks)
        rows = source.shape[1]
        stride = ceil_div(rows, self.banks) * d.words if d.tensor else 0
        return Share(rows, len(blocks), d.words, quad0, row0, stride, source if d.tensor or d.planes else None)

    def planes(self, d, share):
        """`PlanesShare` that goes with a `Share` of descriptor `d`, None without planes."""
        if not d.planes:
            return None
        groups, pitch = ceil_div(share.rows, self.banks), hi_pitch(4 * d.words, d.group)
        return PlanesShare(pitch, groups * pitch, groups * (pitch + plane_words(4 * d.words)), share.blocks)

    def words(self, d, tile):
        """Words of every bank that descriptor `d` takes on a tile: of its FP16 or FP32 copy or cache, and of its
        planes.
        """
        share = self.share(d, tile)
        planes = self.planes(d, share)
        return share.blocks * share.stride, planes.blocks * planes.stride if planes else 0


def stripe(tensor, share, banks):
    """Bank contents of a share: uint64 [banks, blocks * stride]; row r of a block in bank r % banks; missing rows are
    zero.
    """
    words = np.ascontiguousarray(tensor).view("<u8")[share.source]
    return _by_bank(words, banks).reshape(banks, share.blocks * share.stride)


def stripe_planes(w8, scale, group, share, banks):
    """Bank contents of the planes of a share: uint64 [banks, blocks * stride], laid out as `precision` says; missing
    rows are zero.
    """
    w8, scale = w8[share.source].astype(np.int16), np.ascontiguousarray(scale).view("<u2")[share.source]
    k = w8.shape[-1]
    hi = (w8 + 8) >> 4
    layout = hi_layout(k, group)
    rows = np.zeros((*w8.shape[:2], len(layout)), np.uint64)
    rows[..., [kind == "scale" for kind, _ in layout]] = _words(scale, WORD_SCALES)
    rows[..., [kind == "hi" for kind, _ in layout]] = _words(hi & 15, WORD_NIBBLES)
    blocks = np.concatenate(
        [_by_bank(words, banks) for words in (rows, _words((w8 - 16 * hi) & 15, WORD_NIBBLES))], axis=2
    )
    return blocks.reshape(banks, blocks.shape[1] * blocks.shape[2])


def _words(fields, count):
    """`count` non-negative fields of 64 / count bits to a word, the first one lowest, zeros behind the last: [...,
    ceil(n / count)].
    """
    n = fields.shape[-1]
    words = ceil_div(n, count)
    padded = np.zeros((*fields.shape[:-1], words * count), np.uint64)
    padded[..., :n] = fields
    padded = padded.reshape(*fields.shape[:-1], words, count)
    shifts = np.arange(0, 64, 64 // count, dtype=np.uint64)
    return np.bitwise_or.reduce(padded << shifts, axis=-1)


def _by_bank(rows, banks):
    """[blocks, rows, words] -> [banks, blocks, row groups * words]."""
    blocks, count, words = rows.shape
    groups = ceil_div(count, banks)
    padded = np.zeros((blocks, groups * banks, words), np.uint64)
    padded[:, :count] = rows
    return padded.reshape(blocks, groups, banks, words).transpose(2, 0, 1, 3).reshape(banks, blocks, groups * words)
