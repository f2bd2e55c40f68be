"""Activation buffer: the vectors that a tile's weights are multiplied with, in FP16 and as MXINT8."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hayate.rtl.contract.precision import MX_BLOCK, MX_EXPONENT_BITS
from hayate.rtl.memory.parity import ParityMemory, slices
from hayate.rtl.numerics.mxint8 import MXINT8_LATENCY, TOP_MIN, ToMxInt8, block_top, largest
from hayate.rtl.verilog.once import once

#: Cycles from `read` to `data`, `codes` and `exponent`: the memories, the largest exponent, the two of the conversion.
#: In FP16 alone a request waits for the difference.
ACT_LATENCY = 2 + MXINT8_LATENCY

QUAD = 4  # elements of a word
WIDE = 4  # words that a wide read takes
BLOCK_QUADS = MX_BLOCK // QUAD
TOP = 5  # bits of a word's `block_top`
FIELD = TOP + 1  # with its parity
WORD_FLIP_BITS = 64 + slices(64)  # stored for a word
FLIP_BITS = WORD_FLIP_BITS + FIELD  # with its exponent
_FP16_LATENCY = 2  # the memory, and a register that carries the fan-out to the PEs


class ActivationBuffer(wiring.Component):
    """`lanes` memories of `depth` 64-bit words, written and read at one address of all lanes at once.

    One write and one read per cycle, never stalled. A word written in cycle t is seen by reads from cycle t + 1 on, in
    FP16 and as MXINT8; a read of the block of 8 words in which one is being written is undefined (the old contents in
    simulation). Without `nested`, a read is undefined of a word that is written in the same cycle or the two that
    follow (what the word is two cycles later, in simulation).

    A read returns the word at `read_addr`. A wide read starts at a multiple of 4 and also returns the 16 elements of
    words `read_addr` to `read_addr` + 3 as MXINT8 codes, and e' = e + 10 of the aligned block of 8 words around them: a
    code is worth code * 2**(e' - 16). Rounding is `ToMxInt8`'s. Of that block only the first `left` words exist; the
    others are not looked at: they count as zero in the exponent, and give code 0 and word 0. Narrow reads ignore
    `left`.

    All outputs come ACT_LATENCY cycles after `read`. `data` holds until the next read's, `codes` and `exponent` until
    the next wide read's. Parity is kept per 32 bits of a word and per exponent; `parity` is high beside the outputs
    when anything that the read took does not match its own. In simulation memories start as zeros, which are valid;
    elsewhere every address of every lane is written first. Reset does not clear them.

    ::

        cycle         0       1        2          3          4
        read          address memory   word,      convert 2  data, codes,
                              largest  convert 1             exponent, parity

    Parameters
    ----------
    lanes, depth: activation vectors, words of each, a multiple of 8.
    nested: also as MXINT8; without it there are no wide reads, and no members that belong to them.
    inject: adds the input `flip`, XORed into what is stored (the word, its parity bits, with `nested` its `block_top`),
        for tests.

    Members
    -------
    write: In(lanes), lanes that are written. write_addr: In. write_data: In, `lanes` x 64.
    read, read_addr, wide, left: In. left: 1 to 8.
    data: Out, `lanes` x 64 bits. codes: Out, `lanes` x 128, sixteen signed bytes. exponent: Out, `lanes` x 5.
    parity: Out, a strobe.
    """

    def __init__(self, lanes: int, depth: int, *, nested: bool = True, inject: bool = False):
        if lanes < 1 or depth < 2 * BLOCK_QUADS or depth % BLOCK_QUADS:
            raise ValueError(
                f"an activation buffer has at least 1 lane, and at least {2 * BLOCK_QUADS} words, a multiple of "
                f"{BLOCK_QUADS}, not {lanes} and {depth}"
            )
        self.lanes, self.depth, self.nested, self._inject = lanes, depth, nested, inject
        members = {
            "write": In(lanes),
            "write_addr": In(ceil_log2(depth)),
            "write_data": In(data.ArrayLayout(64, lanes)),
            "read": In(1),
            "read_addr": In(ceil_log2(depth)),
            "data": Out(data.ArrayLayout(64, lanes)),
            "parity": Out(1),
        }
        if nested:
            members |= {
                "wide": In(1),
                "left": In(4),
                "codes": Out(data.ArrayLayout(8 * QUAD * WIDE, lanes)),
                "exponent": Out(data.ArrayLayout(MX_EXPONENT_BITS, lanes)),
            }
        if inject:
            members["flip"] = In(FLIP_BITS if nested else WORD_FLIP_BITS)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        if self.nested:
            self._elaborate_nested(m, platform)
        else:
            self._elaborate_fp16(m)
        return m

    def _elaborate_fp16(self, m):
        """One memory a lane."""
        read, addr = self.read, self.read_addr
        for i in range(ACT_LATENCY - _FP16_LATENCY):
            later = Signal(name=f"s{i + 1}_read")
            later_addr = Signal.like(addr, name=f"s{i + 1}_addr", reset_less=True)
            m.d.sync += later.eq(read)
            with m.If(read):
                m.d.sync += later_addr.eq(addr)
            read, addr = later, later_addr
        fresh = Signal()
        errors = []
        m.d.sync += fresh.eq(read)
        for k in range(self.lanes):
            m.submodules[f"words_{k}"] = store = ParityMemory(64, self.depth, inject=self._inject)
            m.d.comb += [
                store.wr_en.eq(self.write[k]),
                store.wr_addr.eq(self.write_addr),
                store.wr_data.eq(self.write_data[k]),
                store.rd_en.eq(read),
                store.rd_addr.eq(addr),
            ]
            if self._inject:
                m.d.comb += store.flip.eq(self.flip)
            word = Signal(64, name=f"word_{k}", reset_less=True)
            with m.If(fresh):
                m.d.sync += word.eq(store.rd_data)
            m.d.comb += self.data[k].eq(word)
            errors.append(store.error)
        m.d.comb += self.parity.eq(Cat(*errors).any())

    def _elaborate_nested(self, m, platform):
        """Four memories a lane, so that four words can be read at once, and one of exponents."""
        # What a read takes: words of the block that exist, and the sub-memories of this half of it.
        exists = Signal(BLOCK_QUADS)
        taken = Signal(WIDE)
        block = Signal()
        m.d.comb += [
            exists.eq(Cat(self.left > i for i in range(BLOCK_QUADS))),
            block.eq(self.read & self.wide),
            taken.eq(Mux(self.wide, Mux(self.read_addr[2], exists[WIDE:], exists[:WIDE]), 1 << self.read_addr[:2])),
        ]

        # The request beside its words. Stage 1: at the memories' outputs. 2: words, and largest exponent of each half
        # of the block.
        # 3: the word that was asked for, elements shifted. 4: outputs.
        valid, wide = [self.read], [block]
        for i in range(1, ACT_LATENCY):
            now = Signal(name=f"s{i}_valid")
            now_wide = Signal(name=f"s{i}_wide")
            m.d.sync += [now.eq(valid[-1]), now_wide.eq(wide[-1])]
            valid.append(now)
            wide.append(now_wide)
        s1_taken = Signal(WIDE)
        s2_taken = Signal(WIDE)
        s1_exists = Signal(BLOCK_QUADS)
        with m.If(self.read):
            m.d.sync += s1_taken.eq(taken)
        with m.If(block):
            m.d.sync += s1_exists.eq(exists)
        with m.If(valid[1]):
            m.d.sync += s2_taken.eq(s1_taken)

        s2_wrong_tops = Signal(self.lanes)
        errors = []
        for k in range(self.lanes):
            write = self.write[k]
            top = block_top(m, [self.write_data[k].word_select(i, 16) for i in range(QUAD)], f"write_top_{k}")
            field = Signal(FIELD, name=f"field_{k}")
            m.d.comb += field.eq(top ^ (self.flip[-FIELD:] if self._inject else 0))
            words, wrong = self._words(m, k, write, taken)
            tops, wrong_tops = self._tops(m, k, write, field, block, wide[1], s1_exists)
            m.d.sync += s2_wrong_tops[k].eq(wrong_tops)
            errors += wrong  # beside stage 2

            s2_words = [Signal(64, name=f"s2_word_{k}_{i}", reset_less=True) for i in range(WIDE)]
            for i in range(WIDE):
                with m.If(valid[1] & s1_taken[i]):
                    m.d.sync += s2_words[i].eq(words[i])
            s2_tops = [Signal(TOP, name=f"s2_top_{k}_{i}", reset_less=True) for i in range(len(tops))]
            with m.If(wide[1]):
                m.d.sync += [a.eq(b) for a, b in zip(s2_tops, tops)]
            s2_top = largest(m, s2_tops, f"s2_largest_{k}")

            # Of a sub-memory that was not read the register still holds an older word.
            elements = Signal(64 * WIDE, name=f"elements_{k}")
            m.d.comb += elements.eq(Cat(word & s2_taken[i].replicate(64) for i, word in enumerate(s2_words)))
            convert = ToMxInt8(QUAD * WIDE)
            m.submodules[f"convert_{k}"] = once(platform, convert, QUAD * WIDE)
            m.d.comb += [
                convert.valid.eq(wide[2]),
                convert.top.eq(s2_top),
                convert.x.as_value().eq(elements),
                self.codes[k].eq(convert.codes.as_value()),
            ]
            # A wide read's word is the first of its four.
            chosen = [Signal(64, name=f"chosen_{k}_{i}") for i in range(WIDE)]
            for i in range(WIDE):
                m.d.comb += chosen[i].eq(s2_words[i] & (s2_taken[i] & ((i == 0) | ~wide[2])).replicate(64))
            s3_word = Signal(64, name=f"s3_word_{k}", reset_less=True)
            s4_word = Signal(64, name=f"s4_word_{k}", reset_less=True)
            s3_exponent = Signal(MX_EXPONENT_BITS, name=f"s3_exponent_{k}", reset_less=True)
            s4_exponent = Signal(MX_EXPONENT_BITS, name=f"s4_exponent_{k}", reset_less=True)
            with m.If(valid[2]):
                m.d.sync += s3_word.eq(chosen[0] | chosen[1] | chosen[2] | chosen[3])
            with m.If(wide[2]):
                m.d.sync += s3_exponent.eq(Mux(s2_top < TOP_MIN, 0, s2_top - TOP_MIN))
            with m.If(valid[3]):
                m.d.sync += s4_word.eq(s3_word)
            with m.If(wide[3]):
                m.d.sync += s4_exponent.eq(s3_exponent)
            m.d.comb += [self.data[k].eq(s4_word), self.exponent[k].eq(s4_exponent)]

        s3_error = Signal()
        m.d.sync += [s3_error.eq(s2_wrong_tops.any() | Cat(*errors).any()), self.parity.eq(s3_error)]

    def _words(self, m, k, write, taken):
        """Sub-memory i holds the words whose address is i modulo 4; returns the words read in the cycle before, and
        the errors of those read before them.
        """
        words, errors = [], []
        for i in range(WIDE):
            m.submodules[f"words_{k}_{i}"] = store = ParityMemory(64, self.depth // WIDE, inject=self._inject)
            m.d.comb += [
                store.wr_en.eq(write & (self.write_addr[:2] == i)),
                store.wr_addr.eq(self.write_addr[2:]),
                store.wr_data.eq(self.write_data[k]),
                store.rd_en.eq(self.read & taken[i]),
                store.rd_addr.eq(self.read_addr[2:]),
            ]
            if self._inject:
                m.d.comb += store.flip.eq(self.flip[:-FIELD])
            words.append(store.rd_data)
            errors.append(store.error)
        return words, errors

    def _tops(self, m, k, write, field, block, s1_wide, s1_exists):
        """A word of 8 `block_top`s for every block; returns the largest that exists of each half, and whether one of
        the 8 is wrong.
        """
        # Small, and in a hurry: comparisons follow in the same stage, so an FPGA had better not put it into a block
        # memory.
        m.submodules[f"tops_{k}"] = store = memory.Memory(
            shape=FIELD * BLOCK_QUADS,
            depth=self.depth // BLOCK_QUADS,
            init=[],
            attrs={"no_rw_check": 1, "ram_style": "distributed"},
        )
        port, read = store.write_port(granularity=FIELD), store.read_port()
        m.d.comb += [
            port.en.eq(write << self.write_addr[:3]),
            port.addr.eq(self.write_addr[3:]),
            port.data.eq(field.replicate(BLOCK_QUADS)),
            read.en.eq(block),
            read.addr.eq(self.read_addr[3:]),
        ]
        parts = []
        wrong = Signal(BLOCK_QUADS, name=f"wrong_tops_{k}")
        for i in range(BLOCK_QUADS):
            part = Signal(FIELD, name=f"top_{k}_{i}")
            m.d.comb += [
                part.eq(read.data.word_select(i, FIELD) & s1_exists[i].replicate(FIELD)),
                wrong[i].eq(part.xor()),
            ]
            parts.append(part[1:])
        halves = [largest(m, parts[i : i + WIDE], f"largest_{k}_{i}") for i in (0, WIDE)]
        return halves, s1_wide & wrong.any()
