"""A loader that knows docs/loading.md and nothing of the compiler: it evaluates the page's formulas and tables."""

import hashlib
import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from hayate.rtl.contract import encoding, isa

PAGE = Path(__file__).resolve().parents[2] / "docs" / "loading.md"
SYMBOLS = (
    ("·", "*"),
    ("−", "-"),
    ("≤", "<="),
    ("^", "**"),
    ("⌊", "floor("),
    ("⌈", "ceil("),
    ("⌋", ")"),
    ("⌉", ")"),
    ("for every tile t", "for t in range(T)"),
    (" xor ", " ^ "),
    (" mod ", " % "),
)
DEPTHS = {"act": "act_depth", "stage": "stage_depth", "vmem": "vmem_depth"}
DTYPES = {"F16": "<f2", "F32": "<f4", "U8": "u1", "I8": "i1", "I32": "<i4"}


def python(formula):
    """A formula of the page as a Python expression."""
    for sign, code in SYMBOLS:
        formula = formula.replace(sign, code)
    return formula


def formulas(text):
    """[(name, parameters or None, expression)] of every block of formulas, block by block."""
    blocks = []
    for block in re.findall(r"^```text\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        lines = [re.fullmatch(r"(\w+)(?:\(([^)]*)\))?\s+= (.*?)(?:\s*//.*)?", line) for line in block.splitlines()]
        if not all(lines):
            raise ValueError(f"not a formula in: {block}")
        blocks.append([(m[1], m[2], python(m[3])) for m in lines])
    return blocks


def table(text, head):
    """First column -> the others, of the table whose head begins with `head`; several names may share a row."""
    rows = re.search(rf"^\| {re.escape(head)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)[1].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {
        name.strip(' `"'): [python(c.strip("`")) for c in rest] for first, *rest in cells for name in first.split(", ")
    }


def read_image(path):
    """(parts, tensors) of an image file: JSON parts by name, arrays by name."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    meta = header.pop("__metadata__")
    texts = ("format", "version", "contract", "digest")
    digest = hashlib.sha256()
    for key in sorted(set(meta) - set(texts)):
        digest.update(f"{key} {len(meta[key].encode())}\n".encode() + meta[key].encode())
    parts = {key: value if key in texts else json.loads(value) for key, value in meta.items()}
    tensors = {}
    for name, entry in sorted(header.items()):
        begin, end = entry["data_offsets"]
        data = raw[8 + length + begin : 8 + length + end]
        tensors[name] = np.frombuffer(data, DTYPES[entry["dtype"]]).reshape(entry["shape"])
        size = "x".join(map(str, entry["shape"]))
        digest.update(f"{name} {tensors[name].itemsize} {size}\n".encode() + data)
    assert parts["digest"] == digest.hexdigest()
    return parts, tensors


class Model:
    """One model of an image, with the page's formulas evaluated on its numbers."""

    def __init__(self, text, parts, tensors, config, filters, first=None):
        self.parts, self.tensors, self.config, self.first = parts, tensors, config, first
        model = parts["model"]
        self.env = {
            "floor": math.floor,
            "ceil": math.ceil,
            "log2": math.log2,
            "T": config.tiles,
            "B": config.banks,
            "M": config.lanes,
            "max_slots": config.max_slots,
            "H": model["kv_heads"],
            "dim": model["head_dim"],
            "filters": filters,
            **{name: model[name] for name in ("hidden", "vocab", "heads", "context")},
        }
        for name, parameters, code in (line for block in formulas(text) for line in block):
            self.env[name] = self.value(code if parameters is None else f"lambda {parameters}: {code}")
            if first and name == "C":  # as the page says of a draft model
                self.env["C"] = first.env["C"]
                self.env["S"] = self.value("4 * ceil(C / 4)")
        self.shares, self.symbols, self.registers = table(text, "kind"), table(text, "symbol"), table(text, "register")
        self.descriptors = [SimpleNamespace(**d) for d in parts["descriptors"]]
        if config.formats == "fp16":
            for d in self.descriptors:
                d.planes = "" if d.tensor else d.planes

    def value(self, code, **more):
        return eval(code, self.env, more)  # noqa: S307

    def whole(self, code, **more):
        return int(self.value(code, **more))

    def share(self, d, t):
        *codes, source = self.shares[d.kind]
        found = {
            name: self.whole(code, d=d, t=t) for name, code in zip(("rows", "blocks", "words", "quad0", "row0"), codes)
        }
        return SimpleNamespace(**found, source=source)

    def total(self, terms, t=0):
        return sum(count * self.whole(self.symbols[name][0], t=t) for name, count in terms.items())

    def rounds(self, n):
        return min(n, (int(self.env["G"]) - 1).bit_length())

    def kept(self):
        return {c["region"] for c in self.parts["constants"]}


def regions(models, n):
    """Addresses of each model's regions with n of the page, and the depth of each memory."""
    at, found = dict.fromkeys(DEPTHS, 0), [{} for _ in models]
    for model, places in zip(models, found):
        for r in model.parts["regions"]:
            if r["name"] in model.kept() and not r["of"]:
                if model.first and r["name"] in ("INVT", "LNP"):
                    places[r["name"]] = found[0][r["name"]]
                else:
                    places[r["name"]] = at[r["space"]]
                    at[r["space"]] += model.total(r["size"])
    begin, deepest = dict(at), dict(at)
    for model, places in zip(models, found):
        at = dict(begin)
        for r in model.parts["regions"]:
            if r["name"] not in model.kept() and not r["of"]:
                size = model.total(r["size"])
                places[r["name"]], places[r["name"] + ".stride"] = at[r["space"]], size
                at[r["space"]] += size << (model.rounds(n) if r["rounds"] else 0)
        deepest = {space: max(deepest[space], at[space]) for space in at}
    return found, deepest


def placed(path, config, filters):
    """(models of an image file, n of the page) on a configuration."""
    text = PAGE.read_text()
    parts, tensors = read_image(path)
    models = [Model(text, parts, tensors, config, filters)]
    if "draft" in parts:
        own = {name.removeprefix("draft."): value for name, value in tensors.items() if name.startswith("draft.")}
        models.append(Model(text, parts["draft"], own, config, filters, models[0]))
    fitting = [
        n
        for n in (0, 1, 2)
        if all(words <= getattr(config, DEPTHS[space]) for space, words in regions(models, n)[1].items())
    ]
    return models, max(fitting, default=0)


def load(path, config, filters=False):
    """{(ring stop, space, address): data} of an image file on a configuration, by the page."""
    models, n = placed(path, config, filters)
    words = {}
    for t in range(config.tiles):
        words |= {(t + 1, *place): data for place, data in tile(models, regions(models, n)[0], n, t).items()}
    return words


def governor(path, config):
    """{address: data} of the governor's table of an image file, by the page."""
    parts, tensors = read_image(path)
    model = Model(PAGE.read_text(), parts, tensors, config, False)
    number = len(model.descriptors) + len(parts.get("draft", {"descriptors": ()})["descriptors"])
    words = {}
    for i, d in enumerate(d for d in model.descriptors if d.planes):
        words[2 * i] = model.whole("first(planes, has_fp16)", planes=number + i, has_fp16=d.tensor != "")
        words[2 * i + 1] = model.whole("second(err, int8_err)", err=d.sensitivities[0], int8_err=d.sensitivities[1])
    return words


def facts(path, config, filters=False):
    """{name of a fact: value} of an image file on a configuration, by the page."""
    models, n = placed(path, config, filters)
    first, (places, *_) = models[0], regions(models, n)[0]
    planes = sum(d.planes != "" for d in first.descriptors)
    names = {
        "matrices_planes": planes,
        "matrices": planes if config.governor else 0,
        "draft": len(models) > 1,
        "base": "ngrams" in first.tensors,
        "INVT": places["INVT"],
        "LNP": places["LNP"],
    }
    return {name: first.whole(code, **names) for name, (code,) in table(PAGE.read_text(), "fact").items()}


def seal(words):
    """What SEAL says of the words between OPEN and SEAL, [(address, data)], by the page."""
    turn = next(
        eval(f"lambda {parameters}: {code}", {"floor": math.floor})  # noqa: S307
        for block in formulas(PAGE.read_text())
        for name, parameters, code in block
        if name == "turn"
    )
    after = list(range(256))  # the turns of a byte alone
    for _ in range(8):
        after = [turn(crc) for crc in after]
    crc = (1 << 32) - 1
    for byte in b"".join(address.to_bytes(8, "little") + data.to_bytes(8, "little") for address, data in words):
        crc = after[(crc ^ byte) & 255] ^ crc >> 8
    return (1 << 32) - 1 - crc


def tile(models, places, n, t):
    """{(space, address): data} of tile t."""
    words, banks = {}, models[0].config.banks
    every = [(m, d, m.share(d, t)) for m in models for d in m.descriptors]
    base, plane_base, deep = {}, {}, 0

    def put_row(bank_row, start, row):
        for w, word in enumerate(row):
            words[isa.Space.BANK, bank_row % banks << 20 | start + w] = int(word)

    for chosen in (lambda d: d.tensor, None, lambda d: d.kind in ("kcache", "vcache")):
        for k, (m, d, s) in enumerate(every):
            if chosen is None and d.planes:
                plane_base[k], stride = deep, m.whole("plane_stride(s.rows, s.words, d.group)", s=s, d=d)
                put_planes(m, d, s, t, deep, stride, put_row)
                deep += s.blocks * stride
            elif chosen and chosen(d):
                base[k], stride = deep, m.whole("stride(s.rows, s.words)", s=s)
                for b in range(s.blocks if d.tensor else 0):
                    for r in range(s.rows):
                        row = m.tensors[d.tensor][m.whole(s.source, d=d, t=t, b=b, r=r)]
                        put_row(r, deep + b * stride + r // banks * s.words, np.ascontiguousarray(row).view("<u8"))
                deep += s.blocks * stride
    for bank in range(banks):
        for word in range(deep):
            words.setdefault((isa.Space.BANK, bank << 20 | word), 0)

    planes = {k: len(every) + i for i, k in enumerate(plane_base)}
    for k, (m, d, s) in enumerate(every):
        gap = m.whole("stride(s.rows, s.words)", s=s) if k in base and s.blocks > 1 else 0
        put_wide(
            words,
            isa.Space.DESC,
            k,
            encoding.DESCRIPTOR.pack(
                **{
                    "base": base.get(k, 0),
                    "words": s.words,
                    "rows": s.rows,
                    "block_stride": gap,
                    "quad0": s.quad0,
                    "row0": s.row0,
                    "s_in": d.s_in,
                    "s_out": d.s_out,
                    "alt": planes.get(k, 0),
                }
            ),
        )
        if k in planes:
            gap = m.whole("plane_stride(s.rows, s.words, d.group)", s=s, d=d) if s.blocks > 1 else 0
            put_wide(
                words,
                isa.Space.DESC,
                planes[k],
                encoding.PLANES.pack(
                    **{
                        "base": plane_base[k],
                        "pitch": m.whole("pitch(s.words, d.group)", s=s, d=d),
                        "block_stride": gap,
                        "lo_offset": m.whole("lo_offset(s.rows, s.words, d.group)", s=s, d=d),
                        "group": (32, 64, 128).index(d.group),
                        "fp16": d.tensor != "",
                        **dict(zip(("grid_out", "grid_err", "grid_int8_err"), d.grids)),
                    }
                ),
            )
            words[isa.Space.CSR, 1 << 12 | planes[k]] = 0 if d.tensor else 1
    numbers = [0, 0, 0]  # of descriptors, instructions and micro-operations so far
    for m, found in zip(models, places):
        put_model(words, m, found, n, t, numbers)
    return words


def put_model(words, m, found, n, t, numbers):
    """Program, micro-operations, vector memory and registers of one model."""
    found = found | {r["name"]: found[r["of"]] + m.total(r["shift"], t) for r in m.parts["regions"] if r["of"]}
    descriptors, entry, micros = numbers

    def number(value):
        return found[value[0]] + value[1] if isinstance(value, list) else value

    for i, (op, args) in enumerate(m.parts["program"]):
        layout = encoding.OPERATIONS[isa.Op[op]].word
        values = {name: number(value) for name, value in args.items()}
        for name, more in (("desc", descriptors), ("routine", micros)):
            if name in layout.places:
                values[name] = values.get(name, 0) + more
        put_wide(words, isa.Space.PROGRAM, entry + i, layout.pack(op=isa.Op[op], **values))
    for i, micro in enumerate(m.parts["micros"]):
        usual = {"a_mode": 1, "b_mode": 1, "d_mode": 1}
        values = {name: number(value) for name, value in micro.items()}
        put_wide(words, isa.Space.MICRO, micros + i, encoding.MICRO.pack(**{**usual, **values}))
    for c in m.parts["constants"]:
        values = np.array(c["values"], "<f4")
        if c["tensor"]:
            every = m.tensors[c["tensor"]]
            values = every[m.whole("row_lo(n, t)", n=len(every), t=t) : m.whole("row_hi(n, t)", n=len(every), t=t)]
        for i, bits in enumerate(values.astype("<f4").view("<u4")):
            words[isa.Space.VMEM, found[c["region"]] + i] = int(bits)
    special = {"ROUNDS_LOG2": m.rounds(n), "ENTRY": entry}
    once, sampling = ("TILE_INDEX", "TILE_COUNT", "TOP_K", "MIN_P"), ("TOP_K", "MIN_P")
    for name, (code,) in m.registers.items():
        if m.first and name in once or name in sampling and not m.config.sampling:
            continue
        value = special[name] if name in special else m.whole(code, t=t)
        words[isa.Space.CSR, isa.Csr[name] + (32 if m.first else 0)] = value
    numbers[:] = [descriptors + len(m.descriptors), entry + len(m.parts["program"]), micros + len(m.parts["micros"])]


def put_wide(words, space, number, value):
    count = {isa.Space.PROGRAM: 4, isa.Space.DESC: 4, isa.Space.MICRO: 2}[space]
    for n in range(count):
        words[space, count * number + n] = value >> 64 * n & (1 << 64) - 1


def put_planes(m, d, s, t, base, stride, put_row):
    """The integer copy of a share, laid out as docs/memory-map.md says."""
    pitch, banks = m.whole("pitch(s.words, d.group)", s=s, d=d), m.config.banks
    lo_offset = m.whole("lo_offset(s.rows, s.words, d.group)", s=s, d=d)
    for b in range(s.blocks):
        for r in range(s.rows):
            source = m.whole(s.source, d=d, t=t, b=b, r=r)
            w8 = m.tensors[f"{d.planes}.w8"][source].astype(int)
            scales = m.tensors[f"{d.planes}.scale"][source].view("<u2")
            hi = (w8 + 8) // 16
            row = []
            for group in range(0, len(scales), 4):
                row += pack_fields(scales[group : group + 4], 16)
                row += pack_fields(hi[group * d.group : (group + 4) * d.group], 4)
            start = base + b * stride
            put_row(r, start + r // banks * pitch, row)
            lo = pack_fields(w8 - 16 * hi, 4)
            put_row(r, start + lo_offset + r // banks * len(lo), lo)


def pack_fields(values, bits):
    """64-bit words of fields of so many bits, the first lowest."""
    per, mask = 64 // bits, (1 << bits) - 1
    return [
        sum((int(v) & mask) << bits * i for i, v in enumerate(values[k : k + per])) for k in range(0, len(values), per)
    ]
