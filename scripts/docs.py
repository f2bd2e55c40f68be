"""Regenerates the tables of the documents that have their source elsewhere: bit layouts, registers, ports, figures.

    python scripts/docs.py                                    rewrite every generated section from the sources
    python scripts/docs.py --check                            name the stale ones and exit 1; writes nothing
    python scripts/docs.py --figures build/demo/result.json   take over a run first, on the machine that made it

A section lies between ``<!-- generated: NAME -->`` and ``<!-- end: NAME -->``. `docs/figures.json` holds what the
figures are made of, so that no number in README or docs/claims.md is typed by hand; docs/quality.json,
docs/precision.json and docs/precision-picture.json, which their commands write, hold those of the guide to precision.
"""

import argparse
import inspect
import re
import sys
from pathlib import Path

from hayate.rtl.contract import activity, encoding, flits, isa, load, regmap, words
from hayate.rtl.contract.alu_ops import AluOp
from hayate.rtl.contract.precision import Format
from hayate.rtl.contract.word import Word
from hayate.rtl.verilog.lint import WAIVED
from hayate.scripts.docs_host import SECTIONS as HOST_SECTIONS
from hayate.scripts.figures import FIGURES, collect
from hayate.scripts.figures import SECTIONS as FIGURE_SECTIONS
from hayate.scripts.layer_walk import SECTIONS as LAYER_SECTIONS
from hayate.scripts.markdown import table
from hayate.scripts.precision_figures import SECTIONS as PRECISION_SECTIONS

ROOT = Path(__file__).resolve().parent.parent

#: Meanings of members and flit fields whose name says it in the source.
MEMBERS = {
    "LAYER": "layer",
    "IMM": "`count`",
    "ZERO": "block 0",
    "ONE": "× 1",
    "TOKEN": "the position's token id",
    "VMEM": "vector memory",
    "ALL": "every tile",
    "SELF": "this tile",
    "GROUP": "the tiles that share this tile's KV head",
    "KV_WRITE": "... wrote K or V",
    "FETCH": "... read rows for FETCH",
    "ECC_CORRECTED": "bank words in which one bit was put right",
    "ECC_FATAL": "bank words that could not be",
    "PARITY": "parity errors of the other memories",
    "TILE_INDEX": "logical number of this tile",
    "TILE_COUNT": "tiles that hold the model",
    "GROUP_LO": "first and",
    "GROUP_HI": "last logical tile of this tile's group",
    "GROUP_INDEX": "this tile's place in its group",
    "FP16": "the FP16 copy",
    "INT8": "both planes",
    "INT4": "the hi plane",
    "NONE": "none was",
    "LOCAL_HEADS": "KV heads that this tile serves",
}


def prose(text):
    """A comment of the source as Markdown in a table's cell."""
    text = re.sub(r"\bx (?=\w)", "× ", text.replace("**", "^").replace("*", "·"))
    return re.sub(r" {2,}", " ", text).replace("|", "\\|")


def bits(low, width):
    return f"{low + width - 1}:{low}" if width > 1 else str(low)


def comments(owner):
    """name -> the comment behind or above it in the source of an enum or a table; continuation lines are joined."""
    found, last, above = {}, None, ""
    for line in inspect.getsource(owner).splitlines():
        if m := re.match(r'\s*(?:"(\w+)": \d+,|(\w+) = \d+)\s*(?:#:?\s*(.*))?$', line):
            last = m[1] or m[2]
            found[last], above = (m[3] or above).strip(), ""
        elif m := re.match(r"\s*#:\s*(.*)", line):
            above = f"{above} {m[1]}"
        elif (m := re.match(r"\s*#\s*(.*)", line)) and last:
            found[last] += f" {m[1]}"
        elif m := re.match(r'\s*"""(.*)"""', line):
            if last:
                found[last] = m[1]
        else:
            last = None
    return found


def members(enum):
    """The members of an enum, each with the comment that its source gives it."""
    text = comments(enum)
    return table(
        ("value", f"`{enum.__name__}`", "meaning"),
        [(int(e), e.name, prose(text.get(e.name) or MEMBERS[e.name])) for e in enum],
    )


def instructions():
    rows = [(int(op), op.name, prose(f"{o.engine}: {o.text}")) for op, o in encoding.OPERATIONS.items()]
    out, shown = [table(("value", "`Op`", "meaning"), rows)], {}
    for op, operation in encoding.OPERATIONS.items():
        shown.setdefault(operation.word.fields, []).append(op.name)
    for fields, names in shown.items():
        if len(fields) > 1:
            out += [f"**{', '.join(names)}**", layout(encoding.OPERATIONS[isa.Op[names[0]]].word)]
    return "\n\n".join(out)


def operands():
    return "\n\n".join(
        members(e)
        for e in (
            isa.When,
            isa.LoopReg,
            isa.LoopCount,
            isa.WaitKind,
            isa.Block,
            isa.Rows,
            isa.Cast,
            isa.SendMode,
            isa.FetchIndex,
        )
    )


def flit_fields():
    header = Word("flit", *flits.HEADER)
    rows = [(bits(*header.places[f.name]), f"`{f.name}`", prose(f.text)) for f in header.fields]
    for field, size in zip(flits.FLIT.fields[-2:], ("M", f"{flits.WORD_BITS}·M")):
        rows.append((f"the next {size}", f"`{field.name}`", prose(field.text)))
    return "\n\n".join(
        [
            f"A flit has {flits.HEADER_BITS} + {1 + flits.WORD_BITS}·M bits.",
            table(("bits", "field", "meaning"), rows),
            f"**`addr` of a flit with `near`**\n\n{layout(flits.NEAR_ADDRESS)}",
            members(flits.FlitKind),
            f"**CAND**\n\n{layout(words.CANDIDATE, 'data bits')}",
        ]
    )


def layout(word, what="bits"):
    """Table of the fields of a `Word`."""
    rows = [(bits(*word.places[f.name]), f"`{f.name}`", prose(f.text)) for f in word.fields if f.name in word.places]
    return table((what, "field", "meaning"), rows)


def pass_words():
    tables = [f"**{kind.name}**\n\n{layout(which, 'data bits')}" for kind, which in words.PASS_WORDS.items()]
    return "\n\n".join([members(isa.PassWord), *tables])


def load_window():
    spaces = {
        **{s: comments(isa.Space)[s.name] for s in isa.Space if s < isa.Space.COUNTER},
        **{s: comments(regmap.LoadSpace)[s.name] for s in regmap.LoadSpace},
    }
    fields = [
        (
            bits(regmap.LOAD_TILE_SHIFT, regmap.AXI_ADDR_BITS - regmap.LOAD_TILE_SHIFT),
            "tile",
            f"physical tile; {regmap.LOAD_ALL_TILES}: all of them; any for the spaces of the conductor",
        ),
        (bits(regmap.LOAD_SPACE_SHIFT, regmap.LOAD_SPACE_BITS), "space", "see below"),
        (bits(3, regmap.LOAD_SPACE_SHIFT - 3), "addr", "address in the space"),
        ("2:0", "–", "0: beats are whole 64-bit words"),
    ]
    return (
        table(("address bits", "field", "meaning"), fields)
        + "\n\n"
        + table(("space", "name", "address and data"), [(int(s), s.name, prose(text)) for s, text in spaces.items()])
    )


def ports():
    """Ports of the emitted top module."""
    from hayate.rtl.contract.config import PRESETS
    from hayate.rtl.package import Package

    package = Package(PRESETS["demo"])
    rows, groups = [("`clk`, `rst`", "in")], {}
    for path, member, _ in package.signature.flatten(package):
        name, number = str(path[0]), len(path) > 1
        if number and path[1]:
            continue
        group = m[1] if (m := re.match(r"(s_axil?_(?:aw|ar|w|b|r))", name)) else name
        width = {"trace_values": "32·M", "trace_mask": "M", "trace_kept": "M", "trace_positions": "16·M"}.get(
            name, member.shape
        )
        text = f"`{name}__t`" if number else f"`{name}`"
        groups.setdefault((group, member.flow.name.lower()), []).append(text + (f" ({width})" if width != 1 else ""))
    rows += [(", ".join(found), way) for (_, way), found in groups.items()]
    return table(("ports (width, where it is not 1)", "direction"), rows)


def lint():
    """Warnings of the emitted Verilog that are waived."""
    return table(("kind", "why it is waived"), WAIVED.items())


SECTIONS = {
    "instructions": instructions,
    "operands": operands,
    "micro": lambda: (
        layout(encoding.MICRO) + "\n\n" + "\n\n".join(members(e) for e in (isa.ASrc, isa.BSrc, isa.Mode, AluOp))
    ),
    "descriptor": lambda: layout(encoding.DESCRIPTOR),
    "planes": lambda: layout(encoding.PLANES),
    "formats": lambda: members(Format),
    "csr": lambda: members(isa.Csr),
    "flits": flit_fields,
    "facts": lambda: members(load.Fact) + "\n\nBits of FEATURES:\n\n" + members(load.Feature),
    "reasons": lambda: members(load.Reason),
    "activity": lambda: layout(activity.ACTIVITY) + "\n\n" + members(activity.Phase),
    "pass-words": pass_words,
    "load-window": load_window,
    "counters": lambda: members(isa.Counter),
    "ports": ports,
    "lint": lint,
    **FIGURE_SECTIONS,
    **PRECISION_SECTIONS,
    **HOST_SECTIONS,
    **LAYER_SECTIONS,
}

MARK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)


def documents(root):
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def refresh(text):
    """`text` with every generated section made anew. KeyError for a section that nothing generates."""
    return MARK.sub(lambda m: f"{m[1]}{SECTIONS[m[2]]()}\n{m[3]}", text)


def stale(root=ROOT):
    """Documents whose generated sections are not what they should be, as {path: fresh text}."""
    return {path: fresh for path in documents(root) if (fresh := refresh(text := path.read_text())) != text}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when something is stale")
    parser.add_argument(
        "--figures", type=Path, metavar="RESULT", help="result of `make demo` to take over into docs/figures.json"
    )
    parser.add_argument("--model", default="py-mini", help="model that RESULT was made with (default: py-mini)")
    options = parser.parse_args(arguments)
    text = collect(options.figures, options.model)
    if outdated := text != FIGURES.read_text():
        print(("stale: " if options.check else "rewritten: ") + str(FIGURES.relative_to(ROOT)))
        if not options.check:
            FIGURES.write_text(text)
    found = stale()
    for path, text in found.items():
        print(("stale: " if options.check else "rewritten: ") + str(path.relative_to(ROOT)))
        if not options.check:
            path.write_text(text)
    return int(options.check and (outdated or bool(found)))


if __name__ == "__main__":
    sys.exit(main())
