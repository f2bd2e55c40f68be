"""The block diagrams: files are what the script draws, labels stand in their boxes, blocks are in the table."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from hayate.scripts import drawing, pictures

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SVG = "{http://www.w3.org/2000/svg}"
picture = pytest.mark.parametrize("name", pictures.PICTURES)
POINT = re.compile(r"(-?\d+) (-?\d+)")


def parse(name):
    return ElementTree.fromstring((DOCS / name).read_text())


def glyphs(svg):
    """id -> points of each letter's outline. A curve lies within its control points."""
    defs = svg.find(f"{SVG}defs")
    return {g.get("id"): [(int(x), int(y)) for x, y in POINT.findall(g.get("d"))] for g in defs.findall(f"{SVG}path")}


def extent(label, letters):
    """(left, top, right, bottom) of a label as it is drawn."""
    x, y, scale = map(float, re.fullmatch(r"translate\((\S+) (\S+)\) scale\((\S+)\)", label.get("transform")).groups())
    points = [
        (x + scale * (px + int(use.get("x", 0))), y + scale * py)
        for use in label.findall(f"{SVG}use")
        for px, py in letters[use.get("href")[1:]]
    ]
    xs, ys = zip(*points)
    return min(xs), min(ys), max(xs), max(ys)


def labels(svg):
    """[(text, extent, rectangle of its box or of the whole picture)]."""
    letters = glyphs(svg)
    whole = tuple(map(float, svg.get("viewBox").split()))
    found = []
    for element in svg.findall(f"{SVG}g"):
        rectangle = element.find(f"{SVG}rect")
        inside = whole if rectangle is None else tuple(float(rectangle.get(k)) for k in ("x", "y", "width", "height"))
        for one in [element] if rectangle is None else element.findall(f"{SVG}g"):
            found.append((one.get("data-text"), extent(one, letters), inside))
    return found


@picture
def test_every_label_lies_in_its_box(name):
    found = labels(parse(name))
    assert found
    for text, (left, top, right, bottom), (x, y, width, height) in found:
        assert x + 2 <= left and right <= x + width - 2, text
        assert y <= top and bottom <= y + height, text


@picture
def test_no_label_lies_over_another(name):
    found = labels(parse(name))
    for n, (text, (left, top, right, bottom), _) in enumerate(found):
        for other, (left2, top2, right2, bottom2), _ in found[:n]:
            assert right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top, (text, other)


@picture
def test_no_viewer_can_choose_the_font(name):
    text = (DOCS / name).read_text()
    assert "<text" not in text and "font-" not in text
    assert len(text) < 150_000


@picture
def test_the_file_shows_what_the_script_draws(name):
    svg, drawn = parse(name), pictures.PICTURES[name]()
    assert [text for text, *_ in labels(svg)] == drawn.labels, "run: python scripts/pictures.py"
    boxes = [g for g in svg.findall(f"{SVG}g") if g.find(f"{SVG}rect") is not None]
    assert [g.get("data-box") for g in boxes] == [box.block for box in drawn.boxes]
    assert svg.find(f"{SVG}title").text == drawn.title and svg.find(f"{SVG}desc").text == drawn.text
    assert svg.get("role") == "img"


@picture
def test_drawing_again_gives_the_same_bytes(name):
    assert pictures.PICTURES[name]().svg() == (DOCS / name).read_text(), "run: python scripts/pictures.py"


@picture
def test_every_colour_has_a_dark_side(name):
    svg = parse(name)
    light, _, dark = svg.find(f"{SVG}style").text.partition("prefers-color-scheme: dark")
    for colour in {element.get("class") for element in svg.iter()} - {None}:
        assert f".{colour} " in light and f".{colour} " in dark, colour


@picture
def test_a_page_shows_it(name):
    assert [page.name for page in DOCS.glob("*.md") if f"]({name})" in page.read_text()]


def test_a_label_too_wide_for_its_box_is_refused():
    d = drawing.Drawing(200, 100, "", "")
    d.box(10, 10, 60, 40, "plain", "a long label")
    with pytest.raises(ValueError, match="'a long label' takes"):
        d.svg()


def rows(heading):
    """Rows of the first table behind a heading of docs/architecture.md, as lists of cells."""
    text = (DOCS / "architecture.md").read_text().partition(f"\n{heading}\n")[2]
    lines = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_block_of_the_drawing_is_in_the_table_with_its_file():
    named = {name.strip().lower(): row for row in rows("## Parts") for name in row[0].split(",")}
    for box in pictures.architecture().boxes:
        assert box.block.lower() in named, box.labels[0].text
        assert box.block.lower() in box.labels[0].text.lower(), "a box is called what the table calls it"
        assert re.findall(r"`[\w/]+\.py`", named[box.block.lower()][-1]), box.block


def test_every_part_has_a_file_or_folder_that_exists():
    for *_, source in rows("## Parts"):
        paths = re.findall(r"`([^`]+)`", source)
        assert paths and [path for path in paths if not (ROOT / path).exists()] == []
    for folder, *_ in rows("### Rooms"):
        assert (ROOT / folder.strip("`")).is_dir()
