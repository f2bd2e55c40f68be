"""Options that several commands have; their defaults are at the commands."""

from typing import Annotated

import typer

SIZES = "Preset, or a .toml file of sizes."
ConfigArgument = Annotated[str, typer.Argument(metavar="NAME|FILE.toml", help=SIZES)]
ConfigOption = Annotated[str, typer.Option("--config", metavar="NAME|FILE.toml", help=SIZES)]
SetOption = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", show_default="none", help="Override one size; may be repeated."),
]
DraftOption = Annotated[
    str,
    typer.Option(
        "--draft",
        metavar="MODEL",
        show_default="none",
        help="Model with the same tokenizer that drafts for it: a folder, an image or a shipped one.",
    ),
]
JsonOption = Annotated[
    str,
    typer.Option(
        "--json", metavar="FILE", show_default="not written", help="Write the result as JSON; - is standard output."
    ),
]
PromptArgument = Annotated[str, typer.Argument(show_default="none; --prompt-ids instead", help="Text to continue.")]
ModelOption = Annotated[str, typer.Option(help="Hugging Face directory, image file, or the name of a shipped model.")]
TokensOption = Annotated[int, typer.Option(help="Most tokens to generate.")]
PromptIdsOption = Annotated[
    str,
    typer.Option(
        "--prompt-ids",
        metavar="1,17,230",
        show_default="none",
        help="Token ids instead of text; needs no tokenizer.",
    ),
]
BackendOption = Annotated[str, typer.Option(help="rtl: the simulated chip; golden: the numpy simulator.")]
IgnoreEosOption = Annotated[
    bool, typer.Option("--ignore-eos", show_default="stop there", help="Go on after an end token.")
]
PrecisionOption = Annotated[
    str, typer.Option(help="auto: the governor chooses for each matrix; else fp16, int8 or int4.")
]
QualityOption = Annotated[
    float, typer.Option(help="Of auto: 1 asks for the best copy of everything, values near 0 for INT4.")
]
PinOption = Annotated[
    list[str],
    typer.Option(
        "--pin",
        metavar="MATRIX=FORMAT",
        show_default="none",
        help="Another precision for one matrix, beside a fixed --precision; may be repeated.",
    ),
]
SpeculateOption = Annotated[
    str,
    typer.Option(
        metavar="off|ngram|nested|draft",
        help="Who drafts tokens for a pass to verify: nobody, n-gram "
        "tables of prompt and output, the model read as INT4, or a draft model (--draft, or the "
        "image's). The text does not depend on it.",
    ),
]
DraftControlOption = Annotated[
    bool,
    typer.Option(
        "--draft-control/--no-draft-control",
        help="Draft what pays by a table of costs, or as much as a pass has room for.",
    ),
]
TemperatureOption = Annotated[
    float,
    typer.Option(
        help="0: the best token each time. Else tokens are drawn with the odds of softmax(logits / temperature)."
    ),
]
MinPOption = Annotated[
    float | None,
    typer.Option(
        "--min-p",
        metavar="P",
        show_default="off",
        help="Draw from tokens with at least this "
        "share of the likeliest one's odds, above 0 and up to 1. Needs a temperature.",
    ),
]
TopKOption = Annotated[
    int | None,
    typer.Option(
        "--top-k",
        metavar="K",
        show_default="off",
        help="Draw from the K likeliest tokens, 1 to 64. Needs a temperature.",
    ),
]
SeedOption = Annotated[int, typer.Option(help="Of what is drawn: the same seed gives the same text. 0 to 2^64 - 1.")]
