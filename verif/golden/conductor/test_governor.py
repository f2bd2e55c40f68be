"""Golden governor: the rule, fixed precisions, and measuring on a prompt, with tiny models and integers of any size."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from hayate.compiler import compile_model
from hayate.golden.conductor.generate import generate, teacher_force
from hayate.golden.conductor.governor import Governor, decide, knob_of, table
from hayate.golden.numerics.fp16 import to_int
from hayate.golden.numerics.mxint8 import quantize
from hayate.golden.tile.sequencer import Tile
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.isa import Block, Energy, Op
from hayate.rtl.contract.precision import MEASURED_POSITIONS, Format
from hayate.verif.models.tiny import write_tiny_model

PROMPT = [7, 3, 41, 1, 5, 19, 22, 30, 2, 11, 40]
SHAPE = dict(hidden=24, layers=2, heads=6, kv_heads=2, head_dim=8, ff=40, vocab=50, context=48, seed=27)
ODD_ONES = ("layers.0.wq", "layers.1.wdown", "layers.1.wo")  # have no FP16 copy in `mixed`


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny", **SHAPE)


@pytest.fixture(scope="module")
def both(folder):
    """Every matrix in both copies; sensitivities for which a middling quality chooses all three formats."""
    image = compile_model(folder)
    rng = np.random.default_rng(1)
    return dataclasses.replace(
        image,
        descriptors=tuple(
            dataclasses.replace(
                d, sensitivities=tuple(max(1, int(s * rng.uniform(0, 4) ** 3)) for s in d.sensitivities)
            )
            if d.planes
            else d
            for d in image.descriptors
        ),
    )


@pytest.fixture(scope="module")
def mixed(both):
    """Some matrices with planes alone, one without planes."""

    def change(d):
        if d.name in ODD_ONES:
            return dataclasses.replace(d, tensor="")
        return dataclasses.replace(d, planes="", group=0, grids=(0, 0, 0)) if d.name == "layers.0.wv" else d

    return dataclasses.replace(both, descriptors=tuple(map(change, both.descriptors)))


@pytest.fixture(scope="module")
def integer(folder):
    return compile_model(folder, fp16="none")


@pytest.fixture(scope="module")
def plain(folder):
    return compile_model(folder, planes=False)


def formats(precision):
    return {name: p["format"] for name, p in precision.items()}


def same_run(a, b):
    assert a.tokens == b.tokens and a.precision == b.precision and a.logits.keys() == b.logits.keys()
    for position, row in a.logits.items():
        np.testing.assert_array_equal(row.view(np.uint32), b.logits[position].view(np.uint32))


def test_the_rule():
    rng = np.random.default_rng(2)
    seen = set()
    for _ in range(2000):
        energies = [int(rng.integers(0, 1 << 62)) >> int(rng.integers(0, 63)) for _ in Energy]
        sensitivities = [int(rng.integers(0, 1 << 32)) >> int(rng.integers(0, 33)) for _ in range(2)]
        has_fp16, knob = bool(rng.integers(2)), int(rng.integers(0, 1 << 32)) >> int(rng.integers(0, 33))
        limit, half, err = (
            Fraction(knob, 1 << 16) * energies[0],
            sensitivities[1] * energies[2],
            sensitivities[0] * energies[1],
        )
        wanted = Format.FP16 if has_fp16 and half > limit else Format.INT8 if err > limit else Format.INT4
        assert decide(energies, sensitivities, has_fp16, knob) == wanted
        seen.add((has_fp16, wanted))
    assert len(seen) == 5


def test_equal_is_not_above():
    assert decide([1 << 16, 3, 3], (5, 5), True, 15) == Format.INT4
    assert decide([1 << 16, 3, 3], (6, 5), True, 15) == Format.INT8
    assert decide([1 << 16, 3, 3], (5, 6), True, 15) == Format.FP16
    assert decide([1 << 16, 3, 3], (5, 6), False, 15) == Format.INT4
    assert decide([0, 0, 0], (1, 1), True, 0) == Format.INT4


def test_knob():
    assert knob_of(1) == 0 and knob_of(0.5) == 1 << 24 and knob_of(0.25) == 3 << 24
    assert knob_of(0.75) == round(Fraction(1 << 24, 3))
    assert knob_of(1e-9) == (1 << 32) - 1
    for bad in (0, -0.5, 1.01, float("nan")):
        with pytest.raises(HayateError, match=r"--quality: .* is not above 0 and at most 1"):
            knob_of(bad)


def test_weight_matrices(both):
    names = list(both.weight_matrices())
    assert names == ["emb", *(f"layers.{i}.{w}" for i in range(2) for w in ("wq", "wk", "wv", "wo", "wgu", "wdown"))]


def test_fixed_tables_and_missing_copies(both, mixed, integer, plain):
    for name, fmt in (("fp16", Format.FP16), ("int8", Format.INT8), ("int4", Format.INT4)):
        assert set(table(both, name).values()) == {fmt} and table(both, name).keys() == both.weight_matrices().keys()
    assert set(table(plain, "fp16").values()) == {Format.FP16}
    for image, precision, message in [
        (plain, "int8", "--precision: emb: int8 needs INT8/INT4 planes, and the image has none; compile"),
        (mixed, "int4", "--precision: layers.0.wv: int4 needs INT8/INT4 planes"),
        (mixed, "fp16", "--precision: layers.0.wq: fp16 needs an FP16 copy"),
        (integer, "fp16", "--precision: layers.0.wq: fp16 needs an FP16 copy"),
    ]:
        with pytest.raises(HayateError, match=message):
            generate(image, PROMPT, 1, precision=precision)
    with pytest.raises(HayateError, match="'bf16' is no precision; use one of auto, fp16, int8, int4"):
        Governor(both, "bf16")


def test_pins(both, integer, plain):
    with pytest.raises(
        HayateError, match=r"--pin: layers\.9\.wq: .* no weight matrix of this name; did you mean 'layers\.[01]\.wq'"
    ):
        Governor(both, pins={"layers.9.wq": Format.INT4})
    with pytest.raises(HayateError, match=r"--pin: layers\.0\.wq: fp16 needs"):
        Governor(integer, pins={"layers.0.wq": Format.FP16})
    with pytest.raises(HayateError, match=r"--pin: layers\.0\.wq: int4 needs"):
        Governor(plain, pins={"layers.0.wq": Format.INT4})
    free = generate(both, PROMPT, 4, quality=1)
    pinned = generate(both, PROMPT, 4, quality=1, pins={"layers.0.wgu": Format.INT4})
    assert formats(pinned.precision) == {**formats(free.precision), "layers.0.wgu": "int4"}
    at = MEASURED_POSITIONS
    np.testing.assert_array_equal(free.logits[at - 1], pinned.logits[at - 1])
    assert at < len(PROMPT) and (free.logits[len(PROMPT) - 1] != pinned.logits[len(PROMPT) - 1]).any()


@pytest.mark.parametrize("lanes", [1, 3, 8, 64])
def test_the_first_positions_decide(both, lanes):
    """What comes behind them changes no decision, and is read as they say; a shorter prompt decides by what it has."""
    first, last = PROMPT[:MEASURED_POSITIONS], MEASURED_POSITIONS - 1
    runs = [generate(both, prompt, 3, lanes=lanes, quality=0.5) for prompt in (first, [*first, 1], [*first, 7, 7, 7])]
    assert runs[0].precision == runs[1].precision == runs[2].precision
    assert all(np.array_equal(run.logits[last], runs[0].logits[last]) for run in runs)
    assert generate(both, first[:-1], 3, lanes=lanes, quality=0.5).precision != runs[0].precision
    chosen = {name: Format[fmt.upper()] for name, fmt in formats(runs[2].precision).items()}
    pinned, _ = teacher_force(both, [*first, 7, 7, 7], lanes=lanes, quality=1, pins=chosen)
    np.testing.assert_array_equal(pinned[-1], runs[2].logits[last + 3])


def test_a_text_goes_on_from_any_of_its_tokens(both):
    """Where the prompt holds all that is measured, a text and a prompt that holds more of it are the same."""
    first = PROMPT[:MEASURED_POSITIONS]
    whole = generate(both, first, 9, quality=0.5, temperature=0.8, seed=3)
    for read in (1, 4):
        rest = generate(both, [*first, *whole.tokens[:read]], 9 - read, quality=0.5, temperature=0.8, seed=3)
        assert rest.tokens == whole.tokens[read:] and rest.precision == whole.precision
        assert all(np.array_equal(row, whole.logits[at]) for at, row in rest.logits.items())


def test_fixed_precisions_differ_from_the_prompt_on(both):
    runs = {p: teacher_force(both, PROMPT, precision=p) for p in ("fp16", "int8", "int4")}
    exact = runs["fp16"][0]
    off = {p: np.square(logits - exact).mean() / exact.var() for p, (logits, _) in runs.items()}
    assert 0 < off["int8"] < 1e-3 and 10 * off["int8"] < off["int4"] < 0.5
    for name, (_, chosen) in runs.items():
        assert set(formats(chosen).values()) == {name}
        assert all(p["out"] == p["err"] == p["int8_err"] == 0 for p in chosen.values())


def test_the_best_copy_propagates_in_the_prompt(both, integer, plain):
    def prompt_logits(image, **options):
        logits = generate(image, PROMPT, 1, all_logits=True, **options).logits
        return np.stack([logits[i] for i in range(MEASURED_POSITIONS)])

    np.testing.assert_array_equal(prompt_logits(both), prompt_logits(plain))
    np.testing.assert_array_equal(prompt_logits(both), prompt_logits(both, precision="fp16"))
    # The embedding keeps its FP16 copy, for lookup.
    layers = prompt_logits(integer)
    assert (layers != prompt_logits(both)).any() and (layers != prompt_logits(both, precision="int8")).any()
    only = dataclasses.replace(
        integer,
        descriptors=tuple(dataclasses.replace(d, planes="") if d.name == "emb" else d for d in integer.descriptors),
    )
    np.testing.assert_array_equal(layers, prompt_logits(only))


def test_quality_orders_the_choices(both):
    rank = {"int4": 0, "int8": 1, "fp16": 2}
    choices = [
        [rank[f] for f in formats(generate(both, PROMPT, 1, quality=q).precision).values()]
        for q in (1e-9, 0.01, 0.3, 0.5, 0.9, 1)
    ]
    assert set(choices[0]) == {0} and set(choices[-1]) == {2}
    assert all(a <= b for low, high in zip(choices, choices[1:]) for a, b in zip(low, high))
    assert len(set(map(tuple, choices))) > 3 and any(len(set(c)) == 3 for c in choices)


@pytest.mark.parametrize("which", ["both", "mixed", "integer", "plain"])
@pytest.mark.parametrize("prompt", [PROMPT, PROMPT[:1], PROMPT[:4]], ids=len)
def test_lanes_do_not_matter(which, prompt, request):
    image = request.getfixturevalue(which)
    runs = [generate(image, prompt, 6, lanes=lanes, quality=0.3) for lanes in (1, 2, 4, 64)]
    for other in runs[1:]:
        same_run(runs[0], other)
    if which == "mixed":
        assert runs[0].precision["layers.0.wv"] == {"format": "fp16", "out": 0, "err": 0, "int8_err": 0}
        assert all(
            runs[0].precision[n]["int8_err"] == 0 and runs[0].precision[n]["out"] and runs[0].precision[n]["err"]
            for n in ODD_ONES
        )
    if which == "plain":
        assert set(formats(runs[0].precision).values()) == {"fp16"}


def test_a_tile_is_good_for_many_generations(mixed):
    tile = Tile(mixed, lanes=4, slots=52)
    fresh = generate(mixed, PROMPT, 5, quality=0.3)
    for quality in (1, 0.3, 1e-9, 0.3):
        again = generate(mixed, PROMPT, 5, tile=tile, slots=52, quality=quality)
        assert (again.precision == fresh.precision) == (quality == 0.3)
    same_run(again, fresh)


@pytest.mark.parametrize("lanes", [1, 3, 64])
def test_teacher_forcing_repeats_a_generation(mixed, lanes):
    made = generate(mixed, PROMPT, 8, quality=0.3)
    logits, chosen = teacher_force(mixed, PROMPT + made.tokens[:-1], prompt=len(PROMPT), lanes=lanes, quality=0.3)
    assert chosen == made.precision and len(set(formats(chosen).values())) > 1
    for position, row in made.logits.items():
        np.testing.assert_array_equal(logits[position].view(np.uint32), row.view(np.uint32))
    with pytest.raises(HayateError, match="12 is not between 1 and the 11 tokens"):
        teacher_force(mixed, PROMPT, prompt=12)


@pytest.mark.parametrize("lanes", [1, 4])
def test_resuming_with_frozen_decisions(mixed, lanes):
    """The prompt once more, the decisions restored, the committed tokens: the same logits, whatever quality is asked
    for meanwhile.
    """
    made = generate(mixed, PROMPT, 8, quality=0.3)
    frozen = {name: Format[fmt.upper()] for name, fmt in formats(made.precision).items()}
    for quality in (1e-9, 1):
        logits, chosen = teacher_force(
            mixed, PROMPT + made.tokens[:-1], prompt=len(PROMPT), lanes=lanes, quality=quality, pins=frozen
        )
        assert formats(chosen) == formats(made.precision)
        for position, row in made.logits.items():
            np.testing.assert_array_equal(logits[position].view(np.uint32), row.view(np.uint32))
    other, _ = teacher_force(mixed, PROMPT + made.tokens[:-1], prompt=len(PROMPT), lanes=lanes, quality=1)
    assert (other[len(PROMPT) :] != logits[len(PROMPT) :]).any()


@pytest.mark.parametrize("copies", ["mixed", "integer"])
def test_logits_that_nobody_chooses_from_do_not_decide(copies, request):
    image = request.getfixturevalue(copies)
    few, all_of_them = (
        generate(image, PROMPT, 3, lanes=3, all_logits=all_logits, quality=0.3) for all_logits in (False, True)
    )
    assert few.precision == all_of_them.precision and few.tokens == all_of_them.tokens
    # the last position that measures, and those from the end of the prompt on
    assert len(all_of_them.logits) == len(few.logits) + len(PROMPT) - 2 and few.precision["emb"]["out"] > 0


def test_a_table_cannot_name_a_missing_copy(mixed):
    tile = Tile(mixed, lanes=4, slots=52)
    with pytest.raises(ValueError, match=r"layers\.0\.wq has no FP16 copy"):
        tile.state.load_precision({"layers.0.wq": Format.FP16})
    with pytest.raises(ValueError, match=r"layers\.0\.wv has no INT4 copy"):
        tile.state.load_precision({"layers.0.wv": Format.INT4})


def energies_of(image, desc, rows, x):
    """[OUT, ERR, INT8_ERR] of matrix rows and float16 [P, K], one Python integer at a time."""
    k, w8 = x.shape[1], image.tensors[f"{desc.planes}.w8"][rows].astype(object)
    units = to_int(image.tensors[f"{desc.planes}.scale"][rows]).astype(object).repeat(desc.group, axis=1)[:, :k] * 2**8
    q, e = (v.astype(object) for v in quantize(x))
    q = q * (2 ** (e + 10)).repeat(32, axis=1)[:, :k]
    whole, low = q @ (w8 * units).T, q @ ((w8 - 16 * ((w8 + 8) // 16)) * units).T
    if desc.tensor:
        best = to_int(x).astype(object) @ to_int(image.tensors[desc.tensor][rows]).astype(object).T
        parts = (best, -low, best - whole)
    else:
        parts = (whole, low)
    return [
        sum(max(-1 << 15, min((1 << 15) - 1, v >> grid)) ** 2 for v in part.flat)
        for part, grid in zip(parts, desc.grids)
    ]


@pytest.mark.parametrize("lower", [0, 8], ids=["as compiled", "saturating"])
def test_energies_by_hand(mixed, lower, monkeypatch):
    """Every GEMV of a prompt is recorded with its activations; the sums are those of the definition, each row and
    position once.
    """
    image = dataclasses.replace(
        mixed,
        descriptors=tuple(
            dataclasses.replace(d, grids=tuple(g - lower for g in d.grids)) if d.planes else d
            for d in mixed.descriptors
        ),
    )
    tile, wanted = Tile(image, lanes=4, slots=52), {}
    gemv = tile.matrix.gemv

    def record(i, desc):
        s = tile.state
        if s.measure and desc.planes:
            block = {Block.ZERO: 0, Block.HEAD: s.head, Block.HEAD_GROUP: s.head * i.group + s.j}[i.block]
            region, at = s.offset(i.act)
            x = np.stack([s.act[region][at : at + desc.words, p].reshape(-1) for p in range(s.count)])
            if i.wanted:
                x = x[s.count - 1 :] if s.positions[-1] == MEASURED_POSITIONS - 1 else x[:0]
            rows = slice(block * desc.block_rows, (block + 1) * desc.block_rows)
            sums = wanted.setdefault(desc.name, [0] * len(Energy))
            for kind, value in enumerate(energies_of(image, desc, rows, x)):
                sums[kind] += value
        gemv(i, desc)

    monkeypatch.setattr(tile.matrix, "gemv", record)
    made = generate(image, PROMPT, 3, tile=tile, slots=52)
    assert {n: [p["out"], p["err"], p["int8_err"]] for n, p in made.precision.items() if n in wanted} == wanted
    assert wanted.keys() == image.weight_matrices().keys() - {"layers.0.wv"}
    assert any(i.wanted for i in image.program if i.op == Op.GEMV)
    assert all(e[Energy.OUT] for e in wanted.values())
