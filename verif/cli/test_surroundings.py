"""A run on the simulated chip in surroundings that would break it: variables, modules and folders of the caller's, no
room.
"""

import json
import os
import resource
import subprocess
import sys

import pytest

from hayate.verif.sim.test_environment import STEERING

COMMAND = [sys.executable, "-m", "hayate.cli", "generate", "ab", "--config", "unit", "--tokens", "2", "--ignore-eos"]
#: Python's, a package's, cocotb's: whatever is imported by the name of one of them ends the program.
SHADOWS = ("random", "select", "tempfile", "numpy", "typer", "cocotb", "pytest", "find_libpython")


def limited():
    """At most 4 KiB in a file, as on a disk that is nearly full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 10, 4 << 10))


@pytest.fixture
def built(builds, cli, tiny, work):
    """What a plain run says; the machine is built then."""
    outcome = cli(*COMMAND[3:], "--model", tiny, "--json", "plain.json")
    assert outcome.code == 0, outcome.err
    return json.loads((work / "plain.json").read_text())


def test_nothing_of_the_caller_s_environment_changes_a_result(built, tiny, work, tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for name in SHADOWS:
        (foreign / f"{name}.py").write_text(f"raise SystemExit('took the caller\\'s {name}')\n")
    # What steers the Python of the program itself is the caller's to say.
    variables = {k: v for k, v in STEERING.items() if k not in ("PYTHONWARNINGS", "PYTHONOPTIMIZE")}
    done = subprocess.run(
        [*COMMAND, "--model", tiny, "--json", "r.json"],
        capture_output=True,
        text=True,
        env={**os.environ, **variables, "PYTHONPATH": str(foreign)},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((work / "r.json").read_text())
    for result in built, found:
        result.pop("seconds")
        result["cycles"].pop("per_second")
    assert found == built and found["golden_match"] is True


def test_no_room_for_a_simulation(built, tiny, work):
    done = subprocess.run(
        [*COMMAND, "--model", tiny, "--json", "r.json"], capture_output=True, text=True, preexec_fn=limited
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert "cannot be written (File too large); set TMPDIR to a folder with more room" in line
    assert not (work / "r.json").exists()


def test_no_room_for_a_build(tiny, work):
    """What a program of a build then says is not the reason; the full disk is."""
    (work / "build" / "sim" / "text").mkdir(parents=True)
    done = subprocess.run([*COMMAND, "--model", tiny], capture_output=True, text=True, preexec_fn=limited)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "build/sim" in done.stderr.splitlines()[-1] and "File too large" in done.stderr.splitlines()[-1]
    assert [p for p in work.rglob("*") if p.is_file()] == []
