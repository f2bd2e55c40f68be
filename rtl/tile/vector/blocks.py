"""What a vector engine is made of."""

from dataclasses import dataclass

from hayate.rtl.numerics.reducer import Reducer
from hayate.rtl.tile.semaphores import Semaphores
from hayate.rtl.tile.vector.argmax import ArgMax
from hayate.rtl.tile.vector.collect import Collect
from hayate.rtl.tile.vector.filter import Filter
from hayate.rtl.tile.vector.landing import LandingBuffer
from hayate.rtl.tile.vector.mask import LaneMap, SlotMask
from hayate.rtl.tile.vector.memory import VectorMemory
from hayate.rtl.tile.vector.micro import MicroSequencer
from hayate.rtl.tile.vector.noise import NoiseRows
from hayate.rtl.tile.vector.sender import Sender
from hayate.rtl.tile.vector.stage import StageBuffer


@dataclass(frozen=True)
class Blocks:
    """The blocks of a `VectorEngine`, for the functions that wire some of them.

    reducers: one a lane. noise, filters: None in an engine that does not sample.
    """

    micro: MicroSequencer
    vmem: VectorMemory
    landing: LandingBuffer
    stage: StageBuffer
    mask: SlotMask
    lanes_of: LaneMap
    collect: Collect
    sender: Sender
    argmax: ArgMax
    semaphores: Semaphores
    reducers: list[Reducer]
    noise: NoiseRows | None
    filters: Filter | None
