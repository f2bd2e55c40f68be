"""An image with a draft model: what it takes, where each of the two lies, and models that do not go together."""

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from hayate.compiler import compile_model, place, render, report
from hayate.compiler.link import SHARED, allocate, pair, parts
from hayate.rtl.contract import encoding, isa
from hayate.rtl.contract.config import Config
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.image import DRAFT, NGRAMS, TOKENIZER, Image, evaluate
from hayate.rtl.contract.isa import PRECISION_BIT, SECOND_BIT, Csr, Op
from hayate.rtl.contract.load import COMMON_REGISTERS
from hayate.rtl.contract.precision import Format
from hayate.verif.models.tiny import write_tiny_model

SIZES = dict(banks=4, bank_depth=16384, max_slots=52)


@pytest.fixture(scope="module")
def draft(tmp_path_factory):
    """Of one KV head, which several tiles share."""
    folder = write_tiny_model(
        tmp_path_factory.mktemp("draft") / "small",
        hidden=20,
        layers=1,
        heads=3,
        kv_heads=1,
        head_dim=16,
        ff=28,
        context=60,
        seed=3,
        tied=False,
    )
    return compile_model(folder, planes=False)


@pytest.fixture(scope="module")
def both(image, draft):
    return pair(image, draft)


def test_round_trip(both, tmp_path):
    both.save(tmp_path / "a.img")
    again = Image.load(tmp_path / "a.img")
    again.save(tmp_path / "b.img")
    assert (tmp_path / "a.img").read_bytes() == (tmp_path / "b.img").read_bytes()
    for one, two in ((both, again), (both.draft, again.draft)):
        for f in dataclasses.fields(Image):
            if f.name not in ("tensors", "draft"):
                assert getattr(one, f.name) == getattr(two, f.name), f.name
        assert one.tensors.keys() == two.tensors.keys()
        assert all(two.tensors[name].tobytes() == tensor.tobytes() for name, tensor in one.tensors.items())
    assert TOKENIZER in again.tensors and TOKENIZER not in again.draft.tensors and again.draft.draft is None


def test_only_the_models_own_base_table_counts(image, draft):
    one, two = ({NGRAMS: np.array([[-1, 1, token]], np.int32)} for token in (2, 3))
    whole = pair(
        dataclasses.replace(image, tensors=image.tensors | one), dataclasses.replace(draft, tensors=draft.tensors | two)
    )
    assert whole.ngrams.tolist() == [[-1, 1, 2]] and len(whole.draft.ngrams) == 0


@pytest.mark.parametrize(
    "change, message",
    [
        ({"draft": "[1]"}, "draft: damaged"),
        ({"draft": '{"model": {}}'}, "draft: damaged"),
        ({"draft": "{"}, "draft: damaged"),
    ],
)
def test_damage(both, tmp_path, change, message):
    from hayate.rtl.contract.tensorfile import TensorFile, write_tensors

    both.save(tmp_path / "a.img")
    file = TensorFile(tmp_path / "a.img", what="image", remedy="")
    write_tensors(tmp_path / "b.img", {name: file.tensor(name) for name in file.names}, {**file.metadata, **change})
    with pytest.raises(HayateError, match=message):
        Image.load(tmp_path / "b.img")


def test_a_missing_tensor_of_the_draft_model_is_named(both, tmp_path):
    short = {name: tensor for name, tensor in both.draft.tensors.items() if name != "layers.0.wo"}
    dataclasses.replace(both, draft=dataclasses.replace(both.draft, tensors=short)).save(tmp_path / "a.img")
    with pytest.raises(HayateError, match="layers.0.wo: does not hold 20 rows"):
        Image.load(tmp_path / "a.img")


@pytest.mark.parametrize("tiles", [1, 2, 3, 4])
def test_every_word_of_the_banks_belongs_to_one_thing(both, tiles):
    placement = place(both, Config(name="test", tiles=tiles, **SIZES))
    geometry = {part.prefix: part.geometry for part in parts(placement.image, placement.config)}
    for tile in placement.tiles:
        used = np.zeros(tile.depth, int)
        for base, share in tile.shares.values():
            if base is not None:
                used[base : base + share.blocks * share.stride] += 1
        for _, base, planes in tile.planes.values():
            used[base : base + planes.blocks * planes.stride] += 1
        assert (used == 1).all()
        assert {f"{DRAFT}layers.0.kcache", "layers.0.kcache"} <= tile.shares.keys()
        weights = tile.banks.shape[1]
        caches = [base for name, (base, _) in tile.shares.items() if name.endswith("cache")]
        assert min(caches) >= weights, "what starts as zeros lies behind the weights of both"
    own = geometry[DRAFT]
    assert own.slots == geometry[""].context == placement.context == 48, "a slot for each position, and no more"


def test_numbers_move(both):
    """Descriptors, routines and instructions of the draft model stand behind those of the other."""
    placement = place(both, Config(name="test", tiles=2, **SIZES))
    tile, alone = (
        placement.tiles[0],
        place(dataclasses.replace(both, draft=None), Config(name="test", tiles=2, **SIZES)).tiles[0],
    )
    n, m, d = len(both.program), len(both.micros), len(both.descriptors)
    desc = lambda word: [word >> at & (1 << width) - 1 for at, width in [encoding.FORMATS[Op.GEMV]["desc"]]][0]  # noqa: E731
    assert tile.csr[Csr.ENTRY] == 0 and tile.csr[Csr.ENTRY | 1 << SECOND_BIT] == n
    first, second = tile.program[:n], tile.program[n:]
    for word, i in [*zip(first, both.program), *zip(second, both.draft.program)]:
        assert word & 15 == i.op
    assert all(desc(word) == i.desc for word, i in zip(first, both.program) if i.op in (Op.GEMV, Op.RUN))
    at, width = encoding.FORMATS[Op.RUN]["routine"]
    for word, i in zip(second, both.draft.program):
        if i.op in (Op.GEMV, Op.RUN, Op.FETCH, Op.KVW):
            assert desc(word) == i.desc + d
        if i.op == Op.RUN:
            assert word >> at & (1 << width) - 1 == i.routine + m
    assert len(tile.micros) == m + len(both.draft.micros)
    assert len(tile.descriptors) == d + len(both.draft.descriptors) + len(tile.planes)
    assert len(alone.descriptors) == d + len(alone.planes)
    second = {register for register in tile.csr if register >> SECOND_BIT}
    assert {r & (1 << SECOND_BIT) - 1 for r in second} == set(Csr) - set(COMMON_REGISTERS)
    assert tile.csr[Csr.GROUP_SIZE | 1 << SECOND_BIT] == 2


def test_regions_overlay_but_for_constants(both):
    first, second = both_parts = parts(both, Config(name="test", tiles=1, **SIZES))
    (here, there), used = allocate(both_parts, 1)
    assert here["XA"] == there["XA"] == 0 and here["EMB"] == there["EMB"] == 0

    def taken(part, addresses, constants):
        names = {c.region for c in part.image.constants}
        symbols = part.geometry.symbols()
        return [
            set(
                range(
                    addresses[r.name],
                    addresses[r.name] + (evaluate(r.size, symbols) << (part.ahead(1) if r.rounds else 0)),
                )
            )
            for r in part.image.regions
            if r.space == "vmem" and not r.of and (r.name in names) == constants
        ]

    kept = taken(first, here, True) + [
        words for words in taken(second, there, True) if words not in [{here[name]} for name in SHARED]
    ]
    assert sum(map(len, kept)) == len(set().union(*kept)), "constants of both have places of their own"
    assert all(here[name] == there[name] for name in SHARED)
    for part, addresses in ((first, here), (second, there)):
        working = taken(part, addresses, False)
        assert sum(map(len, working)) == len(set().union(*working)) and not set().union(*working) & set().union(*kept)
    alone = [allocate((part,), 1)[1] for part in both_parts]
    assert all(used[space] == max(one[space] for one in alone) for space in ("act", "stage"))
    assert used["vmem"] < sum(one["vmem"] for one in alone)


def test_the_best_copy_of_the_draft_model_is_read(image):
    """Its matrices have entries in the precision table, which no governor and no --precision touches."""
    config = Config(name="test", tiles=1, **SIZES)
    placement = place(pair(image, image), config, {"layers.0.wq": Format.INT4})
    assert (
        placement.precision["layers.0.wq"] == Format.INT4 and placement.precision[f"{DRAFT}layers.0.wq"] == Format.FP16
    )
    index = placement.tiles[0].planes[f"{DRAFT}layers.0.wq"][0]
    assert [
        r.data for r in placement.loads(kv=False) if r.addr == 1 << PRECISION_BIT | index and r.space == isa.Space.CSR
    ] == [Format.FP16]
    assert not [name for name in pair(image, image).weight_matrices() if name.startswith(DRAFT)]


def test_the_report_names_both(both):
    config = Config(name="test", tiles=2, **SIZES)
    data = json.loads(json.dumps(report(both, config)))
    assert (data["model"], data["draft"]) == ("tiny", "small") and report(
        dataclasses.replace(both, draft=None), config
    )["draft"] is None
    assert [b["words"] for b in data["banks"]] == [t.depth for t in place(both, config).tiles]
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(render(data))
    text = console.export_text()
    assert "tiny with small on test: fits" in text and f"{DRAFT}layers.0.wdown" in text


def test_misfits_name_both(both, image):
    alone = max(b["words"] for b in report(image, Config(name="test", tiles=1, **SIZES))["banks"])
    with pytest.raises(
        HayateError,
        match=r"bank_depth: the model tiny with its draft model small does not fit: .*; --set bank_depth=\d+$",
    ):
        place(both, Config(name="test", tiles=1, **SIZES | {"bank_depth": alone}))


def test_planes_alone_need_a_machine_that_reads_them(image, model_folder):
    odd = pair(image, compile_model(model_folder, fp16="none", calibration=False))
    with pytest.raises(
        HayateError, match="formats: 'fp16' reads no integer planes, and the image has .* in no other format"
    ):
        place(odd, Config(name="test", tiles=1, **SIZES, formats="fp16"))


REFUSED = {
    "vocabulary": (
        {"vocab": 50},
        "--draft other: tokenizer: has 50 tokens, tiny 64; give a model with the same tokenizer",
    ),
    "context": (
        {"context": 47},
        "--draft other: max_position_embeddings: 47 positions, tiny has 48; give a model with a context as long",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_models_that_do_not_go_together(case, image, tmp_path):
    changes, message = REFUSED[case]
    with pytest.raises(HayateError) as error:
        pair(image, compile_model(write_tiny_model(tmp_path / "other", **changes), planes=False))
    assert str(error.value) == message


def test_another_tokenizer_is_refused(image, tmp_path):
    folder = write_tiny_model(tmp_path / "other")
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"<|end|>"', '"<end>"'))
    with pytest.raises(HayateError, match="--draft other: tokenizer: is another one"):
        pair(image, compile_model(folder, planes=False))
    path.unlink()
    assert pair(image, compile_model(folder, planes=False)).draft.model["name"] == "other", (
        "what is not there cannot differ"
    )
