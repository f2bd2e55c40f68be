"""What all programs of Verilator share, compiled once per tool and flags and kept beside the builds: the run-time
library, cocotb's main loop, and headers.

cocotb's loop includes the class of the design's own top module. Here it is compiled against a class of another name, of
which no part depends on the design; each design comes with that class's few functions. Both matter: most designs are
compiled in less time than the library's headers, or that loop, are.
"""

import hashlib
import os
import shutil
from pathlib import Path

from hayate.sim import folders, tools

TOP = "Vtop"  # what the names of a design's own files begin with

# What a design's C++ files begin with.
_HEADERS = "".join(
    f'#include "{name}"\n' for name in ("memory", "string", "verilated.h", "verilated_dpi.h", "verilated_vpi.h")
)

# Instead of the design's Vtop.h, for cocotb's loop.
_LOOP = """#pragma once
#include "verilated.h"

class HayateTop {
    void* const m_top;

  public:
    explicit HayateTop(const char* name);
    ~HayateTop();
    void eval_step();
    void eval_end_step();
    bool eventsPending();
    uint64_t nextTimeSlot();
    void final();
};
"""
_FUNCTIONS = "".join(
    f"__attribute__((used)) inline {result} HayateTop::{name}() {{ return static_cast<Vtop*>(m_top)->{name}(); }}\n"
    for result, name in (
        ("void", "eval_step"),
        ("void", "eval_end_step"),
        ("bool", "eventsPending"),
        ("uint64_t", "nextTimeSlot"),
        ("void", "final"),
    )
)
# For the design's C++ files.
_BRIDGE = f"""#include "Vtop.h"
#include "loop/Vtop.h"
inline Vtop* hayate_top(const char* name) {{
    // Else there is a second one, which does nothing and outlives no fork.
    if (THREADS == 1) Verilated::threadContextp()->threads(1);
    return new Vtop{{name}};
}}
__attribute__((used)) inline HayateTop::HayateTop(const char* name) : m_top{{hayate_top(name)}} {{}}
__attribute__((used)) inline HayateTop::~HayateTop() {{ delete static_cast<Vtop*>(m_top); }}
{_FUNCTIONS}"""

# A design that records waves hands cocotb's loop a file of its own kind: it is compiled with a loop of its own.
_RULES = """
VK_PCH_I_FAST = -include $(FAST)/verilated_all.h $(BRIDGE)
VK_PCH_I_SLOW = -include $(SLOW)/verilated_all.h
$(VM_PREFIX)__ALL.o: CPPFLAGS += $(VK_PCH_I_FAST)
$(VK_GLOBAL_OBJS): CPPFLAGS += -include $(ONCE)/verilated_all.h
verilator.o: CPPFLAGS += -include $(ONCE)/verilated_all.h $(LOOP)
once: $(VK_GLOBAL_OBJS) $(OBJECT)
$(GLUE).o: CPPFLAGS += $(VK_PCH_I_FAST)
block.a: $(VK_OBJS) $(GLUE).o
\t$(AR) -rcs $@ $^
%.h.gch: %.h
\t$(CXX) $(OPT_FAST) $(CXXFLAGS) $(CPPFLAGS) -x c++-header $< -o $@
"""
_ONCE = "-O1"  # of all that; g++ crashes where headers were precompiled with another


def prepare(build, command: list[str], cwd: Path):
    """Put into `cwd` what is shared and have `command`, make's, use it. What is not there yet is compiled now.

    build: a `simulators.FastVerilator`, or a `simulators.Block`, which has no main loop and is linked to what comes
    with one.
    """
    (cwd / "shared.mk").write_text(_RULES)
    command += ["-f", "shared.mk"]
    for name, optimize in (("ONCE", _ONCE), ("FAST", build.optimize), ("SLOW", "-O0")):
        if name != "SLOW" or not _one_file(build, command, cwd):
            command.append(f"{name}={_headers(build, command, cwd, optimize)}")
    for name in ("fast", "slow"):
        (cwd / f"{build.prefix}__pch.h.{name}.gch").touch()  # Verilator would compile headers for each design
    if build.prefix == TOP:
        _runtime(build, command, cwd)


def _runtime(build, command: list[str], cwd: Path):
    """Put the run-time library and the main loop into `cwd`."""
    kept = _folder(build, cwd, "runtime")
    with folders.lock(kept.with_suffix(".lock")):
        if not kept.is_dir():
            staging = cwd / "shared"
            (staging / "loop").mkdir(parents=True)
            (staging / "loop" / "Vtop.h").write_text(_LOOP)
            (staging / "bridge.h").write_text(_BRIDGE.replace("THREADS", str(build.threads)))
            loop = [] if build.trace else ["OBJECT=verilator.o", f"LOOP=-DVtop=HayateTop -iquote {staging / 'loop'}"]
            # Whoever else builds now waits for this.
            once = [*command, *loop, f"OPT_FAST={_ONCE}", f"OPT_GLOBAL={_ONCE}", "-j", "2", "once"]
            if tools.execute(once, cwd=cwd, env=build.env, log=build.output) == 0:
                for file in cwd.glob("verilat*.d"):
                    file.unlink()  # names what is about to be moved
                for file in [*cwd.glob("verilated*.o"), *cwd.glob("verilator.o")]:
                    shutil.copyfile(file, staging / file.name)
                os.rename(staging, kept)
    for file in kept.glob("*.o"):
        shutil.copyfile(file, cwd / file.name)  # newer than its source, so make leaves it alone
    if not build.trace:
        command.append(f"BRIDGE=-include {kept / 'bridge.h'}")


def _one_file(build, command: list[str], cwd: Path) -> bool:
    """Whether make compiles a design's C++ files as one."""
    return (
        "VM_PARALLEL_BUILDS=0" in command
        or "VM_PARALLEL_BUILDS = 0" in (cwd / f"{build.prefix}_classes.mk").read_text()
    )


def _headers(build, command: list[str], cwd: Path, optimize: str) -> Path:
    """The folder of precompiled headers. A compiler that cannot use them reads them."""
    kept = _folder(build, cwd, "headers", optimize, _HEADERS)
    with folders.lock(kept.with_suffix(".lock")):
        if not kept.is_dir():
            staging = cwd / "shared-headers"
            staging.mkdir()
            (staging / "verilated_all.h").write_text(_HEADERS)
            flags = [f"OPT_FAST={optimize}", "shared-headers/verilated_all.h.gch"]
            tools.execute([*command, *flags], cwd=cwd, env=build.env, log=build.output)
            os.rename(staging, kept)
    return kept


def _folder(build, cwd: Path, kind: str, *more: str) -> Path:
    path = shutil.which("g++") or ""
    compiler = f"{os.path.realpath(path)} {os.stat(path).st_mtime_ns}" if path else ""
    flags = [build.tool.version, *build.tool.make, build.trace, str(build.threads), compiler, _RULES, _BRIDGE, *more]
    return cwd.parent / f"{kind}-{hashlib.sha256(repr(flags).encode()).hexdigest()[:12]}"
