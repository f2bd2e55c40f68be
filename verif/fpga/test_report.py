"""What is read from the tools' reports, and what is held against it; the flow itself is `make synth`."""

import copy
import json
import sys

import pytest

from hayate.fpga import report, synth
from hayate.rtl.contract.config import FORMATS, Config
from hayate.rtl.contract.errors import HayateError

STAT = {
    "modules": {
        "\\tile_dut": {
            "num_cells_by_type": {
                "$scopeinfo": 5,
                "LUT4": 100,
                "CCU2C": 10,
                "TRELLIS_DPR16X4": 3,
                "TRELLIS_FF": 70,
                "MULT18X18D": 16,
                "DP16KD": 8,
                "PDPW16KD": 2,
            }
        }
    }
}

LOG = r"""
No latch inferred for signal `\tile.\a' from process `\tile.$proc$tile.v:1$1'.
  creating $macc model for $flatten\alu.$add$tile.v:7$3 ($add).
mapping memory tile_dut.matrix.bank_0.macro.mem via $__DP16KD_
mapping memory tile_dut.matrix.bank_1.macro.mem via $__PDPW16KD_
mapping memory tile_dut.stop.transit via $__TRELLIS_DPR16X4_
using FF mapping for memory tile_dut.small
"""

ROUTE = {
    "fmax": {"clk": {"achieved": 71.234, "constraint": 75.0}},
    "critical_paths": [
        {
            "from": "posedge clk",
            "to": "<async>",
            "path": [{"type": "routing", "delay": 99.0, "to": {"cell": "pin", "port": "A"}}],
        },
        {
            "from": "posedge clk",
            "to": "posedge clk",
            "path": [
                {"type": "clk-to-q", "delay": 0.525, "to": {"cell": "a_FF", "port": "Q"}},
                {"type": "setup", "delay": 0.0, "to": {"cell": "b_FF", "port": "DI"}},
            ],
        },
    ],
}

RESULT = {
    "device": "LFE5U-85F-6BG381",
    "design": {"banks": 2, "lanes": 1, "bank_depth": 64},
    "tile": {"lut": 9000, "ff": 4000, "mult18x18d": 12, "dp16kd": 20, "latches": 0},
    "pe": {"lut": 1400, "ff": 700, "mult18x18d": 4, "dp16kd": 0, "latches": 0},
    "lut_per_pe": 4500,
    "fmax_mhz": 66.0,
    "placements": {"1": 58.5, "2": 66.0},
}


def changed(*path, to):
    """RESULT with one figure changed."""
    result = copy.deepcopy(RESULT)
    inner = result
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return result


def test_area_counts_carries_and_rams_as_luts():
    luts = {"lut": 100 + 20 + 18, "lut_logic": 100, "lut_carry": 20, "lut_ram": 18}
    assert report.area(STAT, "tile_dut") == {**luts, "ff": 70, "mult18x18d": 16, "dp16kd": 10, "latches": 0}


def test_area_refuses_what_is_not_mapped():
    stat = copy.deepcopy(STAT)
    stat["modules"]["\\tile_dut"]["num_cells_by_type"]["$mul"] = 1
    with pytest.raises(ValueError, match=r"unmapped: \$mul"):
        report.area(stat, "tile_dut")
    with pytest.raises(ValueError, match="no module other"):
        report.area(STAT, "other")


@pytest.mark.parametrize("cell", ["$_DLATCH_P_", "TRELLIS_LATCH"])
def test_area_counts_latches(cell):
    stat = copy.deepcopy(STAT)
    stat["modules"]["\\tile_dut"]["num_cells_by_type"][cell] = 3
    assert report.area(stat, "tile_dut")["latches"] == 3


def test_log_of_a_clean_run():
    log = report.SynthesisLog.parse(LOG)
    assert (log.latches, log.soft_products) == ([], [])
    assert log.banks() == {0: "DP16KD", 1: "PDPW16KD"}
    assert log.memories["tile_dut.stop.transit"] == "TRELLIS_DPR16X4" and log.memories["tile_dut.small"] == "FF"
    assert report.violations(RESULT, log) == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (
            "Latch inferred for signal `\\tile.\\bad' from process `\\tile.$proc$tile.v:1$1': $auto$x\n",
            "latches: \\tile.\\bad",
        ),
        (
            "  creating $macc model for $flatten\\counters.$mul$tile.v:3$7 ($mul).\n",
            "multiplications outside DSP blocks: $flatten\\counters",
        ),
        ("mapping memory tile_dut.matrix.bank_1.macro.mem via $__TRELLIS_DPR16X4_\n", "banks outside block RAM: 1"),
        ("using FF mapping for memory tile_dut.matrix.bank_0.macro.mem\n", "banks outside block RAM: 0"),
    ],
)
def test_log_of_a_bad_run(line, complaint):
    (found,) = report.violations(RESULT, report.SynthesisLog.parse(LOG + line))
    assert found.startswith(complaint)


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("tile", "latches"), 2, "latches: 2"),
        (("tile", "mult18x18d"), 7, "7 multipliers cannot hold 2 PEs of 4"),
        (("pe", "mult18x18d"), 0, "12 multipliers cannot hold 2 PEs of 0"),
        (("pe", "lut"), 5251, "the PE alone takes 5251 LUT per PE, more than 5250"),
        (("lut_per_pe",), 5251, "the tile takes 5251 LUT per PE, more than 5250"),
        (("fmax_mhz",), 62.99, "62.99 MHz after routing, less than 63"),
        (("placements", "1"), 57.99, "57.99 MHz with seed 1, less than 58"),
        (("placements", "1"), None, "not routed with seed 1"),
    ],
)
def test_limits(path, value, complaint):
    assert report.violations(changed(*path, to=value), report.SynthesisLog.parse(LOG)) == [complaint]


def test_a_tile_with_integer_formats_has_no_limits():
    log = report.SynthesisLog.parse(LOG)
    large = {**changed("lut_per_pe", to=report.LUT_LIMIT_PER_PE + 1), "fmax_mhz": 49.0, "placements": {"1": 49.0}}
    assert report.violations(large, log, limits=False) == [] and len(report.violations(large, log)) == 3


@pytest.mark.parametrize("formats", FORMATS)
def test_what_is_synthesized_is_what_a_configuration_builds(formats):
    config = Config(formats=formats)
    assert synth.FORMATS[formats] == {"nested": config.nested, "governor": config.governor}


@pytest.mark.parametrize(
    ("speeds", "enough", "tried", "best"),
    [
        ((63.0, 70.0, 71.0), True, 1, 63.0),
        ((58.3, 65.8, 70.0), True, 2, 65.8),
        ((58.0, 62.0, 59.0), True, 3, 62.0),
        ((63.0, 70.0, 64.0), False, 3, 70.0),
        ((None, 58.0, 66.0), True, 3, 66.0),
    ],
)
def test_placements_are_tried_until_one_is_fast_enough(speeds, enough, tried, best, monkeypatch, tmp_path):
    """Or all of them; and all that were tried are told."""
    monkeypatch.setattr(synth, "synthesize", lambda folder, name, *_: (RESULT[name], None))
    monkeypatch.setattr(synth, "tool", lambda name, native: name)
    monkeypatch.setattr(synth, "version", lambda path: "1")
    monkeypatch.setattr(synth, "place", lambda folder, native, seed: (speeds[seed - 1], [{"ns": speeds[seed - 1]}]))
    monkeypatch.setattr(report, "summary", lambda path: path[0]["ns"])
    result, _ = synth.measure(tmp_path, False, enough=enough)
    assert result["placements"] == {str(n + 1): speeds[n] for n in range(tried)}
    assert result["fmax_mhz"] == best == result["placements"][str(result["seed"])] == result["path"]
    assert json.loads((tmp_path / "critical_path.json").read_text()) == [{"ns": best}]
    assert all(f"{speed or 'not routed'} with seed" in report.table(result)[-1] for speed in speeds[:tried])


def test_what_cannot_be_routed_at_all_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(synth, "synthesize", lambda folder, name, *_: (RESULT[name], None))
    monkeypatch.setattr(synth, "place", lambda folder, native, seed: (None, []))
    with pytest.raises(HayateError, match=r"no placement can be routed, of seeds \[1, 2, 3\]"):
        synth.measure(tmp_path, False)


def test_a_router_that_does_not_end_is_ended(tmp_path):
    """Wires in each other's way become fewer, or more again; a few of them may stay for long."""

    def log(*overused):
        return "".join(
            f"Info:     iter={n} wires=9 overused={w} overuse=9 archfail=NA\n" for n, w in enumerate(overused)
        )

    falls, rises = [40_000 // (n + 1) for n in range(60)], [*range(9000, 4000, -250), *range(4000, 6000, 250)]
    assert not report.hopeless(log(*falls)) and not report.hopeless(log(*falls, 1, 3, 1, 2)) and not report.hopeless("")
    assert report.hopeless(log(*rises)) and not report.hopeless(log(*rises[:22])) and report.hopeless(log(*[1] * 401))
    assert not synth.run(tmp_path, "net.json", sys.executable, "-c", "while True: pass", hopeless=lambda: True)


@pytest.mark.parametrize(
    ("path", "within", "beyond"),
    [
        (("tile", "lut"), 9270, 9271),
        (("pe", "ff"), 721, 722),
        (("tile", "dp16kd"), 20, 21),
        (("pe", "mult18x18d"), 4, 5),
        (("fmax_mhz",), 59.41, 59.39),
    ],
)
def test_regressions_have_tolerances(path, within, beyond):
    assert report.regressions(changed(*path, to=within), RESULT) == []
    (found,) = report.regressions(changed(*path, to=beyond), RESULT)
    assert str(beyond) in found


def test_another_design_has_no_baseline():
    assert "another design" in report.regressions(changed("design", "banks", to=4), RESULT)[0]


def test_fmax_and_critical_path():
    speed, path = report.fmax(ROUTE)
    assert speed == 71.234
    assert path == [{"kind": "clk-to-q", "ns": 0.53, "to": "a_FF.Q"}, {"kind": "setup", "ns": 0.0, "to": "b_FF.DI"}]
    with pytest.raises(ValueError, match="one clock expected"):
        report.fmax({"fmax": {}})


@pytest.mark.parametrize("formats", FORMATS)
def test_the_recorded_baselines_hold_the_limits(formats):
    baseline = json.loads(synth.BASELINES[formats].read_text())
    assert baseline["design"] == {**synth.SIZES, **synth.FORMATS[formats], "sampling": False}
    assert baseline["device"] == synth.DEVICE and [*baseline["placements"]] == [str(seed) for seed in synth.SEEDS]
    everything = "".join(f"mapping memory bank_{b}.macro.mem via $__DP16KD_\n" for b in range(synth.SIZES["banks"]))
    assert report.violations(baseline, report.SynthesisLog.parse(everything), limits=formats == "fp16") == []
    assert report.regressions(baseline, baseline) == []


def test_a_path_in_short():
    """Ends without what the tools put behind names; a wire is no level of logic."""
    path = [
        {"kind": "clk-to-q", "ns": 0.5, "to": "dut.a.store.0.1.DO"},
        {"kind": "routing", "ns": 2.0, "to": "dut.a.b_LUT4_Z_D_LUT4_Z.D"},
        {"kind": "logic", "ns": 0.25, "to": "dut.a.b_LUT4_Z_D_LUT4_Z.F"},
        {"kind": "routing", "ns": 0.1, "to": "dut.c.held.count_TRELLIS_FF_Q_10.CE"},
        {"kind": "setup", "ns": 0.0, "to": "dut.c.held.count_TRELLIS_FF_Q_10.CE"},
    ]
    assert report.summary(path) == {
        "from": "dut.a.store",
        "to": "dut.c.held.count",
        "levels": 1,
        "logic_ns": 0.75,
        "routing_ns": 2.1,
    }
    assert report.summary([]) is None


def test_a_tool_that_leaves_no_file_is_an_error(tmp_path):
    with pytest.raises(HayateError, match="net.json not made: nothing to say"):
        synth.run(tmp_path, "net.json", sys.executable, "-c", "print('nothing to say')")
    with pytest.raises(HayateError, match="exit code 3"):
        synth.run(tmp_path, "net.json", sys.executable, "-c", "open('net.json', 'w'); raise SystemExit(3)")
    synth.run(tmp_path, "net.json", sys.executable, "-c", "open('net.json', 'w')")


def test_tools_from_pypi_do_not_see_the_temporary_folder(tmp_path):
    with pytest.raises(HayateError, match="choose another folder"):
        synth.work_folder(tmp_path / "work", native=False)
    assert synth.work_folder(tmp_path / "work", native=True).is_dir()


def test_missing_native_tool(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HayateError, match="--native: nextpnr-ecp5: is not on PATH"):
        synth.tool("nextpnr-ecp5", native=True)
