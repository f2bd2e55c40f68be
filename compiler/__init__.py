"""Checkpoint to image: reads a model, places it in the banks and writes the program that runs it."""

from .build import compile_model

__all__ = ["compile_model"]
