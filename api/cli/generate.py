"""`hayate generate`: a prompt in, tokens out, on either backend, with one result format."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from hayate import models
from hayate.cli.saturation import saturation_report, warning
from hayate.cli.summary import closing_table
from hayate.compiler.cost import costs
from hayate.compiler.shares import Geometry
from hayate.compiler.usage import require_formats, require_sampling
from hayate.golden.conductor.compare import matches
from hayate.golden.conductor.draft import DRAFTERS, require_drafter
from hayate.golden.conductor.generate import check_request, require_end, slots_for
from hayate.golden.conductor.generate import generate as golden_generate
from hayate.golden.conductor.governor import PRECISIONS, QUALITY, Governor, knob_of
from hayate.golden.conductor.loop import Generation
from hayate.golden.conductor.sample import inverse, require_filters, require_seed
from hayate.golden.tile.saturation import same_count
from hayate.output import require_outputs, toml, write_json
from hayate.progress import Steps, console
from hayate.rtl.contract.config import Config, load_config
from hayate.rtl.contract.draft import Drafter
from hayate.rtl.contract.errors import HayateError, nearest
from hayate.rtl.contract.image import Image
from hayate.rtl.contract.precision import Format

MACHINE = "context of the machine"
TOKENS_MAX = (1 << 16) - 1  # what the register TOKEN_LIMIT holds


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
    precision: str = "auto"
    quality: float = QUALITY
    pins: tuple = ()
    speculate: str = "ngram"
    draft: str = ""
    nodes: int | None = None
    branch: int | None = None
    control: bool = True
    temperature: float = 0.0
    seed: int = 0
    min_p: float | None = None
    top_k: int | None = None


def choice(option, value, allowed):
    """Raise HayateError that names `option` unless its value is one of `allowed`."""
    if value not in allowed:
        near = nearest(value, allowed, cutoff=0.6)
        raise HayateError(
            option,
            "",
            f"{value!r} is not known",
            (f"did you mean {near}? Else " if near else "") + f"use one of: {', '.join(allowed)}",
        )


def _pins(request):
    """name -> `Format` of `--pin NAME=FORMAT`. Raises HayateError for what is not of this form, and for a matrix named
    twice.
    """
    pins = {}
    for pin in request.pins:
        name, eq, fmt = pin.partition("=")
        if not name or not eq:
            raise HayateError("--pin", "", f"{pin!r} is not MATRIX=FORMAT", "write one such as layers.0.wq=int4")
        choice("--pin", fmt, [f.name.lower() for f in Format])
        if name in pins:
            raise HayateError("--pin", name, "is there twice", "choose one format for it")
        pins[name] = Format[fmt.upper()]
    return pins


def _check_options(request, json):
    """Raise HayateError for options that are wrong whatever the model is."""
    choice("--backend", request.backend, ("rtl", "golden"))
    choice("--sim", request.sim, ("verilator", "icarus"))
    choice("--precision", request.precision, PRECISIONS)
    knob_of(request.quality)
    choice("--speculate", request.speculate, DRAFTERS)
    if request.draft and request.speculate != "draft":
        raise HayateError(
            "--draft", "", f"--speculate {request.speculate} has no use for a draft model", "add --speculate draft"
        )
    inverse(request.temperature)
    require_seed(request.seed)
    require_filters(request.temperature, request.min_p, request.top_k)
    if _pins(request) and request.precision == "auto":
        raise HayateError("--pin", "", "the governor decides on every matrix", "give a fixed --precision beside it")
    if not 1 <= request.tokens <= TOKENS_MAX:
        raise HayateError(
            "--tokens",
            "",
            f"{request.tokens} tokens cannot be generated",
            f"ask for 1 to {TOKENS_MAX} (the end of the context ends a text earlier)",
        )
    if request.waves:
        if request.backend != "rtl":
            raise HayateError("--waves", "", "the golden backend has no waveforms", "use --backend rtl")
        if Path(request.waves).suffix not in (".fst", ".vcd"):
            raise HayateError(
                "--waves", "", f"{str(request.waves)!r} ends in neither .fst nor .vcd", "name the file by its format"
            )
    elif request.wave_window:
        raise HayateError(
            "--wave-window", "", "given without --waves", "say where the waveforms go: --waves build/waves.fst"
        )
    require_outputs([("--waves", request.waves), ("--json", json)])


def _prompt_ids(request):
    """The prompt as token ids, None where it is text. Raises HayateError for neither or both."""
    if request.prompt_ids and request.prompt:
        raise HayateError("--prompt-ids", "", "given together with a text prompt", "give one of them")
    if not request.prompt_ids and not request.prompt:
        raise HayateError("prompt", "", "it is empty", 'write one, such as: hayate generate "def main():"')
    try:
        request.prompt.encode()
    except UnicodeEncodeError:
        raise HayateError("prompt", "", "it is not UTF-8", "write it in UTF-8, or give --prompt-ids") from None
    try:
        return [int(part) for part in request.prompt_ids.split(",")] if request.prompt_ids else None
    except ValueError:
        raise HayateError(
            "--prompt-ids", "", f"{request.prompt_ids!r} is not a list of integers", "write 1,17,230"
        ) from None


def _window(text):
    if not text:
        return None
    try:
        first, last = (int(part) for part in text.split(":"))
    except ValueError:
        raise HayateError(
            "--wave-window", "", f"{text!r} is not FIRST:LAST", "write two cycle numbers, such as 1000:2000"
        ) from None
    if not 0 <= first < last:
        raise HayateError("--wave-window", "", f"{text!r} holds no cycles", "write the smaller number first")
    return first, last


class Stream:
    """Prints text as its tokens arrive; bytes of an unfinished character wait for the rest."""

    def __init__(self, text, prompt, out, show=True):
        self._text, self._ids, self._out = text, list(prompt), out
        self._shown = ""
        if show:
            self.show()

    def token(self, token):
        """Take one more token."""
        self._ids.append(token)
        self.show()

    def show(self):
        """Print what has become readable since the last call."""
        whole = self._text.decode(self._ids)
        if whole.endswith("\ufffd"):
            return
        if whole.startswith(self._shown):
            self._out.write(whole[len(self._shown) :])
            self._out.flush()
        self._shown = whole


@dataclass(frozen=True, kw_only=True)
class Job:
    """A request that can be run: what it names is there and fits. options: of both backends' `generate`, by keyword.
    people: where text, steps and tables go.
    """

    request: Request
    image: Image
    config: Config
    text: models.Text
    prompt: list
    end: tuple
    window: tuple | None
    options: dict
    people: Console
    say: Steps

    def golden(self, on_token=None, *, log=None):
        """`Generation` by the golden model. log: as of golden's `generate`."""
        return golden_generate(
            self.image,
            self.prompt,
            self.request.tokens,
            lanes=self.config.lanes,
            slots=Geometry.of(self.image.model, self.config).slots,
            end=self.end,
            on_token=on_token,
            log=log,
            **self.options,
        )

    def rtl(self, stream, *, activity=False):
        """`RtlResult`; `stream` shows the text. activity: as of `generate_rtl`."""
        from hayate.backends.rtl import generate_rtl

        request = self.request
        return generate_rtl(
            self.image,
            self.config,
            self.prompt,
            request.tokens,
            sim=request.sim,
            waves=request.waves,
            wave_window=self.window,
            end=self.end,
            on_start=stream.show,
            on_token=stream.token,
            say=self.say,
            activity=activity,
            **self.options,
        )


def prepare(request, json="", outputs=()):
    """`Job` of a request. json: file for the result; outputs: (option, file) of others that are to be written. Raises
    HayateError for what is wrong with it, before anything slow.
    """
    _check_options(request, json)
    window = _window(request.wave_window)
    config = load_config(request.config, request.overrides)
    people = console(json)
    say = Steps(people)
    prompt = _prompt_ids(request)
    path = models.find(request.model)
    drafter = models.find(request.draft, "--draft") if request.draft else None
    files = [("--waves", request.waves), ("--json", json), *outputs]
    require_outputs(files, [path, drafter, toml(request.config)])
    with say(f"{'compiling' if path.is_dir() else 'reading'} {request.model}"):
        image = models.load(path, request.draft)
    text = models.Text(image)
    prompt = text.encode(request.prompt) if prompt is None else prompt
    check_request(image, prompt, request.tokens, Geometry.of(image.model, config).slots, config.lanes)
    end = () if request.ignore_eos else tuple(image.model["eos"])
    require_end(end, path)
    precise = {"precision": request.precision, "quality": request.quality, "pins": _pins(request)}
    Governor(image, **precise)  # before anything slow: says what the image lacks
    require_drafter(image, request.speculate)
    options = {
        **precise,
        "speculate": request.speculate,
        "nodes": request.nodes,
        "branch": request.branch,
        "costs": costs(image, config.lanes, Drafter[request.speculate.upper()]) if request.control else None,
        "temperature": request.temperature,
        "seed": request.seed,
        "min_p": request.min_p,
        "top_k": request.top_k,
    }
    require_sampling(config, request.temperature)
    for precision in (precise["precision"], precise["pins"]):
        require_formats(image, config, precision, request.speculate)
    return Job(
        request=request,
        image=image,
        config=config,
        text=text,
        prompt=prompt,
        end=end,
        window=window,
        options=options,
        people=people,
        say=say,
    )


def generate(request, json=""):
    """Run a request; prints the text as it comes and a closing table. Returns the exit code: 1 when golden disagrees.

    json: file for the result, "-" for standard output; text, steps and table are then on standard error. Raises
    HayateError.
    """
    job = prepare(request, json)
    image, config, text, prompt, end, people = job.image, job.config, job.text, job.prompt, job.end, job.people
    out = people.file
    match, cycles, utilization, fault, counted = None, None, None, False, True
    if request.backend == "golden":
        started = time.monotonic()
        result = reference = job.golden(Stream(text, prompt, out).token)
        seconds = time.monotonic() - started
        out.write("\n")
    else:
        result = job.rtl(Stream(text, prompt, out, show=False))
        seconds, cycles, utilization, fault = result.seconds, result.cycle_report(), result.utilization, result.fault
        out.write("\n")
        reference = Generation(prompt)
        if request.check or result.saturated:  # a tile counts what saturates, and golden says where
            with job.say(
                "checking against the golden model" if request.check else "asking the golden model what saturated"
            ):
                reference = job.golden()
            match, counted = matches(result, reference) if request.check else None, same_count(result, reference)
    report = {
        "prompt_tokens": list(prompt),
        "tokens": [int(t) for t in result.tokens],
        "text": text.decode(result.tokens),
        "backend": request.backend,
        "config": config.to_dict(),
        "cycles": cycles,
        "passes": result.passes,
        "tokens_per_pass": tokens_per_pass(result, len(prompt), config.lanes),
        "utilization": utilization,
        "temperature": request.temperature,
        "seed": request.seed,
        "min_p": request.min_p,
        "top_k": request.top_k,
        "precision": result.precision,
        "speculation": speculation(request.speculate, result, len(prompt), config.lanes),
        "saturated": saturation_report(reference.saturated, image),
        "golden_match": match,
        "seconds": round(seconds, 3),
    }
    context, own = Geometry.of(image.model, config).context, image.model["context"]
    report["ended"] = ended(result.tokens, len(prompt), request.tokens, end, context, own)
    if json:
        write_json(report, json)
    people.print(closing_table(report))
    if report["ended"] == MACHINE:
        print(
            f"hayate: the text ended where the machine's context did, at {context} positions; the model has {own}: "
            f"--set max_slots={slots_for(image, config.lanes)} makes room",
            file=sys.stderr,
        )
    if report["saturated"]["total"]:
        print(f"hayate: {warning(report['saturated'])}", file=sys.stderr)
    if fault:
        print("hayate: the chip reported a memory fault", file=sys.stderr)
    if match is False:
        print("hayate: the chip's tokens, logits or counts differ from the golden model's", file=sys.stderr)
    if not counted:
        print(
            f"hayate: the chip counted {result.saturated:,} clipped values, the golden model "
            f"{reference.saturated.on(config.tiles):,}",
            file=sys.stderr,
        )
    return 1 if fault or match is False or not counted else 0


def ended(tokens, prompt, limit, end, context, own):
    """Why a text ended: at one of the `end` tokens, at the limit asked for, at the end of a context, which is the
    machine's where `context` is less than the model's `own`, or, where at none of them, by a fault. prompt: its tokens.
    """
    if tokens and tokens[-1] in end:
        return "end token"
    if len(tokens) == limit:
        return "token limit"
    if prompt + len(tokens) - 1 != context:
        return "fault"
    return MACHINE if context < own else "context of the model"


def tokens_per_pass(result, prompt, lanes):
    """Generated tokens over the passes that chose them: the last prefill pass and every decode pass."""
    chosen = result.passes - (-(-prompt // lanes) - 1)
    return round(len(result.tokens) / chosen, 4)


def speculation(drafter, result, prompt, lanes):
    """{drafter: what it came to}; of a generation without one, {}."""
    d = result.drafting
    lengths = [d.lengths.get(n, 0) for n in range(lanes)]
    return (
        {}
        if drafter == "off"
        else {
            drafter: {
                "proposed": d.proposed,
                "accepted": d.accepted,
                "sibling_commits": d.siblings,
                "draft_passes": d.passes,
                "tokens_per_pass": tokens_per_pass(result, prompt, lanes),
                "accepted_lengths": lengths,
            }
        }
    )
