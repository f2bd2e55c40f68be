"""Maps the repository's folders into the one package `hayate`, and leaves the tests out of wheels.

Everything else is in pyproject.toml.
"""

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

FOLDERS = {"hayate.rtl": "rtl", "hayate.compiler": "compiler", "hayate.verif": "verif", "hayate.fpga": "fpga"}
# Under verif/, only these run outside the checkout; the rest are tests and their helpers.
SHIPPED = ("golden", "bench")

package_dir = {"hayate": "scripts", **FOLDERS}
packages = ["hayate"]
for name, folder in FOLDERS.items():
    inner = find_packages(folder)
    if folder == "verif":
        inner = [p for p in inner if p.partition(".")[0] in SHIPPED]
    packages += [name, *(f"{name}.{p}" for p in inner)]


class WithoutTests(build_py):
    """Leaves out the test files that lie beside the modules."""

    def find_package_modules(self, package, package_dir):
        return [found for found in super().find_package_modules(package, package_dir) if not found[1].startswith("test_")]


setup(package_dir=package_dir, packages=packages, cmdclass={"build_py": WithoutTests})
