"""Address generator against the layout: every word of every shape and format, in order, under any release of landing
rows.
"""

import pytest

from hayate.rtl.contract import precision
from hayate.rtl.contract.isa import ACT_BITS, BANK_BITS, Op
from hayate.rtl.contract.precision import Format
from hayate.verif.bench import Bench, params, rng
from hayate.verif.bench.reset import resets
from hayate.verif.tile.matrix.planes import some_grids

LANDING = 32
TAG = ("measure", "wanted", "planes", "grids")


INTEGER = ("nibbles", "scales", "wide", "low", "left", "select")
OF_TAG = ("difference", "nested", *TAG)
MEASURED = ("subtract", "first_low", *OF_TAG)


def component(banks, nested=True, governor=True):
    from hayate.rtl.tile.matrix.gemv import GemvIssue

    return GemvIssue(banks, LANDING, nested=nested, governor=governor)


BENCH = Bench(component, params=[{"banks": 1}, {"banks": 2}, {"banks": 8}, {"banks": 32}])
ALONE = Bench(component, params=[{"banks": 4, "nested": False, "governor": False}, {"banks": 2, "governor": False}])


def integer_row(e, fmt, hi, lo):
    """Words of a row of nibbles: what each shows beside its address."""
    k, group = 4 * e["length"], precision.GROUPS[e["group"]]
    words = []
    for kind, at in precision.hi_layout(k, group):
        if kind == "scale":
            words.append({"scales": 1, "addr": hi})
        else:
            i = at // precision.WORD_NIBBLES
            both = {
                "nibbles": 1,
                "wide": 1,
                "act": e["act"] + 4 * i,
                "select": at // group % precision.WORD_SCALES,
                "left": min(8, e["length"] - 8 * (i // 2)),
            }
            words.append({**both, "low": 0, "addr": hi})
            if fmt == Format.INT8:
                words.append({**both, "low": 1, "addr": lo + i})
        hi += 1
    words[0]["first_low"] = 1
    assert len(words) == precision.stream_words(k, group, fmt)
    return words


def rows_of(e, group):
    """Streams of one row group: the words of each."""
    lo = e["lo_base"] + group * precision.plane_words(4 * e["length"])
    plain = [{"addr": e["base"] + group * e["words"] + w, "act": e["act"] + w} for w in range(e["length"])]
    if e["dual"]:
        less = integer_row(e, Format.INT8, e["hi_base"] + group * e["pitch"], lo)
        return [plain, [{**word, "subtract": 1, "difference": 1, "useful": 0, "nested": 1} for word in less]]
    if e["format"] == Format.FP16:
        return [plain]
    return [[{**word, "nested": 1} for word in integer_row(e, e["format"], e["base"] + group * e["words"], lo)]]


def expected(e, banks):
    """Fields of each word; those that are of no interest for a word are absent."""
    words = []
    none = dict.fromkeys(
        ("nibbles", "scales", "wide", "subtract", "first_low", "difference", "nested", "first", "last"), 0
    )
    tag = {name: e[name] for name in TAG}
    for group, first in enumerate(range(0, e["rows"], banks)):
        rows = min(banks, e["rows"] - first)
        useful = min(banks, max(0, e["live"] - first))
        common = {**none, **tag, "mask": (1 << rows) - 1, "s_in": e["s_in"] & 255, "kv": e["kv"], "useful": useful}
        streams = rows_of(e, group)
        for stream in streams:
            stream[-1]["last"] = 1
            words += [{**common, **word} for word in stream]
        words[-sum(map(len, streams))]["first"] = 1
    for word in words:
        word |= {
            name: word[name] % (1 << bits) for name, bits in (("addr", BANK_BITS), ("act", ACT_BITS)) if name in word
        }
    return words


def random_entry(random, banks, nested, governor):
    rows, length = random.randrange(1, 3 * banks + 1), random.choice([1, 1, 2, 3, 9, 40, random.randrange(1, 100)])
    fmt = random.choice([Format.FP16, Format.FP16, Format.INT8, Format.INT4] if nested else [Format.FP16])
    if fmt == Format.FP16 and random.getrandbits(1):
        length = min(length, 3)  # so that groups wait for the drain and the landing buffer
    pitch = precision.hi_pitch(4 * length, precision.GROUPS[group := random.randrange(3)]) + random.choice([0, 3])
    e = {
        "op": Op.GEMV,
        "base": random.getrandbits(BANK_BITS),
        "words": length + random.choice([0, 5]) if fmt == Format.FP16 else pitch,
        "length": length,
        "rows": rows,
        "live": random.choice([0, rows, random.randrange(rows + 1)]),
        "act": random.getrandbits(ACT_BITS),
        "s_in": random.randrange(-40, 41),
        "kv": random.getrandbits(1),
        "format": fmt,
        "group": group,
        "lo_base": random.getrandbits(BANK_BITS),
        "hi_base": random.getrandbits(BANK_BITS),
        "pitch": pitch,
        "dual": int(governor and fmt == Format.FP16 and random.getrandbits(1)),
        "measure": random.getrandbits(1),
        "wanted": random.getrandbits(1),
        "planes": random.getrandbits(10),
        "grids": some_grids(random),
    }
    if fmt != Format.FP16 or e["dual"]:
        e["act"] &= ~7
    return e


@BENCH.test()
@resets(within=300)
async def walks_every_word_in_order(dut):
    """Entries are loaded as soon as, or some time after, the one before ends; landing rows come back at random
    times.
    """
    await walk(dut)


@ALONE.test()
@resets(within=300)
async def walks_every_word_without_a_governor(dut):
    """What is not built is not there to be looked at; all else is the same."""
    await walk(dut)


async def walk(dut):
    from hayate.rtl.tile.interfaces import EnergyTag, pe_word_layout
    from hayate.rtl.tile.queues import matrix_entry_layout
    from hayate.verif.bench.drivers import clock, settle, start

    random, banks = rng(), params()["banks"]
    nested, governor = params().get("nested", True), params().get("governor", True)
    layout, of_pes = matrix_entry_layout(nested, governor), pe_word_layout(nested, governor)
    hidden = (() if nested else INTEGER) + (() if governor else MEASURED)
    await start(dut)
    words, out, drain, finished, loads, differences = [], 0, 0, 0, 0, 0
    stalls = {"landing": 0, "drain": 0}
    active = False
    hold = 0.5
    for cycle in range(12000):
        if cycle % 200 == 0:
            hold = random.choice([0.0, 0.5, 0.9, 0.99])
        release = sum(random.random() >= hold for _ in range(min(out, 3)))
        dut.freed.value = release
        dut.load.value = 0
        await settle()
        assert int(dut.active.value) == bool(words) == active
        fire, ending = int(dut.fire.value), int(dut.ending.value)
        assert ending == (fire and len(words) == 1)
        if active:
            last, lands = words[0]["last"], not words[0]["difference"]
            rows = words[0]["mask"].bit_length()
            full = last and lands and LANDING - out < rows
            assert int(dut.wait_landing.value) == full
            assert int(dut.wait_drain.value) == (last and not full and drain > 0)
            assert fire == (not last or (not full and drain == 0))
            stalls["landing"] += full
            stalls["drain"] += int(dut.wait_drain.value)
        drain = max(drain - 1, 0)
        if fire:
            word = words.pop(0)
            word = {name: value for name, value in word.items() if name not in hidden}
            tag = EnergyTag.from_bits(int(dut.tag.value)) if governor else None
            of_pe = of_pes.from_bits(int(dut.word.value))
            shown = {
                n: of_pe[n] if n in of_pes.members else int(getattr(dut, n).value) for n in word if n not in OF_TAG
            }
            shown |= {n: tag[n] for n in word if n in OF_TAG}
            assert shown == word
            if last:
                out += rows if lands else 0
                differences += not lands
                drain = rows - 1
                finished += 1
        if (ending or not active) and random.random() < 0.7:
            e = random_entry(random, banks, nested, governor)
            known = {name: value for name, value in e.items() if name in layout.members}
            dut.entry.value = layout.const({**known, "s_in": e["s_in"] & 255}).as_bits()
            dut.load.value = 1
            words = expected(e, banks)
            loads += 1
        active = bool(words)
        await clock(dut)
        out -= release
    assert loads > 100 and finished > 200 and (differences > 30 if governor else differences == 0)
    assert stalls["landing"] > 50 and (stalls["drain"] > 50 or banks == 1)


def test_sizes_are_checked():
    from hayate.rtl.tile.matrix.gemv import GemvIssue

    with pytest.raises(ValueError, match="banks must be a power of two, not 3"):
        GemvIssue(3, 32)
    with pytest.raises(ValueError, match="a landing buffer of 4 rows cannot take a group of 8"):
        GemvIssue(8, 4)
    with pytest.raises(ValueError, match="a governor needs nested planes"):
        GemvIssue(8, 16, nested=False)
