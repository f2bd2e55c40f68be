"""Draws the block diagrams of the documents: docs/architecture.svg, pass.svg, draft.svg and planes.svg.

    pip install -e '.[docs]'
    python scripts/pictures.py

What is drawn stands here; how letters and boxes become SVG, in `drawing`. A test holds the files to what is drawn here,
and each label to its box.
"""

from pathlib import Path

from hayate.scripts.drawing import Drawing

ROOT = Path(__file__).resolve().parent.parent


def architecture():
    """Package, ring and the inside of a tile. The blocks are those of the table in docs/architecture.md."""
    d = Drawing(
        1100,
        644,
        "Hayate: package, ring and the inside of a tile",
        "Top: a host port and the conductor at ring stop 0, and a one-way ring through tiles 0 to T minus 1. Bottom: "
        "one tile. Flits from the ring fill activation buffer, stage buffer and channels. The sequencer feeds two "
        "queues. The matrix engine streams weights from banks into processing elements, and normalizers round the "
        "sums into the landing buffer. The vector engine turns landed rows into FP16 results, which the sender puts "
        "back on the ring.",
    )
    d.box(10, 10, 1080, 182, "outer", head=("Package",), block="package", radius=10)
    d.box(30, 50, 190, 52, "control", "Host port", "AXI4-Lite · AXI4 · irq", block="host port")
    d.box(260, 50, 210, 52, "control", "Conductor", "passes, tokens, governor", block="conductor")
    d.line("M220 76H260", ends="<>")
    for x, width, name in ((520, 110, "tile 0"), (670, 110, "tile 1"), (870, 110, "tile T−1")):
        d.box(x, 50, width, 52, "plain", name, block="tile")
    d.label(825, 81, "· · ·", "ink", 14, middle=True)
    for path in ("M470 76H518", "M630 76H668", "M780 76H802", "M848 76H868", "M980 76H1040V136H365V105"):
        d.line(path, "ring")
    d.label(385, 126, "one-way ring: FP16 activations, exact sums, maxima, candidates, SYNC and control", "ringtext")
    d.label(385, 156, "every stop copies every flit that comes by", "ringtext")
    d.label(385, 178, "beside the ring, straight to pins: a logits trace port of each tile, and fault")

    note = "all tiles run the same program, once per pass, over their own rows"
    d.box(10, 214, 1080, 420, "outer", head=("Inside a tile", (140, note)), block="tile", radius=10)
    lines = ("program, descriptors,", "loops LAYER · HEAD · J,", "addresses resolved here")
    d.box(30, 256, 210, 104, "control", "Sequencer", *lines, block="sequencer")
    d.box(30, 500, 210, 52, "plain", "Ring stop", "filters by tile range", block="ring stop")
    d.box(30, 564, 210, 52, "plain", "Counters", "every cycle has one cause", block="counters")
    d.line("M12 526H28", "ring")

    what = (150, "GEMV · FETCH · KVW · M_WAIT")
    d.box(290, 256, 510, 166, "matrix", head=("Matrix engine", what), block="matrix engine", radius=8)
    d.box(306, 300, 150, 104, "buffer", "Activation buffer", "M lanes × 64 bits", block="activation buffer")
    for x in (496, 548, 600):
        d.box(x, 300, 44, 44, "plain", "bank", block="bank", radius=4)
        d.box(x, 360, 44, 44, "plain", "PE", block="PE", radius=4)
        d.line(f"M{x + 22} 344V358")
    d.line("M456 382H494")
    d.box(672, 300, 114, 104, "plain", "M normalizers", "96-bit sum", "→ FP32, once", block="normalizer")
    d.line("M644 382H670")
    d.box(850, 300, 220, 62, "buffer", "Landing buffer", "rows of M × FP32", block="landing buffer")
    d.line("M786 330H848")

    what = (300, "RUN · SENDSUM · SENDMAX · SENDCAND · V_WAIT")
    d.box(290, 456, 780, 164, "vector", head=("Vector engine", what), block="vector engine", radius=8)
    d.box(306, 500, 140, 46, "buffer", "Stage buffer", block="stage buffer")
    d.box(306, 558, 140, 46, "buffer", "Collected sums", block="collected sums")
    d.box(486, 500, 150, 104, "plain", "M FP32 lanes", "mul add max exp", "1/x 1/√x → fp16", block="FP32 lane")
    d.box(676, 500, 176, 46, "buffer", "Vector memory", block="vector memory")
    d.box(676, 558, 176, 46, "plain", "Reducers", "exact sums, max, argmax", block="reducer")
    d.box(886, 500, 168, 104, "plain", "Sender", "quads of FP16 → flits", block="sender")
    for path in ("M446 523H484", "M446 581H484", "M636 581H674", "M852 581H884", "M960 362V440H561V498"):
        d.line(path)
    d.line("M636 523H674", ends="<>")
    d.line("M1054 552H1086", "ring")

    d.line("M240 300H288")
    d.label(245, 292, "queue")
    d.line("M190 360V474H288")
    d.label(196, 430, "queue")
    d.line("M240 526H262V390H304")
    d.line("M262 526V523H304")
    d.line("M262 526V581H304")
    return d


def one_pass():
    """A pass, from the conductor's plan to its tokens; time goes to the right."""
    d = Drawing(
        1100,
        422,
        "A pass, in time",
        "Time goes to the right. The conductor plans the nodes of the pass and announces them on the ring: COMMIT and "
        "LANE words, and START. Every tile runs the program once and reads its weights once, for all nodes: embedding, "
        "the layers, the output matrix. Between the steps results go round the ring. Each tile then sends a candidate "
        "for every wanted node. The conductor keeps the best of them, the verifier walks the tree, tokens go to the "
        "host, and the next pass is planned.",
    )
    lanes = ((40, "Conductor", 92), (142, "Ring", 66), (222, "Tile 0", 74), (338, "Tile T−1", 74))
    for y, name, height in lanes:
        d.box(10, y, 1080, height, "outer", radius=8)
        d.label(24, y + height / 2 + 5, name, "ink", 14, bold=True)
    d.label(60, 322, "· · ·", "ink", 14, middle=True)
    d.label(120, 24, "time")
    d.line("M156 20H1080")
    d.box(120, 52, 120, 68, "control", "Plan", "root and drafts,", "a KV slot each")
    d.box(262, 52, 150, 68, "control", "Announce", "COMMIT, a LANE a", "node, then START")
    d.box(760, 52, 140, 68, "control", "Candidates", "best of all tiles,", "for each node")
    d.box(918, 52, 162, 68, "control", "Verify", "walk the tree; tokens", "to host; next pass")
    d.line("M240 86H260")
    d.line("M900 86H916")
    for y in (222, 338):
        d.box(350, y + 10, 92, 54, "matrix", "Embedding", "row to all")
        d.box(456, y + 10, 92, 54, "matrix", "Layer 0", "weights once")
        d.label(566, y + 42, "· · ·", "ink", 14)
        d.box(606, y + 10, 92, 54, "matrix", "Layer L−1", "weights once")
        d.box(712, y + 10, 92, 54, "matrix", "Output", "logits")
        d.box(818, y + 10, 104, 54, "vector", "Best row", "for each node")
        for x in (442, 548, 591, 698, 804):
            d.line(f"M{x} {y + 37}H{x + 13}")
    d.line("M337 120V375H348", "ring")
    d.line("M337 259H348", "ring")
    d.label(440, 162, "FP16 rows, exact sums, maxima go round;", "ringtext")
    d.label(440, 179, "a tile waits for data, never for a barrier", "ringtext")
    for x in (502, 652, 758):
        d.line(f"M{x} 230V188", "ring", "<>")
    d.line("M870 232V140H830V122", "ring")
    d.line("M922 375H938V140H868", "ring", "")
    d.label(946, 170, "SYNC of all tiles:", "ringtext")
    d.label(946, 187, "the pass is over", "ringtext")
    return d


def draft():
    """A draft: the tree of a pass, what the model chose, and what becomes of the KV slots."""
    d = Drawing(
        1100,
        432,
        "A draft: tree, accepted path and KV slots",
        "A pass with four nodes. The root, in, has slot 7. Its first draft, range, has slot 8 and a child, an opening "
        "bracket, with slot 9; its second draft, items, has slot 10. The model chose range at the root, and there is "
        "such a child. It chose len at range, and there is none. So root and range are accepted, range and len are "
        "emitted, and len is the next root. Slots 7 and 8 are committed by COMMIT words. Slots 9 and 10 go back to the "
        "free list, and the next pass takes them first.",
    )
    d.box(
        10,
        10,
        530,
        250,
        "outer",
        head=("Tree of a pass", (160, "M = 4; each node has a position and a slot")),
        radius=8,
    )
    d.box(560, 10, 530, 250, "outer", head=("What the model chose", (220, "the verifier's walk")), radius=8)
    nodes = ((30, 110, "in", "root, slot 7"), (206, 70, "range", "draft, slot 8"), (382, 70, "(", "draft, slot 9"))
    for left, mark in ((0, False), (550, True)):
        for x, y, token, slot in (*nodes, (206, 166, "items", "sibling, slot 10")):
            good = token in ("in", "range")
            colour = ("vector" if good else "plain") if mark else "control" if token == "in" else "buffer"
            d.box(left + x, y, 140, 56, colour, token, slot, dashed=mark and not good)
        for start, end in (((170, 132), (204, 98)), ((170, 144), (204, 194)), ((346, 98), (380, 98))):
            d.line(f"M{left + start[0]} {start[1]}L{left + end[0]} {end[1]}", dashed=mark and end != (204, 98))
    d.label(580, 190, "chosen here: range")
    d.label(580, 208, "a child has it")
    d.label(756, 142, "chosen here: len; no child has it")
    d.label(30, 246, "A node sees the text and its ancestors, not its siblings.")
    d.label(580, 246, "Emitted: range, len. len is the root of the next pass.")
    d.box(10, 276, 1080, 146, "outer", head=("KV slots",), radius=8)
    d.label(24, 348, "after the pass", "ink")
    d.label(24, 398, "next pass", "ink")
    for n in range(11):
        x = 150 + 82 * n
        d.label(x + 37, 318, f"{n}", middle=True)
        late = ("text" if n < 7 else "commit" if n < 9 else "free", "text" if n < 9 else "len" if n == 9 else "draft")
        for y, what in zip((326, 376), late):
            colour = {"text": "plain", "commit": "vector", "free": "plain", "len": "control", "draft": "buffer"}[what]
            d.box(x, y, 74, 36, colour, what, dashed=what == "free", radius=4)
    return d


def planes():
    """Where an INT8 or INT4 matrix goes through the sum that FP16 uses, too."""
    d = Drawing(
        1100,
        372,
        "INT8 and INT4 through the exact sum",
        "From left to right. A weight of eight bits is cut into a hi nibble and a lo nibble, which lie in two planes. "
        "A scale of FP16 serves a group of 32, 64 or 128 elements. Activations, 32 at a time, become bytes with one "
        "exponent. In the processing element four nibbles times four bytes are summed, the hi plane's sum times 16. "
        "The sum times the scale is put on the grid of two to the minus 48 by the exponents. The accumulator of 96 "
        "bits adds exactly, and the normalizer rounds once to FP32. An FP16 matrix goes the same way: its weight and "
        "activation take the places of scale and sum.",
    )
    d.box(10, 10, 290, 352, "outer", head=("Bank",), radius=8)
    d.box(26, 46, 258, 56, "plain", "w8 = 16·hi + lo", "from −119 to 119; two signed nibbles")
    d.box(26, 122, 124, 72, "matrix", "hi plane", "alone: INT4")
    d.box(160, 122, 124, 72, "matrix", "lo plane", "with it: INT8")
    d.line("M88 102V120")
    d.line("M222 102V120")
    d.box(26, 210, 258, 56, "buffer", "scale words", "four FP16 scales, a group each")
    d.box(26, 286, 258, 60, "plain", "FP16 copy", "4 weights a word")
    d.box(330, 10, 214, 352, "outer", head=("Activation buffer",), radius=8)
    d.box(346, 122, 182, 72, "matrix", "MXINT8", "32 bytes q = x·2^(6 − e)", "with one exponent e")
    d.box(346, 286, 182, 60, "plain", "FP16 vector", "as it came by the ring")
    d.line("M437 286V196")
    d.box(574, 10, 300, 352, "outer", head=("PE", (44, "M lanes, exact")), radius=8)
    d.box(590, 122, 268, 72, "matrix", "Σ of 4 nibbles × 4 bytes", "16 · Σ hi·q, then Σ lo·q", "of the same elements")
    d.box(590, 220, 268, 46, "buffer", "× significand of the scale", "the multiplier that FP16 uses")
    d.box(590, 296, 268, 50, "vector", "96-bit sum", "in units of 2^−48, by the exponents")
    d.line("M724 194V218")
    d.line("M724 266V294")
    d.line("M150 158H160", ends="")
    d.line("M284 158H316V88H560V142H588")
    d.line("M528 172H588")
    d.line("M284 238H588")
    d.line("M284 328H316V252H588", dashed=True)
    d.line("M528 316H560V259H588", dashed=True)
    d.box(904, 10, 186, 352, "outer", head=("Normalizer",), radius=8)
    d.box(920, 286, 154, 60, "vector", "→ FP32", "rounded once, × 2^s")
    d.line("M858 321H918")
    d.label(920, 84, "solid: integers")
    d.label(920, 104, "dashed: FP16, whose")
    d.label(920, 122, "weight and activation")
    d.label(920, 140, "take the places of")
    d.label(920, 158, "scale and sum")
    return d


#: File in docs/ -> what draws it.
PICTURES = {"architecture.svg": architecture, "pass.svg": one_pass, "draft.svg": draft, "planes.svg": planes}


def main():
    for name, draw in PICTURES.items():
        (ROOT / "docs" / name).write_text(draw().svg())


if __name__ == "__main__":
    main()
