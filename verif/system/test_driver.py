"""The C of docs/soc-integration.md, as it stands there, drives the simulated chip: through the load window, and through
registers alone.
"""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hayate.backends.rtl import build
from hayate.compiler import compile_model
from hayate.export import load_file
from hayate.golden.conductor.generate import generate
from hayate.rtl import emit
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.load import Reason
from hayate.rtl.contract.precision import Format
from hayate.rtl.contract.regmap import BY_NAME
from hayate.sim import runner
from hayate.verif.models.tiny import write_tiny_model
from hayate.verif.system.conftest import PATIENCE

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "soc-integration.md"
UNIT = load_config("unit")
PROMPT, TOKENS, VOCABULARY = (7, 3, 1), 4, 24
OPTIONS = ["-x", "c", "-std=c11", "-Wall", "-Wextra", "-Werror"]
IRQ, REJECTION, CAUSE = (
    {field: 1 << low for field, low, *_ in BY_NAME[name].fields} for name in ("IRQ_STATUS", "REJECTION", "FAULT_CAUSE")
)


def results():
    """Names of the driver's results, in the order of their values."""
    names = re.search(r"enum hayate_result \{(.*?)\}", PAGE.read_text(), re.DOTALL)[1]
    return re.findall(r"\bHAYATE_(\w+)", re.sub(r"/\*.*?\*/", "", names, flags=re.DOTALL))


def compile_driver(folder, bits):
    """(program, bits that it is compiled for): 32 where the compiler has a library for them, else 64."""
    page = "".join(re.findall(r"^```c\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE))
    (folder / "hayate.h").write_text(emit._header("hayate"))
    (folder / "page.c").write_text(page)
    defines = [
        f"-DPROMPT={', '.join(map(str, PROMPT))}",
        f"-DTOKENS={TOKENS}",
        "-DHAYATE_PATIENCE=3000u",
        *(["-DHAYATE_HOST_32"] if bits == 32 else []),
    ]
    (folder / "driver.c").write_text("\n".join(['#include "driver_bridge.h"', page, '#include "driver_main.c"', ""]))

    def compiled(*options):
        command = ["g++", *OPTIONS, f"-I{HERE}", f"-I{folder}", *defines, *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    if bits == 32 and compiled("-m32", "-o", folder / "driver", folder / "driver.c").returncode == 0:
        return folder / "driver", 32
    done = compiled("-o", folder / "driver", folder / "driver.c")
    assert done.returncode == 0, done.stderr
    if bits == 32 and compiled("-m32", "-ffreestanding", "-fsyntax-only", folder / "hayate.h").returncode == 0:
        # there is no library to link with
        done = compiled("-m32", "-ffreestanding", "-fsyntax-only", folder / "page.c")
        assert done.returncode == 0, done.stderr
    return folder / "driver", 64


def expected(reload, tokens, chosen):
    """What the program says, line by line: see `driver_main.c`."""
    result = {name: number for number, name in enumerate(results())}
    began = [("start", result["OK"]), ("busy", result["IS_BUSY"])]
    good = [*began, *(("token", token) for token in tokens), ("flags", IRQ["DONE"])]
    return [
        ("open deep", result["OK"]),
        ("probe deep", result["WRONG_MACHINE"]),
        ("open damaged", result["BAD_FILE"]),
        ("open short", result["BAD_FILE"]),
        ("open", result["OK"]),
        ("probe", result["OK"]),
        ("start unloaded", result["REFUSED_PROMPT"]),
        ("reason", Reason.NO_LOAD),
        ("load", result["OK"]),
        ("start wrong", result["REFUSED_PROMPT"]),
        ("reason", Reason.DATA),
        ("start nothing", result["REFUSED_START"]),
        ("rejection", REJECTION["TOKEN_LIMIT"]),
        *good,
        ("counter", result["OK"]),
        ("useful", 1),
        ("format", chosen),
        ("pin", result["OK"]),
        ("pin", result["REFUSED_LOAD"]),
        ("start", result["REFUSED_LOAD"]),
        ("reason", Reason.DATA),
        ("reason", Reason.NONE),
        ("start", result["OK"]),
        ("abort", result["OK"]),
        *good,
        *began,
        ("flags", IRQ["DONE"] | IRQ["FAULT"]),
        ("start faulty", result["REFUSED_PROMPT"]),
        ("reason", Reason.BUSY),
        ("recover", result["OK"]),
        ("cause", CAUSE["TIMEOUT"]),
        *good,
        *([("recover", result["OK"]), ("cause", 0), *good] if reload else []),
        ("end", 0),
    ]


@pytest.mark.parametrize("bits", [64, 32], ids=["window", "registers"])
def test_the_driver_of_the_page(bits, tmp_path, pytestconfig, record_property):
    image = compile_model(
        write_tiny_model(tmp_path / "m", hidden=16, layers=1, heads=2, kv_heads=1, ff=16, vocab=VOCABULARY, context=12)
    )
    made = load_file(image, UNIT)
    (tmp_path / "model").write_bytes(made.to_bytes())
    deeper = [replace(n, value=UNIT.bank_depth + 1) if n.register == "BANK_DEPTH" else n for n in made.needs]
    (tmp_path / "deep").write_bytes(replace(made, needs=tuple(deeper)).to_bytes())
    program, compiled = compile_driver(tmp_path, bits)
    record_property("compiled for bits", compiled)
    reload = bits == 64
    command = [
        str(program),
        str(tmp_path / "model"),
        str(tmp_path / "deep"),
        str(VOCABULARY),
        "reload" if reload else "",
    ]
    (tmp_path / "request").write_text(json.dumps({"command": command, "said": str(tmp_path / "said")}))
    runner.run(
        build(UNIT, root=pytestconfig.rootpath / "build" / "sim"),
        "hayate.verif.system.driver_run",
        directory=tmp_path / "run",
        log=tmp_path / "log",
        env={"HAYATE_REQUEST": str(tmp_path / "request")},
        timeout=PATIENCE,
    )
    found = json.loads((tmp_path / "said").read_text())
    golden = generate(image, list(PROMPT), TOKENS, lanes=UNIT.lanes, end=tuple(image.model["eos"]))
    first = next(name for name, d in image.weight_matrices().items() if d.planes)
    chosen = Format[golden.precision[first]["format"].upper()]
    assert [tuple(line) for line in found["said"]] == expected(reload, golden.tokens, chosen)
    # The whole load by single stores, and again only where it was asked for; the address registers only where words do
    # not follow.
    loads = found["asked"].get("L", 0)
    assert (loads > 2 * len(made.records)) == reload and (bits == 64 or loads == 0)
    assert found["asked"]["W"] < 3 * len(made.records)
