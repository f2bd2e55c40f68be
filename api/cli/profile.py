"""`hayate profile`: where the cycles of a generation went."""

import sys

from hayate.cli.generate import Stream, prepare
from hayate.output import write_json
from hayate.profile import perfetto, report
from hayate.profile.stages import instructions
from hayate.rtl.contract.errors import HayateError


def profile(request, tile=0, trace="", json=""):
    """Run a request on the chip and say where its cycles went. Returns the exit code: 1 for a memory fault.

    tile: whose layers are shown. trace: file for a trace in Chrome's format. json: file for the result, "-" for
    standard output. Raises HayateError.
    """
    job = prepare(request, json, [("--trace", trace)])
    if not 0 <= tile < job.config.tiles:
        raise HayateError(
            "--tile", "", f"{tile} is none of {job.config.tiles}", f"use a number from 0 to {job.config.tiles - 1}"
        )
    out = job.people.file
    result = job.rtl(Stream(job.text, job.prompt, out, show=False), activity=True)
    out.write("\n\n")
    names = instructions(job.image, job.config)
    tiles = report.accounts(result.activity, names)
    said = report.sentences(tiles, result.activity, len(result.tokens), "simulated")
    found = {
        "backend": request.backend,
        "config": job.config.to_dict(),
        "prompt_tokens": list(job.prompt),
        "tokens": [int(t) for t in result.tokens],
        "cycles": result.cycles,
        "sentences": said,
        **report.data(tiles, result.activity),
    }
    if json:
        write_json(found, json)
    if trace:
        write_json(perfetto.events(result.activity, names), trace)
    job.people.print("\n".join(said) + "\n")
    job.people.print(report.by_cause(tiles))
    job.people.print()
    job.people.print(report.by_layer(tiles[tile], tile))
    if trace:
        job.people.print(f"\nThe trace is in {trace}; https://ui.perfetto.dev shows it.")
    if result.fault:
        print("hayate: the chip reported a memory fault", file=sys.stderr)
    return int(result.fault)
