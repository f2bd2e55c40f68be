"""SVG drawings of boxes, arrows and labels that look the same in every viewer.

Letters are drawn as paths, each once, so no viewer puts another font in their place. A label that leaves its box is an
error when the drawing is made. Colours follow the reader's background. Equal drawings give equal bytes.
"""

from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path

#: class -> (light, dark) declarations.
COLOURS = {
    "ink": ("fill: #1b2430", "fill: #e7edf3"),
    "soft": ("fill: #55606e", "fill: #a9b4c0"),
    "ringtext": ("fill: #b03a0a", "fill: #fb8a52"),
    "outer": ("fill: #f4f6f8; stroke: #8a96a3", "fill: #151b22; stroke: #5d6975"),
    "plain": ("fill: #ffffff; stroke: #55606e", "fill: #1d252e; stroke: #8a96a3"),
    "control": ("fill: #e8e2f7; stroke: #6b4fb3", "fill: #33294f; stroke: #a78bfa"),
    "matrix": ("fill: #dcecfb; stroke: #1f6fb5", "fill: #17334d; stroke: #5ba8e8"),
    "vector": ("fill: #ddf3e4; stroke: #23824a", "fill: #173a27; stroke: #4fc07f"),
    "buffer": ("fill: #fdf0d5; stroke: #a8730a", "fill: #40310f; stroke: #e0aa3e"),
    "wire": ("stroke: #55606e; fill: none", "stroke: #a9b4c0; fill: none"),
    "ring": ("stroke: #c2410c; fill: none; stroke-width: 2.6", "stroke: #fb8a52; fill: none; stroke-width: 2.6"),
    "tip": ("fill: #55606e; stroke: none", "fill: #a9b4c0; stroke: none"),
    "ringtip": ("fill: #c2410c; stroke: none", "fill: #fb8a52; stroke: none"),
}
UNITS = 1000  # of a glyph to the size of its text
PAD = 4  # between a label and the edge of its box, at least
SIZE, SMALL = 14, 12
#: matplotlib's code of a piece of an outline -> its command in SVG, and how many points it takes.
_COMMANDS = {1: ("M", 1), 2: ("L", 1), 3: ("Q", 2), 4: ("C", 3), 79: ("Z", 1)}


class Font:
    """Glyphs of the font that comes with matplotlib: `width` of a text at size 1, and outlines."""

    def __init__(self, bold=False):
        import matplotlib
        from matplotlib.ft2font import FT2Font

        name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
        self._face = FT2Font(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name))
        self._face.set_size(UNITS, 72)

    @cache  # noqa: B019  (there are two fonts)
    def glyph(self, letter):
        """(advance, outline as path data) of a letter, in `UNITS`, y down."""
        from matplotlib.ft2font import LoadFlags

        if not self._face.get_char_index(ord(letter)):
            raise ValueError(f"the font has no {letter!r}")
        found = self._face.load_char(ord(letter), flags=LoadFlags.NO_HINTING)
        points, codes = self._face.get_path()
        parts, at = [], 0
        while at < len(codes):
            command, count = _COMMANDS[int(codes[at])]
            ends = " ".join(f"{round(x)} {round(-y)}" for x, y in points[at : at + count])
            parts.append(command + (ends if command != "Z" else ""))
            at += count
        return round(found.linearHoriAdvance / 65536), "".join(parts)

    def width(self, text):
        return sum(self.glyph(letter)[0] for letter in text) / UNITS


@cache
def font(bold):
    return Font(bold)


@dataclass(frozen=True)
class Label:
    """Text at (x, y), the baseline's left end or middle. colour: a class."""

    text: str
    x: float
    y: float
    colour: str = "ink"
    size: float = SIZE
    bold: bool = False
    middle: bool = False


@dataclass(frozen=True)
class Box:
    """A rectangle with its labels. block: what it is in the documents' tables, "" where it is no block."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    labels: tuple
    block: str = ""
    radius: float = 6
    dashed: bool = False


@dataclass(frozen=True)
class Line:
    """A line; `ends` says which of its ends have tips: "", ">", "<>"."""

    data: str
    colour: str = "wire"
    ends: str = ">"
    dashed: bool = False


@dataclass
class Drawing:
    """Boxes, lines and labels on a surface of width x height; later ones lie over earlier ones.

    title, text: what a reader who cannot see it is told.
    """

    width: float
    height: float
    title: str
    text: str
    shapes: list = field(default_factory=list)

    def box(self, x, y, width, height, colour, *lines, head=(), block="", **more):
        """A box with centred lines: the first one in ink, the others small. head: (text, soft text behind it) at the
        top left instead.
        """
        labels = []
        if head:
            labels.append(Label(head[0], x + 14, y + 24, bold=True, size=15))
            labels += [Label(text, x + at, y + 24, "soft", SMALL) for at, text in head[1:]]
        count = sum(1.25 * (SMALL if n else SIZE) for n in range(len(lines)))
        at = y + (height - count) / 2 - 2
        for n, line in enumerate(lines):
            size = SMALL if n else SIZE
            at += 1.25 * size
            labels.append(Label(line, x + width / 2, at, "soft" if n else "ink", size, middle=True))
        self.shapes.append(Box(x, y, width, height, colour, tuple(labels), block, **more))

    def label(self, x, y, text, colour="soft", size=SMALL, **more):
        self.shapes.append(Label(text, x, y, colour, size, **more))

    def line(self, data, colour="wire", ends=">", **more):
        self.shapes.append(Line(data, colour, ends, **more))

    @property
    def boxes(self):
        return [shape for shape in self.shapes if isinstance(shape, Box)]

    @property
    def labels(self):
        """Texts in the order in which they are drawn."""
        return [
            label.text
            for shape in self.shapes
            for label in (shape.labels if isinstance(shape, Box) else [shape] if isinstance(shape, Label) else [])
        ]

    def svg(self):
        """The drawing. ValueError for a label that is wider than the room it has."""
        glyphs: dict[tuple, str] = {}
        body = [self._shape(shape, glyphs) for shape in self.shapes]
        light = " ".join(f".{name} {{ {both[0]} }}" for name, both in COLOURS.items())
        dark = " ".join(f".{name} {{ {both[1]} }}" for name, both in COLOURS.items())
        defs = [f'<path id="{name}" d="{font(bold).glyph(letter)[1]}"/>' for (letter, bold), name in glyphs.items()]
        tips = [
            f'<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="{size}" markerHeight="{size}" '
            f'orient="auto-start-reverse" markerUnits="userSpaceOnUse"><path class="{name}" d="M0 0L10 5L0 10z"/>'
            "</marker>"
            for name, size in (("tip", 10), ("ringtip", 13))
        ]
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" role="img" '
                'aria-labelledby="title desc">',
                f'<title id="title">{escape(self.title)}</title>',
                f'<desc id="desc">{escape(self.text)}</desc>',
                f"<style>{light} .wire {{ stroke-width: 1.5 }}",
                f"@media (prefers-color-scheme: dark) {{ {dark} }}</style>",
                "<defs>",
                *tips,
                *defs,
                "</defs>",
                *body,
                "</svg>\n",
            ]
        )

    def _shape(self, shape, glyphs):
        if isinstance(shape, Label):
            return self._label(shape, glyphs, (0, 0, self.width, self.height))
        dashes = ' stroke-dasharray="5 4"' if shape.dashed else ""
        if isinstance(shape, Line):
            tip = "ringtip" if shape.colour == "ring" else "tip"
            start = f' marker-start="url(#{tip})"' if "<" in shape.ends else ""
            end = f' marker-end="url(#{tip})"' if ">" in shape.ends else ""
            return f'<path class="{shape.colour}" d="{shape.data}"{dashes}{start}{end}/>'
        room = shape.x, shape.y, shape.x + shape.width, shape.y + shape.height
        inside = "".join(self._label(label, glyphs, room) for label in shape.labels)
        return (
            f'<g data-box="{escape(shape.block)}"><rect class="{shape.colour}" x="{shape.x:g}" y="{shape.y:g}" '
            f'width="{shape.width:g}" height="{shape.height:g}" rx="{shape.radius:g}"{dashes}/>{inside}</g>'
        )

    def _label(self, label, glyphs, room):
        width = font(label.bold).width(label.text) * label.size
        x = label.x - width / 2 if label.middle else label.x
        if not (
            room[0] + PAD <= x and x + width <= room[2] - PAD and room[1] <= label.y - label.size < label.y <= room[3]
        ):
            raise ValueError(f"{label.text!r} takes {width:.0f} from {x:.0f} on, its room is {room}")
        uses, at = [], 0
        for letter in label.text:
            name = glyphs.setdefault((letter, label.bold), f"g{len(glyphs)}")
            if letter != " ":
                uses.append(f'<use href="#{name}" x="{at}"/>' if at else f'<use href="#{name}"/>')
            at += font(label.bold).glyph(letter)[0]
        return (
            f'<g class="{label.colour}" data-text="{escape(label.text)}" '
            f'transform="translate({x:.1f} {label.y:g}) scale({label.size / UNITS:g})">{"".join(uses)}</g>'
        )
