"""`hayate profile`: where the cycles of a generation went."""

import sys

from hayate.cli.generate import Stream, prepare
from hayate.compiler.place import place
from hayate.output import write_json
from hayate.profile import perfetto, report
from hayate.profile.model import machine
from hayate.profile.stages import instructions
from hayate.rtl.contract.errors import HayateError

#: What cycles of a backend are.
SOURCES = {"rtl": "simulated", "golden": "modelled"}


def profile(request, tile=0, trace="", json=""):
    """Run a request and say where its cycles went: on the simulated chip, or by the cycle formulas. Returns the exit
    code: 1 for a memory fault.

    tile: whose layers are shown. trace: file for a trace in Chrome's format. json: file for the result, "-" for
    standard output. Raises HayateError.
    """
    job = prepare(request, json, [("--trace", trace)])
    if not 0 <= tile < job.config.tiles:
        raise HayateError(
            "--tile", "", f"{tile} is none of {job.config.tiles}", f"use a number from 0 to {job.config.tiles - 1}"
        )
    out = job.people.file
    activity, result, fault = _run(job, out)
    out.write("\n")
    names = instructions(job.image, job.config)
    tiles = report.accounts(activity, names)
    said = report.sentences(tiles, activity, len(result.tokens), SOURCES[request.backend])
    found = {
        "backend": request.backend,
        "config": job.config.to_dict(),
        "prompt_tokens": list(job.prompt),
        "tokens": [int(t) for t in result.tokens],
        "source": SOURCES[request.backend],
        "cycles": sum(report.phases(activity).values()),
        "sentences": said,
        **report.data(tiles, activity),
    }
    if json:
        write_json(found, json)
    if trace:
        write_json(perfetto.events(activity, names), trace)
    job.people.print("\n".join(said) + "\n")
    job.people.print(report.by_cause(tiles))
    job.people.print()
    job.people.print(report.by_layer(tiles[tile], tile))
    if trace:
        job.people.print(f"\nThe trace is in {trace}; https://ui.perfetto.dev shows it.")
    if fault:
        print("hayate: the chip reported a memory fault", file=sys.stderr)
    return int(fault)


def _run(job, out):
    """(`Activity`, result, whether the chip reported a fault) of a job; the text goes to `out`."""
    if job.request.backend == "rtl":
        result = job.rtl(Stream(job.text, job.prompt, out, show=False), activity=True)
        out.write("\n")
        return result.activity, result, result.fault
    request, log = job.request, machine.Log()
    filters = request.min_p is not None or request.top_k is not None
    placement = place(job.image, job.config, filters=filters, weights=False)
    result = job.golden(Stream(job.text, job.prompt, out).token, log=log)
    out.write("\n")
    with job.say("adding up its cycles"):
        return machine.run(placement, log, len(job.prompt)), result, False
