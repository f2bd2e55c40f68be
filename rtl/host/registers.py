"""The AXI4-Lite registers: parameters and commands of a generation, its tokens, interrupts and counters."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.config import MAX_LANES
from hayate.rtl.contract.draft import Drafter
from hayate.rtl.contract.flits import STOP_BITS
from hayate.rtl.contract.load import Feature
from hayate.rtl.contract.precision import MEASURED_POSITIONS
from hayate.rtl.contract.regmap import (
    BY_NAME,
    DEPTHS,
    END_REGISTERS,
    IDENT,
    IRQ_FIELDS,
    LOCKED_WHILE_BUSY,
    REGISTERS,
    REJECTION_FIELDS,
    VERSION,
    reset_value,
)
from hayate.rtl.host.axi import AxiLite
from hayate.rtl.host.gate import BEAT_BITS
from hayate.rtl.host.lite import SENDS, read_channel, write_channel
from hayate.rtl.host.loader import LoadStatus, SingleWord
from hayate.rtl.interfaces import TOKENS, Control

#: a counter of a tile.
CounterSelect = data.StructLayout({"counter": 4, "tile": STOP_BITS})

#: What is kept for a governor alone: register, field.
_KEPT_FOR_GOVERNOR = (
    ("OPTIONS", "AUTO"),
    ("MATRICES", "COUNT"),
    ("QUALITY", "VALUE"),
    ("GOVERNOR_SELECT", "MATRIX"),
    ("GOVERNOR_SELECT", "KIND"),
)
_KEPT_FOR_SAMPLING = (("OPTIONS", "SAMPLE"), ("SEED_LOW", "VALUE"), ("SEED_HIGH", "VALUE"))


def fields(register):
    """Fields of a `Register`; one of 32 bits when the table names none."""
    return register.fields or (("VALUE", 0, 32, register.text),)


class Registers(wiring.Component):
    """AXI4-Lite subordinate with the registers of `hayate.rtl.contract.regmap`.

    A write is carried out when address and data are both there, in whatever order they came; its answer comes 2 cycles
    after the later of them, a read's 3 cycles after its address; writes are sustained every 2 cycles, reads every 3. No
    path leads from an AXI input to an AXI output within a cycle. The two low address bits and AxPROT are not looked at.

    `start` is high for a cycle, 2 cycles after the data of a write that sets CONTROL.START, unless a generation is in
    progress. It is held back, and REJECTION says why until the next start, when the generation could not end or would
    not be the loaded model's: see `regmap.REFUSALS`. `abort`, `reset` and `clear` likewise, of CONTROL.ABORT, RESET and
    INIT. `look` is high for a cycle, 2 cycles after the data of a write of GOVERNOR_SELECT.

    A write of LOAD_DATA_HIGH offers a `word`, with the address and the low half that the registers before it hold, and
    is answered when that has been taken and it is `quiet`: SLVERR when it was refused. The address counts on by a word
    that was taken. So it goes until the answer::

        cycle               0   1   2   3   4   5   6   7   8   9
        bus.wvalid          ~~~~____________________________________
        hit_load_data_high  ____~~~~________________________________
        single.word.valid   ________~~~~~~~~~~~~____________________
        single.word.ready   ________________~~~~____________________
        single.settled      ____________________________~~~~~~~~~~~~
        sent                ____________________________~~~~________
        bus.bvalid          ________________________________~~~~____

    A read of TOKEN takes one entry from `tokens` for every address accepted, when the answer is formed. An interrupt
    that comes in the cycle in which its bit is cleared stays pending. Writing COUNTER_SELECT sends one `request`; while
    an earlier one is unanswered it waits, and of several that wait only the last is sent. A tile that is not there is
    answered with 0 on the spot. Reset clears everything; `core_reset`, the faults and what is unanswered.

    A question to a tile, and its answer::

        cycle                0   1   2   3   4   5   6   7   8   9   10
        bus.wvalid           ~~~~________________________________________
        hit_counter_select   ____~~~~____________________________________
        wanted               ________~~~~________________________________
        waiting              ____________~~~~~~~~~~~~~~~~~~~~~~~~________
        request.valid        ____________~~~~~~~~~~~~____________________
        reply_valid          ________________________________~~~~________
        word_counter_status  1.......0...........................1.......

    Parameters
    ----------
    config: `Config`. contract_word: what CONTRACT reads as.
        Without a governor OPTIONS.AUTO and all registers about it read as 0 and ignore writes, and its ports are not
        there; without sampling, so it is with OPTIONS.SAMPLE, SEED_LOW and SEED_HIGH.

    Members
    -------
    bus: In(AxiLite). irq: Out, level: IRQ_STATUS & IRQ_ENABLE is not 0.
    control: Out(Control). tokens: In stream of Token.
    reset, clear: Out, commands. ready, core_reset: In, as of `Power`.
    single: Out(SingleWord). status: In(LoadStatus). fault: In, a rising edge is one memory error.
    request: Out stream of CounterSelect. reply_valid, reply_value (32): In; taken when a request is unanswered, else
        ignored.
    """

    def __init__(self, config, contract_word):
        self._config = config
        self._governor, self._sampling = bool(config.governor), bool(config.sampling)
        parts = {
            "GEOMETRY": {"TILES": config.tiles, "BANKS": config.banks, "LANES": config.lanes},
            "FEATURES": {"NESTED": config.nested, "GOVERNOR": config.governor, "SAMPLING": config.sampling},
        }
        self._constants = {
            "IDENT": IDENT,
            "VERSION": VERSION,
            "CONTRACT": contract_word,
            "MAX_SLOTS": config.max_slots,
            "MAX_MATRICES": config.matrices,
            **{name: getattr(config, name.lower()) for name in ("BANK_DEPTH", "PROMPT_DEPTH", *DEPTHS)},
            **{
                name: sum(values[field] << low for field, low, *_ in BY_NAME[name].fields)
                for name, values in parts.items()
            },
        }
        super().__init__(
            {
                "bus": In(AxiLite()),
                "irq": Out(1),
                "fault": In(1),
                "tokens": In(TOKENS),
                "request": Out(stream.Signature(CounterSelect)),
                "reply_valid": In(1),
                "reply_value": In(32),
                "reset": Out(1),
                "clear": Out(1),
                "ready": In(1),
                "core_reset": In(1),
                "single": Out(SingleWord()),
                "status": In(LoadStatus()),
                "control": Out(Control(governor=self._governor, sampling=self._sampling)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        control, state, word = self.control, self.status.state, self.single.word
        request, draft, figures = control.request, control.draft, control.statistics
        #: register name -> the 32 bits that a read gives, register name -> a write of it happens in this cycle
        words = {r.name: Signal(32, name=f"word_{r.name.lower()}") for r in REGISTERS}
        hits = {r.name: Signal(name=f"hit_{r.name.lower()}") for r in REGISTERS if r.access in ("rw", "wo", "w1c")}
        write_data = Signal(32)
        write_strobe = Signal(4)
        pop = Signal()
        sent = Signal()
        refused = Signal()
        write_channel(m, self.bus, hits, write_data, write_strobe, sent, refused)
        read_channel(m, self.bus, words, pop)

        locked = Signal()
        m.d.comb += locked.eq(control.busy | control.start)
        stored = {}
        absent = (*(() if self._governor else _KEPT_FOR_GOVERNOR), *(() if self._sampling else _KEPT_FOR_SAMPLING))
        for register in (r for r in REGISTERS if r.access == "rw"):
            bits = Signal(32, name=register.name.lower(), init=reset_value(register))
            kept = [f for f in fields(register) if (register.name, f[0]) not in absent]
            for _, low, width, _ in kept:
                m.d.comb += words[register.name][low : low + width].eq(bits[low : low + width])
                for byte in range(4):
                    first, end = max(low, 8 * byte), min(low + width, 8 * byte + 8)
                    free = ~locked if register.name in LOCKED_WHILE_BUSY else Const(1)
                    if first < end:
                        with m.If(hits[register.name] & write_strobe[byte] & free):
                            m.d.sync += bits[first:end].eq(write_data[first:end])
            for name, low, width, _ in kept:
                stored[register.name, name] = bits[low : low + width]

        def written(register, field):
            """The one-bit `field` is being written as 1."""
            low = next(low for name, low, *_ in fields(BY_NAME[register]) if name == field)
            return hits[register] & write_strobe[low // 8] & write_data[low]

        def show(register, **values):
            for name, low, width, _ in fields(BY_NAME[register]):
                m.d.comb += words[register][low : low + width].eq(values[name])

        for name, value in self._constants.items():
            m.d.comb += words[name].eq(value)

        # Commands.
        faults = {name: Signal(name=f"fault_{name.lower()}") for name, *_ in BY_NAME["FAULT_CAUSE"].fields}
        was_fault = Signal()
        was_hung = Signal()
        causes = {"MEMORY": self.fault & ~was_fault, "TOKEN": control.wrong_token, "TIMEOUT": control.hung & ~was_hung}
        # a refused word that nobody has looked at
        unseen = Signal()
        rejection = Signal(len(REJECTION_FIELDS))
        tiles, length = stored["TILES", "COUNT"], stored["PROMPT_LENGTH", "TOKENS"]
        committed = stored["PROMPT_LENGTH", "COMMITTED"]
        limit, context = stored["TOKEN_LIMIT", "TOKENS"], stored["CONTEXT", "POSITIONS"]
        auto = stored["OPTIONS", "AUTO"] if self._governor else Const(0)
        planes, second, base, _ = (state.facts.features.bit_select(n, 1) for n in range(len(Feature)))
        refusals = {
            "TILES": tiles != state.facts.tiles,
            "PROMPT_LENGTH": (length <= committed) | (length > context) | (length > state.prompt_count),
            "TOKEN_LIMIT": limit == 0,
            "CONTEXT": context > state.facts.context,
            "MATRICES": auto & (stored["MATRICES", "COUNT"] > state.facts.matrices) if self._governor else 0,
            "OPTIONS": auto & ~planes,
            "DRAFT": ~planes & (draft.drafter == Drafter.NESTED)
            | ~second & (draft.drafter == Drafter.DRAFT)
            | ~base & draft.base,
            "NOT_READY": ~self.ready | written("CONTROL", "RESET") | written("CONTROL", "INIT"),
            "NOT_LOADED": ~state.loaded,
            "FAULT": Cat(*faults.values(), *causes.values()).any(),
            "REFUSED": unseen,
        }
        why = Cat(refusals[name] for name, *_ in REJECTION_FIELDS)
        m.d.sync += [
            control.abort.eq(written("CONTROL", "ABORT")),
            self.reset.eq(written("CONTROL", "RESET")),
            self.clear.eq(written("CONTROL", "INIT")),
            control.start.eq(0),
        ]
        with m.If(written("CONTROL", "START") & ~locked):
            m.d.sync += [control.start.eq(~why.any()), rejection.eq(why)]
        show("REJECTION", **dict(zip((name for name, *_ in REJECTION_FIELDS), rejection)))
        m.d.comb += [
            request.vocabulary.eq(state.facts.vocabulary),
            request.watchdog.eq(stored["WATCHDOG", "VALUE"]),
            request.tiles.eq(tiles),
            request.prompt_length.eq(length),
            request.ending.token_limit.eq(limit),
            request.ending.context_limit.eq(context),
            request.ending.tokens.eq(Cat(stored[name, "TOKEN"] for name in END_REGISTERS)),
            request.ending.enable.eq(Cat(stored[name, "ENABLE"] for name in END_REGISTERS)),
        ]
        m.d.comb += [
            draft.drafter.eq(stored["DRAFT", "DRAFTER"]),
            draft.nodes.eq(stored["DRAFT", "NODES"]),
            draft.branch.eq(stored["DRAFT", "BRANCH"]),
            draft.corrupt.eq(stored["DRAFT", "CORRUPT"]),
            draft.base.eq(stored["DRAFT", "BASE"]),
            draft.control.eq(stored["DRAFT", "CONTROL"]),
            draft.cost.eq(stored["DRAFT", "COST"]),
            request.all_logits.eq(stored["OPTIONS", "ALL_LOGITS"]),
            *(
                draft.costs[2 * n + odd].eq(stored[f"COSTS_{n}", half])
                for n in range(MAX_LANES // 2)
                for odd, half in enumerate(("LOW", "HIGH"))
            ),
        ]
        if self._sampling:
            m.d.comb += [
                request.sample.eq(stored["OPTIONS", "SAMPLE"]),
                request.seed.eq(Cat(stored["SEED_LOW", "VALUE"], stored["SEED_HIGH", "VALUE"])),
            ]
        if self._governor:
            own = Signal(len(length))  # tokens of the prompt that no text begins with
            m.d.comb += [
                own.eq(length - committed),
                request.measured.eq(Mux(own > MEASURED_POSITIONS, MEASURED_POSITIONS, own)),
                request.auto.eq(stored["OPTIONS", "AUTO"]),
                request.matrices.eq(stored["MATRICES", "COUNT"]),
                request.knob.eq(stored["QUALITY", "VALUE"]),
                control.look.matrix.eq(stored["GOVERNOR_SELECT", "MATRIX"]),
                control.look.kind.eq(stored["GOVERNOR_SELECT", "KIND"]),
            ]
            selected = Signal()
            there = control.look.matrix < self._config.matrices
            m.d.sync += selected.eq(hits["GOVERNOR_SELECT"] & write_strobe.any())
            m.d.comb += control.look.strobe.eq(selected & there)
            show("GOVERNOR_LOW", VALUE=Mux(there, control.look.result[:32], 0))
            show("GOVERNOR_HIGH", VALUE=Mux(there, control.look.result[32:], 0))
            show("GOVERNOR_CYCLES", VALUE=figures.governor_cycles)

        # Tokens.
        token_cycle = Signal(32)
        m.d.comb += self.tokens.ready.eq(pop)
        with m.If(self.tokens.valid & pop):
            m.d.sync += token_cycle.eq(self.tokens.payload.cycle)
        show("TOKEN", TOKEN=Mux(self.tokens.valid, self.tokens.payload.token, 0), VALID=self.tokens.valid)
        show("TOKEN_CYCLE", VALUE=token_cycle)
        show("TOKEN_LEVEL", VALUE=control.token_level)

        # Interrupts. A token has arrived when the level is not what this cycle's pop alone would have left.
        level_expected = Signal(range(self._config.prompt_depth + 1))
        was_done = Signal()
        m.d.sync += [
            level_expected.eq(control.token_level - (self.tokens.valid & pop)),
            was_done.eq(control.done),
            was_fault.eq(self.fault),
            was_hung.eq(control.hung),
        ]
        events = {
            "TOKEN": control.token_level[: len(level_expected)] != level_expected,
            "DONE": control.done & ~was_done,
            "FAULT": Cat(*causes.values()).any(),
        }
        pending = {name: Signal(name=f"pending_{name.lower()}") for name, *_ in IRQ_FIELDS}
        for name, signal in pending.items():
            with m.If(events[name]):
                m.d.sync += signal.eq(1)
            with m.Elif(written("IRQ_STATUS", name)):
                m.d.sync += signal.eq(0)
        show("IRQ_STATUS", **pending)
        m.d.comb += self.irq.eq(Cat(pending[name] & stored["IRQ_ENABLE", name] for name in pending).any())
        for name, cause in causes.items():
            with m.If(cause):
                m.d.sync += faults[name].eq(1)
            with m.Elif(self.core_reset):
                m.d.sync += faults[name].eq(0)
        show("FAULT_CAUSE", **faults)
        show(
            "STATUS",
            BUSY=locked,
            DONE=control.done & ~control.start,
            FAULT=Cat(*faults.values()).any(),
            FULL=control.full & ~control.start,
            REJECTED=rejection.any(),
            READY=self.ready,
            LOADED=state.loaded,
            REFUSED=unseen,
        )
        show("CYCLES", VALUE=figures.cycles)
        show("PREFILL_CYCLES", VALUE=figures.prefill_cycles)
        show("PASSES", VALUE=figures.passes)
        show("DRAFT_PASSES", VALUE=figures.draft_passes)
        show("PROPOSED", VALUE=figures.proposed)
        show("ACCEPTED", VALUE=figures.accepted)
        show("SIBLINGS", VALUE=figures.siblings)
        show("TURNAROUND", VALUE=figures.turnaround)
        show("UTILITY", FIRST=figures.chance_first, MORE=figures.chance_more)
        for n in range(MAX_LANES):
            show(f"ACCEPTED_{n}", VALUE=figures.lengths[n])

        # Counters of the tiles, one question at a time.
        ready = Signal(init=reset_value(BY_NAME["COUNTER_STATUS"]))
        wanted = Signal()
        waiting = Signal()
        value = Signal(32)
        counter, tile = stored["COUNTER_SELECT", "COUNTER"], stored["COUNTER_SELECT", "TILE"]
        with m.If(self.request.ready):
            m.d.sync += self.request.valid.eq(0)
        with m.If(wanted & ~waiting):
            m.d.sync += wanted.eq(0)
            with m.If(tile < self._config.tiles):
                m.d.sync += [waiting.eq(1), self.request.valid.eq(1)]
                m.d.sync += [self.request.payload.counter.eq(counter), self.request.payload.tile.eq(tile)]
            with m.Else():
                m.d.sync += [ready.eq(1), value.eq(0)]
        with m.If(waiting & self.reply_valid):
            m.d.sync += [waiting.eq(0), ready.eq(~wanted), value.eq(self.reply_value)]
        with m.If(hits["COUNTER_SELECT"] & write_strobe.any()):
            m.d.sync += [wanted.eq(1), ready.eq(0)]
        with m.If(self.core_reset & waiting):  # its answer may be lost: ask again
            m.d.sync += [waiting.eq(0), wanted.eq(1), self.request.valid.eq(0)]
        show("COUNTER_STATUS", READY=ready)
        show("COUNTER_VALUE", VALUE=value)

        # The load window: what it refused, its words one by one, and what they said of the model.
        reason = Signal(4)
        with m.If(self.status.refused):
            m.d.sync += unseen.eq(1)
            with m.If(~unseen):
                m.d.sync += reason.eq(self.status.reason)
        with m.Elif(state.began | written("LOAD_STATUS", "REFUSED")):
            m.d.sync += [unseen.eq(0), reason.eq(0)]
        show("LOAD_STATUS", REFUSED=unseen, OPEN=state.opened, REASON=reason)
        high = Signal(32)
        whole = Signal()
        sending = Signal()
        bad = Signal()
        low_address = stored["LOAD_ADDRESS_LOW", "VALUE"]
        m.d.comb += [
            word.payload.eq(
                Cat(
                    low_address[BEAT_BITS:], stored["LOAD_ADDRESS_HIGH", "TILE"], stored["LOAD_DATA_LOW", "VALUE"], high
                )
            ),
            self.single.malformed.eq(~whole | low_address[:BEAT_BITS].any()),
            sent.eq(sending & ~word.valid & self.single.settled),
            refused.eq(bad),
        ]
        with m.If(hits[SENDS.name]):
            m.d.sync += [high.eq(write_data), whole.eq(write_strobe.all()), word.valid.eq(1), sending.eq(1)]
        with m.If(word.valid & word.ready):
            counted = low_address[BEAT_BITS : BEAT_BITS + len(word.payload.addr)]
            m.d.sync += [word.valid.eq(0), bad.eq(self.single.refused)]
            with m.If(~self.single.refused):
                m.d.sync += counted.eq(counted + 1)
        with m.If(sent):
            m.d.sync += sending.eq(0)
        show("MODEL_VOCABULARY", VALUE=state.facts.vocabulary)
        show("MODEL_TILES", VALUE=state.facts.tiles)
        show("MODEL_CONTEXT", VALUE=state.facts.context)
        return m
