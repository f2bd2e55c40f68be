"""Stops and tiles, and where a flit for a group leaves the ring."""

import pytest

from hayate.rtl.contract.flits import CONDUCTOR, FLIT_FIELDS
from hayate.rtl.contract.topology import CONDUCTOR_STOP, FIRST_STOP, LAST_STOP, Topology, group_end, stop_of, tile_at


def test_tiles_and_stops():
    assert [tile_at(stop_of(tile)) for tile in range(LAST_STOP)] == list(range(LAST_STOP))
    assert list(Topology(4).stops) == [stop_of(tile) for tile in range(4)] and CONDUCTOR_STOP not in Topology(4).stops
    assert CONDUCTOR_STOP < FIRST_STOP < LAST_STOP < CONDUCTOR == (1 << FLIT_FIELDS["lo"]) - 1
    for stop in (CONDUCTOR_STOP, LAST_STOP + 1):
        with pytest.raises(ValueError, match=f"stop {stop} has no tile"):
            tile_at(stop)


@pytest.mark.parametrize(("tiles", "kv_heads"), [(1, 1), (4, 8), (4, 1), (6, 2), (7, 3), (64, 8)])
def test_a_flit_for_a_group_ends_at_the_last_of_the_others(tiles, kv_heads):
    """Along the ring from its own tile on, every other one of the group comes by until there, and none behind it."""
    for tile in range(tiles):
        group = Topology(tiles).group(kv_heads, tile)
        others = set(range(group.group_lo, group.group_hi + 1)) - {tile}
        way = [stop_of((tile + step) % tiles) for step in range(1, tiles + 1)]
        seen = [tile_at(stop) for stop in way[: way.index(group_end(group, tile)) + 1]]
        assert others <= set(seen) and (seen[-1] in others if others else seen[-1] == tile)
