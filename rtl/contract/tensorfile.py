"""Files of named tensors (the safetensors format): read with every length checked, written byte for byte the same each
time.

Format: https://github.com/huggingface/safetensors. An 8-byte little-endian header length, a JSON header
(name -> dtype, shape, data_offsets; ``__metadata__`` -> strings), then the data.
"""

import json
import math
from pathlib import Path

import numpy as np

from hayate.rtl.contract.errors import HayateError
from hayate.rtl.contract.files import whole
from hayate.rtl.contract.jsonfile import parse_json

DTYPES: dict[str, np.dtype] = {
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "BF16": np.dtype("<u2"),
}
_NAMES = {"f2": "F16", "f4": "F32", "f8": "F64", "u1": "U8", "i1": "I8", "i4": "I32", "i8": "I64", "u8": "U64"}
_HEADER_LIMIT = 100_000_000


class TensorFile:
    """A tensor file opened for reading; data is read when asked for.

    Members: ``path``; ``metadata`` (str -> str); ``names``. ``dtype(name)`` and ``shape(name)`` as stored;
    ``tensor(name)``
    gives an array: the stored type, except that BF16 comes as the float32 of the same value. KeyError for an unknown
    name.

    Raises HayateError naming the file when it is missing, truncated or not of this format.
    """

    def __init__(self, path, *, what="tensor file", remedy="give a .safetensors file"):
        self.path = Path(path)
        try:
            size = self.path.stat().st_size
            with open(self.path, "rb") as file:
                start = file.read(8)
                length = int.from_bytes(start, "little")
                if len(start) < 8 or not 2 <= length <= _HEADER_LIMIT:
                    raise HayateError(path, "", f"not a {what}", remedy)
                if 8 + length > size:
                    raise HayateError(
                        path,
                        "",
                        f"truncated: its header takes {8 + length} bytes, the file has {size}",
                        "fetch or write it again",
                    )
                raw = file.read(length)
        except FileNotFoundError:
            raise HayateError(path, "", f"no such {what}", remedy) from None
        except OSError as e:
            raise HayateError(path, "", f"cannot be read ({e.strerror})", remedy) from None
        try:
            header = parse_json(raw)
            self.metadata = header.pop("__metadata__", {})
            self._entries = {}
            for name, entry in header.items():
                begin, end = (int(n) for n in entry["data_offsets"])
                self._entries[name] = (str(entry["dtype"]), tuple(int(n) for n in entry["shape"]), begin, end)
                if min(begin, *self._entries[name][1], end) < 0:
                    raise ValueError(name)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise HayateError(path, "", f"not a {what}", remedy) from None
        need = 8 + length + max((e[3] for e in self._entries.values()), default=0)
        if need > size:
            raise HayateError(
                path, "", f"truncated: {need} bytes are promised, the file has {size}", "fetch or write it again"
            )
        self._data = (
            np.memmap(self.path, mode="r", dtype=np.uint8, offset=8 + length)
            if size > 8 + length
            else np.zeros(0, np.uint8)
        )

    @property
    def names(self):
        return list(self._entries)

    def __contains__(self, name):
        return name in self._entries

    def dtype(self, name):
        return self._entries[name][0]

    def shape(self, name):
        return self._entries[name][1]

    def tensor(self, name):
        dtype, shape, begin, end = self._entries[name]
        if dtype not in DTYPES:
            raise HayateError(self.path, name, f"type {dtype} is not supported", "convert it to F16, BF16 or F32")
        if not 0 <= begin <= end or end - begin != math.prod(shape) * DTYPES[dtype].itemsize:
            raise HayateError(
                self.path,
                name,
                f"{end - begin} bytes do not hold shape {list(shape)} of {dtype}",
                "fetch or write it again",
            )
        array = np.frombuffer(self._data[begin:end].tobytes(), dtype=DTYPES[dtype]).reshape(shape)
        if dtype == "BF16":
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array


def write_tensors(path, tensors, metadata):
    """Write `tensors` (name -> array) and `metadata` (str -> str) to `path`; an existing file is replaced at once or
    not at all.

    Raises HayateError naming the file when it cannot be written.
    """
    header, chunks, at = {"__metadata__": dict(sorted(metadata.items()))}, [], 0
    for name in sorted(
        tensors, key=lambda n: (-tensors[n].dtype.itemsize, n)
    ):  # widest first, so that all stay aligned
        array = np.ascontiguousarray(tensors[name])
        header[name] = {
            "dtype": _NAMES[array.dtype.str[1:]],
            "shape": list(array.shape),
            "data_offsets": [at, at + array.nbytes],
        }
        chunks.append(array)
        at += array.nbytes
    raw = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode()
    raw += b" " * (-len(raw) % 8)
    try:
        with whole(path) as file:
            file.write(len(raw).to_bytes(8, "little") + raw)
            for array in chunks:
                file.write(array.tobytes())
    except OSError as e:
        raise HayateError(
            path, "", f"cannot be written ({e.strerror})", "give a writable path in an existing folder"
        ) from None
