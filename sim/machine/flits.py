"""Flits with which a conductor loads and drives a machine's tiles, for simulations that have none."""

from hayate.rtl.contract.flits import CONDUCTOR, FlitKind, pack_flit
from hayate.rtl.contract.isa import PassWord
from hayate.rtl.contract.words import LANE, START


def control(word, lane=0, data=0):
    """A PASS flit for all tiles."""
    return pack_flit(kind=FlitKind.PASS, hi=CONDUCTOR - 1, chan=word, lane=lane, data=data)


def loads(placement):
    """LOAD flits of the tiles placed, bank contents left out."""
    return [
        pack_flit(kind=FlitKind.LOAD, lo=r.stop, hi=r.stop, chan=r.space, addr=r.addr, data=r.data)
        for r in placement.loads(kv=False)
    ]


def pass_flits(vocab, context, first, positions):
    """PASS flits of a pass of so many `positions`, a chain from absolute position `first` on, in the slots of the same
    number.

    Tokens are the last ones of the vocabulary, and the pass ends within `context`: the last tile holds the rows of all
    that is fetched.
    """
    if first + positions > context:
        raise ValueError(f"{positions} positions from {first} on do not fit a context of {context}")
    lanes = [
        control(PassWord.LANE, n, LANE.pack(token=vocab - 1 - n, position=at, slot=at, ancestors=(2 << n) - 1))
        for n, at in enumerate(range(first, first + positions))
    ]
    return [
        *lanes,
        control(PassWord.START, data=START.pack(last=positions - 1, want=(1 << positions) - 1, hwm=first + positions)),
    ]
