"""Tables of constants as logic, for flows in which a memory does not start with contents."""

from amaranth.hdl import Signal


def rom(m, words, width, address, enable, name):
    """The word at `address`, one cycle after `enable`, until the next; a Signal of `width` bits.

    A case statement of constants that loads a register: silicon flows make gates of it, and Yosys for FPGAs finds the
    memory in it and takes the register for its output, as it does of a memory with contents. The register starts as
    zero and is not reset.

    Raises ValueError unless there is a word for every address: a case that is not full is no memory to Yosys.
    """
    if len(words) != 1 << len(address):
        raise ValueError(f"a table of {len(words)} words for an address of {len(address)} bits")
    word = Signal(width, name=name, reset_less=True)
    with m.If(enable), m.Switch(address):
        for at, value in enumerate(words):
            with m.Case(at):
                m.d.sync += word.eq(value)
    return word
