"""Bundles that blocks of a tile share: the pass, what the sequencer queues, what goes beside each word to the PEs,
finished rows, their exact sums for the governor, and logits for the trace.
"""

from amaranth.hdl import Const, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.constants import ACC_WIDTH
from hayate.rtl.contract.isa import GLOBAL_ROW_BITS, INDEX_BITS, LOOP_BITS
from hayate.rtl.tile.queues import Grids, LaneState, PassState, TileState


class CurrentPass(wiring.Signature):
    """The pass that a tile runs, as the sequencer shows it to the engines; constant while one of them is busy.

    Parameters
    ----------
    lanes: positions, M.

    Members
    -------
    state: PassState. lanes: LaneState of each position. tile: TileState, of the model that the pass is of.
    """

    def __init__(self, lanes):
        super().__init__({"state": Out(PassState), "lanes": Out(LaneState).array(lanes), "tile": Out(TileState)})


class Queued(wiring.Signature):
    """An entry that the sequencer puts into an engine's queue, for whoever records what a tile does.

    Members
    -------
    valid: Out, a strobe. vector: Out. It is the vector engine's. next: Out, address of the instruction behind it.
    layer: Out, loop register LAYER.
    """

    def __init__(self):
        super().__init__({"valid": Out(1), "vector": Out(1), "next": Out(INDEX_BITS), "layer": Out(LOOP_BITS)})


def apart_log2(positions, lanes):
    """log2 of the attention vectors of a query head, those of positions that the pass lacks included: the next power of
    two of `positions`, a signal of at most `lanes`. See `SendMode`.
    """
    return sum(((positions > 1 << n) for n in range(ceil_log2(lanes))), Const(0, 1))


def pe_word_layout(nested, measure):
    """What the PEs are told of a word of the banks, beside the word itself; `Pe` says what it means.

    Parameters
    ----------
    nested: the word may hold nibbles or scales. measure: low planes are summed up apart; needs `nested`.
    """
    fields = {"first": 1, "last": 1}  # of its row
    if nested:
        fields |= {"nibbles": 1, "scales": 1, "low": 1, "select": 2}
    if measure:
        fields |= {"subtract": 1, "first_low": 1}
    return data.StructLayout(fields)


#: What the governor's energies need to know of a group of rows, from its last word to the drain.
EnergyTag = data.StructLayout(
    {
        "measure": 1,  # its sums count at all
        "difference": 1,  # they are FP16 less INT8: the integer words of a `dual` entry have gone into them
        "nested": 1,  # the rows come from planes, so that they have a lo part
        "wanted": 1,  # only wanted positions count
        "planes": INDEX_BITS,  # index of the planes descriptor
        "grids": Grids,
    }
)


class FinishedRows(wiring.Signature):
    """Rows from the matrix engine to the vector engine's landing buffer, in local row order, one a cycle at most.

    There is no back-pressure: the matrix engine counts the places of the landing buffer, which it gets back by `freed`.

    Parameters
    ----------
    lanes: activation vectors, M.

    Members
    -------
    valid: Out. A row. values: Out, FP32 of each lane.
    none: Out, a strobe. A GEMV of no rows of weights has had its turn: all entries before it are served, and their last
        words asked for. May come with a row of an earlier one.
    freed: In(8). Rows that left the landing buffer in this cycle.
    """

    def __init__(self, lanes):
        super().__init__({"valid": Out(1), "values": Out(32).array(lanes), "none": Out(1), "freed": In(8)})


class MeasuredRow(wiring.Signature):
    """A row's exact sums for the governor's energies, in the cycle of `valid`; one a cycle at most, nothing waits.

    Parameters
    ----------
    lanes: activation vectors, M.

    Members
    -------
    valid: Out. difference: Out. The sums are FP16 less INT8. low_valid: Out. The row has a lo part.
    planes: Out. Index of the matrix's planes descriptor. grids: Out(Grids). mask: Out(lanes). Lanes that count.
    sums, lows: Out, `lanes` x 96 bits signed, in units of 2**-48. The row's exact sum, and, with `low_valid`, what the
        lo plane added to it (negative where the planes are subtracted).
    """

    def __init__(self, lanes):
        sums = data.ArrayLayout(signed(ACC_WIDTH), lanes)
        super().__init__(
            {
                "valid": Out(1),
                "difference": Out(1),
                "low_valid": Out(1),
                "planes": Out(INDEX_BITS),
                "grids": Out(Grids),
                "mask": Out(lanes),
                "sums": Out(sums),
                "lows": Out(sums),
            }
        )


class LogitTrace(wiring.Signature):
    """Logits of one row of the output matrix, in the cycle of `valid`; one a cycle at most, nothing waits for a reader.

    Parameters
    ----------
    lanes: positions, M.

    Members
    -------
    valid: Out. row: Out(20). Global row, a token. mask: Out(lanes). Positions whose logits are wanted.
    values: Out, FP32 of each lane.
    """

    def __init__(self, lanes):
        super().__init__(
            {"valid": Out(1), "row": Out(GLOBAL_ROW_BITS), "mask": Out(lanes), "values": Out(32).array(lanes)}
        )
