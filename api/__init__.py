"""Hayate: an accelerator for batch-1 language-model decoding, the compiler that feeds it and the models that check it.

What is listed here is what a program imports; each name is loaded when it is first used, so that `import hayate` is
quick and needs neither Amaranth nor PyTorch. The chip is `hayate.rtl`, the compiler `hayate.compiler`, the bit-exact
simulator `hayate.golden`, the simulated chip `hayate.backends.rtl`, the command line `hayate.cli`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from hayate.version import __version__

if TYPE_CHECKING:
    from hayate.compiler import compile_model
    from hayate.export import load_file
    from hayate.models import Text
    from hayate.models import load as load_model
    from hayate.rtl.contract.config import Config, load_config
    from hayate.rtl.contract.errors import HayateError, HayateWarning
    from hayate.rtl.contract.image import Image
    from hayate.rtl.contract.loadfile import LoadFile, read_load_file

#: name -> (module, what it is called there).
_LAZY = {
    "Config": ("hayate.rtl.contract.config", "Config"),
    "HayateError": ("hayate.rtl.contract.errors", "HayateError"),
    "HayateWarning": ("hayate.rtl.contract.errors", "HayateWarning"),
    "Image": ("hayate.rtl.contract.image", "Image"),
    "LoadFile": ("hayate.rtl.contract.loadfile", "LoadFile"),
    "Text": ("hayate.models", "Text"),
    "compile_model": ("hayate.compiler", "compile_model"),
    "load_config": ("hayate.rtl.contract.config", "load_config"),
    "load_file": ("hayate.export", "load_file"),
    "load_model": ("hayate.models", "load"),
    "read_load_file": ("hayate.rtl.contract.loadfile", "read_load_file"),
}

__all__ = [
    "Config",
    "HayateError",
    "HayateWarning",
    "Image",
    "LoadFile",
    "Text",
    "__version__",
    "compile_model",
    "load_config",
    "load_file",
    "load_model",
    "read_load_file",
]


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module 'hayate' has no attribute {name!r}")
    module, own = _LAZY[name]
    found = getattr(import_module(module), own)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
