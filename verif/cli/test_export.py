"""`hayate export`: the file holds the load, what it needs of a machine, and what to write before a START; damage is
found.
"""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from hayate import output
from hayate.backends.load_words import load_words
from hayate.compiler import compile_model
from hayate.compiler.link import pair
from hayate.compiler.place import place
from hayate.export import load_file
from hayate.golden.host.gate import Gate
from hayate.rtl.contract.config import Config, load_config
from hayate.rtl.contract.draft import Drafter
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.image import NGRAMS
from hayate.rtl.contract.load import Reason
from hayate.rtl.contract.loadfile import FIELDS_SIZE, OFFSETS, Kind, Need, parse, read_load_file
from hayate.rtl.contract.regmap import BY_NAME, LOAD_SPACE_BITS, LOAD_SPACE_SHIFT, LOAD_TILE_SHIFT, LOCKED_WHILE_BUSY
from hayate.verif.models.tiny import write_tiny_model

UNIT = load_config("unit")
OF_A_TEXT = {"PROMPT_LENGTH", "TOKEN_LIMIT", "SEED_LOW", "SEED_HIGH", "WATCHDOG"}


def split(address):
    """(tile, space, address in it) of an address in the load window."""
    return (
        address >> LOAD_TILE_SHIFT,
        address >> LOAD_SPACE_SHIFT & (1 << LOAD_SPACE_BITS) - 1,
        address % (1 << LOAD_SPACE_SHIFT) >> 3,
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A model with a draft model."""
    folder = tmp_path_factory.mktemp("models")
    small = compile_model(
        write_tiny_model(folder / "small", hidden=16, layers=1, heads=2, kv_heads=1, ff=16), planes=False
    )
    return pair(compile_model(write_tiny_model(folder / "large", layers=1)), small)


def test_what_is_written_is_the_load(cli, tiny, work):
    outcome = cli("export", tiny, "--config", "unit", "-o", "a/m.hyld")
    assert (
        outcome.code == 0
        and outcome.out.splitlines()[-1] == "a/m.hyld"
        and [p.name for p in (work / "a").iterdir()] == ["m.hyld"]
    )
    found = read_load_file(work / "a" / "m.hyld")
    np.testing.assert_array_equal(found.records, load_words(place(compile_model(tiny), UNIT)))
    assert (found.model, found.tokenizer) == ("tiny", "tokenizer.json")
    assert found.sha256 == hashlib.sha256((tiny / "tokenizer.json").read_bytes()).digest()
    assert found.parameters.keys() == set(LOCKED_WHILE_BUSY) - OF_A_TEXT and found.parameters["MATRICES"] > 0
    assert (
        cli("export", tiny, "--config", "unit", "-o", "fixed.hyld", "--precision", "int4", "--speculate", "off").code
        == 0
    )
    fixed = read_load_file(work / "fixed.hyld")
    assert [fixed.parameters[name] for name in ("OPTIONS", "MATRICES", "QUALITY")] == [0] * 3
    assert [made.parameters["DRAFT"] & 3 for made in (found, fixed)] == [Drafter.NGRAM, Drafter.OFF]
    assert (fixed.records[:, 1] != found.records[:, 1]).any(), "another precision table"


def test_what_does_not_read_back_leaves_nothing(refused, tiny, monkeypatch):
    monkeypatch.setattr(output.os, "pread", lambda fd, size, at: bytes(size))
    refused("export", tiny, "--config", "unit", "-o", "a/m.hyld", parts=("a/m.hyld", "does not read back"))


@pytest.mark.parametrize("sampling", [0, 1])
def test_needs_are_what_the_placement_uses(both, sampling):
    """A machine that has exactly what is needed, and no more, gets the same load, and takes every word of it."""
    roomy = Config(
        name="roomy",
        tiles=2,
        banks=2,
        bank_depth=8192,
        act_depth=512,
        max_slots=200,
        landing_depth=64,
        sampling=sampling,
    )
    made = load_file(both, roomy)
    least = {
        n.register.lower(): n.value for n in made.needs if n.kind == Kind.AT_LEAST and n.register != "MAX_MATRICES"
    }
    assert len(least) == 9 and all(value < getattr(roomy, name) for name, value in least.items())
    exact = {**least, "act_depth": -(-least["act_depth"] // 8) * 8}
    np.testing.assert_array_equal(load_file(both, replace(roomy, **exact)).records, made.records)
    gate = Gate(replace(roomy, **exact))
    refused = [at for at, data in made.records.tolist() if gate.word(*split(at), data)[0] != Reason.NONE]
    assert refused == [] and gate.loaded
    wanted = next(n for n in made.needs if n.register == "FEATURES")
    bits = {name: low for name, low, *_ in BY_NAME["FEATURES"].fields}
    assert wanted == Need(
        "FEATURES", wanted.value, 1 << bits["NESTED"] | 1 << bits["GOVERNOR"] | sampling << bits["SAMPLING"], Kind.ALL
    )


def test_the_landing_buffer_may_have_any_depth(tmp_path):
    """Attention has as many rounds under way in the least one, which does not hold the rows of one."""
    image = compile_model(write_tiny_model(tmp_path / "m", layers=1, heads=8, kv_heads=2, head_dim=64), planes=False)
    sizes = dict(
        name="roomy", tiles=1, banks=2, bank_depth=16384, lanes=2, act_depth=2048, stage_depth=192, vmem_depth=2048
    )
    least, most = (load_file(image, Config(**sizes, landing_depth=depth), precision="fp16") for depth in (32, 1024))
    np.testing.assert_array_equal(least.records, most.records)
    assert least.needs == most.needs


def test_the_base_table_is_asked_where_the_tables_draft(both):
    image = replace(both, tensors={**both.tensors, NGRAMS: np.array([(3, 4, 5)], np.int32)})
    base = 1 << next(low for name, low, *_ in BY_NAME["DRAFT"].fields if name == "BASE")
    asked = {
        who: load_file(image, replace(UNIT, bank_depth=8192), speculate=who).parameters["DRAFT"] & base
        for who in ("ngram", "nested")
    }
    assert asked == {"ngram": base, "nested": 0}


def test_a_drafter_that_the_machine_cannot_read_is_refused(both):
    """No START with its DRAFT would be taken."""
    with pytest.raises(HayateError, match="formats"):
        load_file(both, replace(UNIT, bank_depth=8192, formats="fp16"), precision="fp16", speculate="nested")


def test_a_need_says_whether_it_holds():
    for kind, good, bad in (
        (Kind.EQUAL, (0x125, 0x925), (0x124,)),
        (Kind.AT_LEAST, (0x125, 0x1FF), (0x124, 0xA00)),
        (Kind.ALL, (0x125, 0x12D), (0x025, 0x121)),
    ):
        need = Need("FEATURES", 0x1FF, 0x125, kind)
        assert [need.holds(word) for word in good] == [True] * len(good), kind
        assert [need.holds(word) for word in bad] == [False] * len(bad), kind


def test_damage_is_found(both):
    whole = load_file(both, replace(UNIT, bank_depth=8192)).to_bytes()
    assert parse(whole, "f").to_bytes() == whole
    size = int.from_bytes(whole[OFFSETS["HEADER_SIZE"] :][:4], "little")
    for at in (*OFFSETS.values(), FIELDS_SIZE, size - 8, size - 4, size, size + 24, len(whole) // 2, len(whole) - 8):
        with pytest.raises(HayateError, match="f: .*(magic|version|header|records|load file)"):
            parse(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :], "f")
    for part in (whole[:-16], whole[:-1], whole + bytes(16), whole[:40], b""):
        with pytest.raises(HayateError):
            parse(part, "f")
