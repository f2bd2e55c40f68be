"""What the golden engines share: buffers, KV cache, the pass in progress and the loop registers."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from hayate.golden.tile.saturation import Saturations
from hayate.rtl.contract import layout
from hayate.rtl.contract.image import evaluate
from hayate.rtl.contract.isa import ROUNDS_AHEAD, Energy, LoopReg
from hayate.rtl.contract.precision import Format

#: Position of a slot that holds nothing of the text.
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Operand:
    """A descriptor as the one logical tile sees it; `block_rows` are its local rows of one block."""

    kind: str
    tensor: str
    words: int
    block_rows: int
    s_in: int
    s_out: int
    name: str
    planes: str
    group: int
    grids: tuple


class TileState:
    """State of the one logical tile.

    Parameters
    ----------
    image: `Image`. lanes: M, any positive number. slots: KV slots.

    Members (arrays end in the lane axis where they have one)
    -------
    act: region -> float16 [words, M, 4]. stage: region -> uint64 [words, M]. vmem: region -> float32 [words, M].
    versions: region -> number of times the activation region was written.
    tokens, positions, slots: int64 [count], the pass. hwm: slots in use.
    sees: bool [count, count]; node k of the pass sees node j, itself included.
    slot_position: int64 [slots], position in the text of what a slot holds; NEVER where that is not part of the text
        (yet).
    precision: descriptor name -> `Format` in which a matrix with planes is read; at first its best copy. See
        `load_precision`.
    measure: the pass reads best copies and adds up energies. counted: positions of the pass that count where a GEMV
        says `wanted`.
    sample: passes sample, with `seed`; wanted: the positions of the pass whose logits are wanted. top_k, min_p: the
        filters; 0, False: off.
    energies: descriptor name -> [sum of squares], indexed by `Energy`, since the last `reset`. saturated: `Saturations`
        since then.
    """

    def __init__(self, image, lanes, slots):
        model = image.model
        self.lanes = lanes
        self.group = model["heads"] // model["kv_heads"]
        self.hdq = model["head_dim"] // 4
        self.max_slots = slots
        self.descriptors = [self._operand(d, model) for d in image.descriptors]
        symbols = {
            "": 1,
            "rows": model["hidden"],
            "heads": model["kv_heads"],
            "slots": slots,
            "slot_words": slots // 4,
            "quad0": 0,
            "tokens": model["vocab"],
        }
        self._views = {r.name: (r.of, evaluate(r.shift, symbols)) for r in image.regions if r.of}
        self._strides = {f"{r.name}.stride": evaluate(r.size, symbols) for r in image.regions if r.rounds}
        sizes = {
            r.name: (r.space, evaluate(r.size, symbols) * (ROUNDS_AHEAD if r.rounds else 1))
            for r in image.regions
            if not r.of
        }
        self.act = {n: np.zeros((size, lanes, 4), np.float16) for n, (space, size) in sizes.items() if space == "act"}
        self.stage = {n: np.zeros((size, lanes), np.uint64) for n, (space, size) in sizes.items() if space == "stage"}
        self.vmem = {n: np.zeros((size, lanes), np.float32) for n, (space, size) in sizes.items() if space == "vmem"}
        self.versions = dict.fromkeys(self.act, 0)
        for c in image.constants:
            values = image.tensors[c.tensor].reshape(-1) if c.tensor else np.array(c.values, np.float32)
            self.vmem[c.region][: len(values)] = values[:, None]
        self.kv_heads, self._head_dim = model["kv_heads"], model["head_dim"]
        self.landing: deque = deque()
        self.index = [0] * len(LoopReg)
        self.measure, self.counted, self.draft = False, [], False
        self.sample, self.seed, self.wanted = False, 0, []
        self.top_k, self.min_p = 0, False
        self.precision = {d.name: Format.FP16 if d.tensor else Format.INT8 for d in self.descriptors if d.planes}
        self.reset()

    def reset(self):
        """Forget the KV cache, the energies and what saturated, as a new generation does; the precision table stays."""
        self._keys, self._values = {}, {}
        self.energies = {}
        self.saturated = Saturations()
        self.slot_position = np.full(self.max_slots, NEVER)
        self.hwm = 0

    def draw(self, scale, seed, log_p=None, top_k=0):
        """From now on passes sample: logits times float32 `scale`, plus the noise of `seed`. scale None: they take the
        best.

        log_p: float32, logarithm of min-p's P, None without it. top_k: 0 without it.
        """
        self.sample, self.seed = scale is not None, seed
        self.min_p, self.top_k = log_p is not None, top_k
        if self.sample:
            self.vmem["INVT"][:] = scale
        if self.min_p:
            self.vmem["LNP"][:] = log_p

    def _operand(self, d, model):
        if d.kind == "kcache":
            rows = self.max_slots
        elif d.kind == "vcache":
            rows = model["head_dim"]
        else:
            rows = d.rows // d.blocks
        words = self.max_slots // 4 if d.kind == "vcache" else d.words
        return Operand(d.kind, d.tensor, words, rows, d.s_in, d.s_out, d.name, d.planes, d.group, d.grids)

    def load_precision(self, table):
        """Set the formats that `table` (descriptor name -> `Format`) names. ValueError where an image has no such
        copy.
        """
        held = {d.name: d for d in self.descriptors}
        for name, fmt in table.items():
            if not (held[name].tensor if fmt == Format.FP16 else held[name].planes):
                raise ValueError(f"{name} has no {Format(fmt).name} copy")
        self.precision.update((name, Format(fmt)) for name, fmt in table.items())

    def format(self, desc):
        """`Format` in which a GEMV of the matrix reads it."""
        return Format.INT4 if self.draft and desc.planes else self.precision.get(desc.name, Format.FP16)

    def add_energies(self, desc, values):
        """Add to a matrix's energies, in the order of `Energy`; those that a matrix does not have stay 0."""
        sums = self.energies.setdefault(desc.name, [0] * len(Energy))
        for kind, value in enumerate(values):
            sums[kind] += value

    layer = property(lambda self: self.index[LoopReg.LAYER])
    head = property(lambda self: self.index[LoopReg.HEAD])
    j = property(lambda self: self.index[LoopReg.J])

    def begin(self, tokens, positions, slots, hwm, measure=False, counted=(), ancestors=None, draft=False):
        """Start a pass of `count` nodes; see the members. What their slots held is no longer part of the text.

        ancestors: for each node a bit mask of the nodes of this pass that it sees, itself included; default: a chain,
        node k sees 0 to k.
        """
        if measure and draft:
            raise ValueError("a draft pass does not measure")
        self.measure, self.counted, self.draft = measure, list(counted), draft
        self.tokens, self.positions, self.slots = (np.asarray(v, np.int64) for v in (tokens, positions, slots))
        self.count, self.hwm = len(self.tokens), hwm
        if ancestors is None:
            self.sees = np.tri(self.count, dtype=bool)
        else:
            self.sees = np.array([[mask >> j & 1 for j in range(self.count)] for mask in ancestors], bool)
        self.slot_position[self.slots] = NEVER
        self.rounds = layout.rounds(self.count, self.group, self.lanes)
        self.apart = layout.apart(self.count, self.lanes)

    def commit(self, slots, positions):
        """Make what `slots` hold part of the text, at `positions`."""
        self.slot_position[slots] = positions

    def keys(self, desc):
        """float16 [kv heads, slots, head_dim] of a K cache."""
        return self._cache(self._keys, desc.name, (self.kv_heads, self.max_slots, self._head_dim))

    def values(self, desc):
        """float16 [kv heads, head_dim, slots] of a V cache."""
        return self._cache(self._values, desc.name, (self.kv_heads, self._head_dim, self.max_slots))

    @staticmethod
    def _cache(store, name, shape):
        if name not in store:
            store[name] = np.zeros(shape, np.float16)
        return store[name]

    def ref(self, ref):
        """(region, offset) with views followed to the region they lie in."""
        region, at = ref
        if region in self._views:
            of, shift = self._views[region]
            return of, at + shift
        return region, at

    def stride(self, value):
        """A number of words, or a reference to what the regions of attention rounds are apart."""
        return self._strides[value[0]] if isinstance(value, tuple) else value

    @property
    def of_chunk(self):
        """Which one of its chunk the attention round J is."""
        return self.j % ROUNDS_AHEAD

    def offset(self, ref, per_head=0, per_j=0, *, j=None):
        """(region, word) of an activation or stage reference, moved by the loop registers; j: in place of J."""
        region, at = self.ref(ref)
        return region, at + self.head * per_head + (self.j if j is None else j) * self.stride(per_j)

    def lanes_in_play(self, vec):
        """Lanes from 0 on that hold something: positions, or attention vectors of round J."""
        return min(self.lanes, self.group * self.apart - self.j * self.lanes) if vec else self.count

    def active(self, lanes, vec):
        """bool [lanes]: a vector of a position that the pass lacks is not active."""
        if not vec:
            return np.ones(lanes, bool)
        return self.head_and_position(np.arange(lanes))[1] < self.count

    def head_and_position(self, lane):
        """Query head of the group and position of the attention vector that a lane, or each of several, has in round
        J. A head's vectors are `apart` numbers from the next head's.
        """
        return divmod(self.j * self.lanes + lane, self.apart)

    def hidden(self, n, lanes, vec):
        """bool [n, lanes]: of the first n slots, no fewer than are in use, those that a lane must not see.

        It sees the text up to its own position, and its ancestors in the pass.
        """
        node = np.arange(lanes)
        if vec:  # a lane without a position sees what the last one does; it is not active
            node = np.minimum(self.head_and_position(node)[1], self.count - 1)
        seen = self.slot_position[:n, None] <= self.positions[node]
        seen[self.slots] |= self.sees[node].T
        seen[self.hwm :] = False
        return ~seen
