"""The wheel holds what a user can import or call and nothing of the tests; the source distribution is the checkout."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hayate.sim.structure import DATA, FOLDERS

ROOT = Path(__file__).resolve().parent.parent


def build(folder, scratch):
    """(files of the wheel by name, names of the source distribution's files) of the checkout at `folder`."""
    command = [
        sys.executable,
        "setup.py",
        "-q",
        "egg_info",
        "--egg-base",
        scratch,
        "build",
        "--build-base",
        scratch / "build",
        "bdist_wheel",
        "--bdist-dir",
        scratch / "bdist",
        "--dist-dir",
        scratch,
    ]
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    listed = (scratch / "hayate.egg-info" / "SOURCES.txt").read_text().split("\n")
    return files, {name for name in listed if name and ".egg-info/" not in name}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """What `build` makes of this checkout, in a folder where an earlier build has left a module that is no more."""
    scratch = tmp_path_factory.mktemp("built")
    stale = scratch / "build" / "lib" / "hayate" / "stale.py"
    stale.parent.mkdir(parents=True)
    stale.write_text("")
    return build(ROOT, scratch)


def in_wheel(path):
    """Name in the wheel of a file of the checkout."""
    folder, *rest = path.relative_to(ROOT).parts
    return "/".join([*({**FOLDERS, "models": "hayate.shipped"}[folder].split(".")), *rest])


def test_the_wheel_holds_the_product_and_nothing_of_the_tests(built):
    """What a user can call or import, and the data that it reads."""
    product = [folder for folder in FOLDERS if folder not in ("verif", "scripts")]
    expected = {
        in_wheel(p)
        for folder in product
        for p in (ROOT / folder).rglob("*")
        if p.is_file() and (p.suffix in {".py", *DATA} or p.name == "py.typed")
    }
    assert {
        "hayate/cli/main.py",
        "hayate/py.typed",
        "hayate/golden/tile/matrix.py",
        "hayate/sim/machine/generation_run.py",
        "hayate/rtl/memory/bank_macro.v",
    } <= expected
    files = {n for n in built[0] if not n.startswith("hayate/shipped/") and ".dist-info/" not in n}
    assert (sorted(expected - files), sorted(files - expected)) == ([], [])


def test_the_wheel_holds_the_models(built):
    expected = {in_wheel(p): p.read_bytes() for p in (ROOT / "models").rglob("*") if p.is_file()}
    assert {name: text for name, text in built[0].items() if name.startswith("hayate/shipped/")} == expected
    assert {f"hayate/shipped/{model}/config.json" for model in ("py-nano", "py-mini", "py-pico")} <= set(expected)


def test_the_source_distribution_is_the_checkout_and_gives_the_same_wheel(built, tmp_path):
    files, names = built
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        tracked = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
        assert [name for name in tracked if name not in names] == []
    assert [name for name in names if {".venv", "build", "__pycache__"} & set(name.split("/"))] == []
    for name in names:
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / "source" / name)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert build(tmp_path / "source", scratch)[0] == files
