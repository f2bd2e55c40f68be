"""The chip as one self-contained Verilog text, with a description for tools and a C header for drivers."""

import re
from dataclasses import dataclass

from amaranth.hdl import Shape

from hayate.rtl.contract import loadfile, regmap
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.image import contract_hash
from hayate.rtl.contract.isa import Counter, Space
from hayate.rtl.contract.latencies import BANK_LATENCY, MACRO_LATENCY
from hayate.rtl.contract.load import Fact, Feature, Reason
from hayate.rtl.memory.bank import MACRO_MODULE, macro_text
from hayate.rtl.verilog.convert import verilog
from hayate.rtl.verilog.merge import merge_identical


@dataclass(frozen=True)
class Emission:
    """`verilog`: text whose top module is named as the prefix. `description`: plain data. `header`: C text."""

    verilog: str
    description: dict
    header: str


def emit(config, prefix="hayate", tile_text=None):
    """`Emission` of a configuration; equal arguments give equal bytes.

    tile_text: `verilog` of its tile as `PREFIX_tile`, where the caller has that already.

    The tile is elaborated once and instantiated `config.tiles` times, so that the cost does not grow with the tiles.
    The bank macro stands in the text between ``ifndef PREFIX_BANK_MACRO`` and ``endif``: define that symbol to bring
    your own module of the same name and ports.

    Raises HayateError for a prefix that is no Verilog identifier.
    """
    from hayate.rtl.package import Package, tile

    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", prefix):
        raise HayateError(
            "--prefix",
            "",
            f"{prefix!r} is not a Verilog identifier",
            "start with a letter; letters, digits and _ follow",
        )
    macro = f"{prefix}_bank_macro"
    guard = f"{prefix.upper()}_BANK_MACRO"
    package = Package(config, f"{prefix}_tile")
    parts = [
        f"// {prefix}: a Hayate package, configuration {config.name}: {config.tiles} tiles of {config.banks} "
        f"banks, M = {config.lanes}.\n"
        f"// Contract {contract_hash()[:16]}. Submodules of equal content are one module, named after the first. "
        "Generated; do not edit.\n"
        "// No `timescale: nothing in here takes time, and the file may stand before and behind files that have one.\n"
        "// verilator lint_save\n// verilator lint_off TIMESCALEMOD\n",
        f"`ifndef {guard}\n{macro_text().strip()}\n`endif\n",
        tile_text or verilog(tile(config), f"{prefix}_tile"),
        verilog(package, prefix),
        "// verilator lint_restore\n",
    ]
    text = merge_identical("\n".join(parts)).replace(MACRO_MODULE, macro)
    return Emission(text, _description(config, prefix, macro, guard, package), _header(prefix))


def _ports(package):
    """Every port of the top module: name, direction, width."""
    found = [{"name": name, "direction": "input", "width": 1} for name in ("clk", "rst")]
    for path, member, _ in package.signature.flatten(package):
        direction, width = f"{member.flow.name.lower()}put", Shape.cast(member.shape).width
        found.append({"name": "__".join(map(str, path)), "direction": direction, "width": width})
    return found


def _description(config, prefix, macro, guard, package):
    return {
        "top": prefix,
        "configuration": config.to_dict(),
        "contract": contract_hash(),
        "clock": {"port": "clk", "edge": "rising"},
        "reset": {"port": "rst", "active": "high", "synchronous": True, "cycles": 2},
        "ports": _ports(package),
        "bank_macro": {
            "module": macro,
            "guard": guard,
            "instances": config.tiles * config.banks,
            "parameters": {"DEPTH": config.bank_depth, "WIDTH": 72, "ADDR": (config.bank_depth - 1).bit_length()},
            "ports": ["clk", "en", "we", "addr", "wdata", "rdata"],
            "read_latency": MACRO_LATENCY,
            "corrected_latency": BANK_LATENCY,
        },
        "registers": [
            {
                "offset": r.offset,
                "name": r.name,
                "access": r.access,
                "reset": regmap.reset_value(r),
                "text": r.text,
                "fields": [{"name": n, "low": low, "width": width, "text": text} for n, low, width, text in r.fields],
            }
            for r in regmap.REGISTERS
        ],
        "load_window": {
            "address_bits": regmap.AXI_ADDR_BITS,
            "data_bits": 64,
            "tile_shift": regmap.LOAD_TILE_SHIFT,
            "space_shift": regmap.LOAD_SPACE_SHIFT,
            "all_tiles": regmap.LOAD_ALL_TILES,
            "spaces": {
                **{s.name: int(s) for s in Space if s < Space.COUNTER},
                **{s.name: int(s) for s in regmap.LoadSpace},
            },
        },
        "counters": {c.name: int(c) for c in Counter},
    }


def _values():
    """(title, [(macro, value, text)]) of everything in the header that is a number and no register's offset or
    field.
    """
    facts = [(f"FACT_{f.name}", int(f), "") for f in Fact]
    fields = [(f"FILE_{field}_AT", loadfile.OFFSETS[field], text) for field, _, text in loadfile.HEADER]
    yield (
        "What registers read as",
        [
            ("IDENT_VALUE", regmap.IDENT, "IDENT"),
            ("VERSION_VALUE", regmap.VERSION, "VERSION"),
            ("CONTRACT_VALUE", int(contract_hash()[:8], 16), "CONTRACT"),
            ("END_TOKENS", regmap.END_TOKENS, "registers END_TOKEN and so on"),
            ("WATCHDOG_VALUE", regmap.reset_value(regmap.BY_NAME["WATCHDOG"]), "WATCHDOG, after reset"),
        ],
    )
    yield "Why the load window refused a word: LOAD_STATUS.REASON", [(f"REASON_{r.name}", int(r), "") for r in Reason]
    yield (
        "Addresses of space MODEL, and bits of FACT_FEATURES",
        facts + [(f"FEATURE_{f.name}", int(f), "") for f in Feature],
    )
    yield (
        "A load file: bytes from its beginning; sizes in bytes",
        [
            ("FILE_MAGIC_VALUE", loadfile.MAGIC, ""),
            ("FILE_VERSION_VALUE", loadfile.VERSION, ""),
            *fields,
            ("FILE_FIELDS_SIZE", loadfile.FIELDS_SIZE, "where the needs begin"),
            ("FILE_NEED_SIZE", 4 * len(loadfile.NEED), ", ".join(loadfile.NEED)),
            ("FILE_PARAMETER_SIZE", 4 * len(loadfile.PARAMETER), ", ".join(loadfile.PARAMETER)),
            ("FILE_RECORD_SIZE", 8 * len(loadfile.RECORD), ", ".join(loadfile.RECORD)),
            *((f"NEED_{kind.name}", int(kind), "") for kind in loadfile.Kind),
        ],
    )
    yield "Counters of a tile", [(f"COUNTER_{c.name}", int(c), "") for c in Counter]


def _header(prefix):
    name = prefix.upper()
    lines = [
        f"/* Registers of {prefix}. Generated; do not edit. */",
        f"#ifndef {name}_REGS_H",
        f"#define {name}_REGS_H",
        "",
        "#include <stdint.h>",
        "",
    ]
    for r in regmap.REGISTERS:
        lines.append(f"#define {name}_{r.name} 0x{r.offset:03X}u /* {r.access}: {r.text.replace('*/', '')} */")
        for field, low, width, text in r.fields:
            lines.append(f"#define {name}_{r.name}_{field}_SHIFT {low}u /* {text} */")
            lines.append(f"#define {name}_{r.name}_{field}_MASK 0x{((1 << width) - 1) << low:08X}u")
    lines += ["", "/* Load window: 64-bit little-endian beats. */"]
    spaces = {**{s.name: int(s) for s in Space if s < Space.COUNTER}, **{s.name: int(s) for s in regmap.LoadSpace}}
    lines += [f"#define {name}_SPACE_{n} {v}u" for n, v in spaces.items()]
    lines += [
        f"#define {name}_ALL_TILES {regmap.LOAD_ALL_TILES}u",
        f"#define {name}_LOAD_ADDRESS(tile, space, addr) \\",
        f"    (((uint64_t)(tile) << {regmap.LOAD_TILE_SHIFT}) | ((uint64_t)(space) << {regmap.LOAD_SPACE_SHIFT}) | \\",
        "     ((uint64_t)(addr) << 3))",
    ]
    for title, values in _values():
        lines += ["", f"/* {title}. */"]
        lines += [
            f"#define {name}_{macro} {value if value < 256 else hex(value)}u" + (f" /* {text} */" if text else "")
            for macro, value, text in values
        ]
    return "\n".join([*lines, "", "#endif", ""])
