"""`hayate bench precision`: cycles of one long matrix-vector product in FP16, INT8 and INT4, on the simulated chip.

The machine runs a program of its own: it fetches a row of a table as the input vector, multiplies the matrix with it
and chooses the largest result. The cycles are those of the tile's counters in which the matrix engine streamed the
matrix or waited while it did.
"""

from dataclasses import replace

import numpy as np
from rich.table import Table

from hayate.compiler.link import SHARED
from hayate.compiler.quantize import quantize
from hayate.golden.conductor.compare import matches
from hayate.golden.conductor.generate import generate as golden
from hayate.output import require_outputs, toml, write_json
from hayate.progress import Steps, console
from hayate.rtl.contract.alu_ops import AluOp
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.encoding import Instr, Micro
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.image import Constant, Descriptor, Image, Region
from hayate.rtl.contract.isa import BANK_BITS, ASrc, Cast, FetchIndex, Mode, Op, Rows, WaitKind
from hayate.rtl.contract.precision import GROUPS, Format, hi_pitch, plane_words, stream_words

FETCHED, GATHER = 6, 0
SEED = 1
STAGE_MAX = 1 << 12  # words of a stage buffer
BANK_MAX = 1 << BANK_BITS  # words of a bank


def gemv_image(k, rows, group, formats=tuple(Format)):
    """`Image` that multiplies a random matrix [rows, k] with row 0 of a random table: its logits are the product."""
    rng = np.random.default_rng(SEED)
    weights = rng.standard_normal((rows, k)) * 2.0**11
    nested = quantize(weights, group)
    tensors = {
        "table": rng.standard_normal((1, k)).astype(np.float16),
        "matrix.w8": nested.w8,
        "matrix.scale": nested.scale,
    }
    if Format.FP16 in formats:
        tensors["matrix"] = weights.astype(np.float16)
    descriptors = (
        Descriptor("table", "rows", rows=1, words=k // 4, tensor="table"),
        Descriptor("input", "vector", rows=k),
        Descriptor(
            "matrix",
            "rows",
            rows=rows,
            words=k // 4,
            s_in=-11,
            tensor="matrix" if Format.FP16 in formats else "",
            planes="matrix",
            group=group,
        ),
    )
    micros = (
        Micro(AluOp.MOV, a=("INPUT", 0), a_src=ASrc.STAGE, a_mode=Mode.STREAM, d_send=1),
        Micro(AluOp.MOV, a=0, a_src=ASrc.LANDING, a_mode=Mode.STREAM, d_log=1, d_arg=1),
    )
    instructions: list[tuple[Op, dict]] = [
        (Op.FETCH, {"desc": 0, "index": int(FetchIndex.TOKEN), "stage": ("INPUT", 0), "chan": FETCHED}),
        (Op.V_WAIT, {"chan": FETCHED, "kind": int(WaitKind.LANES), "count": 1}),
        (
            Op.RUN,
            {
                "desc": 1,
                "routine": 0,
                "length": 1,
                "vl": 16,
                "rows": int(Rows.DESC),
                "send": 1,
                "send_base": ("X", 0),
                "chan": GATHER,
                "cast": int(Cast.ALL),
            },
        ),
        (Op.M_WAIT, {"chan": GATHER, "kind": int(WaitKind.ALL), "count": 1}),
        (Op.GEMV, {"desc": 2, "act": ("X", 0), "wanted": 1}),
        (Op.RUN, {"desc": 2, "routine": 1, "length": 1, "vl": 16, "landing": 1}),
        (Op.SENDCAND, {}),
        (Op.END, {}),
    ]
    program = tuple(Instr(op, args) for op, args in instructions)
    model = {
        "name": f"gemv-{rows}x{k}",
        "hidden": k,
        "layers": 0,
        "heads": 1,
        "kv_heads": 1,
        "head_dim": 4,
        "intermediate": k,
        "vocab": rows,
        "context": 4,
        "eos": [],
        "bos": None,
        "rope_theta": 1e4,
        "eps": 1e-5,
        "tied": False,
        "source": "",
    }
    regions = (
        Region("X", "act", {"": k // 4}),
        Region("INPUT", "stage", {"": k // 4}),
        Region("ONE", "vmem", {"": 1}),
        *(Region(name, "vmem", {"": 1}) for name in SHARED),
    )
    return Image(
        model=model,
        program=program,
        micros=micros,
        routines={"load": (0, 1), "head": (1, 1)},
        descriptors=descriptors,
        regions=regions,
        constants=(Constant("ONE", (1.0,)),),
        tensors=tensors,
    )


def machine(config, k, rows, group):
    """One tile of `config`, deep enough for every copy of the matrix. HayateError where no bank is."""
    words = (k // 4 + hi_pitch(k, group) + plane_words(k)) * -(-rows // config.banks) + k // 4 + 16
    if words > BANK_MAX:
        raise HayateError(
            "--rows",
            "",
            f"{rows // config.banks} rows of {k} take {words} words of a bank, which has at most {BANK_MAX}",
            f"use at most {rows // config.banks * BANK_MAX // words}",
        )
    return replace(
        config,
        tiles=1,
        bank_depth=-(-words // 1024) * 1024,
        act_depth=max(config.act_depth, k // 4),
        stage_depth=max(config.stage_depth, k // 4),
    )


def report(config, k, rows, group, sim, json):
    """Measure, print the table and write the JSON {fp16, int8, int4: cycles}. Raises HayateError."""
    if group not in GROUPS:
        raise HayateError("--group", "", f"{group} is not supported", f"use {', '.join(map(str, GROUPS))}")
    if k % 4 or not 4 <= k <= 4 * STAGE_MAX:
        raise HayateError("--k", "", f"{k} is not a multiple of 4 from 4 to {4 * STAGE_MAX}", "use 4096")
    if rows < 1:
        raise HayateError("--rows", "", f"{rows} is not at least 1", "use 64")
    require_outputs([("--json", json)], [toml(config)])
    people = console(json)
    cycles = run(config, k=k, rows_per_bank=rows, group=group, sim=sim, say=Steps(people))
    table = Table(
        "format",
        "cycles (simulated)",
        "of FP16's, x 16",
        "words a row, x 16 / FP16's",
        title_justify="left",
        box=None,
        title=f"{rows} rows of {k} in every bank, groups of {group}",
    )
    for fmt in Format:
        name = fmt.name.lower()
        ideal = 16 * stream_words(k, group, fmt) / stream_words(k, group, Format.FP16)
        table.add_row(name, f"{cycles[name]:,}", f"{16 * cycles[name] / cycles['fp16']:.3f}", f"{ideal:.3f}")
    people.print(table)
    if json:
        write_json(cycles, json)


def run(config="demo", overrides=(), *, k=4096, rows_per_bank=64, group=128, sim="verilator", say=None, root=None):
    """{format: cycles} of the product; every run is checked against the golden model, bit for bit (AssertionError)."""
    from hayate.backends.rtl import generate_rtl

    say = say or Steps()
    base = load_config(config, overrides)
    rows = rows_per_bank * base.banks
    sizes, cycles = machine(base, k, rows, group), {}
    image = gemv_image(k, rows, group)
    for name in ("fp16", "int8", "int4"):
        result = generate_rtl(image, sizes, [0], 1, sim=sim, precision=name, say=say, root=root)
        reference = golden(image, [0], 1, lanes=sizes.lanes, slots=8, precision=name)
        if not matches(result, reference):
            raise AssertionError(f"{name}: the chip's results differ from the golden model's")
        (counters,) = result.counters
        cycles[name] = sum(counters[c] for c in ("weight", "wait_vector", "wait_drain"))
    return cycles
