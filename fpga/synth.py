"""`make synth`: one tile through Yosys and nextpnr-ecp5, and its area, clock and longest path as a JSON baseline.

    python -m hayate.fpga.synth                  the tile for FP16: run, record fpga/baseline.json, hold to the limits
    python -m hayate.fpga.synth --check          run, hold to the limits and to the baseline, record nothing
    python -m hayate.fpga.synth --formats nested the tile with INT8 and INT4: run, record fpga/baseline-nested.json
    python -m hayate.fpga.synth --formats auto   with the governor, too: fpga/baseline-auto.json
    python -m hayate.fpga.synth --sampling       the tile that samples too: run, show, record nothing

Limits on LUTs and on the clock are those of the tile for FP16. What is recorded has been placed with each of the seeds;
--check ends with the first that is fast enough.

Exit code 0; 1 when a limit or the baseline is missed; 2 when the flow could not run.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from hayate.fpga import report
from hayate.rtl.contract.config import FORMATS as FORMAT_CHOICES
from hayate.rtl.contract.config import Config
from hayate.rtl.contract.errors import HayateError

#: The tile that is measured: the sizes of a tile of `demo`, but for M = 1 and banks that an ECP5-85F holds.
SIZES = dict(
    banks=4,
    lanes=1,
    bank_depth=4096,
    act_depth=512,
    stage_depth=128,
    vmem_depth=1024,
    program_depth=128,
    micro_depth=128,
    desc_depth=128,
    landing_depth=32,
    max_slots=260,
)
#: What `formats` of a configuration builds into a tile. The baseline and the limit on LUTs are of the first.
FORMATS = {c.formats: {"nested": c.nested, "governor": c.governor} for c in (Config(formats=f) for f in FORMAT_CHOICES)}
DEVICE = "LFE5U-85F-6BG381"
DEVICE_OPTIONS = ("--85k", "--package", "CABGA381", "--speed", "6")
#: The clock asked of nextpnr. It reaches the best where it is asked for a little more than it can give.
TARGET_MHZ = 75
#: Seeds of the placement, whose result is worth several MHz either way.
SEEDS = (1, 2, 3)
BASELINES = {
    name: Path(__file__).resolve().parent / ("baseline.json" if name == "fp16" else f"baseline-{name}.json")
    for name in FORMATS
}
TOOLS = ("yosys", "nextpnr-ecp5")

_SCRIPT = """\
read_verilog -DSYNTHESIS {name}.v
setattr -mod -set keep_hierarchy 1 {name}_dut
synth_ecp5 -nowidelut -top {name} -json {name}.json
tee -o {name}_stat.json stat -json
"""


def tool(name, native):
    """Path of a tool: of the YoWASP package in this environment, or with `native` the one on PATH. HayateError when
    missing.
    """
    if native:
        if found := shutil.which(name):
            return found
        raise HayateError("--native", name, "is not on PATH", "install it, or leave --native out")
    found = shutil.which(f"yowasp-{name}", path=str(Path(sys.executable).parent)) or shutil.which(f"yowasp-{name}")
    if found:
        return found
    raise HayateError(
        "synthesis", name, f"yowasp-{name} is not installed", "pip install 'hayate[fpga]', or use --native"
    )


def work_folder(path, native):
    """`path`, made. HayateError below the system's temporary folder, which YoWASP tools do not see."""
    path, temporary = path.resolve(), Path(tempfile.gettempdir()).resolve()
    if not native and temporary in (path, *path.parents):
        raise HayateError(
            "--work",
            "",
            f"{path} is below {temporary}, which YoWASP tools replace by their own",
            "choose another folder",
        )
    path.mkdir(parents=True, exist_ok=True)
    return path


def run(folder, made, *command, hopeless=lambda: False):
    """Runs a tool in `folder`; HayateError unless it ends well and leaves the file `made` (YoWASP tools can fail
    without a word). False, and the tool is ended, as soon as it is `hopeless()`, which is asked every other second.
    """
    (folder / made).unlink(missing_ok=True)
    started = time.monotonic()
    print(f"{Path(command[0]).name}: {made} ...", flush=True)
    with tempfile.TemporaryFile("w+") as said:
        with subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        ) as process:
            try:
                while process.poll() is None:
                    if hopeless():
                        print(f"{Path(command[0]).name}: {made} given up", flush=True)
                        return False
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(2)
            finally:
                process.kill()
        said.seek(0)
        lines = said.read().strip().splitlines() or ["no message"]
    if process.returncode or not (folder / made).is_file():
        raise HayateError(
            Path(command[0]).name,
            "",
            f"exit code {process.returncode}, {made} not made: {lines[-1]}",
            f"see {folder}/*.log",
        )
    print(f"{Path(command[0]).name}: {made} after {time.monotonic() - started:.0f} s", flush=True)
    return True


def synthesize(folder, name, component, native):
    """Netlist {name}.json of a component in its harness. Returns (area of the component, SynthesisLog)."""
    from hayate.fpga.harness import Harness
    from hayate.rtl.memory.bank import macro_text
    from hayate.rtl.verilog.convert import verilog

    (folder / f"{name}.v").write_text(macro_text() + verilog(Harness(component), name))
    (folder / f"{name}.ys").write_text(_SCRIPT.format(name=name))
    run(folder, f"{name}.json", tool("yosys", native), "-q", "-l", f"{name}_yosys.log", f"{name}.ys")
    stat = json.loads((folder / f"{name}_stat.json").read_text())
    return report.area(stat, f"{name}_dut"), report.SynthesisLog.parse((folder / f"{name}_yosys.log").read_text())


def version(path):
    """Number of a tool's version, as it says itself."""
    done = subprocess.run([path, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = re.search(r"(?:Yosys |nextpnr-)(\d[\w.+-]*)", done.stdout)
    return found[1] if found else "unknown"


def place(folder, native, seed):
    """Places and routes the tile. Returns (MHz, steps of the critical path); (None, []) where it cannot be routed."""
    route, log = f"tile_route_{seed}.json", folder / f"tile_nextpnr_{seed}.log"
    log.unlink(missing_ok=True)
    routed = run(
        folder,
        route,
        tool("nextpnr-ecp5", native),
        *DEVICE_OPTIONS,
        "--json",
        "tile.json",
        "--lpf-allow-unconstrained",
        "--freq",
        str(TARGET_MHZ),
        "--router",
        "router2",
        "--timing-allow-fail",
        "--seed",
        str(seed),
        "--report",
        route,
        "--log",
        log.name,
        "--quiet",
        hopeless=lambda: log.is_file() and report.hopeless(log.read_text()),
    )
    if not routed:
        return None, []
    speed, path = report.fmax(json.loads((folder / route).read_text()))
    return round(speed, 2), path


def placed(folder, native, seeds, enough):
    """(MHz, steps of the critical path) by seed: of all of them, two side by side, or if `enough` up to the first that
    has the MHz asked of the best.
    """
    if not enough:
        with ThreadPoolExecutor(2) as pool:
            return dict(zip(seeds, pool.map(lambda seed: place(folder, native, seed), seeds), strict=True))
    found = {}
    for seed in seeds:
        found[seed] = place(folder, native, seed)
        if (found[seed][0] or 0) >= report.BEST_LIMIT_MHZ:
            break
    return found


def measure(folder, native, seeds=SEEDS, formats="fp16", sampling=False, enough=False):
    """Runs the whole flow in `folder`. Returns (result, SynthesisLog of the tile); result is plain data and holds no
    date or path.

    The clock and the path are those of the best placement, and all that were tried are in the result. enough: try no
    more once one is fast enough.
    """
    from hayate.rtl.tile.matrix.pe import Pe
    from hayate.rtl.tile.tile import Tile

    design = {**SIZES, **FORMATS[formats], "sampling": sampling}
    tile, log = synthesize(folder, "tile", Tile(**design), native)
    pe, _ = synthesize(folder, "pe", Pe(design["lanes"], nested=design["nested"], measure=design["governor"]), native)
    tried = placed(folder, native, seeds, enough)
    best = max(tried, key=lambda seed: tried[seed][0] or 0)
    speed, path = tried[best]
    if speed is None:
        raise HayateError("nextpnr-ecp5", "", f"no placement can be routed, of seeds {[*tried]}", "use other seeds")
    (folder / "critical_path.json").write_text(json.dumps(path, indent=1) + "\n")
    result = {
        "evidence": "area measured on the netlist, clock modelled by nextpnr after routing",
        "command": "make synth" if formats == "fp16" else f"python -m hayate.fpga.synth --formats {formats}",
        "device": DEVICE,
        "design": design,
        "tile": tile,
        "pe": pe,
        "lut_per_pe": -(-tile["lut"] // design["banks"]),
        "fmax_mhz": speed,
        "seed": best,
        "placements": {str(seed): mhz for seed, (mhz, _) in tried.items()},
        "path": report.summary(path),
        "tools": {name: version(tool(name, native)) for name in TOOLS},
    }
    return result, log


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m hayate.fpga.synth", description="One tile through Yosys and nextpnr-ecp5."
    )
    parser.add_argument("--check", action="store_true", help="compare with the baseline instead of recording it")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the result there")
    parser.add_argument(
        "--native", action="store_true", help="tools on PATH instead of those from PyPI; records no baseline"
    )
    parser.add_argument(
        "--seed",
        type=int,
        help=f"of the one placement (default: {', '.join(map(str, SEEDS))}); records no baseline",
    )
    parser.add_argument(
        "--work", metavar="DIR", type=Path, default=Path("build/synth"), help="working folder (default build/synth)"
    )
    parser.add_argument(
        "--formats",
        choices=FORMATS,
        default="fp16",
        help="what the tile is built for (default fp16)",
    )
    parser.add_argument(
        "--sampling", action="store_true", help="the tile draws noise for sampling, too; records no baseline"
    )
    options = parser.parse_args(arguments)
    limited = options.formats == "fp16" and not options.sampling
    baseline = BASELINES[options.formats]
    try:
        if options.check and options.sampling:
            raise HayateError("--check", "", "there is no baseline of --sampling", "leave one of them out")
        if options.check and not baseline.is_file():
            raise HayateError("--check", "", f"no {baseline.name}", "run without --check to record it")
        for name in TOOLS:  # before anything slow
            tool(name, options.native)
        folder = options.work if limited else options.work / (options.formats + "-sampling" * options.sampling)
        result, log = measure(
            work_folder(folder, options.native),
            options.native,
            SEEDS if options.seed is None else (options.seed,),
            options.formats,
            options.sampling,
            enough=options.check,
        )
    except HayateError as e:
        print(e, file=sys.stderr)
        return e.exit_code
    print("\n".join(report.table(result)))
    text = json.dumps(result, indent=2) + "\n"
    if options.json:
        options.json.write_text(text)
    failed = report.violations(result, log, limits=limited)
    if options.check:
        failed += report.regressions(result, json.loads(baseline.read_text()))
    for line in failed:
        print(f"FAILED: {line}", file=sys.stderr)
    # What misses a limit is recorded too: it is what there is.
    if not (options.check or options.native or options.seed is not None or options.sampling):
        baseline.write_text(text)
        print(f"recorded in {baseline.parent.name}/{baseline.name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
