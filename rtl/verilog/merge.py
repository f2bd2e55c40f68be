"""Makes one Verilog module of every set of modules that Amaranth wrote out separately though they hold the same."""

import re
from dataclasses import dataclass
from functools import partial

# A module as Yosys writes it: its name, the ports in brackets, the lines of its body. Hand-written modules look
# different and stay.
_MODULE = re.compile(r"^module (\w+) *\(([^)]*)\);\n(.*?)^endmodule\n", re.MULTILINE | re.DOTALL)
_DECLARATION = re.compile(r"(?:  \(\*[^\n]*\*\)\n)*  (?:input|output|wire|reg) [^\n]*;\n")
_HEAD = re.compile(rf"((?:`ifdef[^\n]*\n(?:[^`\n][^\n]*\n|`else\n)*`endif\n)*)((?:{_DECLARATION.pattern})*)")
_INSTANCE = re.compile(r"^  (\w+) +(\\\S+ |\w+) *\(\n((?:    \.[^\n]*\n)+)  \);\n", re.MULTILINE)
_PIN = re.compile(r"\.(\\\S+ |\w+)(?= ?\()")
_PORT = re.compile(r"\\port\$\d+\$\d+")
_OUTPUT = re.compile(r"^  output [^\n]*;\n", re.MULTILINE)


@dataclass
class _Module:
    name: str
    ports: list
    body: str


def merge_identical(text: str) -> str:
    """`text` with modules that are equal but for their names replaced by the first of them, bottom up, until none is
    left.

    Hardware and instance names stay as they are; equal texts give equal results. What Amaranth numbers through the
    whole design is numbered by module, so that a module's text depends on its content alone. Outputs that nothing reads
    are left out by Amaranth: modules that differ in those are equal too, and the one that stays has the outputs of all.

    Reads what `verilog.verilog` writes; other modules in `text` are passed on unchanged.
    """
    modules = [_Module(m[1], [p.strip() for p in m[2].split(",")], m[3]) for m in _MODULE.finditer(text)]
    _number_locally(modules)
    kept = {m.name: m for m in modules}
    while True:
        first: dict[str, _Module] = {}
        names: dict[str, str] = {}
        for module in kept.values():
            rest = _OUTPUT.sub("", module.body)
            same = first.setdefault(rest, module)
            if same is not module:
                names[module.name] = same.name
                _add_outputs(same, module)
        if not names:
            break
        kept = {name: m for name, m in kept.items() if name not in names}
        for module in kept.values():
            module.body = _INSTANCE.sub(partial(_of_module, names), module.body)
    for module in kept.values():
        module.body = _INSTANCE.sub(partial(_with_all_pins, kept), module.body)

    def write(match):
        module = kept.get(match[1])
        if module is None:
            return ""
        ports = ", ".join(p + " " * p.startswith("\\") for p in module.ports)
        return f"module {module.name}({ports});\n{module.body}endmodule\n"

    return re.sub(r"\n{3,}", "\n\n", _MODULE.sub(write, text))


def _of_module(names, instance):
    """The instance, of the module that `names` has for its own."""
    return f"  {names.get(instance[1], instance[1])}  {instance[2]}(\n{instance[3]}  );\n"


def _with_all_pins(kept, instance):
    """The instance, with an open pin for every output that it does not use."""
    child, lines = kept.get(instance[1]), instance[3].splitlines(keepends=True)
    used = {_PIN.search(line)[1].strip() for line in lines}
    if child is None or used.issuperset(child.ports):
        return instance[0]
    outputs = map(_name, _OUTPUT.findall(child.body))
    lines += [f"    .{port}{' ' * port.startswith(chr(92))}()\n" for port in outputs if port not in used]
    return f"  {instance[1]}  {instance[2]}(\n{_commas(sorted(lines))}  );\n"


def _number_locally(modules):
    """Give unnamed ports names that depend on the module alone."""
    maps = {}
    for module in modules:
        # In order of use: the order of declaration comes from numbers too.
        unnamed = dict.fromkeys(_PORT.findall(_PIN.sub("", module.body[_HEAD.match(module.body).end() :])))
        unnamed |= dict.fromkeys(_PORT.findall(" ".join(module.ports)))
        maps[module.name] = {old: f"\\port${number}" for number, old in enumerate(unnamed)}
    for module in modules:
        own = maps[module.name]

        def rename(text, names):
            return _PORT.sub(lambda m: names.get(m[0], m[0]), text)

        def instance(match, own=own):
            child = maps.get(match[1], {})
            pins = []
            for line in match[3].splitlines(keepends=True):
                pin = _PIN.search(line)
                pins.append(line[: pin.start()] + rename(pin[0], child) + "\0" + rename(line[pin.end() :], own))
            return f"  {match[1]}  {match[2]}(\n{_commas(sorted(pins))}  );\n"

        pieces, at = [], 0
        for match in _INSTANCE.finditer(module.body):
            pieces += [rename(module.body[at : match.start()], own), instance(match)]
            at = match.end()
        module.body = _sorted_head("".join([*pieces, rename(module.body[at:], own)]))
        module.ports = sorted(rename(p, own).strip() for p in module.ports)


def _commas(pins):
    """Pin lines after sorting: a comma behind each but the last."""
    plain = [p.replace("\0", "").rstrip("\n").rstrip(",") for p in pins]
    return ",\n".join(plain) + "\n"


def _sorted_head(body, more=()):
    """`body` with its declarations, and `more` of them, in order of name: numbers within names must not decide it."""
    head = _HEAD.match(body)
    return head[1] + "".join(sorted([*_DECLARATION.findall(head[2]), *more], key=_declared)) + body[head.end() :]


def _declared(line):
    """Sort key of a declaration: its name, then input or output before wire or reg."""
    return _name(line), not line.startswith(("  input", "  output")), line


def _name(line):
    """Name that a declaration declares; attributes stand in lines before it."""
    return re.search(r"(\\\S+|\w+)(?: +=[^;]*| *\[[^\]]*\])? *;$", line.splitlines()[-1])[1]


def _add_outputs(module, other):
    """Declare `other`'s outputs in `module`, which has the same signals."""
    missing = [p for p in other.ports if p not in module.ports]
    if missing:
        module.ports = sorted(module.ports + missing)
        module.body = _sorted_head(
            module.body, [line for line in _OUTPUT.findall(other.body) if _name(line) in missing]
        )
