"""The conductor: prefill and greedy decoding, pass by pass, and the choice of precision between them, without the host."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..contract.flits import CONDUCTOR, FlitKind
from ..contract.isa import PassWord
from ..memory.parity import ParityMemory
from ..ring.flit import FLIT_STREAM, Flit
from .candidates import Candidates
from .governor import Governor

TOKEN_BITS = 20
POSITION_BITS = 16

#: entry of the token FIFO: the token and the cycle of the generation at which it was chosen.
TOKEN_STREAM = stream.Signature(TOKEN_BITS + 32)

#: every logical tile.
LAST_TILE = CONDUCTOR - 1


class Conductor(wiring.Component):
    """Runs generations. A pass is a list of (token, position, KV slot): up to M prompt tokens, then one token at a time.

    A pass is announced by one PASS flit per position and a START; it has ended when `tiles` tiles have sent their SYNC, which follow their
    candidates. The next pass is issued 1 cycle after the verdict, which comes 2 cycles after the last SYNC. Slots are handed out in order
    of position. A full token FIFO holds the loop back. Generation ends with the token limit, the end token (which is emitted) or the end
    of the context.

    With `auto`, the passes over the prompt measure (START says so), and the `Governor` runs once the first token has been chosen: before
    the next pass is announced, or before the generation ends with that token. Without it nothing of this takes a cycle.

    Parameters
    ----------
    lanes: M. prompt_depth: tokens of prompt buffer and token FIFO. ring_tiles, max_matrices: `tiles` and `matrices` of the `Governor`.
        max_matrices 0: there is none, no pass measures, and the members for it are not there: auto, matrices, knob, matrix_write,
        matrix_addr, matrix_data, look, look_matrix, look_kind, result, governor_cycles.

    Members
    -------
    start, abort: In, commands. busy, done, full: Out; `done` stays until the next start, `full` tells that the context ended it.
    tiles (8), prompt_length, token_limit, context_limit (16 each), end_token (20), end_enable, all_logits, auto, matrices
        (16), knob (32): In, constant while busy.
    prompt_write, prompt_addr (16), prompt_token (20): In. Writes the prompt buffer.
    matrix_write, matrix_addr (16), matrix_data (64): In. Writes the governor's table; as `load` of `Governor`, not while busy.
    look, look_matrix (10), look_kind (2): In. result: Out(64). As of `Governor`.
    tx: Out stream of Flit to the ring stop. rx_valid, rx: In, delivered flits; never refused.
    tokens: Out stream, see TOKEN_STREAM. token_level: Out(16), tokens in the FIFO.
    cycles, prefill_cycles, passes, governor_cycles: Out(32), of the generation in progress or the last one.
    fault: Out. A damaged word was read from the prompt buffer, the token FIFO or the governor's memories, for one cycle.
    position: Out(16). Position of lane 0 of the pass in progress, for readers of the trace ports.
    """

    def __init__(self, *, lanes, prompt_depth, ring_tiles, max_matrices):
        self._lanes, self._prompt_depth = lanes, prompt_depth
        self._governor = dict(tiles=ring_tiles, matrices=max_matrices)
        members = {
            "start": In(1), "abort": In(1), "busy": Out(1), "done": Out(1), "full": Out(1),
            "tiles": In(8), "prompt_length": In(POSITION_BITS), "token_limit": In(POSITION_BITS), "context_limit": In(POSITION_BITS),
            "end_token": In(TOKEN_BITS), "end_enable": In(1), "all_logits": In(1),
            "prompt_write": In(1), "prompt_addr": In(POSITION_BITS), "prompt_token": In(TOKEN_BITS),
            "tx": Out(FLIT_STREAM), "rx_valid": In(1), "rx": In(Flit), "tokens": Out(TOKEN_STREAM), "token_level": Out(16),
            "fault": Out(1), "position": Out(POSITION_BITS), "cycles": Out(32), "prefill_cycles": Out(32), "passes": Out(32),
        }
        if max_matrices:
            members |= {
                "auto": In(1), "matrices": In(16), "knob": In(32), "matrix_write": In(1), "matrix_addr": In(16), "matrix_data": In(64),
                "look": In(1), "look_matrix": In(10), "look_kind": In(2), "result": Out(64), "governor_cycles": Out(32),
            }
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.prompt = prompt = ParityMemory(TOKEN_BITS, self._prompt_depth)
        m.submodules.candidates = candidates = Candidates(self._lanes)
        governor = None
        if self._governor["matrices"]:
            m.submodules.governor = governor = Governor(**self._governor)
        m.submodules.token_fifo = token_fifo = fifo.SyncFIFOBuffered(width=TOKEN_BITS + 32 + 1, depth=self._prompt_depth)

        position = self.position
        lane = Signal(3)
        count = Signal(4)                     # positions of the pass
        token = Signal(TOKEN_BITS)            # token to feed next, once the prompt has been read
        generated = Signal(POSITION_BITS)
        synced = Signal(8)
        abort = Signal()
        here = Signal(POSITION_BITS)          # position of the current lane
        left = Signal(POSITION_BITS)          # prompt tokens not yet fed
        prefill, last_prefill = Signal(), Signal()
        want, counted = Signal(8), Signal(8)
        m.d.comb += [
            prompt.wr_en.eq(self.prompt_write), prompt.wr_addr.eq(self.prompt_addr), prompt.wr_data.eq(self.prompt_token),
            here.eq(position + lane), prompt.rd_addr.eq(here),
            left.eq(self.prompt_length - position), prefill.eq(position < self.prompt_length), last_prefill.eq(left <= self._lanes),
            self.tokens.payload.eq(token_fifo.r_data[:-1]), self.tokens.valid.eq(token_fifo.r_rdy), token_fifo.r_en.eq(self.tokens.ready),
            self.token_level.eq(token_fifo.level),
        ]
        final = Cat(count == n + 1 for n in range(self._lanes))
        with m.If(self.all_logits & prefill):
            m.d.comb += want.eq(Cat(count > n for n in range(self._lanes)))
        with m.Elif(~prefill | last_prefill):
            m.d.comb += want.eq(final)
        # The token's logits only: ALL_LOGITS is for a look at the machine, and must not change what it decides.
        measure = Signal()
        if governor:
            m.d.comb += measure.eq(self.auto & prefill)
            with m.If(measure & last_prefill):
                m.d.comb += counted.eq(final)

        # Flits to the tiles. The payload is registered nowhere: the ring stop stores it.
        pass_word = Signal(3)
        last, used = Signal(8), Signal(POSITION_BITS)
        m.d.comb += [last.eq(count - 1), used.eq(position + count)]
        m.d.comb += [
            self.tx.payload.kind.eq(FlitKind.PASS), self.tx.payload.hi.eq(LAST_TILE), self.tx.payload.chan.eq(pass_word),
            self.tx.payload.lane.eq(lane),
        ]
        with m.If(pass_word == PassWord.LANE):
            m.d.comb += self.tx.payload.data.eq(Cat(Mux(prefill, prompt.rd_data, token), here, here))
        with m.Elif(pass_word == PassWord.START):
            m.d.comb += self.tx.payload.data.eq(Cat(last[:3], measure, Const(0, 4), want, used, counted))

        # What the tiles send back.
        m.d.comb += [
            candidates.valid.eq(self.rx_valid & (self.rx.kind == FlitKind.CAND)), candidates.lane.eq(self.rx.lane),
            candidates.value.eq(self.rx.data[:32]), candidates.token_in.eq(self.rx.data[32:]), candidates.select.eq(count - 1),
        ]
        with m.If(self.rx_valid & (self.rx.kind == FlitKind.SYNC) & (self.rx.lo == CONDUCTOR)):
            m.d.sync += synced.eq(synced + 1)
        with m.If(self.abort):
            m.d.sync += abort.eq(1)
        with m.If(self.busy):
            m.d.sync += self.cycles.eq(self.cycles + 1)
        chosen = Cat(candidates.token, self.cycles)
        damage = Signal()
        m.d.comb += [
            token_fifo.w_data.eq(Cat(chosen, chosen.xor())),
            self.fault.eq(prompt.error | damage | (self.tokens.valid & self.tokens.ready & token_fifo.r_data.xor())),
        ]

        # The governor has the way to the ring while it runs.
        ending = Signal()  # with the first token
        if governor:
            m.d.comb += [
                governor.count.eq(self.matrices), governor.knob.eq(self.knob), governor.rx_valid.eq(self.rx_valid),
                governor.rx.eq(self.rx), governor.load.eq(self.matrix_write), governor.load_addr.eq(self.matrix_addr),
                governor.load_data.eq(self.matrix_data), governor.look.eq(self.look), governor.look_matrix.eq(self.look_matrix),
                governor.look_kind.eq(self.look_kind), self.result.eq(governor.result), damage.eq(governor.fault),
            ]

        with m.FSM(name="loop"):
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [
                        self.busy.eq(1), self.done.eq(0), self.full.eq(0), abort.eq(0), position.eq(0), lane.eq(0), generated.eq(0),
                        self.cycles.eq(0), self.prefill_cycles.eq(0), self.passes.eq(0),
                    ]
                    if governor:
                        m.d.sync += [self.governor_cycles.eq(0), ending.eq(0)]
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += [self.tx.valid.eq(1), pass_word.eq(PassWord.BEGIN)]
                with m.If(self.tx.ready):
                    m.next = "COUNT"
            with m.State("COUNT"):
                m.d.comb += candidates.clear.eq(1)
                m.d.sync += [lane.eq(0), synced.eq(0), count.eq(Mux(prefill, Mux(last_prefill, left, self._lanes), 1)),
                             self.passes.eq(self.passes + 1)]
                m.next = "READ"
            with m.State("READ"):  # the prompt buffer's read takes a cycle
                m.d.comb += prompt.rd_en.eq(prefill)
                m.next = "LANE"
            with m.State("LANE"):
                m.d.comb += [self.tx.valid.eq(1), pass_word.eq(PassWord.LANE)]
                with m.If(self.tx.ready):
                    m.d.sync += lane.eq(lane + 1)
                    m.next = "READ"
                    with m.If(lane == count - 1):
                        m.next = "START"
            with m.State("START"):
                m.d.comb += [self.tx.valid.eq(1), pass_word.eq(PassWord.START)]
                with m.If(self.tx.ready):
                    m.next = "WAIT"
            with m.State("WAIT"):
                with m.If(synced == self.tiles):
                    m.next = "VERDICT"
                    with m.If(prefill & ~last_prefill):
                        m.d.sync += position.eq(position + count)
                        m.next = "COUNT"
                        with m.If(abort):
                            m.next = "FINISH"
            with m.State("VERDICT"):
                m.d.comb += token_fifo.w_en.eq(1)
                with m.If(token_fifo.w_rdy):
                    m.d.sync += [
                        token.eq(candidates.token), generated.eq(generated + 1), position.eq(position + count), lane.eq(0),
                    ]
                    with m.If(generated == 0):
                        m.d.sync += self.prefill_cycles.eq(self.cycles)
                    m.next = "COUNT"
                    with m.If((generated + 1 == self.token_limit) | abort | (self.end_enable & (candidates.token == self.end_token))):
                        m.d.sync += ending.eq(1)
                        m.next = "FINISH"
                    with m.Elif(position + count >= self.context_limit):
                        m.d.sync += [self.full.eq(1), ending.eq(1)]
                        m.next = "FINISH"
                    if governor:
                        with m.If(self.auto & (generated == 0)):
                            m.d.comb += governor.start.eq(1)
                            m.next = "GOVERN"
            if governor:
                with m.State("GOVERN"):
                    m.d.comb += [
                        self.tx.valid.eq(governor.tx.valid), self.tx.payload.eq(governor.tx.payload), governor.tx.ready.eq(self.tx.ready),
                    ]
                    m.d.sync += self.governor_cycles.eq(self.governor_cycles + 1)
                    with m.If(~governor.busy):
                        m.next = "COUNT"
                        with m.If(ending):
                            m.next = "FINISH"
            with m.State("FINISH"):
                m.d.comb += [self.tx.valid.eq(1), pass_word.eq(PassWord.FINISH)]
                with m.If(self.tx.ready):
                    m.d.sync += [self.busy.eq(0), self.done.eq(1)]
                    m.next = "IDLE"
        return m
