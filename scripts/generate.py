"""`hayate generate`: a prompt in, tokens out, on either backend, with one result format."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.errors import HayateError
from hayate.verif.golden.conductor.generate import check_request
from hayate.verif.golden.conductor.generate import generate as golden_generate

from . import models
from .show import console, write_json
from .summary import closing_table


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for; see `hayate generate --help`."""

    model: str
    tokens: int
    prompt: str = ""
    prompt_ids: str = ""
    backend: str = "rtl"
    config: str = "demo"
    overrides: tuple = ()
    sim: str = "verilator"
    waves: Path | None = None
    wave_window: str = ""
    ignore_eos: bool = False
    check: bool = True


def _choice(option, value, allowed):
    if value not in allowed:
        raise HayateError(option, "", f"{value!r} is not known", f"use one of: {', '.join(allowed)}")


def _prompt(request, text):
    if request.prompt_ids and request.prompt:
        raise HayateError("--prompt-ids", "", "given together with a text prompt", "give one of them")
    if not request.prompt_ids:
        if not request.prompt:
            raise HayateError("prompt", "", "it is empty", 'write one, such as: hayate generate "def main():"')
        return text.encode(request.prompt)
    try:
        return [int(part) for part in request.prompt_ids.split(",")]
    except ValueError:
        raise HayateError("--prompt-ids", "", f"{request.prompt_ids!r} is not a list of integers", "write 1,17,230") from None


def _window(text):
    if not text:
        return None
    try:
        first, last = (int(part) for part in text.split(":"))
    except ValueError:
        raise HayateError("--wave-window", "", f"{text!r} is not FIRST:LAST", "write two cycle numbers, such as 1000:2000") from None
    if not 0 <= first < last:
        raise HayateError("--wave-window", "", f"{text!r} holds no cycles", "write the smaller number first")
    return first, last


class Stream:
    """Prints text as its tokens arrive; bytes of an unfinished character wait for the rest."""

    def __init__(self, text, prompt, out):
        self._text, self._ids, self._out = text, list(prompt), out
        self._shown = ""
        self._show()

    def token(self, token):
        self._ids.append(token)
        self._show()

    def _show(self):
        whole = self._text.decode(self._ids)
        if whole.endswith("\ufffd"):
            return
        if whole.startswith(self._shown):
            self._out.write(whole[len(self._shown):])
            self._out.flush()
        self._shown = whole


def _golden(image, config, prompt, request, end, on_token):
    return golden_generate(image, prompt, request.tokens, lanes=config.lanes, slots=min(config.max_slots, _slots(image, config)), end=end,
                           on_token=on_token)


def _slots(image, config):
    return -(-(image.model["context"] + config.lanes) // 4) * 4


def matches(result, reference):
    """True when tokens, and the logits of every position both have, are bit-identical."""
    return (list(result.tokens) == list(reference.tokens) and result.logits.keys() == reference.logits.keys()
            and all(np.array_equal(np.asarray(result.logits[p]).view(np.uint32), reference.logits[p].view(np.uint32)) for p in reference.logits))


def generate(request, json="", say=None):
    """Run a request; prints the text as it comes and a closing table. Returns the exit code: 1 when golden disagrees."""
    _choice("--backend", request.backend, ("rtl", "golden"))
    _choice("--sim", request.sim, ("verilator", "icarus"))
    window = _window(request.wave_window)
    if request.waves and request.backend != "rtl":
        raise HayateError("--waves", "", "the golden backend has no waveforms", "use --backend rtl")
    config = load_config(request.config, request.overrides)
    image = models.load(request.model)
    text = models.Text(image)
    prompt = _prompt(request, text)
    check_request(image, prompt, request.tokens, min(config.max_slots, _slots(image, config)), config.lanes)
    end = () if request.ignore_eos else tuple(image.model["eos"])
    out = sys.stderr if json == "-" else sys.stdout
    people = console(json)
    started = time.monotonic()
    match = None
    if request.backend == "golden":
        stream = Stream(text, prompt, out)
        result = _golden(image, config, prompt, request, end, stream.token)
        seconds, cycles, utilization = time.monotonic() - started, None, None
    else:
        from .rtl_backend import generate_rtl

        stream = None

        def on_token(token):
            nonlocal stream
            stream = stream or Stream(text, prompt, out)
            stream.token(token)

        result = generate_rtl(image, config, prompt, request.tokens, sim=request.sim, waves=request.waves, wave_window=window, end=end,
                              on_token=on_token, say=people)
        seconds, cycles, utilization = result.seconds, result.cycle_report(), result.utilization
    out.write("\n")
    if request.backend == "rtl" and request.check:
        match = matches(result, _golden(image, config, prompt, request, end, None))
    report = {
        "prompt_tokens": list(prompt), "tokens": [int(t) for t in result.tokens], "text": text.decode(result.tokens),
        "backend": request.backend, "config": config.to_dict(), "cycles": cycles, "passes": result.passes,
        "tokens_per_pass": tokens_per_pass(result, len(prompt), config.lanes), "utilization": utilization,
        "precision": {d.name: "fp16" for d in image.descriptors if d.tensor and d.kind in ("rows", "pairs", "q", "kv") and d.name not in ("ropec", "ropef")},
        "golden_match": match, "seconds": round(seconds, 3),
    }
    if json:
        write_json(report, json)
    people.print(closing_table(report))
    if match is False:
        print("hayate: the chip's tokens or logits differ from the golden model's", file=sys.stderr)
        return 1
    return 0


def tokens_per_pass(result, prompt, lanes):
    """Generated tokens over the passes that chose them: the last prefill pass and every decode pass."""
    chosen = result.passes - (-(-prompt // lanes) - 1)
    return round(len(result.tokens) / chosen, 4)
