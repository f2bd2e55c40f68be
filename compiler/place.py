"""The loader: gives an image its place on a configuration, address by address."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hayate.rtl.contract import isa
from hayate.rtl.contract.config import Config
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.image import Image, evaluate
from hayate.rtl.contract.isa import BANK_SHIFT, Csr, Space
from hayate.rtl.contract.layout import gp_log2

from .secded import hex_lines
from .shares import Geometry, stripe
from .usage import allocate, require_fit

_HALF = (1 << 64) - 1


class Load(NamedTuple):
    """One write over the host port: physical ring stop, `Space`, address, data (up to 64 bits)."""

    stop: int
    space: Space
    addr: int
    data: int


@dataclass(frozen=True)
class TilePlacement:
    """Contents of one tile.

    Parameters
    ----------
    tile: logical number; its ring stop is `stop`.
    descriptors, program: 128-bit words; micros: 64-bit words.
    shares: descriptor name -> (base, `shares.Share`); base is None for vectors.
    banks: uint64 [banks, weight words]: what the weights take, from word 0 on.
    depth: words of every bank in use, KV cache included; it lies behind the weights and starts as zeros.
    csr: `Csr` -> value.
    vmem: uint32 [n, 2]: address and FP32 bits of the vector memory's initial content.
    """

    tile: int
    stop: int
    descriptors: tuple
    program: tuple
    micros: tuple
    shares: dict
    banks: np.ndarray
    depth: int
    csr: dict
    vmem: np.ndarray


@dataclass(frozen=True)
class Placement:
    """An image on a configuration: `tiles` (`TilePlacement`), `regions` (name -> address, the same on every tile but for
    views, which are left out), `slots` in use of the KV cache, `context`: positions a sequence may have."""

    image: Image
    config: Config
    tiles: tuple
    regions: dict
    slots: int
    context: int

    def loads(self, *, kv=True):
        """`Load` records that bring every tile up from any state: banks (the KV cache as zeros too unless `kv` is False),
        descriptors, program, micro-operations, vector memory, registers."""
        for t in self.tiles:
            for bank in range(self.config.banks):
                for word, data in enumerate(t.banks[bank].tolist()):
                    yield Load(t.stop, Space.BANK, bank << BANK_SHIFT | word, data)
                for word in range(t.banks.shape[1], t.depth if kv else 0):
                    yield Load(t.stop, Space.BANK, bank << BANK_SHIFT | word, 0)
            for space, words in ((Space.DESC, t.descriptors), (Space.PROGRAM, t.program)):
                for i, word in enumerate(words):
                    yield Load(t.stop, space, 2 * i, word & _HALF)
                    yield Load(t.stop, space, 2 * i + 1, word >> 64)
            for i, word in enumerate(t.micros):
                yield Load(t.stop, Space.MICRO, i, word)
            for addr, bits in t.vmem.tolist():
                yield Load(t.stop, Space.VMEM, addr, bits)
            for register, value in t.csr.items():
                yield Load(t.stop, Space.CSR, int(register), value)

    def write_bank_files(self, folder):
        """Write the banks' codewords for simulation, ``tile<T>_bank<B>.hex`` in `folder` (made if missing); their paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for t in self.tiles:
            for bank in range(self.config.banks):
                paths.append(folder / f"tile{t.tile}_bank{bank}.hex")
                paths[-1].write_text("@0\n" + (hex_lines(t.banks[bank]) or "0\n"))
        return paths


def place(image, config):
    """`Placement` of `image` on `config`.

    Raises HayateError naming the configuration field when something does not fit: what, by how much, and the remedy.
    """
    require_fit(image, config)
    geometry = Geometry.of(image.model, config)
    regions = allocate(image, geometry)[0]
    tiles = tuple(_tile(image, config, geometry, regions, t) for t in range(config.tiles))
    return Placement(image, config, tiles, regions, geometry.slots, geometry.context)


def _tile(image, config, geometry, regions, tile):
    shares, descriptors, chunks, base = {}, [], [], 0
    stored = [d for d in image.descriptors if d.tensor]
    empty = [d for d in image.descriptors if not d.tensor]
    for d in stored + empty:
        share = geometry.share(d, tile)
        shares[d.name] = (None if d.kind == "vector" else base, share)
        if d.tensor:
            chunks.append(stripe(image.tensors[d.tensor], share, config.banks))
        base += share.blocks * share.stride if d.kind != "vector" else 0
    for d in image.descriptors:
        base_of, s = shares[d.name]
        values = {"base": base_of or 0, "words": s.words, "rows": s.rows, "block_stride": s.stride, "quad0": s.quad0,
                  "row0": s.row0, "s_in": d.s_in, "s_out": d.s_out}
        with _fitting(d.name, config, "more tiles or a smaller model"):
            descriptors.append(isa.pack(isa.DESCRIPTOR, values))
    quad0 = geometry.quads(tile)[0]
    addresses = dict(regions)
    for r in image.regions:
        if r.of:
            addresses[r.name] = regions[r.of] + evaluate(r.shift, {**geometry.symbols(), "quad0": quad0})

    def resolve(value):
        return addresses[value[0]] + value[1] if isinstance(value, tuple) else value

    with _fitting("program", config, "a smaller model"):
        program = tuple(isa.encode(i, resolve) for i in image.program)
        micros = tuple(isa.encode_micro(m, resolve) for m in image.micros)
    return TilePlacement(tile, tile + 1, tuple(descriptors), program, micros, shares, np.concatenate(chunks, axis=1), base,
                         _csr(geometry, tile), _vmem(image, geometry, addresses, tile))


class _fitting:
    """Context manager: a value that a field of the encoding cannot hold is the model's fault, not ours."""

    def __init__(self, name, config, remedy):
        self.name, self.config, self.remedy = name, config, remedy

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if kind is ValueError:
            raise HayateError(f"configuration {self.config.name}", self.name, f"the model is too large for the encoding: {error}",
                              self.remedy) from None


def _csr(geometry, tile):
    att = geometry.attention[tile]
    group = geometry.heads // geometry.kv_heads
    return {Csr.TILE_INDEX: tile, Csr.TILE_COUNT: geometry.tiles, Csr.GROUP_LO: att.group_lo, Csr.GROUP_HI: att.group_hi,
            Csr.GROUP_SIZE: att.group_size, Csr.GROUP_INDEX: att.group_index, Csr.LOCAL_HEADS: att.heads, Csr.HEAD0: att.head0,
            Csr.ATT_SENDERS: sum(a.heads for a in geometry.attention), Csr.GROUP: group, Csr.GP_LOG2: gp_log2(group),
            Csr.HDQ: geometry.head_dim // 4}


def _vmem(image, geometry, addresses, tile):
    parts = []
    for c in image.constants:
        values = np.array(c.values, np.float32)
        if c.tensor:
            start, stop = geometry.rows(tile, image.tensors[c.tensor].shape[0])
            values = np.ascontiguousarray(image.tensors[c.tensor][start:stop], np.float32)
        where = addresses[c.region] + np.arange(len(values), dtype=np.uint32)
        parts.append(np.stack([where.astype(np.uint32), values.view(np.uint32)], axis=1))
    return np.concatenate(parts)
