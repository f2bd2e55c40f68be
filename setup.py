"""Maps the repository's folders into the one package `hayate`, and leaves out of a wheel what only developers run.

A wheel holds what a user can import or call, and the shipped models; an editable installation has tests and scripts
too. `verif/test_wheel.py` compares. Everything else is in pyproject.toml.
"""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

PRODUCT = ("rtl", "compiler", "golden", "sim", "fpga")  # and api/, which is `hayate` itself
DEVELOPERS = ("verif", "scripts")

package_dir = {"hayate": "api", **{f"hayate.{folder}": folder for folder in (*PRODUCT, *DEVELOPERS)}}
packages = [
    name
    for package, folder in package_dir.items()
    for name in (package, *(f"{package}.{p}" for p in find_packages(folder)))
]


def ships(package):
    """Whether a wheel holds this package."""
    return not any(package == f"hayate.{folder}" or package.startswith(f"hayate.{folder}.") for folder in DEVELOPERS)


class Build(build_py):
    """Leaves out what `ships` says, and takes the models along as hayate/shipped."""

    def run(self):
        if self.editable_mode:
            return super().run()
        self.packages = [package for package in self.packages if ships(package)]
        kept = Path(self.build_lib, "hayate")
        shutil.rmtree(kept, ignore_errors=True)  # what an earlier build has left would go into the wheel
        super().run()
        shutil.copytree("models", kept / "shipped", ignore=shutil.ignore_patterns(".*", "__pycache__"))


setup(package_dir=package_dir, packages=packages, cmdclass={"build_py": Build})
