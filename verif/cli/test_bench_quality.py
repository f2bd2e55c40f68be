"""`hayate calibrate` and `hayate bench quality` on a small model."""

import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest

from hayate.bench import pool
from hayate.bench.quality import bytes_per_token, measure
from hayate.compiler import compile_model
from hayate.compiler.calibrate import load_calibration
from hayate.corpus import HELDOUT
from hayate.golden.conductor.generate import teacher_force

SCORES = {"perplexity", "kl", "top1", "bytes_per_token"}
# rows, K; two such layers and the embedding, which is the head
MATRICES = {
    "layers.0.wq": (32, 32),
    "layers.0.wk": (16, 32),
    "layers.0.wv": (16, 32),
    "layers.0.wo": (32, 32),
    "layers.0.wgu": (128, 32),
    "layers.0.wdown": (32, 64),
}


@pytest.fixture
def model(tiny, tmp_path):
    """A copy of the small model that may be changed."""
    return shutil.copytree(tiny, tmp_path / "model")


def total(words):
    """Bytes of all matrices, with `words` of a row of K elements."""
    return 8 * (2 * sum(rows * words(k) for rows, k in MATRICES.values()) + 64 * words(32))


def test_calibrate_then_measure(cli, model, work):
    outcome = cli("calibrate", model, "--tokens", "480")
    assert outcome.code == 0 and outcome.out == f"{model / 'calibration.json'}\n"
    written = json.loads((model / "calibration.json").read_text())
    assert set(written) == {"model", "group", "tokens", "window", "text", "matrices"} and written["tokens"] == 480
    assert written["text"]["sha256"] in outcome.err and written["text"]["heldout_sha256"] in outcome.err
    assert set(load_calibration(model, 32)) >= {"emb", *MATRICES}

    outcome = cli("bench", "quality", "--model", model, "--tokens", "144", "--knobs", "0.1,0.5,1", "--json", "q.json")
    assert outcome.code == 0 and "auto 0.5" in outcome.out and written["text"]["heldout_sha256"] in outcome.out
    result = json.loads((work / "q.json").read_text())
    assert set(result) == {"fp16", "int8", "int4", "auto"} and list(result["auto"]) == ["0.1", "0.5", "1"]
    scores = [result[name] for name in ("fp16", "int8", "int4")] + list(result["auto"].values())
    assert all(set(s) == SCORES for s in scores)
    assert (result["fp16"]["kl"], result["fp16"]["top1"]) == (0, 1) and 0 < result["int8"]["kl"] < result["int4"][
        "kl"
    ] / 10
    # Words of a row, counted by hand: 4 FP16 elements, 16 nibbles, or 4 scales of groups of 32.
    assert result["fp16"]["bytes_per_token"] == total(lambda k: k // 4)
    assert result["int8"]["bytes_per_token"] == total(lambda k: 2 * k // 16 + 1)
    assert result["int4"]["bytes_per_token"] == total(lambda k: k // 16 + 1)
    assert (
        result["auto"]["0.1"]["bytes_per_token"]
        < result["auto"]["0.5"]["bytes_per_token"]
        < result["auto"]["1"]["bytes_per_token"]
    )
    assert result["auto"]["1"] == result["fp16"]  # every measurable error promotes


def test_json_on_standard_output(cli, tiny):
    outcome = cli("bench", "quality", "--model", tiny, "--tokens", "48", "--knobs", "0.5", "--jobs", "1", "--json", "-")
    assert set(json.loads(outcome.out)) == {"fp16", "int8", "int4", "auto"} and "has no calibration" in outcome.err


def test_only_what_follows_the_prompt_is_scored(tiny):
    image = compile_model(tiny)
    window = np.random.default_rng(2).integers(0, 64, 48)
    int4, _ = measure(image, window[None], [("int4", None), ("auto", 0.4)])
    logits, chosen = teacher_force(image, window, prompt=12, precision="int4")
    z = logits[12:].astype(np.float64)
    loss = np.log(np.exp(z).sum(axis=1))[:-1] - z[np.arange(35), window[13:]]
    assert int4["perplexity"] == pytest.approx(np.exp(loss.mean()), rel=1e-9)
    assert int4["bytes_per_token"] == bytes_per_token(image, chosen)


def test_windows_shared_by_processes_score_the_same(tiny):
    image = compile_model(tiny)
    windows = np.random.default_rng(3).integers(0, 64, (3, 48))
    settings = [("fp16", None), ("auto", 0.5)]
    assert measure(image, windows, settings) == measure(image, windows, settings, jobs=2)


REFUSED = {
    "knobs": (["--knobs", "a,b"], ["--knobs", "'a,b' is not a list of numbers"]),
    "knob zero": (["--knobs", "0"], ["--quality", "0.0 is not above 0"]),
    "tokens": (["--tokens", "0"], ["--tokens", "0 is not at least 1"]),
    "jobs": (["--jobs", "0"], ["--jobs", "0 is not at least 1"]),
    "few tokens": (["--tokens", "1000000"], ["tokens to score, not 1000000"]),
    "json nowhere": (["--json", "file/r.json"], ["file/r.json", "--json"]),
    "model": (["--model", "nothing"], ["--model", "no model at 'nothing'"]),
}


def test_a_killed_worker_is_reported(refused, tiny, monkeypatch):
    class Pool(ProcessPoolExecutor):
        def map(self, *_):
            raise BrokenProcessPool

    monkeypatch.setattr(pool, "ProcessPoolExecutor", Pool)
    refused("bench", "quality", "--model", tiny, parts=["--jobs", "a worker process was killed", "--jobs 1"])


@pytest.mark.parametrize("case", REFUSED)
def test_bench_refuses(case, refused, tiny, work):
    (work / "file").write_text("")
    options, parts = REFUSED[case]
    refused("bench", "quality", *(["--model", tiny] if case != "model" else []), *options, parts=parts)


def test_bench_refuses_a_stale_calibration_and_a_missing_copy(cli, refused, model, work):
    assert cli("calibrate", model, "--tokens", "48", "--group", "64").code == 0
    refused(
        "bench", "quality", "--model", model, parts=["calibration.json", "groups of 64, not 32", "hayate calibrate"]
    )
    compile_model(model, planes=False).save(work / "plain.hayate")
    refused("bench", "quality", "--model", "plain.hayate", parts=["INT8/INT4 planes", "compile the model again"])


def test_calibrate_refuses(refused, model, work):
    (work / "file").write_text("")
    heldout = "heldout.txt"
    (work / heldout).write_text("x = 1\n" + HELDOUT.read_text()[:6000])
    for options, parts in [
        (["--text", heldout], [heldout, "200 characters in a row are also in heldout.txt", "another text"]),
        (["--text", "none.txt"], ["none.txt", "not a readable text"]),
        (["--group", "48"], ["--group", "48 is not offered", "32, 64, 128"]),
        (["--tokens", "0"], ["--tokens", "0 tokens"]),
        (["--tokens", "47"], ["47 tokens make no window of 48"]),
        (["-o", "file/c.json"], ["file/c.json", "-o"]),
    ]:
        refused("calibrate", model, *options, parts=parts)
    assert not (model / "calibration.json").exists()
