"""The conductor: prefill and decoding, pass by pass, with what is drafted, verified and decided between them, without
the host.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.conductor.candidates import Candidates
from hayate.rtl.conductor.free_list import FreeList
from hayate.rtl.conductor.governor import Governor
from hayate.rtl.conductor.nodes import Nodes
from hayate.rtl.conductor.pass_sender import PassSender
from hayate.rtl.conductor.planner import Planner
from hayate.rtl.conductor.statistics import Statistics
from hayate.rtl.conductor.token_output import TokenOutput
from hayate.rtl.conductor.verifier import Verifier
from hayate.rtl.conductor.watchdog import Watchdog
from hayate.rtl.contract.activity import PHASE_BITS, Phase
from hayate.rtl.contract.flits import CONDUCTOR, LANE_BITS, FlitKind
from hayate.rtl.contract.isa import PassWord
from hayate.rtl.contract.words import PASS_SIZE_BITS, POSITION_BITS, TOKEN_BITS
from hayate.rtl.interfaces import TOKENS, Control, RingPort, Tables
from hayate.rtl.memory.parity import ParityMemory
from hayate.rtl.ring.flit import narrow

# State of the loop -> what those who look at it are told.
_PHASES = {
    "IDLE": Phase.IDLE,
    "BEGIN": Phase.FRAME,
    "COUNT": Phase.PROMPT,
    "READ": Phase.PROMPT,
    "FEED": Phase.PROMPT,
    "GROW": Phase.DRAFT,
    "ANNOUNCE": Phase.ANNOUNCE,
    "WAIT": Phase.PASS,
    "VERIFY": Phase.VERIFY,
    "RELEASE": Phase.RELEASE,
    "GOVERN": Phase.GOVERN,
    "FINISH": Phase.FRAME,
}


class Conductor(wiring.Component):
    """Runs generations. A pass is a tree of up to M nodes: a chain of prompt tokens, then the last token with what is
    drafted behind it.

    A pass is announced by the slots that the one before it leaves in the text (COMMIT), a LANE for each node, and a
    START; it has ended when `tiles` tiles have sent their SYNC, which follow their candidates. Then the verifier walks
    the tree, one token a cycle; slots off its path go back to the free list while the path's are announced, one node a
    cycle, whatever was accepted. A full token FIFO holds the loop back. Generation ends with the token limit, an end
    token (which is emitted) or the end of the context, wherever in a pass. A token of the prompt that the vocabulary
    lacks ends it too, when it is read from the prompt buffer: no pass with it is announced, and no token comes of it.
    What is drafted behind a root, and in which passes, is up to `Planner`: no more nodes than can be emitted before the
    end of context or token limit.

    `abort` ends a generation with the pass in progress, or being announced; between passes with what has been
    announced; and while the governor runs, with its run. What is still to come of the text is at most one token, and
    none if the FIFO is full: the text is what went into the FIFO. `busy` falls at most M + 4 cycles behind the later of
    the abort and the last SYNC of the pass, or the governor's end, while the ring takes what is sent. A pass that
    drafts ends it like any other. An abort before the governor has begun spares its run. While not busy, and in the
    cycle of `start`, an abort does nothing.

    The watchdog counts cycles of a generation. It starts anew with `start`, when a START goes out to the tiles, and
    when the FIFO takes a token; it does not count while a full FIFO keeps a token waiting. So each pass has `watchdog`
    cycles from START to its first token or to the next START, and the governor's run is part of those in front of the
    next one. When they are over the generation is given up: `busy` falls, `done` rises, nothing is sent any more, not
    even what has been offered, and `hung` and a deaf `start` stay until reset. Every state that waits, for the ring,
    for tiles or for drafters, counts.

    Reset abandons whatever is in progress, the watchdog included, and empties the token FIFO. Memories keep what they
    hold. Of those that no load fills, all but the governor's results are read only where the same generation has
    written: texts of drafters, the tables that `NgramDrafter` sweeps when a generation begins, the token FIFO. So
    whatever they held before, by reset or power-up, has no effect. `init` clears the governor's results.

    With `sample`, START says so, and BEGIN carries the seed: the tiles' candidates are then sums of scaled logit and
    noise, in passes that draft too. What is chosen from them is the same.

    With `auto`, the passes over the first `measured` positions of the prompt measure (START says so), and behind them
    the `Governor` runs, before the next pass is announced. If the prompt is no longer, it runs once the first token has
    been chosen, even where the generation ends with that token. Without it nothing of this takes a cycle. A text that
    is resumed has its tokens in the prompt, behind what was the prompt; `measured` does not count them, so that the
    decisions are those of its beginning.

    A prompt of one token and two tokens that come of it, where the tiles answer at once::

        cycle          0   1   2   3   4   5   6   7   8   9   10  11  12  13  14  15  16  17  18  19  20  21
        control.start  ~~~~____________________________________________________________________________________
        control.busy   ____~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~____
        state          IDL.BEG.COU.REA.FEE.ANN.....WAI.........VER.....REL.ANN.....WAI.........VER.....FIN.IDL.
        ring.tx.valid  ____~~~~____________~~~~~~~~____________________~~~~~~~~~~~~____________________~~~~____
        ring.rx.valid  ____________________________~~~~~~~~________________________~~~~~~~~____________________
        verdict        ________________________________________________~~~~____________________________~~~~____
        tokens.valid   ________________________________________________~~~~____________________________~~~~____

    Parameters
    ----------
    lanes: M. prompt_depth: tokens of prompt buffer and token FIFO. max_slots: KV slots, the most positions of a text.
        ring_tiles, max_matrices: `tiles` and `matrices` of the `Governor`. max_matrices 0: there is none, and no pass
        measures. sampling: without it, tokens are not sampled.

    Members
    -------
    control: In(Control). tables: In(Tables), not written while busy, but for the prompt; a machine of one lane has no
        base table.
    tokens: Out stream of Token. ring: Out(RingPort).
    init: In, a level, only while not busy. initialized: Out. High from 4 * max_matrices cycles behind the rise of
        `init` on until it falls.
    fault: Out. A damaged word was read from the prompt buffer, the token FIFO, the drafter's or the governor's
        memories, for one cycle.
    verdict: Out, a strobe at the end of every pass, behind its logits. kept: Out(lanes), nodes that now belong to the
        text. positions: Out, M x 16, of the nodes. For readers of the trace ports.
    phase: Out, a `Phase`. What it does in this cycle.
    """

    def __init__(self, *, lanes, prompt_depth, max_slots, ring_tiles, max_matrices, sampling=True):
        self._lanes, self._prompt_depth, self._max_slots = lanes, prompt_depth, max_slots
        self._governor = dict(tiles=ring_tiles, matrices=max_matrices)
        self._sampling = sampling
        super().__init__(
            {
                "control": In(Control(governor=max_matrices > 0, sampling=sampling)),
                "tables": In(Tables(governor=max_matrices > 0)),
                "tokens": Out(TOKENS),
                "ring": Out(RingPort(self._lanes)),
                "init": In(1),
                "initialized": Out(1),
                "fault": Out(1),
                "verdict": Out(1),
                "kept": Out(lanes),
                "positions": Out(POSITION_BITS).array(lanes),
                "phase": Out(PHASE_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        control, tables, ring = self.control, self.tables, self.ring
        request, figures = control.request, control.statistics
        m.submodules.prompt = prompt = ParityMemory(TOKEN_BITS, self._prompt_depth)
        m.submodules.candidates = candidates = Candidates(self._lanes)
        m.submodules.nodes = nodes = Nodes(self._lanes)
        m.submodules.slots = slots = FreeList(self._lanes)
        m.submodules.verifier = verifier = Verifier(self._lanes)
        m.submodules.planner = planner = Planner(lanes=self._lanes, depth=self._max_slots)
        m.submodules.pass_sender = pass_sender = PassSender(self._lanes)
        m.submodules.statistics = statistics = Statistics(self._lanes)
        m.submodules.patience = patience = Watchdog()
        governor = None
        if self._governor["matrices"]:
            m.submodules.governor = governor = Governor(**self._governor)
        m.submodules.token_output = token_output = TokenOutput(lanes=self._lanes, depth=self._prompt_depth)

        position = Signal(POSITION_BITS)  # of node 0
        # nodes of a prompt pass, and those that are there
        count = Signal(PASS_SIZE_BITS)
        filled = Signal(PASS_SIZE_BITS)
        synced = Signal(8)
        last = Signal(LANE_BITS)
        abort = Signal()
        damage = Signal()
        left = Signal(POSITION_BITS)  # prompt tokens not yet fed
        prefill = Signal()
        last_prefill = Signal()
        most = Signal(PASS_SIZE_BITS)  # positions of a pass of the prompt
        feed = Signal()
        m.d.comb += [
            prompt.wr_en.eq(tables.prompt.enable),
            prompt.wr_addr.eq(tables.prompt.address),
            prompt.wr_data.eq(tables.prompt.data),
            prompt.rd_addr.eq(position + filled),
            left.eq(request.prompt_length - position),
            prefill.eq(position < request.prompt_length),
            last_prefill.eq(left <= most),
            last.eq(nodes.count - 1),
        ]

        # Flits to the tiles, and what they send back.
        m.d.comb += [
            pass_sender.count.eq(Mux(planner.feeds, planner.fed_count, nodes.count)),
            pass_sender.kept.eq(self.kept),
            nodes.lane.eq(pass_sender.lane),
            pass_sender.node.eq(nodes.node),
            pass_sender.slot.eq(slots.slot),
            nodes.place.eq(slots.take),
            slots.take.eq(pass_sender.place & ~nodes.node.placed),
            nodes.slot.eq(slots.slot),
            slots.give.eq(pass_sender.give),
            slots.given.eq(nodes.node.slot),
            pass_sender.hold.eq(planner.planning & ~abort),
            pass_sender.prompt.eq(prefill),
            pass_sender.chosen.eq(Mux(planner.feeds, planner.caught_up, ~prefill | last_prefill)),
            pass_sender.second.eq(planner.feeds),
            pass_sender.drafting.eq(planner.drafting),
            pass_sender.hwm.eq(Mux(planner.feeds, planner.fed, slots.hwm)),
            pass_sender.all_logits.eq(request.all_logits),
            ring.tx.valid.eq(pass_sender.tx.valid),
            ring.tx.payload.eq(pass_sender.tx.payload),
            pass_sender.tx.ready.eq(ring.tx.ready),
        ]
        if governor:
            # A pass ends with the last position that is measured, so one measures all of its positions or none.
            unmeasured = Signal.like(request.measured)
            m.d.comb += [
                unmeasured.eq(request.measured - position),
                pass_sender.measure.eq(request.auto & prefill & (position < request.measured)),
                pass_sender.decisive.eq(pass_sender.measure & (unmeasured <= self._lanes)),
                most.eq(Mux(pass_sender.decisive, unmeasured, self._lanes)),
            ]
        else:
            m.d.comb += most.eq(self._lanes)
        if self._sampling:
            m.d.comb += [pass_sender.sample.eq(request.sample), pass_sender.seed.eq(request.seed)]
        arrived = ring.rx.payload
        m.d.comb += [
            candidates.valid.eq(Mux(ring.rx.valid & (arrived.kind == FlitKind.CAND), arrived.mask, 0)),
            candidates.words.eq(arrived.data),
            candidates.select.eq(
                Mux(planner.feeds, (planner.fed_count - 1)[:LANE_BITS], Mux(planner.drafting, 0, verifier.select))
            ),
        ]
        with m.If(pass_sender.started):
            m.d.sync += synced.eq(0)
        with m.Elif(ring.rx.valid & (arrived.kind == FlitKind.SYNC) & (arrived.lo == CONDUCTOR)):
            m.d.sync += synced.eq(synced + 1)
        with m.If(control.abort & control.busy):
            m.d.sync += abort.eq(1)
        with m.If(control.busy):
            m.d.sync += figures.cycles.eq(figures.cycles + 1)
        with m.If(token_output.first):
            m.d.sync += figures.prefill_cycles.eq(figures.cycles)

        # What is chosen from it, what the text takes and what comes next.
        wiring.connect(m, verifier.emit, token_output.emit)
        wiring.connect(m, planner.word, pass_sender.word)
        wiring.connect(m, token_output.tokens, wiring.flipped(self.tokens))
        wiring.connect(m, wiring.flipped(request.ending), token_output.ending)
        wiring.connect(m, wiring.flipped(control.draft), planner.draft)
        wiring.connect(m, wiring.flipped(tables.base), planner.base_write)
        m.d.comb += [
            *(v.eq(n) for v, n in zip(verifier.tokens, nodes.tokens)),
            *(v.eq(n) for v, n in zip(verifier.parents, nodes.parents)),
            verifier.count.eq(nodes.count),
            verifier.prefix.eq(prefill),
            verifier.first.eq(Mux(prefill, last, 0)),
            verifier.choice.eq(candidates.token),
            verifier.stop.eq(token_output.stop),
            token_output.cycles.eq(figures.cycles),
            token_output.abort.eq(abort),
            token_output.clear.eq(slots.clear),
            token_output.position.eq(position + Mux(prefill, nodes.count, 1)),
            token_output.draft_nodes.eq(control.draft.nodes),
            control.token_level.eq(token_output.level),
            control.full.eq(token_output.full),
            self.fault.eq(prompt.error | damage | token_output.fault | planner.fault),
            planner.vocabulary.eq(request.vocabulary),
            planner.clear.eq(slots.clear),
            planner.append.eq(feed | token_output.taken),
            planner.token.eq(Mux(feed, prompt.rd_data, token_output.emit.payload)),
            planner.position.eq(Mux(feed, position + filled, token_output.at)),
            planner.settle.eq(pass_sender.started),
            planner.verified.eq(verifier.done),
            planner.prompt.eq(prefill),
            planner.over.eq(token_output.over | abort),
            planner.room.eq(token_output.room),
            planner.depth.eq(nodes.depth),
            planner.emitted.eq(token_output.emitted),
            planner.count.eq(nodes.count),
            planner.choice.eq(candidates.token),
            planner.second.eq(candidates.second),
            planner.margin.eq(candidates.margin),
            figures.chance_first.eq(planner.first),
            figures.chance_more.eq(planner.more),
            statistics.clear.eq(slots.clear),
            statistics.count.eq(nodes.count),
            statistics.emitted.eq(token_output.emitted),
            statistics.siblings.eq(verifier.siblings),
            statistics.issued.eq(pass_sender.started),
            statistics.drafting.eq(planner.drafting),
            statistics.verified.eq(verifier.done & ~prefill),
            figures.passes.eq(statistics.passes),
            figures.draft_passes.eq(statistics.draft_passes),
            figures.turnaround.eq(statistics.turnaround),
            figures.proposed.eq(statistics.proposed),
            figures.accepted.eq(statistics.accepted),
            figures.siblings.eq(statistics.sibling_commits),
            *(a.eq(b) for a, b in zip(figures.lengths, statistics.lengths)),
            *(a.eq(b) for a, b in zip(self.positions, nodes.positions)),
            nodes.token.eq(prompt.rd_data),
            nodes.parent.eq(last),
            nodes.position.eq(position),
        ]

        # Between passes. What waits for a node's slot, the ring or a drafter holds the loop; nothing else takes more
        # than a cycle.
        begins = Signal()
        m.d.comb += [
            patience.limit.eq(request.watchdog),
            patience.restart.eq(begins | pass_sender.started | token_output.taken),
            patience.counts.eq(control.busy & ~(token_output.emit.valid & ~token_output.emit.ready)),
        ]
        due = Signal()  # the governor must run
        growing = Signal()  # the tables may bring nodes yet; those that are there are announced already

        def say(word, then):
            """Send a message of the pass_sender, then go on to a state."""
            m.d.comb += [pass_sender.go.eq(1), pass_sender.message.eq(word)]
            with m.If(pass_sender.done):
                m.next = then

        def govern():
            """Go by way of the governor where it is due: behind the last pass that measures, and the first token if it
            comes of that.
            """
            if governor:
                with m.If(due & ~abort):
                    m.d.comb += governor.start.eq(1)
                    m.next = "GOVERN"

        def give_way():
            """End here if so commanded: of the next pass nothing has been announced."""
            with m.If(abort):
                m.next = "FINISH"

        def announce():
            """Go on to the next pass."""
            m.d.sync += growing.eq(planner.grows)
            m.next = "ANNOUNCE"

        def grow():
            """Let a node come, if there is one."""
            m.d.comb += [
                planner.grow.eq(1),
                nodes.add.eq(planner.add),
                nodes.token.eq(planner.node),
                nodes.parent.eq(planner.parent),
            ]

        m.d.sync += self.verdict.eq(0)
        with m.If(~control.hung), m.FSM(name="loop") as loop:
            with m.State("IDLE"):
                with m.If(control.start):
                    m.d.comb += [slots.clear.eq(1), begins.eq(1)]
                    m.d.sync += [
                        control.busy.eq(1),
                        control.done.eq(0),
                        abort.eq(0),
                        position.eq(0),
                        figures.cycles.eq(0),
                        figures.prefill_cycles.eq(0),
                        growing.eq(0),
                    ]
                    if governor:
                        m.d.sync += [figures.governor_cycles.eq(0), due.eq(request.auto)]
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                say(PassWord.BEGIN, "COUNT")

            # The nodes of the next pass: a chain of prompt tokens ...
            with m.State("COUNT"):
                m.d.sync += [filled.eq(0), count.eq(Mux(last_prefill, left, most))]
                m.next = "READ"
                give_way()
            with m.State("READ"):  # the prompt buffer's read takes a cycle
                m.d.comb += prompt.rd_en.eq(1)
                m.next = "FEED"
                give_way()
            with m.State("FEED"):
                m.d.comb += [nodes.root.eq(filled == 0), nodes.add.eq(filled != 0), feed.eq(1)]
                m.d.sync += filled.eq(filled + 1)
                m.next = "READ"
                with m.If(filled + 1 == count):
                    m.next = "ANNOUNCE"
                give_way()
                with m.If(prompt.rd_data >= request.vocabulary):
                    m.d.comb += control.wrong_token.eq(1)
                    m.next = "FINISH"
            # ... or, behind the last token, what is drafted: by a pass before this one ...
            with m.State("GROW"):
                grow()
                with m.If(planner.grown):
                    m.next = "ANNOUNCE"
                give_way()

            # ... or by the tables, while the nodes before are being announced.
            with m.State("ANNOUNCE"):
                m.d.comb += [candidates.clear.eq(1), pass_sender.more.eq(growing)]
                say(PassWord.LANE, "WAIT")
                with m.If(growing):
                    grow()
                    m.d.sync += growing.eq(~planner.grown)
            with m.State("WAIT"):
                m.d.comb += token_output.begins.eq(1)
                with m.If(synced == request.tiles):
                    m.d.sync += self.verdict.eq(planner.drafting | prefill & ~last_prefill)
                    m.d.sync += self.kept.eq(Mux(planner.drafting, 0, (1 << nodes.count) - 1))
                    with m.If(planner.drafting):
                        m.next = "GROW"
                    with m.Elif(prefill & ~last_prefill):
                        m.d.sync += position.eq(position + nodes.count)
                        m.next = "RELEASE"
                        give_way()
                    with m.Else():
                        m.d.comb += [verifier.start.eq(1), statistics.answered.eq(~prefill)]
                        m.next = "VERIFY"
            with m.State("VERIFY"):
                with m.If(verifier.done):
                    m.d.sync += [self.verdict.eq(1), self.kept.eq(verifier.accepted), position.eq(token_output.at - 1)]
                    m.next = "RELEASE"
                    with m.If(token_output.over | abort):
                        m.next = "FINISH"
                        govern()
            with m.State("RELEASE"):
                say(PassWord.COMMIT, "COUNT")
                with m.If(pass_sender.done & abort):
                    m.next = "FINISH"
                with m.Elif(pass_sender.done & ~prefill):  # the tree of the next pass begins with the last token
                    m.d.comb += [nodes.root.eq(1), nodes.token.eq(token_output.last), planner.root.eq(1)]
                    announce()
                    govern()
                if governor:
                    with m.Elif(pass_sender.done & (position == request.measured)):
                        govern()

            if governor:
                with m.State("GOVERN"):
                    m.d.comb += [
                        ring.tx.valid.eq(governor.ring.tx.valid),
                        ring.tx.payload.eq(governor.ring.tx.payload),
                        governor.ring.tx.ready.eq(ring.tx.ready),
                    ]
                    m.d.sync += [figures.governor_cycles.eq(figures.governor_cycles + 1), due.eq(0)]
                    with m.If(~governor.busy):
                        with m.If(prefill):  # no tree, so nothing may come of the tables
                            m.next = "COUNT"
                        with m.Else():
                            announce()
                        with m.If(token_output.over | abort):
                            m.next = "FINISH"
            with m.State("FINISH"):
                say(PassWord.FINISH, "IDLE")
                with m.If(pass_sender.done):
                    m.d.sync += [control.busy.eq(0), control.done.eq(1)]
        for state, phase in _PHASES.items():
            if governor or state != "GOVERN":
                with m.If(loop.ongoing(state)):
                    m.d.comb += self.phase.eq(phase)
        with m.If(patience.expired):
            m.d.sync += [control.busy.eq(0), control.done.eq(1), control.hung.eq(1)]
        m.d.comb += self.initialized.eq(self.init)
        if governor:
            wiring.connect(m, wiring.flipped(tables.matrices), governor.load)
            wiring.connect(m, wiring.flipped(control.look), governor.look)
            m.d.comb += [
                governor.init.eq(self.init),
                self.initialized.eq(governor.initialized),
                governor.count.eq(request.matrices),
                governor.knob.eq(request.knob),
                governor.ring.rx.valid.eq(ring.rx.valid),
                governor.ring.rx.payload.eq(narrow(arrived)),
                damage.eq(governor.fault),
            ]
        return m
