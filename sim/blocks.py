"""Modules that Verilator compiles by themselves: once for all instances of them in a design, and for all designs that
have them.

Compiled as a whole, a machine of four tiles takes as long as four machines. A block is a model of its own, and in the
design a module of the same name and ports stands for it, which calls the model over DPI (IEEE 1800-2017, clause 35).
Verilator's `--lib-create` would make such a module too, for blocks of any kind of clock; a block here has rising edges
of `clk` alone, and is half as often evaluated.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from hayate.sim.convert import Port

_MODULE = re.compile(r"^module (\w+)\b.*?^endmodule\n", re.MULTILINE | re.DOTALL)
_UNREAD = re.compile(r"^[ \t]*(?://(?! verilator ).*)?\n", re.MULTILINE)  # lines that Verilator does not read
_INSTANCE = re.compile(r"^ +(\w+) +(?:#\(|(?:\\\S+ |\w+) *\()", re.MULTILINE)


#: Threads that a simulation may use, in its environment: instances of a block take an edge of the clock side by side.
THREADS = "HAYATE_SIM_THREADS"

# What an instance does at an edge depends on what it was told before, not on what the others do. So the first that is
# asked has all of them take theirs. A thread begins with its own instances, whose state its cache has, and goes on with
# those that nobody has begun: on a machine that does much else, a thread that does not run holds up nobody.
_CREW = """#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>
namespace {
template <class M> class Crew {
    std::vector<M*> m_models;
    std::atomic<unsigned> m_round{0}, m_done{0}, m_asleep{0};
    std::vector<std::atomic<M*>> m_asked;  // by thread: one of its instances is to look at its inputs
    static M* busy() { static char at; return reinterpret_cast<M*>(&at); }
    std::mutex m_mutex;
    std::condition_variable m_wake;
    unsigned m_threads = 0;

    static void pause() {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }
    void take(M* model, unsigned round) {
        unsigned before = round - 1;
        if (!model->round.compare_exchange_strong(before, round)) return;
        model->edge();
        m_done.fetch_add(1);
    }
    void work(unsigned self, unsigned round) {
        for (size_t n = self; n < m_models.size(); n += m_threads) take(m_models[n], round);
        for (M* model : m_models) take(model, round);
    }
    void help(unsigned self, VerilatedContext* context) {
        Verilated::threadContextp(context);
        auto last = std::chrono::steady_clock::now();
        for (unsigned idle = 0, round = 0;;) {
            M* asked = m_asked[self].load();
            if (asked && m_asked[self].compare_exchange_strong(asked, busy())) {
                asked->evaluate(false);
                m_asked[self] = nullptr;
                idle = 0;
            } else if (m_round.load() != round) {
                work(self, round = m_round.load());
                idle = 0;
            } else if (++idle < 4000) {
                pause();
            } else if (idle == 4000) {
                last = std::chrono::steady_clock::now();
            } else if (std::chrono::steady_clock::now() - last < std::chrono::milliseconds(2)) {
                std::this_thread::yield();
            } else {
                std::unique_lock<std::mutex> lock(m_mutex);
                ++m_asleep;
                m_wake.wait(lock, [&] { return m_round.load() != round; });
                --m_asleep;
                idle = 0;
            }
        }
    }

  public:
    // One more instance; none comes any more once there has been an edge.
    void join(M* model) { m_models.push_back(model); }
    void edge(M* model) {
        if (!m_threads) {
            const char* const wanted = std::getenv("THREADS");
            m_threads = wanted ? std::atoi(wanted) : 1;
            if (m_threads < 1) m_threads = 1;
            if (m_threads > m_models.size()) m_threads = m_models.size();
            m_asked = std::vector<std::atomic<M*>>(m_threads);
            for (size_t n = 0; n < m_models.size(); ++n) m_models[n]->owner = n % m_threads;
            for (unsigned n = 1; n < m_threads; ++n)
                std::thread(&Crew::help, this, n, Verilated::threadContextp()).detach();
        }
        if (m_threads == 1) {
            model->edge();
        } else if (model->ahead) {
            model->ahead = false;
        } else {
            for (M* other : m_models) {
                still(other);
                other->ahead = other != model;
            }
            m_done = 0;
            const unsigned round = ++m_round;
            if (m_asleep) {
                std::lock_guard<std::mutex> lock(m_mutex);
                m_wake.notify_all();
            }
            work(0, round);
            for (unsigned idle = 0; m_done != m_models.size();) {
                if (++idle < 1000) pause(); else std::this_thread::yield();
            }
        }
    }
    // Inputs of an instance have changed. Its state stays in the cache of the thread whose it is, where that is awake.
    void inputs(M* model) {
        still(model);
        if (!model->owner || model->alone) {
            if (model->alone) --model->alone;
            model->evaluate(false);
            return;
        }
        std::atomic<M*>& asked = m_asked[model->owner];
        asked = model;
        for (unsigned idle = 0; asked; ++idle) {
            pause();
            M* mine = model;
            if (idle > 200 && asked.compare_exchange_strong(mine, nullptr)) {
                // It does not run: ask it less often, the more often that is so.
                model->alone = model->missed = model->missed < 4096 ? 2 * model->missed + 1 : 8191;
                model->evaluate(false);
                return;
            }
        }
        model->missed = 0;
    }
    // Nothing but the answer of an edge is asked of an instance that has taken it.
    void still(M* model) {
        if (!model->ahead) return;
        std::fputs("instances of a block have different clocks\\n", stderr);
        std::abort();
    }
};
}
""".replace("THREADS", THREADS)


def split(text: str, block: str) -> tuple[str, str]:
    """(`text` with only module `block` and what is below it, `text` without `block` and without what nothing else has).

    The first has no comments but those that Verilator reads, and no empty lines: they tell of the whole design, and a
    block is the same in many.

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
    return _UNREAD.sub("", only(reach({block}, set()))), only(reach(tops, {block}))


#: In Verilator's classes: the clock as it was, which makes an edge one; and where an evaluation begins with the inputs.
_BEFORE = "__Vtrigprevexpr___TOP__clk__0"
_INPUTS = re.compile(r"(vlSelfRef\.__VicoFirstIteration = )1U;")


def lean(folder: Path, prefix: str) -> bool:
    """Have Verilator's class look at its inputs only while `clk` is low, when they may have changed; each evaluation
    else begins with them. And have an edge need no evaluation of the fall before it.

    Writes `lean.h` for `glue`. Nothing changes, and False is returned, where the code in `folder` is of a Verilator
    that puts it otherwise: simulations are slower then.
    """
    found = [file for file in folder.glob(f"{prefix}*.cpp") if _INPUTS.search(file.read_text())]
    places = sum(len(_INPUTS.findall(file.read_text())) for file in found)
    known = places == 1 and _BEFORE in (folder / f"{prefix}___024root.h").read_text()
    if known:
        found[0].write_text(_INPUTS.sub(r"\1!vlSelfRef.clk;", found[0].read_text()))
    (folder / "lean.h").write_text(f"#define HAYATE_LEAN {int(known)}\n")
    return known


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
    return f"""#include <cstdio>
#include <cstdlib>
#include <cstring>
#include "svdpi.h"
#include "{prefix}.h"
#include "{prefix}___024root.h"
#include "lean.h"
{_CREW}
namespace {{
struct Model : {prefix} {{
    using {prefix}::{prefix};
    long long answers = 0;
    bool high = false, ahead = false;
    unsigned owner = 0, alone = 0, missed = 0;
    std::atomic<unsigned> round{{0}};
    void evaluate(bool clock) {{
        clk = high = clock;
        eval();
        ++answers;
    }}
    void edge() {{
#if HAYATE_LEAN
        rootp->{_BEFORE} = 0;
#else
        if (high) evaluate(false);
#endif
        evaluate(true);
    }}
}};
Crew<Model>& crew() {{
    static Crew<Model>& all = *new Crew<Model>;  // stays, for threads that are at work when the program ends
    return all;
}}
}}
extern "C" {{
void* {block}_create(const char* scope) {{
    Model* const model = new Model{{scope}};
    crew().join(model);
    return model;
}}

// The clock falls together with whatever changes: nothing in the block waits for that.
long long {block}_inputs(void* handle{given}{out}) {{
    Model* const model = static_cast<Model*>(handle);
{news}
    crew().inputs(model);
{olds}
    return model->answers;
}}

long long {block}_edge(void* handle{out}) {{
    Model* const model = static_cast<Model*>(handle);
    crew().edge(model);
{olds}
    return model->answers;
}}
}}
"""
