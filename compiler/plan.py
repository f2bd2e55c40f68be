"""Decides what the image holds: matrices with their exponents, descriptors in order, regions, constants."""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from hayate.compiler.copies import Numbers, Options, kept, unit
from hayate.compiler.fold import EXPONENT_RANGE, S_IN, interleave, permute_heads, rope_tables, to_fp16
from hayate.compiler.quantize import quantize
from hayate.compiler.routines import TEMPS
from hayate.rtl.contract.config import MAX_LANES
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.image import Constant, Descriptor, Region
from hayate.rtl.contract.isa import ROPE_FINE_BITS
from hayate.rtl.contract.layout import ceil_div
from hayate.rtl.contract.precision import MX_BLOCK

S_OUT = (-32, 31)  # exponents that the conversion to FP16 takes; twice as much is within S_IN, for sums of squares
P_EXPONENT = -15  # softmax numerators are sent as fp16(2**15 * exp(...))
# of each layer's activations; "xf", "xg" of the last norm's input and output
EXPONENTS = (
    "xa",
    "q",
    "k",
    "v",
    "ao",
    "xb",
    "ff",
)


@dataclass
class Plan:
    """What `build` collects. `source`: the checkpoint's folder; `index`: descriptor name -> number; `dstep`:
    descriptors of a layer; `notes`: tensor -> how it was rounded; `numbers`: matrix with planes -> `copies.Numbers`.
    """

    source: object
    options: Options = Options()
    descriptors: list = field(default_factory=list)
    tensors: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)
    numbers: dict = field(default_factory=dict)
    dstep: int = 0

    @property
    def index(self):
        return {d.name: i for i, d in enumerate(self.descriptors)}

    def half(self, name, values, multiplied=True):
        """Round a matrix into the image, with planes where it is `multiplied` and the options want them; its
        exponent.
        """
        planes = multiplied and self.options.planes
        try:
            rounded = to_fp16(values, planes, S_IN[0] if multiplied else EXPONENT_RANGE[0])
        except OverflowError as e:
            raise HayateError(
                self.source, name, f"{e}, with the norm's gain folded in", "repair the checkpoint"
            ) from None
        self.tensors[name] = rounded.half
        self.notes[name] = {"exponent": rounded.exponent, "flushed": rounded.flushed, "subnormal": rounded.subnormal}
        if planes:
            integer = quantize(np.ldexp(values, -rounded.exponent), self.options.group)
            self.tensors |= {f"{name}.w8": integer.w8, f"{name}.scale": integer.scale}
            self.numbers[name] = Numbers.of(rounded.half, integer)
            self.notes[name]["errors"] = list(self.numbers[name].errors)
        return rounded.exponent

    def _require_exponents(self, d):
        fetched = d.name == "emb" and "head" in self.index  # its exponent multiplies in FP32
        for exponent, (low, high) in ((0 if fetched else d.s_in, S_IN), (d.s_out, S_OUT)):
            if not low <= exponent <= high:
                raise HayateError(
                    self.source,
                    d.name,
                    f"values of 2^{exponent} and their sums leave the range of FP32 or FP16",
                    f"scale the weights, or give exponents that add up to {low} to {high}",
                )

    def add(self, name, kind, *, tensor="", **shape):
        """Append a descriptor; rows and words of a stored matrix are those of its tensor."""
        if tensor:
            array = self.tensors[tensor]
            shape = {"rows": array.shape[0], "words": array.shape[1] * array.itemsize // 8, **shape}
            if tensor in self.numbers:
                shape |= {"planes": tensor, "group": self.options.group}
        self.descriptors.append(Descriptor(name=name, kind=kind, tensor=tensor, **shape))

    def finish(self):
        """Once all matrices are known: drop FP16 copies that the options do not want, give each matrix its grids and
        sensitivities.

        Raises HayateError for exponents that the machine's units do not take.
        """
        for d in self.descriptors:
            self._require_exponents(d)
        spare = {n: self.tensors[n].nbytes for n in self.numbers if n != "emb"}
        dropped = set(spare) - kept(self.options, spare, self.numbers)
        default = unit(list(self.numbers.values()))
        for i, d in enumerate(self.descriptors):
            if d.planes:
                found, own = self.options.of(d.name), self.numbers[d.name]
                grids, sensitivities = (
                    (found["grids"], found["sensitivities"]) if found else (own.grids(), own.sensitivities(default))
                )
                self.notes[d.name] |= {k: list(found[k]) for k in ("gains", "ratios") if found and k in found}
                self.descriptors[i] = replace(
                    d,
                    tensor="" if d.name in dropped else d.tensor,
                    grids=tuple(map(int, grids)),
                    sensitivities=tuple(map(int, sensitivities)),
                )
        for name in dropped:
            del self.tensors[name]


def build(checkpoint, exponents, options=Options(), kind=Plan):  # noqa: B008
    """`Plan` of a checkpoint, or a `kind` of it.

    exponents: static exponents of the activations, default 0: ``(layer, name)`` -> S for `EXPONENTS`, ``name`` for xf
    and xg.
    options: `copies.Options`. Raises HayateError.
    """
    shape, plan = checkpoint.shape, kind(checkpoint.path, options)

    def s(name, layer=None):
        if name == "xa" and layer == shape.layers:
            name, layer = "xf", None
        return exponents.get(name if layer is None else (layer, name), 0)

    d, vector = shape.hidden, {"kind": "vector", "rows": shape.hidden}
    gain = checkpoint.vector("model.norm", d)
    e = plan.half("emb", checkpoint.matrix("model.embed_tokens", shape.vocab, d), multiplied=shape.tied)
    coarse, fine = rope_tables(shape.head_dim, shape.context, shape.rope_theta, ROPE_FINE_BITS)
    plan.tensors |= {"rope_coarse": coarse, "rope_fine": fine}
    if shape.tied:
        plan.tensors["gain"] = gain.astype(np.float32)
    plan.add("emb", "rows", tensor="emb", s_in=(s("xg") if shape.tied else 0) + e)
    plan.add("rope_coarse", "rows", tensor="rope_coarse")
    plan.add("rope_fine", "rows", tensor="rope_fine")
    plan.add("load", **vector, s_out=s("xa", 0))
    plan.add("xf", **vector, s_in=s("xf"))
    if shape.tied:
        plan.add("xg", **vector, s_out=s("xg"))
    else:
        e = plan.half("head", checkpoint.matrix("lm_head", shape.vocab, d) * gain)
        plan.add("head", "rows", tensor="head", s_in=s("xf") + e)
    first = len(plan.descriptors)
    for layer in range(shape.layers):
        _layer(plan, checkpoint, layer, lambda name, layer=layer: s(name, layer), s("xa", layer + 1))
    plan.dstep = (len(plan.descriptors) - first) // shape.layers
    plan.finish()
    return plan


def _layer(plan, checkpoint, layer, s, s_next):
    shape = checkpoint.shape
    d, hd, q_rows, kv_rows = shape.hidden, shape.head_dim, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    source, name = f"model.layers.{layer}", f"layers.{layer}"

    def matrix(which, rows, columns, gain=None):
        w = checkpoint.matrix(f"{source}.{which}", rows, columns)
        return w if gain is None else w * gain

    def store(which, values, kind, s_in, s_out, **shape):
        e = plan.half(f"{name}.{which}", values)
        plan.add(f"{name}.{which}", kind, tensor=f"{name}.{which}", s_in=s_in + e, s_out=s_out, **shape)

    gain = checkpoint.vector(f"{source}.input_layernorm", d)
    plan.add(f"{name}.xa", "vector", rows=d, s_in=s("xa"))
    store(
        "wq", permute_heads(matrix("self_attn.q_proj", q_rows, d, gain), hd), "q", s("xa"), s("q"), blocks=shape.heads
    )
    store(
        "wk",
        permute_heads(matrix("self_attn.k_proj", kv_rows, d, gain), hd),
        "kv",
        s("xa"),
        s("k"),
        blocks=shape.kv_heads,
    )
    store("wv", matrix("self_attn.v_proj", kv_rows, d, gain), "kv", s("xa"), s("v"), blocks=shape.kv_heads)
    plan.add(f"{name}.kcache", "kcache", words=hd // 4, blocks=shape.kv_heads, s_in=s("q") + s("k"), s_out=P_EXPONENT)
    plan.add(f"{name}.vcache", "vcache", rows=kv_rows, blocks=shape.kv_heads, s_in=s("v"), s_out=s("ao"))
    store("wo", matrix("self_attn.o_proj", d, q_rows), "rows", s("ao"), s("xb"))
    gain = checkpoint.vector(f"{source}.post_attention_layernorm", d)
    plan.add(f"{name}.xb", "vector", rows=d, s_in=s("xb"))
    gate_up = interleave(
        matrix("mlp.gate_proj", shape.intermediate, d, gain), matrix("mlp.up_proj", shape.intermediate, d, gain)
    )
    store("wgu", gate_up, "pairs", s("xb"), s("ff"))
    store("wdown", matrix("mlp.down_proj", d, shape.intermediate), "rows", s("ff"), s_next)


def regions(shape):
    """Regions of a model. Those whose vectors matrices multiply come first and are whole MXINT8 blocks, so that each
    begins on one; those of the stage buffer are whole flits, whatever M is.
    """
    d, hdq, group = shape.hidden // 4, shape.head_dim // 4, shape.heads // shape.kv_heads

    def whole(unit, words):
        return {"": ceil_div(words, unit) * unit}

    blocks, fetched = partial(whole, MX_BLOCK // 4), partial(whole, MAX_LANES)

    spaces = {
        "act": {
            "XA": blocks(d),
            "XB": blocks(d),
            "AO": blocks(shape.heads * hdq),
            "FF": blocks(shape.intermediate // 4),
            "Q": {"heads": hdq * group},
            "KS": {"heads": hdq},
            "VS": {"heads": hdq},
            "PR": {"slot_words": 1},
        },
        "stage": {"EMB": fetched(d), "ROPEC": fetched(shape.head_dim), "ROPEF": fetched(shape.head_dim)},
        "vmem": {
            "X": {"rows": 1},
            **({"GAIN": {"rows": 1}} if shape.tied else {}),
            "C": {"": shape.head_dim},
            "S": {"": shape.head_dim},
            "SC": {"slots": 1},
            **{f"T{i}": {"": TEMPS} for i in range(4)},
            **{name: {"": 1} for name in ("RINV", "ZINV", "INVD", "EPS", "SCALE", "EMBX", "INVT", "LNP")},
            "Z": {"tokens": 1},
        },
    }
    placed = [
        Region(name, space, size, rounds=name in ("PR", "SC"))
        for space, names in spaces.items()
        for name, size in names.items()
    ]
    views = [Region(name, "vmem", of=of, shift={"quad0": 4}) for name, of in (("CL", "C"), ("SL", "S"))]
    return tuple(placed + views)


def constants(shape, embedding_exponent):
    """Initial content of the vector memory; every value is an FP32 number."""
    values = {
        "INVD": 1.0 / shape.hidden,
        "EPS": shape.eps,
        "SCALE": shape.head_dim**-0.5,
        "EMBX": 2.0**embedding_exponent,
        "INVT": 1.0,
        "LNP": 0.0,
    }
    rounded = [Constant(region, (float(np.float32(v)),)) for region, v in values.items()]
    return tuple(rounded + ([Constant("GAIN", tensor="gain")] if shape.tied else []))
