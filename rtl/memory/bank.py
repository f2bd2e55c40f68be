"""One memory bank: the bank macro behind its error-correcting code."""

from importlib.resources import files

from amaranth.hdl import ClockSignal, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.secded import codeword_bits
from hayate.rtl.memory.secded import decode, encode

__all__ = ["MACRO_MODULE", "MACRO_SOURCE", "Bank", "macro_text"]

#: Name of the Verilog module that a silicon flow replaces.
MACRO_MODULE = "hayate_bank_macro"
#: The behavioural Verilog of the macro (a readable resource; its text belongs behind every Verilog that holds a Bank).
MACRO_SOURCE = files("hayate.rtl.memory").joinpath("bank_macro.v")


def macro_text() -> str:
    """Verilog text of the macro."""
    return MACRO_SOURCE.read_text(encoding="utf-8")


class Bank(wiring.Component):
    """A single-port memory whose words are corrected as they are read.

    One read or one write a cycle, in any order, never stalled. A read started in cycle t (``en`` and not ``we``)
    answers in cycle t + BANK_LATENCY with ``rvalid``; a write is seen by every read of a later cycle. ``rdata`` keeps
    its value between answers. Reset forgets the reads under way and leaves the memory alone. Single errors are
    corrected in the answer only, not in the memory.

    ::

        cycle   0    1    2    3    4
        en      R a  R b  W c
        macro             a    b          data of the macro's output register
        rvalid                 a    b

    Parameters
    ----------
    depth : int
        Words, at least 2. Addresses from ``depth`` on are outside the contract.
    width : int
        Data bits of a word; the macro holds ``codeword_bits(width)`` of them (72 for 64).
    inject : bool
        Adds the port ``inject``, for tests of the code only.

    Members
    -------
    en, we : In(1)
        An access, and whether it is a write.
    addr : In(ceil_log2(depth))
    wdata : In(width)
    inject : In(codeword_bits(width)), only if asked for
        Codeword bits to flip in the word being written.
    rdata : Out(width)
    rvalid : Out(1)
    corrected, uncorrectable : Out(1)
        Strobes beside ``rvalid``: a wrong bit was put right, or the word is lost.

    Raises
    ------
    ValueError
        If ``depth`` or ``width`` is out of range.
    """

    def __init__(self, depth: int, width: int = 64, *, inject: bool = False):
        if depth < 2:
            raise ValueError(f"depth: a bank has at least 2 words, not {depth}")
        self.depth, self.width, self.has_inject = depth, width, inject
        self.coded = codeword_bits(width)
        ports = {
            "en": In(1),
            "we": In(1),
            "addr": In(ceil_log2(depth)),
            "wdata": In(width),
            "rdata": Out(width),
            "rvalid": Out(1),
            "corrected": Out(1),
            "uncorrectable": Out(1),
        }
        if inject:
            ports["inject"] = In(self.coded)
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        stored = Signal(self.coded)
        read = Signal(self.coded)
        m.submodules.macro = Instance(
            MACRO_MODULE,
            p_DEPTH=self.depth,
            p_WIDTH=self.coded,
            p_ADDR=len(self.addr),
            i_clk=ClockSignal(),
            i_en=self.en,
            i_we=self.we,
            i_addr=self.addr,
            i_wdata=stored,
            o_rdata=read,
        )
        m.d.comb += stored.eq(encode(self.width, self.wdata) ^ (self.inject if self.has_inject else 0))

        valid_1 = Signal()  # the word is in the memory's own output
        valid_2 = Signal()  # the word is in the macro's output register
        word = decode(m, self.width, read)
        data = Signal(self.width, reset_less=True)
        m.d.sync += [
            valid_1.eq(self.en & ~self.we),
            valid_2.eq(valid_1),
            self.rvalid.eq(valid_2),
            self.corrected.eq(valid_2 & word.corrected),
            self.uncorrectable.eq(valid_2 & word.uncorrectable),
        ]
        with m.If(valid_2):
            m.d.sync += data.eq(word.data)
        m.d.comb += self.rdata.eq(data)
        return m
