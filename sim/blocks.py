"""Modules that Verilator compiles by themselves: once for all instances of them in a design, and for all designs that
have them.

Compiled as a whole, a machine of four tiles takes as long as four machines. A block is a model of its own, and in the
design a module of the same name and ports stands for it, which calls the model over DPI (IEEE 1800-2017, clause 35).
Verilator's `--lib-create` would make such a module too, for blocks of any kind of clock; a block here has rising edges
of `clk` alone, and is half as often evaluated.
"""

import re
from collections.abc import Sequence

from hayate.sim.convert import Port

_MODULE = re.compile(r"^module (\w+)\b.*?^endmodule\n", re.MULTILINE | re.DOTALL)
_INSTANCE = re.compile(r"^ +(\w+) +(?:#\(|(?:\\\S+ |\w+) *\()", re.MULTILINE)


def split(text: str, block: str) -> tuple[str, str]:
    """(`text` with only module `block` and what is below it, `text` without `block` and without what nothing else has).

    Raises ValueError where `text` has no such module.
    """
    modules = {m[1]: m[0] for m in _MODULE.finditer(text)}
    if block not in modules:
        raise ValueError(f"no module {block!r} in the Verilog")
    below = {name: {word for word in _INSTANCE.findall(body) if word in modules} for name, body in modules.items()}

    def reach(names, without):
        found, left = set(), set(names) - without
        while left:
            found |= left
            left = set().union(*(below[name] for name in left)) - found - without
        return found

    def only(names):
        return _MODULE.sub(lambda m: m[0] if m[1] in names else "", text)

    tops = set(modules).difference(*below.values())
    return only(reach({block}, set())), only(reach(tops, {block}))


def stand_in(block: str, ports: Sequence[Port]) -> str:
    """SystemVerilog of the module that calls the model, whose functions are those of `glue`.

    What the model answered last counts: to inputs that changed, or to an edge. Raises ValueError for a module without
    `clk`.
    """
    if not any(p.name == "clk" and p.direction == "input" for p in ports):
        raise ValueError(f"module {block!r} has no input clk, whose edges a block is called at")
    inputs = [p for p in ports if p.direction == "input" and p.name != "clk"]
    outputs = [p for p in ports if p.direction == "output"]

    def each(form, ports=outputs, separator="\n"):
        return separator.join(
            form.format(name=p.name, bits=f"bit [{p.width - 1}:0]" if p.width > 1 else "bit") for p in ports
        )

    out, given = each(", output {bits} {name}", separator=""), each(", input {bits} {name}", inputs, "")
    return f"""module {block} (
  input bit clk{given}{out}
);
  import "DPI-C" function chandle {block}_create(string scope);
  import "DPI-C" function longint {block}_inputs(chandle model{given}{out});
  import "DPI-C" function longint {block}_edge(chandle model{out});
  chandle model;
  longint of_inputs, of_edge;
{each("  {bits} {name}_i, {name}_e, {name}_n;")}
  initial model = {block}_create($sformatf("%m"));
  always_comb of_inputs = {block}_inputs(model{each(", {name}", inputs, "")}{each(", {name}_i", separator="")});
  longint of_next;
  always @(posedge clk) begin
    of_next = {block}_edge(model{each(", {name}_n", separator="")});
    of_edge <= of_next;
{each("    {name}_e <= {name}_n;")}
  end
  always_comb begin
    if (of_edge > of_inputs) begin
{each("      {name} = {name}_e;")}
    end else begin
{each("      {name} = {name}_i;")}
    end
  end
endmodule
"""


def glue(block: str, prefix: str, ports: Sequence[Port]) -> str:
    """C++ of the functions that `stand_in` calls, around Verilator's class `prefix`."""
    inputs = [p for p in ports if p.direction == "input" and p.name != "clk"]
    outputs = [p for p in ports if p.direction == "output"]

    def member(port):
        return "model->" + port.name.replace("__", "___05F")  # as Verilator spells it

    def parameter(port):
        constant, pointer = ("const ", "") if port.direction == "input" else ("", "*")
        return f", {constant}svBitVecVal* {port.name}" if port.width > 1 else f", svBit{pointer} {port.name}"

    def put(port):
        if port.width > 64:
            return f"    std::memcpy({member(port)}.data(), {port.name}, sizeof {member(port)});"
        high = f" | static_cast<QData>({port.name}[1]) << 32" if port.width > 32 else ""
        return f"    {member(port)} = {port.name}{'[0]' if port.width > 1 else ''}{high};"

    def get(port):
        if port.width > 64:
            return f"    std::memcpy({port.name}, {member(port)}.data(), sizeof {member(port)});"
        low = f"    {'*' if port.width == 1 else ''}{port.name}{'[0]' if port.width > 1 else ''} = {member(port)};"
        return low + (f" {port.name}[1] = {member(port)} >> 32;" if port.width > 32 else "")

    news, olds, given, out = (
        "\n".join(map(put, inputs)),
        "\n".join(map(get, outputs)),
        "".join(map(parameter, inputs)),
        "".join(map(parameter, outputs)),
    )
    return f"""#include <cstring>
#include "svdpi.h"
#include "{prefix}.h"
namespace {{
struct Model : {prefix} {{
    using {prefix}::{prefix};
    long long answers = 0;
    bool high = false;
    void evaluate(bool clock) {{
        clk = high = clock;
        eval();
        ++answers;
    }}
}};
}}
extern "C" {{
void* {block}_create(const char* scope) {{ return new Model{{scope}}; }}

// The clock falls together with whatever changes: nothing in the block waits for that.
long long {block}_inputs(void* handle{given}{out}) {{
    Model* const model = static_cast<Model*>(handle);
{news}
    model->evaluate(false);
{olds}
    return model->answers;
}}

long long {block}_edge(void* handle{out}) {{
    Model* const model = static_cast<Model*>(handle);
    if (model->high) model->evaluate(false);
    model->evaluate(true);
{olds}
    return model->answers;
}}
}}
"""
