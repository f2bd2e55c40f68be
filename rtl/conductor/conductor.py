"""The conductor: prefill and decoding, pass by pass, with what is drafted, verified and decided between them, without the host."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..contract.config import MAX_LANES
from ..contract.draft import COST_BITS, DRAFT_COST_BITS, TABLE_LOG2, Drafter
from ..contract.flits import CONDUCTOR, FlitKind
from ..contract.isa import PassWord
from ..contract.noise import SEED_BITS
from ..memory.parity import ParityMemory
from ..ring.flit import FLIT_STREAM, Flit
from .candidates import Candidates
from .free_list import FreeList
from .governor import Governor
from .ngram import NgramDrafter
from .nodes import Nodes
from .outlet import POSITION_BITS, TOKEN_BITS, TOKEN_STREAM, Outlet
from .tally import Tally
from .utility import Utility
from .verifier import Verifier

#: every logical tile.
LAST_TILE = CONDUCTOR - 1


class Conductor(wiring.Component):
    """Runs generations. A pass is a tree of up to M nodes: a chain of prompt tokens, then the last token with what is drafted behind it.

    A pass is announced by the slots that the one before it leaves in the text (COMMIT), a LANE for each node, and a START; it has ended
    when `tiles` tiles have sent their SYNC, which follow their candidates. Then the verifier walks the tree, one token a cycle; slots off
    its path go back to the free list while the path's are announced, one node a cycle, whatever was accepted. A full token FIFO holds
    the loop back. Generation ends with the token limit, the end token (which is emitted) or the end of the context, wherever in a pass.

    With drafter NGRAM, nodes come from the tables of `NgramDrafter`. With NESTED, a pass in which weights are read as INT4 (START says so)
    evaluates the chain so far and adds its choice, until there are `draft_nodes`; then all are verified. No more nodes are drafted than
    can be emitted before the end of context or token limit; with `draft_control`, as many as `Utility` finds worth their cost, and where
    that is none, the tables' guess is compared with what is then chosen.

    With `sample`, START says so, and BEGIN carries the seed: the tiles' candidates are then sums of scaled logit and noise, in passes that
    draft too. What is chosen from them is the same.

    With `auto`, the passes over the prompt measure (START says so), and the `Governor` runs once the first token has been chosen: before
    the next pass is announced, or before the generation ends with that token. Without it nothing of this takes a cycle.

    Parameters
    ----------
    lanes: M. prompt_depth: tokens of prompt buffer and token FIFO. max_slots: KV slots, the most positions of a text. ring_tiles,
        max_matrices: `tiles` and `matrices` of the `Governor`. max_matrices 0: there is none, no pass measures, and the members for it
        are not there: auto, matrices, knob, matrix_write, matrix_addr, matrix_data, look, look_matrix, look_kind, result, governor_cycles.
        sampling: without it, there are no `sample` and `seed`.

    Members
    -------
    start, abort: In, commands. busy, done, full: Out; `done` stays until the next start, `full` tells that the context ended it.
    tiles (8), prompt_length, token_limit, context_limit (16 each), end_token (20), end_enable, all_logits, auto, matrices (16),
        knob (32), drafter (2, a `Drafter`), draft_nodes (4, at most so many), branch (3, as of `NgramDrafter`), draft_control,
        draft_cost (12), costs_0 and so on (16 each, `costs` of `Utility`), sample, seed (64): In, constant while busy.
    prompt_write, prompt_addr (16), prompt_token (20): In. Writes the prompt buffer.
    matrix_write, matrix_addr (16), matrix_data (64): In. Writes the governor's table; as `load` of `Governor`, not while busy.
    look, look_matrix (10), look_kind (2): In. result: Out(64). As of `Governor`.
    tx: Out stream of Flit to the ring stop. rx_valid, rx: In, delivered flits; never refused.
    tokens: Out stream, see TOKEN_STREAM. token_level: Out(16), tokens in the FIFO.
    cycles, prefill_cycles, passes, governor_cycles: Out(32), of the generation in progress or the last one; passes that only draft are
        counted in draft_passes. proposed, accepted, siblings: Out(32), nodes behind the roots; accepted ones; of these, those whose
        parent has an earlier child. lengths_0 and so on: Out(32), passes behind the prompt by accepted nodes. turn: Out(16), cycles from
        the last SYNC of a verified pass to the START behind it, the largest.
    chance_first, chance_more: Out(16), what `Utility` expects.
    fault: Out. A damaged word was read from the prompt buffer, the token FIFO, the drafter's or the governor's memories, for one cycle.
    verdict: Out, a strobe at the end of every pass, behind its logits. kept: Out(lanes), nodes that now belong to the text.
        positions: Out, M x 16, of the nodes. For readers of the trace ports.
    """

    def __init__(self, *, lanes, prompt_depth, max_slots, ring_tiles, max_matrices, sampling=True):
        self._lanes, self._prompt_depth, self._max_slots = lanes, prompt_depth, max_slots
        self._governor = dict(tiles=ring_tiles, matrices=max_matrices)
        self._sampling = sampling
        members = {
            "start": In(1), "abort": In(1), "busy": Out(1), "done": Out(1), "full": Out(1),
            "tiles": In(8), "prompt_length": In(POSITION_BITS), "token_limit": In(POSITION_BITS), "context_limit": In(POSITION_BITS),
            "end_token": In(TOKEN_BITS), "end_enable": In(1), "all_logits": In(1), "drafter": In(2), "draft_nodes": In(4), "branch": In(3),
            "draft_control": In(1), "draft_cost": In(DRAFT_COST_BITS), **{f"costs_{n}": In(COST_BITS) for n in range(MAX_LANES)},
            "chance_first": Out(16), "chance_more": Out(16),
            "prompt_write": In(1), "prompt_addr": In(POSITION_BITS), "prompt_token": In(TOKEN_BITS),
            "tx": Out(FLIT_STREAM), "rx_valid": In(1), "rx": In(Flit), "tokens": Out(TOKEN_STREAM), "token_level": Out(16),
            "fault": Out(1), "cycles": Out(32), "prefill_cycles": Out(32), "passes": Out(32), "draft_passes": Out(32),
            "proposed": Out(32), "accepted": Out(32), "siblings": Out(32), "turn": Out(16),
            **{f"lengths_{n}": Out(32) for n in range(MAX_LANES)},
            "verdict": Out(1), "kept": Out(lanes), "positions": Out(POSITION_BITS).array(lanes),
        }
        if sampling:
            members |= {"sample": In(1), "seed": In(SEED_BITS)}
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
        m.submodules.nodes = nodes = Nodes(self._lanes)
        m.submodules.slots = slots = FreeList(self._lanes)
        m.submodules.verifier = verifier = Verifier(self._lanes)
        ngram = utility = None
        if self._lanes > 1:
            m.submodules.utility = utility = Utility(self._lanes)
            m.submodules.ngram = ngram = NgramDrafter(lanes=self._lanes, size_log2=TABLE_LOG2, depth=self._max_slots)
        m.submodules.tally = tally = Tally(self._lanes)
        governor = None
        if self._governor["matrices"]:
            m.submodules.governor = governor = Governor(**self._governor)
        m.submodules.outlet = outlet = Outlet(lanes=self._lanes, depth=self._prompt_depth)

        position = Signal(POSITION_BITS)      # of node 0
        lane = Signal(3)
        count, filled = Signal(4), Signal(4)  # nodes of a prompt pass, and those that are there
        room = Signal(4)                      # nodes that the next pass may draft
        synced = Signal(8)
        abort = Signal()
        left = Signal(POSITION_BITS)          # prompt tokens not yet fed
        prefill, last_prefill, drafting = Signal(), Signal(), Signal()
        want, counted, every, final = Signal(8), Signal(8), Signal(8), Signal(8)
        m.d.comb += [
            prompt.wr_en.eq(self.prompt_write), prompt.wr_addr.eq(self.prompt_addr), prompt.wr_data.eq(self.prompt_token),
            prompt.rd_addr.eq(position + filled),
            left.eq(self.prompt_length - position), prefill.eq(position < self.prompt_length), last_prefill.eq(left <= self._lanes),
            nodes.lane.eq(lane), every.eq(Cat(nodes.count > n for n in range(8))), final.eq(Cat(nodes.count == n + 1 for n in range(8))),
        ]
        with m.If(drafting | prefill & ~self.all_logits):
            m.d.comb += want.eq(Mux(drafting | last_prefill, final, 0))
        with m.Else():
            m.d.comb += want.eq(every)
        # The token's logits only: ALL_LOGITS is for a look at the machine, and must not change what it decides.
        measure = Signal()
        if governor:
            m.d.comb += measure.eq(self.auto & prefill)
            with m.If(measure & last_prefill):
                m.d.comb += counted.eq(final)

        # Flits to the tiles. The payload is registered nowhere: the ring stop stores it.
        pass_word = Signal(3)
        slot, last = Signal(16), Signal(8)
        node = nodes.node
        m.d.comb += [
            last.eq(nodes.count - 1), slot.eq(Mux(node.placed, node.slot, slots.slot)), nodes.slot.eq(slots.slot),
            self.tx.payload.kind.eq(FlitKind.PASS), self.tx.payload.hi.eq(LAST_TILE), self.tx.payload.chan.eq(pass_word),
            self.tx.payload.lane.eq(lane),
        ]
        with m.If(pass_word == PassWord.START):
            sample = self.sample if self._sampling else Const(0)
            m.d.comb += self.tx.payload.data.eq(Cat(last[:3], measure, drafting, sample, Const(0, 2), want, slots.hwm, counted))
        with m.Elif(pass_word == PassWord.BEGIN):
            m.d.comb += self.tx.payload.data.eq(self.seed if self._sampling else 0)
        with m.Else():
            m.d.comb += self.tx.payload.data.eq(Cat(node.token, node.position, slot, node.ancestors))

        # What the tiles send back, and what is chosen from it.
        m.d.comb += [
            candidates.valid.eq(self.rx_valid & (self.rx.kind == FlitKind.CAND)), candidates.lane.eq(self.rx.lane),
            candidates.value.eq(self.rx.data[:32]), candidates.token_in.eq(self.rx.data[32:]),
            candidates.select.eq(Mux(drafting, last, verifier.select)),
            *(v.eq(n) for v, n in zip(verifier.tokens, nodes.tokens)), *(v.eq(n) for v, n in zip(verifier.parents, nodes.parents)),
            verifier.count.eq(nodes.count), verifier.prefix.eq(prefill), verifier.first.eq(Mux(prefill, last, 0)),
            verifier.choice.eq(candidates.token),
        ]
        with m.If(self.rx_valid & (self.rx.kind == FlitKind.SYNC) & (self.rx.lo == CONDUCTOR)):
            m.d.sync += synced.eq(synced + 1)
        with m.If(self.abort):
            m.d.sync += abort.eq(1)
        with m.If(self.busy):
            m.d.sync += self.cycles.eq(self.cycles + 1)

        damage = Signal()
        m.d.comb += [
            outlet.emit.valid.eq(verifier.emit.valid), outlet.emit.payload.eq(verifier.emit.payload),
            verifier.emit.ready.eq(outlet.emit.ready), verifier.stop.eq(outlet.stop), outlet.cycles.eq(self.cycles), outlet.abort.eq(abort),
            *(getattr(outlet, name).eq(getattr(self, name))
              for name in ("token_limit", "context_limit", "end_token", "end_enable", "draft_nodes")),
            self.tokens.payload.eq(outlet.tokens.payload), self.tokens.valid.eq(outlet.tokens.valid),
            outlet.tokens.ready.eq(self.tokens.ready), self.token_level.eq(outlet.level), self.full.eq(outlet.full),
            self.fault.eq(prompt.error | damage | outlet.fault | (ngram.fault if ngram else 0)),
        ]
        with m.If(outlet.first):
            m.d.sync += self.prefill_cycles.eq(self.cycles)

        # Between passes. What waits for a node's slot, the ring or a drafter holds the loop; nothing else takes more than a cycle.
        ask, propose = Signal(), Signal()  # the next tree may be planned; it has been
        due, place = Signal(), Signal()    # the governor must run; a node gets its slot
        ngram_on, nested_on = Signal(), self.drafter == Drafter.NESTED
        m.d.comb += [
            outlet.position.eq(position + Mux(prefill, nodes.count, 1)), outlet.clear.eq(slots.clear),
            tally.clear.eq(slots.clear), tally.count.eq(nodes.count), tally.emitted.eq(outlet.emitted),
            tally.siblings.eq(verifier.siblings), self.turn.eq(tally.turn),
            self.proposed.eq(tally.proposed), self.accepted.eq(tally.accepted), self.siblings.eq(tally.sibling_commits),
            *(getattr(self, f"lengths_{n}").eq(passes) for n, passes in enumerate(tally.lengths)),
            *(a.eq(b) for a, b in zip(self.positions, nodes.positions)),
            slots.given.eq(node.slot), slots.take.eq(place & ~node.placed), nodes.place.eq(place & ~node.placed),
            nodes.token.eq(prompt.rd_data), nodes.parent.eq(last), nodes.position.eq(position),
        ]

        def govern():
            """Go by way of the governor where it is due: behind the first token."""
            if governor:
                with m.If(due):
                    m.d.comb += governor.start.eq(1)
                    m.next = "GOVERN"

        def after_root():
            if ngram:
                with m.If(ngram_on & (shadow | (room != 0))):
                    m.next = "DRAFT"

        def root():
            """The tree of the next pass begins with the last token."""
            m.d.comb += [nodes.root.eq(1), nodes.token.eq(outlet.last)]
            m.d.sync += [lane.eq(0), drafting.eq(nested_on & (room != 0))]
            with m.If(nested_on & (room != 0)):
                m.d.sync += self.draft_passes.eq(self.draft_passes + 1)
            with m.Else():
                m.d.sync += self.passes.eq(self.passes + 1)
            m.next = "LANE"
            after_root()

        m.d.sync += [ask.eq(0), propose.eq(0), self.verdict.eq(0)]
        nothing = Signal()  # the tables have answered that there is none
        feed, drafted = Signal(), Signal()  # a token of the prompt is read; a node of the tables is taken
        planning, shadow, guessed, right = Signal(), Signal(), Signal(), Signal()
        guess = Signal(TOKEN_BITS)
        if ngram:
            controlled = self.draft_control & (self.drafter != Drafter.OFF)
            m.d.comb += [
                utility.clear.eq(slots.clear), utility.room.eq(room), utility.draft_cost.eq(self.draft_cost),
                *(cost.eq(getattr(self, f"costs_{n}")) for n, cost in enumerate(utility.costs)),
                utility.learn.eq(tally.verified & ~guessed), utility.score.eq(tally.verified & guessed), utility.right.eq(right),
                utility.proposed.eq(nodes.depth), utility.accepted.eq(outlet.emitted - 1),
                self.chance_first.eq(utility.first), self.chance_more.eq(utility.more),
            ]
            with m.If(outlet.taken & (outlet.emitted == 0)):
                m.d.sync += right.eq(outlet.emit.payload == guess)
            with m.If(verifier.done):
                m.d.sync += [guessed.eq(0), shadow.eq(0), planning.eq(controlled & ~outlet.over)]
            m.d.comb += utility.plan.eq(planning & ask)
            with m.If(utility.done):
                m.d.sync += [room.eq(utility.nodes), shadow.eq(utility.shadow), planning.eq(0), propose.eq(1)]
            m.d.comb += [
                ngram_on.eq(self.drafter == Drafter.NGRAM), ngram.clear.eq(slots.clear),
                ngram.propose.eq((propose | ask & ~planning) & ngram_on & (shadow | (room != 0))), ngram.want.eq(Mux(shadow, 1, room)),
                ngram.branch.eq(self.branch),
                ngram.append.eq(feed | outlet.taken), ngram.token.eq(Mux(feed, prompt.rd_data, outlet.emit.payload)),
                ngram.position.eq(Mux(feed, position + filled, outlet.at)), ngram.node.ready.eq(drafted),
            ]
            with m.If(ask | ngram.none):
                m.d.sync += nothing.eq(ngram.none)

        with m.FSM(name="loop"):
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.comb += slots.clear.eq(1)
                    m.d.sync += [
                        self.busy.eq(1), self.done.eq(0), abort.eq(0), position.eq(0),
                        self.cycles.eq(0), self.prefill_cycles.eq(0), self.passes.eq(0), self.draft_passes.eq(0),
                    ]
                    if governor:
                        m.d.sync += [self.governor_cycles.eq(0), due.eq(self.auto)]
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += [self.tx.valid.eq(1), pass_word.eq(PassWord.BEGIN)]
                with m.If(self.tx.ready):
                    m.next = "COUNT"

            # The nodes of the next pass: a chain of prompt tokens ...
            with m.State("COUNT"):
                m.d.sync += [lane.eq(0), filled.eq(0), count.eq(Mux(last_prefill, left, self._lanes)), self.passes.eq(self.passes + 1)]
                m.next = "READ"
            with m.State("READ"):  # the prompt buffer's read takes a cycle
                m.d.comb += prompt.rd_en.eq(1)
                m.next = "FEED"
            with m.State("FEED"):
                m.d.comb += [nodes.root.eq(filled == 0), nodes.add.eq(filled != 0), feed.eq(1)]
                m.d.sync += filled.eq(filled + 1)
                m.next = "READ"
                with m.If(filled + 1 == count):
                    m.next = "LANE"
            # ... or, behind the last token, what is drafted.
            if ngram:
                with m.State("DRAFT"):
                    m.d.comb += [
                        drafted.eq(1), nodes.add.eq(ngram.node.valid & ~shadow), nodes.token.eq(ngram.node.payload.token),
                        nodes.parent.eq(ngram.node.payload.parent),
                    ]
                    with m.If(ngram.node.valid & shadow):
                        m.d.sync += [guessed.eq(1), guess.eq(ngram.node.payload.token)]
                    with m.If(nothing | ngram.none | ngram.node.valid & ngram.node.payload.last):
                        m.next = "LANE"
            with m.State("APPEND"):
                m.d.comb += [nodes.add.eq(1), nodes.token.eq(candidates.token)]
                m.d.sync += lane.eq(0)
                with m.If(nodes.count == room):
                    m.d.sync += [drafting.eq(0), self.passes.eq(self.passes + 1)]
                with m.Else():
                    m.d.sync += self.draft_passes.eq(self.draft_passes + 1)
                m.next = "LANE"

            with m.State("LANE"):
                m.d.comb += [self.tx.valid.eq(1), pass_word.eq(PassWord.LANE), place.eq(self.tx.ready)]
                with m.If(self.tx.ready):
                    m.d.sync += lane.eq(lane + 1)
                    with m.If(lane == last):
                        m.next = "START"
            with m.State("START"):
                m.d.comb += [self.tx.valid.eq(1), pass_word.eq(PassWord.START), candidates.clear.eq(1)]
                with m.If(self.tx.ready):
                    if ngram:
                        m.d.comb += ngram.settle.eq(1)
                    m.d.comb += tally.issued.eq(1)
                    m.d.sync += synced.eq(0)
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.comb += outlet.begins.eq(1)
                m.d.sync += lane.eq(0)
                with m.If(synced == self.tiles):
                    m.d.sync += [self.verdict.eq(drafting | prefill & ~last_prefill), self.kept.eq(Mux(drafting, 0, every))]
                    with m.If(drafting):
                        m.next = "APPEND"
                    with m.Elif(prefill & ~last_prefill):
                        m.d.sync += position.eq(position + nodes.count)
                        m.next = "RELEASE"
                        with m.If(abort):
                            m.next = "FINISH"
                    with m.Else():
                        m.d.comb += [verifier.start.eq(1), tally.answered.eq(~prefill)]
                        m.next = "VERIFY"
            with m.State("VERIFY"):
                with m.If(verifier.done):
                    m.d.comb += tally.verified.eq(~prefill)
                    m.d.sync += [
                        self.verdict.eq(1), self.kept.eq(verifier.accepted), position.eq(outlet.at - 1), ask.eq(~outlet.over),
                        room.eq(outlet.room),
                    ]
                    m.next = "RELEASE"
                    with m.If(outlet.over):
                        m.next = "FINISH"
                        govern()
            with m.State("RELEASE"):
                m.d.comb += pass_word.eq(PassWord.COMMIT)
                kept, free = self.kept.bit_select(lane, 1), Signal()
                m.d.comb += [free.eq((lane != last) | ~planning), self.tx.valid.eq(kept & free), slots.give.eq(~kept & free)]
                with m.If(free & (~kept | self.tx.ready)):
                    m.d.sync += lane.eq(lane + 1)
                    with m.If(lane == last):
                        with m.If(prefill):
                            m.next = "COUNT"
                        with m.Else():
                            root()
                            govern()

            if governor:
                with m.State("GOVERN"):
                    m.d.comb += [
                        self.tx.valid.eq(governor.tx.valid), self.tx.payload.eq(governor.tx.payload), governor.tx.ready.eq(self.tx.ready),
                    ]
                    m.d.sync += [self.governor_cycles.eq(self.governor_cycles + 1), due.eq(0)]
                    with m.If(~governor.busy):
                        m.next = "LANE"
                        after_root()
                        with m.If(outlet.over):
                            m.next = "FINISH"
            with m.State("FINISH"):
                m.d.comb += [self.tx.valid.eq(1), pass_word.eq(PassWord.FINISH)]
                with m.If(self.tx.ready):
                    m.d.sync += [self.busy.eq(0), self.done.eq(1)]
                    m.next = "IDLE"
        if governor:
            m.d.comb += [
                governor.count.eq(self.matrices), governor.knob.eq(self.knob), governor.rx_valid.eq(self.rx_valid),
                governor.rx.eq(self.rx), self.result.eq(governor.result), damage.eq(governor.fault),
                *(getattr(governor, at).eq(getattr(self, name)) for at, name in (
                    ("load", "matrix_write"), ("load_addr", "matrix_addr"), ("load_data", "matrix_data"), ("look", "look"),
                    ("look_matrix", "look_matrix"), ("look_kind", "look_kind"))),
            ]
        return m

