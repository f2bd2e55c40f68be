"""What commands write goes where the user says: through links, into devices and pipes; whole or not at all."""

import json
import os
import threading

import pytest

from hayate.output import require_outputs, write_texts
from hayate.rtl.contract.errors import HayateError
from hayate.sim import folders

SHOW = ("config", "show", "unit", "--json")


def tiles(path):
    return json.loads(path.read_text())["tiles"]


@pytest.mark.parametrize("command", ["config", "compile"])
def test_a_link_stays_and_its_file_is_written(command, cli, tiny, work):
    (work / "there").write_text("mine")
    (work / "link").symlink_to("there")
    (work / "dangling").symlink_to("new/file")
    for name in "link", "dangling":
        arguments = [*SHOW, name] if command == "config" else ["compile", tiny, "--config", "unit", "-o", name]
        assert cli(*arguments).code == 0
        assert (work / name).is_symlink() and (work / name).stat().st_size > 100
    assert os.readlink(work / "link") == "there" and not (work / "there").is_symlink()


def test_devices_take_the_bytes(cli, tiny, work):
    """A device of one's own: replacing it would be seen."""
    (work / "null").symlink_to("/dev/null")
    for arguments in (
        [*SHOW, "null"],
        [*SHOW, "/dev/null"],
        ["compile", tiny, "--config", "unit", "-o", "null", "--json", "/dev/null"],
    ):
        assert cli(*arguments).code == 0
        assert (work / "null").is_symlink() and not os.path.isfile("/dev/null")


@pytest.mark.parametrize("command", ["config", "compile"])
def test_a_pipe_takes_the_bytes(command, cli, tiny, work):
    os.mkfifo(work / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((work / "pipe").read_bytes()), daemon=True)
    reader.start()
    arguments = [*SHOW, "pipe"] if command == "config" else ["compile", tiny, "--config", "unit", "-o", "pipe"]
    assert cli(*arguments).code == 0
    assert (work / "pipe").is_fifo()  # else nobody writes what the reader waits for
    reader.join()
    assert len(read[0]) > 100


def test_permissions_are_kept(cli, work):
    (work / "r.json").write_text("mine")
    (work / "r.json").chmod(0o640)
    assert cli(*SHOW, "r.json").code == 0
    assert tiles(work / "r.json") == 2 and (work / "r.json").stat().st_mode & 0o777 == 0o640


def test_a_name_as_long_as_names_can_be(cli, work):
    name = "x" * 250 + ".json"
    assert cli(*SHOW, name).code == 0 and tiles(work / name) == 2


def test_a_failure_leaves_nothing(work, monkeypatch):
    """Of several files the first is as it was when the last cannot be written, and folders made for them are gone."""
    (work / "a").write_text("mine")
    texts = {work / "a": "new", work / "deep" / "er" / "b": "new", work / "full": "new"}
    (work / "full").symlink_to("/dev/full")
    with pytest.raises(HayateError, match="full: cannot be written .No space left"):
        write_texts(texts, "-o")
    assert (work / "a").read_text() == "mine" and sorted(p.name for p in work.iterdir()) == ["a", "full"]


def test_devices_may_be_named_twice(work):
    require_outputs([("-o", "/dev/null"), ("--json", "/dev/null")])


def test_a_hard_link_is_not_an_input(tiny, work):
    """Replacing one name of a file leaves the other."""
    os.link(tiny / "config.json", work / "r.json")
    require_outputs([("--json", work / "r.json")], [tiny])


@pytest.mark.parametrize("name", ["a b", "a'b", "a$b", "a\nb"])
def test_folders_that_make_cannot_build_in(name, refused, tiny, work, monkeypatch):
    folder = work / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    refused("generate", "ab", "--model", tiny, "--config", "unit", parts=["make cannot build", "--sim icarus"])


def test_folders_that_make_can_build_in():
    folders.require_name("/home/größe/a-b_c.d+e@f,g=h:i~j%k")


def test_no_temporary_folder(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(HayateError, match="temporary folder: cannot be made .*set TMPDIR"), folders.scratch():
        pass


def test_a_full_temporary_folder_is_why_a_run_failed(monkeypatch):
    """Whatever the simulation then says of itself."""
    monkeypatch.setattr(folders, "_full", lambda folder: OSError(28, "No space left on device"))
    refusal = pytest.raises(HayateError, match="a file of the simulation cannot be written .No space left")
    with refusal, folders.scratch():
        raise AssertionError("position 3: 12 logits")
