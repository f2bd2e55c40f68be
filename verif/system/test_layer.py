"""Passes of one tile and its mirror against the same passes of a machine whose tiles are all there."""

from dataclasses import replace

import pytest

from hayate.backends.layer import measure
from hayate.backends.rtl import optimized
from hayate.bench.layer import CASES, machine
from hayate.compiler.outline import outline
from hayate.progress import Steps
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.layout import attention
from hayate.sim.machine.flits import pass_flits
from hayate.sim.machine.mirror import MirroredRing, group_of
from hayate.verif.system.conftest import PATIENCE

WIDTHS = (1, 2, 3, 4)
# cycles of a pass that a mirror may be off for each tile: those far round the ring see a flit later, and answer later
SKEW = 40


def passes(pytestconfig, overrides, real, kv_heads, **sizes):
    """What `measure` finds on the preset `demo`, whose tile others build as well."""
    return measure(
        outline(replace(CASES["tiny"].shape, kv_heads=kv_heads, **sizes)),
        load_config("demo", overrides),
        context=64,
        widths=WIDTHS,
        real=real,
        say=Steps(),
        root=pytestconfig.rootpath / "build" / "sim",
        timeout=PATIENCE,
        optimize=optimized(),
    )


def both(pytestconfig, tiles, kv_heads, more=(), **sizes):
    """What is found with a mirror, and with all tiles. more: overrides of the preset."""
    return [passes(pytestconfig, [f"tiles={tiles}", *more], real, kv_heads, **sizes) for real in (None, range(tiles))]


def close(tiles, mirrored, real):
    for n in WIDTHS:
        a, b = mirrored[n], real[n]
        assert abs(a["cycles"] - b["cycles"]) <= SKEW * tiles, (n, a["cycles"], b["cycles"])
        for same in ("weight", "kv_read", "kv_write", "useful_weight", "useful_kv"):
            assert a["counters"][same] == b["counters"][same]


def test_a_mirror_takes_the_cycles_of_a_machine(pytestconfig):
    """Two tiles that share a KV head."""
    close(2, *both(pytestconfig, 2, 1))


def test_more_rows_of_v_than_the_landing_buffer_holds(pytestconfig):
    """Rounds of attention go by twos then, and the pass comes to its end."""
    assert 4 * 32 // 4 + 1 > load_config("demo").landing_depth
    assert list(passes(pytestconfig, ["tiles=1"], None, 1, head_dim=32)) == list(WIDTHS)


@pytest.mark.nightly
def test_a_mirror_whose_landing_buffer_is_full(pytestconfig):
    assert 4 * 64 // 4 // 2 + 1 > load_config("demo").landing_depth
    close(2, *both(pytestconfig, 2, 1, more=["act_depth=576", "stage_depth=192"], head_dim=64))


@pytest.mark.nightly
@pytest.mark.parametrize("tiles, kv_heads", [(4, 2), (4, 4), (8, 4)])
def test_larger_mirrors_take_the_cycles_of_machines(pytestconfig, tiles, kv_heads):
    close(tiles, *both(pytestconfig, tiles, kv_heads))


@pytest.mark.parametrize("kv_heads, tiles", [(8, 16), (4, 4), (2, 6)])
def test_groups_are_those_of_the_loader(kv_heads, tiles):
    """A flit to a group ends behind the last of the others that it comes to, on a ring that goes up."""
    for t in range(tiles):
        a, group = attention(kv_heads, tiles, t), group_of(t, kv_heads, tiles)
        others = [x for x in range(a.group_lo, a.group_hi + 1) if x != t]
        last = max(others, key=lambda x: (x - t) % tiles, default=t)
        assert group == {"lo": a.group_lo, "hi": a.group_hi, "end": last + 1}


@pytest.mark.parametrize("real", [[0], [], [1, 4]])
def test_the_last_tile_is_real(real):
    with pytest.raises(ValueError, match="real: tiles of 4, the last one among them"):
        MirroredRing(4, 2, 1, real, ())


def test_passes_end_within_the_context():
    assert len(pass_flits({"vocab": 64, "context": 64}, 64, 60, 4)) == 5
    with pytest.raises(ValueError, match="4 positions from 61 on do not fit a context of 64"):
        pass_flits({"vocab": 64, "context": 64}, 64, 61, 4)


def test_a_context_beyond_the_machine_is_refused(pytestconfig):
    shape, config = machine(CASES["tiny"], 64)
    with pytest.raises(HayateError, match="--context: 80 positions, and the machine has room for 64; use fewer"):
        measure(outline(shape), config, context=80, widths=WIDTHS, say=Steps())
