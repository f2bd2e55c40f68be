"""Checkpoint to image: reads a model, places it in the banks and writes the program that runs it."""

from hayate.compiler.build import compile_model
from hayate.compiler.place import Placement, place
from hayate.compiler.report import render, report

__all__ = ["Placement", "compile_model", "place", "render", "report"]
