"""The rtl backend: a compiled image on the simulated chip, built once per configuration and reused."""

import json
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hayate.compiler.place import place
from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.isa import Counter, Space
from hayate.rtl.contract.regmap import LOAD_ALL_TILES, LoadSpace, load_address

CAUSES = [c.name.lower() for c in Counter if c <= Counter.IDLE]


@dataclass
class RtlResult:
    """Outcome of a generation. `logits`: absolute position -> float32 [vocab]. `counters`: per tile, by name. Cycles are simulated."""

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

    @property
    def useful(self):
        return sum(c["useful_weight"] + c["useful_kv"] for c in self.counters)

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
        return {"total": self.cycles, "prefill": self.prefill, "decode": self.cycles - self.prefill,
                "first_token": self.token_cycles[0] if self.token_cycles else None, "tokens": self.token_cycles,
                "per_second": round(self.cycles / self.seconds) if self.seconds else None, "causes": causes,
                "saturated": sum(t["saturated"] for t in self.counters)}


class _Quiet:
    """Stands in for a console that shows nothing."""

    @contextmanager
    def status(self, text):
        yield


@contextmanager
def step(say, text):
    """A slow step, with a spinner and its time where `say` is a console."""
    started = time.monotonic()
    with say.status(text):
        yield
    if hasattr(say, "print"):
        say.print(f"{text}: {time.monotonic() - started:.1f} s", style="dim")


def build(config, *, sim="verilator", waves=False, say=None, root=None):
    """The simulation of a configuration, found in the cache or built. Raises HayateError when a tool is missing."""
    try:
        from hayate.rtl.emit import emit
        from hayate.verif.bench import runner
        from hayate.verif.bench.convert import ports
        from hayate.verif.system.sim_top import sim_top
    except ModuleNotFoundError as e:
        raise HayateError("--backend rtl", "", f"the Python package {e.name} is not installed", "pip install 'hayate[sim]'") from None
    say = say or _Quiet()
    with step(say, f"elaborating configuration {config.name}"):
        chip = emit(config).verilog
        top = sim_top(config, ports(chip, "hayate"))
    if waves:
        chip = "`define HAYATE_WAVES\n" + chip
    with step(say, f"building the {sim} simulation"):
        return runner.build(chip + top if waves else top, name="sim_top", sources=() if waves else (chip,), sim=sim, waves=waves, root=root)


def requests(placement, prompt, tokens, end, all_logits, load):
    """(load words uint64 [n, 2], register values) of a generation."""
    rows = [(load_address(LOAD_ALL_TILES, LoadSpace.PROMPT, at), token) for at, token in enumerate(prompt)]
    for record in placement.loads():
        if load == "axi" or record.space != Space.BANK:
            rows.append((load_address(record.stop - 1, record.space, record.addr), record.data))
    registers = {"TILES": len(placement.tiles), "PROMPT_LENGTH": len(prompt), "TOKEN_LIMIT": tokens, "CONTEXT": placement.context,
                 "END_TOKEN": (end[0] | 1 << 31) if end else 0, "OPTIONS": int(all_logits)}
    return np.array(rows, dtype=np.uint64), registers


def generate_rtl(image, config, prompt, tokens, *, sim="verilator", waves=None, wave_window=None, all_logits=False, end=(), load="file",
                 on_token=None, say=None, root=None, timeout=None):
    """Generate on the RTL.

    Parameters
    ----------
    image, config: `Image`, `Config`. prompt: token ids. tokens: how many at most. end: ids that end the text (the chip looks for one).
    sim: "verilator" or "icarus". waves: file to record into; wave_window: (first, last) cycle.
    all_logits: have the logits of every prompt position computed. load: banks from "file" (simulation only) or over "axi".
    on_token: called with each token as the host reads it. say: rich console for the slow steps. root: folder of builds.

    Returns `RtlResult`. Raises HayateError for what does not fit or is missing.
    """
    if len(end) > 1:
        raise HayateError("config.json", "eos_token_id", f"{len(end)} end tokens; the chip looks for one", "keep one, or use --ignore-eos")
    if len(prompt) > config.prompt_depth:
        raise HayateError("prompt", "length", f"{len(prompt)} tokens exceed the prompt buffer of {config.prompt_depth}",
                          f"use --set prompt_depth={len(prompt)}")
    placement = place(image, config)
    built = build(config, sim=sim, waves=bool(waves), say=say, root=root)
    from hayate.verif.bench import runner

    with tempfile.TemporaryDirectory(prefix="hayate-") as folder:
        folder = Path(folder)
        words, registers = requests(placement, prompt, tokens, end, all_logits, load)
        np.save(folder / "loads.npy", words)
        events, trace = folder / "events", folder / "trace"
        events.touch()
        plusargs = [f"+hayate_trace={trace}"]
        if load == "file":
            placement.write_bank_files(folder / "banks")
            plusargs.append(f"+hayate_banks={folder / 'banks'}")
        if waves:
            waves = Path(waves).resolve()
            waves.parent.mkdir(parents=True, exist_ok=True)
            plusargs.append(f"+hayate_waves={waves}")
            if wave_window:
                plusargs += [f"+hayate_wave_first={wave_window[0]}", f"+hayate_wave_last={wave_window[1]}"]
        (folder / "request.json").write_text(json.dumps(
            {"loads": str(folder / "loads.npy"), "registers": registers, "events": str(events), "tiles": config.tiles}))
        result = RtlResult(banks=config.banks)
        with _follow(events, result, on_token):
            runner.run(built, "hayate.verif.system.rtl_run", directory=folder / "run", log=folder / "log", plusargs=plusargs,
                       env={"HAYATE_REQUEST": str(folder / "request.json")}, timeout=timeout)
        result.logits = read_trace(trace, image.model["vocab"])
    return result


@contextmanager
def _follow(events, result, on_token):
    """Read the simulation's events into `result` as they are written, in a thread of its own."""
    stop = threading.Event()

    def read(line):
        e = json.loads(line)
        if e["event"] == "token":
            result.tokens.append(e["token"])
            result.token_cycles.append(e["cycle"])
            if on_token:
                on_token(e["token"])
        elif e["event"] == "done":
            result.cycles, result.prefill, result.passes = e["cycles"], e["prefill"], e["passes"]
            result.counters, result.fault, result.seconds = e["counters"], bool(e["fault"]), e["seconds"]

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

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def read_trace(path, vocab):
    """Logits by absolute position, from the monitor's lines. A row that is missing or comes twice raises AssertionError."""
    logits, seen = {}, {}
    if not path.exists():
        return logits
    for line in path.read_text().splitlines():
        position, row, mask, *values = (int(word, 16) for word in line.split())
        for lane, value in enumerate(values):
            if mask >> lane & 1:
                at = position + lane
                if at not in logits:
                    logits[at], seen[at] = np.zeros(vocab, np.uint32), np.zeros(vocab, np.int64)
                logits[at][row] = value
                seen[at][row] += 1
    for at, count in seen.items():
        if not (count == 1).all():
            raise AssertionError(f"position {at}: {int((count == 0).sum())} logits are missing, {int((count > 1).sum())} came twice")
    return {at: bits.view(np.float32) for at, bits in sorted(logits.items())}
