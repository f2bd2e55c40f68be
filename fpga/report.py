"""What synthesis, placement and routing said, as plain numbers, and whether that is good enough."""

import re
from dataclasses import dataclass

#: Look-up tables that a cell takes on ECP5, as nextpnr counts them: a carry cell is two, a 16 x 4 RAM four and two more
#: for writing.
LUTS = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6, "PFUMX": 0, "L6MUX21": 0}
#: Addresses, rows and indices have room to grow, which takes one in a hundred of the tile's.
LUT_LIMIT_PER_PE = 5250
#: What the best of the placements must reach, and what each must.
BEST_LIMIT_MHZ = 63.0
WORST_LIMIT_MHZ = 58.0
#: A baseline may be missed by this much: area grows, the clock falls.
AREA_TOLERANCE = 0.03
FMAX_TOLERANCE = 0.10
AREA_FIGURES = ("lut", "ff", "mult18x18d", "dp16kd")

_LATCH = re.compile(r"^Latch inferred for signal `(\S+)'", re.MULTILINE)
_SOFT_PRODUCT = re.compile(r"creating \$macc model for (\S+) \(\$mul\)")
_MEMORY = re.compile(r"^mapping memory (\S+) via \$__(\w+?)_$", re.MULTILINE)
_MEMORY_IN_FF = re.compile(r"^using FF mapping for memory (\S+)$", re.MULTILINE)
_BANK = re.compile(r"bank_(\d+)\.macro\.mem$")
_OVERUSED = re.compile(r"^Info:     iter=\d+ wires=\d+ overused=(\d+)", re.MULTILINE)
# What the tools put behind the name that a register or memory has in the design.
_CELL = re.compile(r"(_TRELLIS|_LUT4|_CCU2C|_PFUMX|_L6MUX|\.mem\.|_DP16KD|_MULT|_PDPW|(\.\d+)+(\$|$)).*$")


def area(stat, module):
    """Area of `module` in the output of Yosys' `stat -json`; ValueError for a cell that is no cell of the device.

    Keys: lut (total, see LUTS), of them lut_logic, lut_carry and lut_ram; ff; mult18x18d; dp16kd, block RAMs; latches,
    cells.
    """
    try:
        cells = stat["modules"][f"\\{module}"]["num_cells_by_type"]
    except KeyError:
        raise ValueError(f"no module {module} in the statistics of Yosys") from None
    foreign = sorted(
        name for name in cells if name.startswith("$") and name != "$scopeinfo" and "LATCH" not in name.upper()
    )
    if foreign:
        raise ValueError(f"cells left unmapped: {', '.join(foreign)}")
    carry, ram = LUTS["CCU2C"] * cells.get("CCU2C", 0), LUTS["TRELLIS_DPR16X4"] * cells.get("TRELLIS_DPR16X4", 0)
    return {
        "lut": cells.get("LUT4", 0) + carry + ram,
        "lut_logic": cells.get("LUT4", 0),
        "lut_carry": carry,
        "lut_ram": ram,
        "ff": cells.get("TRELLIS_FF", 0),
        "mult18x18d": cells.get("MULT18X18D", 0),
        "dp16kd": cells.get("DP16KD", 0) + cells.get("PDPW16KD", 0),
        "latches": sum(n for name, n in cells.items() if "LATCH" in name.upper()),
    }


@dataclass(frozen=True)
class SynthesisLog:
    """What only the log of Yosys tells.

    latches: signals with an inferred latch. soft_products: multiplications made of look-up tables. memories: kind of
    cell by memory.
    """

    latches: list
    soft_products: list
    memories: dict

    @classmethod
    def parse(cls, text):
        return cls(
            _LATCH.findall(text),
            _SOFT_PRODUCT.findall(text),
            dict(_MEMORY.findall(text)) | {name: "FF" for name in _MEMORY_IN_FF.findall(text)},
        )

    def banks(self):
        """Kind of cell by number of the bank."""
        return {int(found[1]): kind for name, kind in self.memories.items() if (found := _BANK.search(name))}


def fmax(report):
    """Frequency in MHz and the steps of the critical path, from nextpnr's `--report`; ValueError unless there is
    exactly one clock.

    A step is {"kind", "ns", "to"}.
    """
    clocks = report.get("fmax", {})
    if len(clocks) != 1:
        raise ValueError(f"one clock expected, nextpnr reports {sorted(clocks)}")
    ((name, speed),) = clocks.items()
    path: list[dict] = next(
        (p["path"] for p in report.get("critical_paths", []) if p["from"] == p["to"] == f"posedge {name}"), []
    )
    return speed["achieved"], [
        {"kind": s["type"], "ns": round(s["delay"], 2), "to": f"{s['to']['cell']}.{s['to']['port']}"} for s in path
    ]


def hopeless(log):
    """Whether nextpnr's log so far is that of a routing which does not end: wires in each other's way become more
    again, or do not become none. The router has no limit of its own.
    """
    overused = [int(n) for n in _OVERUSED.findall(log)]
    return len(overused) >= 20 and overused[-1] > max(500, 1.25 * min(overused)) or len(overused) > 400


def summary(path):
    """What a critical path is, in plain data: from and to, the registers or memories at its ends, levels of logic
    between them, and ns in logic and in wires.
    """
    if not path:
        return None
    ends = [_CELL.sub("", path[n]["to"].rpartition(".")[0]) for n in (0, -1)]
    wires = sum(step["ns"] for step in path if step["kind"] == "routing")
    return {
        "from": ends[0],
        "to": ends[1],
        "levels": sum(step["kind"] == "logic" for step in path),
        "logic_ns": round(sum(step["ns"] for step in path) - wires, 2),
        "routing_ns": round(wires, 2),
    }


def violations(result, log, limits=True):
    """What breaks a rule that always holds, a sentence each. `result` as `synth.measure` gives it, `log` a
    SynthesisLog.

    limits: hold to the limits on LUTs and on the clock too, which are those of a tile for FP16.
    """
    found = []
    tile, banks = result["tile"], result["design"]["banks"]
    if log.latches or tile["latches"]:
        found.append(f"latches: {', '.join(log.latches) or tile['latches']}")
    if log.soft_products:
        found.append(f"multiplications outside DSP blocks: {', '.join(log.soft_products)}")
    if tile["mult18x18d"] < banks * result["pe"]["mult18x18d"] or not result["pe"]["mult18x18d"]:
        found.append(f"{tile['mult18x18d']} multipliers cannot hold {banks} PEs of {result['pe']['mult18x18d']}")
    kinds = log.banks()
    outside = [str(b) for b in range(banks) if kinds.get(b) not in ("DP16KD", "PDPW16KD")]
    if outside:
        found.append(f"banks outside block RAM: {', '.join(outside)}")
    for what, luts in (("the PE alone", result["pe"]["lut"]), ("the tile", result["lut_per_pe"])):
        if limits and luts > LUT_LIMIT_PER_PE:
            found.append(f"{what} takes {luts} LUT per PE, more than {LUT_LIMIT_PER_PE}")
    if limits and result["fmax_mhz"] < BEST_LIMIT_MHZ:
        found.append(f"{result['fmax_mhz']} MHz after routing, less than {BEST_LIMIT_MHZ:g}")
    for seed, speed in result["placements"].items() if limits else ():
        if speed is None:
            found.append(f"not routed with seed {seed}")
        elif speed < WORST_LIMIT_MHZ:
            found.append(f"{speed} MHz with seed {seed}, less than {WORST_LIMIT_MHZ:g}")
    return found


def regressions(result, baseline):
    """What became worse than `baseline` by more than the tolerances, a sentence each."""
    if result["design"] != baseline["design"] or result["device"] != baseline["device"]:
        return ["the baseline is of another design or device: record it again"]
    found = []
    for part in ("tile", "pe"):
        for figure in AREA_FIGURES:
            now, then = result[part][figure], baseline[part][figure]
            if now > then * (1 + AREA_TOLERANCE):
                found.append(f"{part}: {now} {figure}, {then} in the baseline (+{AREA_TOLERANCE:.0%} allowed)")
    now, then = result["fmax_mhz"], baseline["fmax_mhz"]
    if now < then * (1 - FMAX_TOLERANCE):
        found.append(f"{now} MHz, {then} in the baseline (-{FMAX_TOLERANCE:.0%} allowed)")
    return found


def table(result):
    """Lines of text for people."""
    lines = [
        f"{result['device']}, {result['design']['banks']} PEs, M = {result['design']['lanes']}, banks of "
        f"{result['design']['bank_depth']} words",
        f"{'':12}{'LUT':>8}{'FF':>8}{'MULT':>6}{'EBR':>6}",
    ]
    for part in ("tile", "pe"):
        a = result[part]
        lines.append(f"{part:12}{a['lut']:8}{a['ff']:8}{a['mult18x18d']:6}{a['dp16kd']:6}")
    tried = ", ".join(f"{speed or 'not routed'} with seed {seed}" for seed, speed in result["placements"].items())
    return [
        *lines,
        f"{result['lut_per_pe']} LUT per PE, the whole tile counted; {result['fmax_mhz']} MHz after routing ({tried})",
    ]
