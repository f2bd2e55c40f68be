"""The loader: gives an image its place on a configuration, address by address."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hayate.compiler.link import allocate, parts, rounds_log2
from hayate.compiler.secded import hex_lines
from hayate.compiler.shares import Share, stripe, stripe_planes
from hayate.compiler.usage import readable, require_fit, require_formats
from hayate.rtl.contract import encoding, isa
from hayate.rtl.contract.config import Config
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.image import Image, evaluate
from hayate.rtl.contract.isa import BANK_SHIFT, ENTRY_WORDS, PRECISION_BIT, SECOND_BIT, Csr, Space
from hayate.rtl.contract.load import csr_widths
from hayate.rtl.contract.precision import Format, group_code
from hayate.rtl.contract.topology import group_end, stop_of

_WORD = (1 << 64) - 1


class Load(NamedTuple):
    """One write over the host port: physical ring stop, `Space`, address, data (up to 64 bits)."""

    stop: int
    space: Space
    addr: int
    data: int


@dataclass(frozen=True)
class TilePlacement:
    """Contents of one tile. What is the draft model's has its name behind `image.DRAFT`.

    Parameters
    ----------
    tile: logical number; its ring stop is `stop`.
    descriptors, program: 128-bit words; micros: 64-bit words.
    shares: descriptor name -> (base, `shares.Share`); base is None for vectors and matrices without FP16 copy.
    planes: matrix name -> (index of its planes descriptor, base, `shares.PlanesShare`); these descriptors follow the
        image's own.
    banks: uint64 [banks, weight words]: what the weights take, from word 0 on.
    depth: words of every bank in use, KV cache included; it lies behind the weights and starts as zeros.
    csr: address in space CSR -> value.
    vmem: uint32 [n, 2]: address and FP32 bits of the vector memory's initial content.
    """

    tile: int
    stop: int
    descriptors: tuple
    program: tuple
    micros: tuple
    shares: dict
    planes: dict
    banks: np.ndarray
    depth: int
    csr: dict
    vmem: np.ndarray


@dataclass(frozen=True)
class Placement:
    """An image on a configuration: `tiles` (`TilePlacement`), `regions` (name -> address, the same on every tile but
    for views, which are left out; the draft model's behind `image.DRAFT`), `slots` in use of the KV cache, `context`:
    positions a sequence may have, `precision`: `Format` in which each matrix with planes is read at first, by name.
    `filters`: what is sampled may be filtered.
    """

    image: Image
    config: Config
    tiles: tuple
    regions: dict
    slots: int
    context: int
    precision: dict
    filters: bool = False

    def loads(self, *, kv=True):
        """`Load` records that bring every tile up from any state: banks (the KV cache as zeros too unless `kv` is
        False), descriptors, program, micro-operations, vector memory, precision table, registers.
        """
        for t in self.tiles:
            for bank in range(self.config.banks):
                for word, data in enumerate(t.banks[bank].tolist()):
                    yield Load(t.stop, Space.BANK, bank << BANK_SHIFT | word, data)
                for word in range(t.banks.shape[1], t.depth if kv else 0):
                    yield Load(t.stop, Space.BANK, bank << BANK_SHIFT | word, 0)
            for space, entries in (
                (Space.DESC, t.descriptors),
                (Space.PROGRAM, t.program),
                (Space.MICRO, t.micros),
            ):
                words = ENTRY_WORDS[space]
                for i, entry in enumerate(entries):
                    for n in range(words):
                        yield Load(t.stop, space, words * i + n, entry >> 64 * n & _WORD)
            for addr, bits in t.vmem.tolist():
                yield Load(t.stop, Space.VMEM, addr, bits)
            for name, (index, _, _) in t.planes.items():
                yield Load(t.stop, Space.CSR, 1 << PRECISION_BIT | index, int(self.precision[name]))
            for register, value in t.csr.items():
                yield Load(t.stop, Space.CSR, int(register), value)

    def write_bank_files(self, folder):
        """Write the banks' codewords for simulation, ``tile<T>_bank<B>.hex`` in `folder` (made if missing); their
        paths.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for t in self.tiles:
            for bank in range(self.config.banks):
                paths.append(folder / f"tile{t.tile}_bank{bank}.hex")
                paths[-1].write_text("@0\n" + (hex_lines(t.banks[bank]) or "0\n"))
        return paths


def place(image, config, precision=None, filters=False, *, tiles=None, weights=True):
    """`Placement` of `image` on `config`.

    precision: matrix name -> `Format` in which it is read; others, all with None, are read in their best copy: FP16,
    else INT8. Where the configuration reads FP16 only, planes are left out. filters: what is sampled may be filtered;
    the vector memory then has room for z of each of a tile's tokens. tiles: logical numbers of those to place, all
    unless given. weights: without them, `TilePlacement.banks` has no words, and tensors of matrices are not looked at.

    Raises HayateError naming the configuration field when something does not fit: what, by how much, and the remedy;
    naming the matrix for a precision that it does not have; naming `formats` for one that the configuration is not
    built for.
    """
    require_formats(image, config, precision)
    image = readable(image, config)
    table = _precision(image, precision or {})
    require_fit(image, config, filters)
    both = parts(image, config)
    table |= {p.prefix + name: fmt for p in both[1:] for name, fmt in _precision(p.image, {}).items()}
    ahead = rounds_log2(both, config, filters)
    regions = allocate(both, ahead, filters)[0]
    tiles = tuple(
        _tile(both, config, regions, ahead, t, weights) for t in (range(config.tiles) if tiles is None else tiles)
    )
    geometry = both[0].geometry
    named = {p.prefix + name: at for p, found in zip(both, regions, strict=True) for name, at in found.items()}
    return Placement(image, config, tiles, named, geometry.slots, geometry.context, table, filters)


def _precision(image, wanted):
    """Name -> `Format` of every matrix with planes."""
    formats = {
        d.name: [Format.FP16] * bool(d.tensor) + [Format.INT8, Format.INT4] * bool(d.planes) for d in image.descriptors
    }
    for name, fmt in wanted.items():
        if fmt not in formats.get(name, ()):
            has = (
                "no matrix of this name"
                if name not in formats
                else ", ".join(f.name for f in formats[name]) or "no copy of its own"
            )
            raise HayateError("precision", name, f"the image does not have it in {Format(fmt).name}", f"it has {has}")
    return {d.name: Format(wanted.get(d.name, formats[d.name][0])) for d in image.descriptors if d.planes}


def _tile(both, config, regions, ahead, tile, weights):
    """`TilePlacement` of the parts `both`; regions: of each, region -> address; weights: with the contents of the
    banks.
    """
    with _fitting("registers", config, "more tiles or a smaller model"):
        there = csr_widths(config.sampling)
        csr = {
            register | bool(p.prefix) << SECOND_BIT: value
            for p in both
            for register, value in _csr(p, ahead, tile).items()
            if register | bool(p.prefix) << SECOND_BIT in there
        }
    shares: dict[str, tuple[int | None, Share]] = {}
    planes: dict = {}
    chunks, base = [np.zeros((config.banks, 0), np.uint64)], 0
    every = [(p, d, p.prefix + d.name, p.geometry.share(d, tile)) for p in both for d in p.image.descriptors]
    for p, d, name, share in every:
        if d.tensor:
            shares[name] = (base, share)
            base += share.blocks * share.stride
            if weights:
                chunks.append(stripe(p.image.tensors[d.tensor], share, config.banks))
    for p, d, name, share in every:
        if d.planes:
            planes[name] = (len(every) + len(planes), base, p.geometry.planes(d, share))
            base += planes[name][2].blocks * planes[name][2].stride
            if weights:
                w8, scale = p.image.tensors[f"{d.planes}.w8"], p.image.tensors[f"{d.planes}.scale"]
                chunks.append(stripe_planes(w8, scale, d.group, share, config.banks))
    for _, d, name, share in every:
        if not d.tensor:
            shares[name] = (base if d.kind in ("kcache", "vcache") else None, share)
            base += share.blocks * share.stride
    program, micros, vmem = [], [], []
    with _fitting("program", config, "a smaller model"):
        for p, found in zip(both, regions, strict=True):
            addresses = _with_views(p, found, tile)

            def resolve(value, addresses=addresses):
                return addresses[value[0]] + value[1] if isinstance(value, tuple) else value

            program += [encoding.encode(i, resolve) for i in p.program()]
            micros += [encoding.encode_micro(m, resolve) for m in p.image.micros]
            vmem.append(_vmem(p.image, p.geometry, addresses, tile))
    return TilePlacement(
        tile,
        stop_of(tile),
        _descriptors(every, config, shares, planes),
        tuple(program),
        tuple(micros),
        shares,
        planes,
        np.concatenate(chunks, axis=1),
        base,
        csr,
        np.concatenate(vmem),
    )


def _with_views(part, addresses, tile):
    """Region -> address on a tile, views among them."""
    quad0 = part.geometry.quads(tile)[0]
    views = {
        r.name: addresses[r.of] + evaluate(r.shift, {**part.geometry.symbols(), "quad0": quad0})
        for r in part.image.regions
        if r.of
    }
    return addresses | views


def _descriptors(every, config, shares, planes):
    """Encoded descriptors: the models' own, then those of the planes."""
    words = []
    for _, d, name, _ in every:
        base, s = shares[name]
        values = {
            "base": base or 0,
            "words": s.words,
            "rows": s.rows,
            "block_stride": _between(s),
            "quad0": s.quad0,
            "row0": s.row0,
            "s_in": d.s_in,
            "s_out": d.s_out,
            "alt": planes[name][0] if d.planes else 0,
        }
        with _fitting(name, config, "more tiles or a smaller model"):
            words.append(encoding.DESCRIPTOR.pack(**values))
    for _, d, name, _ in every:
        if d.planes:
            _, base, p = planes[name]
            values = {
                "base": base,
                "pitch": p.pitch,
                "block_stride": _between(p),
                "lo_offset": p.lo_offset,
                "group": group_code(d.group),
                "fp16": int(bool(d.tensor)),
                **dict(zip(("grid_out", "grid_err", "grid_int8_err"), d.grids, strict=True)),
            }
            with _fitting(f"{name} (planes)", config, "more tiles or a smaller model"):
                words.append(encoding.PLANES.pack(**values))
    return tuple(words)


def _between(share):
    """Words from block to block, as a descriptor has them: none where a single block, perhaps larger than the field can
    say, is all.
    """
    return share.stride if share.blocks > 1 else 0


class _fitting:
    """Context manager: a value that a field of the encoding cannot hold is the model's fault, not ours."""

    def __init__(self, name, config, remedy):
        self.name, self.config, self.remedy = name, config, remedy

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if kind is ValueError:
            raise HayateError(
                f"configuration {self.config.name}",
                self.name,
                f"the model is too large for the encoding: {error}",
                self.remedy,
            ) from None


def _csr(part, ahead, tile):
    """`Csr` -> value. Raises ValueError for one that its register does not hold."""
    geometry = part.geometry
    att = geometry.attention[tile]
    group = geometry.heads // geometry.kv_heads
    values = {
        Csr.TILE_INDEX: tile,
        Csr.TILE_COUNT: geometry.tiles,
        Csr.GROUP_LO: att.group_lo,
        Csr.GROUP_HI: att.group_hi,
        Csr.GROUP_SIZE: att.group_size,
        Csr.GROUP_INDEX: att.group_index,
        Csr.LOCAL_HEADS: att.heads,
        Csr.HEAD0: att.head0,
        Csr.ATT_SENDERS: sum(a.heads for a in geometry.attention),
        Csr.GROUP: group,
        Csr.HDQ: geometry.head_dim // 4,
        Csr.ROUNDS_LOG2: part.ahead(ahead),
        Csr.TOP_K: 0,
        Csr.MIN_P: 0,
        Csr.ENTRY: part.entry,
        Csr.GROUP_END: group_end(att, tile),
    }
    for register, value in values.items():
        if value >> isa.CSR_BITS[register]:
            raise ValueError(f"register {register.name}: {value} does not fit {isa.CSR_BITS[register]} bits")
    return values


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
