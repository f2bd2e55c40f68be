"""Golden matrix engine: GEMV, FETCH and KVW on whole matrices, exact."""

import numpy as np

from hayate.golden.numerics.exact import ExactMatrix, exact_dot
from hayate.golden.numerics.nested import NestedMatrix
from hayate.rtl.contract.isa import ROPE_FINE_BITS, Block, FetchIndex, Rows
from hayate.rtl.contract.layout import fine_row
from hayate.rtl.contract.precision import Format


class MatrixEngine:
    """Executes the matrix instructions of a pass against a `TileState`.

    Finished rows go to `state.landing`, as the RTL's go to the landing buffer. A weight matrix that is read block by
    block with the same activations (query heads) is multiplied once and then sliced; the values are the same.
    """

    def __init__(self, image, state):
        self._state = state
        self._image = image
        self._matrices = {}
        self._products = {}

    def gemv(self, i, desc):
        """Stream the selected block of `desc` past the activations; results are float32 [rows, lanes in play], scaled
        by 2**s_in.
        """
        s = self._state
        region, at = s.offset(i.act, i.act_h, i.act_j, j=s.of_chunk if i.slot_words else None)
        lanes = s.lanes_in_play(i.vec)
        if desc.kind == "kcache":
            words = desc.words
            keys = s.keys(desc)[s.head][: s.hwm if i.rows == Rows.SLOTS else None]
            rows = exact_dot(keys, self._activations(region, at, words, lanes))
            # The RTL streams whole quads; the slots that pad the last one are masked by the vector engine.
            rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
        elif desc.kind == "vcache":
            words = -(-s.hwm // 4) if i.slot_words else desc.words
            rows = exact_dot(s.values(desc)[s.head][:, : 4 * words], self._activations(region, at, words, lanes))
        else:
            rows = self._weights(i, desc, region, at, lanes)
        s.landing.append(np.ldexp(rows, desc.s_in).T if desc.s_in else rows.T)

    def _weights(self, i, desc, region, at, lanes):
        """float32 [lanes, rows] of the selected block, in the matrix's format; while measuring, of its best copy, and
        energies add up.
        """
        s = self._state
        fmt = None if s.measure and desc.planes else s.format(desc)
        key = (region, at, lanes, s.versions[region], fmt)
        held, product, squares = self._products.get(desc.name, (None, None, None))
        if held != key:
            x = self._activations(region, at, desc.words, lanes)
            if fmt is None:
                product, squares = self._measured(desc, x)
            else:
                product = self._exact(desc).dot(x) if fmt == Format.FP16 else self._nested(desc).dot(x, fmt)
            self._products[desc.name] = key, product, squares
        block = {Block.ZERO: 0, Block.HEAD: s.head, Block.HEAD_GROUP: s.head * i.group + s.j}[i.block]
        rows = slice(block * desc.block_rows, (block + 1) * desc.block_rows)
        if fmt is None:
            counted = s.counted if i.wanted else list(range(lanes))
            s.add_energies(desc, [int(square[counted, rows].sum()) for square in squares])
        return product[:, rows]

    def _measured(self, desc, x):
        """(float32 [P, rows] of the best copy, int64 [P, rows] of squares on the grids, one array per `Energy`).

        A tile that holds both copies subtracts the INT8 words from the FP16 sum, so its lo part counts with the
        opposite sign. The difference is kept in the accumulator's width, modulo 2**ACC_WIDTH.
        """
        whole, low = self._nested(desc).sums(x)
        if desc.tensor:
            best = self._exact(desc).sums(x)
            terms: tuple = (best, -low, (best - whole).wrapped())
        else:
            best, terms = whole, (whole, low)
        squares = [sums.on_grid(grid) ** 2 for sums, grid in zip(terms, desc.grids, strict=False)]
        return best.rounded(), squares

    def _exact(self, desc):
        if desc.tensor not in self._matrices:
            self._matrices[desc.tensor] = ExactMatrix(self._image.tensors[desc.tensor])
        return self._matrices[desc.tensor]

    def _nested(self, desc):
        w8, scale = (f"{desc.planes}.{part}" for part in ("w8", "scale"))
        if w8 not in self._matrices:
            self._matrices[w8] = NestedMatrix(self._image.tensors[w8], self._image.tensors[scale], desc.group)
        return self._matrices[w8]

    def _activations(self, region, at, words, lanes):
        """float16 [lanes, 4 * words] of the activation buffer."""
        x = self._state.act[region][at : at + words, :lanes]
        return np.ascontiguousarray(x.transpose(1, 0, 2)).reshape(lanes, 4 * words)

    def fetch(self, i, desc):
        """Rows named by the positions' tokens or positions, as raw 64-bit words, into the stage buffer."""
        s = self._state
        region, at = s.offset(i.stage)
        words = self._image.tensors[desc.tensor].view(np.uint64)
        index = {
            FetchIndex.TOKEN: s.tokens,
            FetchIndex.POS_HI: s.positions >> ROPE_FINE_BITS,
            FetchIndex.POS_LO: [fine_row(p, ROPE_FINE_BITS) for p in s.positions],
        }[i.index]
        s.stage[region][at : at + desc.words, : s.count] = words[index].T

    def write_kv(self, i, desc):
        """Staged K or V of every position into its slot."""
        s = self._state
        region, at = s.offset(i.act, i.act_h)
        quads = desc.block_rows // 4 if i.value else desc.words
        new = self._activations(region, at, quads, s.count)
        if i.value:
            s.values(desc)[s.head][:, s.slots] = new.T
        else:
            s.keys(desc)[s.head][s.slots] = new
