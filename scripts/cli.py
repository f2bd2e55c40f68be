"""The `hayate` command line. Each command's work is in a module of its own; here are the options and their defaults."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from hayate.rtl.contract.errors import HayateError
from hayate.version import __version__

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
                  help="Hayate: a latency-first language-model accelerator, its compiler and its models.")
config_app = typer.Typer(no_args_is_help=True, help="Sizes of the machine.")
app.add_typer(config_app, name="config")

ConfigOption = Annotated[str, typer.Option("--config", metavar="NAME|FILE.toml", help="Preset, or a .toml file of sizes.")]
SetOption = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override one size; may be repeated.")]
JsonOption = Annotated[str, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - is standard output.")]


def _version(value: bool):
    if value:
        print(f"hayate {__version__}")
        raise typer.Exit()


@app.callback()
def root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False):
    """Hayate: a latency-first language-model accelerator, its compiler and its models."""


@app.command()
def doctor():
    """Check this machine for what Hayate needs, and print how to install what is missing."""
    from hayate import doctor as d

    raise typer.Exit(d.report(d.checks()))


@config_app.command("show")
def config_show(config: Annotated[str, typer.Argument(metavar="NAME|FILE.toml")] = "demo", set_: SetOption = [], json: JsonOption = ""):  # noqa: B006
    """Print every size of a configuration, and what follows from them."""
    from hayate import show

    show.config(config, set_, json)


@app.command()
def elaborate(
    config: ConfigOption = "demo",
    set_: SetOption = [],  # noqa: B006
    output: Annotated[Path, typer.Option("-o", "--output", help="Verilog file; FILE.json and FILE.h are written beside it.")] = Path("build/hayate.v"),
    prefix: Annotated[str, typer.Option(help="First part of every module name.")] = "hayate",
):
    """Write the chip as one self-contained Verilog file, with a JSON description and a C header of the register map."""
    from hayate.elaborate import elaborate as run
    from hayate.rtl.contract.config import load_config

    for path in run(load_config(config, set_), output, prefix=prefix):
        print(path)


@app.command("compile")
def compile_(
    model: Annotated[str, typer.Argument(help="Hugging Face directory, or the name of a shipped model.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Image file to write.")] = Path("build/model.hayate"),
    config: ConfigOption = "demo",
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = "",
):
    """Compile a checkpoint to an image, and report where a configuration would place it."""
    from hayate import show

    show.compile_(model, output, config, set_, json)


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="Text to continue.")] = "",
    model: Annotated[str, typer.Option(help="Hugging Face directory, image file, or the name of a shipped model.")] = "py-nano",
    tokens: Annotated[int, typer.Option(help="Most tokens to generate.")] = 64,
    prompt_ids: Annotated[str, typer.Option("--prompt-ids", metavar="1,17,230", help="Token ids instead of text; needs no tokenizer.")] = "",
    backend: Annotated[str, typer.Option(help="rtl: the simulated chip; golden: the numpy simulator.")] = "rtl",
    config: ConfigOption = "demo",
    set_: SetOption = [],  # noqa: B006
    sim: Annotated[str, typer.Option(help="Simulator of the rtl backend: verilator or icarus.")] = "verilator",
    waves: Annotated[Path | None, typer.Option(metavar="FILE", help="Record waveforms of the rtl backend (off by default).")] = None,
    wave_window: Annotated[str, typer.Option("--wave-window", metavar="FIRST:LAST", help="Cycles to record; all by default.")] = "",
    ignore_eos: Annotated[bool, typer.Option("--ignore-eos", help="Go on after an end token.")] = False,
    check: Annotated[bool, typer.Option(help="Compare the rtl backend's tokens and logits with golden's.")] = True,
    json: JsonOption = "",
):
    """Continue a prompt, on the simulated chip or on the golden model."""
    from hayate.generate import Request, generate as run

    request = Request(prompt=prompt, prompt_ids=prompt_ids, model=model, tokens=tokens, backend=backend, config=config, overrides=tuple(set_),
                      sim=sim, waves=waves, wave_window=wave_window, ignore_eos=ignore_eos, check=check)
    raise typer.Exit(run(request, json))


@app.command()
def demo(
    model: Annotated[str, typer.Option(help="Shipped model to run.")] = "py-nano",
    tokens: Annotated[int, typer.Option(help="Tokens to generate.")] = 64,
):
    """Compile a shipped model, build the `demo` chip and let it speak; writes build/demo/result.json."""
    from hayate.demo import demo as run

    raise typer.Exit(run(model, tokens))


def main():
    """Entry point. Bad input ends in one line and exit code 2; Ctrl-C in exit code 130."""
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    try:
        app()
    except HayateError as e:
        print(f"hayate: {e}", file=sys.stderr)
        sys.exit(e.exit_code)
    except KeyboardInterrupt:
        print("hayate: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
