"""The `hayate bench` commands: one per benchmark, the work in a module of its own; here are the options and their defaults."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Benchmarks: what a choice costs, and what it buys.")

JsonOption = Annotated[str, typer.Option("--json", metavar="FILE", show_default="not written",
                                         help="Write the result as JSON; - is standard output.")]


@app.command()
def quality(
    model: Annotated[str, typer.Option(help="Hugging Face directory, image file, or the name of a shipped model.")] = "py-mini",
    tokens: Annotated[int, typer.Option(help="Tokens of the held-out text to feed, in windows of 256.")] = 20_000,
    knobs: Annotated[str, typer.Option(metavar="Q,Q", help="Qualities at which the governor chooses, each above 0 and at most 1.")
                     ] = "0.5,0.65,0.8",
    jobs: Annotated[int, typer.Option(help="Processes that share the windows.")] = 2,
    json: JsonOption = "",
):
    """Perplexity, KL divergence from FP16 and bytes per token of every precision, on the golden model."""
    from hayate import quality as q

    q.run(model, tokens, knobs, jobs, json)
