"""The `hayate` command line. Each command's work is in a module of its own; here are the options and their defaults."""

# ruff: noqa: E402

import os
import sys

from hayate.sim.foreign import python_path

sys.path[:] = python_path()  # ahead of all other imports

from pathlib import Path
from typing import Annotated

import typer

from hayate.cli import environment, interrupt, streams
from hayate.cli.bench import app as bench_app
from hayate.cli.options import (
    BackendOption,
    ConfigArgument,
    ConfigOption,
    DraftControlOption,
    DraftOption,
    IgnoreEosOption,
    JsonOption,
    MinPOption,
    ModelOption,
    PinOption,
    PrecisionOption,
    PromptArgument,
    PromptIdsOption,
    QualityOption,
    SeedOption,
    SetOption,
    SpeculateOption,
    TemperatureOption,
    TokensOption,
    TopKOption,
)
from hayate.rtl.contract.errors import HayateError
from hayate.version import __version__

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Hayate: a latency-first language-model accelerator, its compiler and its models.",
)
config_app = typer.Typer(no_args_is_help=True, help="Sizes of the machine.")
app.add_typer(config_app, name="config")
app.add_typer(bench_app, name="bench")


def _version(value: bool):
    if value:
        print(f"hayate {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
):
    """Hayate: a latency-first language-model accelerator, its compiler and its models."""


@app.command()
def doctor():
    """Check this machine for what Hayate needs, and print how to install what is missing."""
    from hayate.cli import doctor as d

    raise typer.Exit(d.report(d.checks()))


@config_app.command("show")
def config_show(config: ConfigArgument = "demo", set_: SetOption = [], json: JsonOption = ""):  # noqa: B006
    """Print every size of a configuration, and what follows from them."""
    from hayate.cli import show

    show.config(config, set_, json)


@app.command()
def elaborate(
    config: ConfigOption = "demo",
    set_: SetOption = [],  # noqa: B006
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="Verilog file; a .json, a .h and a .vlt of that name are written beside it."
        ),
    ] = Path("build/hayate.v"),
    prefix: Annotated[str, typer.Option(help="First part of every module name.")] = "hayate",
):
    """Write the chip as one self-contained Verilog file, with a JSON description, a C header of the register map and
    lint waivers.
    """
    from hayate.cli.elaborate import elaborate as run
    from hayate.progress import Steps, console
    from hayate.rtl.contract.config import load_config

    for path in run(load_config(config, set_), output, prefix, Steps(console("-"))):
        print(path)


@app.command("compile")
def compile_(
    model: Annotated[str, typer.Argument(help="Hugging Face directory, or the name of a shipped model.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Image file to write.")] = Path("build/model.hayate"),
    config: ConfigOption = "demo",
    set_: SetOption = [],  # noqa: B006
    planes: Annotated[
        bool, typer.Option("--planes/--no-planes", help="Store an INT8/INT4 copy of every matrix.")
    ] = True,
    group: Annotated[int, typer.Option(help="Weights of a row that share an INT8/INT4 scale: 32, 64 or 128.")] = 32,
    fp16: Annotated[
        str,
        typer.Option(
            metavar="all|none|BYTES",
            help="Matrices that also keep their FP16 copy; a number of bytes goes to "
            "the most fragile ones. The embedding always keeps it.",
        ),
    ] = "all",
    calibration: Annotated[
        bool,
        typer.Option(
            "--calibration/--no-calibration",
            help="Use the calibration.json in the model's folder, if there is one; it is for one size of group.",
        ),
    ] = True,
    draft: DraftOption = "",
    json: JsonOption = "",
):
    """Compile a checkpoint to an image, and report where a configuration would place it."""
    from hayate.cli import show

    show.compile_(
        model,
        output,
        config,
        set_,
        json,
        planes=planes,
        group=group,
        fp16=int(fp16) if fp16.isdecimal() and len(fp16) < 20 else fp16,
        calibration=None if calibration else False,
        draft=draft,
    )


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="Hugging Face directory, image file, or the name of a shipped model.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Load file to write.")] = Path("build/model.hyld"),
    config: ConfigOption = "demo",
    set_: SetOption = [],  # noqa: B006
    precision: Annotated[
        str, typer.Option(help="auto: the governor chooses for each matrix; else fp16, int8 or int4.")
    ] = "auto",
    quality: Annotated[
        float, typer.Option(help="Of auto: 1 asks for the best copy of everything, values near 0 for INT4.")
    ] = 0.65,
    filters: Annotated[
        bool, typer.Option("--filters/--no-filters", help="Keep room for TOP_K and MIN_P, which sampling may use.")
    ] = False,
    speculate: Annotated[
        str,
        typer.Option(
            metavar="off|ngram|nested|draft",
            help="Who drafts tokens for a pass to verify; the text does not depend on it.",
        ),
    ] = "ngram",
    draft: DraftOption = "",
):
    """Write a model placed on a configuration as a file that a host without Python checks and loads."""
    from hayate.cli.export import export as run

    run(
        model,
        output,
        config,
        set_,
        precision=precision,
        quality=quality,
        filters=filters,
        speculate=speculate,
        draft=draft,
    )


@app.command()
def calibrate(
    model: Annotated[str, typer.Argument(help="Hugging Face directory, or the name of a shipped model.")],
    text: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default="the standard library's training side",
            help="Text to measure on, unlike what quality is measured on.",
        ),
    ] = None,
    tokens: Annotated[int, typer.Option(help="Tokens of the text to use.")] = 4096,
    group: Annotated[int, typer.Option(help="Weights of a row that share an INT8/INT4 scale: 32, 64 or 128.")] = 32,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            show_default="calibration.json in the model's folder",
            help="File to write; compiling reads the default one.",
        ),
    ] = None,
):
    """Measure how much each matrix of a checkpoint suffers from INT8 and INT4, for the precision governor."""
    from hayate.cli.calibrate import run

    run(model, text, tokens, group, output)


@app.command()
def ngrams(
    model: Annotated[str, typer.Argument(help="Hugging Face directory, or the name of a shipped model.")],
    text: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default="the standard library's training side",
            help="Text to count in, unlike what quality is measured on.",
        ),
    ] = None,
    files: Annotated[
        int, typer.Option(help="Files of the standard library to count in, at most; not with --text.")
    ] = 200,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            show_default="ngrams.json in the model's folder",
            help="File to write; compiling reads the default one.",
        ),
    ] = None,
):
    """Count which token most often follows one and two others in a text, for the n-gram drafter."""
    from hayate.cli.ngrams import run

    run(model, text, files, output)


@app.command()
def generate(
    prompt: PromptArgument = "",
    model: ModelOption = "py-nano",
    tokens: TokensOption = 64,
    prompt_ids: PromptIdsOption = "",
    backend: BackendOption = "rtl",
    config: ConfigOption = "demo",
    set_: SetOption = [],  # noqa: B006
    sim: Annotated[str, typer.Option(help="Simulator of the rtl backend: verilator or icarus.")] = "verilator",
    waves: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default="none", help="Record waveforms of the rtl backend, as .fst or .vcd."),
    ] = None,
    wave_window: Annotated[
        str,
        typer.Option(
            "--wave-window",
            metavar="FIRST:LAST",
            show_default="all cycles",
            help="Cycles of the simulation to record, LAST not included.",
        ),
    ] = "",
    ignore_eos: IgnoreEosOption = False,
    check: Annotated[bool, typer.Option(help="Compare the rtl backend's tokens and logits with golden's.")] = True,
    precision: PrecisionOption = "auto",
    quality: QualityOption = 0.65,
    pin: PinOption = [],  # noqa: B006
    speculate: SpeculateOption = "ngram",
    draft: DraftOption = "",
    draft_control: DraftControlOption = True,
    temperature: TemperatureOption = 0.0,
    min_p: MinPOption = None,
    top_k: TopKOption = None,
    seed: SeedOption = 0,
    json: JsonOption = "",
):
    """Continue a prompt, on the simulated chip or on the golden model."""
    from hayate.cli.generate import Request
    from hayate.cli.generate import generate as run

    request = Request(
        prompt=streams.utf8(prompt),
        prompt_ids=prompt_ids,
        model=model,
        tokens=tokens,
        backend=backend,
        config=config,
        overrides=tuple(set_),
        sim=sim,
        waves=waves,
        wave_window=wave_window,
        ignore_eos=ignore_eos,
        check=check,
        precision=precision,
        quality=quality,
        pins=tuple(pin),
        speculate=speculate,
        draft=draft,
        control=draft_control,
        temperature=temperature,
        seed=seed,
        min_p=min_p,
        top_k=top_k,
    )
    raise typer.Exit(run(request, json))


@app.command()
def profile(
    prompt: PromptArgument = "",
    model: ModelOption = "py-mini",
    tokens: TokensOption = 16,
    prompt_ids: PromptIdsOption = "",
    backend: Annotated[
        str, typer.Option(help="rtl: the simulated chip; golden: the numpy simulator, and formulas for its cycles.")
    ] = "rtl",
    config: ConfigOption = "demo",
    set_: SetOption = [],  # noqa: B006
    ignore_eos: IgnoreEosOption = False,
    precision: PrecisionOption = "auto",
    quality: QualityOption = 0.65,
    pin: PinOption = [],  # noqa: B006
    speculate: SpeculateOption = "ngram",
    draft: DraftOption = "",
    draft_control: DraftControlOption = True,
    temperature: TemperatureOption = 0.0,
    min_p: MinPOption = None,
    top_k: TopKOption = None,
    seed: SeedOption = 0,
    tile: Annotated[int, typer.Option(help="Tile whose layers are shown.")] = 0,
    trace: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            show_default="not written",
            help="Write what tiles, ring and conductor did as a trace for Perfetto, JSON.",
        ),
    ] = "",
    json: JsonOption = "",
):
    """Continue a prompt and say where the cycles went: by layer, stage and cause."""
    from hayate.cli.generate import Request
    from hayate.cli.profile import profile as run

    request = Request(
        prompt=streams.utf8(prompt),
        prompt_ids=prompt_ids,
        model=model,
        tokens=tokens,
        backend=backend,
        config=config,
        overrides=tuple(set_),
        ignore_eos=ignore_eos,
        precision=precision,
        quality=quality,
        pins=tuple(pin),
        speculate=speculate,
        draft=draft,
        control=draft_control,
        temperature=temperature,
        seed=seed,
        min_p=min_p,
        top_k=top_k,
    )
    raise typer.Exit(run(request, tile, trace, json))


@app.command()
def demo(
    model: Annotated[str, typer.Option(help="Shipped model to run.")] = "py-mini",
    tokens: Annotated[int, typer.Option(help="Tokens to generate.")] = 64,
):
    """Compile a shipped model, build the `demo` chip and let it speak; writes build/demo/result.json."""
    from hayate.cli.demo import demo as run

    raise typer.Exit(run(model, tokens))


def _run():
    """Run the command of the arguments; the exit code. Raises what `main` turns into a line."""
    try:
        os.getcwd()
    except OSError:
        raise HayateError("current folder", "", "is not there any more", "change to one that is") from None
    try:
        app()
    except SystemExit as e:
        streams.finish()
        return e.code
    return 0


def _report(error):
    """Say what ended the command; its exit code."""
    if isinstance(error, HayateError):
        print(f"hayate: {streams.line(str(error))}", file=sys.stderr)
        return error.exit_code
    if isinstance(error, interrupt.Interrupted):
        interrupt.end_children()
        print("hayate: interrupted", file=sys.stderr)
        return 128 + error.number
    if isinstance(error, BrokenPipeError):
        return 1
    if isinstance(error, OSError):
        where = error.filename or "a file"
        print(f"hayate: {streams.line(str(where))}: {streams.line(error.strerror or str(error))}", file=sys.stderr)
        return HayateError.exit_code
    from hayate.sim.tools import SimulationError

    tail = error.log.splitlines()[-40:] if isinstance(error, SimulationError) else []
    print("\n".join([*tail, f"hayate: {error}"]), file=sys.stderr)
    return 1


def main():
    """Entry point. Bad input, and what the machine refuses to read or write, end in one line and exit code 2, Ctrl-C in
    130, SIGTERM in 143, SIGHUP in 129, a failed simulation in 1.
    """
    # The golden model's matrix products are small: a pool of threads costs them more than it brings, several-fold on a
    # busy machine. Numpy reads this when it is imported, so it must be set before any command is.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    streams.prepare()
    streams.show_warnings()
    try:
        with interrupt.raised():
            environment.require_own()
            code = _run()
    except (HayateError, OSError, interrupt.Interrupted) as e:
        code = _report(e)
    except RuntimeError as e:
        if type(e).__name__ not in ("BuildError", "SimulationError"):
            raise
        code = _report(e)
    streams.settle()
    sys.exit(code)
