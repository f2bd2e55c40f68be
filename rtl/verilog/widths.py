"""RTLIL whose operands have the widths that lint rules ask for, so that the Verilog made of it hides no extension."""

import re

# A cell as Amaranth writes it: kind, name, parameters, connections.
_CELL = re.compile(r"^  cell \$(\w+) (\S+)\n((?:    (?:parameter|connect) [^\n]*\n)+)  end\n", re.MULTILINE)
_FIELD = re.compile(r"^    (?:parameter|connect) \\(\w+) (.*)$", re.MULTILINE)
_FIRST = re.compile(r"(?:\{ )?(?:(\d+)'([01]+)|(\S+) \[(\d+)(?::\d+)?\]|(\S+))")

# What has no bits: wires and ports (with their attributes), and what is connected to them.
_EMPTY = re.compile(r"^(?:  attribute [^\n]*\n)*  wire width 0 [^\n]*\n\n|^connect \\\S+ \{ *\}\n", re.MULTILINE)
_INSTANCE = re.compile(r"^  cell \\[^\n]*\n(?:    [^\n]*\n)+", re.MULTILINE)
_EMPTY_PIN = re.compile(r"^    connect \S+ \{ *\}\n", re.MULTILINE)
_CONSTANT = re.compile(r"\d+'([01]+)")

COMPARED = {"eq", "ne", "lt", "le", "gt", "ge"}
SUMMED = {"add", "sub"}
SHIFTED = {"shl", "shr", "sshr", "shift"}


def equal_widths(rtlil: str) -> str:
    """`rtlil` with the same function, whose operands are extended where their operator would, and whose shifts drop no
    bits.

    Amaranth trims operands to the bits that matter and leaves it to the operator to extend them. That is right, and
    lint tools warn of each. Here the operands of a comparison get the width of the wider one, those of a sum too (and
    that of the sum, where it has more than a carry on top), and what is shifted the width of the result. A shift of
    which only the low bits are used gets a result of full width. Multiplications stay trimmed: synthesis finds its
    multipliers by the widths of their operands.

    A comparison with a constant that comes out the same whatever the other operand is, as loops over lanes make
    them, is a constant.

    Signals and ports without bits, such as an index of one thing, are left out: Verilog would have two bits,
    [-1:0], for them.
    """
    rtlil = _INSTANCE.sub(lambda m: _EMPTY_PIN.sub("", m[0]), _EMPTY.sub("", rtlil))
    return _CELL.sub(_cell, rtlil)


def _cell(found):
    kind, name = found[1], found[2]
    if kind not in COMPARED | SUMMED | SHIFTED:
        return found[0]
    fields = dict(_FIELD.findall(found[3]))
    a, b, y = (int(fields[f"{port}_WIDTH"]) for port in "ABY")
    if kind in SHIFTED:
        if kind == "shift" and fields["B_SIGNED"] == "0":
            kind = "shr"  # the same, but for Yosys, which trims the operand of a $shift again
        _extend(fields, "A", y)
        return _write(kind, name, fields) if a <= y else _wide_shift(name, fields, a, y, kind)
    if kind in COMPARED and (outcome := _always(kind, fields)) is not None:
        return f"  connect {fields['Y']} {y}'{int(outcome):0{y}b}\n"
    width = max(a, b)
    if kind in SUMMED and y > width + 1:
        width = y
    if a == b == width:
        return found[0]
    _extend(fields, "A", width)
    _extend(fields, "B", width)
    return _write(kind, name, fields)


def _always(kind, fields):
    """What a comparison comes out as for every value of an operand that is no constant; None where that depends on
    it.
    """
    (a_low, a_high), (b_low, b_high) = (_range(fields, port) for port in "AB")
    if kind in ("gt", "ge"):
        kind, a_low, a_high, b_low, b_high = {"gt": "lt", "ge": "le"}[kind], b_low, b_high, a_low, a_high
    if kind == "lt":
        return True if a_high < b_low else False if a_low >= b_high else None
    if kind == "le":
        return True if a_high <= b_low else False if a_low > b_high else None
    apart = a_high < b_low or b_high < a_low
    return kind == "ne" if apart else None


def _range(fields, port):
    """Least and greatest value of an operand."""
    width, is_signed = int(fields[f"{port}_WIDTH"]), fields[f"{port}_SIGNED"] == "1"
    low = -(1 << width - 1) if is_signed and width else 0
    if found := _CONSTANT.fullmatch(fields[port]):
        value = int(found[1], 2)
        value -= value >> width - 1 << width if is_signed else 0
        return value, value
    return low, low + (1 << width) - 1


def _extend(fields, port, width):
    """Make operand `port` at least `width` bits wide."""
    missing = width - int(fields[f"{port}_WIDTH"])
    if missing <= 0:
        return
    top = _top_bit(fields[port]) if fields[f"{port}_SIGNED"] == "1" and missing < width else "0"
    more = f"{missing}'{top * missing}" if top in ("0", "1") else " ".join([top] * missing)
    fields[port] = f"{{ {more} {fields[port]} }}" if missing < width else more
    fields[f"{port}_WIDTH"] = str(width)


def _top_bit(value):
    """Most significant bit of a signal, slice, constant or concatenation: "0", "1" or its name."""
    found = _FIRST.match(value)
    if found[2]:
        return found[2][0]
    if found[3] is None:
        raise ValueError(f"{value!r}: the width of a whole wire is not known here")
    return f"{found[3]} [{found[4]}]"


def _wide_shift(name, fields, a, y, kind):
    """The shift with a result as wide as what it shifts, of which the low bits are used."""
    result, wide = fields["Y"], f"{name}_wide"
    text = _write(kind, name, {**fields, "Y": wide, "Y_WIDTH": str(a)})
    return f"  wire width {a} {wide}\n\n{text}\n  connect {result} {wide} [{y - 1}:0]\n"


def _write(kind, name, fields):
    parameters = [f"    parameter \\{key} {value}\n" for key, value in fields.items() if len(key) > 1]
    connections = [f"    connect \\{key} {value}\n" for key, value in fields.items() if len(key) == 1]
    return f"  cell ${kind} {name}\n{''.join(parameters)}{''.join(connections)}  end\n"
