"""Generated sections for whoever writes a driver: registers, what a generation takes, images, the base table's hash."""

import dataclasses

from hayate.golden.conductor.ngram import base_key, rotate
from hayate.rtl.contract import draft, encoding, image, loadfile, regmap
from hayate.scripts.markdown import table

#: What each string of an image's metadata holds.
PARTS = {
    "format": f"`{image.FORMAT}`",
    "version": f"version of this format, {image.VERSION}",
    "contract": "64 hexadecimal digits of the contract hash",
    "model": "object, sizes of the model",
    "program": "list, instructions",
    "micros": "list, micro-operations, the routines one behind the other",
    "routines": "object, routine: [first micro-operation, how many]; a loader does not need it",
    "descriptors": "list, matrices and caches",
    "regions": "list, names for addresses",
    "constants": "list, initial content of vector memory",
    "notes": "object, what the compiler has to tell; a loader does not need it",
    "draft": "object with the parts from `model` on; only where there is a draft model",
    "digest": "64 hexadecimal digits of a sha256, see below",
}
#: The context that the base table's hash is shown on: older and newer token, and the token that follows.
EXAMPLE = (300, 1717, 42)


def hexadecimal(value):
    return str(value) if value < 2 else f"0x{value:X}"


def registers():
    rows = []
    for r in regmap.REGISTERS:
        value = regmap.reset_value(r)
        shown = "as built" if r.name in regmap.BUILT else "as it was" if r.name in regmap.KEPT else hexadecimal(value)
        rows.append((f"`0x{r.offset:03X}`", f"**{r.name}**", r.access, "", shown, r.text))
        for name, low, width, text in r.fields:
            bits = f"{low + width - 1}:{low}" if width > 1 else str(low)
            part = "" if value is None else hexadecimal(value >> low & (1 << width) - 1)
            rows.append(("", f"{r.name}.{name}", "", bits, part, text))
    return table(("offset", "register", "access", "bits", "after reset", "meaning"), rows)


def locked():
    return (
        f"Writes to {', '.join(regmap.LOCKED_WHILE_BUSY)} are ignored while STATUS.BUSY is set: they describe the "
        "generation in progress."
    )


def generation_registers():
    """What a START looks at."""
    return table(
        ("register", "after reset", "meaning"),
        [
            (r.name, hexadecimal(regmap.reset_value(r)), "; ".join([r.text, *(f"{f}: {t}" for f, *_, t in r.fields)]))
            for r in map(regmap.BY_NAME.get, regmap.LOCKED_WHILE_BUSY)
        ],
    )


def refusals():
    return table(
        ("field of REJECTION", "register", "it is"),
        [(f"REJECTION.{name}", register, wrong) for name, register, wrong, _ in regmap.REFUSALS],
    )


def capabilities():
    """Registers that say what was built."""
    return table(
        ("register", "meaning"),
        [
            (r.name, "; ".join([r.text, *(f"{f}: {t}" for f, *_, t in r.fields)]))
            for r in regmap.REGISTERS
            if r.name in regmap.BUILT
        ],
    )


def load_file():
    """The header of a load file."""

    def place(at, words):
        return f"{at} … {at + 4 * words - 1}"

    rows = [(place(loadfile.OFFSETS[name], words), name, text) for name, words, text in loadfile.HEADER]
    need, parameter, record = (", ".join(entry) for entry in (loadfile.NEED, loadfile.PARAMETER, loadfile.RECORD))
    rows += [
        (f"{loadfile.FIELDS_SIZE} …", "", f"the needs, {4 * len(loadfile.NEED)} bytes each: {need}"),
        ("", "", f"the parameters, {4 * len(loadfile.PARAMETER)} bytes each: {parameter}"),
        ("", "", "CRC-32 of all bytes so far"),
        ("HEADER_SIZE …", "", f"the records, {8 * len(loadfile.RECORD)} bytes each, two numbers of 64 bits: {record}"),
    ]
    kinds = ", ".join(
        f"{int(kind)} {text}"
        for kind, text in zip(loadfile.Kind, ("equal to", "at least", "has all bits of"), strict=True)
    )
    holds = f"A need holds where (register at `offset` & `mask`) is, by its kind: {kinds} `value`."
    return table(("bytes", "field", "content"), rows) + f"\n\n{holds}"


def image_parts():
    keys = ("format", "version", "contract", *image.PARTS, "draft", "digest")
    return table(("key", "value"), [(f"`{key}`", PARTS[key]) for key in keys])


def micro_defaults():
    """Fields of a micro-operation that an image leaves out where they have the usual value."""
    usual = {f.name: f.default for f in dataclasses.fields(encoding.Micro) if f.default not in (0, dataclasses.MISSING)}
    by_value = {value: [name for name, v in usual.items() if v == value] for value in usual.values()}
    found = "; ".join(f"{', '.join(f'`{n}`' for n in by_value[value])}: {int(value)}" for value in sorted(by_value))
    return f"A field that is not named has its usual value: {found}; all others: 0."


def base_hash():
    """How a context finds its place in the base table, and one that shows it."""
    one, two = draft.BASE_LOG2
    token, tag_bits = draft.BASE_ENTRY["token"], draft.BASE_ENTRY["tag"]
    tokens = draft.TOKEN_BITS
    older, newer, follows = EXAMPLE

    def entry(context):
        at, tag = base_key(context)
        return at | (len(context) == 1) << draft.BASE_ONE_BIT, tag, follows | tag << token | 1 << token + tag_bits

    tokens_turned = zip(("newer", "older"), (newer, older), draft.ROTATIONS)
    turns = [(name, value, by) for name, value, rotations in tokens_turned for by in rotations]
    word = 0
    for _, value, by in turns:
        word ^= rotate(value, by)
    pair, single = entry([older, newer]), entry([newer])
    steps = [
        f"rot(x, n) is the {tokens}-bit number x rotated left by n: bit i goes to bit (i + n) mod {tokens}.",
        f"Of two tokens: word = {' xor '.join(f'rot({name}, {by})' for name, _, by in turns)}. The address is word's "
        f"low {two} bits, the tag its other {tokens - two}.",
        f"Of one token: the address is 2^{draft.BASE_ONE_BIT} + the token's low {one} bits, the tag its other "
        f"{tokens - one}.",
        f"The entry is: token to propose [{token - 1}:0], tag [{token + tag_bits - 1}:{token}], 1 in bit "
        f"{token + tag_bits}.",
        f"There are {1 << two:,} entries for contexts of two tokens and {1 << one} for one; all are written, unused "
        "ones as 0.",
    ]
    shown = ", ".join(f"rot({value}, {by}) = 0x{rotate(value, by):05X}" for _, value, by in turns)
    found = [f"address 0x{at:X}, tag 0x{tag:X}, entry 0x{word:08X}" for at, tag, word in (pair, single)]
    example = (
        f"Behind {older}, {newer} comes {follows}: {shown}; word = 0x{word:05X}, {found[0]}. "
        f"Behind {newer} alone: {found[1]}."
    )
    return "\n".join(f"{n}. {step}" for n, step in enumerate(steps, 1)) + "\n\n" + example


SECTIONS = {
    "registers": registers,
    "locked": locked,
    "generation-registers": generation_registers,
    "refusals": refusals,
    "capabilities": capabilities,
    "load-file": load_file,
    "image-parts": image_parts,
    "micro-defaults": micro_defaults,
    "base-hash": base_hash,
}
