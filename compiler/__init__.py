"""Checkpoint to image: reads a model, places it in the banks and writes the program that runs it."""

from .build import compile_model
from .place import Placement, place
from .report import render, report

__all__ = ["Placement", "compile_model", "place", "render", "report"]
