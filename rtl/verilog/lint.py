"""What `verilator --lint-only -Wall` says of the emitted Verilog though nothing is wrong, and why."""

import re

#: Kind of warning -> why it is waived. Matters of style, off without -Wall: never widths, latches, drivers.
WAIVED = {
    "DECLFILENAME": "All modules are in one file, so that it can be taken along as it is.",
    "PINCONNECTEMPTY": "Modules of equal content are one module, and not every instance needs all of its outputs.",
    "PROCASSINIT": "A register's reset value is its initial value too, so that FPGAs and simulations start without X.",
    "UNUSEDSIGNAL": "Amaranth writes a wire for every name of a value, read or not, so that waves show it.",
    "VARHIDDEN": "A memory may have the name of the instance around it; the two are in different name spaces.",
}


def waivers(file_name: str) -> str:
    """Verilator's control file for a Verilog file of that name: the kinds above, off in that file only."""
    name = re.sub(r"[^\w.+-]", "?", file_name)  # a pattern, in quotes
    lines = [f"// For verilator --lint-only -Wall, in front of {name}. Generated; do not edit.", "`verilator_config"]
    for kind, why in WAIVED.items():
        lines += [f"// {why}", f'lint_off -rule {kind} -file "*{name}"']
    return "\n".join([*lines, ""])
