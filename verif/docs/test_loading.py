"""docs/loading.md is enough to load a model: a loader made of its formulas writes what the project's does."""

import re
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from hayate.backends.load_words import load_words
from hayate.compiler import compile_model, place
from hayate.compiler.link import pair
from hayate.golden.conductor.ngram import BaseTable
from hayate.rtl.contract.config import Config
from hayate.rtl.contract.draft import BASE_LOG2, BASE_ONE_BIT
from hayate.rtl.contract.image import NGRAMS
from hayate.rtl.contract.load import Fact
from hayate.rtl.contract.regmap import LOAD_ALL_TILES, LoadSpace, load_address
from hayate.verif.docs import by_the_page
from hayate.verif.models.tiny import write_tiny_model

SIZES = dict(banks=4, bank_depth=32768, lanes=2, max_slots=52, micro_depth=512)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Name -> image: with both copies; with a draft model of a single KV head; without FP16 copies of the matrices."""
    folder = tmp_path_factory.mktemp("models")
    whole = compile_model(write_tiny_model(folder / "whole", heads=6, layers=1, ff=48))
    small = compile_model(
        write_tiny_model(
            folder / "small",
            hidden=20,
            layers=1,
            heads=3,
            kv_heads=1,
            head_dim=16,
            ff=28,
            context=60,
            seed=3,
            tied=False,
        ),
        planes=False,
    )
    bare = compile_model(
        write_tiny_model(folder / "bare", layers=1, tied=False, hidden=40, kv_heads=1, head_dim=40), fp16="none"
    )
    return {"whole": whole, "pair": pair(whole, small), "bare": bare}


@pytest.mark.parametrize(
    "name, change",
    [
        ("whole", dict(tiles=1)),
        ("whole", dict(tiles=3, lanes=4, act_depth=80, landing_depth=64)),
        ("whole", dict(tiles=2, formats="fp16")),
        ("pair", dict(tiles=2)),
        ("pair", dict(tiles=4, banks=2, lanes=4)),
        ("bare", dict(tiles=3, max_slots=28)),
        ("bare", dict(tiles=1, sampling=0)),
    ],
)
@pytest.mark.parametrize("filters", [False, True])
def test_the_page_loads_what_the_loader_loads(images, tmp_path, name, change, filters):
    config = Config(**SIZES | change)
    images[name].save(tmp_path / "image")
    expected = {(r.stop, r.space, r.addr): r.data for r in place(images[name], config, filters=filters).loads()}
    found = by_the_page.load(tmp_path / "image", config, filters)
    assert found.keys() == expected.keys()
    assert {key: (found[key], data) for key, data in expected.items() if found[key] != data} == {}


@pytest.mark.parametrize(
    "name, change",
    [
        ("pair", dict(tiles=2)),
        ("whole", dict(tiles=1, formats="nested")),
        ("bare", dict(tiles=1)),
        ("whole", dict(tiles=2, formats="fp16")),
    ],
)
def test_the_page_s_load_is_the_load_from_open_to_seal(images, tmp_path, name, change):
    """Facts, the governor's words, the base table, the order at both ends, and the seal."""
    config, filters = Config(**SIZES | change), name == "bare"
    image = images[name]
    ngrams = config.formats == "nested"
    if ngrams:
        image = replace(image, tensors={**image.tensors, NGRAMS: np.array([(3, 4, 5), (-1, 4, 6)], np.int32)})
    image.save(tmp_path / "image")
    words = load_words(place(image, config, filters=filters)).tolist()
    facts = by_the_page.facts(tmp_path / "image", config, filters)
    first = [(load_address(0, LoadSpace.MODEL, Fact[fact]), value) for fact, value in facts.items()]
    assert {Fact[fact] for fact in facts} == set(Fact) - {Fact.SEAL} and [
        tuple(w) for w in words[: len(first)]
    ] == first
    assert tuple(words[-1]) == (load_address(0, LoadSpace.MODEL, Fact.SEAL), by_the_page.seal(words[1:-1]))
    governor = by_the_page.governor(tmp_path / "image", config) if config.governor else {}
    expected = {load_address(LOAD_ALL_TILES, LoadSpace.GOVERNOR, at): data for at, data in governor.items()}
    if ngrams:
        expected |= {load_address(0, LoadSpace.NGRAM, at): data for at, data in BaseTable(image.ngrams).words()}
    expected |= {
        load_address(stop - 1, space, at): data
        for (stop, space, at), data in by_the_page.load(tmp_path / "image", config, filters).items()
    }
    assert dict(words[len(first) : -1]) == expected


def c_blocks():
    return "".join(re.findall(r"^```c\n(.*?)^```", by_the_page.PAGE.read_text(), re.DOTALL | re.MULTILINE))


def test_the_c_of_the_base_table_makes_its_words(tmp_path):
    rng = np.random.default_rng(5)
    rows = rng.integers(0, 1 << 20, (6000, 3))
    rows[rng.random(6000) < 0.3, 0] = -1
    rows[:50, :2] = [[-1, 3]] * 25 + [[3, 4]] * 25  # collisions: the first row counts
    size = (1 << BASE_ONE_BIT) + (1 << BASE_LOG2[0])
    numbers = ", ".join(f"{{{a}, {b}, {c}}}" for a, b, c in rows.tolist())
    source = tmp_path / "base.c"
    source.write_text(f"""{c_blocks()}
#include <stdio.h>
static const int32_t rows[][3] = {{{numbers}}};
static uint64_t words[{size}];
int main(void) {{
    hayate_base_table(rows, {len(rows)}, words);
    for (int i = 0; i < {size}; i++) printf("%llu\\n", (unsigned long long)words[i]);
    return 0;
}}
""")
    options = ["-x", "c", "-std=c11", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["g++", *options, "-o", str(tmp_path / "base"), str(source)], check=True)
    out = subprocess.run([str(tmp_path / "base")], capture_output=True, text=True, check=True).stdout.split()
    assert dict(enumerate(map(int, out))) == dict(BaseTable(rows.tolist()).words())
    assert f"{size:,} zeros" in c_blocks()
