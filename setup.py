"""Maps the repository's folders into the one package `hayate`, and says what of them a wheel holds.

A wheel holds what runs outside the checkout: all that the command line can reach, and the shipped models.
`verif/test_wheel.py` compares. Everything else is in pyproject.toml.
"""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

FOLDERS = {"hayate.rtl": "rtl", "hayate.compiler": "compiler", "hayate.verif": "verif", "hayate.fpga": "fpga"}
# Under verif/, only these run outside the checkout; the rest are tests and their helpers.
SHIPPED = ("golden", "bench", "system")
# Of these packages, only these modules do.
ONLY = {
    "hayate.verif": {"__init__", "foreign", "structure"},
    "hayate.verif.system": {"__init__", "layer", "layer_run", "mirror", "rtl_run", "sim_top", "texts"},
}
# Of the rest, these modules do not: pytest's side of the benches, and what makes environment, documents and models.
WITHOUT = {
    "hayate.verif.bench": {"reset", "tops", "held", "inside", "plugin", "serve", "share"},
    "hayate": {"docs", "docs_host", "durations", "figures", "lock", "markdown", "movable", "precision_figures", "precision_picture",
               "speculation_picture", "train_demo"},
}

package_dir = {"hayate": "scripts", **FOLDERS}
packages = ["hayate"]
for name, folder in FOLDERS.items():
    inner = find_packages(folder)
    if folder == "verif":
        inner = [p for p in inner if p.partition(".")[0] in SHIPPED]
    packages += [name, *(f"{name}.{p}" for p in inner)]


def ships(package, module):
    """Whether a wheel holds this module of a package."""
    tests = module.startswith("test_") or module == "conftest"
    return not tests and module not in WITHOUT.get(package, ()) and module in ONLY.get(package, {module})


class Build(build_py):
    """Leaves out what `ships` says, and takes the models along as hayate/shipped."""

    def find_package_modules(self, package, package_dir):
        return [m for m in super().find_package_modules(package, package_dir) if ships(package, m[1])]

    def run(self):
        if self.editable_mode:
            return super().run()
        kept = Path(self.build_lib, "hayate")
        shutil.rmtree(kept, ignore_errors=True)  # what an earlier build has left would go into the wheel
        super().run()
        shutil.copytree("models", kept / "shipped", ignore=shutil.ignore_patterns(".*", "__pycache__"))


setup(package_dir=package_dir, packages=packages, cmdclass={"build_py": Build})
