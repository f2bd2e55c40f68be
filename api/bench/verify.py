"""`hayate bench verify`: cycles of a whole decode pass with N positions over one with one position, at the same place
in the same text.

py-mini continues a text that repeats itself, so that the n-gram drafter fills every pass and is always right: a pass
that emits N tokens had N positions. Its cycles are those from the first token of the pass before to its own first
token: drafting, pass, verification.
"""

from rich.table import Table

from hayate import models
from hayate.bench.setup import opened, require_tokens
from hayate.compiler.shares import Geometry
from hayate.golden.conductor.generate import check_request
from hayate.output import write_json
from hayate.progress import Steps
from hayate.rtl.contract.errors import HayateError

TEXT = "def main(sys.argv[0], vars, vars, vars, vars,"
TOKENS = 24
WIDTHS = (1, 2, 3, 4, 8)  # positions of a pass
GAP = 256  # cycles; tokens of one pass come closer together than that, passes take longer


def passes(result, prompt):
    """[(position of the root, tokens emitted, cycles)] of the decode passes. AssertionError where the chip counts other
    ones.
    """
    groups: list[list[int]] = []
    for index, cycle in enumerate(result.token_cycles):
        if not groups or cycle - result.token_cycles[index - 1] > GAP:
            groups.append([cycle, index, 0])
        groups[-1][2] += 1
    sizes = [size for _, _, size in groups[1:]]
    if {n: sizes.count(n + 1) for n in result.drafting.lengths} != result.drafting.lengths:
        raise AssertionError(f"passes emitted {sizes} tokens, and the chip accepted {result.drafting.lengths}")
    return [(prompt + at - 1, size, cycle - before) for (before, *_), (cycle, at, size) in zip(groups, groups[1:])]


def full(found):
    """{N: [(position of the root, cycles)]} of the passes of N positions that were all right; `found`: N ->
    `passes`.
    """
    return {n: [(root, cycles) for root, size, cycles in rows if size == n] for n, rows in found.items()}


def ratios(found):
    """{N: mean cycles of the passes of N positions over those of one position with the same roots}; `found`: N ->
    `passes`.
    """
    single, result = {root: cycles for root, _, cycles in found[1]}, {}
    for n, rows in full(found).items():
        if not rows:
            raise HayateError(
                "--model",
                "",
                f"no pass was filled with {n} positions",
                "use a model that repeats itself, such as py-mini",
            )
        result[str(n)] = round(sum(own for _, own in rows) / sum(single[root] for root, _ in rows), 4)
    return result


def measure(image, config, prompt, tokens, precision, sim="verilator", say=None, root=None):
    """N -> `passes` for those of `WIDTHS` that a pass holds, all with the same tokens."""
    from hayate.backends.rtl import generate_rtl

    found, plain = {}, None
    for n in [n for n in WIDTHS if n <= config.lanes]:
        drafter = {"speculate": "ngram", "nodes": n - 1, "branch": 0} if n > 1 else {"speculate": "off"}
        result = generate_rtl(
            image, config, prompt, tokens, sim=sim, precision=precision, say=say or Steps(), root=root, **drafter
        )
        plain = plain or result.tokens
        if result.tokens != plain or result.fault:
            raise AssertionError(f"{n} positions: {result.tokens}, one position: {plain}, fault: {result.fault}")
        found[n] = passes(result, len(prompt))
    return found


def run(model, config, overrides, tokens, precisions, sim, json):
    """Measure, print the table and write the JSON: {ratio_demo: {N: ratio}, passes: {N: [[position of the root,
    cycles]]}} of the first precision, those of others under their name.

    Raises HayateError.
    """
    names = [part.strip() for part in precisions.split(",")]
    for name in names:
        if name not in ("fp16", "int8", "int4"):
            raise HayateError("--precision", "", f"{name!r} is not known", "use some of fp16,int8,int4")
    require_tokens(tokens)
    image, sizes, people, say = opened(model, config, overrides, json)
    prompt = models.Text(image).encode(TEXT)
    check_request(image, [*prompt, *[0] * tokens], tokens, Geometry.of(image.model, sizes).slots, sizes.lanes)
    found = {name: measure(image, sizes, prompt, tokens, name, sim, say) for name in names}
    out = Table("positions of a pass", *(f"{name}: cycles (simulated)" for name in names), box=None)
    scores = {
        name: {"ratio_demo": ratios(rows), "passes": {str(n): own for n, own in full(rows).items()}}
        for name, rows in found.items()
    }
    for n in scores[names[0]]["passes"]:
        cells = []
        for score in scores.values():
            cycles = [own for _, own in score["passes"][n]]
            cells.append(f"{sum(cycles) / len(cycles):,.0f}, x {score['ratio_demo'][n]:.3f}")
        out.add_row(n, *cells)
    people.print(out)
    if json:
        first, *others = names
        setup = {
            "model": image.model["name"],
            "config": sizes.name,
            "precision": first,
            "prompt": len(prompt),
            "tokens": tokens,
            "positions": len(prompt) + tokens,
        }
        write_json({**scores[first], **{name: scores[name] for name in others}, "setup": setup}, json)
