"""Numbers that leave FP16 are reported by the command line on either backend, and those of ordinary models are
silent.
"""

import json
from collections import Counter

import pytest

from hayate.backends import rtl as rtl_backend
from hayate.backends.rtl import RtlResult
from hayate.cli.saturation import saturation_report, warning
from hayate.compiler import compile_model
from hayate.compiler.link import pair
from hayate.golden.conductor.generate import generate
from hayate.golden.tile.saturation import Saturations
from hayate.rtl.contract import isa
from hayate.verif.models.loud import write_loud_model

SCALE = 2.0**17


@pytest.fixture(scope="session")
def loud(tmp_path_factory):
    """Folder of `tiny`'s model with a residual stream beyond FP16."""
    return write_loud_model(tmp_path_factory.mktemp("models") / "loud", {"embed_tokens": SCALE}, tied=False)


def told(outcome):
    """The lines of standard error that are no steps."""
    return [line for line in outcome.err.splitlines() if line.startswith("hayate: ")]


def test_golden_says_so(cli, loud, tiny, work):
    arguments = ["--backend", "golden", "--tokens", "4", "--ignore-eos", "--json", "r.json"]
    outcome = cli("generate", "ab", "--model", loud, *arguments)
    report = json.loads((work / "r.json").read_text())
    found = report["saturated"]
    assert (
        outcome.code == 0 and outcome.out.startswith(f"compiling {loud}") and f"\nab{report['text']}\n" in outcome.out
    )
    assert set(found["by_matrix"]) == {"emb", *(f"layers.{n}.{w}" for n in range(2) for w in ("wo", "wdown"))}
    assert found["total"] == sum(found["by_matrix"].values()) == sum(v["count"] for v in found["values"]) > 0
    assert {(v["matrix"], v["layer"], v["exponent"]) for v in found["values"]} == {
        ("emb", None, "layers.0.xa"),
        ("layers.0.wo", 0, "layers.0.xb"),
        ("layers.0.wdown", 0, "layers.1.xa"),
        ("layers.1.wo", 1, "layers.1.xb"),
        ("layers.1.wdown", 1, "xf"),
    }
    (line,) = told(outcome)
    assert (
        line.startswith(f"hayate: {found['total']:,} values left the range of FP16")
        and "the text may be wrong; compile with" in line
    )
    assert f"{found['values'][0]['count']:,}" in line and "values clipped" in outcome.out

    outcome = cli("generate", "ab", "--model", tiny, *arguments)
    assert told(outcome) == [] and "clipped" not in outcome.out
    assert json.loads((work / "r.json").read_text())["saturated"] == {"total": 0, "by_matrix": {}, "values": []}


def test_the_chip_says_the_same(builds, cli, loud):
    """Checked or not, with drafts or without."""
    for options in ([], ["--no-check", "--speculate", "nested"]):
        lines, reports = [], []
        for backend in (["--backend", "golden"], options):
            outcome = cli(
                "generate",
                "ab",
                "--model",
                loud,
                "--config",
                "unit",
                "--tokens",
                "4",
                "--ignore-eos",
                "--json",
                "-",
                *options[1:],
                *backend,
            )
            assert outcome.code == 0, outcome.err
            lines.append(told(outcome))
            reports.append(json.loads(outcome.out))
        golden, chip = reports
        assert lines[0] == lines[1] and len(lines[0]) == 1 and chip["saturated"] == golden["saturated"]
        assert chip["cycles"]["saturated"] == chip["saturated"]["total"] > 0
        assert chip["golden_match"] is (None if options else True)


def test_the_exponents_that_it_names_help(tmp_path):
    """With them nothing is clipped, and the text is that of the model with a smaller residual stream, which its norms
    cannot tell.
    """
    plain, loud = (
        write_loud_model(tmp_path / name, dict.fromkeys(("embed_tokens", "o_proj", "down_proj"), scale), tied=False)
        for name, scale in (("plain", 1), ("loud", SCALE))
    )
    image = compile_model(loud)
    clipped = generate(image, [5, 9, 2], 8)
    found = saturation_report(clipped.saturated, image)
    named = [v["exponent"].removeprefix("layers.").split(".") for v in found["values"]]
    room = compile_model(loud, {name[0] if len(name) == 1 else (int(name[0]), name[1]): 17 for name in named})
    helped, wanted = generate(room, [5, 9, 2], 8), generate(compile_model(plain), [5, 9, 2], 8)
    assert helped.saturated == Saturations() and helped.tokens == wanted.tokens != clipped.tokens


@pytest.mark.parametrize("check", [[], ["--no-check"]], ids=["checked", "unchecked"])
def test_a_chip_that_counts_wrongly_fails(check, cli, loud, work, monkeypatch):
    """Everything else is right: tokens, logits, formats, drafts."""

    def wrong(
        image, config, prompt, tokens, *, end, on_start, on_token, sim, waves, wave_window, say, activity, **options
    ):
        g = generate(image, prompt, tokens, lanes=config.lanes, end=end, **options)
        counters = [dict.fromkeys([c.name.lower() for c in isa.Counter], n) for n in (1, 0)]
        return RtlResult(
            tokens=g.tokens,
            token_cycles=[5],
            logits=g.logits,
            cycles=9,
            prefill=5,
            passes=g.passes,
            counters=counters,
            seconds=1.0,
            precision=g.precision,
            drafting=g.drafting,
        )

    monkeypatch.setattr(rtl_backend, "generate_rtl", wrong)
    outcome = cli("generate", "ab", "--model", loud, "--config", "unit", "--tokens", "2", "--json", "r.json", *check)
    assert outcome.code == 1 and "the chip counted 1 clipped values, the golden model " in told(outcome)[-1]
    assert json.loads((work / "r.json").read_text())["golden_match"] is (None if check else False)


def test_bench_quality_says_so(cli, loud, tiny):
    """Both go to people, not into the scores."""
    for model in (loud, tiny):
        outcome = cli("bench", "quality", "--model", model, "--tokens", "48", "--knobs", "0.5", "--json", "-")
        assert outcome.code == 0 and ("left the range of FP16" in outcome.err) == (model == loud)


def test_what_it_means_for_the_text(loud):
    """Not every clipped value matters."""
    image = pair(compile_model(loud), compile_model(loud))

    def line(*counts):
        return warning(
            saturation_report(Saturations(Counter({(name, op): count for name, op, count in counts})), image)
        )

    assert "drafts may be worse, the text is right" in line(("draft.layers.0.wq", "fp16", 2))
    logits = line(("head", "mul", 5000), ("xf", "rsqrt", 3))
    assert (
        "5,003 values left the range of FP32" in logits
        and "(most in logit, or logit / temperature of head: 5,000)" in logits
    )
    assert "the text may be wrong" in logits and "exponents" not in logits
    many = line(("layers.1.wq", "fp16", 2), ("layers.0.vcache", "fp16", 4), ("layers.1.wgu", "fp16", 1))
    assert "compile with exponents for layers.0.ao, layers.1.q and others" in many
