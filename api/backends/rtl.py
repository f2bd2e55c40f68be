"""The rtl backend: a compiled image on the simulated chip, built once per configuration and reused."""

import _thread
import json
import os
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from hayate.backends.load_words import governed
from hayate.backends.request import draft_registers, requests
from hayate.compiler.place import place
from hayate.compiler.usage import require_formats, require_sampling
from hayate.golden.conductor.draft import Drafting, require_drafter
from hayate.golden.conductor.generate import require_committed, require_end
from hayate.golden.conductor.governor import QUALITY, Governor, knob_of, table
from hayate.golden.conductor.sample import inverse, log_share, require_filters, require_seed
from hayate.output import require_writable
from hayate.profile.record import read
from hayate.progress import Steps
from hayate.rtl.contract.activity import Activity
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.isa import Counter, Energy
from hayate.rtl.contract.precision import Format

CAUSES = [c.name.lower() for c in Counter if c <= Counter.IDLE]
#: g++'s flag for machines, in the environment, unless a caller gives one: what runs briefly gains from less than -O2.
OPTIMIZE = "HAYATE_SIM_OPTIMIZE"


@dataclass
class RtlResult:
    """Outcome of a generation. `logits`: absolute position -> float32 [vocab]. `counters`: per tile, by name. Cycles
    are simulated.
    """

    tokens: list = field(default_factory=list)
    token_cycles: list = field(default_factory=list)
    logits: dict = field(default_factory=dict)
    cycles: int = 0
    prefill: int = 0
    passes: int = 0
    counters: list = field(default_factory=list)
    seconds: float = 0.0
    banks: int = 1
    fault: bool = False
    full: bool = False  # the end of the context ended it
    precision: dict = field(default_factory=dict)  # as in golden's `Generation`
    governor: int = 0  # cycles that the governor took
    # of the governor, in the order of its table: energies, then the format
    decisions: list = field(default_factory=list)
    drafting: Drafting = field(default_factory=Drafting)
    activity: Activity | None = None  # what was recorded
    turnaround: int = 0  # most cycles from a verified pass's last answer to the start of the pass behind it

    @property
    def useful(self):
        return sum(c["useful_weight"] + c["useful_kv"] for c in self.counters)

    @property
    def saturated(self):
        """Results that were clipped, all tiles."""
        return sum(t["saturated"] for t in self.counters)

    @property
    def utilization(self):
        """Useful bank words over (cycles x banks), all tiles."""
        return self.useful / (self.counted * self.banks * len(self.counters)) if self.counted else 0.0

    @property
    def counted(self):
        """Cycles that a tile's counters attribute: from BEGIN to FINISH at that tile."""
        return sum(self.counters[0][c] for c in CAUSES)

    def cycle_report(self):
        """Cycles by phase and, summed over the tiles, by cause."""
        causes = {c: sum(t[c] for t in self.counters) for c in CAUSES}
        return {
            "total": self.cycles,
            "prefill": self.prefill,
            "decode": self.cycles - self.prefill,
            "first_token": self.token_cycles[0] if self.token_cycles else None,
            "tokens": self.token_cycles,
            "per_second": round(self.cycles / self.seconds) if self.seconds else None,
            "causes": causes,
            "governor": self.governor,
            "saturated": self.saturated,
        }


def optimized():
    """g++'s flag for machines: that of the environment, or -O2."""
    return os.environ.get(OPTIMIZE) or "-O2"


def build(config, *, sim="verilator", waves="", say=Steps(), root=None, optimize=None):  # noqa: B008
    """The simulation of a configuration, found in the cache or built.

    Parameters
    ----------
    waves: "fst" or "vcd" for one that can record (Verilator falls back to VCD where FST's headers are missing).
    say: `Steps` that shows the slow ones. root: folder of all builds, `build/sim` unless given.
    optimize: g++'s flag for the design, `optimized()` unless given. -O0 spares a quarter of what building takes the
        processor, and simulates a third as fast.

    Returns a `runner.Build`. Raises HayateError when a tool is missing, BuildError when it refuses the design.
    """
    for package, module in (("amaranth", "amaranth"), ("cocotb", "cocotb_tools"), ("cocotbext-axi", "cocotbext")):
        if find_spec(module) is None:
            raise HayateError(
                "--backend rtl",
                "",
                f"the Python package {package} is not installed",
                "pip install 'hayate[sim]', or use --backend golden",
            )
    from hayate.sim import folders, runner, tools
    from hayate.sim.convert import ports
    from hayate.sim.machine.sim_top import TILE, sim_top
    from hayate.sim.machine.texts import chip_text

    tools.find(sim)
    root = runner.default_root() if root is None else Path(root)
    if sim == "verilator":
        folders.require_name(root)
    chip = chip_text(config, root / "text", say)
    top = ("`define HAYATE_WAVES\n" if waves else "") + sim_top(config, ports(chip, "hayate"))
    with say(f"building the {sim} simulation"):
        # Icarus needs no build of its own to record; asked for one, cocotb records everything from the start.
        # To Verilator, recording costs more than what the compiler could win back, and a look at the waves should not
        # wait long.
        return runner.build(
            top,
            name="sim_top",
            sources=(chip,),
            sim=sim,
            waves=bool(waves) and sim == "verilator",
            fst=waves == "fst",
            optimize="-O0" if waves else optimize or optimized(),
            root=root,
            blocks=(TILE,),
        )


def generate_rtl(
    image,
    config,
    prompt,
    tokens,
    *,
    sim="verilator",
    waves=None,
    wave_window=None,
    all_logits=False,
    end=(),
    load="file",
    on_start=None,
    on_token=None,
    say=Steps(),  # noqa: B008
    root=None,
    timeout=None,
    precision="auto",
    quality=QUALITY,
    pins=None,
    speculate="off",
    nodes=None,
    branch=None,
    costs=None,
    corrupt=False,
    temperature=0.0,
    seed=0,
    min_p=None,
    top_k=None,
    committed=0,
    optimize=None,
    threads=None,
    execute=None,
    activity=False,
):
    """Generate on the RTL.

    Parameters
    ----------
    image, config: `Image`, `Config`. prompt: token ids. tokens: how many at most. end: ids that end the text, see
        `require_end`.
    sim: "verilator" or "icarus". waves: .fst or .vcd file to record into; wave_window: (first, last) cycle.
    all_logits: have the logits of every prompt position computed. load: banks from "file" (simulation only) or over
        "axi".
    on_start: called when the model is loaded. on_token: called with each token as the host reads it. Both from another
        thread.
    say: `Steps` that shows the slow ones. root: folder of builds. timeout: seconds of wall clock for the simulation.
    precision: "auto", "fp16", "int8" or "int4". quality: of "auto", see `knob_of`. pins: name -> `Format` of matrices
        for which a fixed precision is another one.
    speculate, nodes, branch, costs, corrupt, temperature, seed, min_p, top_k, committed: as for golden's `generate`.
        optimize: as for `build`. threads: of the processor, at most; as many as this process may use unless given, and
        no more than tiles. execute: as for `runner.run`. activity: record what tiles and conductor are busy with.

    Returns `RtlResult`. Raises HayateError for what does not fit or is missing.
    """
    require_end(end, image.model["name"])
    require_committed(prompt, committed)
    if len(prompt) > config.prompt_depth:
        raise HayateError(
            "prompt",
            "length",
            f"{len(prompt)} tokens exceed the prompt buffer of {config.prompt_depth}",
            f"use --set prompt_depth={len(prompt)}",
        )
    measured = Governor(image, precision, quality, pins).measure  # refuses what the image lacks
    require_formats(image, config, precision, speculate)
    scale = inverse(temperature)
    require_seed(seed)
    require_filters(temperature, min_p, top_k)
    require_sampling(config, temperature)
    require_drafter(image, speculate)
    base = speculate == "ngram" and len(image.ngrams) > 0
    draft = draft_registers(config.lanes, speculate, nodes, branch, costs, corrupt, base)
    knob = knob_of(quality) if measured else None
    if pins and precision == "auto":
        raise HayateError(
            "--pin", "", "the chip's governor decides on every matrix", "give a fixed --precision beside it"
        )
    fixed = None if precision == "auto" else {**table(image, precision), **(pins or {})}
    placement = place(
        image,
        config,
        {n: f for n, f in fixed.items() if image.descriptor(n)[1].planes} if fixed else None,
        filters=min_p is not None or top_k is not None,
    )
    built = build(config, sim=sim, waves=Path(waves).suffix[1:] if waves else "", say=say, root=root, optimize=optimize)
    from hayate.sim import folders, runner
    from hayate.sim.blocks import THREADS

    execute = {"execute": execute} if execute else {}
    with folders.scratch() as folder, ExitStack() as loading:
        loading.enter_context(say("starting the simulation and loading the model"))
        words, registers = requests(
            placement,
            prompt,
            tokens,
            end,
            all_logits,
            load,
            knob=knob,
            draft=draft,
            scale=scale if temperature else None,
            seed=seed,
            log_p=log_share(min_p),
            top_k=top_k or 0,
            committed=committed,
        )
        np.save(folder / "loads.npy", words)
        events, run = folder / "events", folder / "run"
        events.touch()
        # from the simulation's folder: equal for all runs, which a simulator that is held relies on
        plusargs = ["+hayate_trace=trace"]
        if activity:
            plusargs.append("+hayate_activity=activity")
        if load == "file":
            placement.write_bank_files(run / "banks")
            plusargs.append("+hayate_banks=banks")
        if waves:
            plusargs += _waves(Path(waves).resolve(), built, wave_window, say)
        (folder / "request.json").write_text(
            json.dumps(
                {
                    "loads": str(folder / "loads.npy"),
                    "registers": registers,
                    "events": str(events),
                    "tiles": config.tiles,
                    "matrices": len(governed(placement)) if measured else 0,
                }
            )
        )
        result = RtlResult(banks=config.banks)

        def started():
            loading.close()
            if on_start:
                on_start()

        with _follow(events, result, started, on_token):
            # which macOS does not tell a process
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
            runner.run(
                built,
                "hayate.sim.machine.generation_run",
                directory=run,
                log=folder / "log",
                plusargs=plusargs,
                env={
                    "HAYATE_REQUEST": str(folder / "request.json"),
                    THREADS: str(threads or os.environ.get(THREADS) or cores),
                },
                timeout=timeout,
                **execute,
            )
        if activity:
            result.activity = read(run / "activity", config.tiles)
        result.logits = read_trace(run / "trace", image.model["vocab"])
        result.precision = _precision(image, placement, result.decisions)
    return result


def _precision(image, placement, decisions):
    """{name: format and energies} of every weight matrix, from what the governor answered or, without it, from the
    table loaded.
    """
    found = {}
    for name in image.weight_matrices():
        found[name] = {
            "format": Format(placement.precision.get(name, Format.FP16)).name.lower(),
            "out": 0,
            "err": 0,
            "int8_err": 0,
        }
    for (_, d), row in zip(governed(placement), decisions):
        found[d.name] = {"format": Format(row[3]).name.lower(), **{e.name.lower(): row[e] for e in Energy}}
    return found


def _waves(path, built, window, say):
    """Arguments that make a simulation record into `path`, or beside it where the build cannot write FST."""
    if path.suffix == ".fst" and built.waves == "vcd":
        path = path.with_suffix(".vcd")
        say.note(f"waveforms go to {path}: FST needs the zlib and lz4 headers (see hayate doctor)")
    require_writable(path, "--waves", plain=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    limits = [f"+hayate_wave_first={window[0]}", f"+hayate_wave_last={window[1]}"] if window else []
    form = [f"-{path.suffix[1:]}"] if built.sim == "icarus" else []
    return [f"+hayate_waves={path}", *limits, *form]


@contextmanager
def _follow(events, result, on_start, on_token):
    """Read the simulation's events into `result` as they are written, in a thread of its own.

    What a callback raises (the reader of our output has gone, say) interrupts the main thread, and comes out of this
    block.
    """
    stop, raised = threading.Event(), []

    def read(line):
        e = json.loads(line)
        if e["event"] == "loaded":
            on_start()
        elif e["event"] == "token":
            result.tokens.append(e["token"])
            result.token_cycles.append(e["cycle"])
            if on_token:
                on_token(e["token"])
        elif e["event"] == "done":
            result.cycles, result.prefill, result.passes = e["cycles"], e["prefill"], e["passes"]
            result.counters, result.fault, result.full, result.seconds = (
                e["counters"],
                bool(e["fault"]),
                bool(e["full"]),
                e["seconds"],
            )
            result.decisions, result.governor = e["decisions"], e["governor"]
            result.drafting, result.turnaround = (
                Drafting(**e["drafting"], lengths={n: c for n, c in enumerate(e["lengths"]) if c}),
                e["turnaround"],
            )

    def follow():
        with open(events) as file:
            part = ""
            while True:
                ending = stop.is_set()
                part += file.readline()
                if part.endswith("\n"):
                    read(part)
                    part = ""
                elif ending:
                    return
                else:
                    stop.wait(0.02)

    def guarded():
        try:
            follow()
        except Exception as e:
            raised.append(e)
            if not stop.is_set():
                _thread.interrupt_main()

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        if raised:
            raise raised[0]


def read_trace(path, vocab):
    """Logits by absolute position, from the monitor's lines. A row that is missing or comes twice raises
    AssertionError.
    """
    logits, rows = {}, []
    for line in path.read_text().splitlines() if path.exists() else ():
        first, *rest = line.split()
        if first != "v":
            rows.append([int(word, 16) for word in (first, *rest)])
            continue
        kept, *positions = (int(word, 16) for word in rest)
        for lane, position in enumerate(positions):
            chosen = [(row, values[lane]) for row, mask, *values in rows if (kept & mask) >> lane & 1]
            if chosen:
                index, bits = np.array(chosen, np.uint32).T
                if len(index) != vocab or len(set(index)) != vocab:
                    raise AssertionError(
                        f"position {position}: {len(index)} logits, {len(set(index))} different ones, not {vocab}"
                    )
                logits[position] = np.zeros(vocab, np.uint32)
                logits[position][index] = bits
        rows = []
    return {at: bits.view(np.float32) for at, bits in sorted(logits.items())}
