"""A copied or moved checkout runs its own code, or says that it would not."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from setuptools.command.editable_wheel import _finder_template as finder_template

from hayate.cli.environment import require_own
from hayate.rtl.contract.errors import HayateError
from hayate.scripts import movable

ROOT = Path(__file__).resolve().parents[2]
# What pip writes for the command line: for a path without a space, and with one.
PROGRAM = """import sys
from hayate.cli.main import main
if __name__ == '__main__':
    sys.exit(main())
"""
SHORT = "#!{python}\n# -*- coding: utf-8 -*-\n"
LONG = "#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n# -*- coding: utf-8 -*-\n"
SHELLS = [shell for shell in ("sh", "bash", "zsh") if shutil.which(shell)]


def checkout(root, shebang):
    """A checkout of few lines at `root`: a command line that prints a version, installed editable in a .venv.

    Returns the .venv's folder of packages.
    """
    (root / "scripts").mkdir(parents=True)
    (root / "api" / "cli").mkdir(parents=True)
    (root / "api" / "__init__.py").touch()
    shutil.copyfile(ROOT / "scripts" / "movable.py", root / "scripts" / "movable.py")
    (root / "api" / "version.py").write_text("__version__ = 'old'\n")
    (root / "api" / "cli" / "main.py").write_text("import hayate.version as v\ndef main():\n    print(v.__version__)\n")
    venv.create(root / ".venv", symlinks=True, with_pip=False)
    (packages,) = (root / ".venv" / "lib").glob("python*/site-packages")
    finder = finder_template("x", {"hayate": str(root / "api")}, {})
    (packages / "__editable___hayate_0_1_0_finder.py").write_text(finder)
    (packages / "__editable__.hayate-0.1.0.pth").write_text("import __editable___hayate_0_1_0_finder as f; f.install()")
    program = root / ".venv" / "bin" / "hayate"
    program.write_text(shebang.format(python=root / ".venv" / "bin" / "python") + PROGRAM)
    program.chmod(0o755)
    return packages


def output(*command, cwd=None):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


@pytest.fixture(params=["short", "with a space"])
def copied(request, tmp_path):
    """(old checkout, its copy, in which the version is another one), each with a .venv that `movable` has treated."""
    old, new = tmp_path / request.param / "old", tmp_path / request.param / "new"
    checkout(old, SHORT if request.param == "short" else LONG)
    for _ in range(2):  # the second time changes nothing
        assert output(old / ".venv" / "bin" / "python", "-I", old / "scripts" / "movable.py") == ""
    shutil.copytree(old, new, symlinks=True)
    (new / "api" / "version.py").write_text("__version__ = 'new'\n")
    return old, new


def test_a_copied_environment_runs_the_copys_code(copied, tmp_path):
    old, new = copied
    assert [output(folder / ".venv" / "bin" / "hayate") for folder in copied] == ["old", "new"]
    assert output(new / ".venv" / "bin" / "python", "-c", "import hayate.version as v; print(v.__version__)") == "new"
    (tmp_path / "hayate").symlink_to(new / ".venv" / "bin" / "hayate")
    assert output(tmp_path / "hayate") == "new"
    shutil.move(new, tmp_path / "moved")
    shutil.rmtree(old)
    assert output(tmp_path / "moved" / ".venv" / "bin" / "hayate") == "new"


@pytest.mark.parametrize("shell", SHELLS)
def test_an_activated_copy_runs_the_copys_code(copied, shell, tmp_path):
    old, new = copied
    here, clean = ". .venv/bin/activate", "PATH=/usr/bin:/bin"
    assert output(shell, "-c", f"{clean}; {here}; hayate", cwd=new) == "new"
    assert output(shell, "-c", f"{clean}; ({here}; hayate)", cwd=new) == "new"
    assert output(shell, "-c", f"{clean}; {here}; deactivate; command -v hayate", cwd=new) == ""
    first = f"PATH='{old}/.venv/bin:/usr/bin:/bin'"
    assert output(shell, "-c", f"{first}; . '{new}/.venv/bin/activate'; hayate", cwd=tmp_path) == "new"
    assert output(shell, "-c", f". '{old}/.venv/bin/activate'; hayate", cwd=new) == "old"


def test_an_installation_that_setuptools_writes_otherwise_is_refused(tmp_path):
    packages = checkout(tmp_path / "old", SHORT)
    (finder,) = packages.glob("*finder.py")
    finder.write_text(finder.read_text().replace("MAPPING: dict", "TABLE: dict"))
    with pytest.raises(SystemExit, match="setuptools"):
        movable.editable(packages, tmp_path / "old")
    finder.unlink()
    with pytest.raises(SystemExit, match="0 editable installations"):
        movable.editable(packages, tmp_path / "old")


def test_make_sets_up_an_environment_that_came_from_elsewhere(tmp_path):
    """`make --question` says by its status whether there is something to do."""
    status = {}
    for folder in ("old", "new"):
        (tmp_path / folder / ".venv").mkdir(parents=True)
        for name in ("requirements.lock", "pyproject.toml", "setup.py"):
            (tmp_path / folder / name).touch()
        shutil.copyfile(ROOT / "Makefile", tmp_path / folder / "Makefile")
        (tmp_path / folder / ".venv" / "ready").write_text(f"{tmp_path / 'old'}\n")
        command = ["make", "--question", ".venv/ready"]
        status[folder] = subprocess.run(command, cwd=tmp_path / folder, check=False).returncode
    assert status == {"old": 0, "new": 1}


def environment(folder):
    folder.mkdir(parents=True)
    (folder / "pyvenv.cfg").touch()
    return folder


def test_an_environment_set_up_by_hand_is_refused_where_it_was_copied(tmp_path):
    """Its program runs the old environment's Python; its own Python finds the old checkout's code."""
    old, new = (environment(tmp_path / name / ".venv") for name in ("old", "new"))
    for name in ("old", "new"):
        (tmp_path / name / "scripts").mkdir()
        (tmp_path / name / "api").mkdir()
        (tmp_path / name / "scripts" / "movable.py").touch()
    code = tmp_path / "old" / "api"
    require_own(old / "bin" / "hayate", old, code)
    with pytest.raises(HayateError, match="new/.venv: .*installed in .*old/.venv; run 'make' in .*new"):
        require_own(new / "bin" / "hayate", old, code)
    with pytest.raises(HayateError, match="new/.venv: .*code in .*old; run 'make' in .*new"):
        require_own(new / "bin" / "hayate", new, code)
    # Its own code; a wheel in a checkout's .venv; an editable installation elsewhere; no environment at all.
    require_own(new / "bin" / "hayate", new, tmp_path / "new" / "api")
    require_own(new / "bin" / "hayate", new, new / "lib" / "hayate")
    away = environment(tmp_path / "away")
    require_own(away / "bin" / "hayate", away, code)
    require_own("/usr/bin/hayate", "/usr", code)


def test_the_command_line_refuses_a_copied_environment(tmp_path):
    new = environment(tmp_path / "new" / ".venv")
    (new / "bin").mkdir()
    (new / "bin" / "hayate").write_text(PROGRAM)
    command = [sys.executable, new / "bin" / "hayate", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"hayate: {new}: has been copied or moved") and done.stderr.count("\n") == 1


@pytest.mark.nightly
def test_a_copy_of_this_checkout(tmp_path):
    """With its whole environment: as it is, after `make`, and moved then."""
    assert Path(sys.prefix) == ROOT / ".venv", "run it as `make nightly` does, in the checkout's environment"
    copy = tmp_path / "copy"
    left_out = {str(ROOT): {"build", ".git"}}
    shutil.copytree(ROOT, copy, symlinks=True, ignore=lambda folder, _: left_out.get(folder, set()))
    (copy / "api" / "version.py").write_text('__version__ = "9.9.9"\n')
    assert output(copy / ".venv" / "bin" / "hayate", "--version") == "hayate 9.9.9"
    assert "setting up .venv" in output("make", "doctor", cwd=copy)
    assert output(copy / ".venv" / "bin" / "hayate", "--version") == "hayate 9.9.9"
    assert output(ROOT / ".venv" / "bin" / "hayate", "--version") != "hayate 9.9.9"
    copy.rename(tmp_path / "moved")
    assert output(tmp_path / "moved" / ".venv" / "bin" / "hayate", "--version") == "hayate 9.9.9"
