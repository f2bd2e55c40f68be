"""Compares bits and cycles of the chip with those on record, or records them.

    python scripts/unchanged.py [--record] [demo|precision|layer|machines ...]

`demo` is the generation of `make demo`, `precision` and `layer` are those benchmarks of `hayate bench`, `machines` the
small ones of `verif/system/test_invariance.py`. Without names, all of them; several minutes. A change of structure
leaves every number as it is; one of the machine's timing records new ones, and says so in its commit.
"""

import json
import sys

from hayate import models
from hayate.backends import layer
from hayate.backends.rtl import generate_rtl
from hayate.bench.layer import CASES, machine, outlines
from hayate.bench.precision import run as precision
from hayate.cli.demo import PROMPT
from hayate.compiler.cost import costs
from hayate.progress import Steps
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.draft import Drafter
from hayate.verif.system import test_invariance
from hayate.verif.system.checks import PROMPT as SMALL_PROMPT
from hayate.verif.system.checks import SETTINGS, image
from hayate.verif.system.unchanged import FILE, entry, machine_key

LAYER = "llama-3-70b"


def demo():
    """The generation of `make demo`."""
    model, config = models.load("py-mini"), load_config("demo")
    prompt = models.Text(model).encode(PROMPT)
    return {
        "": entry(
            generate_rtl(model, config, prompt, 64, speculate="ngram", costs=costs(model, config.lanes, Drafter.NGRAM))
        )
    }


def bench_precision():
    """Cycles of `hayate bench precision`, by format."""
    return precision()


def bench_layer():
    """Cycles of `hayate bench layer`, by positions of the pass."""
    shape, config = machine(CASES[LAYER], 256)
    found = layer.measure(outlines(shape, "fp16")[0], config, context=256, widths=range(1, 5), say=Steps())
    return {str(n): row["cycles"] for n, row in found.items()}


def machines():
    """The runs of `test_pairwise`."""
    found = {}
    for index, sizes in enumerate(test_invariance.COVER):
        for tied, setting in test_invariance.turn(index):
            copies, options = SETTINGS[setting]
            options = {**options, "pins": dict(options.get("pins", ()))}
            result = generate_rtl(
                image(tied, copies=copies),
                test_invariance.config(*sizes),
                list(SMALL_PROMPT),
                6,
                all_logits=True,
                optimize="-Og",
                **options,
            )
            found[machine_key(*sizes, tied, setting)] = entry(result)
    return found


PARTS = {"demo": demo, "precision": bench_precision, "layer": bench_layer, "machines": machines}


def main(arguments):
    """Exit code: 1 when something differs."""
    record, names = "--record" in arguments, [a for a in arguments if a != "--record"] or list(PARTS)
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    different = 0
    for name in names:
        found = PARTS[name]()
        for key in sorted({*found, *known.get(name, {})}):
            old, new = known.get(name, {}).get(key), found.get(key)
            if old != new:
                different += 1
                print(f"{name} {key}: {new}, on record {old}")
        print(f"{name}: {len(found)} compared")
        if record:
            known[name] = found
            FILE.write_text(json.dumps(known, indent=1) + "\n")
    return 1 if different and not record else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
