"""Wrong options end in one line that names them, exit code 2, and nothing written."""

import pytest

from hayate.cli.verilog_names import RESERVED

LONG = "a" * 60

GENERATE = {
    "backend": (["x", "--backend", "gpu"], ["--backend", "'gpu'", "rtl, golden"]),
    "backend misspelt": (
        ["x", "--backend", "Gloden"],
        ["--backend", "'Gloden'", "did you mean golden?", "rtl, golden"],
    ),
    "sim": (["x", "--sim", "vcs"], ["--sim", "'vcs'", "verilator, icarus"]),
    "no prompt": ([], ["prompt", "empty"]),
    "empty prompt": ([""], ["prompt", "empty"]),
    "two prompts": (["x", "--prompt-ids", "1"], ["--prompt-ids", "together", "give one"]),
    "ids no integers": (["--prompt-ids", "1,x"], ["--prompt-ids", "'1,x'", "1,17,230"]),
    "id too high": (["--prompt-ids", "3,64"], ["token id", "64 is outside the vocabulary of 64", "0 to 63"]),
    "id negative": (["--prompt-ids", "-1"], ["token id", "-1 is outside the vocabulary"]),
    "prompt too long": ([LONG], ["prompt", "60 tokens exceed the context of 48", "shorten the prompt by 12"]),
    "no tokens": (["x", "--tokens", "0"], ["--tokens", "0 tokens", "1 to 65535"]),
    "negative tokens": (["x", "--tokens", "-5"], ["--tokens", "-5 tokens"]),
    "too many tokens": (["x", "--tokens", "70000"], ["--tokens", "70000 tokens", "1 to 65535"]),
    "waves of golden": (["x", "--backend", "golden", "--waves", "w.fst"], ["--waves", "golden", "--backend rtl"]),
    "waves of no format": (["x", "--waves", "w.txt"], ["--waves", "w.txt", ".fst nor .vcd"]),
    "waves nowhere": (["x", "--waves", "file/w.fst"], ["file/w.fst", "not a folder", "--waves"]),
    "window alone": (["x", "--wave-window", "1:2"], ["--wave-window", "without --waves"]),
    "window of one": (
        ["x", "--waves", "w.fst", "--wave-window", "7"],
        ["--wave-window", "'7' is not FIRST:LAST", "1000:2000"],
    ),
    "window of words": (
        ["x", "--waves", "w.fst", "--wave-window", "a:b"],
        ["--wave-window", "'a:b' is not FIRST:LAST"],
    ),
    "window backwards": (["x", "--waves", "w.fst", "--wave-window", "9:3"], ["--wave-window", "'9:3' holds no cycles"]),
    "json nowhere": (["x", "--json", "file/r.json"], ["file/r.json", "not a folder", "--json"]),
    "json is a folder": (["x", "--json", "folder"], ["folder", "is a folder", "--json"]),
    "preset": (["x", "--config", "dmeo"], ["--config", "'dmeo'", "did you mean 'demo'"]),
    "no toml": (["x", "--config", "my.toml"], ["my.toml", "no such configuration file", "unit, demo"]),
    "cold": (["x", "--temperature", "-0.5"], ["--temperature", "-0.5 is no temperature", "use 0 for the best token"]),
    "no temperature": (["x", "--temperature", "nan"], ["--temperature", "nan is no temperature"]),
    "too cold": (["x", "--temperature", "1e-40"], ["--temperature", "1e-40 is so low", "use 0 for the best token"]),
    "seed too large": (
        ["x", "--seed", str(1 << 64)],
        ["--seed", "18446744073709551616 does not fit 64 bits", "use 0 to"],
    ),
    "seed negative": (["x", "--seed", "-1"], ["--seed", "-1 does not fit"]),
    "draft for nobody": (
        ["x", "--draft", "py-pico"],
        ["--draft", "--speculate ngram has no use", "add --speculate draft"],
    ),
    "no draft": (["x", "--speculate", "draft"], ["--speculate", "draft", "the image has none", "--draft"]),
    "draft nowhere": (
        ["x", "--speculate", "draft", "--draft", "nowhere"],
        ["--draft", "no model at 'nowhere'", "py-pico"],
    ),
    "draft of other tokens": (
        ["x", "--speculate", "draft", "--draft", "py-pico"],
        ["--draft py-pico: tokenizer: has 512 tokens, tiny 64"],
    ),
    "no noise": (
        ["x", "--set", "sampling=0", "--temperature", "0.8"],
        ["sampling", "--temperature 0.8 needs", "--set sampling=1"],
    ),
    "min-p of 0": (
        ["x", "--temperature", "1", "--min-p", "0"],
        ["--min-p", "0 is no share", "more than 0 and at most 1"],
    ),
    "min-p above 1": (["x", "--temperature", "1", "--min-p", "1.5"], ["--min-p", "1.5 is no share"]),
    "min-p is no number": (["x", "--temperature", "1", "--min-p", "nan"], ["--min-p", "nan is no share"]),
    "top-k of 0": (["x", "--temperature", "1", "--top-k", "0"], ["--top-k", "0 tokens", "use 1 to 64"]),
    "top-k too large": (["x", "--temperature", "1", "--top-k", "65"], ["--top-k", "65 tokens", "use 1 to 64"]),
    "min-p, greedy": (["x", "--min-p", "0.1"], ["--min-p", "without a temperature", "add --temperature 1"]),
    "top-k, greedy": (
        ["x", "--top-k", "4", "--backend", "golden"],
        ["--top-k", "without a temperature", "add --temperature 1"],
    ),
    "no filters": (
        ["x", "--set", "sampling=0", "--temperature", "1", "--top-k", "4"],
        ["sampling", "--temperature 1 needs"],
    ),
    "sampling": (["x", "--set", "sampling=2"], ["sampling", "2 is not allowed", "use 0 or 1"]),
    "key": (["x", "--set", "tils=2"], ["tils", "unknown key", "did you mean 'tiles'"]),
    "value": (["x", "--set", "tiles=many"], ["--set", "tiles", "'many' is not an integer"]),
    "no value": (["x", "--set", "tiles"], ["--set", "tiles", "no value", "tiles=4"]),
    "size": (["x", "--set", "banks=3"], ["banks", "3 is not allowed", "power of two"]),
    "stage": (["x", "--set", "stage_depth=57"], ["stage_depth", "57 is not allowed", "a multiple of lanes from 8"]),
    "formats": (["x", "--set", "formats=int8"], ["formats", "'int8' is not allowed", "fp16, nested, auto"]),
    "no governor": (
        ["x", "--set", "formats=nested"],
        ["formats", "no governor", "--set formats=auto, or a fixed --precision"],
    ),
    "no governor of golden": (
        ["x", "--backend", "golden", "--set", "formats=fp16"],
        ["formats", "no governor", "--precision fp16"],
    ),
    "no planes": (
        ["x", "--set", "formats=fp16", "--precision", "int4"],
        ["formats", "--precision int4 needs", "--set formats=nested"],
    ),
    "one slot": (["x", "--set", "max_slots=4"], ["max_slots", "4 KV slots leave no position"]),
    "prompt buffer": (["abcdefgh", "--set", "prompt_depth=4"], ["prompt", "8 tokens exceed", "--set prompt_depth=8"]),
}


@pytest.fixture
def occupied(work):
    """A file and a folder in the way."""
    (work / "file").write_text("mine")
    (work / "folder").mkdir()


@pytest.mark.parametrize("case", GENERATE)
def test_generate(case, refused, tiny, occupied):
    arguments, parts = GENERATE[case]
    refused("generate", "--model", tiny, *arguments, parts=parts)


@pytest.mark.parametrize("model", ["nowhere", "", "a/b", "\0", "x" * 5000])
def test_no_such_model(model, refused):
    refused("generate", "x", "--model", model, parts=["--model", "no model at", "py-nano"])


@pytest.mark.parametrize(
    "typed, meant",
    [("py-nanp", "py-nano"), ("models/py-nanp", "py-nano"), ("PY-Mini", "py-mini"), ("pypico", "py-pico")],
)
def test_a_misspelt_model(typed, meant, refused):
    for command in (["generate", "x", "--model"], ["compile"], ["bench", "quality", "--model"]):
        refused(*command, typed, parts=[f"no model at {typed!r}; did you mean {meant}?"])


def test_no_far_fetched_model(refused):
    assert "did you mean" not in refused("generate", "x", "--model", "nowhere", parts=["no model at"]).err


COMPILE = {
    "draft nowhere": (["--draft", "nowhere"], ["--draft", "no model at 'nowhere'"]),
    "draft of other tokens": (
        ["--draft", "py-nano"],
        ["--draft py-nano", "has 512 tokens, tiny 64", "the same tokenizer"],
    ),
    "nowhere": (["-o", "file/m.hayate"], ["file/m.hayate", "not a folder", "-o"]),
    "a folder": (["-o", "folder"], ["folder", "is a folder", "-o"]),
    "no json": (["--json", "file/r.json"], ["file/r.json", "not a folder", "--json"]),
    "preset": (["--config", "untit"], ["'untit'", "did you mean 'unit'"]),
}


@pytest.mark.parametrize("case", COMPILE)
def test_compile(case, refused, tiny, occupied):
    arguments, parts = COMPILE[case]
    refused("compile", tiny, *arguments, parts=parts)


ELABORATE = {
    "no .v": (["-o", "chip.txt"], ["-o", "'chip.txt' does not end in .v"]),
    "nowhere": (["-o", "file/chip.v"], ["file/chip.v", "not a folder", "-o"]),
    "a header in the way": (["-o", "chip.v"], ["chip.h", "is a folder", "-o"]),
    "digit": (["--prefix", "9x"], ["--prefix", "'9x' is not a Verilog identifier"]),
    "hyphen": (["--prefix", "a-b"], ["--prefix", "'a-b' is not a Verilog identifier"]),
    "module": (["--prefix", "module"], ["--prefix", "'module' is a reserved word"]),
    "package": (["--prefix", "package"], ["--prefix", "'package' is a reserved word"]),
    "preset": (["--config", "ulx"], ["--config", "'ulx'", "did you mean"]),
}


@pytest.mark.parametrize("case", ELABORATE)
def test_elaborate(case, refused, occupied, work):
    (work / "chip.h").mkdir()
    arguments, parts = ELABORATE[case]
    refused("elaborate", "--config", "unit", *arguments, parts=parts)


def test_reserved_words_of_both_languages():
    assert {"wire", "endgenerate", "xnor", "logic", "interface", "wait_order", "matches", "modport"} <= RESERVED
    assert not {"hayate", "tile", "bank", "clk"} & RESERVED


def test_config_show(refused):
    refused("config", "show", "uint", parts=["--config", "'uint'", "did you mean 'unit'"])


def test_config_file(refused, work):
    (work / "a.toml").write_text("preset = 'unit'\ntile = 4\n")
    refused("config", "show", "a.toml", parts=["configuration a: tile", "unknown key", "did you mean 'tiles'"])
    (work / "a.toml").write_text("tiles = " + "[" * 10_000)
    refused("config", "show", "a.toml", parts=["a.toml", "not a readable TOML file"])
    (work / "a.toml").write_text("tiles = = 4\n")
    refused("config", "show", "a.toml", parts=["a.toml", "not a readable TOML file", "tiles = 4"])


@pytest.mark.parametrize(
    "arguments", [["generate", "--nonsense"], ["generate", "x", "--tokens", "many"], ["nonsense"], ["compile"]]
)
def test_the_option_parser_refuses(arguments, cli, work):
    outcome = cli(*arguments)
    assert outcome.code == 2 and "Traceback" not in outcome.err and outcome.err
    assert list(work.iterdir()) == []
