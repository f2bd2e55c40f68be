"""Every entry of `bad_inputs`, as the user that runs the tests and, where that is root, as an ordinary one."""

import os
import pwd
import shutil
import tempfile
from pathlib import Path

import pytest

from hayate.verif.cli.bad_inputs import CASES, GOLDEN, Case, contents, fill
from hayate.verif.cli.zygote import Zygote
from hayate.verif.models.tiny import write_tiny_model

USERS = {"self": None} if os.geteuid() else {"root": 0, "ordinary": pwd.getpwnam("nobody").pw_uid}


@pytest.fixture(scope="module")
def place():
    """A folder that any user can read, with what the cases find in theirs; not pytest's, which is closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="hayate-bad-"))
    folder.chmod(0o777)
    model = write_tiny_model(folder / "tiny")
    (folder / "work").mkdir()
    (folder / "work").chmod(0o777)
    fill(folder / "work", model)
    yield folder / "work"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def zygote():
    process = Zygote()
    yield process
    process.close()


@pytest.mark.parametrize(
    ("name", "user"), [(n, u) for n, case in CASES.items() for u in USERS if u != "root" or not case.ordinary]
)
def test_bad_input(name, user, place, zygote):
    case = CASES[name]
    before = contents(place)
    how = {**case.how, "folder": str(place / case.how.get("folder", "."))}
    ended = zygote.run(case.arguments, uid=USERS[user], **how)
    assert (ended.code, "Traceback" in ended.err) == (case.code, False), ended
    if case.how.get("stderr", "file") == "file" and case.code == 2:
        line = ended.err.splitlines()[-1]
        assert [part for part in case.parts if part not in line] == [], ended.err
        assert case.usage or [text for text in ended.err.splitlines() if text.startswith("hayate: ")] == [line]
    assert contents(place) == before


GOOD = {
    "golden in a closed folder, without a home": Case(
        (*GOLDEN, "--model", "../model"),
        how={"folder": "closed", "environment": {"HOME": None, "USER": None, "LOGNAME": None}},
    ),
    "golden into a device": Case((*GOLDEN, "--json", "null.fst")),
    "ASCII": Case(
        ("generate", "größe", "--model", "py-pico", "--backend", "golden", "--tokens", "2"),
        ("gr\\xf6\\xdfe",),
        how={"encoding": "ascii"},
    ),
    "output closed": Case(GOLDEN, how={"stdout": "closed"}),
    "all closed": Case(GOLDEN, how={"stdin": "closed", "stdout": "closed", "stderr": "closed"}),
    "no folder for what is temporary": Case(GOLDEN, how={"environment": {"TMPDIR": "/nowhere"}}),
    "columns that are no number": Case(("config", "show"), ("tiles",), how={"environment": {"COLUMNS": "x"}}),
}


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("name", GOOD)
def test_surroundings_in_which_it_works(name, user, place, zygote):
    case = GOOD[name]
    before = contents(place)
    ended = zygote.run(
        case.arguments, uid=USERS[user], **{**case.how, "folder": str(place / case.how.get("folder", "."))}
    )
    assert ended.code == 0 and "Traceback" not in ended.err, ended
    assert [part for part in case.parts if part not in ended.out] == [], ended
    assert contents(place) == before
