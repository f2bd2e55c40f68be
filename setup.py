"""Maps the repository's folders into the one package `hayate` (everything else is in pyproject.toml)."""

from setuptools import find_packages, setup

FOLDERS = {"hayate.rtl": "rtl", "hayate.compiler": "compiler", "hayate.verif": "verif", "hayate.fpga": "fpga"}

package_dir = {"hayate": "scripts", **FOLDERS}
packages = ["hayate"]
for name, folder in FOLDERS.items():
    inner = find_packages(folder)
    packages += [name, *(f"{name}.{p}" for p in inner)]

setup(package_dir=package_dir, packages=packages)
