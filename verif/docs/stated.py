"""What pages say in prose that comes from the code: sentences with the code's values in them, by page.

A number that a driver's author might copy stands in one of these sentences (`STATED`), or it is no number of the code's
(`FREE`): a definition, arithmetic, a figure with the command that makes it. `test_stated.py` looks for each sentence in
its page, and for numbers of the pages in `COMPLETE` that stand in none. So what changes in the code, or is typed anew
into a page, is noticed.
"""

from hayate.compiler import program
from hayate.golden.conductor.governor import QUALITY, knob_of
from hayate.rtl.contract import (
    constants,
    draft,
    encoding,
    filters,
    flits,
    isa,
    load,
    noise,
    precision,
    regmap,
    secded,
    tables,
)
from hayate.rtl.contract.latencies import MACRO_LATENCY, SELECT_CYCLES
from hayate.rtl.contract.words import MATRIX_WORDS, POSITION_BITS
from hayate.rtl.host.gate import BEAT_BITS
from hayate.rtl.tile import counters, energy, semaphores
from hayate.rtl.tile.matrix import activation
from hayate.rtl.tile.sequencer import precision_table
from hayate.rtl.tile.sequencer.entries import INSTRUCTIONS, descriptor_bits
from hayate.rtl.tile.sequencer.registers import COMMON
from hayate.rtl.tile.vector import micro
from hayate.verif.docs.promises import (
    ABORT_MORE,
    BLOCK,
    CHANNELS,
    COUNTED,
    ENGINE,
    IDLE_CYCLES,
    INDEX_BITS,
    KV_BANKS,
    KV_CYCLES,
    LOOP,
    MIN_DECISION,
    NIBBLES,
    NOTES,
    ONE,
    PAIR,
    PLANES_GEMV,
    READ_CYCLES,
    REASON_ORDER,
    SELECT_MORE,
    TAG,
    TOKEN,
    WORDS,
    WRITE_CYCLES,
)

ISA = (
    f"{WORDS[4]} consecutive rows or FP16 elements, one {8 << BEAT_BITS}-bit word",
    f"At most {'2' if NOTES == 'two' else NOTES}·M of them may come before a START.",
    f"two queues of {WORDS[isa.QUEUE_DEPTH]} entries: one for the matrix engine, one for the vector engine",
    f"A loop instruction takes it {LOOP} cycles, and an engine's {ENGINE}. A GEMV of a matrix with planes takes "
    f"{PLANES_GEMV}, because",
    f"There are {WORDS[isa.CHANNELS]}, and each is a counting semaphore",
    f"Levels are {semaphores.LEVEL_BITS} bits and wrap: no program may let more than "
    f"{(1 << semaphores.LEVEL_BITS) - 1:,} contributions",
    f"{isa.INSTRUCTION_BITS} bits, opcode in the low {WORDS[encoding.FORMATS[isa.Op.END]['op'][1]]}.",
    f"A block of MXINT8 is {BLOCK} elements, {BLOCK // 4} words, from `act` on",
    f"begins at a multiple of {BLOCK // 4} words",
    f"a scale word, the hi words of its {WORDS[precision.WORD_SCALES]} groups",
    f"with hi word i the words {NIBBLES // 4}·i … {NIBBLES // 4}·i + {NIBBLES // 4 - 1}",
    f"with both the words {NIBBLES // 4}·i … {NIBBLES // 4}·i + {NIBBLES // 4 - 1}",
    f"in units of 2^−{-constants.ACC_LSB}, before rounding",
    f"saturated to {energy.TERM_BITS} bits, signed",
    f"only in the positions that START lists in bits {COUNTED}.",
    *(f"| {int(e)} | {e.name} | " for e in isa.Energy),
    f"The totals have {energy.TOTAL_BITS} bits and are emptied by BEGIN.",
    f"one with a row for every {1 << isa.ROPE_FINE_BITS}th position (POS_HI) and one for the positions below "
    f"{1 << isa.ROPE_FINE_BITS} "
    f"(POS_LO, ROPE_FINE_BITS = {isa.ROPE_FINE_BITS})",
    f"That takes {KV_CYCLES} cycles, min({KV_BANKS}, B) banks at a time.",
    f"the exact partial sums, {constants.ACC_WIDTH} bits in "
    f"{WORDS[-(-constants.ACC_WIDTH // flits.FLIT_FIELDS['data'])]} flits",
    f"(modulo ROUNDS_AHEAD = {isa.ROUNDS_AHEAD})",
    f"token 2^{(isa.NO_ROW + 1).bit_length() - 1} − 1",
    f"Bit {filters.COUNTS_BIT} of their address is set, bit 0 says which half, bit {filters.ROUND_BIT} is the "
    "parity of the round, bits "
    f"{INDEX_BITS} are the tile's logical index.",
    f"digit by digit of {filters.DIGIT_BITS} bits",
    f"{filters.DIGITS} times: every z goes by once",
    f"c[d] = min({filters.TOP_K_MAX}, keys here",
    f"C[d] = min({filters.TOP_K_MAX}, Σ c[d] over all tiles)",
    f"Counts may stop at {filters.TOP_K_MAX} as no k is larger.",
    f"SELECT takes {SELECT_CYCLES} cycles for each wanted position and {SELECT_MORE} more.",
    f"LOOP {filters.DIGITS}: count, send counts, select",
    f"## Micro-operations {isa.MICRO_BITS} bits.",
    f"writes NEVER (0x{isa.NEVER:04X})",
    f"## Descriptors {isa.DESCRIPTOR_BITS} bits, one per matrix",
    f"{WORDS[precision_table.FORMAT_BITS]} bits per planes descriptor",
    f"at address 2^PRECISION_BIT + index (PRECISION_BIT = {isa.PRECISION_BIT})",
    f"and {max(precision.Format) + 1} must not be written",
    f"An address with bit {isa.SECOND_BIT} (2^SECOND_BIT) is the same register of the second model. "
    "{}, {}, {} and {} are the same for both".format(*(csr.name for csr in COMMON)),
    f"or to the stage buffer where bit {isa.STAGE_BIT} of its address is set",
    f"and {flits.CONDUCTOR} in both is the conductor",
    f"A READ whose address has bit {isa.ENERGY_BIT} asks for an energy: bits {isa.ENERGY_BIT - 1}:2 are the planes "
    "descriptor, bits 1:0 the",
    "| {} | gathered activations | | {} | sums | | {}, {}, {} | q, k, v | | {} | embeddings | | {} | angles | "
    "| {} | the input of a tied output matrix | ".format(*CHANNELS)
    + f"| {program.PROB} to {program.PROB + isa.ROUNDS_AHEAD - 1} | softmax numerators, one for each round of a "
    f"chunk | | {program.MAXIMA} to {program.MAXIMA + isa.ROUNDS_AHEAD - 1} | maxima, one for each round of a chunk |",
)

MEMORY_MAP = (
    f"32-bit registers on AXI4-Lite (`s_axil`, {1 << regmap.AXIL_ADDR_BITS - 10} KiB) and a {8 << BEAT_BITS}-bit "
    "load window on AXI4 (`s_axi`, "
    f"{regmap.AXI_ADDR_BITS} address bits)",
    f"Up to {WORDS[regmap.END_TOKENS]} tokens end a text: {regmap.END_REGISTERS[0]} and {regmap.END_REGISTERS[1]} to "
    f"{regmap.END_REGISTERS[-1]}, in any order",
    "with ENABLE 0, as after reset, its TOKEN ends nothing, token 0 neither",
    f"every beat is a whole {8 << BEAT_BITS}-bit word",
    f"an address with bit {isa.PRECISION_BIT} (2^PRECISION_BIT) is an entry of the precision table: its low "
    f"{WORDS[isa.PRECISION_BIT]} bits are",
    f"NGRAM has {1 << PAIR:,} entries for contexts of two tokens and behind them {1 << ONE} for contexts of one "
    f"(bit {draft.BASE_ONE_BIT} of",
    f"the token that is proposed [{TOKEN - 1}:0], a tag [{TOKEN + TAG - 1}:{TOKEN}] and a valid bit [{TOKEN + TAG}]",
    f"of several reasons the first that applies, in the order {', '.join(REASON_ORDER)}.",
    f"A bank address is bank·2^{isa.BANK_SHIFT} + word.",
    f"Entries of PROGRAM and DESC have {isa.INSTRUCTION_BITS} bits and take "
    f"{WORDS[isa.ENTRY_WORDS[isa.Space.DESC]]} beats",
    f"of MICRO and of the governor's table have {isa.MICRO_BITS} bits and take {WORDS[len(MATRIX_WORDS)]}",
    f"desc_depth × up to {sum(bits for _, bits in descriptor_bits(1 << isa.INDEX_BITS, True))} bits",
    f"without planes {sum(bits for _, bits in descriptor_bits(1, False))} bits",
    f"the FP16 scales of {precision.WORD_SCALES} groups",
    f"{NIBBLES} elements each, the first in the low nibble: of these {precision.WORD_SCALES} groups, "
    f"{precision.WORD_SCALES}·g / {NIBBLES} words",
    f"⌈K/{NIBBLES}⌉ words apart",
    f"⌈K/{NIBBLES}⌉ hi words and ⌈⌈K/g⌉ / {precision.WORD_SCALES}⌉ scale words make `pitch`",
    f"banks × bank_depth × 64 bits | weights, KV cache | SECDED, {secded.codeword_bits(64)} bits stored",
    f"M × act_depth × 64 bits, and {activation.TOP} bits a word",
    "M × stage_depth × 64 bits",
    "M × vmem_depth × 32 bits, twice",
    "M × landing_depth × 32 bits",
    f"max_slots × {isa.NEVER.bit_length()} bits",
    f"program_depth × {sum(bits for _, bits in INSTRUCTIONS)} bits",
    f"desc_depth × {precision_table.FORMAT_BITS} bits",
    f"micro_depth × up to {encoding.MICRO.bits} bits",
    f"{len(isa.Energy)} × desc_depth × {energy.WORD_BITS} bits | governor: sums of squares per matrix, of "
    f"{energy.TOTAL_BITS} bits",
    f"Read through COUNTER_SELECT; {counters.COUNTER_BITS} bits, cleared when a generation begins. The first "
    f"{WORDS[isa.Counter.IDLE + 1]} share",
    f"the sum of the first {WORDS[isa.Counter.IDLE + 1]})",
)

SOC = (
    "hold it for at least two cycles",
    f"the first {WORDS[precision.MEASURED_POSITIONS]} positions (MEASURED_POSITIONS) of the prompt",
    f"AUTO decides the same if the prompt has {WORDS[precision.MEASURED_POSITIONS]} tokens or more",
    f"from cycle t + {MACRO_LATENCY} on",
    f"The {secded.codeword_bits(64)} bits are 64 of data and {secded.check_bits(64)} check bits of a Hsiao SECDED code",
    f"parameter DEPTH = 1024, parameter WIDTH = {secded.codeword_bits(64)}",
    f"32-bit data, {regmap.AXIL_ADDR_BITS} address bits",
    f"the answer follows {WRITE_CYCLES} cycles after the later of them, and a read's {READ_CYCLES} cycles after "
    "its address",
    f"{8 << BEAT_BITS}-bit data, {regmap.AXI_ADDR_BITS} address bits, {regmap.AXI_ID_BITS} id bits, write only. "
    "INCR bursts up to 256 beats",
    f"between bursts the ring is waited for, and {IDLE_CYCLES} cycles more go without a beat",
    f"2^{precision.KNOB_FRACTION} (1 − Q) / Q, rounded, of the quality Q, {knob_of(QUALITY)} for {QUALITY}",
    f"sizes other than {1 << BEAT_BITS} bytes, addresses that are no multiple of {1 << BEAT_BITS}",
    f"The tile number stands in address bits {regmap.AXI_ADDR_BITS - 1}:{regmap.LOAD_TILE_SHIFT}, so T tiles span "
    "T × "
    f"{1 << regmap.LOAD_TILE_SHIFT - 30} GiB",
    f"({energy.TOTAL_BITS} bits of them)",
    "`trace_values__t[32·p +: 32]` is the FP32 logit of node p",
    f"`trace_positions[{POSITION_BITS}·p +: {POSITION_BITS}]` at which position",
    f"TOP_K, 1 to {filters.TOP_K_MAX} or 0 for none",
    f"1u << {isa.PRECISION_BIT} | planes",
    f"(0 {precision.Format(0).name}, 1 {precision.Format(1).name}, 2 {precision.Format(2).name})",
    "a BRANCH of {} for n-gram tables with M = {}, else 0".format(
        *{draft.default_branch(draft.Drafter.NGRAM, m) for m in draft.BRANCH} - {0},
        " or ".join(str(m) for m in draft.BRANCH if draft.default_branch(draft.Drafter.NGRAM, m)),
    ),
)

LOADING = (
    f"tile t is window address t, ring stop t + {1}.",
    "whose `contract` does not begin with the eight hexadecimal digits",
    f"(space BANK, address bank·2^{isa.BANK_SHIFT} + word)",
    f"the largest of 0, 1 and {isa.ROUNDS_AHEAD.bit_length() - 1} such that",
    f"address 2^{isa.PRECISION_BIT} + number of the planes descriptor",
    f"{WORDS[isa.ENTRY_WORDS[isa.Space.DESC]]} words each: address {isa.ENTRY_WORDS[isa.Space.DESC]}·number for the "
    "lowest, + 1, + 2 and + 3 for the others",
    f"{WORDS[isa.ENTRY_WORDS[isa.Space.MICRO]]} words each: addresses {isa.ENTRY_WORDS[isa.Space.MICRO]}·number and "
    f"{isa.ENTRY_WORDS[isa.Space.MICRO]}·number + 1",
    f"at address + {1 << isa.SECOND_BIT} (2^SECOND_BIT). "
    + "{}, {}, {} and {} are there once, for both models".format(*(csr.name for csr in load.COMMON_REGISTERS)),
    "of the address in the load window and then the data, 8 bytes each, little-endian",
    "PROMPT_LENGTH, TOKEN_LIMIT, SEED_LOW, SEED_HIGH, WATCHDOG.",
    "crc begins as 2^32 − 1; each byte",
    "eight turns; the CRC is 2^32 − 1 − crc",
    "Numbers are little-endian, of 32 bits where nothing else is said",
    "| `group` | {} for {} elements |".format(
        ", ".join(str(precision.group_code(g)) for g in precision.GROUPS), ", ".join(map(str, precision.GROUPS))
    ),
    "hi = ⌊(w8 + 8) / 16⌋ and lo = w8 − 16·hi",
    "as a little-endian 64-bit number",
    "four FP16 or two FP32 to a word",
    "rows of three 32-bit numbers",
)

DRIVER = (
    "Hold `rst` for two cycles or more",
    f"BUSY falls at most M + {ABORT_MORE} cycles behind the later of the ABORT and the end of the pass",
    f"wrap at 2^{counters.COUNTER_BITS}",
)

ARCHITECTURE = (
    f"one {constants.ACC_WIDTH}-bit fixed-point accumulator",
    "one read or write of 64 bits per cycle behind SECDED",
    f"4·M exact multiply-accumulates of FP16 per cycle, {NIBBLES}·M of nibbles",
    f"An integer word holds {NIBBLES} weights, or a scale for each of {WORDS[precision.WORD_SCALES]} groups; the "
    "activation buffer hands out "
    f"{NIBBLES} elements at a time",
    f"results follow after {micro.RESULT_LATENCY} cycles",
    f"the decision at least {MIN_DECISION} cycles a matrix",
    f"passes over the prompt's first {WORDS[precision.MEASURED_POSITIONS]} positions read the best copy",
)

NUMERICS = (
    f"{constants.ACC_WIDTH}-bit two's complement, in units of 2^−{-constants.ACC_LSB}",
    f"INT8 with a shared power of two per {BLOCK} elements (MXINT8)",
    f"±m · 2^(e − {-constants.FP16_LSB}) with an {constants.FP16_SIGNIFICAND_BITS}-bit integer m and e = 0 … "
    f"{constants.FP16_EXPONENT_MAX}",
    f"a {2 * constants.FP16_SIGNIFICAND_BITS}-bit integer shifted left by 0 … {2 * constants.FP16_EXPONENT_MAX}, "
    "in units of "
    f"2^−{-constants.ACC_LSB}: less than 2^{constants.PRODUCT_BITS}. A sum of K ≤ {constants.K_MAX:,} = "
    f"2^{constants.K_MAX.bit_length() - 1} products stays below 2^{constants.ACC_WIDTH - 1}, and with a sign it "
    "needs "
    f"{constants.PRODUCT_BITS} + {constants.K_MAX.bit_length() - 1} + 1 = **{constants.ACC_WIDTH} bits**",
    f"|w8| ≤ {precision.W8_MAX}. One FP16 scale serves {', '.join(map(str, precision.GROUPS[:-1]))} or "
    f"{precision.GROUPS[-1]} elements",
    f"each aligned block of {BLOCK} elements becomes INT8 with one shared exponent e = "
    f"max(−{-precision.MX_MIN_EXPONENT}, floor(log2 max|x|)): "
    f"q = x · 2^({precision.MX_FRACTION} − e), rounded to nearest even and clamped to ±{precision.MX_MAX}",
    f"(|scale| · {precision.W8_MAX} ≤ {constants.FP16_MAX:.0f})",
    f"look up one of {1 << tables.SEGMENT_BITS} segments",
    f"Threefry-2x32 with {noise.ROUNDS} rounds",
    f"The seed has {noise.SEED_BITS} bits because the key has",
    f"each piece into {1 << noise.SEGMENT_BITS} segments",
    f"a grid of 2^−{noise.P_FRACTION - noise.GRID_SHIFT}",
    f"K largest z, K ≤ {filters.TOP_K_MAX}",
)

PRECISION = (
    f"a group of {', '.join(map(str, precision.GROUPS[:-1]))} or {precision.GROUPS[-1]} elements of a row shares a "
    "`scale` (FP16), "
    f"{WORDS[precision.WORD_SCALES]} of them a word",
    f"magnitudes end at {precision.W8_MAX}, not 127",
    f"(a power of two per matrix and energy, {energy.TERM_BITS} bits signed, saturating)",
    f"· 2^{precision.KNOB_FRACTION - precision.SENS_FRACTION} > knob · OUT",
    "`sens_err` and `sens_int8_err` are 32-bit integers of the image",
    f"The decision takes {MIN_DECISION} cycles a matrix",
    f"While the first {WORDS[precision.MEASURED_POSITIONS]} tokens of the prompt are read",
    f"a pass over the first {WORDS[precision.MEASURED_POSITIONS]} positions reads",
)

SPECULATION = (
    f"The n-gram tables are direct-mapped, {1 << draft.TABLE_LOG2} entries for each length",
    f"{1 << PAIR:,} and {1 << ONE} contexts",
    "by default one for M = 4 and 8, none for M = 2" if draft.BRANCH == {1: 0, 2: 0, 4: 1, 8: 1} else "another default",
    f"the last one or {WORDS[draft.MOST_SECONDS]} nodes are second best tokens",
    f"right counts as 1/{(1 << draft.CHANCE_BITS) // draft.FIRST_CHANCE}, that of a drafter with passes of its own "
    "as "
    f"{draft.OWN_CHANCE / (1 << draft.CHANCE_BITS):.1f}, each further one as "
    f"{4 * draft.MORE_CHANCE >> draft.CHANCE_BITS}/4",
    "others are tried with one node after {} passes, {}, {} and so on".format(
        *(draft.RETRY_PASSES << n for n in range(3))
    ),
    "DRAFT.CORRUPT turns the lowest bit of every drafted token over",
)

README = (
    f"Sums are exact, {constants.ACC_WIDTH} bits wide",
    "Each weight matrix is read in {}, {} or {}.".format(*(f.name for f in precision.Format)),
)

STATED = {
    "docs/isa.md": ISA,
    "docs/memory-map.md": MEMORY_MAP,
    "docs/soc-integration.md": SOC,
    "docs/loading.md": LOADING,
    "docs/driver.md": DRIVER,
    "docs/architecture.md": ARCHITECTURE,
    "docs/numerics.md": NUMERICS,
    "docs/precision.md": PRECISION,
    "docs/speculation.md": SPECULATION,
    "README.md": README,
}

#: Pages in which every name in capitals is looked up, and those in which every number is.
DRIVERS = ("docs/isa.md", "docs/memory-map.md", "docs/soc-integration.md", "docs/loading.md", "docs/driver.md")
COMPLETE = (*DRIVERS, "docs/architecture.md", "docs/adding-a-block.md", "docs/testing.md", "CONTRIBUTING.md")

#: Patterns of what is no number of the code's, by page; those of "" hold for all.
FREE = {
    "": (
        r"CRC-32",
        r"\b(?:host|processor|bus|numbers)s? of \d\d (?:address )?bits",
        r"(?<= )\d\. (?=\w|[*`\[])",
        r"ADR \d+",
        r"2\^-?[a-zA-Z_(]",
        r"\btwo\b",
        r"Apache License 2\.0",
    ),
    # A quad is four of something, and a word holds four FP16 numbers.
    "docs/isa.md": (
        r"(?:/|mod) 4\b",
        r"\(s / 4 / n\)·4",
        r"four consecutive rows or FP16 elements",
        r"K is 4·`words`",
        r"K/4 words of 4 weights",
        r"n is a multiple of 4 wherever",
        r"at it as a 32-bit key",
        r"`landing` = 2 the rows of a quad come as four of one kind and four of another",
    ),
    "docs/soc-integration.md": (
        r"`hayate [^`]+`",
        r"cannot write 64 bits at once",
        r"HAYATE_HOST_32 .* a processor of 32 bits",
    ),
    # Formulas are evaluated, see `by_the_page`.
    "docs/loading.md": (
        r"`[^`]+`",
        r"S = 4·⌈C / 4⌉, as its slots",
        r"K = 4·words",
        r"Each of the three spaces",
        r"2·(?:number|i)\b",
    ),
    "docs/architecture.md": (
        r"From 2 and 3 follows",
        r"three things run at once",
        r"interleaved, four and four",
        r"sum of four nibbles",
    ),
    "docs/adding-a-block.md": (r"signed 24-bit numbers to 16 bits", r"products up to 18 × 18 bits become one DSP"),
    # Bugs that were planted are no figures of the code's.
    "docs/testing.md": (
        r"(?:epoch|number|base|slot|increment) of \d+ bits",
        r"(?:exponent|mark|vocabulary) one too \w+",
        r"nodes of 2 bits",
        r"twenty deeds",
        r"five hundred",
        r"lanes8",
        r"[Ee]ight lanes",
        r"cycles sum to 100 %",
        r"`hayate profile \"def main[^.]* modelled\.",
        r"How long `make test` takes[^.]*\. Nine minutes",
    ),
    "CONTRIBUTING.md": (r"Files stay below 300 lines",),
}
#: Words in capitals that are no names of the code's, in the pages for whoever writes a driver.
CAPITALS = {
    "AWLEN",
    "AXI",
    "AXI4",
    "CRC",
    "DEPTH",
    "DIR",
    "DMA",
    "FIFO",
    "FIXED",
    "FP32",
    "FPGA",
    "HAYATE_HOST_32",
    "INCR",
    "JSON",
    "MXINT8",
    "NAME",
    "OKAY",
    "PREFIX_BANK_MACRO",
    "RAM",
    "RTL",
    "SECDED",
    "SLVERR",
    "SYNTHESIS",
    "WLAST",
    "WRAP",
}
