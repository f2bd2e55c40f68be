"""The manual's way through a layer: every instruction of it has a name there, and the figures agree with the loader."""

import json

import pytest

from hayate.rtl.contract.isa import Op
from hayate.scripts import docs, layer_walk


@pytest.fixture(scope="module")
def machine():
    return layer_walk.machine()


@pytest.fixture(scope="module")
def every(machine):
    return [machine.steps(tile, layer_walk.POSITION) for tile in machine.placement.tiles]


def test_every_instruction_of_the_layer_has_a_stage(every):
    for steps in every:
        assert [s.name for s in steps if not s.stage] == []
        assert [(s.name, s.words) for s in steps] == [(s.name, s.words) for s in every[0]], "shares are equal"


def test_the_layer_reads_each_of_its_words_once(machine, every):
    for tile, steps in zip(machine.placement.tiles, every):
        read = sum(s.words for s in steps if s.instruction.op == Op.GEMV and not s.instruction.kv)
        matrices = ("wq", "wk", "wv", "wo", "wgu", "wdown")
        shares = [tile.shares[f"layers.0.{name}"][1] for name in matrices]
        assert read == sum(share.blocks * share.stride for share in shares)


def test_what_is_gathered_is_the_whole_vector(machine, every):
    """Rows that all tiles send, four to a flit, are those of the matrix; and each tile says once that it is through."""
    for name, size in (("RUN wo resid", "hidden"), ("RUN wgu swiglu", "intermediate")):
        sent = sum(s.flits for steps in every for s in steps if s.name == name)
        assert sent == machine.image.model[size] // 4 + machine.config.tiles
    (row,) = [s for s in every[0] if s.name == "RUN wo resid"]
    assert set(row.links) == set(range(machine.config.tiles + 1)), "it goes all the way round"


def test_all_layers_are_alike(machine):
    tile = machine.placement.tiles[layer_walk.TILE]
    numbers = [
        [(s.name, s.words, s.flits, s.cycles, s.waits) for s in machine.steps(tile, layer_walk.POSITION, layer)]
        for layer in range(machine.image.model["layers"])
    ]
    assert all(layer == numbers[0] for layer in numbers)


def test_another_record_makes_the_section_stale(tmp_path, monkeypatch):
    found = json.loads(layer_walk.VERIFY.read_text())
    found["passes"]["1"] = [[position, cycles + 1] for position, cycles in found["passes"]["1"]]
    other = tmp_path / "verify.json"
    other.write_text(json.dumps(found))
    text = layer_walk.section()
    assert text in (docs.ROOT / "docs" / "isa.md").read_text()
    monkeypatch.setattr(layer_walk, "VERIFY", other)
    assert layer_walk.section() != text
