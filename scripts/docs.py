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

from hayate.rtl.contract import flits, isa, load, regmap, words
from hayate.rtl.contract.alu_ops import AluOp
from hayate.rtl.contract.precision import Format
from hayate.rtl.verilog.lint import WAIVED
from hayate.scripts.docs_host import SECTIONS as HOST_SECTIONS
from hayate.scripts.figures import FIGURES, collect
from hayate.scripts.figures import SECTIONS as FIGURE_SECTIONS
from hayate.scripts.markdown import table
from hayate.scripts.precision_figures import SECTIONS as PRECISION_SECTIONS

ROOT = Path(__file__).resolve().parent.parent

#: What each field of an instruction, a micro-operation or a descriptor means, by name; a name means the same wherever
#: it occurs.
FIELDS = {
    "op": "operation code",
    "reg": "loop register, a `LoopReg`",
    "kind": "where the count comes from",
    "skip": "instructions to jump, from this one, when the count is 0",
    "offset": "instructions to jump, from this one",
    "when": "a `When`",
    "noise": "1: the routine has one micro-operation that reads NOISE; its rows are drawn from the RUN's start on",
    "chan": "channel",
    "desc": "descriptor; the one used is desc + LAYER·dstep",
    "dstep": "descriptors from layer to layer",
    "block": "which block of the descriptor, a `Block`",
    "act": "word of the activation buffer: act + HEAD·act_h + J·act_j",
    "act_h": "words from KV head to KV head",
    "act_j": "words from J to J; with `slot_words`, J mod 2^ROUNDS_LOG2 counts",
    "slot_words": "1: a row has ceil(slots in use / 4) words instead of the descriptor's",
    "vec": "lanes are attention vectors of round J, not positions",
    "kv": "1: counted as K or V words, not as weights",
    "wanted": "1: the governor measures only the positions whose logits are wanted",
    "index": "what names the row, a `FetchIndex`",
    "stage": "word of the stage buffer",
    "value": "0: K, one row per slot; 1: V, transposed",
    "routine": "first micro-operation",
    "length": "micro-operations of the routine",
    "vl": "elements of an iteration",
    "landing": "rows of the landing buffer that an element takes: 0, 1 or 2",
    "sumscale": "1: SUM is multiplied by 2^(2·s_in)",
    "send": "1: results go to the ring, and a SYNC follows the last",
    "send_mode": "where they land, a `SendMode`",
    "send_base": "their first word in the activation buffers",
    "send_h": "words from KV head to KV head",
    "group": "query heads of a KV head (G)",
    "cast": "which tiles take it, a `Cast`",
    "neg_a": "flip the sign of a",
    "neg_b": "flip the sign of b",
    "a_src": "an `ASrc`",
    "a_mode": "a `Mode`",
    "a": "address of a",
    "b_src": "a `BSrc`",
    "b_mode": "a `Mode`; b is read by MUL, ADD and MAX only",
    "b": "address of b",
    "d_vm": "write vector memory",
    "d_mode": "0: STREAM, 1: TEMP",
    "d": "address written",
    "d_send": "four consecutive FP16 results of a lane make a word for the ring",
    "d_square": "add the square of the FP16 result to the lane's exact sum",
    "d_sum": "add the FP16 result to the lane's exact sum",
    "d_max": "the lane's running maximum",
    "d_arg": "best value and row of the lane",
    "d_log": "a logit, for the trace port",
    "d_floor": "min-p's floor",
    "by_round": "1: the channel is chan + J mod 2^ROUNDS_LOG2",
    "aside": "1: the words do not count as useful",
    "slide": (
        "words from round to round of a chunk: STREAM addresses in vector memory are (J mod 2^ROUNDS_LOG2)·slide "
        "further on"
    ),
    "filtered": "a is z: the filters count it, and d_arg takes the result only where they keep z",
    "masked": "the element is a KV slot: where the mask hides it, d_max ignores it and d_vm, d_send, d_sum see 0",
    "base": "first word, the same address in every bank",
    "words": "64-bit words of a row",
    "block_stride": "words of a bank from block to block; 0 where there is one",
    "quad0": "global quad of the tile's first output quad within a block",
    "row0": "global index of the tile's first row (FETCH, logits)",
    "s_in": "signed; the normalizer multiplies the rounded sum by 2^s_in",
    "s_out": "signed; what is sent or summed is fp16(x · 2^-s_out)",
    "alt": "descriptor of the matrix's integer planes; 0: it has none",
    "pitch": "words from row group to row group in the hi plane",
    "lo_offset": "words from a block's hi plane to its lo plane",
    "fp16": "1: the matrix also has its FP16 copy",
    "grid_out": "governor: outputs count in units of 2^(grid − 48), rounded down",
    "grid_err": "the same for INT8 less INT4",
    "grid_half": "the same for FP16 less INT8",
}
#: Meanings that differ from the above.
SPECIAL = {
    ("LOOP", "kind"): "a `LoopCount`",
    ("LOOP", "count"): "count where the kind is IMM",
    ("M_WAIT", "kind"): "a `WaitKind`",
    ("M_WAIT", "count"): "factor of the kind's number",
    ("GEMV", "rows"): "DESC or SLOTS, see `Rows`",
    ("GEMV", "group"): "blocks of a KV head, for Block.HEAD_GROUP",
    ("RUN", "rows"): "elements, see `Rows`",
    ("RUN", "count"): "elements where rows is IMM",
    ("descriptor", "rows"): "local rows of a block; row r lies in bank r mod B, at base + floor(r / B)·words",
    ("micro", "op"): "an `AluOp`",
    ("planes", "base"): "first word of block 0's hi plane, the same address in every bank",
    ("planes", "group"): "log2 of a group's elements, less 5",
}
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
    "addr": "where it goes; its meaning follows from the kind",
    "data": "its content",
}


def prose(text):
    """A comment of the source as Markdown in a table's cell."""
    text = re.sub(r"\bx (?=\w)", "× ", text.replace("**", "^").replace("*", "·"))
    return re.sub(r" {2,}", " ", text).replace("|", "\\|")


def bits(low, width):
    return f"{low + width - 1}:{low}" if width > 1 else str(low)


def layout(name, fields):
    return table(
        ("bits", "field", "meaning"),
        [(bits(*place), f"`{f}`", SPECIAL.get((name, f)) or FIELDS[f]) for f, place in fields.items()],
    )


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
    out, shown = [members(isa.Op)], set()
    for fields in isa.FORMATS.values():
        if len(fields) > 1 and id(fields) not in shown:
            shown.add(id(fields))
            names = [o.name for o in isa.FORMATS if isa.FORMATS[o] is fields]
            out += [f"**{', '.join(names)}**", layout(names[0], fields)]
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
    text, rows, at = comments(flits), [], 0
    for name, width in flits.FLIT_FIELDS.items():
        rows.append((bits(at, width), f"`{name}`", prose(text.get(name) or MEMBERS[name])))
        at += width
    return (
        f"A flit has {flits.FLIT_BITS} bits.\n\n"
        + table(("bits", "field", "meaning"), rows)
        + "\n\n"
        + members(flits.FlitKind)
        + "\n\n**CAND**\n\n"
        + word(words.CANDIDATE)
    )


def word(which):
    """Table of a `words.Word`."""
    rows = [(bits(*which.places[f.name]), f"`{f.name}`", prose(f.text)) for f in which.fields if f.name in which.places]
    return table(("data bits", "field", "meaning"), rows)


def pass_words():
    tables = [f"**{kind.name}**\n\n{word(which)}" for kind, which in words.PASS_WORDS.items()]
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
        layout("micro", isa.MICRO) + "\n\n" + "\n\n".join(members(e) for e in (isa.ASrc, isa.BSrc, isa.Mode, AluOp))
    ),
    "descriptor": lambda: layout("descriptor", isa.DESCRIPTOR),
    "planes": lambda: layout("planes", isa.PLANES),
    "formats": lambda: members(Format),
    "csr": lambda: members(isa.Csr),
    "flits": flit_fields,
    "facts": lambda: members(load.Fact) + "\n\nBits of FEATURES:\n\n" + members(load.Feature),
    "reasons": lambda: members(load.Reason),
    "pass-words": pass_words,
    "load-window": load_window,
    "counters": lambda: members(isa.Counter),
    "ports": ports,
    "lint": lint,
    **FIGURE_SECTIONS,
    **PRECISION_SECTIONS,
    **HOST_SECTIONS,
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
