"""An image without weights against the compiled model of the same shape."""

from dataclasses import fields

import pytest

from hayate.bench.layer import CASES, machine
from hayate.compiler import compile_model
from hayate.compiler.checkpoint import Checkpoint
from hayate.compiler.outline import outline
from hayate.compiler.place import place
from hayate.compiler.usage import usage
from hayate.rtl.contract.config import Config
from hayate.rtl.contract.encoding import DESCRIPTOR
from hayate.rtl.contract.isa import STRIDE_BITS
from hayate.verif.models.tiny import write_tiny_model

CONFIG = Config(name="test", tiles=3, banks=4, bank_depth=16384, vmem_depth=1024, max_slots=52)
#: What depends on the values of weights, or names them.
VALUES = {"s_in", "s_out", "grids", "sensitivities"}


def field(word, name):
    at, width = DESCRIPTOR.places[name]
    return word >> at & (1 << width) - 1


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def folder(request, tmp_path_factory):
    return write_tiny_model(
        tmp_path_factory.mktemp("models") / "tiny",
        hidden=48,
        heads=6,
        kv_heads=2,
        head_dim=8,
        ff=80,
        vocab=50,
        tied=request.param,
    )


@pytest.mark.parametrize("integer", [False, True], ids=["fp16", "int8"])
def test_everything_but_values_is_as_compiled(folder, integer):
    shape = Checkpoint(folder).shape
    image = outline(shape, integer=integer, group=64)
    real = compile_model(folder, planes=integer, group=64, fp16="none" if integer else "all")
    assert (image.program, image.regions, image.routines) == (real.program, real.regions, real.routines)
    sizes = [f.name for f in fields(image.descriptors[0]) if f.name not in VALUES]
    assert [[getattr(d, name) for name in sizes] for d in image.descriptors] == [
        [getattr(d, name) for name in sizes] for d in real.descriptors
    ]


def test_a_tile_is_placed_without_weights_as_with_them(folder):
    real = compile_model(folder, group=64)
    whole, (part,) = place(real, CONFIG), place(real, CONFIG, tiles=(1,), weights=False).tiles
    with_weights = whole.tiles[1]
    same = [f.name for f in fields(part) if f.name not in ("banks", "vmem", "shares", "planes")]
    assert {name: getattr(part, name) for name in same} == {name: getattr(with_weights, name) for name in same}
    assert (part.vmem == with_weights.vmem).all() and part.banks.shape == (CONFIG.banks, 0)
    assert part.shares.keys() == with_weights.shares.keys() and part.planes.keys() == with_weights.planes.keys()


def test_a_layer_of_llama_3_70b_fits_16_tiles_of_16_banks():
    """The words that its weights take, and that the configuration allows what the whole takes."""
    shape, config = machine(CASES["llama-3-70b"], 256)
    assert (config.tiles, config.banks, config.lanes) == (16, 16, 4)
    image = outline(shape)
    assert all(u.fits for u in usage(image, config))
    (tile,) = place(image, config, tiles=(15,), weights=False).tiles
    layer = [
        share.blocks * share.stride
        for name, (_, share) in tile.shares.items()
        if name.removeprefix("layers.0.")[0] == "w"
    ]
    assert sum(layer) == 835_584
    index, _ = image.descriptor("layers.0.wgu")
    assert tile.shares["layers.0.wgu"][1].stride > 1 << STRIDE_BITS and not field(
        tile.descriptors[index], "block_stride"
    )
    index, _ = image.descriptor("layers.0.wq")
    assert field(tile.descriptors[index], "block_stride") == tile.shares["layers.0.wq"][1].stride == 8192
