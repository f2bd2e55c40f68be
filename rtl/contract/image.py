"""The image: everything that a machine needs to run one model, laid out for no particular configuration.

An image names matrices, regions and routines; the loader turns names into addresses once it knows the configuration. On
disk it is one tensor file (`tensorfile`): the matrices as tensors, the rest as JSON in its metadata, the tokenizer
embedded.
"""

import dataclasses
import enum
import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from hayate.rtl.contract import alu_ops, constants, draft, encoding, filters, isa, layout, noise, precision
from hayate.rtl.contract.alu_ops import AluOp
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.image_checks import check_ngrams, check_tensors
from hayate.rtl.contract.jsonfile import parse_json
from hayate.rtl.contract.tensorfile import TensorFile, write_tensors

FORMAT = "hayate-image"
VERSION = 6
TOKENIZER = "tokenizer.json"  # tensor (uint8) that holds the tokenizer's JSON text
NGRAMS = "ngrams"  # tensor (int32 [n, 3]) with the rows of the n-gram drafter's base table
DRAFT = "draft."  # what the names of a draft model's tensors begin with in a file

#: Kinds of descriptor: how the loader splits a matrix over tiles (`layout` has the arithmetic).
#:   rows    rows in quads over all tiles; a last quad may be partial
#:   pairs   units of 8 rows (4 gate, 4 up) over all tiles; `quad0` counts units, as the outputs do
#:   q       one block per query head (KV head, g); a block's rows in quads over the tiles of the KV head's group
#:   kv      one block per KV head, split like q
#:   kcache  one block per KV head; a row is a local KV slot
#:   vcache  one block per KV head; a row is a local head dimension, its words are all KV slots
#:   vector  no storage; rows = local rows of the residual stream, split like rows
KINDS = ("rows", "pairs", "q", "kv", "kcache", "vcache", "vector")

#: What a region's size may depend on, besides the constant term "": KV heads of a tile, its rows of the residual
#: stream, its K rows, words of a V row (all slots), the first head-dimension quad the tile owns, and its rows of the
#: output matrix (0 where nothing that is sampled will be filtered). Largest over the tiles, except `quad0`.
SYMBOLS = ("", "rows", "heads", "slots", "slot_words", "quad0", "tokens")

#: What of an image is stored as JSON, beside its draft model.
PARTS = ("model", "program", "micros", "routines", "descriptors", "regions", "constants", "notes")

SPACES = ("act", "stage", "vmem")  # activation buffer and stage buffer in 64-bit words, vector memory in FP32 words


@dataclass(frozen=True)
class Descriptor:
    """Global shape of a matrix, cache or vector.

    Parameters
    ----------
    name: unique, such as ``layers.0.wq``.
    kind: one of `KINDS`.
    rows: rows of all blocks together (kcache, vcache: 0, they depend on the slots); vector: rows of the residual
        stream.
    words: 64-bit words per row (vcache: 0).
    blocks: blocks of all tiles together.
    s_in: the normalizer multiplies the rounded sum by 2**s_in; a RUN with `sumscale` the sum of squares by 2**(2*s_in).
    s_out: a RUN converts to FP16 as fp16(x * 2**-s_out).
    tensor: name of the tensor with the rows, "" without such a copy. FP16 [rows, 4*words] or FP32 [rows, 2*words],
        program row order.
    planes: name of the integer copy, "" without one: tensors ``<planes>.w8`` (int8 [rows, 4*words], at most W8_MAX in
        magnitude) and ``<planes>.scale`` (FP16 [rows, groups]), same rows and same exponent as the FP16 copy.
    group: elements of a row that share a scale, one of `precision.GROUPS`; 0 without planes.
    grids: of the governor, see `encoding.PLANES`: grid_out, grid_err, grid_int8_err.
    sensitivities: of the governor, per error energy over output energy: of INT4 against INT8, of INT8 against FP16; 32
        bits each.
    """

    name: str
    kind: str
    rows: int = 0
    words: int = 0
    blocks: int = 1
    s_in: int = 0
    s_out: int = 0
    tensor: str = ""
    planes: str = ""
    group: int = 0
    grids: tuple = (0, 0, 0)
    sensitivities: tuple = (0, 0)


@dataclass(frozen=True)
class Region:
    """A named range of addresses in each tile, the same on every tile unless it is a view.

    `size` maps `SYMBOLS` to coefficients: their sum is the size in words of `space`. With `rounds` there are as many of
    it, one behind the other, as attention rounds are under way at once, and the reference ``("<name>.stride", 0)``
    stands for the size of one. A view (`of` not empty) takes no room: it begins in region `of`, `shift` (same form as
    `size`) words in.
    """

    name: str
    space: str
    size: dict = field(default_factory=dict)
    of: str = ""
    shift: dict = field(default_factory=dict)
    rounds: bool = False


@dataclass(frozen=True)
class Constant:
    """Initial FP32 content of the vector memory: `values` from `region` on, or FP32 tensor `tensor`, a tile's rows of
    it.
    """

    region: str
    values: tuple = ()
    tensor: str = ""


@dataclass(frozen=True)
class Image:
    """One compiled model.

    Parameters
    ----------
    model: hidden, layers, heads, kv_heads, head_dim, intermediate, vocab, context, eos (list of ids), bos (id or None),
        rope_theta, eps, tied, name, source (sha256 of what it was compiled from).
    program: `Instr`; addresses may be ``("region", offset)``, `routine` is an index into `micros`, `desc` into
        `descriptors`. LOOP `skip` and SKIP `offset` are relative to their own instruction: target = index + value.
    micros: `Micro`, the routines one after the other; `routines`: name -> (first, length).
    tensors: name -> array; see `Descriptor`, `Constant`; `TOKENIZER` and `NGRAMS` where the model has one.
    notes: what the compiler wants to tell (exponents chosen, weights flushed).
    draft: `Image` of the model that drafts for this one, None without; numbers and names in it are its own, as if it
        stood alone.
    """

    model: dict
    program: tuple
    micros: tuple
    routines: dict
    descriptors: tuple
    regions: tuple
    constants: tuple
    tensors: dict
    notes: dict = field(default_factory=dict)
    draft: "Image | None" = None

    @property
    def tokenizer_json(self):
        """Text of the tokenizer, None when the image has none."""
        return bytes(self.tensors[TOKENIZER]).decode() if TOKENIZER in self.tensors else None

    @property
    def ngrams(self):
        """Rows of the n-gram drafter's base table, int32 [n, 3]: older and newer token of a context, and the token to
        propose behind it.

        older is -1 in contexts of one token. The most valuable rows come first, and of two with one place in the table
        the first counts. n = 0 where the model has none.
        """
        return self.tensors.get(NGRAMS, np.zeros((0, 3), np.int32))

    def descriptor(self, name):
        """(index, `Descriptor`) of that name; KeyError when there is none."""
        for i, d in enumerate(self.descriptors):
            if d.name == name:
                return i, d
        raise KeyError(name)

    def region(self, name):
        """`Region` of that name; KeyError when there is none."""
        for r in self.regions:
            if r.name == name:
                return r
        raise KeyError(name)

    def weight_matrices(self):
        """Descriptor name -> `Descriptor` of every matrix that a GEMV of the program streams as weights, in the image's
        order.
        """
        read: set[int] = set()
        for i in self.program:
            if i.op == isa.Op.GEMV and not i.kv:
                read.update(i.desc + layer * i.dstep for layer in range(self.model["layers"] if i.dstep else 1))
        return {self.descriptors[index].name: self.descriptors[index] for index in sorted(read)}

    def save(self, path):
        """Write the image to `path`; equal images give equal bytes, and a failure leaves no partial file."""
        body, tensors = _body(self), self.tensors
        if self.draft:
            body["draft"] = _body(self.draft)
            tensors = {**tensors, **{DRAFT + name: value for name, value in self.draft.tensors.items()}}
        parts = {k: json.dumps(v, separators=(",", ":")) for k, v in body.items()}
        write_tensors(
            path,
            tensors,
            {
                "format": FORMAT,
                "version": str(VERSION),
                "contract": contract_hash(),
                **parts,
                "digest": _digest(parts, tensors),
            },
        )

    @classmethod
    def load(cls, path):
        """Read an image. Raises HayateError for a file that is none, of another version or contract, truncated or
        damaged.
        """
        remedy = "compile one with: hayate compile MODEL -o IMAGE"
        file = TensorFile(path, what="Hayate image", remedy=remedy)
        meta = file.metadata if isinstance(file.metadata, dict) else {}
        if meta.get("format") != FORMAT:
            raise HayateError(path, "format", f"{meta.get('format', 'none')!r} is not a Hayate image", remedy)
        if meta.get("version") != str(VERSION):
            raise HayateError(
                path,
                "version",
                f"image version {meta.get('version')}, this program reads version {VERSION}",
                "compile the model again",
            )
        if meta.get("contract") != contract_hash():
            raise HayateError(
                path,
                "contract",
                f"made for contract {str(meta.get('contract'))[:12]}, this machine has {contract_hash()[:12]}",
                "compile the model again",
            )
        for name in file.names:
            if file.dtype(name) not in ("F16", "F32", "U8", "I8", "I32"):
                raise HayateError(
                    path, name, f"type {file.dtype(name)} does not belong in an image", "compile the model again"
                )
        tensors = {name: file.tensor(name) for name in file.names}
        digest = _digest({k: v for k, v in meta.items() if k in (*PARTS, "draft")}, tensors)
        part = ""
        try:
            written = {}
            for part in (*PARTS, *(("draft",) if "draft" in meta else ())):
                written[part] = parse_json(meta[part])
            body, draft = {}, written.pop("draft", None)
            for part in PARTS:
                body[part] = _READ.get(part, lambda v: v)(written[part])
            if draft is not None:
                part = "draft"
                draft = cls(
                    **{k: _READ.get(k, lambda v: v)(draft[k]) for k in PARTS},
                    tensors={n.removeprefix(DRAFT): t for n, t in tensors.items() if n.startswith(DRAFT)},
                )
                tensors = {n: t for n, t in tensors.items() if not n.startswith(DRAFT)}
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as e:
            raise HayateError(path, part, f"damaged ({e})", "compile the model again") from None
        if meta.get("digest") != digest:  # behind what names the part that is damaged
            raise HayateError(path, "", "damaged: what it holds is not what was written", "compile the model again")
        image = cls(**body, tensors=tensors, draft=draft)
        for one in (image, draft) if draft else (image,):
            check_tensors(path, one)
            check_ngrams(path, NGRAMS, one.ngrams, one.model)
        return image


def _digest(parts, tensors):
    """sha256 over the texts of an image's parts, then over its tensors, each in the order of their names, with what it
    is and how long ahead of it.
    """
    found = hashlib.sha256()
    for name in sorted(parts):
        text = parts[name].encode()
        found.update(f"{name} {len(text)}\n".encode() + text)
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        size = "x".join(map(str, array.shape))
        found.update(f"{name} {array.dtype.itemsize} {size}\n".encode() + array.tobytes())
    return found.hexdigest()


def _body(image):
    """All of an image but its tensors and its draft model, as JSON."""
    return {
        "model": image.model,
        "program": [[i.op.name, i.args] for i in image.program],
        "micros": [_micro_to_dict(m) for m in image.micros],
        "routines": image.routines,
        "descriptors": [dataclasses.asdict(d) for d in image.descriptors],
        "regions": [dataclasses.asdict(r) for r in image.regions],
        "constants": [dataclasses.asdict(c) for c in image.constants],
        "notes": image.notes,
    }


def _ref(value):
    return (str(value[0]), int(value[1])) if isinstance(value, list) else int(value)


def _micro_to_dict(micro):
    return {
        f.name: getattr(micro, f.name)
        for f in dataclasses.fields(micro)
        if f.default is dataclasses.MISSING or getattr(micro, f.name) != f.default
    }


def _descriptor(row):
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
    return Descriptor(**fields)


_READ = {
    "program": lambda rows: tuple(
        encoding.Instr(isa.Op[op], {k: _ref(v) for k, v in args.items()}) for op, args in rows
    ),
    "micros": lambda rows: tuple(
        encoding.Micro(**{k: AluOp(v) if k == "op" else _ref(v) for k, v in m.items()}) for m in rows
    ),
    "routines": lambda d: {k: (int(a), int(b)) for k, (a, b) in d.items()},
    "descriptors": lambda rows: tuple(_descriptor(r) for r in rows),
    "regions": lambda rows: tuple(Region(**r) for r in rows),
    "constants": lambda rows: tuple(Constant(r["region"], tuple(r["values"]), r["tensor"]) for r in rows),
}


def evaluate(terms, symbols):
    """Value of a size or shift (`Region`) where each symbol has the value that `symbols` gives it."""
    return sum(count * (symbols[name] if name else 1) for name, count in terms.items())


@lru_cache(maxsize=None)
def contract_hash():
    """sha256 over everything that decides what an encoded program means."""
    enums = {
        f"{m.__name__.rpartition('.')[2]}.{name}": {e.name: int(e) for e in value}
        for m in (isa, alu_ops, precision)
        for name, value in vars(m).items()
        if isinstance(value, type) and issubclass(value, enum.IntEnum) and value is not enum.IntEnum and len(value)
    }
    numbers = {
        f"{m.__name__.rpartition('.')[2]}.{name}": value
        for m in (isa, layout, constants, filters, noise, precision)
        for name, value in vars(m).items()
        if name.isupper() and isinstance(value, (int, float))
    }
    dump = {
        "enums": enums,
        "numbers": numbers,
        "formats": {op.name: f for op, f in encoding.FORMATS.items()},
        "micro": encoding.MICRO.places,
        "descriptor": encoding.DESCRIPTOR.places,
        "planes": encoding.PLANES.places,
        "kinds": KINDS,
        "symbols": SYMBOLS,
        "spaces": SPACES,
        "base": draft.BASE_LOG2,
        "rotations": draft.ROTATIONS,
        "fields": [[f.name for f in dataclasses.fields(c)] for c in (Image, Descriptor, Region, Constant)],
    }
    return hashlib.sha256(json.dumps(dump, sort_keys=True).encode()).hexdigest()


def embed_text(text):
    """Tensor that holds `text`, for `TOKENIZER`."""
    return np.frombuffer(text.encode(), dtype=np.uint8).copy()
