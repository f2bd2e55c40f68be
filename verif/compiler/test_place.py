"""The loader: every row in exactly one place, found where the machine looks for it; nothing overlaps; misfits are
explained.
"""

import re
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hayate.compiler import compile_model, place
from hayate.compiler.secded import hex_lines
from hayate.golden.memory.secded import encode, from_bits, to_bits
from hayate.rtl.contract import encoding
from hayate.rtl.contract.config import PRESETS, Config
from hayate.rtl.contract.encoding import DESCRIPTOR, PLANES
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.isa import BANK_SHIFT, ENTRY_WORDS, PRECISION_BIT, Csr, Space
from hayate.rtl.contract.layout import local_slots, slot_home
from hayate.rtl.contract.precision import Format, plane_words
from hayate.verif.models.tiny import write_tiny_model

SHAPES = [
    dict(),
    dict(hidden=20, ff=44, layers=1, options=dict(fp16="none", group=64)),
    dict(hidden=36, ff=20, vocab=61, tied=False),
    dict(hidden=16, heads=3, kv_heads=3, head_dim=4, ff=12, vocab=33, layers=1),
    dict(hidden=24, heads=6, kv_heads=1, head_dim=12, ff=28, vocab=40, layers=1, context=100),
]
KINDS = {"kcache": None, "vcache": None, "vector": None}


@lru_cache(maxsize=None)
def model(number):
    with TemporaryDirectory() as folder:
        shape = dict(SHAPES[number])
        options = shape.pop("options", {})
        return compile_model(write_tiny_model(Path(folder) / "m", **shape), **options)


configs = st.builds(
    lambda tiles, banks, lanes, slots: Config(
        tiles=tiles, banks=banks, lanes=lanes, max_slots=slots, bank_depth=1 << 17, vmem_depth=2048, act_depth=1024
    ),
    st.integers(1, 5),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([12, 52, 256]),
)


def decode(word, layout=DESCRIPTOR):
    return layout.unpack(word)


def global_row(d, field, csr, block, row, size):
    """Row of the whole matrix that a tile's row `row` of its block `block` is, from what the machine knows."""
    if d.kind in ("rows", "pairs"):
        return field["row0"] + row
    first = csr[Csr.HEAD0] * (csr[Csr.GROUP] if d.kind == "q" else 1)
    return (first + block) * size + 4 * field["quad0"] + row


def local_blocks(d, csr):
    return {"rows": 1, "pairs": 1, "q": csr[Csr.LOCAL_HEADS] * csr[Csr.GROUP]}.get(d.kind, csr[Csr.LOCAL_HEADS])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(SHAPES) - 1), configs)
def test_every_row_is_placed_exactly_once(number, config):
    image = model(number)
    placement = place(image, config)
    for index, d in enumerate(image.descriptors):
        if not d.tensor:
            continue
        words = image.tensors[d.tensor].view(np.uint64)
        seen = np.zeros(d.rows, int)
        for t in placement.tiles:
            f = decode(t.descriptors[index])
            assert (f["words"], f["s_in"], f["s_out"]) == (d.words, d.s_in, d.s_out)
            for block in range(local_blocks(d, t.csr)):
                for r in range(f["rows"]):
                    at = f["base"] + block * f["block_stride"] + r // config.banks * f["words"]
                    g = global_row(d, f, t.csr, block, r, d.rows // d.blocks)
                    np.testing.assert_array_equal(t.banks[r % config.banks, at : at + d.words], words[g])
                    seen[g] += 1
        assert (seen == 1).all(), d.name


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(SHAPES) - 1), configs)
def test_nothing_overlaps(number, config):
    image = model(number)
    placement = place(image, config)
    for t in placement.tiles:
        taken = np.zeros(t.depth, int)
        for index, d in enumerate(image.descriptors):
            if d.kind == "vector":
                continue
            f = decode(t.descriptors[index])
            groups, blocks = -(-f["rows"] // config.banks), local_blocks(d, t.csr)
            if d.tensor or not d.planes:
                size = groups * f["words"]
                assert f["block_stride"] == (size if blocks > 1 else 0)
                taken[f["base"] : f["base"] + blocks * size] += 1
            assert bool(d.planes) == (f["alt"] >= len(image.descriptors))
            if d.planes:
                p = decode(t.descriptors[f["alt"]], PLANES)
                assert p["lo_offset"] == groups * p["pitch"]
                size = p["lo_offset"] + groups * plane_words(4 * f["words"])
                assert p["block_stride"] == (size if blocks > 1 else 0)
                taken[p["base"] : p["base"] + blocks * size] += 1
        assert (taken == 1).all()
        assert t.banks.shape[1] <= t.depth <= config.bank_depth


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(SHAPES) - 1), configs)
def test_caches_hold_every_slot_and_dimension(number, config):
    image = model(number)
    placement = place(image, config)
    kv_heads, hd = image.model["kv_heads"], image.model["head_dim"]
    assert placement.slots <= config.max_slots and placement.context == min(
        image.model["context"], placement.slots - config.lanes
    )
    slots, dims = np.zeros((kv_heads, placement.slots), int), np.zeros((kv_heads, hd), int)
    for t in placement.tiles:
        k, v = (decode(t.descriptors[image.descriptor(f"layers.0.{c}")[0]]) for c in ("kcache", "vcache"))
        size, place_in_group = t.csr[Csr.GROUP_SIZE], t.csr[Csr.GROUP_INDEX]
        assert k["rows"] == local_slots(placement.slots, size, place_in_group) and v["words"] == placement.slots // 4
        for head in range(t.csr[Csr.HEAD0], t.csr[Csr.HEAD0] + t.csr[Csr.LOCAL_HEADS]):
            for slot in range(placement.slots):
                home, row = slot_home(slot, size)
                if home == place_in_group:
                    assert row < k["rows"]
                    slots[head, slot] += 1
            dims[head, 4 * v["quad0"] : 4 * v["quad0"] + v["rows"]] += 1
    assert (slots == 1).all() and (dims == 1).all()


def test_padding_rows_and_the_cache_are_zero(image):
    config = Config(tiles=3, banks=8, bank_depth=4096, max_slots=52)
    placement = place(image, config)
    live = 0
    for t in placement.tiles:
        rows = {name: s.blocks * s.rows for name, (_, s) in t.shares.items() if s.source is not None}
        live = sum(n * t.shares[name][1].words for name, n in rows.items())
        live += sum(rows[name] * (p.stride // max(1, p.lo_offset // p.pitch)) for name, (_, _, p) in t.planes.items())
        assert np.count_nonzero(t.banks) <= live < t.banks.size


def test_vector_memory_holds_constants_and_this_tile_s_gains(image):
    placement = place(image, Config(tiles=3, banks=2, bank_depth=8192, max_slots=52))
    gains = []
    for t in placement.tiles:
        content = {int(a): np.uint32(bits).view(np.float32) for a, bits in t.vmem}
        at = placement.regions
        assert content[at["INVD"]] == 1 / 32 and content[at["EPS"]] == np.float32(1e-5)
        assert content[at["SCALE"]] == np.float32(8**-0.5)
        rows = t.shares["load"][1].rows
        gains += [content[at["GAIN"] + i] for i in range(rows)]
    np.testing.assert_array_equal(gains, image.tensors["gain"])


def test_loads_rebuild_every_memory(image):
    config = Config(tiles=2, banks=4, bank_depth=4096, max_slots=52)
    placement = place(image, config)
    memory = {}
    for load in placement.loads():
        assert (load.stop, load.space, load.addr) not in memory
        memory[load.stop, load.space, load.addr] = load.data
    for t in placement.tiles:
        for bank in range(4):
            column = [memory[t.stop, Space.BANK, bank << BANK_SHIFT | w] for w in range(t.depth)]
            assert column == [*t.banks[bank].tolist(), *[0] * (t.depth - t.banks.shape[1])]
        for space, entries in ((Space.PROGRAM, t.program), (Space.DESC, t.descriptors), (Space.MICRO, t.micros)):
            words = ENTRY_WORDS[space]
            for i, entry in enumerate(entries):
                assert sum(memory[t.stop, space, words * i + n] << 64 * n for n in range(words)) == entry
        assert {r: memory[t.stop, Space.CSR, r] for r in Csr} == t.csr
        table = {
            addr: data
            for (stop, space, addr), data in memory.items()
            if (stop, space) == (t.stop, Space.CSR) and addr not in {*Csr}
        }
        index = {decode(t.descriptors[i])["alt"]: d.name for i, d in enumerate(image.descriptors) if d.planes}
        assert table == {1 << PRECISION_BIT | alt: placement.precision[name] for alt, name in index.items()}
    without = sum(1 for _ in placement.loads(kv=False))
    assert len(memory) - without == sum(4 * (t.depth - t.banks.shape[1]) for t in placement.tiles)


def test_only_rotary_addresses_differ_between_tiles(image):
    a, b = place(image, Config(tiles=4, banks=2, bank_depth=8192, max_slots=52)).tiles[:2]
    assert a.program == b.program
    differing = [i for i, (x, y) in enumerate(zip(a.micros, b.micros)) if x != y]
    expected = [i for i, m in enumerate(image.micros) if isinstance(m.b, tuple) and m.b[0] in ("CL", "SL")]
    assert differing == expected != []
    at, bits = encoding.MICRO.places["b"]
    assert {(b.micros[i] >> at) - (a.micros[i] >> at) & (1 << bits) - 1 for i in differing} == {4}


def test_bank_files_hold_codewords(image, tmp_path):
    placement = place(image, Config(tiles=2, banks=2, bank_depth=8192, max_slots=52))
    paths = placement.write_bank_files(tmp_path / "banks")
    assert sorted(p.name for p in paths) == ["tile0_bank0.hex", "tile0_bank1.hex", "tile1_bank0.hex", "tile1_bank1.hex"]
    for t in placement.tiles:
        for bank in range(2):
            lines = (tmp_path / "banks" / f"tile{t.tile}_bank{bank}.hex").read_text().split()
            assert lines[0] == "@0" and len(lines) == 1 + t.banks.shape[1]
            words = t.banks[bank, :50].tolist()
            assert [int(line, 16) for line in lines[1:51]] == from_bits(encode(to_bits(words, 64)))


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=8))
def test_codewords_equal_golden_ones(words):
    lines = hex_lines(np.array(words, np.uint64)).splitlines()
    assert all(re.fullmatch("[0-9a-f]{18}", line) for line in lines)
    assert [int(line, 16) for line in lines] == from_bits(encode(to_bits(words, 64)))


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            dict(bank_depth=1000),
            r"bank_depth: the model tiny does not fit: \d+ words in every bank needed, 1000 there \(\d+ too few\); "
            r"--set bank_depth=\d+$",
        ),
        (dict(act_depth=16), r"act_depth: .* \d+ words of activation buffer needed, 16 there .*; --set act_depth=\d+$"),
        (
            dict(stage_depth=20),
            r"stage_depth: .* 24 words of stage buffer needed, 20 there \(4 too few\); --set stage_depth=24$",
        ),
        (dict(vmem_depth=64), r"vmem_depth: .*; --set vmem_depth=\d+$"),
        (
            dict(program_depth=60, micro_depth=30),
            r"program_depth: .* instructions needed, 60 there .* micro-operations needed, 30 there "
            r".*; --set program_depth=\d+ --set micro_depth=\d+$",
        ),
        (dict(desc_depth=20), r"desc_depth: .* 39 descriptors needed, 20 there \(19 too few\); --set desc_depth=40$"),
        (
            dict(max_slots=4, lanes=4),
            r"max_slots: 4 KV slots leave no position beside the 4 in flight; --set max_slots=52$",
        ),
    ],
)
def test_misfits_name_what_by_how_much_and_the_remedy(image, settings, message):
    sizes = dict(name="test", tiles=1, banks=2, bank_depth=16384, vmem_depth=1024, max_slots=52) | settings
    with pytest.raises(HayateError, match=message) as error:
        place(image, Config(**sizes))
    assert str(error.value).startswith("configuration test: ")
    remedy = dict(item.split("=") for item in str(error.value).rpartition("; ")[2].replace("--set ", "").split())
    place(image, Config(**(sizes | {k: int(v) for k, v in remedy.items()})))


def test_a_model_beyond_the_largest_bank_needs_more_tiles(image):
    big = dict(image.model, context=16000)
    tall = type(image)(
        **{
            **vars(image),
            "model": big,
            "descriptors": tuple(
                d if d.kind != "kcache" else type(d)(**{**vars(d), "words": 63}) for d in image.descriptors
            ),
        }
    )
    config = Config(tiles=1, banks=2, bank_depth=1 << 17, max_slots=16000, vmem_depth=1 << 12, act_depth=1 << 12)
    with pytest.raises(HayateError, match=r"does not fit: .*; more tiles \(--set tiles=2\)"):
        place(tall, config)


def test_fields_too_narrow_for_the_model_are_named(image):
    d = image.descriptor("layers.0.wq")
    wide = tuple(x if x is not d[1] else type(x)(**{**vars(x), "s_in": 1000}) for x in image.descriptors)
    with pytest.raises(
        HayateError,
        match="layers.0.wq: the model is too large for the encoding: descriptor: field s_in: 1000 does not fit 8 bits",
    ):
        place(type(image)(**{**vars(image), "descriptors": wide}), PRESETS["demo"])


@pytest.mark.parametrize(("vocabulary", "tiles"), [(70_000, 2), (262_145, 2), (1 << 20, 8)])
def test_large_vocabularies_go_over_several_tiles(image, vocabulary, tiles):
    """Each tile's rows of the output matrix begin where the last one's end, in quads and in rows."""
    config = Config(tiles=tiles, banks=32, bank_depth=1 << 17, max_slots=52)
    placement = place(_with_vocabulary(image, vocabulary), config, weights=False)
    number, _ = image.descriptor("emb")
    found = [decode(t.descriptors[number]) for t in placement.tiles]
    assert [(d["row0"], d["rows"], 4 * d["quad0"]) for d in found] == [
        (first, following - first, first) for first, following in pairwise([*(d["row0"] for d in found), vocabulary])
    ]
    assert max(d["quad0"] for d in found) >= 1 << 13 and min(d["rows"] for d in found) > 0


def test_more_rows_than_a_tile_can_count_are_refused(image):
    config = Config(tiles=1, banks=32, bank_depth=1 << 17, max_slots=52)
    with pytest.raises(HayateError, match="field rows: 262144 does not fit 18 bits; more tiles or a smaller model"):
        place(_with_vocabulary(image, 1 << 18), config, weights=False)
    place(_with_vocabulary(image, (1 << 18) - 1), config, weights=False)


def _with_vocabulary(image, tokens):
    """`image` as if it had so many; for a placement without weights."""
    rows = image.descriptor("emb")[1].rows
    taller = tuple(replace(d, rows=tokens) if d.rows == rows and d.kind == "rows" else d for d in image.descriptors)
    return replace(image, model=image.model | {"vocab": tokens}, descriptors=taller)


def test_more_heads_than_a_register_holds_are_refused(tmp_path):
    """Not taken modulo what a tile can count."""
    sizes = dict(hidden=8, layers=1, heads=300, kv_heads=300, head_dim=4, ff=8, vocab=8, context=4)
    many = compile_model(write_tiny_model(tmp_path / "many", **sizes))
    large = Config(tiles=1, banks=2, bank_depth=1 << 17, max_slots=64, vmem_depth=1 << 12, act_depth=1 << 14)
    with pytest.raises(
        HayateError, match="the model is too large for the encoding: register LOCAL_HEADS: 300 does not fit 8 bits"
    ):
        place(many, large)


@pytest.mark.parametrize("tiles", [1, 3])
def test_filters_take_a_word_for_each_token(image, tiles):
    """Region Z, behind all others, and only where what is sampled may be filtered."""
    sizes = dict(tiles=tiles, banks=2, bank_depth=16384, vmem_depth=1024, max_slots=52)
    plain, filters = (place(image, Config(**sizes), filters=on) for on in (False, True))
    assert (
        plain.regions == filters.regions and max(filters.regions, key=lambda r: (filters.regions[r], r == "Z")) == "Z"
    )
    tokens = max(t.shares["emb"][1].rows for t in filters.tiles)
    spare = (1 << filters.tiles[0].csr[Csr.ROUNDS_LOG2]) - 1  # rounds of attention that can be given up
    need = filters.regions["Z"] + tokens - spare * filters.regions["SC.stride"]
    assert spare == 1
    place(image, Config(**sizes | {"vmem_depth": need}), filters=True)
    small = Config(**sizes | {"vmem_depth": need - 1})
    with pytest.raises(
        HayateError,
        match=rf"vmem_depth: the model tiny does not fit with --min-p or --top-k: {need} words of vector "
        rf"memory needed, {need - 1} there \(1 too few\); --set vmem_depth=\d+$",
    ):
        place(image, small, filters=True)
    place(image, small)


def test_a_machine_for_fp16_is_given_fp16_alone():
    """No planes in its banks, no descriptors of them, no precision table; what is left lies as in an image that never
    had planes.
    """
    image, sizes = model(2), dict(tiles=2, banks=4, bank_depth=8192, max_slots=52)
    whole, lean = (place(image, Config(**sizes, formats=formats)) for formats in ("nested", "fp16"))
    never = tuple(replace(d, planes="") for d in image.descriptors)
    plain = place(replace(image, descriptors=never), Config(**sizes, formats="fp16"))
    assert [(t.descriptors, t.planes, t.depth) for t in lean.tiles] == [
        (t.descriptors, {}, t.depth) for t in plain.tiles
    ]
    assert all((a.banks == b.banks).all() for a, b in zip(lean.tiles, plain.tiles))
    assert lean.tiles[0].depth < whole.tiles[0].depth and whole.precision and not lean.precision
    assert not [r for r in lean.loads(kv=False) if r.space == Space.CSR and r.addr >> PRECISION_BIT]


def test_planes_alone_do_not_fit_a_machine_for_fp16():
    with pytest.raises(
        HayateError, match=r"custom: formats: 'fp16' reads no integer planes, and the image has .* in no other"
    ):
        place(model(1), Config(tiles=2, banks=4, bank_depth=8192, max_slots=52, formats="fp16"))
    some = next(d.name for d in model(2).descriptors if d.planes)
    with pytest.raises(
        HayateError, match=f"formats: 'fp16' reads no integer planes, which {some} in INT4 needs; --set formats=nested"
    ):
        place(model(2), Config(tiles=2, banks=4, bank_depth=8192, max_slots=52, formats="fp16"), {some: Format.INT4})
