"""What is checked of the tensors in an image file before anyone uses them."""

import numpy as np

from hayate.rtl.contract import layout, precision
from hayate.rtl.contract.errors import HayateError


def check_tensors(path, image):
    """Raise HayateError unless every tensor that a descriptor names is there, of the right type and shape."""
    for d in image.descriptors:
        if d.tensor and (
            d.tensor not in image.tensors
            or image.tensors[d.tensor].ndim != 2
            or image.tensors[d.tensor].shape[0] != d.rows
            or image.tensors[d.tensor].shape[1] * image.tensors[d.tensor].itemsize != 8 * d.words
        ):
            raise HayateError(
                path, d.tensor, f"does not hold {d.rows} rows of {d.words} words", "compile the model again"
            )
        if d.planes:
            _check_planes(path, image.tensors, d)


def _check_planes(path, tensors, d):
    """Raise HayateError unless the tensors of a descriptor's planes are there, of the right type and shape."""
    if d.group not in precision.GROUPS:
        raise HayateError(path, d.name, f"its planes have groups of {d.group}", "compile the model again")
    k = 4 * d.words
    for name, dtype, columns in (
        (f"{d.planes}.w8", np.int8, k),
        (f"{d.planes}.scale", np.float16, layout.ceil_div(k, d.group)),
    ):
        if name not in tensors or tensors[name].dtype != dtype or tensors[name].shape != (d.rows, columns):
            raise HayateError(
                path,
                name,
                f"does not hold {d.rows} rows of {columns} {np.dtype(dtype).name} values",
                "compile the model again",
            )


def check_ngrams(path, name, rows, model):
    """Raise HayateError unless `rows` is int32 [n, 3] with tokens of the model's vocabulary; the first of a row may be
    -1.
    """
    if rows.dtype != np.int32 or rows.ndim != 2 or rows.shape[1] != 3:
        raise HayateError(
            path,
            name,
            f"holds {rows.dtype.name} values of shape {list(rows.shape)}, not rows of 3 int32 values",
            "compile the model again",
        )
    if len(rows) and ((rows < (-1, 0, 0)).any() or rows.max() >= model["vocab"]):
        raise HayateError(
            path, name, f"holds tokens outside the vocabulary of {model['vocab']}", "compile the model again"
        )
