"""Where things are on the ring: stops, tiles, groups of tiles. The one place that turns a tile into a stop.

A *stop* has a physical number, by which LOAD and READ flits find it; all other flits name *tiles*, by their logical
index. The conductor is at stop 0 and the tiles come in the order of their index.
"""

from dataclasses import dataclass

from hayate.rtl.contract.flits import CONDUCTOR
from hayate.rtl.contract.layout import Attention, attention

#: Stop of the conductor and of the host port; stop of tile 0.
CONDUCTOR_STOP, FIRST_STOP = 0, 1
#: Highest stop and highest logical tile that flits can name: what "all of them" ends with.
LAST_STOP = LAST_TILE = CONDUCTOR - 1


def stop_of(tile):
    """Stop of a logical tile; of an integer, or of a signal, whose carry is the caller's to cut off."""
    return tile + FIRST_STOP


def tile_at(stop):
    """Logical tile at a stop; ValueError for one that has none."""
    if not FIRST_STOP <= stop <= LAST_STOP:
        raise ValueError(f"stop {stop} has no tile")
    return stop - FIRST_STOP


def group_end(group: Attention, tile: int) -> int:
    """Stop that a flit of this tile comes to last of its group's others; in a group of one, its own.

    The ring goes up: a flit goes by those above first, and round to the tile below.
    """
    return stop_of(tile - 1 if tile > group.group_lo else group.group_hi)


@dataclass(frozen=True)
class Topology:
    """The ring of a machine of so many tiles."""

    tiles: int

    @property
    def stops(self) -> range:
        """Stops of all tiles, in the order in which a flit of the conductor's comes by."""
        return range(FIRST_STOP, stop_of(self.tiles))

    def group(self, kv_heads: int, tile: int) -> Attention:
        """KV heads of a tile, and the tiles that it shares them with."""
        return attention(kv_heads, self.tiles, tile)
