"""Shape to image: everything of a compiled model but its weights, for what depends on sizes alone, such as cycles."""

from dataclasses import dataclass

import numpy as np

from hayate.compiler import plan as planning
from hayate.compiler.build import assemble
from hayate.compiler.checkpoint import Shape
from hayate.compiler.copies import ALL, NONE, Numbers, Options


@dataclass(frozen=True)
class _Blank:
    """Stands for a checkpoint whose norms' gains are ones and whose weights are zeros, in as little memory as numpy
    allows.
    """

    shape: Shape
    path: str = "outline"
    source: str = ""
    tokenizer: None = None

    def matrix(self, name, rows, columns):
        return np.broadcast_to(np.int8(0), (rows, columns))

    def vector(self, name, size):
        return np.broadcast_to(np.int8(1), (size,))


class _Outline(planning.Plan):
    """A plan that takes over a matrix's size and leaves it at that."""

    def half(self, name, values, multiplied=True):
        self.tensors[name], self.notes[name] = np.broadcast_to(np.float16(0), values.shape), {"exponent": 0}
        if multiplied and self.options.planes:
            self.numbers[name] = Numbers((1.0, 1.0, 1.0), (1.0, 1.0))
        return 0


def outline(shape, *, integer=False, group=128):
    """`Image` of a `checkpoint.Shape` without weights: to be placed with ``place(..., weights=False)``, and not to be
    saved.

    Program, routines, descriptors, regions and constants are those of a model of that shape. integer: matrices are INT8
    and INT4 planes, with a scale for each `group` elements of a row, in place of FP16 copies.
    """
    options = Options(planes=integer, group=group, fp16=NONE if integer else ALL)
    blank = _Blank(shape)
    return assemble(blank, planning.build(blank, {}, options, _Outline))
