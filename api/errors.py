"""The exception of the public API, re-exported from the contract so that every layer raises the same one."""

from hayate.rtl.contract.errors import HayateError

__all__ = ["HayateError"]
