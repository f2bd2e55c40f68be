"""The host port: AXI4-Lite registers and the AXI4 load window. RTL, driver, C header and manual come from this
table.
"""

from dataclasses import dataclass
from enum import IntEnum

from hayate.rtl.contract.config import MAX_LANES
from hayate.rtl.contract.draft import FIRST_CHANCE, MORE_CHANCE
from hayate.rtl.contract.isa import INDEX_BITS

IDENT = 0x48595445  # "HYTE"
VERSION = 8

AXIL_ADDR_BITS = 12
AXI_ADDR_BITS = 40
AXI_ID_BITS = 4


@dataclass(frozen=True)
class Register:
    """One 32-bit register: byte offset, name, access, text, and fields (name, low bit, width, text); no fields means
    one of 32 bits.

    access: "ro", "rw" (byte strobes honoured), "wo" (reads as 0), "w1c" (writing 1 clears), "pop" (reading takes
    something out). Bits outside the fields read as 0. Writing what is not writable changes nothing and answers OKAY; an
    offset without a register answers SLVERR.
    """

    offset: int
    name: str
    access: str
    text: str
    fields: tuple = ()


#: bits of IRQ_STATUS and IRQ_ENABLE.
IRQ_FIELDS = (
    ("TOKEN", 0, 1, "a token was chosen"),
    ("DONE", 1, 1, "the generation has ended"),
    ("FAULT", 2, 1, "something went wrong, see FAULT_CAUSE"),
)

#: How many tokens may end a text, and the registers that name them. One that holds 0, as after reset, names none: not
#: token 0.
END_TOKENS = 4
END_REGISTERS = ("END_TOKEN", *(f"END_TOKEN_{n}" for n in range(1, END_TOKENS)))
END_FIELDS = (("TOKEN", 0, 20, "id"), ("ENABLE", 31, 1, "look for it"))

#: "rw" registers that ignore writes while STATUS.BUSY: they describe the generation in progress.
LOCKED_WHILE_BUSY = (
    "TILES",
    "PROMPT_LENGTH",
    "TOKEN_LIMIT",
    "CONTEXT",
    *END_REGISTERS,
    "OPTIONS",
    "MATRICES",
    "QUALITY",
    "DRAFT",
    "SEED_LOW",
    "SEED_HIGH",
    *(f"COSTS_{n}" for n in range(MAX_LANES // 2)),
    "WATCHDOG",
)

#: Why a START is refused: field of REJECTION, register, what is wrong with it, what the field means.
REFUSALS = (
    ("TILES", "TILES", "not MODEL_TILES", "TILES are not those that the model was placed on"),
    (
        "PROMPT_LENGTH",
        "PROMPT_LENGTH",
        "0, above CONTEXT, or above the tokens written, in order from position 0, since the model was loaded; or "
        "COMMITTED is not below it",
        "PROMPT_LENGTH is 0, above CONTEXT, above the tokens written, or not above COMMITTED",
    ),
    ("TOKEN_LIMIT", "TOKEN_LIMIT", "0", "TOKEN_LIMIT is 0"),
    ("CONTEXT", "CONTEXT", "above MODEL_CONTEXT", "CONTEXT is above MODEL_CONTEXT"),
    (
        "MATRICES",
        "MATRICES",
        "with AUTO, above the governor's entries that were loaded",
        "AUTO, and MATRICES is above the governor's entries that were loaded",
    ),
    ("OPTIONS", "OPTIONS", "AUTO without integer planes", "AUTO without integer planes"),
    (
        "DRAFT",
        "DRAFT",
        "DRAFTER 2 without integer planes, DRAFTER 3 without a draft model, BASE without a base table",
        "a drafter, or BASE, that the model has not",
    ),
    (
        "NOT_READY",
        "STATUS",
        "READY is 0, or RESET or INIT is written in the same word",
        "STATUS.READY is 0, or is about to be",
    ),
    ("NOT_LOADED", "STATUS", "LOADED is 0", "STATUS.LOADED is 0"),
    ("FAULT", "STATUS", "FAULT is 1", "STATUS.FAULT is 1: CONTROL.RESET comes first"),
    ("REFUSED", "STATUS", "REFUSED is 1", "the load window has refused a word that nobody has looked at"),
)
REJECTION_FIELDS = tuple((field, bit, 1, text) for bit, (field, _, _, text) in enumerate(REFUSALS))

#: Registers that say how deep the tiles' other memories are: of which field of the configuration.
DEPTHS = {
    f"{name.upper()}_DEPTH": text
    for name, text in (
        ("act", "64-bit words of an activation buffer"),
        ("stage", "64-bit words of a stage buffer"),
        ("vmem", "words of vector memory"),
        ("program", "instructions"),
        ("micro", "micro-operations"),
        ("desc", "descriptors"),
        ("landing", "finished rows that wait for the vector engine"),
    )
}

REGISTERS = (
    Register(0x000, "IDENT", "ro", '0x48595445, "HYTE"'),
    Register(0x004, "VERSION", "ro", "version of this register map"),
    Register(0x008, "CONTRACT", "ro", "first 32 bits of the contract hash; images carry the whole"),
    Register(
        0x00C,
        "GEOMETRY",
        "ro",
        "sizes of this build",
        (("TILES", 0, 8, "tiles"), ("BANKS", 8, 8, "banks of a tile"), ("LANES", 16, 8, "positions of a pass (M)")),
    ),
    Register(0x010, "BANK_DEPTH", "ro", "64-bit words of a bank"),
    Register(0x014, "MAX_SLOTS", "ro", "KV slots"),
    Register(0x018, "PROMPT_DEPTH", "ro", "tokens the prompt buffer holds"),
    Register(0x01C, "MAX_MATRICES", "ro", "matrices the governor's table holds"),
    Register(
        0x020,
        "CONTROL",
        "wo",
        "commands",
        (
            (
                "START",
                0,
                1,
                "begin a generation; ignored while busy, and refused (STATUS.REJECTED) when it could not end",
            ),
            ("ABORT", 1, 1, "end the generation after the pass in progress"),
            ("RESET", 2, 1, "abandon what is in progress, as rst does, but keep these registers; clears STATUS.FAULT"),
            ("INIT", 3, 1, "RESET, then clear every memory, banks included, and every register of the tiles"),
        ),
    ),
    Register(
        0x024,
        "STATUS",
        "ro",
        "state",
        (
            ("BUSY", 0, 1, "a generation is in progress"),
            ("DONE", 1, 1, "the last generation has ended"),
            ("FAULT", 2, 1, "something went wrong, see FAULT_CAUSE; until CONTROL.RESET or reset"),
            ("FULL", 3, 1, "ended by the end of the context"),
            ("REJECTED", 4, 1, "the last START was refused, see REJECTION"),
            ("READY", 5, 1, "reset and INIT are over: the machine takes loads and commands"),
            ("LOADED", 6, 1, "a model is loaded and sealed, and no memory error was seen since; reset keeps it"),
            ("REFUSED", 7, 1, "the load window has refused a word, see LOAD_STATUS"),
        ),
    ),
    Register(
        0x028, "TILES", "rw", "tiles that hold the model and report candidates", (("COUNT", 0, 8, "MODEL_TILES"),)
    ),
    Register(
        0x02C,
        "PROMPT_LENGTH",
        "rw",
        "tokens of the prompt",
        (
            ("TOKENS", 0, 16, "1 to PROMPT_DEPTH, at most CONTEXT"),
            (
                "COMMITTED",
                16,
                16,
                "of these, the last ones that are no prompt but the beginning of a text that is resumed; below TOKENS",
            ),
        ),
    ),
    Register(0x030, "TOKEN_LIMIT", "rw", "tokens to generate at most", (("TOKENS", 0, 16, "at least 1"),)),
    Register(
        0x034,
        "CONTEXT",
        "rw",
        "positions a sequence may have",
        (("POSITIONS", 0, 16, "at most MODEL_CONTEXT, which leaves M of MAX_SLOTS"),),
    ),
    Register(0x038, "END_TOKEN", "rw", "token that ends the text", END_FIELDS),
    Register(
        0x03C,
        "OPTIONS",
        "rw",
        "options of a generation",
        (
            ("ALL_LOGITS", 0, 1, "compute the logits of every prompt position, for the trace port"),
            ("AUTO", 1, 1, "measure as the prompt begins, then let the governor choose every matrix's format"),
            ("SAMPLE", 2, 1, "sample, with the seed of SEED_LOW and SEED_HIGH; reads as 0 where the build cannot"),
        ),
    ),
    Register(
        0x040,
        "TOKEN",
        "pop",
        "oldest token of the FIFO; reading takes it out",
        (("TOKEN", 0, 20, "id"), ("VALID", 31, 1, "0: the FIFO was empty")),
    ),
    Register(0x044, "TOKEN_CYCLE", "ro", "cycle of the generation at which the token just popped was chosen"),
    Register(0x048, "TOKEN_LEVEL", "ro", "tokens in the FIFO"),
    Register(0x050, "IRQ_STATUS", "w1c", "pending interrupts", IRQ_FIELDS),
    Register(0x054, "IRQ_ENABLE", "rw", "which of them raise irq; same bits", IRQ_FIELDS),
    Register(0x060, "CYCLES", "ro", "cycles since START, until DONE"),
    Register(0x064, "PREFILL_CYCLES", "ro", "cycles from START to the first token"),
    Register(0x068, "PASSES", "ro", "passes of the generation, those that only draft not counted"),
    Register(
        0x070,
        "COUNTER_SELECT",
        "rw",
        "asks for a counter of a tile; the answer takes a trip round the ring",
        (
            ("COUNTER", 0, 4, "number, see the counters"),
            ("TILE", 8, 8, "physical tile; one that is not there has 0 in every counter"),
        ),
    ),
    Register(0x074, "COUNTER_STATUS", "ro", "answer", (("READY", 0, 1, "COUNTER_VALUE holds the counter asked for"),)),
    Register(0x078, "COUNTER_VALUE", "ro", "its value"),
    Register(
        0x080,
        "MATRICES",
        "rw",
        "matrices that the governor decides on, the first ones of its table",
        (("COUNT", 0, 16, "at most MAX_MATRICES"),),
    ),
    Register(
        0x084, "QUALITY", "rw", "the governor's threshold: 2**24 * (1 - Q) / Q, rounded, of the quality 0 < Q <= 1"
    ),
    Register(
        0x088,
        "GOVERNOR_SELECT",
        "rw",
        "asks for a result of the governor; it is there before the next register can be read",
        (
            ("MATRIX", 0, INDEX_BITS, "place in the governor's table; the results of others read as 0"),
            ("KIND", 16, 2, "0 OUT, 1 ERR, 2 INT8_ERR: that energy, over all tiles; 3: the decision"),
        ),
    ),
    Register(0x08C, "GOVERNOR_LOW", "ro", "low half of the energy, or the decision: 0 FP16, 1 INT8, 2 INT4"),
    Register(0x090, "GOVERNOR_HIGH", "ro", "high half of the energy"),
    Register(
        0x094,
        "GOVERNOR_CYCLES",
        "ro",
        "cycles that the governor took in the generation, behind the passes that measure",
    ),
    Register(
        0x0A0,
        "DRAFT",
        "rw",
        "drafting",
        (
            ("DRAFTER", 0, 2, "0 nobody, 1 n-gram tables, 2 the model read as INT4, 3 the second model"),
            ("NODES", 4, 4, "nodes to draft for a pass at most; more than M - 1 are M - 1"),
            (
                "BRANCH",
                8,
                3,
                "of these, for alternatives: a chain of the n-gram tables, or second best tokens of the model "
                "read as INT4",
            ),
            ("CONTROL", 12, 1, "draft less, or nothing, where it does not pay by the table of costs"),
            (
                "CORRUPT",
                13,
                1,
                "turn the lowest bit of every drafted token over, so that drafts are wrong: to measure what that costs",
            ),
            ("BASE", 14, 1, "the n-gram tables may ask the base table where they know nothing of the last two tokens"),
            ("COST", 16, 12, "of a pass that drafts, in 1/256 of a pass with one node; 0 where the drafter takes none"),
        ),
    ),
    Register(0x0A4, "DRAFT_PASSES", "ro", "passes that only drafted"),
    Register(0x0A8, "PROPOSED", "ro", "nodes that were drafted and verified"),
    Register(0x0AC, "ACCEPTED", "ro", "of these, nodes that belong to the text"),
    Register(0x0B0, "SIBLINGS", "ro", "of these, nodes whose parent has an earlier child"),
    Register(
        0x0B4,
        "TURNAROUND",
        "ro",
        "cycles from the last answer of a verified pass to the start of the pass behind it, the largest",
    ),
    Register(
        0x0B8,
        "UTILITY",
        "ro",
        "what the control of drafting expects now, in 1/65536",
        (
            ("FIRST", 0, 16, "chance that a node behind the root is accepted"),
            ("MORE", 16, 16, "chance that an accepted chain goes on by one node"),
        ),
    ),
    *(
        Register(0x0C0 + 4 * n, f"ACCEPTED_{n}", "ro", f"passes behind the prompt with {n} accepted nodes")
        for n in range(MAX_LANES)
    ),
    *(
        Register(
            0x0E0 + 4 * n,
            f"COSTS_{n}",
            "rw",
            "costs of passes, in 1/256 of a pass with one node, for DRAFT.CONTROL; none is 0",
            (("LOW", 0, 16, f"{2 * n + 1} nodes"), ("HIGH", 16, 16, f"{2 * n + 2} nodes")),
        )
        for n in range(MAX_LANES // 2)
    ),
    Register(0x0F0, "SEED_LOW", "rw", "low half of the seed that sampling draws its noise by"),
    Register(0x0F4, "SEED_HIGH", "rw", "high half"),
    *(
        Register(0x100 + 4 * n, name, "rw", "another token that ends the text", END_FIELDS)
        for n, name in enumerate(END_REGISTERS[1:])
    ),
    Register(0x110, "REJECTION", "ro", "why the last START was refused; 0 where it was not", REJECTION_FIELDS),
    Register(
        0x114,
        "FAULT_CAUSE",
        "ro",
        "why STATUS.FAULT is set",
        (
            ("MEMORY", 0, 1, "a damaged word was read; the model must be loaded again"),
            ("TOKEN", 1, 1, "a token of the prompt that the model has not; the generation ended there"),
            ("TIMEOUT", 2, 1, "a pass took longer than WATCHDOG; the generation was given up"),
        ),
    ),
    Register(0x118, "WATCHDOG", "rw", "cycles that a pass may take; 0 is 2^32"),
    Register(
        0x11C,
        "LOAD_STATUS",
        "w1c",
        "the load window",
        (
            ("REFUSED", 0, 1, "a word was refused; a START is too, until this is cleared, with REASON; OPEN clears it"),
            ("OPEN", 1, 1, "a load has begun and is not sealed"),
            ("REASON", 4, 4, "why, of the first one refused, see the reasons"),
        ),
    ),
    Register(
        0x120,
        "LOAD_ADDRESS_LOW",
        "rw",
        "address in the load window, low half, for hosts of 32 bits; counts on with each word taken",
    ),
    Register(0x124, "LOAD_ADDRESS_HIGH", "rw", "high half", (("TILE", 0, 8, "physical tile"),)),
    Register(0x128, "LOAD_DATA_LOW", "rw", "low half of a word for the load window"),
    Register(
        0x12C, "LOAD_DATA_HIGH", "wo", "high half; its writing sends the word, and is answered as the load window would"
    ),
    Register(
        0x130,
        "MODEL_VOCABULARY",
        "ro",
        "tokens that the model of the last load knows; STATUS.LOADED says whether that is loaded",
    ),
    Register(0x134, "MODEL_TILES", "ro", "tiles that it was placed on"),
    Register(0x138, "MODEL_CONTEXT", "ro", "positions that a sequence may have at most"),
    *(Register(0x140 + 4 * n, name, "ro", text) for n, (name, text) in enumerate(DEPTHS.items())),
    Register(
        0x15C,
        "FEATURES",
        "ro",
        "what this build can do",
        (
            ("NESTED", 0, 1, "read weights as INT8 and INT4"),
            ("GOVERNOR", 1, 1, "choose their format"),
            ("SAMPLING", 2, 1, "sample"),
        ),
    ),
)

BY_NAME = {r.name: r for r in REGISTERS}

#: What is not 0 after reset: (register, field) -> value.
RESETS = {
    ("COUNTER_STATUS", "READY"): 1,
    ("STATUS", "READY"): 1,
    ("WATCHDOG", "VALUE"): 1 << 27,
    ("UTILITY", "FIRST"): FIRST_CHANCE,
    ("UTILITY", "MORE"): MORE_CHANCE,
}

#: Registers that say what was built, and those that reset leaves as they are.
BUILT = (
    "IDENT",
    "VERSION",
    "CONTRACT",
    "GEOMETRY",
    "BANK_DEPTH",
    "MAX_SLOTS",
    "PROMPT_DEPTH",
    "MAX_MATRICES",
    *DEPTHS,
    "FEATURES",
)
KEPT = ("GOVERNOR_LOW", "GOVERNOR_HIGH", "MODEL_VOCABULARY", "MODEL_TILES", "MODEL_CONTEXT")


def reset_value(register):
    """What a `Register` reads as after reset. None for those of BUILT and KEPT."""
    if register.name in BUILT + KEPT:
        return None
    return sum(RESETS.get((register.name, name), 0) << low for name, low, *_ in register.fields or (("VALUE", 0),))


#: AXI4 load window: 64-bit beats, little-endian. Address = tile << 32 | space << 28 | addr << 3.
LOAD_TILE_SHIFT = 32
LOAD_SPACE_SHIFT = 28
LOAD_SPACE_BITS = 4
LOAD_ALL_TILES = 255


class LoadSpace(IntEnum):
    """Spaces of the load window: 0 to 5 are `isa.Space`; these are the conductor's."""

    #: addr = 2*matrix + half, low half first: planes descriptor [11:0] | has an FP16 copy [12]; then sensitivities ERR
    #: [31:0] | INT8_ERR [63:32]
    GOVERNOR = 6
    PROMPT = 7  # addr = position in the prompt, data = token
    NGRAM = 8  # the drafter's base table: addr = place of a context, data = what is proposed behind it; see below
    MODEL = 9  # addr = Fact: what the machine must know of the model, the first and the last word of a load; see below


def load_address(tile, space, addr):
    """Byte address in the load window. `tile` is physical, or LOAD_ALL_TILES; any for the conductor's spaces."""
    return tile << LOAD_TILE_SHIFT | int(space) << LOAD_SPACE_SHIFT | addr << 3
