"""The `hayate bench` commands: one per benchmark, the work in a module of its own; here are the options and their
defaults.
"""

from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Benchmarks: what a choice costs, and what it buys."
)

SetOption = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", show_default="none", help="Override one size; may be repeated."),
]
JsonOption = Annotated[
    str,
    typer.Option(
        "--json", metavar="FILE", show_default="not written", help="Write the result as JSON; - is standard output."
    ),
]


@app.command()
def quality(
    model: Annotated[
        str, typer.Option(help="Hugging Face directory, image file, or the name of a shipped model.")
    ] = "py-mini",
    tokens: Annotated[
        int, typer.Option(help="Tokens of the held-out text to score at least, in windows of 256.")
    ] = 20_000,
    knobs: Annotated[
        str, typer.Option(metavar="Q,Q", help="Qualities at which the governor chooses, each above 0 and at most 1.")
    ] = "0.55,0.65,0.75",
    jobs: Annotated[int, typer.Option(help="Processes that share the windows.")] = 2,
    json: JsonOption = "",
):
    """Perplexity, KL divergence from FP16 and bytes per token of every precision, on the golden model."""
    from hayate.bench import quality as q

    q.run(model, tokens, knobs, jobs, json)


@app.command()
def precision(
    config: Annotated[
        str, typer.Option(metavar="NAME|FILE.toml", help="Preset, or a .toml file of sizes, for one tile.")
    ] = "demo",
    k: Annotated[int, typer.Option(help="Elements of a row, a multiple of 4.")] = 4096,
    rows: Annotated[int, typer.Option(help="Rows in every bank.")] = 64,
    group: Annotated[int, typer.Option(help="Weights of a row that share an INT8/INT4 scale: 32, 64 or 128.")] = 128,
    sim: Annotated[str, typer.Option(help="Simulator: verilator or icarus.")] = "verilator",
    json: JsonOption = "",
):
    """Cycles of one matrix-vector product in FP16, INT8 and INT4, on the simulated chip."""
    from hayate.bench import precision as p

    p.report(config, k, rows, group, sim, json)


@app.command()
def speculation(
    model: Annotated[
        str, typer.Option(help="Hugging Face directory, image file, or the name of a shipped model.")
    ] = "py-mini",
    draft: Annotated[str, typer.Option(help="Model that drafts for it, the same kinds.")] = "py-pico",
    config: Annotated[str, typer.Option(metavar="NAME|FILE.toml", help="Preset, or a .toml file of sizes.")] = "demo",
    overrides: SetOption = [],  # noqa: B006
    prompts: Annotated[int, typer.Option(help="How many of the 32 shipped prompts.")] = 16,
    tokens: Annotated[int, typer.Option(help="Tokens to generate for each, at least 8.")] = 48,
    precision: Annotated[
        str, typer.Option(metavar="P,P", help="Precisions: of fp16, int8, int4 and auto.")
    ] = "fp16,int8",
    temperature: Annotated[str, typer.Option(metavar="T,T", help="Temperatures; 0 is greedy.")] = "0,0.8",
    drafter: Annotated[
        str, typer.Option(metavar="D,D", help="Drafters: of ngram, ngram_tree, nested and draft.")
    ] = "ngram,ngram_tree,nested,draft",
    control: Annotated[
        bool,
        typer.Option(
            "--draft-control/--no-draft-control",
            help="Draft less where it does not pay; without it, as much as there is room for.",
        ),
    ] = True,
    jobs: Annotated[int, typer.Option(help="Simulations at a time.")] = 2,
    sim: Annotated[str, typer.Option(help="Simulator: verilator or icarus.")] = "verilator",
    json: JsonOption = "",
):
    """Tokens a pass and decode speed-up of drafters over one token a pass, on the simulated chip. All of it takes
    hours; ask for a part.
    """
    from hayate.bench import speculation as s

    s.run(
        model,
        draft,
        config,
        tuple(overrides),
        prompts,
        tokens,
        precision,
        temperature,
        drafter,
        control,
        jobs,
        sim,
        json,
    )


@app.command()
def verify(
    model: Annotated[
        str, typer.Option(help="Hugging Face directory, image file, or the name of a shipped model.")
    ] = "py-mini",
    config: Annotated[str, typer.Option(metavar="NAME|FILE.toml", help="Preset, or a .toml file of sizes.")] = "demo",
    overrides: SetOption = [],  # noqa: B006
    tokens: Annotated[int, typer.Option(help="Tokens to generate, at least 8.")] = 24,
    precision: Annotated[str, typer.Option(metavar="P,P", help="Precisions: of fp16, int8 and int4.")] = "fp16",
    sim: Annotated[str, typer.Option(help="Simulator: verilator or icarus.")] = "verilator",
    json: JsonOption = "",
):
    """Cycles of a decode pass that verifies N positions over one with one position, on the simulated chip."""
    from hayate.bench import verify as v

    v.run(model, config, tuple(overrides), tokens, precision, sim, json)


@app.command()
def layer(
    shape: Annotated[
        str, typer.Option(help="Layer to measure: llama-3-70b on 16 tiles of 16 banks, or tiny on 2 of 4.")
    ] = "llama-3-70b",
    context: Annotated[int, typer.Option(help="Positions of the text, those of the pass included; 4 or more.")] = 256,
    precision: Annotated[
        str, typer.Option(metavar="P,P", help="Formats of the weights: of fp16, int8 and int4.")
    ] = "fp16",
    json: JsonOption = "",
):
    """Cycles of a pass with N positions over one with one, on one simulated tile of a machine that holds a layer of a
    large model.
    """
    from hayate.bench import layer as b

    b.run(shape, context, precision, json)


@app.command()
def adversary(
    model: Annotated[
        str, typer.Option(help="Hugging Face directory, image file, or the name of a shipped model.")
    ] = "py-mini",
    config: Annotated[str, typer.Option(metavar="NAME|FILE.toml", help="Preset, or a .toml file of sizes.")] = "demo",
    overrides: SetOption = [],  # noqa: B006
    tokens: Annotated[int, typer.Option(help="Tokens to generate, at least 8.")] = 256,
    precision: Annotated[str, typer.Option(help="auto, fp16, int8 or int4.")] = "int8",
    sim: Annotated[str, typer.Option(help="Simulator: verilator or icarus.")] = "verilator",
    json: JsonOption = "",
):
    """Cycles that drafters cost which are always wrong, and passes until they are switched off, on the simulated
    chip.
    """
    from hayate.bench import adversary as a

    a.run(model, config, tuple(overrides), tokens, precision, sim, json)
