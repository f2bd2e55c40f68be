"""The placement report adds up, and says what does not fit."""

import io
import json

from rich.console import Console

from hayate.compiler import place, render, report
from hayate.rtl.contract.config import Config


def test_bytes_add_up(image):
    config = Config(name="test", tiles=3, banks=8, bank_depth=4096, max_slots=52)
    data = json.loads(json.dumps(report(image, config)))
    placement = place(image, config)
    assert data["fits"] and data["slots"] == placement.slots == 52 and data["context"] == placement.context == 48
    assert [b["words"] for b in data["banks"]] == [t.depth for t in placement.tiles]
    in_banks = config.banks * sum(b["bytes"] for b in data["banks"])
    assert in_banks == data["bytes"]["weights"] + data["bytes"]["kv"] + data["bytes"]["padding"]
    assert data["utilization"] == in_banks / config.bytes_total
    assert data["bytes"]["fp16"] == sum(image.tensors[d.tensor].nbytes for d in image.descriptors if d.tensor)
    assert data["bytes"]["planes"] == sum(
        t.nbytes for name, t in image.tensors.items() if name.endswith((".w8", ".scale"))
    )
    assert data["bytes"]["weights"] == data["bytes"]["fp16"] + data["bytes"]["planes"]
    for copy in ("fp16", "planes"):
        assert data["bytes"][copy] == sum(m[copy] for m in data["matrices"])
    # K and V: layers x heads x head_dim FP16 values a slot
    assert data["bytes"]["kv"] == 2 * 2 * 2 * 8 * 2 * 52


def test_misfit_is_reported_not_raised(image):
    config = Config(name="test", tiles=1, banks=1, bank_depth=1000, max_slots=52)
    data = report(image, config)
    assert not data["fits"]
    memory = next(m for m in data["memories"] if m["field"] == "bank_depth")
    assert not memory["fits"] and memory["need"] == data["banks"][0]["words"] > 1000
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(render(data))
    text = console.export_text()
    assert "tiny on test: does not fit" in text and f"{memory['need'] - 1000} too few" in text
    assert "layers.1.wdown" in text


def test_fit_is_shown(image):
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(render(report(image, Config(name="test", tiles=2, bank_depth=8192, max_slots=52))))
    assert "tiny on test: fits" in console.export_text()


def test_precision_of_each_matrix(image):
    data = report(image, Config(name="test", tiles=2, bank_depth=8192, max_slots=52))
    assert [p["name"] for p in data["precision"]] == [d.name for d in image.descriptors if d.planes]
    for p in data["precision"]:
        assert p["group"] == 32 and p["fp16"] and len(p["grids"]) == 3 and len(p["sensitivities"]) == 2
        assert 1e-3 < p["errors"][0] < 3e-2 and 1e-6 < p["errors"][1] < p["errors"][0] / 100
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render(data))
    text = console.export_text()
    assert "not calibrated" in text and "KL" not in text
    calibrated = {**data, "precision": [{**p, "gains": [0.125, 0.5]} for p in data["precision"]]}
    console.print(render(calibrated))
    text = console.export_text()
    assert text.count("1.2e-01") == text.count("5.0e-01") == len(data["precision"]) and "not calibrated" not in text
