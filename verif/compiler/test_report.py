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
    assert data["bytes"]["weights"] == sum(image.tensors[d.tensor].nbytes for d in image.descriptors if d.tensor)
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
