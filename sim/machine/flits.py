"""Flits with which a conductor loads and drives a machine's tiles, for simulations that have none."""

from hayate.rtl.contract.flits import CONDUCTOR, FlitKind, pack_flit
from hayate.rtl.contract.isa import ROPE_FINE_BITS, PassWord
from hayate.rtl.contract.words import LANE, PASS_ADDRESS, START


def control(word, lane=0, data=0):
    """A PASS flit for all tiles."""
    return pack_flit(kind=FlitKind.PASS, hi=CONDUCTOR - 1, chan=word, addr=PASS_ADDRESS.pack(lane=lane), data=data)


def loads(placement):
    """LOAD flits of the tiles placed, bank contents left out."""
    return [
        pack_flit(kind=FlitKind.LOAD, lo=r.stop, hi=r.stop, chan=r.space, addr=r.addr, data=r.data)
        for r in placement.loads(kv=False)
    ]


def pass_flits(model, context, first, positions):
    """PASS flits of a pass of so many `positions`, nodes one behind the other in the slots from `first` on.

    The pass ends within `context`. All of its nodes name the last token of the vocabulary and the last position that
    the model's tables have rows for, so that the last tile holds all that is fetched; each sees the text and the nodes
    before it, as a chain's do.
    """
    if first + positions > context:
        raise ValueError(f"{positions} positions from {first} on do not fit a context of {context}")
    last = {"token": model["vocab"] - 1, "position": model["context"] - 1 | (1 << ROPE_FINE_BITS) - 1}
    lanes = [
        control(PassWord.LANE, n, LANE.pack(**last, slot=first + n, ancestors=(2 << n) - 1)) for n in range(positions)
    ]
    return [
        *lanes,
        control(PassWord.START, data=START.pack(last=positions - 1, want=(1 << positions) - 1, hwm=first + positions)),
    ]
