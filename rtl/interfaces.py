"""Bundles of wires that blocks share, each written once: host control, writes of the conductor's tables, a block's end
of the ring.

Signatures are written from the side that speaks first: a block that asks has a member ``Out(Control(...))``, the one
that answers ``In(Control(...))``, and `amaranth.lib.wiring.connect` joins the two. Bundles that only one block's parts
share lie in that block's folder.
"""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hayate.rtl.contract.config import MAX_LANES
from hayate.rtl.contract.draft import (
    BASE_ENTRY,
    BASE_ONE_BIT,
    CHANCE_BITS,
    COST_BITS,
    DRAFT_COST_BITS,
)
from hayate.rtl.contract.isa import INDEX_BITS
from hayate.rtl.contract.precision import MEASURED_POSITIONS
from hayate.rtl.contract.regmap import END_TOKENS
from hayate.rtl.contract.words import POSITION_BITS, SEED_BITS, TOKEN_BITS
from hayate.rtl.ring.flit import FLIT_STREAM, flit_layout

#: entry of the token FIFO: the token, and the cycle of the generation at which it was chosen.
Token = data.StructLayout({"token": TOKEN_BITS, "cycle": 32})
TOKENS = stream.Signature(Token)


class Bundle(wiring.Signature):
    """A signature that equals others of its kind with the same members, however often it is made."""

    def __eq__(self, other):
        return type(self) is type(other) and self.members == other.members

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(self.members)})"


class RingPort(Bundle):
    """The end of stop 0 of a block that looks at `lanes` words of a flit.

    tx: Out stream of Flit, what it sends. rx: In, a stream of flits that have arrived, none of which is refused.
    """

    def __init__(self, lanes=1):
        arrived = {"valid": Out(1), "payload": Out(flit_layout(lanes))}
        super().__init__({"tx": Out(FLIT_STREAM), "rx": In(wiring.Signature(arrived))})


class TableWrite(Bundle):
    """Writes one entry of a table in each cycle in which `enable` is high.

    enable: Out. address, data: Out, of the given widths in bits.
    """

    def __init__(self, address_bits, data_bits):
        super().__init__({"enable": Out(1), "address": Out(address_bits), "data": Out(data_bits)})


#: writes of a token of the prompt, at its position; of a `BASE_ENTRY`, at its place in the base table; of half an entry
#: of the governor's table, at 2 * matrix + half.
PROMPT_WRITE = TableWrite(POSITION_BITS, TOKEN_BITS)
BASE_WRITE = TableWrite(BASE_ONE_BIT + 1, sum(BASE_ENTRY.values()))
MATRIX_WRITE = TableWrite(16, 64)


class Tables(Bundle):
    """Writes of the tables that the conductor keeps.

    prompt, base: Out, PROMPT_WRITE and BASE_WRITE. matrices: Out, MATRIX_WRITE, only with a `governor`.
    """

    def __init__(self, *, governor):
        matrices = {"matrices": Out(MATRIX_WRITE)} if governor else {}
        super().__init__({"prompt": Out(PROMPT_WRITE), "base": Out(BASE_WRITE), **matrices})


class Ending(Bundle):
    """How a text ends.

    token_limit, context_limit: Out(16), tokens that are generated, positions of the text. tokens: Out, END_TOKENS x 20,
    the lowest bits first. enable: Out(END_TOKENS), which of these end a text.
    """

    def __init__(self):
        super().__init__(
            {
                "token_limit": Out(POSITION_BITS),
                "context_limit": Out(POSITION_BITS),
                "tokens": Out(TOKEN_BITS * END_TOKENS),
                "enable": Out(END_TOKENS),
            }
        )


class Request(Bundle):
    """What a generation is to be.

    tiles: Out(8), that take part. prompt_length: Out(16), tokens. ending: Out(Ending). vocabulary: Out(21), token ids
    are below it. watchdog: Out(32), cycles, 0 for 2**32. all_logits: Out, logits of all positions of the prompt are
    wanted. With a `governor`: auto: Out, it chooses formats; measured: Out(4), positions of the prompt that it measures
    on, MEASURED_POSITIONS at most; matrices: Out(16), entries of its table; knob: Out(32), what quality is worth. With
    `sampling`: sample: Out; seed: Out(64).
    """

    def __init__(self, *, governor, sampling):
        measured = Out(range(MEASURED_POSITIONS + 1))
        of_governor = {"auto": Out(1), "measured": measured, "matrices": Out(16), "knob": Out(32)} if governor else {}
        of_sampling = {"sample": Out(1), "seed": Out(SEED_BITS)} if sampling else {}
        super().__init__(
            {
                "tiles": Out(8),
                "prompt_length": Out(POSITION_BITS),
                "ending": Out(Ending()),
                "vocabulary": Out(TOKEN_BITS + 1),
                "watchdog": Out(32),
                "all_logits": Out(1),
                **of_governor,
                **of_sampling,
            }
        )


class Drafting(Bundle):
    """How tokens are drafted.

    drafter: Out(2), a `contract.draft.Drafter`. nodes: Out(4), behind a root at most. branch: Out(3), of these,
    alternatives. corrupt: Out, drafts are made wrong, to measure what control costs. base: Out, the base table may be
    asked. control: Out, utility control plans. cost: Out(12), of a pass that drafts a node; costs: Out, MAX_LANES x 16,
    of a pass with 1, 2, ... nodes; in units of COST_UNIT to a pass with one.
    """

    def __init__(self):
        super().__init__(
            {
                "drafter": Out(2),
                "nodes": Out(4),
                "branch": Out(3),
                "corrupt": Out(1),
                "base": Out(1),
                "control": Out(1),
                "cost": Out(DRAFT_COST_BITS),
                "costs": Out(COST_BITS).array(MAX_LANES),
            }
        )


class RunStatistics(Bundle):
    """Figures of the generation in progress, or of the last one.

    cycles, prefill_cycles: Out(32), all of them, and those until the first token. passes, draft_passes: Out(32), those
    that only draft apart. proposed, accepted, siblings: Out(32), nodes behind the roots; accepted ones; of these, those
    whose parent has an earlier child. lengths: Out, MAX_LANES x 32, passes behind the prompt with 0, 1, ... accepted
    nodes. turnaround: Out(16), cycles from the last SYNC of a verified pass to the START behind it, the largest.
    chance_first, chance_more: Out(16), what utility control expects, in 1/65536. governor_cycles: Out(32), only with a
    `governor`.
    """

    def __init__(self, *, governor):
        counted = ("cycles", "prefill_cycles", "passes", "draft_passes", "proposed", "accepted", "siblings")
        super().__init__(
            {
                **{name: Out(32) for name in counted},
                "lengths": Out(32).array(MAX_LANES),
                "turnaround": Out(16),
                "chance_first": Out(CHANCE_BITS),
                "chance_more": Out(CHANCE_BITS),
                **({"governor_cycles": Out(32)} if governor else {}),
            }
        )


class Look(Bundle):
    """A look at what the governor found.

    strobe: Out. matrix: Out. kind: Out(2), an `isa.Energy`, or the decision. result: In(64), from 2 cycles after
    `strobe` on, while the governor runs from 5, until the next one.
    """

    def __init__(self):
        super().__init__({"strobe": Out(1), "matrix": Out(INDEX_BITS), "kind": Out(2), "result": In(64)})


class Control(Bundle):
    """What host port and conductor say to each other of a generation::

        start    ‾\\_______________________________      abort, in between: the pass in progress is the last
        busy     __/‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾\\____
        done     ‾‾\\__________________________/‾‾‾‾      until the next start; `full`, `hung` and statistics with it
        tokens   _________/‾\\___/‾\\_/‾\\_____________

    start, abort: Out, strobes. request: Out(Request), draft: Out(Drafting); both constant from `start` until `busy`
    falls. look: Out(Look), only with a `governor`. busy, done, full: In; `full` tells that the context ended the text.
    wrong_token: In, a strobe: a token of the prompt is not below the vocabulary. hung: In, the watchdog's time was
    over. token_level: In(16), tokens in the FIFO. statistics: In(RunStatistics).
    """

    def __init__(self, *, governor, sampling):
        super().__init__(
            {
                "start": Out(1),
                "abort": Out(1),
                "request": Out(Request(governor=governor, sampling=sampling)),
                "draft": Out(Drafting()),
                **({"look": Out(Look())} if governor else {}),
                "busy": In(1),
                "done": In(1),
                "full": In(1),
                "wrong_token": In(1),
                "hung": In(1),
                "token_level": In(16),
                "statistics": In(RunStatistics(governor=governor)),
            }
        )
