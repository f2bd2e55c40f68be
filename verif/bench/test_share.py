"""How tests are shared out among workers and slices."""

from types import SimpleNamespace

import pytest

from hayate.scripts.durations import merge
from hayate.verif.bench import Bench
from hayate.verif.bench.plugin import pytest_pycollect_makeitem
from hayate.verif.bench.share import BASELINE, Durations, parse_slice, pytest_collection_modifyitems, scopes, sliced


@pytest.fixture
def chosen(tmp_path, request, monkeypatch):
    """Function: what is left, in order, of the items of two tests of a bench and of four files of plain tests."""
    bench = Bench(lambda n: "", params=[{"n": n} for n in range(4)])

    async def one(dut):
        pass

    async def two(dut):
        pass

    sim = request.config.getoption("--sim") or "verilator"
    module = request.node.getparent(pytest.Module)
    made = [pytest_pycollect_makeitem(module, test.__name__, bench.test(sims=[sim])(test)) for test in (one, two)]
    benches = [item for items in made for item in items]
    plain = [SimpleNamespace(nodeid=f"test_plain{n % 4}.py::test_plain[{n // 4}]") for n in range(20)]
    path = benches[0].nodeid.partition("::")[0]
    Durations({f"{path}::one[n{n}-{sim}]": 700.0 if n == 1 else 1.0 for n in range(4)}).write(tmp_path / BASELINE)
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")

    def modified(option):
        items, left = [*benches, *plain], []
        hook = SimpleNamespace(pytest_deselected=lambda items: left.extend(items))
        pytest_collection_modifyitems(SimpleNamespace(rootpath=tmp_path, getoption=lambda _: option, hook=hook), items)
        assert len(items) + len(left) == 28
        return [item.nodeid.removeprefix(path).replace(f"-{sim}]", "]") for item in items]

    return modified


def test_slices_are_the_whole(chosen):
    """Each test is in one slice, for several numbers of slices, and tests of one build are in the same."""
    whole = chosen(None)
    assert whole[:2] == ["::one[n1]", "::two[n1]"], "the longest first"
    assert [name.partition("::")[0] for name in whole[2:22]] == [
        f"test_plain{n}.py" for n in range(4) for _ in range(5)
    ]
    assert whole[22:24] == ["::one[n0]", "::two[n0]"]
    for count in (1, 2, 3, 7):
        parts = [chosen(f"{k}/{count}") for k in range(1, count + 1)]
        assert sorted(name for part in parts for name in part) == sorted(whole)
        for part in parts:
            assert {name.replace("::one", "::two") for name in part if "::one" in name} == {
                name for name in part if "::two" in name
            }
            assert len({name.partition("::")[0] for name in part if "plain" in name}) * 5 == sum(
                "plain" in name for name in part
            )
    assert chosen("2/3") == whole[:2], "what takes longest is in a slice by itself, beside the one that is busy anyway"


def test_slices_are_balanced_and_the_same_on_every_call():
    units = {f"unit {n}": float(n % 7 + 1) for n in range(100)}
    for count in (1, 2, 5, 9):
        slices = sliced(units, count, first=10)
        assert sorted(name for part in slices for name in part) == sorted(units)
        loads = [sum(units[name] for name in part) + 10 * (n == 0) for n, part in enumerate(slices)]
        assert max(loads) - min(loads) <= 1
        assert slices == sliced(dict(reversed(units.items())), count, first=10)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "-1/3", "a/b"])
def test_other_slices_are_refused(text):
    with pytest.raises(pytest.UsageError, match="give K/N"):
        parse_slice(text)
    assert parse_slice("2/3") == (2, 3)


def test_scopes_keep_builds_together_and_begin_with_the_longest():
    """A long file without benches is divided, a short one is not; of an unknown test its function's others tell."""
    durations = Durations(
        {"a.py::t[1-icarus]": 9.0, "b.py::long[1]": 140.0, "b.py::long[2]": 130.0, "c.py::short": 1.0}
    )
    ids = [
        "c.py::short",
        "c.py::other",
        "a.py::t[1-icarus]",
        "a.py::u[1-icarus]",
        "a.py::t[verilator]",
        "b.py::long[1]",
        "b.py::long[3]",
    ]
    assert [*scopes(ids, durations).items()] == [
        ("b.py::long[1]", ["b.py::long[1]"]),
        ("b.py::long[3]", ["b.py::long[3]"]),
        ("a.py[1-icarus]", ["a.py::t[1-icarus]", "a.py::u[1-icarus]"]),
        ("a.py[verilator]", ["a.py::t[verilator]"]),
        ("c.py", ["c.py::short", "c.py::other"]),
    ]
    assert durations.of("b.py::long[3]") == 135


def test_durations_are_kept(tmp_path):
    """What takes no time is not: the file stays small."""
    recorded = Durations({"a.py::t[x::y]": 2.04, "a.py::u": 0.1, "b.py::v": 3.0})
    recorded.write(tmp_path / "folder" / "durations.json")
    assert Durations.read(tmp_path / "folder" / "durations.json").recorded == {"a.py::t[x::y]": 2.0, "b.py::v": 3.0}
    assert Durations.read(tmp_path / "absent").recorded == {}


def test_what_was_recorded_is_merged_into_the_baseline(tmp_path):
    (tmp_path / "a.py").touch()
    Durations({"a.py::t": 1.0, "a.py::u": 2.0, "gone.py::v": 3.0}).write(tmp_path / BASELINE)
    Durations({"a.py::u": 4.0}).write(tmp_path / "night.json")
    merge(tmp_path, [tmp_path / "night.json"])
    assert Durations.read(tmp_path / BASELINE).recorded == {"a.py::t": 1.0, "a.py::u": 4.0}
