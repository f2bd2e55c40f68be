"""Hayate: an accelerator for batch-1 language-model decoding, the compiler that feeds it and the models that check it.

This folder is the command line and the small public API. The chip itself is `hayate.rtl`, the compiler `hayate.compiler`,
the bit-exact simulator `hayate.verif.golden`.
"""

from hayate.version import __version__

__all__ = ["__version__"]
